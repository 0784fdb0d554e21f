//! Three hubs on a network that loses what is on its way whenever a session ends, and nothing else;
//! lanes that are full, interest, nodes and topics that come and go. Whatever happens:
//!
//! 1. What a subscriber sees of one source and row grows.
//! 2. What it got and what it was told to have missed add up to all that there was since it
//!    subscribed, however small its queue and however seldom it read.
//! 3. A publish goes once to each peer that has asked and was answered, and to nobody else.
//! 4. When everything has healed, everybody has heard of the last number of everything.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const NODES: usize = 3;
const TOPICS: [&str; 4] = ["a", "b", "c", "d"];
const ROLES: [&str; 2] = ["web", "db"];

#[derive(Debug, Clone)]
enum Op {
    Subscribe {
        node: usize,
        topic: usize,
        small: bool,
    },
    Unsubscribe {
        node: usize,
        which: usize,
    },
    Read {
        node: usize,
        which: usize,
    },
    Publish {
        node: usize,
        topic: usize,
        audience: u8,
        times: u8,
    },
    Full {
        node: usize,
        to: usize,
        full: bool,
    },
    HandOut {
        node: usize,
        to: usize,
    },
    Control {
        from: usize,
        to: usize,
    },
    Messages {
        from: usize,
        to: usize,
        number: u8,
    },
    Link {
        one: usize,
        other: usize,
    },
    Lose {
        node: usize,
        to: usize,
    },
    Forget {
        node: usize,
        other: usize,
    },
    Describe {
        node: usize,
        roles: u8,
    },
    Restart {
        node: Option<usize>,
    },
    /// Hands out everything, and all control frames come, but no message.
    Tell {
        one: usize,
        other: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let node = || 0..NODES;
    let pair = || (0..NODES, 1..NODES).prop_map(|(one, by)| (one, (one + by) % NODES));
    // Most of it about one topic, so that much happens to it.
    let topic = || prop_oneof![6 => Just(0), 1 => 0..TOPICS.len()];
    prop_oneof![
        3 => (node(), topic(), any::<bool>())
            .prop_map(|(node, topic, small)| Op::Subscribe { node, topic, small }),
        1 => (node(), 0..4usize).prop_map(|(node, which)| Op::Unsubscribe { node, which }),
        2 => (node(), 0..4usize).prop_map(|(node, which)| Op::Read { node, which }),
        12 => (node(), topic(), 0..8u8, 1..4u8)
            .prop_map(|(node, topic, audience, times)| Op::Publish { node, topic, audience, times }),
        4 => (pair(), any::<bool>()).prop_map(|((node, to), full)| Op::Full { node, to, full }),
        3 => pair().prop_map(|(node, to)| Op::HandOut { node, to }),
        3 => pair().prop_map(|(from, to)| Op::Control { from, to }),
        5 => pair().prop_map(|(one, other)| Op::Tell { one, other }),
        6 => (pair(), 1..6u8).prop_map(|((from, to), number)| Op::Messages { from, to, number }),
        2 => pair().prop_map(|(one, other)| Op::Link { one, other }),
        1 => pair().prop_map(|(node, to)| Op::Lose { node, to }),
        1 => pair().prop_map(|(node, other)| Op::Forget { node, other }),
        1 => (node(), 0..4u8).prop_map(|(node, roles)| Op::Describe { node, roles }),
        1 => prop_oneof![3 => Just(None), 1 => node().prop_map(Some)]
            .prop_map(|node| Op::Restart { node }),
    ]
}

/// One direction of a session.
#[derive(Default)]
struct Way {
    /// Each with its place in the order of sending.
    control: VecDeque<(u64, PubSubFrame)>,
    data: VecDeque<(u64, Bytes)>,
    full: bool,
    /// Streams that were announced and not taken back since: whom a publish goes to.
    active: BTreeSet<String>,
}

/// One end of a subscription.
struct Reader {
    id: SubscriberId,
    topic: usize,
    /// Messages and missed ones that it has read.
    got: u64,
    /// The topic's sum when it subscribed.
    joined: u64,
    /// The last number by source and row.
    seen: BTreeMap<(NodeName, Incarnation, Row), u64>,
}

/// What there was for the subscribers of one topic at one node.
#[derive(Default)]
struct Account {
    /// What was published here for them, and what there was of sources that are gone.
    closed: u64,
    /// Where counting began, by source.
    begun: BTreeMap<usize, (u32, [u64; 2])>,
}

struct Node {
    hub: Hub,
    life: u64,
    roles: u8,
    readers: Vec<Reader>,
    accounts: BTreeMap<usize, Account>,
    /// The link to each other node, as this one sees it.
    links: BTreeMap<usize, ConnId>,
    /// Links that the hub has named as having news.
    rung: BTreeSet<ConnId>,
}

struct World {
    nodes: Vec<Node>,
    /// By sender and receiver.
    ways: BTreeMap<(ConnId, usize, usize), Way>,
    sent: u64,
    conns: u64,
    fx: Effects,
}

fn settings() -> PubSubSettings {
    PubSubSettings {
        topics_max: 3,
        ..PubSubSettings::default()
    }
}

fn roles(bits: u8) -> Vec<&'static str> {
    let chosen = ROLES.iter().enumerate();
    let chosen = chosen.filter(|(bit, _)| bits >> bit & 1 == 1);
    chosen.map(|(_, role)| *role).collect()
}

