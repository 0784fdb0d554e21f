//! Invariant 12: every queue is within its bound, and taken = handed on + shed + held; nothing is shed or
//! refused while there is room. The losses of a queue = those reported + those still to report. Control goes
//! before calls, and calls before data.
//!
//! A queue counts the items it takes separately from what it does with them. For the queues of subscribers this
//! number is compared with the node's counters of queued and shed messages; for the lanes of links, with the
//! sealed and the waiting bytes. All of these only grow, and each queue keeps the most that it ever held, so
//! that nothing is missed between two checks.

use core::fmt;
use std::collections::BTreeSet;

use lasso_core::config::Settings;
use lasso_core::link::{LaneCount, LaneId};
use lasso_core::name::NodeName;
use lasso_core::plane::QueueAudit;

use super::Knowledge;
use super::invariant::{Changes, Entry, Invariant, Moment};
use crate::app::Saw;
use crate::scenario::NodeSpec;

pub(super) const ENTRY: Entry = Entry {
    number: 12,
    name: "queues",
    make: |nodes| Box::new(Queues((0..nodes).map(|_| Row::default()).collect())),
};
/// The lanes of a link.
pub(super) const LANES: [LaneId; 3] = [LaneId::Control, LaneId::Calls, LaneId::Data];
/// A message's head in its frame, and the last frame of a link, are shorter.
const HEAD_MAX: u64 = 64 << 10;

/// The audits of all queues of one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audits {
    /// One for each present subscription, with its number, in order. Not a map: with thousands of subscribers,
    /// look-ups after every event would take most of a run.
    pub subscribers: Vec<(u64, QueueAudit)>,
    /// Messages put into subscribers' queues, as the node counts them.
    pub delivered: u64,
    /// Messages that gave way there, as the node counts them.
    pub overflowed: u64,
    /// By peer and lane, in bytes.
    pub lanes: Vec<(NodeName, LaneId, LaneCount)>,
}

#[derive(Debug, Default)]
struct Row {
    last: Audits,
    /// The lengths of queues that subscribers requested.
    asked: BTreeSet<u64>,
    /// Some subscription has begun or ended since the last check. It may be gone already, with messages that no
    /// queue shows.
    changed: bool,
}

/// See the module's text.
#[derive(Debug)]
struct Queues(Vec<Row>);

impl Invariant for Queues {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        self.0[at.node.index()] = Row::default();
    }

    fn saw(&mut self, at: &mut Moment<'_>, saw: &Saw) {
        let row = &mut self.0[at.node.index()];
        match saw {
            Saw::Subscribed { queue, .. } => {
                row.asked.extend(queue.map(|queue| queue.max(1) as u64));
                row.changed = true;
            }
            Saw::Unsubscribed { .. } => row.changed = true,
            _ => {}
        }
    }

    fn after(&mut self, at: &mut Moment<'_>, known: &dyn Knowledge, changes: &Changes<'_>) {
        if changes.queues {
            self.look(at, known.audits());
        }
    }
}

impl Queues {
    fn look(&mut self, at: &mut Moment<'_>, audits: Audits) {
        let unseen = at.facts.cast.has_strange_applications();
        let (row, actor) = (&mut self.0[at.node.index()], at.facts.cast.actor(at.node));
        let mut demand = |holds: bool, text: fmt::Arguments<'_>| {
            at.demand(holds, || format!("{text}, at {}", actor.name));
        };
        for (id, queue) in &audits.subscribers {
            if unseen {
                // The application may have requested a queue of any length.
                row.asked.insert(queue.bound);
            }
            subscriber(*id, queue, &row.asked, &actor.settings, &mut demand);
        }
        let growth = Growth::between(&row.last.subscribers, &audits.subscribers);
        let all_there = !row.changed && growth.all_there && !unseen;
        let put = audits.delivered - row.last.delivered;
        let gave_way = audits.overflowed - row.last.overflowed;
        for (what, put, grown) in [
            ("taken", put, growth.taken),
            ("shed", gave_way, growth.shed),
        ] {
            demand(
                grown == put || grown < put && !all_there,
                format_args!("{put} messages were {what}, and the queues say {grown}"),
            );
        }
        for (peer, lane, count) in &audits.lanes {
            self::lane(peer, *lane, count, &actor.settings, &mut demand);
        }
        row.changed = false;
        row.last = audits;
    }
}

