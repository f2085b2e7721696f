//! From errors to what clients see: one exhaustive match, with etcd's codes and its exact texts.
//!
//! Invariants
//! - Clients of etcd compare texts, so each is a constant here and nowhere else.
//! - No wildcard arm: a new error has to be given its answer.

use super::member::{ProposeError, ReadError, Timeout};
use crate::mvcc;
use crate::rpc::{Answers, Code, Status};
use crate::{backup, tree};

/// Why a call is not answered with success.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Error {
    /// Found by the transport: a bad message, a deadline, a client that left.
    Call(Status),
    /// The message does not decode.
    Undecodable(Answers),
    /// The request is wrong, by itself or for the state of the store.
    Request(mvcc::Error),
    /// The encoded request is larger than the cluster replicates.
    RequestTooLarge,
    /// The answer is larger than gRPC's clients take.
    ResponseTooLarge(usize),
    /// The metadata `client-api-version` is no text.
    InvalidClientApiVersion,
    /// A learner does not serve this.
    NotForLearner,
    /// The metadata asks for a leader and there is none.
    NoLeader,
    /// Only the leader can do this.
    NotLeader,
    /// The leadership cannot go to this member.
    BadTransferee,
    /// The cluster's version cannot be lowered so.
    Downgrade(DowngradeRefusal),
    /// A command was not done.
    Propose(ProposeError),
    /// A read cannot be served.
    Read(ReadError),
    /// The health of a service that is not there.
    UnknownHealthService,
}

/// Why a downgrade is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DowngradeRefusal {
    /// The target is no version.
    WrongFormat,
    /// It is not one minor version below the cluster's.
    InvalidTarget,
    /// One is enabled.
    InProgress,
    /// Neither validated nor enabled nor canceled.
    UnknownAction,
}

impl From<DowngradeRefusal> for Error {
    fn from(refusal: DowngradeRefusal) -> Self {
        Self::Downgrade(refusal)
    }
}

impl From<tree::RowError> for Error {
    fn from(error: tree::RowError) -> Self {
        Self::Request(error.into())
    }
}

impl From<backup::Error> for Error {
    fn from(error: backup::Error) -> Self {
        Self::Request(match error {
            backup::Error::Store(error) => error,
            backup::Error::File(_) => mvcc::Error::Damaged("rows differ from one look to the next"),
        })
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Call(status)
    }
}

impl From<mvcc::Error> for Error {
    fn from(error: mvcc::Error) -> Self {
        Self::Request(error)
    }
}

impl From<ProposeError> for Error {
    fn from(error: ProposeError) -> Self {
        Self::Propose(error)
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Call(status) => status,
            // prost says more, but differently from Go; the words that clients of etcd know end here.
            Error::Undecodable(Answers::One) => Self::new(
                Code::Internal,
                "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data",
            ),
            Error::Undecodable(Answers::Many) => Self::new(
                Code::Internal,
                "grpc: failed to unmarshal the received message: proto: cannot parse invalid wire-format data",
            ),
            Error::Request(error) => of_request(&error),
            Error::RequestTooLarge => Self::new(Code::InvalidArgument, "etcdserver: request is too large"),
            Error::ResponseTooLarge(length) => Self::new(
                Code::ResourceExhausted,
                format!(
                    "grpc: trying to send message larger than max ({length} vs. {})",
                    crate::limits::RESPONSE_BYTES_MAX
                ),
            ),
            Error::InvalidClientApiVersion => {
                Self::new(Code::InvalidArgument, "etcdserver: invalid client api version")
            }
            Error::NotForLearner => Self::new(Code::FailedPrecondition, "etcdserver: rpc not supported for learner"),
            Error::NoLeader => Self::new(Code::Unavailable, NO_LEADER),
            Error::NotLeader => Self::new(Code::FailedPrecondition, "etcdserver: not leader"),
            Error::BadTransferee => Self::new(Code::FailedPrecondition, "etcdserver: bad leader transferee"),
            Error::Downgrade(refusal) => of_downgrade(refusal),
            Error::Propose(error) => of_proposal(&error),
            Error::Read(error) => of_read(error),
            Error::UnknownHealthService => Self::new(Code::NotFound, "unknown service"),
        }
    }
}

