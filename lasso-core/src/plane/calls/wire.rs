//! CALL, ANSWER and REFUSED, byte by byte, as `docs/protocol.md` has them.
//!
//! 1. Whatever stands in a body, reading it gives a value or an error, and copies at most
//!    [`REJECT_BYTES_MAX`] bytes.
//! 2. A payload is not copied: it is the rest of the body that it came in.

use core::str;
use core::time::Duration;

use bytes::{Buf, Bytes};

use super::{METHOD_BYTES_MAX, REJECT_BYTES_MAX, Reject};
use crate::codec::{self, Malformed, VARINT_BYTES_MAX, kind, put_header, varint, varint_bytes};

/// A call that came, without its payload.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CallHead<'a> {
    /// What to answer under.
    pub(super) call: u64,
    /// How long the caller still waits.
    pub(super) remaining: Duration,
    pub(super) method: &'a str,
    /// Where the payload begins.
    pub(super) payload_at: usize,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The payload is the answer.
    Done(Bytes),
    NoSuchMethod,
    Overloaded,
    Rejected(Reject),
    /// The question could not be understood, and why.
    Malformed(String),
    /// The status of the answer is not known here. Never sent.
    Unknown(u8),
}

/// Writes what stands before the payload of a call, the frame's head included.
pub(super) fn put_call(
    out: &mut Vec<u8>,
    call: u64,
    remaining: Duration,
    method: &str,
    payload_bytes: usize,
) {
    let remaining_ms = millis_up(remaining);
    let fixed = varint_bytes(call) + varint_bytes(remaining_ms) + 1 + method.len();
    put_header(kind::CALL, fixed + payload_bytes, out);
    put_varint(call, out);
    put_varint(remaining_ms, out);
    out.push(u8::try_from(method.len()).expect("a method's name was checked"));
    out.extend_from_slice(method.as_bytes());
}

/// Reads a call up to its payload.
pub(super) fn read_call(body: &[u8]) -> Result<CallHead<'_>, Malformed> {
    let (call, rest) = varint(body)?;
    let (remaining_ms, rest) = varint(rest)?;
    let (&length, rest) = rest.split_first().ok_or(Malformed)?;
    let length = usize::from(length);
    if length == 0 || length > METHOD_BYTES_MAX {
        return Err(Malformed);
    }
    let (method, payload) = rest.split_at_checked(length).ok_or(Malformed)?;
    Ok(CallHead {
        call,
        remaining: Duration::from_millis(remaining_ms),
        method: str::from_utf8(method).map_err(|_| Malformed)?,
        payload_at: body.len() - payload.len(),
    })
}

/// Writes an answer for the calls lane, the frame's head included, but for the payload of
/// [`Verdict::Done`].
pub(super) fn put_answer(out: &mut Vec<u8>, call: u64, verdict: &Verdict) {
    put_verdict(kind::ANSWER, out, call, verdict);
}

/// Writes an answer without a payload for the control lane, a whole frame.
pub(super) fn put_refused(out: &mut Vec<u8>, call: u64, verdict: &Verdict) {
    debug_assert!(
        !matches!(verdict, Verdict::Done(_)),
        "a payload is no refusal"
    );
    put_verdict(kind::REFUSED, out, call, verdict);
}

fn put_verdict(kind: u8, out: &mut Vec<u8>, call: u64, verdict: &Verdict) {
    let fixed = varint_bytes(call) + 1;
    let (status, rest) = match verdict {
        Verdict::Done(payload) => (DONE, payload.len()),
        Verdict::NoSuchMethod => (NO_SUCH_METHOD, 0),
        Verdict::Overloaded => (OVERLOADED, 0),
        Verdict::Rejected(reject) => (REJECTED, CODE_BYTES + cut(&reject.message).len()),
        Verdict::Malformed(problem) => (MALFORMED, cut(problem).len()),
        Verdict::Unknown(status) => (*status, 0),
    };
    put_header(kind, fixed + rest, out);
    put_varint(call, out);
    out.push(status);
    match verdict {
        Verdict::Rejected(reject) => {
            out.extend_from_slice(&reject.code.to_be_bytes());
            out.extend_from_slice(cut(&reject.message).as_bytes());
        }
        Verdict::Malformed(problem) => out.extend_from_slice(cut(problem).as_bytes()),
        _ => {}
    }
}

/// Reads the body of an answer, from whichever lane: the call, and what it says.
pub(super) fn read_answer(mut body: Bytes) -> Result<(u64, Verdict), Malformed> {
    let (call, rest) = varint(&body)?;
    let (&status, rest) = rest.split_first().ok_or(Malformed)?;
    let verdict = match status {
        DONE => {
            let payload_at = body.len() - rest.len();
            body.advance(payload_at);
            Verdict::Done(body)
        }
        NO_SUCH_METHOD => Verdict::NoSuchMethod,
        OVERLOADED => Verdict::Overloaded,
        REJECTED => {
            let (code, message) = rest.split_first_chunk().ok_or(Malformed)?;
            let message = str::from_utf8(message).map_err(|_| Malformed)?;
            Verdict::Rejected(Reject {
                code: u32::from_be_bytes(*code),
                message: cut(message).to_owned(),
            })
        }
        MALFORMED => {
            let problem = str::from_utf8(rest).map_err(|_| Malformed)?;
            Verdict::Malformed(cut(problem).to_owned())
        }
        status => Verdict::Unknown(status),
    };
    Ok((call, verdict))
}

/// The part of a message that is told.
pub(super) fn cut(message: &str) -> &str {
    if message.len() <= REJECT_BYTES_MAX {
        return message;
    }
    let mut end = REJECT_BYTES_MAX;
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

/// Rounded up, so that a deadline that has not come yet is never told as passed.
fn millis_up(remaining: Duration) -> u64 {
    let nanos = remaining.as_nanos();
    u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn put_varint(number: u64, out: &mut Vec<u8>) {
    let mut bytes = [0; VARINT_BYTES_MAX];
    let length = codec::put_varint(number, &mut bytes);
    out.extend_from_slice(&bytes[..length]);
}

const DONE: u8 = 0;
const NO_SUCH_METHOD: u8 = 1;
const OVERLOADED: u8 = 2;
const REJECTED: u8 = 3;
const MALFORMED: u8 = 4;

const CODE_BYTES: usize = 4;
/// What stands before the payload of a call, at most: two numbers, and the method with its length.
const CALL_FIXED_MAX: usize = 2 * VARINT_BYTES_MAX + 1 + METHOD_BYTES_MAX;
const _: () = assert!(
    CALL_FIXED_MAX <= crate::link::BULK_HEAD_BYTES,
    "a link takes a call whose payload is as large as a message may be"
);
