//! One command against the store.
//!
//! Invariants
//! - This is the single door from commands to the store. What may refuse a command beforehand (a corrupt cluster, then
//!   a lack of space, then missing rights, in this order) stands before the match and looks at replicated state alone.
//! - A refusal writes nothing.

use super::lease;
use crate::alarm::{self, Effect, Refusal, Standing};
use crate::cluster;
use crate::command::{AlarmRequest, AlarmResponse, Command, LeaseCommand, Outcome, Response};
use crate::mvcc::{Error, Want, Writer, check};
use crate::types::Term;

/// Executes a command of an entry of `term` and says what it answers. `standing` is kept up to date for the next.
pub(super) fn execute(
    (writer, standing): (&mut Writer<'_, '_>, &mut Standing),
    term: Term,
    command: &Command,
    want: Want,
) -> Result<Outcome, Error> {
    if let Some(refusal) = standing.refuses(effect(command)) {
        return Err(match refusal {
            Refusal::Corrupt => Error::Corrupt,
            Refusal::NoSpace => Error::NoSpace,
        });
    }
    let before = writer.position();
    let response = match command {
        Command::Put(request) => Response::Put(writer.put(request, want)?),
        Command::DeleteRange(request) => Response::DeleteRange(writer.delete_range(request, want)?),
        Command::Txn(request) => Response::Txn(writer.txn(request, want)?),
        Command::Compact(request) => {
            Response::Compact { compacted: writer.compact(request)?, physical_wait: request.physical }
        }
        Command::Noop => Response::Noop,
        Command::Lease(command) => Response::Lease(lease::execute(writer, term, command)?),
        Command::Alarm(request) => Response::Alarm(change_alarm(writer, standing, request)?),
        Command::Downgrade(info) => {
            cluster::set_downgrade(writer.tree(), info)?;
            Response::Downgrade
        }
    };
    let after = writer.position();
    assert!(after.current == before.current || after.current == before.current.next(), "a command is one revision");
    assert!(after.compacted >= before.compacted, "compaction never goes back");
    Ok(Outcome { revision: after.current, response })
}

/// What alarms ask of a command. etcd's rules: a txn counts by its dearer branch, so a put in either one adds.
fn effect(command: &Command) -> Effect {
    match command {
        Command::Put(_) => Effect::Adds,
        Command::Txn(request) if check::has_put(request) => Effect::Adds,
        Command::Txn(_) | Command::DeleteRange(_) | Command::Compact(_) => Effect::Changes,
        // As with etcd, a corrupt cluster keeps its leases, expired or not; what is left of them may be noted.
        Command::Lease(LeaseCommand::Grant(_)) => Effect::Adds,
        Command::Lease(LeaseCommand::Revoke(_) | LeaseCommand::Expire(_)) => Effect::Changes,
        Command::Noop | Command::Alarm(_) | Command::Downgrade(_) | Command::Lease(LeaseCommand::Checkpoint(_)) => {
            Effect::Nothing
        }
    }
}

fn change_alarm(
    writer: &mut Writer<'_, '_>,
    standing: &mut Standing,
    request: &AlarmRequest,
) -> Result<AlarmResponse, Error> {
    let txn = writer.tree();
    let change = alarm::change(txn, request)?;
    *standing = Standing::of(&txn.view())?;
    let alarms = match change {
        alarm::Change::Told(alarm) => vec![alarm],
        alarm::Change::Nothing => Vec::new(),
        alarm::Change::TooMany => return Err(Error::TooManyAlarms),
    };
    Ok(AlarmResponse { header: None, alarms })
}
