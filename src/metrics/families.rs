//! The families that are made of cells alone.
//!
//! Invariants
//! - What etcd has under a name is shown under that name; what it has not, under `ringbolt_`.

use super::front::Front;
use super::histogram::Sum;
use super::registry::Registry;
use super::text::{Page, Type};
use super::zeros;

/// A counter or gauge of the replica's shard or of all fronts: name, help, value.
type Row = (&'static str, &'static str, u64);

impl Registry {
    /// Writes all of them.
    pub fn show(&self, page: &mut Page) {
        self.show_calls(page);
        self.show_times(page);
        self.show_clients(page);
        self.show_checks(page);
        self.show_features(page);
        self.show_health(page);
        self.show_leases(page);
        self.show_watches(page);
        self.show_disk(page);
        self.show_own_front(page);
        self.show_own_replica(page);
        zeros::show(page);
    }

    fn show_health(&self, page: &mut Page) {
        let total = |of: fn(&Front) -> u64| self.total(of);
        for (name, help, value) in [
            (
                "etcd_server_health_success",
                "The total number of successful health checks",
                total(|front| front.health_success.get()),
            ),
            (
                "etcd_server_health_failures",
                "The total number of failed health checks",
                total(|front| front.health_failures.get()),
            ),
            (
                "etcd_network_client_grpc_received_bytes_total",
                "The total number of bytes received from grpc clients.",
                total(|front| front.message_received_bytes.get()),
            ),
            (
                "etcd_network_client_grpc_sent_bytes_total",
                "The total number of bytes sent to grpc clients.",
                total(|front| front.message_sent_bytes.get()),
            ),
        ] {
            page.counter(name, help, value);
        }
    }

    fn show_leases(&self, page: &mut Page) {
        let replica = self.replica();
        let counters: [Row; 4] = [
            ("etcd_debugging_lease_granted_total", "The total number of granted leases.", replica.leases_granted.get()),
            (
                "etcd_debugging_lease_renewed_total",
                "The number of renewed leases seen by the leader.",
                self.total(|front| front.leases_renewed.get()),
            ),
            ("etcd_debugging_lease_revoked_total", "The total number of revoked leases.", replica.leases_revoked.get()),
            (
                "etcd_debugging_server_lease_expired_total",
                "The total number of expired leases.",
                replica.leases_expired.get(),
            ),
        ];
        counters.into_iter().for_each(|(name, help, value)| page.counter(name, help, value));
        let help = "Bucketed histogram of lease TTLs.";
        self.show_long(page, ("etcd_debugging_lease_ttl_total", help), |front| &front.lease_ttls);
    }

    fn show_watches(&self, page: &mut Page) {
        let total = |of: fn(&Front) -> u64| self.total(of);
        let gauges: [Row; 4] = [
            (
                "etcd_debugging_mvcc_pending_events_total",
                "Total number of pending events to be sent.",
                total(|front| front.events_waiting.get()),
            ),
            (
                "etcd_debugging_mvcc_slow_watcher_total",
                "Total number of unsynced slow watchers.",
                total(|front| front.watchers_behind.get()),
            ),
            (
                "etcd_debugging_mvcc_watch_stream_total",
                "Total number of watch streams.",
                total(|front| front.watch_streams.get()),
            ),
            ("etcd_debugging_mvcc_watcher_total", "Total number of watchers.", total(|front| front.watchers.get())),
        ];
        gauges.into_iter().for_each(|(name, help, value)| page.gauge(name, help, value));
        let help = "Total number of events sent by this member.";
        page.counter("etcd_debugging_mvcc_events_total", help, total(|front| front.events_told.get()));
        let help = "The total duration in seconds of running through the send loop watch stream response all events.";
        let name = "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds";
        self.show_long(page, (name, help), |front| &front.watch_sends);
        let help = "The average duration in seconds of running through the send loop watch stream response, per event.";
        let name = "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds";
        self.show_long(page, (name, help), |front| &front.watch_sends_by_event);
    }

