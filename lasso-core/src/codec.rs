//! How frames become bytes and come back.
//!
//! A frame is a kind (one byte), the length of its body (1 to 4 bytes, seven bits each, least
//! significant first, the top bit set on all but the last), and the body. Control frames have
//! MessagePack maps with named fields as bodies; the few others are laid out by hand.
//!
//! 1. Any input decodes to a value or an error, within a stack and a heap that the input's own
//!    length bounds. A control frame has at most [`CONTROL_BYTES_MAX`] bytes, and each of its lists a most
//!    of its own, which is checked before the first element is read.
//! 2. A kind, a field or a reason that this release does not know is skipped, not an error.
//!
//! What it does not do: it does not cut frames into records and puts none together; that is
//! [`crate::link`].
//!
//! ```
//! use lasso_core::codec::{decode, encode, split};
//! use lasso_core::frame::Frame;
//!
//! let mut bytes = Vec::new();
//! encode(&Frame::Ping(7), &mut bytes);
//! let (frame, rest) = split(&bytes)?;
//! assert_eq!(decode(frame)?, Some(Frame::Ping(7)));
//! assert!(rest.is_empty());
//! # Ok::<(), lasso_core::codec::Malformed>(())
//! ```

pub mod depth;
mod pubsub;
#[cfg(test)]
pub(crate) mod tests;
mod varint;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use varint::{VARINT_BYTES_MAX, put_varint, varint, varint_bytes};

use crate::bounded::AtMost;
use crate::event::CloseReason;
use crate::frame::{Frame, KNOWN_MAX, PubSubFrame, TopologyFrame, VIEW_MAX};
use crate::name::{Basename, Description, Incarnation, Label, NodeName};

/// Bytes that are no frame of this protocol. The peer's fault: a member that breaks the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed frame")]
pub struct Malformed;

/// Longest body of a control frame, which is every kind below [`kind::BULK_MIN`]: room for a view of a
/// thousand nodes with long names, and read in far less than 5 ms whatever is in it.
pub const CONTROL_BYTES_MAX: usize = 64 << 10;

/// A frame's kind and body, not looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawFrame<'a> {
    /// What it is.
    pub kind: u8,
    /// What it says.
    pub body: &'a [u8],
}

/// The kinds of this release.
pub mod kind {
    /// [`Frame::Hello`](crate::frame::Frame::Hello).
    pub const HELLO: u8 = 1;
    /// [`Frame::Offer`](crate::frame::Frame::Offer).
    pub const OFFER: u8 = 2;
    /// [`Frame::Adopt`](crate::frame::Frame::Adopt).
    pub const ADOPT: u8 = 3;
    /// [`Frame::Close`](crate::frame::Frame::Close).
    pub const CLOSE: u8 = 4;
    /// [`Frame::Heartbeat`](crate::frame::Frame::Heartbeat).
    pub const HEARTBEAT: u8 = 5;
    /// [`Frame::Ping`](crate::frame::Frame::Ping).
    pub const PING: u8 = 6;
    /// [`Frame::Pong`](crate::frame::Frame::Pong).
    pub const PONG: u8 = 7;
    /// [`Frame::Taken`](crate::frame::Frame::Taken).
    pub const TAKEN: u8 = 9;
    /// A piece of a frame that is larger than a record.
    pub const PIECE: u8 = 8;
    /// [`TopologyFrame::Describe`](crate::frame::TopologyFrame::Describe).
    pub const DESCRIBE: u8 = 16;
    /// [`TopologyFrame::Description`](crate::frame::TopologyFrame::Description).
    pub const DESCRIPTION: u8 = 17;
    /// [`TopologyFrame::Ready`](crate::frame::TopologyFrame::Ready).
    pub const READY: u8 = 18;
    /// [`TopologyFrame::Check`](crate::frame::TopologyFrame::Check).
    pub const CHECK: u8 = 19;
    /// [`TopologyFrame::Health`](crate::frame::TopologyFrame::Health).
    pub const HEALTH: u8 = 20;
    /// From here on frames are the data plane's.
    pub const PLANE_MIN: u8 = 32;
    /// [`PubSubFrame::Interest`](crate::frame::PubSubFrame::Interest). Control lane.
    pub const INTEREST: u8 = 32;
    /// [`PubSubFrame::Streams`](crate::frame::PubSubFrame::Streams). Control lane.
    pub const STREAMS: u8 = 33;
    /// [`PubSubFrame::Missed`](crate::frame::PubSubFrame::Missed). Control lane.
    pub const MISSED: u8 = 34;
    /// A call that was not taken; laid out as an answer. Control lane.
    pub const REFUSED: u8 = 35;
    /// [`PubSubFrame::InterestRefused`](crate::frame::PubSubFrame::InterestRefused). Control lane.
    pub const INTEREST_REFUSED: u8 = 36;
    /// From here on frames are in the lanes for calls and data: a record that begins with one holds
    /// no others.
    pub const BULK_MIN: u8 = 40;
    /// One message of a topic; laid out by hand. Data lane.
    pub const MESSAGE: u8 = 40;
    /// A call; laid out by hand. Calls lane.
    pub const CALL: u8 = 48;
    /// The answer to a call; laid out by hand. Calls lane.
    pub const ANSWER: u8 = 49;
}

