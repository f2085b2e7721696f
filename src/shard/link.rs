//! One direction of the mesh: a queue that gathers on this executor, and the task that sends what gathered.
//!
//! Invariants
//! - At most one message of a link is on its way; the next one is whatever gathered meanwhile.

use std::cell::RefCell;
use std::rc::Rc;

use glommio::channels::shared_channel::ConnectedSender;

use crate::shard::mesh::ToFront;
use crate::shard::notify::Notify;

/// What gathers for one front shard.
#[derive(Debug, Default)]
pub(super) struct Link {
    gathered: RefCell<ToFront>,
    filled: Notify,
}

impl Link {
    /// Adds to what is sent next.
    pub(super) fn add(&self, fill: impl FnOnce(&mut ToFront)) {
        fill(&mut self.gathered.borrow_mut());
        self.filled.ring();
    }

    /// Takes what gathered.
    pub(super) fn take(&self) -> ToFront {
        std::mem::take(&mut *self.gathered.borrow_mut())
    }

    /// Until something gathers.
    pub(super) async fn filled(&self) {
        self.filled.wait().await;
    }
}

/// Sends what gathers on `link` until the other shard is gone. The channel stays open after the word to stop: answers that
/// the last calls wait for still have to cross.
pub(super) async fn send_gathered(link: Rc<Link>, sender: ConnectedSender<ToFront>) {
    loop {
        let message = link.take();
        if message.is_empty() {
            link.filled().await;
            continue;
        }
        if sender.send(message).await.is_err() {
            return;
        }
    }
}