impl Node {
    fn new(node: usize, life: u64) -> Self {
        let identity = identity(node, life);
        let description = description(node, &[]);
        Node {
            hub: Hub::new(&settings(), PAYLOAD_MAX, &identity, &description),
            life,
            roles: 0,
            readers: Vec::new(),
            accounts: BTreeMap::new(),
            links: BTreeMap::new(),
            rung: BTreeSet::new(),
        }
    }

    /// How far the rows of a topic from a node have come.
    fn seen(&self, from: usize, topic: usize) -> Option<(u32, [u64; 2])> {
        let peer = *self.hub.names.get(&name(from))?;
        let topic = self.hub.topics.find(TOPICS[topic])?;
        self.hub.peers[peer].streams.seen(topic)
    }

    /// All that there was of a topic since its first subscriber came.
    fn sum(&self, topic: usize) -> u64 {
        let account = &self.accounts[&topic];
        let open = account.begun.iter().map(|(&from, (_, begun))| {
            let (_, seen) = self.seen(from, topic).expect("open while it is known");
            seen[0] - begun[0] + seen[1] - begun[1]
        });
        account.closed + open.sum::<u64>()
    }

    /// What is known of a source is about to go.
    fn close(&mut self, from: usize, topic: usize) {
        if let Some(account) = self.accounts.get_mut(&topic)
            && account.begun.contains_key(&from)
        {
            let before = self.sum(topic);
            let account = self.accounts.get_mut(&topic).expect("it is there");
            account.begun.remove(&from);
            let open = self.sum(topic);
            self.accounts.get_mut(&topic).expect("it is there").closed += before - open;
        }
    }

    fn close_all(&mut self, from: usize) {
        (0..TOPICS.len()).for_each(|topic| self.close(from, topic));
    }

    fn read(&mut self, which: usize) {
        let reader = &mut self.readers[which];
        for update in read(&mut self.hub, reader.id) {
            let Update::Message(message) = update else {
                let Update::Missed(number) = update else {
                    unreachable!();
                };
                reader.got += number;
                continue;
            };
            reader.got += 1;
            assert_eq!(&*message.source.topic, TOPICS[reader.topic]);
            let source = (
                message.source.node.clone(),
                message.source.incarnation,
                message.row,
            );
            let last = reader.seen.insert(source, message.number);
            assert!(last.is_none_or(|last| last < message.number), "{message:?}");
        }
        let (got, joined, topic) = (reader.got, reader.joined, reader.topic);
        assert_eq!(got, self.sum(topic) - joined, "of topic {}", TOPICS[topic]);
    }

