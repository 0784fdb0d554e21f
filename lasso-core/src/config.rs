//! The numbers that a node runs by, and what it is told at its start.
//!
//! Every field states its unit, its default, and what raising and lowering it costs.
//! [`Settings::validate`] refuses values that cannot work together.

mod validate;

use core::time::Duration;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::discovery::Query;
use crate::events::EventSettings;
use crate::events::sampler::SampleRates;
use crate::metrics::service::MetricsSettings;
use crate::name::{Basename, Description, Label, NodeName};
use crate::secure::Security;

pub(crate) use validate::check;

/// Everything a node is told before it starts.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The cluster; links stand only between nodes of one cluster name.
    pub cluster: Label,
    /// The node's own name.
    pub name: NodeName,
    /// What the node says of itself at the start.
    pub description: Description,
    /// Names to resolve; empty: no discovery by DNS.
    pub queries: Vec<Query>,
    /// Names to dial besides what discovery finds.
    pub peers: Vec<NodeName>,
    /// How many nodes the operator expects, self included; at least 1.
    pub expected_nodes: u32,
    /// Cookies, or no security at all in a simulation.
    pub security: Arc<Security>,
    /// Intervals, time-outs and bounds.
    pub settings: Settings,
}

impl NodeConfig {
    /// A node of the cluster `lasso` with default settings, that knows nobody.
    pub fn new(name: NodeName, security: Security) -> Self {
        NodeConfig {
            cluster: Label::new("cluster name", "lasso").expect("a constant that is a label"),
            description: Description::of(&name),
            name,
            queries: Vec::new(),
            peers: Vec::new(),
            expected_nodes: 1,
            security: Arc::new(security),
            settings: Settings::default(),
        }
    }

    /// True when the node looks for others: it has a query or a static peer.
    pub fn is_clustered(&self) -> bool {
        !self.queries.is_empty() || !self.peers.is_empty()
    }

    /// The basenames whose nodes this one links up with: its own, and those that its queries and
    /// static peers name.
    pub fn basenames(&self) -> BTreeSet<Basename> {
        let mut names = BTreeSet::from([self.name.basename().clone()]);
        names.extend(
            self.queries
                .iter()
                .filter_map(|query| query.basename.clone()),
        );
        names.extend(self.peers.iter().map(|peer| peer.basename().clone()));
        names
    }
}

/// Two settings that cannot work together, or one out of its range. The caller's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}: {why}")]
pub struct SettingsError {
    /// The field, by its path: `link.tick_time`.
    pub field: &'static str,
    /// Its value, as text.
    pub value: String,
    /// What would be accepted.
    pub why: Cow<'static, str>,
}

/// Intervals, time-outs and bounds, by the part that uses them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// One connection: handshake, heartbeats, lanes.
    pub link: LinkSettings,
    /// Whom to dial when.
    pub dial: DialSettings,
    /// Who might be there.
    pub discovery: DiscoverySettings,
    /// Who is there.
    pub topology: TopologySettings,
    /// Topics, subscribers and their queues.
    pub pubsub: PubSubSettings,
    /// Calls to other nodes, and those that others make.
    pub calls: CallSettings,
    /// Live events for viewers.
    pub events: EventSettings,
    /// How many successes are published, by profile.
    pub sampling: SampleRates,
    /// What the cluster measures of its calls.
    pub metrics: MetricsSettings,
    /// How a node leaves.
    pub leave: LeaveSettings,
}

/// How long a node that is told to leave may take to send what it has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaveSettings {
    /// When the application shuts it down, 5 s; at most 600 s. Zero: it says goodbye at once. Higher: a
    /// peer that does not read, or a handler that does not end, holds up the end of the process for longer.
    /// Lower: messages, calls under way and answers are given up sooner.
    pub within: Duration,
    /// When its last handle is dropped, 1 s; at most 600 s. Higher, lower: as above; nobody waits for
    /// it, so a process that ends meanwhile sends less.
    pub within_dropped: Duration,
}

