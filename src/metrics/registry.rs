//! The cells of all shards together.
//!
//! Invariants
//! - Shards are as many as at the start; each writes the cells at its own number.

use std::sync::Arc;

use super::cell::Counter;
use super::front::{Check, Front, RequestKind};
use super::histogram::{Histogram, Sum};
use super::method::Method;
use super::replica::{Operation, Replica};
use super::text::{Page, Type};
use crate::types::ShardId;

/// Everything that the process counts.
#[derive(Debug)]
pub struct Registry {
    fronts: Vec<Arc<Front>>,
    replica: Arc<Replica>,
    /// Whether the last check of each kind was a success: whichever shard made it, the newest stands.
    last_checks: [Counter; Check::ALL.len()],
    /// Feature gates: name, stage, whether it is open.
    features: Vec<(&'static str, &'static str, bool)>,
}

impl Registry {
    /// For so many shards.
    pub fn new(shards: usize, extensive: bool) -> Self {
        assert!(shards > 0, "somebody counts");
        let fronts = (0..shards).map(|_| Arc::new(Front::new(extensive))).collect();
        Self { fronts, replica: Arc::default(), last_checks: Default::default(), features: Vec::new() }
    }

    /// The same, showing these feature gates: name, stage, whether it is open.
    pub fn with_features(self, features: Vec<(&'static str, &'static str, bool)>) -> Self {
        Self { features, ..self }
    }

    pub(super) fn show_features(&self, page: &mut Page) {
        let help = "Whether or not a feature is enabled. 1 is enabled, 0 is not.";
        let family = page.family("etcd_server_feature_enabled", Type::Gauge, help);
        for (name, stage, open) in &self.features {
            family.value(&[("name", name), ("stage", stage)], u64::from(*open));
        }
    }

    /// A shard made a named check.
    pub fn on_check(&self, front: &Front, check: Check, success: bool) {
        let place = Check::ALL.iter().position(|known| *known == check).expect("all checks are known");
        front.on_check(place, success);
        self.last_checks[place].set(u64::from(success));
    }

    /// The cells of a shard's front.
    pub fn front(&self, shard: ShardId) -> &Arc<Front> {
        &self.fronts[shard.0]
    }

    /// The cells of the replica's shard.
    pub fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    pub(super) fn fronts(&self) -> impl Iterator<Item = &Front> {
        self.fronts.iter().map(|front| &**front)
    }

    /// A counter of all fronts.
    pub fn total(&self, of: impl Fn(&Front) -> u64) -> u64 {
        self.fronts.iter().map(|front| of(front)).fold(0, u64::wrapping_add)
    }

    /// A histogram of all fronts; one that was not asked for is none.
    fn sum<'a>(&'a self, of: impl Fn(&'a Front) -> Option<&'a Histogram>) -> Option<Sum> {
        let found: Vec<_> = self.fronts.iter().filter_map(|front| of(front)).collect();
        let scale = found.first()?.scale();
        Some(Sum::of(scale, found))
    }

    /// gRPC's own families: every method and code from the start.
    pub(super) fn show_calls(&self, page: &mut Page) {
        let help = "Total number of RPCs started on the server.";
        self.show_methods(page, ("grpc_server_started_total", help), |front, at| front.methods[at].started.get());
        let help = "Total number of RPC stream messages received on the server.";
        self.show_methods(page, ("grpc_server_msg_received_total", help), |front, at| front.methods[at].received.get());
        let help = "Total number of gRPC stream messages sent by the server.";
        self.show_methods(page, ("grpc_server_msg_sent_total", help), |front, at| front.methods[at].sent.get());
        let help = "Total number of RPCs completed on the server, regardless of success or failure.";
        let family = page.family("grpc_server_handled_total", Type::Counter, help);
        for method in Method::ALL {
            for (code, name) in super::method::CODES.iter().enumerate() {
                let handled = self.total(|front| front.methods[method.place()].handled[code].get());
                let (service, called) = method.parts();
                let kind = method.shape().label();
                let labels =
                    [("grpc_code", *name), ("grpc_method", called), ("grpc_service", service), ("grpc_type", kind)];
                family.value(&labels, handled);
            }
        }
        self.show_handling(page);
    }

