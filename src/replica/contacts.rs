//! When other members were last heard, and since when without a long silence: etcd tells a timeout that may be due to a
//! lost connection from a plain one.
//!
//! Invariants
//! - `since <= last`; a silence of an election timeout or more begins a new contact.

use std::collections::BTreeMap;
use std::time::Duration;

use super::values::TimeoutCause;
use crate::raft::{Leadership, Membership, Role};
use crate::types::{MemberId, Now};

#[derive(Clone, Copy, Debug)]
struct Contact {
    since: Now,
    last: Now,
}

/// Who was heard, and the last change of the leader.
#[derive(Debug)]
pub(super) struct Contacts {
    member: MemberId,
    election_timeout: Duration,
    heard: BTreeMap<MemberId, Contact>,
    elected: Now,
}

impl Contacts {
    /// Nobody was heard yet.
    pub(super) fn new(member: MemberId, election_timeout: Duration) -> Self {
        Self { member, election_timeout, heard: BTreeMap::new(), elected: Now(0) }
    }

    /// A message came. Only members' count: the table stays as small as the group.
    pub(super) fn on_heard(&mut self, now: Now, from: MemberId, membership: &Membership) {
        if !membership.contains(from) {
            return;
        }
        let contact = self.heard.entry(from).or_insert(Contact { since: now, last: now });
        if now.since(contact.last) >= self.election_timeout {
            contact.since = now;
        }
        contact.last = contact.last.max(now);
        assert!(contact.since <= contact.last, "a contact begins before it ends");
    }

    /// A leader was found.
    pub(super) fn on_elected(&mut self, now: Now) {
        self.elected = now;
    }

    /// Why a request that came at `since` has timed out by `now`.
    pub(super) fn cause(&self, now: Now, since: Now, leadership: Leadership, membership: &Membership) -> TimeoutCause {
        // The request came in the two election timeouts before the present leader: its predecessor was failing then.
        let failing_since = self.elected.0.saturating_sub(Now(0).after(self.election_timeout.saturating_mul(2)).0);
        if Now(failing_since) < since && since < self.elected {
            return TimeoutCause::LeaderFailed;
        }
        let connected = |member: &MemberId| *member == self.member || self.is_connected(now, since, *member);
        let heard = match leadership.leader {
            None => true,
            Some(_) if leadership.role == Role::Leader => {
                let voters = membership.voters();
                voters.iter().filter(|voter| connected(voter)).count() * 2 > voters.len()
            }
            Some(leader) => connected(&leader),
        };
        if heard { TimeoutCause::Plain } else { TimeoutCause::ConnectionLost }
    }

    fn is_connected(&self, now: Now, since: Now, member: MemberId) -> bool {
        self.heard
            .get(&member)
            .is_some_and(|contact| contact.since <= since && now.since(contact.last) < self.election_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Term;

    const TIMEOUT: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Now {
        Now(seconds * 1_000_000_000)
    }

    fn group() -> Membership {
        Membership::of_voters(&[MemberId(1), MemberId(2), MemberId(3)]).unwrap()
    }

    fn leadership(role: Role, leader: Option<u64>) -> Leadership {
        Leadership { term: Term(2), role, leader: leader.map(MemberId) }
    }

    /// Hears `from` every half second from `first` to `last`.
    fn hear(contacts: &mut Contacts, from: u64, first: u64, last: u64) {
        for half in first * 2..=last * 2 {
            contacts.on_heard(Now(half * 500_000_000), MemberId(from), &group());
        }
    }

    #[test]
    fn a_request_just_before_a_new_leader_blames_the_old_one() {
        let mut contacts = Contacts::new(MemberId(1), TIMEOUT);
        contacts.on_elected(at(20));
        hear(&mut contacts, 2, 0, 40);
        let cause = |since| contacts.cause(at(40), at(since), leadership(Role::Follower, Some(2)), &group());
        assert_eq!(cause(19), TimeoutCause::LeaderFailed);
        assert_eq!(cause(18), TimeoutCause::Plain, "two election timeouts before is too early");
        assert_eq!(cause(20), TimeoutCause::Plain);
    }

    #[test]
    fn silence_of_the_leader_or_of_the_majority_is_a_lost_connection() {
        let mut contacts = Contacts::new(MemberId(1), TIMEOUT);
        hear(&mut contacts, 2, 1, 30);
        let follower = leadership(Role::Follower, Some(2));
        assert_eq!(contacts.cause(at(30), at(25), follower, &group()), TimeoutCause::Plain);
        assert_eq!(contacts.cause(at(32), at(25), follower, &group()), TimeoutCause::ConnectionLost);
        let leader = leadership(Role::Leader, Some(1));
        assert_eq!(contacts.cause(at(30), at(25), leader, &group()), TimeoutCause::Plain, "two of three");
        assert_eq!(contacts.cause(at(40), at(35), leader, &group()), TimeoutCause::ConnectionLost);
        assert_eq!(contacts.cause(at(40), at(35), leadership(Role::Follower, None), &group()), TimeoutCause::Plain);
        hear(&mut contacts, 2, 40, 45);
        assert_eq!(contacts.cause(at(45), at(35), follower, &group()), TimeoutCause::ConnectionLost, "lost in between");
    }

    #[test]
    fn strangers_are_not_remembered() {
        let mut contacts = Contacts::new(MemberId(1), TIMEOUT);
        (10..1000).for_each(|stranger| contacts.on_heard(at(1), MemberId(stranger), &group()));
        assert!(contacts.heard.is_empty());
    }
}