impl Default for LeaveSettings {
    fn default() -> Self {
        LeaveSettings {
            within: Duration::from_secs(5),
            within_dropped: Duration::from_secs(1),
        }
    }
}

/// Settings of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSettings {
    /// Tick time T, 60 s; 1 s to 600 s. A silent peer is declared down between 0.75 T and 1.25 T
    /// after its last byte. Higher: slower to notice a frozen peer. Lower: more heartbeats (one per
    /// T/4 and link) and more false alarms on a network that stalls.
    pub tick_time: Duration,
    /// A handshake that is not finished after this is dropped, 3 s. After the peer's `Hello` the two sides
    /// have this and `ask_timeout` to propose the connection as the link, and this again for the answer.
    /// Higher: strangers hold memory for longer. Lower: a slow network cannot link up.
    pub handshake_timeout: Duration,
    /// Most handshakes open at a time, 256; the oldest gives way. Higher: more memory that
    /// strangers may hold (4 KiB each). Lower: a mass restart takes longer. At least 1.
    pub handshakes_max: usize,
    /// Most handshakes open at a time from one address, 64; at least 1. Higher: one stranger can
    /// take more of the places of others. Lower: nodes behind one address take longer to link up.
    pub handshakes_per_address: usize,
    /// How long a standing link has to answer when a newcomer bears its peer's name, 2 s; less than
    /// `handshake_timeout`. Higher: a node whose machine died comes back later. Lower: a slow peer
    /// may lose its place to a newcomer.
    pub ask_timeout: Duration,
    /// Bytes that may wait in the control lane, 1 MiB, at least 128 KiB; more closes the link. Higher: a slow peer
    /// costs more memory. Lower: a burst of control frames costs the link.
    pub control_lane_bytes: usize,
    /// Bytes of calls and answers that may wait for one peer, 8 MiB, at least 4 KiB; more are refused
    /// as overloaded. An empty lane takes one message of any legal size. Higher: a slow peer costs
    /// more memory. Lower: a burst of calls to a slow peer fails sooner.
    pub calls_lane_bytes: usize,
    /// Bytes of messages that may wait for one peer, 8 MiB, at least 4 KiB; what comes then is dropped
    /// and counted. An empty lane takes one message of any legal size. Higher: a slow peer costs more
    /// memory. Lower: a burst of messages to a slow peer loses some sooner.
    pub data_lane_bytes: usize,
    /// Largest message, in bytes, 16 MiB; 4 KiB to 128 MiB. Higher: a peer may make this node hold
    /// more. Lower: larger messages are refused at the sender.
    pub message_bytes_max: usize,
    /// Bytes of messages that are not all there, over all links, 64 MiB; 4 KiB to 1 GiB. Beyond it the message
    /// gives way that has gone longest without growing, of the addresses that hold more than an even share. A
    /// message may have any legal size while no other is unfinished; several times `message_bytes_max` is sensible. Higher: members may make this node hold more. Lower: fewer
    /// large messages can come at a time.
    pub unfinished_bytes_max: usize,
    /// A message that is not all there and has not grown for this long is given up, 30 s. Higher: a peer that
    /// ends no message holds memory for longer. Lower: a network that stalls costs the message that was under
    /// way.
    pub unfinished_timeout: Duration,
    /// Most nodes that this one is linked with, or agrees on a link with, 1,024; 1 to 65,536. Another one is
    /// refused as `full`; links that stand stay. Higher: members may make this node hold more. Lower: a larger
    /// cluster is not whole.
    pub links_max: usize,
    /// Likewise of one address, 512; 1 to 65,536. Higher: one process with many names takes more of the room of
    /// others. Lower: fewer nodes behind one address, on one host or behind one gateway, are linked.
    pub links_per_address: usize,
    /// Most accepted connections whose other side is authenticated and which are no links yet, 256, and of one
    /// address `handshakes_per_address`; at least 1. Another one is refused as `too_many_handshakes`. Higher:
    /// members may make this node hold more. Lower: a mass restart takes longer.
    pub pending_max: usize,
    /// Bytes handed to the network and not yet taken by it, at most, 64 KiB: what waits beyond that
    /// waits in a lane, where its order can still change.
    pub window_bytes: usize,
}

