//! The task that tells one shard's watchers what changed.
//!
//! Invariants
//! - Each step has a root of its own, pinned for as long as the step takes.
//! - Between steps the shard's connections have their turn.

use std::rc::Rc;
use std::time::Duration;

use futures_lite::FutureExt;
use glommio::timer::Timer;

use crate::mvcc::{Position, Progress};
use crate::rpc::Pace;
use crate::service::Member;
use crate::shard::front::Front;
use crate::shard::member::LocalMember;
use crate::types::Revision;

/// Runs for as long as the shard does.
pub(super) async fn tell_watchers(front: Rc<Front>, member: LocalMember) {
    loop {
        let compacted = step_to_the_end(&member).await;
        front.on_watched(member.watches().watched(), compacted);
        member.watches().publish(member.cells());
        let changed = front.changed.wait().or(member.watches().rung());
        let Some(deadline) = member.watches().next_deadline() else {
            changed.await;
            continue;
        };
        // Never nothing, or a clock that stands still would keep this task busy.
        let left = deadline.since(member.now()).max(Duration::from_millis(1));
        let alarm = async {
            Timer::new(left).await;
        };
        changed.or(alarm).await;
    }
}

/// Steps until there is nothing left to tell; the compacted revision that the last step saw.
async fn step_to_the_end(member: &LocalMember) -> Revision {
    let mut pace = Pace::start();
    loop {
        let pinned = member.pin();
        let compacted = Position::of(&pinned.stamp()).compacted;
        let progress = member.watches().work(member.now(), &pinned, member.status().term);
        drop(pinned);
        if progress == Progress::Done {
            return compacted;
        }
        pace.rest().await;
    }
}
