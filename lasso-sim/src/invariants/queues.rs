//! Invariant 12: every queue is within its bound, and what was taken = handed on + shed + held.
//!
//! For the queues of subscribers this is held against what the node counted as put into all of
//! them, and as shed from them; for the lanes of links against what was sealed and what waits.

use core::fmt;
use std::collections::BTreeMap;

use lasso_core::link::{LaneCount, LaneId};
use lasso_core::name::NodeName;
use lasso_core::plane::QueueAudit;

use super::Found;
use super::cast::Cast;
use crate::app::Saw;
use crate::scenario::NodeId;

const NUMBER: u32 = 12;
/// The lanes of a link.
pub(super) const LANES: [LaneId; 3] = [LaneId::Control, LaneId::Calls, LaneId::Data];
/// An empty lane takes one message of any legal size, with its head; the control lane takes the last
/// frame of a link in any case.
const HEAD_MAX: u64 = 64 << 10;

/// Where everything went that the queues of one node took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audits {
    /// Of each subscription that stands, by its number.
    pub subscribers: BTreeMap<u64, QueueAudit>,
    /// Messages put into subscribers' queues, as the node counts them.
    pub delivered: u64,
    /// Messages that gave way there, likewise.
    pub overflowed: u64,
    /// By peer and lane, in bytes.
    pub lanes: Vec<(NodeName, LaneId, LaneCount)>,
}

#[derive(Debug, Default)]
struct Row {
    version: u64,
    last: Audits,
    /// The longest queue that was asked for.
    longest: usize,
    /// Some subscription has ended since the last look.
    ended: bool,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Queues(Vec<Row>);

impl Queues {
    pub(super) fn new(nodes: usize) -> Self {
        Queues((0..nodes).map(|_| Row::default()).collect())
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.0[node.index()] = Row::default();
    }

    pub(super) fn saw(&mut self, node: NodeId, saw: &Saw) {
        let row = &mut self.0[node.index()];
        match saw {
            Saw::Subscribed { queue, .. } => row.longest = row.longest.max(queue.unwrap_or(0)),
            Saw::Unsubscribed { .. } => row.ended = true,
            _ => {}
        }
    }

    /// Whether a node may have taken anything since the last look; takes note of it.
    pub(super) fn is_new(&mut self, node: NodeId, version: u64) -> bool {
        core::mem::replace(&mut self.0[node.index()].version, version) != version
    }

    pub(super) fn look(
        &mut self,
        cast: &Cast,
        node: NodeId,
        audits: Audits,
        found: &mut Vec<Found>,
    ) {
        let (row, actor) = (&mut self.0[node.index()], cast.actor(node));
        let bound = actor.queue_max.max(row.longest) as u64;
        let mut wrong = |what: fmt::Arguments<'_>| {
            found.push((NUMBER, format!("{what}, at {}", actor.name)));
        };
        for (id, queue) in &audits.subscribers {
            if queue.taken != queue.read + queue.shed + queue.held {
                wrong(format_args!(
                    "a subscriber's queue does not add up: {id} {queue:?}"
                ));
            }
            if queue.held > bound {
                wrong(format_args!(
                    "a queue of {bound} holds more: {id} {queue:?}"
                ));
            }
        }
        for (what, put, of) in [
            (
                "taken",
                audits.delivered - row.last.delivered,
                taken as fn(&_) -> _,
            ),
            ("shed", audits.overflowed - row.last.overflowed, shed),
        ] {
            let grown = growth(&row.last, &audits, of);
            let ids = row.last.subscribers.keys();
            let all_there = !row.ended
                && ids
                    .into_iter()
                    .all(|id| audits.subscribers.contains_key(id));
            if grown > put || all_there && grown < put {
                wrong(format_args!(
                    "{put} messages were {what}, and the queues say {grown}"
                ));
            }
        }
        for (peer, lane, count) in &audits.lanes {
            if count.taken != count.sent + count.held {
                wrong(format_args!(
                    "the {lane:?} lane to {peer} does not add up: {count:?}"
                ));
            }
            let most = actor.lane_bytes[*lane as usize].max(actor.message_bytes_max) + HEAD_MAX;
            if count.held > most {
                wrong(format_args!(
                    "the {lane:?} lane to {peer} holds more than {most}: {count:?}"
                ));
            }
        }
        row.ended = false;
        row.last = audits;
    }
}

fn taken(queue: &QueueAudit) -> u64 {
    queue.taken
}

fn shed(queue: &QueueAudit) -> u64 {
    queue.shed
}

/// By how much a number of all queues has grown.
fn growth(before: &Audits, now: &Audits, of: fn(&QueueAudit) -> u64) -> u64 {
    let queues = now.subscribers.iter();
    let grown = queues.map(|(id, queue)| {
        let before = before.subscribers.get(id).map_or(0, of);
        of(queue).saturating_sub(before)
    });
    grown.sum()
}