impl Default for LinkSettings {
    fn default() -> Self {
        LinkSettings {
            tick_time: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(3),
            handshakes_max: 256,
            handshakes_per_address: 64,
            ask_timeout: Duration::from_secs(2),
            control_lane_bytes: 1 << 20,
            calls_lane_bytes: 8 << 20,
            data_lane_bytes: 8 << 20,
            message_bytes_max: 16 << 20,
            unfinished_bytes_max: 64 << 20,
            unfinished_timeout: Duration::from_secs(30),
            links_max: 1024,
            links_per_address: 512,
            pending_max: 256,
            window_bytes: 64 << 10,
        }
    }
}

/// Settings of dialling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialSettings {
    /// How long a connect may take, 3 s.
    pub connect_timeout: Duration,
    /// Delay before the second try, 500 ms; it doubles with each failure.
    pub backoff_min: Duration,
    /// Longest delay, 5 s. Higher: slower to be whole after a heal. Lower: more dials in vain.
    pub backoff_max: Duration,
    /// Longest delay once a peer has not been reached for `stale_after`, 30 s.
    pub backoff_max_stale: Duration,
    /// See `backoff_max_stale`, 10 min.
    pub stale_after: Duration,
    /// Jitter on every delay, in percent either way, 20; at most 90. Higher: a healed network is
    /// whole later. Lower: nodes that lost each other at once dial at once.
    pub jitter_percent: u32,
    /// Shortest delay after a refusal that only an operator can change, such as a wrong secret or another
    /// cluster's name, 30 s: see [`Lesson::Wait`](crate::event::Lesson::Wait).
    pub refused_secret: Duration,
    /// Of each pair one side dials at once and the other after this, 100 ms, so that most pairs make
    /// one connection and not two. Higher: later links where only the second side knows the first.
    /// Lower: more connections that are made to be refused as duplicates.
    pub second_delay: Duration,
    /// Most dials under way at a time, 64. Higher: faster to form a large cluster, more sockets at
    /// once. Lower: the reverse. At least 1.
    pub concurrent_max: usize,
}

impl Default for DialSettings {
    fn default() -> Self {
        DialSettings {
            connect_timeout: Duration::from_secs(3),
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(5),
            backoff_max_stale: Duration::from_secs(30),
            stale_after: Duration::from_secs(600),
            jitter_percent: 20,
            refused_secret: Duration::from_secs(30),
            second_delay: Duration::from_millis(100),
            concurrent_max: 64,
        }
    }
}

/// Settings of discovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoverySettings {
    /// How often each query is asked, 5 s. Higher: late nodes join later. Lower: more load on DNS.
    pub poll_interval: Duration,
    /// A candidate that good answers have not named for this long, and that has no link, is
    /// forgotten, 60 s.
    pub forget_after: Duration,
    /// Most addresses taken from one answer, 256; 1 to 4,096. Higher: more to dial for an answer
    /// that is wrong. Lower: an answer with more counts as cut short, and removes nobody.
    pub addresses_max: usize,
    /// A query that is not answered after this has failed, 5 s; one for services, which are two questions, after
    /// twice as long.
    pub lookup_timeout: Duration,
}

impl Default for DiscoverySettings {
    fn default() -> Self {
        DiscoverySettings {
            poll_interval: Duration::from_secs(5),
            forget_after: Duration::from_secs(60),
            addresses_max: 256,
            lookup_timeout: Duration::from_secs(5),
        }
    }
}