/// Appends a frame.
///
/// # Panics
/// When a frame has 256 MiB or more: a bug of the caller, whose bound is
/// [`message_bytes_max`](crate::config::LinkSettings::message_bytes_max).
pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    match frame {
        Frame::Hello(hello) => put_map(kind::HELLO, hello, out),
        Frame::Offer => put(kind::OFFER, &[], out),
        Frame::Adopt => put(kind::ADOPT, &[], out),
        Frame::Close(reason) => put_map(kind::CLOSE, &CloseBody::of(reason), out),
        Frame::Heartbeat => put(kind::HEARTBEAT, &[], out),
        Frame::Ping(number) => put(kind::PING, &number.to_be_bytes(), out),
        Frame::Pong(number) => put(kind::PONG, &number.to_be_bytes(), out),
        Frame::Taken(total) => put(kind::TAKEN, &total.to_be_bytes(), out),
        Frame::Topology(frame) => encode_topology(frame, out),
        Frame::PubSub(frame) => pubsub::encode(frame, out),
    }
}

fn encode_topology(frame: &TopologyFrame, out: &mut Vec<u8>) {
    match frame {
        TopologyFrame::Describe { id } => put_map(kind::DESCRIBE, &DescribeBody { id: *id }, out),
        TopologyFrame::Description {
            id,
            description,
            ready,
        } => {
            let body = DescriptionBody {
                id: *id,
                description,
                ready: *ready,
            };
            put_map(kind::DESCRIPTION, &body, out);
        }
        TopologyFrame::Ready(ready) => put_map(kind::READY, &ReadyBody { ready: *ready }, out),
        TopologyFrame::Check { id, known } => {
            put_map(
                kind::CHECK,
                &CheckBody {
                    id: *id,
                    known: known.as_deref(),
                },
                out,
            );
        }
        TopologyFrame::Health {
            id,
            ready,
            view_hash,
            view,
        } => {
            let body = HealthBody {
                id: *id,
                ready: *ready,
                view_hash: *view_hash,
                view: view.as_deref(),
            };
            put_map(kind::HEALTH, &body, out);
        }
    }
}

