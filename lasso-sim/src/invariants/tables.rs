//! Invariant 16: every table of a node is within its bound.

use core::time::Duration;

use lasso_core::config::LinkSettings;
use lasso_core::events::LiveSizes;
use lasso_core::node::NOTICES_MAX;
use lasso_core::plane::pubsub::HubSizes;
use lasso_core::time::Instant;

use super::Knowledge;
use super::invariant::{Changes, Entry, Invariant, Moment};

pub(super) const ENTRY: Entry = Entry {
    number: 16,
    name: "tables",
    make: |nodes| {
        Box::new(Tables {
            looked_at: vec![None; nodes],
            tables_at: vec![Instant::ZERO; nodes],
        })
    },
};

/// The sizes of the tables of a node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sizes {
    /// Topics and their subscribers.
    pub hub: HubSizes,
    /// Calls without an outcome.
    pub waiting: usize,
    /// Requests in progress.
    pub serving: usize,
    /// Open handshakes.
    pub handshakes: usize,
    /// Dials under way.
    pub dials: usize,
    /// Remembered nodes without a link.
    pub disconnected: usize,
    /// Notices that are suppressed for a while.
    pub notices: usize,
    /// Present links.
    pub links: usize,
    /// Bytes of unfinished messages.
    pub unfinished: usize,
}

/// The sizes of the tables of a node's live events and metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct TableSizes {
    /// Those of live events.
    pub live: LiveSizes,
    /// Keys of metrics with an answer, or waiting for one.
    pub keys: usize,
    /// Series of recorded calls.
    pub series: usize,
}

/// See the module's text.
#[derive(Debug)]
struct Tables {
    /// By node, if there are many.
    looked_at: Vec<Option<Instant>>,
    /// By node, for events and metrics.
    tables_at: Vec<Instant>,
}

impl Invariant for Tables {
    fn after(&mut self, at: &mut Moment<'_>, known: &dyn Knowledge, _: &Changes<'_>) {
        let looked_at = &mut self.looked_at[at.node.index()];
        if at.facts.links.nodes() > CROWD && looked_at.is_some_and(|then| then + EVERY > at.now) {
            return;
        }
        *looked_at = Some(at.now);
        let actor = at.facts.cast.actor(at.node);
        let (settings, sizes) = (&actor.settings, known.sizes());
        let (pubsub, calls, hub) = (&settings.pubsub, &settings.calls, &sizes.hub);
        for (what, holds, bound) in [
            ("subscriptions", hub.subscribers, pubsub.subscribers_max),
            ("topics that it wants", hub.subscribed, pubsub.interest_max),
            (
                "topics",
                hub.topics,
                pubsub.topics_max + pubsub.interest_max,
            ),
            ("topics of one peer", hub.of_one_peer, pubsub.interest_max),
            ("calls that wait", sizes.waiting, calls.waiting_max),
            ("requests", sizes.serving, calls.handlers_max),
            ("handshakes", sizes.handshakes, settings.link.handshakes_max),
            ("dials", sizes.dials, settings.dial.concurrent_max),
            (
                "disconnected nodes",
                sizes.disconnected,
                settings.topology.disconnected_max,
            ),
            ("notices", sizes.notices, NOTICES_MAX),
            ("links", sizes.links, settings.link.links_max),
            (
                "bytes of unfinished messages",
                sizes.unfinished,
                unfinished_max(&settings.link),
            ),
        ] {
            at.demand(holds <= bound, || {
                let name = &actor.name;
                format!("every table is within its bound; {name} holds {holds} {what}, of {bound}")
            });
        }
        let tables_at = &mut self.tables_at[at.node.index()];
        if *tables_at <= at.now
            && let Some(sizes) = known.table_sizes()
        {
            *tables_at = at.now + TABLES_EVERY;
            tables(at, &sizes);
        }
    }
}

/// One message of any legal size always finds room.
fn unfinished_max(link: &LinkSettings) -> usize {
    let alone = link.message_bytes_max + HEADS_BYTES;
    link.unfinished_bytes_max.max(alone)
}

/// Checks those of live events and metrics.
fn tables(at: &mut Moment<'_>, sizes: &TableSizes) {
    let actor = at.facts.cast.actor(at.node);
    let (events, metrics) = (&actor.settings.events, &actor.settings.metrics);
    let live = &sizes.live;
    for (what, holds, bound) in [
        ("profiles", live.profiles, events.profiles_max),
        ("scopes of a profile", live.scopes, events.scopes_max),
        ("viewers of a profile", live.viewers, events.viewers_max),
        ("ids of events", live.ids, events.dedup_max),
        ("windows of series", live.series, events.series_max),
        ("events for a viewer", live.waiting, events.viewer_queue),
        ("keys of metrics", sizes.keys, metrics.store.keys_max),
        ("series of calls", sizes.series, metrics.recorder.series_max),
    ] {
        at.demand(holds <= bound, || {
            let name = &actor.name;
            format!("every table is within its bound; {name} holds {holds} {what}, of {bound}")
        });
    }
}

/// An upper bound of the bytes that heads add to a message.
const HEADS_BYTES: usize = 4 << 10;
/// With more nodes than this, tables are checked less often, because each check goes through all peers.
const CROWD: usize = 64;
const EVERY: Duration = Duration::from_millis(50);
/// Tables of events and metrics are checked this often, because each check goes through all feeds.
const TABLES_EVERY: Duration = Duration::from_millis(500);