/// Settings of the topology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopologySettings {
    /// How long a peer has to describe itself, 2 s.
    pub describe_timeout: Duration,
    /// Tries before a description is given up for a while, 5.
    pub describe_tries: u32,
    /// Delay before the second try, 200 ms, doubling.
    pub describe_backoff_min: Duration,
    /// Longest delay between tries, 2 s.
    pub describe_backoff_max: Duration,
    /// When a description that was given up is asked for again, 60 s.
    pub describe_again: Duration,
    /// From the end of one round of health checks to the start of the next, 15 s. Higher: an
    /// unresponsive peer shows later. Lower: more traffic.
    pub health_interval: Duration,
    /// How long a peer has to answer a health check, 5 s.
    pub health_timeout: Duration,
    /// How often a peer that failed a check is checked until it passes or is unresponsive, 5 s.
    pub health_suspect_interval: Duration,
    /// Failed checks in a row that make a peer unresponsive, 3.
    pub unresponsive_after: u32,
    /// How often the topology is compared with the links that stand, 30 s.
    pub reconcile_interval: Duration,
    /// How long a disconnected node is remembered, 24 h.
    pub disconnected_keep: Duration,
    /// How many disconnected nodes are remembered, 1,024; the longest gone is forgotten first.
    pub disconnected_max: usize,
    /// More down/up cycles than this within `flap_window` are flapping, 5.
    pub flap_cycles: u32,
    /// See `flap_cycles`, 10 min.
    pub flap_window: Duration,
    /// Close links until every island is fully connected; false: partitions are only reported. A
    /// pair costs the one with the larger name its links after it has been apart for the longer of
    /// one tick time and two rounds of health checks, `2 * (health_interval + health_timeout)`. It is
    /// linked again once the pair is. True: no two nodes of an island see different members, at the
    /// cost of healthy links. False: no healthy link is ever closed.
    pub prevent_overlapping_partitions: bool,
}

impl Default for TopologySettings {
    fn default() -> Self {
        TopologySettings {
            describe_timeout: Duration::from_secs(2),
            describe_tries: 5,
            describe_backoff_min: Duration::from_millis(200),
            describe_backoff_max: Duration::from_secs(2),
            describe_again: Duration::from_secs(60),
            health_interval: Duration::from_secs(15),
            health_timeout: Duration::from_secs(5),
            health_suspect_interval: Duration::from_secs(5),
            unresponsive_after: 3,
            reconcile_interval: Duration::from_secs(30),
            disconnected_keep: Duration::from_secs(24 * 3600),
            disconnected_max: 1024,
            flap_cycles: 5,
            flap_window: Duration::from_secs(600),
            prevent_overlapping_partitions: false,
        }
    }
}

/// Settings of topics and subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubSubSettings {
    /// Messages that wait for one subscriber, 1,024, at least 1; the oldest give way, and it is told
    /// how many. Higher: a slow subscriber costs more memory. Lower: it misses more.
    pub queue_max: usize,
    /// Bytes of messages that wait for one subscriber, 64 MiB, at least 4 KiB; likewise. One message
    /// of any size is always kept. A message keeps the record alive that it came in, up to 64 KiB,
    /// which is not counted here; where that may come to half of this bound, messages under 16 KiB are
    /// copied. Higher: a slow subscriber of large messages costs more memory.
    /// Lower: it misses more of them.
    pub queue_bytes_max: usize,
    /// Topics that a node may be interested in, 10,000, at least 1; a peer's topics beyond that
    /// are refused, which is counted and told, so it should be the same on all nodes. Higher: more
    /// memory for each peer, and longer until a new link carries all topics. Lower: subscriptions
    /// are refused sooner.
    pub interest_max: usize,
    /// Subscriptions that a node may have, to whatever topics, 100,000, at least 1; more are an error
    /// to the caller. Higher: more memory, and messages for many of them hold up whoever publishes.
    /// Lower: the error comes sooner.
    pub subscribers_max: usize,
    /// Topics that a node publishes on and remembers the numbers of, 65,536, at least 1. Beyond that
    /// one without subscribers is forgotten, and what is missed of it over a reconnect is not told. A peer may
    /// ask for as many topics that nobody else wants as it leaves free; more are refused, which is counted, and
    /// the peer is told and asks again.
    /// Higher: more memory where many topics come and go. Lower: more is forgotten, or not heard of.
    pub topics_max: usize,
}