/// The conditions for the queue of a subscriber.
fn subscriber(
    id: u64,
    queue: &QueueAudit,
    asked: &BTreeSet<u64>,
    settings: &Settings,
    demand: &mut impl FnMut(bool, fmt::Arguments<'_>),
) {
    let bound = queue.bound;
    demand(
        queue.taken == queue.read + queue.shed + queue.held,
        format_args!("a subscriber's queue does not add up: {id} {queue:?}"),
    );
    demand(
        queue.bytes_taken == queue.bytes_read + queue.bytes_shed + queue.bytes_held,
        format_args!("the bytes of a subscriber's queue do not add up: {id} {queue:?}"),
    );
    demand(
        bound == settings.pubsub.queue_max as u64 || asked.contains(&bound),
        format_args!("nobody asked for a queue of {bound}: {id}"),
    );
    demand(
        queue.held <= bound && queue.most <= bound,
        format_args!("a queue of {bound} has held more: {id} {queue:?}"),
    );
    let (bytes, message) = (
        settings.pubsub.queue_bytes_max as u64,
        settings.link.message_bytes_max as u64,
    );
    demand(
        queue.most_bytes <= bytes,
        format_args!("a queue of {bytes} bytes has held more: {id} {queue:?}"),
    );
    // A liar may report more losses than a number can hold; the queue stops counting at the greatest number.
    let missed = queue.missed_read.saturating_add(queue.missed_held);
    demand(
        queue.missed == missed && queue.missed >= queue.shed,
        format_args!("what a subscriber must be told of as missed does not add up: {id} {queue:?}"),
    );
    // `most_bytes` ignores a message that is alone in the queue: the next one may not fit beside it.
    let was_full = queue.most == bound || queue.most_bytes.max(message) + message > bytes;
    demand(
        queue.shed == 0 || was_full,
        format_args!("messages gave way in a queue that was never full: {id} {queue:?}"),
    );
}

/// The conditions for a lane of a link. An empty one takes one frame of any legal size, and the control lane
/// takes the last frame of a link in any case.
fn lane(
    peer: &NodeName,
    lane: LaneId,
    count: &LaneCount,
    settings: &Settings,
    demand: &mut impl FnMut(bool, fmt::Arguments<'_>),
) {
    let (link, most) = (&settings.link, count.held.max(count.most));
    let bound = match lane {
        LaneId::Control => link.control_lane_bytes,
        LaneId::Calls => link.calls_lane_bytes,
        LaneId::Data => link.data_lane_bytes,
    } as u64;
    demand(
        count.taken == count.sent + count.held,
        format_args!("the {lane:?} lane to {peer} does not add up: {count:?}"),
    );
    demand(
        count.most <= bound,
        format_args!("the {lane:?} lane to {peer} has held more than {bound}: {count:?}"),
    );
    let alone = bound.max(link.message_bytes_max as u64) + HEAD_MAX;
    demand(
        most <= alone,
        format_args!("the {lane:?} lane to {peer} has held more than {alone}: {count:?}"),
    );
    demand(
        count.overtaken == 0,
        format_args!(
            "records of later lanes went in front of the {lane:?} lane to {peer}: {count:?}"
        ),
    );
    demand(
        count.least_refused.is_none_or(|would| would > bound),
        format_args!("the {lane:?} lane to {peer} of {bound} has refused with room: {count:?}"),
    );
}

/// The growth of the counts of all queues.
struct Growth {
    taken: u64,
    shed: u64,
    /// Whether all earlier queues are still there.
    all_there: bool,
}

impl Growth {
    /// Both in the order of their numbers.
    fn between(before: &[(u64, QueueAudit)], now: &[(u64, QueueAudit)]) -> Self {
        let mut growth = Growth {
            taken: 0,
            shed: 0,
            all_there: true,
        };
        let mut before = before.iter().peekable();
        for (id, queue) in now {
            while before.next_if(|(gone, _)| gone < id).is_some() {
                growth.all_there = false;
            }
            let (taken, shed) = before
                .next_if(|(same, _)| same == id)
                .map_or((0, 0), |(_, queue)| (queue.taken, queue.shed));
            growth.taken += queue.taken.saturating_sub(taken);
            growth.shed += queue.shed.saturating_sub(shed);
        }
        growth.all_there &= before.peek().is_none();
        growth
    }
}