    fn show_methods(&self, page: &mut Page, (name, help): (&'static str, &str), of: impl Fn(&Front, usize) -> u64) {
        let family = page.family(name, Type::Counter, help);
        for method in Method::ALL {
            let (service, called) = method.parts();
            let labels = [("grpc_method", called), ("grpc_service", service), ("grpc_type", method.shape().label())];
            family.value(&labels, self.total(|front| of(front, method.place())));
        }
    }

    fn show_handling(&self, page: &mut Page) {
        if !self.fronts.iter().any(|front| front.times_calls()) {
            return;
        }
        let help =
            "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.";
        let family = page.family("grpc_server_handling_seconds", Type::Histogram, help);
        for method in Method::ALL {
            let (service, called) = method.parts();
            let labels = [("grpc_method", called), ("grpc_service", service), ("grpc_type", method.shape().label())];
            let sum = self.sum(|front| front.handling.as_ref().map(|handling| &handling[method.place()]));
            family.histogram(&labels, &sum.expect("some front has them, so all have"));
        }
    }

    /// The times of requests; a series appears with its first request, as in etcd.
    pub(super) fn show_times(&self, page: &mut Page) {
        let help = "Response latency distribution in seconds for each type.";
        let family = page.family("etcd_server_request_duration_seconds", Type::Histogram, help);
        for (place, kind) in RequestKind::ALL.iter().enumerate() {
            for success in [false, true] {
                let sum = self.sum(|front| Some(&front.requests[place][usize::from(success)]));
                family.used(&[("success", word(success)), ("type", kind.label())], sum.as_ref());
            }
        }
        let family = page.family(
            "etcd_server_range_duration_seconds",
            Type::Histogram,
            "The latency distributions of txn.Range",
        );
        for success in [false, true] {
            let sum = self.sum(|front| Some(&front.ranges_time[usize::from(success)]));
            family.used(&[("success", word(success))], sum.as_ref());
        }
        let help = "The latency distributions of v2 apply called by backend.";
        let family = page.family("etcd_server_apply_duration_seconds", Type::Histogram, help);
        for (place, operation) in Operation::ALL.iter().enumerate() {
            for success in [false, true] {
                let applied = &self.replica.applied[place][usize::from(success)];
                let sum = Sum::of(applied.scale(), [applied]);
                let labels = [("op", operation.label()), ("success", word(success)), ("version", "v3")];
                family.used(&labels, Some(&sum));
            }
        }
        let help = "The latency distribution of storage hash by revision operation.";
        self.show_long(page, ("etcd_mvcc_hash_rev_duration_seconds", help), |front| &front.hash_revision);
        let help = "The latency distribution of storage hash operation.";
        self.show_long(page, ("etcd_mvcc_hash_duration_seconds", help), |front| &front.hash);
        let help = "The latency distribution of backend snapshots.";
        self.show_long(page, ("etcd_disk_backend_snapshot_duration_seconds", help), |front| &front.snapshots);
        let help = "The latency distribution of backend defragmentation.";
        self.show_long(page, ("etcd_disk_backend_defrag_duration_seconds", help), |front| &front.defragmentations);
    }

    pub(super) fn show_long(
        &self,
        page: &mut Page,
        (name, help): (&'static str, &str),
        of: impl Fn(&Front) -> &Histogram,
    ) {
        let sum = self.sum(|front| Some(of(front)));
        page.family(name, Type::Histogram, help).histogram(&[], &sum.expect("there is a front"));
    }

    /// Requests by their clients' versions.
    pub(super) fn show_clients(&self, page: &mut Page) {
        let mut versions = std::collections::BTreeMap::<&str, (u64, u64)>::new();
        for (version, unary, stream) in self.fronts.iter().flat_map(|front| front.clients.rows()) {
            let total = versions.entry(version).or_default();
            *total = (total.0 + unary, total.1 + stream);
        }
        let help = "The total number of client requests per client version.";
        let family = page.family("etcd_server_client_requests_total", Type::Counter, help);
        for (version, (unary, stream)) in versions {
            for (kind, count) in [("stream", stream), ("unary", unary)] {
                if count > 0 {
                    family.value(&[("client_api_version", version), ("type", kind)], count);
                }
            }
        }
    }

    /// The named checks; a series appears with its first check. The gauge is of the last one that any shard made.
    pub(super) fn show_checks(&self, page: &mut Page) {
        let counts =
            |check: usize, success: bool| self.total(|front| front.checks[check].outcomes[usize::from(success)].get());
        let family = page.family(
            "etcd_server_healthchecks_total",
            Type::Counter,
            "The total number of each kind of healthcheck.",
        );
        for (place, check) in Check::ALL.iter().enumerate() {
            for (success, status) in [(false, "error"), (true, "success")] {
                let count = counts(place, success);
                if count > 0 {
                    family.value(&[("name", check.name), ("status", status), ("type", check.group)], count);
                }
            }
        }
        let family = page.family("etcd_server_healthcheck", Type::Gauge, "The result of each kind of healthcheck.");
        for (place, check) in Check::ALL.iter().enumerate() {
            if counts(place, false) + counts(place, true) > 0 {
                let labels = [("name", check.name), ("type", check.group)];
                family.value(&labels, self.last_checks[place].get());
            }
        }
    }
}

fn word(success: bool) -> &'static str {
    if success { "true" } else { "false" }
}