impl Default for PubSubSettings {
    fn default() -> Self {
        PubSubSettings {
            queue_max: 1024,
            queue_bytes_max: 64 << 20,
            interest_max: 10_000,
            subscribers_max: 100_000,
            topics_max: 65_536,
        }
    }
}

/// Settings of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallSettings {
    /// How long a call may take, 5 s, where the caller does not say; at least 1 ms. Higher: whoever
    /// calls a node that does not answer waits longer. Lower: slow answers come too late.
    pub timeout: Duration,
    /// The longest that a call may take, 10 min, at least 1 ms: a longer timeout is cut to it, by the
    /// caller and by the node that answers. Higher: a peer may hold places of handlers for longer.
    /// Lower: long work needs a call that begins it and others that ask for it.
    pub timeout_max: Duration,
    /// Calls that a node works on at a time, 1,024, at least 1; more are answered as overloaded. A peer may
    /// hold as many places as it leaves free: half of them alone, and an equal part where several want all.
    /// Higher: more memory and slower answers under load. Lower: more calls are refused.
    pub handlers_max: usize,
    /// Bytes of the questions that a node works on, 128 MiB; 4 KiB to 1 GiB. Shared among peers like the
    /// places; a question may have any legal size while no other is worked on. A small question also keeps the record
    /// alive that it came in, up to 64 KiB, which is not counted here. Higher: more memory while handlers are
    /// slow. Lower: large questions are refused sooner.
    pub handlers_bytes_max: usize,
    /// Calls that wait for an answer at a time, 65,536, at least 1; more are refused as overloaded.
    /// Higher: more memory while nodes do not answer. Lower: calls are refused sooner then.
    pub waiting_max: usize,
    /// Methods that a node may serve, 1,024, at least 1; more are an error to the caller. Higher: more
    /// memory, if they are served. Lower: the error comes sooner.
    pub methods_max: usize,
}