    fn show_disk(&self, page: &mut Page) {
        let replica = self.replica();
        // One write is written and durable at once: both of etcd's distributions are of the same operations.
        for (name, help, histogram) in [
            (
                "etcd_disk_wal_fsync_duration_seconds",
                "The latency distributions of fsync called by WAL.",
                &replica.log_writes,
            ),
            (
                "etcd_disk_wal_write_duration_seconds",
                "The latency distributions of write called by WAL.",
                &replica.log_writes,
            ),
            (
                "etcd_disk_backend_commit_duration_seconds",
                "The latency distributions of commit called by backend.",
                &replica.checkpoints,
            ),
            (
                "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
                "Bucketed histogram of db compaction total duration.",
                &replica.compactions,
            ),
        ] {
            let sum = Sum::of(histogram.scale(), [histogram]);
            page.family(name, Type::Histogram, help).histogram(&[], &sum);
        }
        let help = "Total number of bytes written in WAL.";
        page.gauge("etcd_disk_wal_write_bytes_total", help, replica.log_bytes.get());
    }

    fn show_own_front(&self, page: &mut Page) {
        let total = |of: fn(&Front) -> u64| self.total(of);
        let begun = total(|front| front.connections_begun.get());
        let calls = total(|front| front.calls_begun.get());
        let counters: [Row; 4] = [
            ("ringbolt_front_connections_total", "Connections accepted.", begun),
            ("ringbolt_front_calls_total", "gRPC calls begun.", calls),
            (
                "ringbolt_front_socket_received_bytes_total",
                "Bytes read from clients' sockets.",
                total(|front| front.received_bytes.get()),
            ),
            (
                "ringbolt_front_socket_sent_bytes_total",
                "Bytes written to clients' sockets.",
                total(|front| front.sent_bytes.get()),
            ),
        ];
        counters.into_iter().for_each(|(name, help, value)| page.counter(name, help, value));
        // The shards go on counting while they are read.
        let open = begun.saturating_sub(total(|front| front.connections_ended.get()));
        page.gauge("ringbolt_front_connections", "Connections open.", open);
        let open = calls.saturating_sub(total(|front| front.calls_ended.get()));
        page.gauge("ringbolt_front_calls", "gRPC calls open.", open);
        self.show_shards(page);
    }

    /// How evenly the shards are used.
    fn show_shards(&self, page: &mut Page) {
        let family = page.family("ringbolt_shard_calls_total", Type::Counter, "gRPC calls begun, by shard.");
        for (shard, front) in self.fronts().enumerate() {
            family.value(&[("shard", &shard.to_string())], front.calls_begun.get());
        }
    }

    fn show_own_replica(&self, page: &mut Page) {
        let replica = self.replica();
        let counters: [Row; 8] = [
            ("ringbolt_log_groups_total", "Groups of entries written to the log.", replica.groups.get()),
            ("ringbolt_batches_total", "Batches of commands proposed by this member.", replica.batches.get()),
            ("ringbolt_batched_commands_total", "Commands in these batches.", replica.proposals.get()),
            ("ringbolt_applied_entries_total", "Entries of the log applied.", replica.entries_applied.get()),
            (
                "ringbolt_apply_transactions_total",
                "Transactions of the store that applied them.",
                replica.applies.get(),
            ),
            ("ringbolt_apply_stalls_total", "Times that applying waited for space.", replica.stalls.get()),
            ("ringbolt_read_rounds_total", "Rounds that confirmed linearizable reads.", replica.read_rounds.get()),
            ("ringbolt_log_bytes_total", "Bytes written to the log, padding included.", replica.log_bytes.get()),
        ];
        counters.into_iter().for_each(|(name, help, value)| page.counter(name, help, value));
        let gauges: [Row; 4] = [
            ("ringbolt_log_file_bytes", "Bytes of the log's files.", replica.log_file_bytes.get()),
            ("ringbolt_store_dirty_pages", "Pages that the next checkpoint would write.", replica.dirty_pages.get()),
            ("ringbolt_store_free_pages", "Pages of the store's file that are free.", replica.free_pages.get()),
            ("ringbolt_disk_full", "1 while writers are refused for lack of disk.", replica.disk_full.get()),
        ];
        gauges.into_iter().for_each(|(name, help, value)| page.gauge(name, help, value));
    }
}
