//! How a call ended: gRPC's codes, and the message that goes with them.
//!
//! Invariants
//! - A message is carried as it is; what the wire may not hold of it is escaped when it is sent.
//!
//! Must not know: which errors a server has; it only gets the result of that mapping.

use std::borrow::Cow;

/// gRPC's status codes, by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Code {
    /// The call did what it was asked.
    Ok = 0,
    /// The caller gave up.
    Canceled = 1,
    /// An error without a code of its own.
    Unknown = 2,
    /// The request is wrong whatever the state of the server.
    InvalidArgument = 3,
    /// The caller's deadline passed first.
    DeadlineExceeded = 4,
    /// Something that was asked for is not there.
    NotFound = 5,
    /// Something that was to be made is there.
    AlreadyExists = 6,
    /// The caller may not do this.
    PermissionDenied = 7,
    /// A quota or a limit is used up.
    ResourceExhausted = 8,
    /// The server's state does not allow it.
    FailedPrecondition = 9,
    /// A conflict with another call.
    Aborted = 10,
    /// Beyond the valid range.
    OutOfRange = 11,
    /// No such method, or not of this server.
    Unimplemented = 12,
    /// A rule of the protocol or of the server was broken.
    Internal = 13,
    /// Not now; another server, or a later moment, may do.
    Unavailable = 14,
    /// Data was lost or is corrupt.
    DataLoss = 15,
    /// The caller did not say who it is.
    Unauthenticated = 16,
}

impl Code {
    /// The number.
    pub fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Canceled => 1,
            Self::Unknown => 2,
            Self::InvalidArgument => 3,
            Self::DeadlineExceeded => 4,
            Self::NotFound => 5,
            Self::AlreadyExists => 6,
            Self::PermissionDenied => 7,
            Self::ResourceExhausted => 8,
            Self::FailedPrecondition => 9,
            Self::Aborted => 10,
            Self::OutOfRange => 11,
            Self::Unimplemented => 12,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::DataLoss => 15,
            Self::Unauthenticated => 16,
        }
    }

    /// The number as the trailer has it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Ok => "0",
            Self::Canceled => "1",
            Self::Unknown => "2",
            Self::InvalidArgument => "3",
            Self::DeadlineExceeded => "4",
            Self::NotFound => "5",
            Self::AlreadyExists => "6",
            Self::PermissionDenied => "7",
            Self::ResourceExhausted => "8",
            Self::FailedPrecondition => "9",
            Self::Aborted => "10",
            Self::OutOfRange => "11",
            Self::Unimplemented => "12",
            Self::Internal => "13",
            Self::Unavailable => "14",
            Self::DataLoss => "15",
            Self::Unauthenticated => "16",
        }
    }
}

/// A code and its message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// The code.
    pub code: Code,
    /// What people read; clients of some servers match on it.
    pub message: Cow<'static, str>,
}

impl Status {
    /// A status with a message.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// Success.
    pub const OK: Self = Self { code: Code::Ok, message: Cow::Borrowed("") };

    /// The client reset the stream or its connection ended.
    pub const CANCELED: Self = Self { code: Code::Canceled, message: Cow::Borrowed("context canceled") };

    /// The deadline of the call passed.
    pub const DEADLINE_EXCEEDED: Self =
        Self { code: Code::DeadlineExceeded, message: Cow::Borrowed("context deadline exceeded") };
}

/// `message` as the `grpc-message` trailer may hold it: printable ASCII but `%` stays, every other byte becomes `%XX`.
pub(super) fn percent_encoded(message: &str) -> Cow<'_, str> {
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'%';
    if message.bytes().all(plain) {
        return Cow::Borrowed(message);
    }
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut encoded = String::with_capacity(message.len() + 16);
    for byte in message.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(HEX[usize::from(byte >> 4)]);
            encoded.push(HEX[usize::from(byte & 15)]);
        }
    }
    Cow::Owned(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_escaped_as_grpc_go_does() {
        assert_eq!(percent_encoded("etcdserver: key is not provided"), "etcdserver: key is not provided");
        assert!(matches!(percent_encoded("plain"), Cow::Borrowed(_)));
        assert_eq!(percent_encoded("100%\n"), "100%25%0A");
        assert_eq!(percent_encoded("grün"), "gr%C3%BCn");
    }

    #[test]
    fn codes_are_numbered_in_order() {
        assert_eq!(Code::Ok.text(), "0");
        assert_eq!(Code::Unauthenticated.text(), "16");
        assert_eq!(Code::OutOfRange.text(), "11");
    }
}