    fn check(&mut self) {
        self.hub.assert_invariants();
        while let Some(conn) = self.hub.noisy() {
            self.rung.insert(conn);
        }
        for conn in self.links.values() {
            assert!(!self.hub.has_news(*conn) || self.rung.contains(conn));
        }
        for (_, audit) in self.hub.audits() {
            assert_eq!(audit.taken, audit.read + audit.shed + audit.held);
        }
    }
}

impl World {
    fn new() -> Self {
        World {
            nodes: (0..NODES).map(|node| Node::new(node, 1)).collect(),
            ways: BTreeMap::new(),
            sent: 0,
            conns: 0,
            fx: Effects::default(),
        }
    }

    fn conn(&self, node: usize, to: usize) -> Option<ConnId> {
        self.nodes[node].links.get(&to).copied()
    }

    fn way(&mut self, from: usize, to: usize) -> Option<&mut Way> {
        let conn = self.conn(from, to)?;
        Some(self.ways.entry((conn, from, to)).or_default())
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Subscribe { node, topic, small } => self.subscribe(node, topic, small),
            Op::Unsubscribe { node, which } => self.unsubscribe(node, which),
            Op::Read { node, which } => {
                if which < self.nodes[node].readers.len() {
                    self.nodes[node].read(which);
                }
            }
            Op::Publish {
                node,
                topic,
                audience,
                times,
            } => {
                (0..times).for_each(|_| self.publish(node, topic, audience));
            }
            Op::Full { node, to, full } => {
                if let Some(way) = self.way(node, to) {
                    way.full = full;
                }
            }
            Op::HandOut { node, to } => {
                self.hand_out(node, to);
            }
            Op::Control { from, to } => {
                self.control(from, to);
            }
            Op::Tell { one, other } => {
                for (from, to) in [(one, other), (other, one), (one, other)] {
                    while self.hand_out(from, to) || self.control(from, to) {}
                }
            }
            Op::Messages { from, to, number } => {
                (0..number).for_each(|_| {
                    self.message(from, to);
                });
            }
            Op::Link { one, other } => self.link(one, other),
            Op::Lose { node, to } => self.lose(node, to),
            Op::Forget { node, other } => {
                if self.conn(node, other).is_none() {
                    self.nodes[node].close_all(other);
                    self.nodes[node].hub.forgotten(&name(other));
                }
            }
            Op::Describe { node, roles } => self.describe(node, roles),
            Op::Restart { node } => node.into_iter().for_each(|node| self.restart(node)),
        }
        self.nodes.iter_mut().for_each(Node::check);
    }

    fn subscribe(&mut self, at: usize, topic: usize, small: bool) {
        let node = &mut self.nodes[at];
        let queue_max = small.then_some(2);
        let id = node.hub.subscribe(TOPICS[topic], queue_max).unwrap();
        node.accounts.entry(topic).or_default();
        let reader = Reader {
            id,
            topic,
            got: 0,
            joined: node.sum(topic),
            seen: BTreeMap::new(),
        };
        node.readers.push(reader);
    }

    fn unsubscribe(&mut self, at: usize, which: usize) {
        let node = &mut self.nodes[at];
        if which >= node.readers.len() {
            return;
        }
        node.read(which);
        let reader = node.readers.remove(which);
        node.hub.unsubscribe(reader.id, &mut self.fx);
        if node.readers.iter().all(|other| other.topic != reader.topic) {
            node.accounts.remove(&reader.topic);
        }
    }

    fn publish(&mut self, at: usize, topic: usize, audience: u8) {
        let other = (at + usize::from(audience)) % NODES;
        let (audience, own) = match audience {
            0..=2 => (Audience::All, true),
            3 => (Audience::Local, true),
            4 | 5 => (Audience::Node(name(other)), other == at),
            role => {
                let role = usize::from(role) - 6;
                let own = self.nodes[at].roles >> role & 1 == 1;
                (Audience::Role(label(ROLES[role])), own)
            }
        };
        let mut full = Vec::new();
        for to in 0..NODES {
            if self.way(at, to).is_some_and(|way| way.full) {
                full.extend(self.conn(at, to));
            }
        }
        let node = &mut self.nodes[at];
        let (reach, sent) = publish_with(
            &mut node.hub,
            TOPICS[topic],
            "x",
            &audience,
            &full,
            &mut self.fx,
        );
        let Ok(reach) = reach else {
            assert!(matches!(&audience, Audience::Node(_)) && self.conn(at, other).is_none());
            return;
        };
        assert_eq!(reach.nodes, sent.len());
        if let Some(account) = node.accounts.get_mut(&topic)
            && own
        {
            account.closed += 1;
        }
        let mut to_whom = BTreeSet::new();
        for (conn, body) in sent {
            self.sent += 1;
            let number = self.sent;
            let to = (0..NODES)
                .find(|&to| self.conn(at, to) == Some(conn))
                .unwrap();
            let way = self.way(at, to).unwrap();
            assert!(
                way.active.contains(TOPICS[topic]),
                "to nobody without interest"
            );
            assert!(to_whom.insert(to), "once to each");
            way.data.push_back((number, body));
        }
        if audience == Audience::All {
            let interested = (0..NODES)
                .filter(|&to| {
                    let way = self.way(at, to);
                    way.is_some_and(|way| way.active.contains(TOPICS[topic]))
                })
                .count();
            assert_eq!(reach.nodes + reach.shed, interested);
        }
    }

    fn hand_out(&mut self, at: usize, to: usize) -> bool {
        let Some(conn) = self.conn(at, to) else {
            return false;
        };
        let node = &mut self.nodes[at];
        let Some(frame) = node.hub.next_news(conn) else {
            node.rung.remove(&conn);
            return false;
        };
        self.sent += 1;
        let number = self.sent;
        let way = self.way(at, to).unwrap();
        if let PubSubFrame::Streams(starts) = &frame {
            let topics = starts.iter().map(|start| start.topic.clone());
            way.active.extend(topics);
        }
        way.control.push_back((number, frame));
        true
    }

    /// The next control frame comes, which may overtake messages.
    fn control(&mut self, from: usize, to: usize) -> bool {
        let Some(conn) = self.conn(to, from) else {
            return false;
        };
        let way = self.ways.entry((conn, from, to)).or_default();
        let Some((_, frame)) = way.control.pop_front() else {
            return false;
        };
        match &frame {
            PubSubFrame::Interest { add, remove } => {
                let back = self.ways.entry((conn, to, from)).or_default();
                for topic in remove.iter().chain(add) {
                    back.active.remove(topic);
                }
            }
            PubSubFrame::Streams(starts) => {
                for start in starts.clone() {
                    self.begin(from, to, conn, start);
                }
                return true;
            }
            PubSubFrame::Missed(_) | PubSubFrame::InterestRefused => {}
        }
        self.nodes[to].hub.on_frame(conn, frame, &mut self.fx);
        true
    }

    fn begin(&mut self, from: usize, to: usize, conn: ConnId, start: crate::frame::StreamStart) {
        let topic = TOPICS.iter().position(|&topic| topic == start.topic);
        let topic = topic.unwrap();
        let node = &mut self.nodes[to];
        let known = node.seen(from, topic);
        if known.is_some_and(|(stream, _)| stream != start.stream) {
            node.close(from, topic);
        }
        let last = [start.last_all, start.last_directed];
        let frame = PubSubFrame::Streams(vec![start]);
        node.hub.on_frame(conn, frame, &mut self.fx);
        if node.accounts.contains_key(&topic) {
            let seen = self.nodes[to].seen(from, topic).expect("it is subscribed");
            assert_eq!(seen.1, last, "nothing overtakes an answer");
            let account = self.nodes[to].accounts.get_mut(&topic).expect("there");
            account.begun.entry(from).or_insert(seen);
        } else {
            assert_eq!(node.seen(from, topic), None);
        }
    }

    /// The next message comes, after all control frames that were sent before it.
    fn message(&mut self, from: usize, to: usize) -> bool {
        let Some(conn) = self.conn(to, from) else {
            return false;
        };
        let way = self.ways.entry((conn, from, to)).or_default();
        let Some(&(number, _)) = way.data.front() else {
            return false;
        };
        if way
            .control
            .front()
            .is_some_and(|(before, _)| *before < number)
        {
            return false;
        }
        let (_, body) = way.data.pop_front().unwrap();
        let hub = &mut self.nodes[to].hub;
        hub.on_message(conn, body, &mut self.fx).unwrap();
        true
    }

    /// A new session, whether or not either end has noticed the end of an old one.
    fn link(&mut self, one: usize, other: usize) {
        self.conns += 1;
        let conn = ConnId::In(self.conns);
        for (node, to) in [(one, other), (other, one)] {
            let life = self.nodes[to].life;
            let node = &mut self.nodes[node];
            let known = node.hub.names.get(&name(to)).copied();
            if known.is_some_and(|peer| node.hub.peers[peer].incarnation.0 != life) {
                node.close_all(to);
            }
            node.links.insert(to, conn);
            node.hub.link_up(conn, &identity(to, life));
        }
        self.tell_roles(one);
        self.tell_roles(other);
    }

    fn lose(&mut self, node: usize, to: usize) {
        if let Some(conn) = self.nodes[node].links.remove(&to) {
            self.nodes[node].hub.link_down(conn);
        }
    }

    fn describe(&mut self, node: usize, bits: u8) {
        self.nodes[node].roles = bits;
        let described = description(node, &roles(bits));
        self.nodes[node].hub.describe_self(&described);
        self.tell_roles(node);
    }

    fn tell_roles(&mut self, node: usize) {
        let described = description(node, &roles(self.nodes[node].roles));
        for other in (0..NODES).filter(|&other| other != node) {
            let hub = &mut self.nodes[other].hub;
            hub.described(&name(node), &described.region, &described.roles);
        }
    }

    fn restart(&mut self, node: usize) {
        let life = self.nodes[node].life + 1;
        self.nodes[node] = Node::new(node, life);
        for other in (0..NODES).filter(|&other| other != node) {
            self.lose(other, node);
        }
    }

    /// Everything arrives, until there is nothing left to say.
    fn settle(&mut self) {
        let pairs = || (0..NODES).flat_map(|from| (0..NODES).map(move |to| (from, to)));
        loop {
            let mut moved = false;
            for (from, to) in pairs().filter(|(from, to)| from != to) {
                moved |= self.hand_out(from, to);
                while self.control(from, to) || self.message(from, to) {
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn heal(&mut self) {
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            // A session that stands at both ends goes on.
            if self.conn(one, other).is_none() || self.conn(one, other) != self.conn(other, one) {
                self.link(one, other);
            }
        }
        self.ways.values_mut().for_each(|way| way.full = false);
        self.settle();
        self.nodes.iter_mut().for_each(Node::check);
        for at in 0..NODES {
            for which in 0..self.nodes[at].readers.len() {
                self.nodes[at].read(which);
            }
        }
    }

    fn assert_all_is_known(&self) {
        for (to, node) in self.nodes.iter().enumerate() {
            for &topic in node.accounts.keys() {
                for from in (0..NODES).filter(|&from| from != to) {
                    let publisher = &self.nodes[from].hub;
                    // It had no room for all topics that were wanted at some time, and who was
                    // refused does not ask again.
                    if publisher.counters().interest_refused > 0 {
                        continue;
                    }
                    let (stream, seen) = node.seen(from, topic).expect("it was answered");
                    let place = publisher.topics.find(TOPICS[topic]).expect("it is wanted");
                    let topic = &publisher.topics[place];
                    let peer = publisher.names[&name(to)];
                    let receiver = &topic.receivers[topic.position(peer).unwrap()];
                    assert_eq!(stream, topic.stream);
                    assert_eq!(seen, [topic.last_all, receiver.last]);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_message_is_handed_out_or_told_as_missed(ops in vec(op(), 1..250)) {
        // Nothing is lost where nothing stands: begun with links and subscribers.
        let mut world = World::new();
        (0..NODES).for_each(|node| world.subscribe(node, 0, node == 1));
        world.heal();
        for op in ops {
            world.apply(op);
        }
        world.heal();
        world.assert_all_is_known();
    }
}
