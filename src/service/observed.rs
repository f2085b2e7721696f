//! One call as the metrics see it.
//!
//! Invariants
//! - Counted as etcd's interceptors do: a unary call from its decoded request on, a stream from its beginning; then once
//!   by the code that ends it.

use super::member::Member;
use super::server::Service;
use crate::metrics::{Method, Stopwatch};
use crate::rpc::{Answers, Status};

/// Counts one call.
pub(super) struct Observed<M> {
    service: Service<M>,
    method: Method,
    answers: Answers,
    began: bool,
    watch: Option<Stopwatch>,
}

impl<M: Member> Observed<M> {
    /// A call of `method`; one with many answers has begun.
    pub(super) fn new(service: &Service<M>, method: Method, answers: Answers) -> Self {
        let mut observed = Self { service: service.clone(), method, answers, began: false, watch: None };
        if answers == Answers::Many {
            observed.begin();
        }
        observed
    }

    fn begin(&mut self) {
        let front = self.service.front();
        front.on_started(self.method);
        self.watch = front.times_calls().then(Stopwatch::start);
        self.began = true;
    }

    /// A message came that decodes.
    pub(super) fn on_request(&mut self) {
        if !self.began {
            self.begin();
        }
        self.service.front().on_received(self.method);
    }

    /// A message of so many bytes is sent.
    pub(super) fn on_message(&self, bytes: usize) {
        let front = self.service.front();
        if self.answers == Answers::Many {
            front.on_sent(self.method);
        }
        front.message_sent_bytes.add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// The call ends so.
    pub(super) fn end(self, status: &Status) {
        if !self.began {
            return;
        }
        let front = self.service.front();
        if self.answers == Answers::One {
            // An error counts as the message that was sent, as with etcd's interceptor.
            front.on_sent(self.method);
        }
        front.on_handled(self.method, usize::from(status.code.number()));
        if let Some(watch) = self.watch {
            front.on_handled_in(self.method, watch.nanos());
        }
    }
}