/// Takes the first frame off, without a look into its body.
///
/// # Errors
/// [`Malformed`]: no whole frame is there.
pub fn split(bytes: &[u8]) -> Result<(RawFrame<'_>, &[u8]), Malformed> {
    let (kind, length, rest) = header(bytes).ok_or(Malformed)?;
    let (body, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
    Ok((RawFrame { kind, body }, rest))
}

/// Reads a frame; `None` for a kind that this release does not know.
///
/// # Errors
/// [`Malformed`]: the body is not what its kind has, or a control frame is too long.
pub fn decode(frame: RawFrame<'_>) -> Result<Option<Frame>, Malformed> {
    let body = frame.body;
    if frame.kind < kind::BULK_MIN && body.len() > CONTROL_BYTES_MAX {
        return Err(Malformed);
    }
    Ok(Some(match frame.kind {
        kind::HELLO => Frame::Hello(map(body)?),
        kind::OFFER => Frame::Offer,
        kind::ADOPT => Frame::Adopt,
        kind::CLOSE => Frame::Close(map::<CloseBody>(body)?.reason()),
        kind::HEARTBEAT => Frame::Heartbeat,
        kind::PING => Frame::Ping(number(body)?),
        kind::PONG => Frame::Pong(number(body)?),
        kind::TAKEN => Frame::Taken(number(body)?),
        kind::DESCRIBE => {
            let DescribeBody { id } = map(body)?;
            Frame::Topology(TopologyFrame::Describe { id })
        }
        kind::DESCRIPTION => {
            let DescriptionBody::<Description> {
                id,
                description,
                ready,
            } = map(body)?;
            description.validate().map_err(|_| Malformed)?;
            Frame::Topology(TopologyFrame::Description {
                id,
                description,
                ready,
            })
        }
        kind::READY => {
            let ReadyBody { ready } = map(body)?;
            Frame::Topology(TopologyFrame::Ready(ready))
        }
        kind::CHECK => {
            let CheckBody { id, known } = map::<CheckBody<AtMost<u64, KNOWN_MAX>>>(body)?;
            let known = known.map(|AtMost(known)| known);
            Frame::Topology(TopologyFrame::Check { id, known })
        }
        kind::HEALTH => {
            let HealthBody {
                id,
                ready,
                view_hash,
                view,
            } = map::<HealthBody<AtMost<NodeName, VIEW_MAX>>>(body)?;
            let view = view.map(|AtMost(view)| view);
            Frame::Topology(TopologyFrame::Health {
                id,
                ready,
                view_hash,
                view,
            })
        }
        kind::INTEREST | kind::STREAMS | kind::MISSED => Frame::PubSub(pubsub::decode(frame)?),
        kind::INTEREST_REFUSED => Frame::PubSub(PubSubFrame::InterestRefused),
        _ => return Ok(None),
    }))
}

/// Appends a frame of this kind and body.
pub(crate) fn put(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    put_header(kind, body.len(), out);
    out.extend_from_slice(body);
}

/// Appends the head of a frame, whose body of `length` bytes is to follow.
pub(crate) fn put_header(kind: u8, mut length: usize, out: &mut Vec<u8>) {
    assert!(
        length < LENGTH_LIMIT,
        "a frame of {length} bytes was not refused by its sender"
    );
    out.push(kind);
    while length >= 0x80 {
        out.push(0x80 | (length & 0x7f) as u8);
        length >>= 7;
    }
    out.push(length as u8);
}

/// Kind and length of body of the frame that begins here, and what follows its head; `None` when
/// the head is cut off or its length has more than four bytes.
pub(crate) fn header(bytes: &[u8]) -> Option<(u8, usize, &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let mut length = 0;
    for (at, byte) in rest.iter().take(LENGTH_BYTES_MAX).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((kind, length, &rest[at + 1..]));
        }
    }
    None
}

fn put_map(kind: u8, body: &impl Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    put_header(kind, 0, out);
    let body_start = out.len();
    rmp_serde::encode::write_named(out, body).expect("wire types have no values without a form");
    let length = out.len() - body_start;
    if length < 0x80 {
        // What nearly every frame has: one byte of length, which is there already.
        out[body_start - 1] = length as u8;
    } else {
        let mut head = Vec::with_capacity(1 + LENGTH_BYTES_MAX);
        put_header(kind, length, &mut head);
        out.splice(start..body_start, head);
    }
}

fn map<T: DeserializeOwned>(body: &[u8]) -> Result<T, Malformed> {
    let mut decoder = rmp_serde::Deserializer::from_read_ref(body);
    decoder.set_max_depth(DEPTH_MAX);
    T::deserialize(&mut decoder).map_err(|_| Malformed)
}

