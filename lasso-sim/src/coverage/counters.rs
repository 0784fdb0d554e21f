//! Every counter of a process, by name.
//!
//! Each struct of counters is destructured field by field. So when lasso gets a new counter, this file does not
//! compile until the counter has a name here or is listed as not counted.

use lasso_core::discovery::DiscoveryCounters;
use lasso_core::events::dedup::DedupCounters;
use lasso_core::events::sampler::SamplerCounters;
use lasso_core::events::windows::WindowCounters;
use lasso_core::events::{FeedCounters, LiveCounters, StreamCounters};
use lasso_core::link::UnfinishedCounters;
use lasso_core::metrics::recorder::RecorderCounters;
use lasso_core::metrics::store::StoreCounters;
use lasso_core::node::{Counters as NodeCounters, Node};
use lasso_core::plane::PlaneCounters;
use lasso_core::plane::calls::CallCounters;
use lasso_core::plane::pubsub::PubSubCounters;
use lasso_core::topology::Counters as TopologyCounters;
use lasso_net::events::EventCounters;

/// The machines of one life of a process.
#[derive(Debug, Clone, Copy)]
pub struct Life<'a> {
    /// Its node.
    pub node: &'a Node,
    /// Its live events.
    pub events: EventCounters,
    /// Its answers about the whole cluster.
    pub store: StoreCounters,
    /// The counters of its recorder of calls.
    pub recorder: RecorderCounters,
}

/// Hands over the fields of a struct of counters, each under its name. `but` lists the fields that are not counted:
/// those that are present amounts, and those that are counted elsewhere.
macro_rules! fields {
    ($put:ident, $of:expr => $type:ident { $($field:ident: $name:literal),+ $(,)? } $(but $($other:ident),+)?) => {{
        let $type { $($field,)+ $($($other: _,)+)? } = $of;
        $($put($name, *$field);)+
    }};
}

/// Hands over every counter of a life.
pub(super) fn each(life: &Life<'_>, mut put: impl FnMut(&'static str, u64)) {
    let node = life.node;
    of_node(node.counters(), &node.topology().counters(), &mut put);
    of_unfinished(&node.unfinished(), &mut put);
    of_discovery(&node.discovery().counters(), &mut put);
    {
        let plane = node.plane();
        let plane = plane.lock();
        let (topics, calls, own) = plane.counters();
        of_plane(topics, own, &mut put);
        of_calls(calls, &mut put);
    }
    of_streams(&life.events.live, &mut put);
    of_feeds(&life.events.live.feeds, &mut put);
    of_sampler(&life.events.sampler, &mut put);
    of_metrics(&life.store, &life.recorder, &mut put);
}

/// The names of all counters, in the order in which they are handed over.
pub(super) fn names() -> Vec<&'static str> {
    let mut names = Vec::new();
    let mut put = |name, _| names.push(name);
    of_node(
        &NodeCounters::default(),
        &TopologyCounters::default(),
        &mut put,
    );
    of_unfinished(&UnfinishedCounters::default(), &mut put);
    of_discovery(&DiscoveryCounters::default(), &mut put);
    of_plane(
        &PubSubCounters::default(),
        &PlaneCounters::default(),
        &mut put,
    );
    of_calls(&CallCounters::default(), &mut put);
    of_streams(&LiveCounters::default(), &mut put);
    of_feeds(&FeedCounters::default(), &mut put);
    of_sampler(&SamplerCounters::default(), &mut put);
    of_metrics(
        &StoreCounters::default(),
        &RecorderCounters::default(),
        &mut put,
    );
    names
}

