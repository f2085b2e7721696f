//! The task that compacts by itself, as the flags ask.
//!
//! Invariants
//! - It proposes what a client would, and says so in etcd's words.

use std::time::Duration;

use bytes::Bytes;
use glommio::timer::Timer;
use prost::Message;

use crate::command::{CompactionRequest, Kind};
use crate::config::AutoCompaction;
use crate::log::{Logger, Value};
use crate::metrics::Stopwatch;
use crate::mvcc::{self, Position};
use crate::service::{Member, ProposeError, text_of};
use crate::shard::member::LocalMember;
use crate::shard::retention::Retention;
use crate::types::Revision;

/// Runs for as long as the shard does; ends at once if nothing is to be compacted.
pub(super) async fn compact_by_itself(wanted: AutoCompaction, member: LocalMember, logger: Logger) {
    let Some(mut retention) = Retention::new(wanted, member.now(), current(&member)) else { return };
    loop {
        let left = retention.due().since(member.now()).max(Duration::from_millis(1));
        Timer::new(left).await;
        let now = member.now();
        if now < retention.due() {
            continue;
        }
        let leads = member.status().leader == member.identity().member_id;
        if let Some(revision) = retention.on_due(now, current(&member), leads) {
            compact(&mut retention, revision, &member, &logger).await;
        }
        retention.rearm(member.now(), current(&member));
    }
}

async fn compact(retention: &mut Retention, revision: Revision, member: &LocalMember, logger: &Logger) {
    let (mode, kept, pause) = retention.words();
    let mut fields = vec![("revision", Value::from(revision.0)), kept];
    logger.info(&format!("starting auto {mode} compaction"), &fields);
    let watch = Stopwatch::start();
    let request = CompactionRequest { revision: revision.0, physical: false };
    let compacted = member.propose(Kind::Compact, Bytes::from(request.encode_to_vec())).await;
    match compacted {
        Ok(_) | Err(ProposeError::Request(mvcc::Error::Compacted)) => {
            retention.on_compacted(member.now(), revision);
            fields.push(("took", Duration::from_nanos(watch.nanos()).into()));
            logger.info(&format!("completed auto {mode} compaction"), &fields);
        }
        Err(error) => {
            fields.extend([("retry-interval", pause.into()), ("error", text_of(error).into())]);
            logger.warn(&format!("failed auto {mode} compaction"), &fields);
        }
    }
}

fn current(member: &LocalMember) -> Revision {
    Position::of(&member.pin().stamp()).current
}