fn number(body: &[u8]) -> Result<u64, Malformed> {
    body.first_chunk()
        .map(|bytes| u64::from_be_bytes(*bytes))
        .ok_or(Malformed)
}

#[derive(Serialize, Deserialize)]
struct CloseBody {
    reason: String,
    theirs: Option<String>,
    known: Option<u64>,
}

impl CloseBody {
    fn of(reason: &CloseReason) -> Self {
        let (theirs, known) = match reason {
            CloseReason::OtherCluster { theirs } => (Some(theirs.to_string()), None),
            CloseReason::OtherBasename { theirs } => (Some(theirs.to_string()), None),
            CloseReason::StaleIncarnation { known } => (None, Some(known.0)),
            _ => (None, None),
        };
        CloseBody {
            reason: reason.name().to_owned(),
            theirs,
            known,
        }
    }

    /// A reason that is not known, or lacks what belongs to it, is still a reason to close.
    fn reason(&self) -> CloseReason {
        let theirs = self.theirs.as_deref();
        let named = match self.reason.as_str() {
            "other_cluster" => theirs
                .and_then(|text| Label::new("cluster name", text).ok())
                .map(|theirs| CloseReason::OtherCluster { theirs }),
            "other_basename" => theirs
                .and_then(|text| Basename::new(text).ok())
                .map(|theirs| CloseReason::OtherBasename { theirs }),
            // A node that is told so goes on above it: nobody is led to where all would refuse it.
            "stale_incarnation" => self
                .known
                .map(Incarnation)
                .filter(|known| *known <= Incarnation::MAX)
                .map(|known| CloseReason::StaleIncarnation { known }),
            name => PLAIN_REASONS
                .iter()
                .find(|reason| reason.name() == name)
                .cloned(),
        };
        named.unwrap_or(CloseReason::Unknown)
    }
}

#[derive(Serialize, Deserialize)]
struct DescribeBody {
    id: u64,
}

#[derive(Serialize, Deserialize)]
struct DescriptionBody<D> {
    id: u64,
    description: D,
    ready: bool,
}

#[derive(Serialize, Deserialize)]
struct ReadyBody {
    ready: bool,
}

#[derive(Serialize, Deserialize)]
struct CheckBody<K> {
    id: u64,
    known: Option<K>,
}

#[derive(Serialize, Deserialize)]
struct HealthBody<V> {
    id: u64,
    ready: bool,
    view_hash: u64,
    view: Option<V>,
}

/// Every reason that is told by its name alone.
const PLAIN_REASONS: [CloseReason; 25] = [
    CloseReason::Garbage,
    CloseReason::NotLasso,
    CloseReason::Version,
    CloseReason::NoCommonVersion,
    CloseReason::WrongCookie,
    CloseReason::BadRecord,
    CloseReason::Replayed,
    CloseReason::HandshakeTimeout,
    CloseReason::TooManyHandshakes,
    CloseReason::Full,
    CloseReason::TooLarge,
    CloseReason::BadAddress,
    CloseReason::Myself,
    CloseReason::NameTaken,
    CloseReason::Duplicate,
    CloseReason::Superseded,
    CloseReason::Replaced,
    CloseReason::Silent,
    CloseReason::ControlLaneFull,
    CloseReason::Left,
    CloseReason::Renumbered,
    CloseReason::Transport,
    CloseReason::ConnectTimeout,
    CloseReason::Overlap,
    CloseReason::Unknown,
];
/// 28 bits: more than any legal message.
const LENGTH_BYTES_MAX: usize = 4;
/// Kind and length.
pub(crate) const HEAD_BYTES_MAX: usize = 1 + LENGTH_BYTES_MAX;
const LENGTH_LIMIT: usize = 1 << (7 * LENGTH_BYTES_MAX);
/// Deeper than any wire type; what is skipped is skipped by recursion.
const DEPTH_MAX: usize = 32;
