//! The unencrypted byte with which an acceptor answers a handshake.
//!
//! This is the only part of the protocol that is the same in every major version, so that a node of any release
//! understands why another one refuses it.

use crate::event::CloseReason;

/// The handshake goes on; the second message follows.
pub const GO_ON: u8 = 0;

/// The unencrypted byte for a refusal; `None` for reasons that arise only once a connection is sealed.
pub fn refusal(reason: &CloseReason) -> Option<u8> {
    Some(match reason {
        CloseReason::Garbage => 1,
        CloseReason::Version => 2,
        CloseReason::WrongCookie => 3,
        CloseReason::TooManyHandshakes => 4,
        CloseReason::Replayed => 5,
        CloseReason::HandshakeTimeout => 6,
        CloseReason::TooLarge => 7,
        CloseReason::Left => 8,
        _ => return None,
    })
}

/// Every status of this or a later release is lower: a byte from here on comes from another service. Text
/// begins here.
pub const STATUS_LIMIT: u8 = 32;

/// The reason of an unencrypted byte; [`GO_ON`] and bytes of later releases give [`CloseReason::Unknown`].
pub fn refusal_reason(status: u8) -> CloseReason {
    match status {
        1 => CloseReason::Garbage,
        2 => CloseReason::Version,
        3 => CloseReason::WrongCookie,
        4 => CloseReason::TooManyHandshakes,
        5 => CloseReason::Replayed,
        6 => CloseReason::HandshakeTimeout,
        7 => CloseReason::TooLarge,
        8 => CloseReason::Left,
        _ => CloseReason::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_reads_back_as_its_reason() {
        for status in 1..=8 {
            assert_eq!(refusal(&refusal_reason(status)), Some(status));
        }
        for status in 9..=255 {
            assert_eq!(refusal_reason(status), CloseReason::Unknown);
        }
    }
}