/// What a client would be told of a command that was not done, for the log.
pub fn text_of(error: ProposeError) -> String {
    Status::from(Error::Propose(error)).message.into_owned()
}

/// Also what `Status.errors` and `/health` say.
pub(super) const NO_LEADER: &str = "etcdserver: no leader";
const CORRUPT: &str = "etcdserver: corrupt cluster";
const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";
const TOO_MANY: &str = "etcdserver: too many requests";

fn of_request(error: &mvcc::Error) -> Status {
    use mvcc::Error as E;
    let (code, text) = match error {
        E::Compacted => (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted"),
        E::FutureRevision => (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision"),
        E::EmptyKey => (Code::InvalidArgument, "etcdserver: key is not provided"),
        E::KeyNotFound => (Code::InvalidArgument, "etcdserver: key not found"),
        E::ValueProvided => (Code::InvalidArgument, "etcdserver: value is provided"),
        E::LeaseProvided => (Code::InvalidArgument, "etcdserver: lease is provided"),
        E::LeaseNotFound => (Code::NotFound, "etcdserver: requested lease not found"),
        E::LeaseExists => (Code::FailedPrecondition, "etcdserver: lease already exists"),
        E::LeaseTtlTooLarge => (Code::OutOfRange, "etcdserver: too large lease TTL"),
        E::TooManyOps => (Code::InvalidArgument, "etcdserver: too many operations in txn request"),
        E::DuplicateKey => (Code::InvalidArgument, "etcdserver: duplicate key given in txn request"),
        E::InvalidSortOption => (Code::InvalidArgument, "etcdserver: invalid sort option"),
        E::StreamSortUnsupported => (Code::Unimplemented, "RangeStream does not support custom sort orders"),
        E::StreamFiltersUnsupported => (Code::Unimplemented, "RangeStream does not support revision filters"),
        E::NoSpace => (Code::ResourceExhausted, NO_SPACE),
        E::Corrupt => (Code::DataLoss, CORRUPT),
        E::TooManyAlarms => (Code::Unknown, TOO_MANY),
        // A page that fails its checks is never served; the member's log says which.
        E::Damaged(_) | E::Tree(_) => (Code::DataLoss, CORRUPT),
    };
    Status::new(code, text)
}

fn of_downgrade(refusal: DowngradeRefusal) -> Status {
    use DowngradeRefusal as R;
    let (code, text) = match refusal {
        R::WrongFormat => (Code::InvalidArgument, "etcdserver: wrong downgrade target version format"),
        R::InvalidTarget => (Code::InvalidArgument, "etcdserver: invalid downgrade target version"),
        R::InProgress => (Code::FailedPrecondition, "etcdserver: cluster has a downgrade job in progress"),
        R::UnknownAction => (Code::Unknown, "etcdserver: unknown method"),
    };
    Status::new(code, text)
}

fn of_proposal(error: &ProposeError) -> Status {
    match error {
        ProposeError::Request(error) => of_request(error),
        ProposeError::NoSpace => Status::new(Code::ResourceExhausted, NO_SPACE),
        // Unknown, not ResourceExhausted: so it goes over etcd's wire.
        ProposeError::TooManyRequests => Status::new(Code::Unknown, TOO_MANY),
        ProposeError::NoLeader => Status::new(Code::Unavailable, NO_LEADER),
        ProposeError::LeaderChanged => leader_changed(),
        ProposeError::Timeout(timeout) => timed_out(*timeout),
        ProposeError::Stopped => stopped(),
    }
}

fn of_read(error: ReadError) -> Status {
    match error {
        ReadError::NoLeader => Status::new(Code::Unavailable, NO_LEADER),
        ReadError::LeaderChanged => leader_changed(),
        ReadError::Timeout(timeout) => timed_out(timeout),
        ReadError::Stopped => stopped(),
    }
}

fn leader_changed() -> Status {
    Status::new(Code::Unavailable, "etcdserver: leader changed")
}

fn stopped() -> Status {
    Status::new(Code::Unavailable, "etcdserver: server stopped")
}

fn timed_out(timeout: Timeout) -> Status {
    let text = match timeout {
        Timeout::Plain => "etcdserver: request timed out",
        Timeout::LeaderFailed => "etcdserver: request timed out, possibly due to previous leader failure",
        Timeout::ConnectionLost => "etcdserver: request timed out, possibly due to connection lost",
    };
    Status::new(Code::Unavailable, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// etcd 3.7.1's table, for every error that these services have: name there, code, text.
    #[test]
    fn codes_and_texts_are_etcds() {
        use mvcc::Error as E;
        let request = |error| Error::Request(error);
        let table: [(Error, u8, &str); 35] = [
            (request(E::EmptyKey), 3, "etcdserver: key is not provided"),
            (request(E::KeyNotFound), 3, "etcdserver: key not found"),
            (request(E::ValueProvided), 3, "etcdserver: value is provided"),
            (request(E::LeaseProvided), 3, "etcdserver: lease is provided"),
            (request(E::TooManyOps), 3, "etcdserver: too many operations in txn request"),
            (request(E::DuplicateKey), 3, "etcdserver: duplicate key given in txn request"),
            (request(E::InvalidSortOption), 3, "etcdserver: invalid sort option"),
            (request(E::Compacted), 11, "etcdserver: mvcc: required revision has been compacted"),
            (request(E::FutureRevision), 11, "etcdserver: mvcc: required revision is a future revision"),
            (request(E::LeaseNotFound), 5, "etcdserver: requested lease not found"),
            (request(E::LeaseExists), 9, "etcdserver: lease already exists"),
            (request(E::LeaseTtlTooLarge), 11, "etcdserver: too large lease TTL"),
            (request(E::StreamSortUnsupported), 12, "RangeStream does not support custom sort orders"),
            (request(E::StreamFiltersUnsupported), 12, "RangeStream does not support revision filters"),
            (Error::InvalidClientApiVersion, 3, "etcdserver: invalid client api version"),
            (Error::RequestTooLarge, 3, "etcdserver: request is too large"),
            (Error::Propose(ProposeError::NoSpace), 8, "etcdserver: mvcc: database space exceeded"),
            (Error::Propose(ProposeError::TooManyRequests), 2, "etcdserver: too many requests"),
            (Error::NoLeader, 14, "etcdserver: no leader"),
            (Error::Read(ReadError::LeaderChanged), 14, "etcdserver: leader changed"),
            (Error::Read(ReadError::Stopped), 14, "etcdserver: server stopped"),
            (Error::Read(ReadError::Timeout(Timeout::Plain)), 14, "etcdserver: request timed out"),
            (
                Error::Propose(ProposeError::Timeout(Timeout::LeaderFailed)),
                14,
                "etcdserver: request timed out, possibly due to previous leader failure",
            ),
            (
                Error::Propose(ProposeError::Timeout(Timeout::ConnectionLost)),
                14,
                "etcdserver: request timed out, possibly due to connection lost",
            ),
            (request(E::Corrupt), 15, "etcdserver: corrupt cluster"),
            (request(E::NoSpace), 8, "etcdserver: mvcc: database space exceeded"),
            (request(E::TooManyAlarms), 2, "etcdserver: too many requests"),
            (Error::NotLeader, 9, "etcdserver: not leader"),
            (Error::BadTransferee, 9, "etcdserver: bad leader transferee"),
            (DowngradeRefusal::WrongFormat.into(), 3, "etcdserver: wrong downgrade target version format"),
            (DowngradeRefusal::InvalidTarget.into(), 3, "etcdserver: invalid downgrade target version"),
            (DowngradeRefusal::InProgress.into(), 9, "etcdserver: cluster has a downgrade job in progress"),
            (DowngradeRefusal::UnknownAction.into(), 2, "etcdserver: unknown method"),
            (Error::NotForLearner, 9, "etcdserver: rpc not supported for learner"),
            (Error::UnknownHealthService, 5, "unknown service"),
        ];
        for (error, code, text) in table {
            let status = Status::from(error.clone());
            assert_eq!((status.code.text(), &*status.message), (&*code.to_string(), text), "{error:?}");
        }
    }

    #[test]
    fn an_answer_that_is_too_large_is_refused_as_grpc_go_does() {
        let status = Status::from(Error::ResponseTooLarge(2_147_483_648));
        assert_eq!(status.code, Code::ResourceExhausted);
        assert_eq!(status.message, "grpc: trying to send message larger than max (2147483648 vs. 2147483647)");
    }
}