impl Default for CallSettings {
    fn default() -> Self {
        CallSettings {
            timeout: Duration::from_secs(5),
            timeout_max: Duration::from_secs(600),
            handlers_max: 1024,
            handlers_bytes_max: 128 << 20,
            waiting_max: 65_536,
            methods_max: 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One change of the defaults that makes them wrong.
    type Spoil = fn(&mut Settings);

    const ZERO: Duration = Duration::ZERO;

    fn each_is_refused_by_its_name(table: &[(&str, Spoil)]) {
        for (field, spoil) in table {
            let mut settings = Settings::default();
            spoil(&mut settings);
            let error = settings.validate().expect_err(field);
            assert_eq!(error.field, *field);
            assert!(error.to_string().starts_with(field), "{error}");
        }
    }

    #[test]
    fn an_error_names_what_is_accepted() {
        let mut settings = Settings::default();
        settings.link.links_max = 65_537;
        let error = settings.validate().unwrap_err().to_string();
        assert_eq!(error, "link.links_max is 65537: 1 to 65536 is accepted");
        settings.link.links_max = 1;
        settings.link.handshakes_max = 0;
        let error = settings.validate().unwrap_err().to_string();
        assert_eq!(error, "link.handshakes_max is 0: at least 1 is accepted");
    }

    #[test]
    fn the_defaults_are_accepted() {
        assert_eq!(Settings::default().validate(), Ok(()));
    }

    #[test]
    #[rustfmt::skip]
    fn intervals_of_nothing_are_refused() {
        each_is_refused_by_its_name(&[
            ("link.tick_time", |s| s.link.tick_time = ZERO),
            ("events.linger", |s| s.events.linger = ZERO),
            ("link.handshake_timeout", |s| s.link.handshake_timeout = ZERO),
            ("link.ask_timeout", |s| s.link.ask_timeout = ZERO),
            ("link.unfinished_timeout", |s| s.link.unfinished_timeout = ZERO),
            ("dial.connect_timeout", |s| s.dial.connect_timeout = ZERO),
            ("dial.backoff_min", |s| s.dial.backoff_min = ZERO),
            ("discovery.poll_interval", |s| s.discovery.poll_interval = ZERO),
            ("discovery.lookup_timeout", |s| s.discovery.lookup_timeout = ZERO),
            ("topology.describe_timeout", |s| s.topology.describe_timeout = ZERO),
            ("topology.describe_backoff_min", |s| s.topology.describe_backoff_min = ZERO),
            ("topology.describe_again", |s| s.topology.describe_again = ZERO),
            ("topology.health_interval", |s| s.topology.health_interval = ZERO),
            ("topology.health_timeout", |s| s.topology.health_timeout = ZERO),
            ("topology.health_suspect_interval", |s| s.topology.health_suspect_interval = ZERO),
            ("topology.reconcile_interval", |s| s.topology.reconcile_interval = ZERO),
            ("calls.timeout", |s| s.calls.timeout = ZERO),
            ("calls.timeout_max", |s| s.calls.timeout_max = ZERO),
        ]);
    }

    #[test]
    #[rustfmt::skip]
    fn amounts_out_of_range_are_refused() {
        each_is_refused_by_its_name(&[
            ("link.tick_time", |s| s.link.tick_time = Duration::from_secs(601)),
            ("link.handshakes_max", |s| s.link.handshakes_max = 0),
            ("link.unfinished_bytes_max", |s| s.link.unfinished_bytes_max = 0),
            ("link.links_max", |s| s.link.links_max = 0),
            ("link.links_max", |s| s.link.links_max = 65_537),
            ("link.links_per_address", |s| s.link.links_per_address = 0),
            ("link.pending_max", |s| s.link.pending_max = 0),
            ("calls.handlers_bytes_max", |s| s.calls.handlers_bytes_max = 0),
            ("link.handshakes_per_address", |s| s.link.handshakes_per_address = 0),
            ("link.control_lane_bytes", |s| s.link.control_lane_bytes = 0),
            ("link.calls_lane_bytes", |s| s.link.calls_lane_bytes = 0),
            ("link.data_lane_bytes", |s| s.link.data_lane_bytes = 0),
            ("pubsub.queue_max", |s| s.pubsub.queue_max = 0),
            ("pubsub.queue_bytes_max", |s| s.pubsub.queue_bytes_max = 0),
            ("pubsub.interest_max", |s| s.pubsub.interest_max = 0),
            ("pubsub.subscribers_max", |s| s.pubsub.subscribers_max = 0),
            ("pubsub.topics_max", |s| s.pubsub.topics_max = 0),
            ("calls.handlers_max", |s| s.calls.handlers_max = 0),
            ("calls.waiting_max", |s| s.calls.waiting_max = 0),
            ("calls.methods_max", |s| s.calls.methods_max = 0),
            ("link.message_bytes_max", |s| s.link.message_bytes_max = 0),
            ("link.message_bytes_max", |s| s.link.message_bytes_max = 256 << 20),
            ("dial.jitter_percent", |s| s.dial.jitter_percent = 91),
            ("dial.concurrent_max", |s| s.dial.concurrent_max = 0),
            ("discovery.addresses_max", |s| s.discovery.addresses_max = 0),
            ("discovery.addresses_max", |s| s.discovery.addresses_max = 5000),
        ]);
    }

    #[test]
    #[rustfmt::skip]
    fn pairs_that_contradict_each_other_are_refused() {
        each_is_refused_by_its_name(&[
            ("link.ask_timeout", |s| s.link.ask_timeout = s.link.handshake_timeout),
            ("dial.backoff_max", |s| s.dial.backoff_max = s.dial.backoff_min / 2),
            ("dial.backoff_max_stale", |s| s.dial.backoff_max_stale = s.dial.backoff_max / 2),
            ("topology.describe_backoff_max", |s| s.topology.describe_backoff_max = ZERO),
        ]);
    }
}