fn of_node(
    node: &NodeCounters,
    topology: &TopologyCounters,
    put: &mut impl FnMut(&'static str, u64),
) {
    fields!(put, node => NodeCounters {
        dials: "dials",
        dials_failed: "dials_failed",
        accepts: "accepts",
        links: "links",
        links_replaced: "links_replaced",
        stale_inputs: "stale_inputs",
        stalls: "stalls",
        renumberings_held: "renumberings_held",
        notices_held: "notices_held",
    } but closed, closed_by_peer);
    fields!(put, topology => TopologyCounters {
        connected: "connected",
        disconnected: "disconnected",
        checks_sent: "checks_sent",
        checks_passed: "checks_passed",
        checks_failed: "checks_failed",
        late_answers: "late_answers",
        descriptions_failed: "descriptions_failed",
        frames_refused: "frames_refused",
        stale_incarnations: "stale_incarnations",
        differences: "differences",
        forgotten: "forgotten",
        flaps: "flaps",
    });
}

fn of_unfinished(unfinished: &UnfinishedCounters, put: &mut impl FnMut(&'static str, u64)) {
    fields!(put, unfinished => UnfinishedCounters {
        shed: "unfinished_shed",
        expired: "unfinished_expired",
    });
}

fn of_discovery(discovery: &DiscoveryCounters, put: &mut impl FnMut(&'static str, u64)) {
    fields!(put, discovery => DiscoveryCounters {
        lookups: "lookups",
        failures: "lookup_failures",
        truncated: "lookups_truncated",
        forgotten: "candidates_forgotten",
        learned_shed: "learned_shed",
        named_shed: "named_shed",
        refused: "addresses_refused",
    });
}

fn of_plane(topics: &PubSubCounters, own: &PlaneCounters, put: &mut impl FnMut(&'static str, u64)) {
    fields!(put, topics => PubSubCounters {
        published: "messages_published",
        sent: "messages_sent",
        shed: "messages_shed",
        received: "messages_received",
        delivered: "messages_delivered",
        overflowed: "messages_overflowed",
        abandoned: "messages_abandoned",
        missed: "messages_missed",
        unwanted: "messages_unwanted",
        stale: "messages_stale",
        interest_refused: "interest_refused",
        interest_denied: "interest_denied",
        unfinished: "messages_unfinished",
        topics_forgotten: "topics_forgotten",
        losses_untold: "losses_untold",
    });
    fields!(put, own => PlaneCounters { stray: "plane_stray", unknown: "plane_unknown" });
}

fn of_calls(calls: &CallCounters, put: &mut impl FnMut(&'static str, u64)) {
    fields!(put, calls => CallCounters {
        started: "calls_started",
        answered: "calls_answered",
        not_connected: "calls_not_connected",
        timeouts: "calls_timeouts",
        no_such_method: "calls_no_such_method",
        overloaded: "calls_overloaded",
        disconnected: "calls_disconnected",
        rejected: "calls_rejected",
        malformed: "calls_malformed",
        too_large: "calls_too_large",
        stopped: "calls_stopped",
        cancelled: "calls_cancelled",
        late_answers: "calls_late_answers",
        stray_answers: "calls_stray_answers",
        members_unnoted: "members_unnoted",
        requests: "requests",
        requests_unlinked: "requests_unlinked",
        requests_no_such_method: "requests_no_such_method",
        requests_overloaded: "requests_overloaded",
        requests_over_share: "requests_over_share",
        requests_over_bytes: "requests_over_bytes",
        requests_unfinished: "requests_unfinished",
        requests_stopping: "requests_stopping",
        refusals_lost: "refusals_lost",
        answers: "answers",
        answers_too_large: "answers_too_large",
        answers_shed: "answers_shed",
        answers_nowhere: "answers_nowhere",
        given_up: "requests_given_up",
        answers_unknown: "answers_unknown",
    });
}

fn of_streams(live: &LiveCounters, put: &mut impl FnMut(&'static str, u64)) {
    fields!(put, live => LiveCounters {
        malformed: "events_malformed",
        unknown: "events_unknown",
        mixed: "events_mixed",
        stray: "events_stray",
    } but streams, viewers, topics, has_deadline, stream, feeds);
    fields!(put, &live.stream => StreamCounters {
        received: "events_received",
        foreign: "events_foreign",
        misplaced: "events_misplaced",
        unwanted: "events_unwanted",
        admitted: "viewers_admitted",
        refused: "viewers_refused",
        crowded: "viewers_crowded",
        missed: "events_missed",
    });
}

fn of_feeds(feeds: &FeedCounters, put: &mut impl FnMut(&'static str, u64)) {
    fields!(put, feeds => FeedCounters {
        batches: "event_batches",
        heartbeats: "event_heartbeats",
        states_shed: "states_shed",
        states_expired: "states_expired",
        states_outdated: "states_outdated",
        delivered: "events_delivered",
        lost: "events_lost",
        withheld: "events_withheld",
    } but dedup, dedup_reach, windows, pending, waiting);
    fields!(put, &feeds.dedup => DedupCounters {
        fresh: "events_fresh",
        duplicates: "events_duplicate",
        unnamed: "events_unnamed",
        cut_short: "event_ids_cut_short",
    });
    fields!(put, &feeds.windows => WindowCounters {
        recorded: "windows_recorded",
        late: "windows_late",
        shed: "windows_shed",
    });
}

fn of_sampler(sampler: &SamplerCounters, put: &mut impl FnMut(&'static str, u64)) {
    fields!(put, sampler => SamplerCounters {
        successes: "successes",
        taken: "successes_sampled",
        crowded: "successes_crowded",
    });
}

fn of_metrics(
    store: &StoreCounters,
    own: &RecorderCounters,
    put: &mut impl FnMut(&'static str, u64),
) {
    fields!(put, store => StoreCounters {
        started: "refreshes_started",
        finished: "refreshes_finished",
        failed: "refreshes_failed",
        given_up: "refreshes_given_up",
        late: "refreshes_late",
        overtaken: "refreshes_overtaken",
        unread: "refreshes_unread",
        evicted: "answers_evicted",
        refused: "answers_refused",
        dropped: "answers_dropped",
    } but most_of_a_key);
    fields!(put, own => RecorderCounters {
        recorded: "calls_recorded",
        overflowed: "series_overflowed",
        oversized: "series_oversized",
        retired: "series_retired",
    });
}
