//! One command against the store.
//!
//! Invariants
//! - This is the single door from commands to the store. What may refuse a command beforehand (a corrupt cluster, then
//!   a lack of space, then missing rights, in this order) stands before the match and looks at replicated state alone.
//! - A refusal writes nothing.

use super::lease;
use crate::command::{Command, Outcome, Response};
use crate::mvcc::{Error, Want, Writer};
use crate::types::Term;

/// Executes a command of an entry of `term` and says what it answers.
pub(super) fn execute(
    writer: &mut Writer<'_, '_>,
    term: Term,
    command: &Command,
    want: Want,
) -> Result<Outcome, Error> {
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
    };
    let after = writer.position();
    assert!(after.current == before.current || after.current == before.current.next(), "a command is one revision");
    assert!(after.compacted >= before.compacted, "compaction never goes back");
    Ok(Outcome { revision: after.current, response })
}
