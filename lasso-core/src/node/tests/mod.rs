//! Nodes on a network that delivers at once, or not at all.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::*;

use crate::discovery::{Family, QueryId};
use crate::event::{Change, TOPOLOGY_TOPIC, TopologyEvent};
use crate::link::{Detached, Outflow};
use crate::plane::{Effects, PlaneOutput};
use crate::secure::{Cookie, Security};
use crate::topology::NodeState;

/// What is under way on the network.
enum Packet {
    Connect {
        from: usize,
        conn: ConnId,
        to: SocketAddr,
    },
    Bytes {
        to: usize,
        conn: ConnId,
        bytes: Bytes,
    },
    Closed {
        to: usize,
        conn: ConnId,
        error: NetError,
    },
}

mod members;
mod messaging;
mod pairing;
mod properties;
mod room;

struct World {
    now: Instant,
    nodes: Vec<Option<Node>>,
    /// The other end of each connection.
    ends: BTreeMap<(usize, ConnId), (usize, ConnId)>,
    packets: VecDeque<Packet>,
    next_in: u64,
    /// Hosts that take and give nothing, though their connections stand.
    frozen: BTreeSet<usize>,
    dns: DnsAnswer,
    events: Vec<Vec<TopologyEvent>>,
    notices: Vec<Vec<Notice>>,
    /// What the data planes gave their applications.
    given: Vec<Vec<PlaneOutput>>,
    /// Whether the halves of links are taken out.
    detaches: bool,
    /// Links whose halves are to be taken out, and those of which they were.
    linked: BTreeSet<(usize, ConnId)>,
    taken: BTreeMap<(usize, ConnId), Detached>,
}

fn name(n: usize) -> NodeName {
    format!("lasso@10.0.0.{}", n + 1).parse().expect("a name")
}

fn config(n: usize) -> NodeConfig {
    let current = Cookie::new("a secret of at least thirty-two bytes");
    let mut config = NodeConfig::new(
        name(n),
        Security::Cookie {
            current,
            previous: None,
        },
    );
    config.queries = vec!["lasso.internal".parse().expect("a query")];
    config
}

impl World {
    fn new(configs: Vec<NodeConfig>) -> Self {
        let all = configs
            .iter()
            .map(|c| (c.name.address().ip(), None))
            .collect();
        let mut world = World {
            now: Instant::ZERO,
            nodes: Vec::new(),
            ends: BTreeMap::new(),
            packets: VecDeque::new(),
            next_in: 0,
            frozen: BTreeSet::new(),
            dns: DnsAnswer::Addresses {
                addresses: all,
                truncated: false,
            },
            events: Vec::new(),
            notices: Vec::new(),
            given: Vec::new(),
            detaches: false,
            linked: BTreeSet::new(),
            taken: BTreeMap::new(),
        };
        for (n, config) in configs.into_iter().enumerate() {
            let seed = [n as u8 + 1; 32];
            world.nodes.push(Some(
                Node::new(config, seed, 1000).expect("settings are good"),
            ));
            world.events.push(Vec::new());
            world.notices.push(Vec::new());
            world.given.push(Vec::new());
        }
        world
    }

    fn of(count: usize) -> Self {
        World::new((0..count).map(config).collect())
    }

    fn node(&self, n: usize) -> &Node {
        self.nodes[n].as_ref().expect("it runs")
    }

    fn input(&mut self, n: usize, input: Input) {
        let Some(node) = &mut self.nodes[n] else {
            return;
        };
        node.handle(self.now, input);
        while let Some(output) = self.nodes[n].as_mut().and_then(Node::poll_output) {
            self.output(n, output);
        }
        self.take_over(n);
        self.flush(n);
    }

    /// Takes out the halves of links that came to stand.
    fn take_over(&mut self, n: usize) {
        let linked: Vec<ConnId> = self
            .linked
            .iter()
            .filter(|(of, _)| *of == n && self.detaches)
            .map(|(_, conn)| *conn)
            .collect();
        for conn in linked {
            let Some(node) = &mut self.nodes[n] else {
                return;
            };
            if let Some(halves) = node.detach(conn) {
                self.linked.remove(&(n, conn));
                self.taken.insert((n, conn), halves);
            }
        }
    }

    /// Sends what waits in links whose halves were taken out.
    fn flush(&mut self, n: usize) {
        let (mut records, mut finished) = (Vec::new(), Vec::new());
        let own = self.taken.iter_mut().filter(|((of, _), _)| *of == n);
        for ((_, conn), halves) in own {
            let mut record = Vec::new();
            loop {
                match halves.outbound.poll(self.now, None, &mut record) {
                    Outflow::Record => {
                        records.push((*conn, Bytes::from(core::mem::take(&mut record))));
                    }
                    Outflow::Idle => break,
                    Outflow::Finished => {
                        finished.push(*conn);
                        break;
                    }
                }
            }
        }
        for (conn, bytes) in records {
            if let Some(&(to, conn)) = self.ends.get(&(n, conn)) {
                self.packets.push_back(Packet::Bytes { to, conn, bytes });
            }
        }
        for conn in finished {
            self.taken.remove(&(n, conn));
            self.hang_up(n, conn);
        }
    }

    /// Bytes for a link whose halves were taken out.
    fn receive(&mut self, n: usize, conn: ConnId, bytes: &Bytes) {
        let (Some(halves), Some(_)) = (self.taken.get_mut(&(n, conn)), &self.nodes[n]) else {
            return;
        };
        let (mut events, mut fx) = (Vec::new(), Effects::default());
        let received = halves.inbound.receive(self.now, bytes, &mut events);
        for event in events {
            match event {
                LinkEvent::Frame(frame) => self.input(n, Input::Frame { conn, frame }),
                LinkEvent::Text(mut text) => {
                    let plane = self.node(n).plane().clone();
                    while !text.is_empty() {
                        let taken = plane.lock().receive(self.now, conn, &mut text, &mut fx);
                        assert_eq!(taken, Ok(()));
                    }
                }
                LinkEvent::GivenUp(_) | LinkEvent::Silent => {}
            }
        }
        if let Err(reason) = received {
            self.input(n, Input::Broken { conn, reason });
        }
        if let Some(node) = &mut self.nodes[n] {
            node.carry(fx);
            self.input(n, Input::Tick);
        }
    }

    fn output(&mut self, n: usize, output: Output) {
        match output {
            Output::Resolve { query, family, .. } => {
                let answer = if family == Family::A {
                    self.dns.clone()
                } else {
                    DnsAnswer::Empty
                };
                self.input(
                    n,
                    Input::Resolved {
                        query,
                        family,
                        answer,
                    },
                );
            }
            Output::Dial { conn, to } => {
                self.packets
                    .push_back(Packet::Connect { from: n, conn, to });
            }
            Output::Send { conn, bytes } => {
                if let Some(&(to, other)) = self.ends.get(&(n, conn)) {
                    let length = bytes.len();
                    self.packets.push_back(Packet::Bytes {
                        to,
                        conn: other,
                        bytes,
                    });
                    self.input(
                        n,
                        Input::Written {
                            conn,
                            bytes: length,
                        },
                    );
                }
            }
            // A half that was taken out has the last word.
            Output::Close { conn, .. } if self.taken.contains_key(&(n, conn)) => {}
            Output::Close { conn, .. } => self.hang_up(n, conn),
            Output::Linked { conn } => {
                self.linked.insert((n, conn));
            }
            Output::Plane(given) => self.given[n].push(given),
            Output::Event(event) => self.events[n].push(event),
            Output::Notice(notice) => self.notices[n].push(notice),
            Output::Stopped => {}
        }
    }

    fn hang_up(&mut self, n: usize, conn: ConnId) {
        if let Some((to, other)) = self.ends.remove(&(n, conn)) {
            self.ends.remove(&(to, other));
            let error = NetError::Eof;
            self.packets.push_back(Packet::Closed {
                to,
                conn: other,
                error,
            });
        }
    }

    fn deliver(&mut self, packet: Packet) {
        match packet {
            Packet::Connect { from, conn, to } => {
                let listens = |node: &Option<Node>| {
                    node.as_ref().is_some_and(|n| n.config.name.address() == to)
                };
                let Some(other) = self.nodes.iter().position(listens) else {
                    return self.input(
                        from,
                        Input::Closed {
                            conn,
                            error: NetError::Refused,
                        },
                    );
                };
                self.next_in += 1;
                let accepted = ConnId::In(self.next_in);
                self.ends.insert((from, conn), (other, accepted));
                self.ends.insert((other, accepted), (from, conn));
                let address = SocketAddr::new(name(from).address().ip(), 40_000);
                if !self.frozen.contains(&other) {
                    self.input(
                        other,
                        Input::Accepted {
                            conn: accepted,
                            from: address,
                        },
                    );
                }
                self.input(from, Input::Connected { conn });
            }
            Packet::Bytes { to, conn, bytes } if self.taken.contains_key(&(to, conn)) => {
                self.receive(to, conn, &bytes);
            }
            Packet::Bytes { to, conn, bytes } => self.input(to, Input::Received { conn, bytes }),
            Packet::Closed { to, conn, error } => self.input(to, Input::Closed { conn, error }),
        }
    }

    /// Lets everything happen that happens until then.
    fn run_until(&mut self, end: Instant) {
        loop {
            while let Some(packet) = self.packets.pop_front() {
                let to = match &packet {
                    Packet::Bytes { to, .. } | Packet::Closed { to, .. } => Some(*to),
                    Packet::Connect { .. } => None,
                };
                if !to.is_some_and(|to| self.frozen.contains(&to)) {
                    self.deliver(packet);
                }
            }
            let due = |(n, node): (usize, &Option<Node>)| {
                let runs = !self.frozen.contains(&n);
                Some((node.as_ref().filter(|_| runs)?.poll_timeout()?, n))
            };
            let next = self.nodes.iter().enumerate().filter_map(due).min();
            match next {
                Some((at, n)) if at <= end => {
                    self.now = self.now.max(at);
                    self.input(n, Input::Tick);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn run(&mut self, seconds: u64) {
        self.run_until(self.now + Duration::from_secs(seconds));
    }

    fn crash(&mut self, n: usize) {
        self.nodes[n] = None;
        self.taken.retain(|(of, _), _| *of != n);
        let ends: Vec<ConnId> = self
            .ends
            .keys()
            .filter(|(of, _)| *of == n)
            .map(|(_, conn)| *conn)
            .collect();
        ends.into_iter().for_each(|conn| self.hang_up(n, conn));
    }

    fn restart(&mut self, n: usize, config: NodeConfig, unix_ms: u64) {
        let node = Node::new(config, [100 + n as u8; 32], unix_ms).expect("good settings");
        self.nodes[n] = Some(node);
        // A node's time begins with the world's here, for the sake of one clock.
        self.input(n, Input::Tick);
    }

    fn connected(&self, n: usize) -> usize {
        self.node(n).coverage().connected
    }

    fn changes(&self, n: usize) -> Vec<&Change> {
        self.events[n].iter().map(|event| &event.change).collect()
    }

    fn assert_one_link_per_pair(&self) {
        for n in 0..self.nodes.len() {
            let Some(node) = &self.nodes[n] else { continue };
            for link in node.links() {
                let other = (0..self.nodes.len()).find(|m| name(*m) == link.peer.name);
                let other = self.node(other.expect("a node of that name"));
                let theirs = other.links().find(|l| l.peer.name == node.config.name);
                assert_eq!(theirs.map(|l| l.session), Some(link.session), "{:?}", link);
            }
        }
    }
}

#[test]
fn three_nodes_find_each_other_and_describe_themselves() {
    let mut world = World::of(3);
    world.run(1);
    for n in 0..3 {
        let coverage = world.node(n).coverage();
        assert_eq!(
            (coverage.expected, coverage.connected, coverage.responding),
            (3, 3, 3)
        );
        assert_eq!(coverage.identified, 3);
        assert_eq!(world.node(n).connections(), 2, "no connection is left over");
    }
    world.assert_one_link_per_pair();
}

#[test]
fn both_may_dial_at_once_and_one_link_stands() {
    for count in [2, 3, 10] {
        let mut configs: Vec<NodeConfig> = (0..count).map(config).collect();
        configs
            .iter_mut()
            .for_each(|c| c.settings.dial.second_delay = Duration::ZERO);
        let mut world = World::new(configs);
        world.run(5);
        for n in 0..count {
            assert_eq!(world.connected(n), count);
            assert_eq!(world.node(n).connections(), count - 1);
            assert_eq!(world.node(n).counters().links_replaced, 0);
            let down = |c: &&Change| matches!(c, Change::NodeDisconnected { .. });
            assert_eq!(world.changes(n).into_iter().filter(down).count(), 0);
        }
        world.assert_one_link_per_pair();
    }
}

#[test]
fn an_idle_cluster_stays_whole() {
    let mut world = World::of(3);
    world.run(3600);
    for n in 0..3 {
        assert_eq!(world.connected(n), 3);
        let down = |c: &&Change| matches!(c, Change::NodeDisconnected { .. });
        assert_eq!(world.changes(n).into_iter().filter(down).count(), 0);
        assert_eq!(world.node(n).counters().stalls, 0);
    }
}

#[test]
fn a_crash_is_seen_at_once_and_a_goodbye_is_told_apart() {
    let mut world = World::of(3);
    world.run(60);
    world.crash(2);
    world.run(0);
    let lost = |reason| Change::NodeDisconnected {
        name: name(2),
        reason,
    };
    assert_eq!(world.changes(0).last(), Some(&&lost(DownReason::Closed)));
    world.restart(2, config(2), 2000);
    world.run(10);
    assert_eq!(world.connected(0), 3);
    world.input(
        2,
        Input::Command(Command::Leave {
            within: Duration::ZERO,
        }),
    );
    assert!(world.node(2).is_stopped());
    world.crash(2);
    world.run(0);
    assert_eq!(world.changes(0).last(), Some(&&lost(DownReason::Left)));
}

#[test]
fn a_frozen_peer_is_down_between_three_and_five_quarters_of_the_tick_time() {
    let mut world = World::of(3);
    world.run(100);
    let last = world
        .node(0)
        .links()
        .find(|l| l.peer.name == name(2))
        .expect("linked")
        .last_received;
    world.frozen.insert(2);
    world.run_until(last + Duration::from_secs(45));
    assert_eq!(world.connected(0), 3);
    world.run_until(last + Duration::from_secs(75));
    assert_eq!(world.connected(0), 2);
    let reason = DownReason::Down;
    let down = Change::NodeDisconnected {
        name: name(2),
        reason,
    };
    assert_eq!(world.changes(0).last(), Some(&&down));
    assert_eq!(world.connected(1), 2);
}

#[test]
fn readiness_and_a_new_description_are_heard_at_once() {
    let mut world = World::of(2);
    world.run(1);
    world.input(0, Input::Command(Command::SetReady(true)));
    world.run(0);
    let state = |world: &World| {
        world
            .node(1)
            .topology()
            .member(&name(0))
            .expect("known")
            .state()
    };
    assert_eq!(state(&world), NodeState::Ready);
    world.input(0, Input::Command(Command::SetReady(false)));
    world.run(0);
    assert_eq!(state(&world), NodeState::Responding);
}

#[test]
fn a_wrong_cookie_is_refused_counted_told_once_a_minute_and_not_redialled_for_thirty_seconds() {
    let mut configs: Vec<NodeConfig> = (0..2).map(config).collect();
    let current = Cookie::new("another secret of thirty-two bytes");
    configs[1].security = Security::Cookie {
        current,
        previous: None,
    }
    .into();
    let mut world = World::new(configs);
    world.run(59);
    for n in 0..2 {
        assert_eq!(world.connected(n), 1);
        let counters = world.node(n).counters();
        assert!(counters.dials <= 3, "{}", counters.dials);
        assert!(counters.closed["wrong_cookie"] >= 1);
        assert!(counters.closed_by_peer["wrong_cookie"] >= 1);
        let refused = |notice: &&Notice| matches!(notice, Notice::Refused { .. });
        assert_eq!(world.notices[n].iter().filter(refused).count(), 1);
        assert_eq!(world.events[n], []);
    }
}

#[test]
fn another_cluster_and_another_basename_are_refused_by_name() {
    let mut configs: Vec<NodeConfig> = (0..3).map(config).collect();
    configs[1].cluster = crate::name::Label::new("cluster", "staging").expect("a label");
    configs[2].name = "lasso-4f2a@10.0.0.3".parse().expect("a name");
    let mut world = World::new(configs);
    world.run(30);
    assert_eq!(world.connected(0), 1);
    let counters = world.node(0).counters();
    let total = |reason| {
        let of = |map: &BTreeMap<&str, u64>| map.get(reason).copied().unwrap_or(0);
        of(&counters.closed) + of(&counters.closed_by_peer)
    };
    assert!(total("other_cluster") >= 1);
    assert!(total("other_basename") >= 1);
    let prefix = |notice: &&Notice| matches!(notice, Notice::BasenamePrefix { .. });
    assert_eq!(world.notices[0].iter().filter(prefix).count(), 1);
}

#[test]
fn a_restarted_node_with_an_older_clock_goes_on_above_what_its_peers_know() {
    let mut world = World::of(2);
    world.run(10);
    world.crash(1);
    world.run(5);
    world.restart(1, config(1), 500);
    world.run(20);
    assert_eq!(world.connected(0), 2);
    assert_eq!(world.node(1).identity().incarnation, Incarnation(1001));
    assert_eq!(
        world.node(0).topology().known_incarnation(&name(1)),
        Some(Incarnation(1001))
    );
}

#[test]
fn answers_of_dns_that_say_nothing_remove_nobody() {
    for answer in [DnsAnswer::Failed("refused".into()), DnsAnswer::Empty] {
        let mut world = World::of(3);
        world.run(10);
        world.dns = answer;
        world.run(600);
        assert_eq!(world.connected(0), 3);
        world.crash(1);
        world.run(30);
        world.restart(1, config(1), 5000);
        world.run(10);
        assert_eq!(world.connected(0), 3, "the lost one is still dialled");
    }
}

#[test]
fn inputs_that_name_what_is_gone_change_nothing_and_are_counted() {
    let mut world = World::of(1);
    let conn = ConnId::In(77);
    world.input(
        0,
        Input::Received {
            conn,
            bytes: Bytes::from_static(b"hello"),
        },
    );
    world.input(0, Input::Written { conn, bytes: 5 });
    world.input(
        0,
        Input::Closed {
            conn,
            error: NetError::Reset,
        },
    );
    world.input(
        0,
        Input::Connected {
            conn: ConnId::Out(9),
        },
    );
    let answer = DnsAnswer::Empty;
    world.input(
        0,
        Input::Resolved {
            query: QueryId(9),
            family: Family::A,
            answer,
        },
    );
    assert_eq!(world.node(0).counters().stale_inputs, 2);
    assert_eq!(world.node(0).connections(), 0);
}

#[test]
fn a_stall_is_told_once_however_much_was_waiting() {
    let mut world = World::of(1);
    world.run(10);
    for stalls in 1..=2 {
        world.now += Duration::from_secs(600);
        for n in 0..100 {
            let (conn, bytes) = (ConnId::In(n), Bytes::from_static(b"late"));
            world.input(0, Input::Received { conn, bytes });
        }
        world.input(0, Input::Tick);
        assert_eq!(world.node(0).counters().stalls, stalls);
        let told = |notice: &&Notice| matches!(notice, Notice::Stalled { .. });
        let told = world.notices[0].iter().filter(told).count();
        assert_eq!(told as u64, stalls);
    }
}

#[test]
fn at_most_so_many_handshakes_are_open_and_the_oldest_gives_way() {
    let mut world = World::of(1);
    let from = |n: u64| SocketAddr::new([10, 1, (n / 200) as u8, (n % 200) as u8].into(), 4000);
    for n in 0..300 {
        world.input(
            0,
            Input::Accepted {
                conn: ConnId::In(n),
                from: from(n),
            },
        );
    }
    assert_eq!(world.node(0).connections(), 256);
    for n in 300..400 {
        world.input(
            0,
            Input::Accepted {
                conn: ConnId::In(n),
                from: from(7),
            },
        );
    }
    let of_one = world
        .node(0)
        .conns
        .values()
        .filter(|c| c.remote.ip() == from(7).ip())
        .count();
    assert_eq!(of_one, 64);
    world.run(4);
    assert_eq!(world.node(0).connections(), 0);
    let closed = &world.node(0).counters().closed;
    assert_eq!(
        closed["too_many_handshakes"] + closed["handshake_timeout"],
        400
    );
    let told = world.notices[0].len();
    assert!(told <= 400, "{told}");
}

#[test]
fn a_silent_link_is_replaced_by_a_second_connection_without_a_change_of_membership() {
    let mut world = World::of(2);
    world.run(100);
    let session = |world: &World, n: usize| world.node(n).links().next().expect("linked").session;
    let before = session(&world, 0);
    // The old connection swallows everything from now on; new ones work.
    world.ends.clear();
    world.run(60);
    let after = session(&world, 0);
    assert_ne!(before, after);
    assert_eq!(session(&world, 1), after);
    for n in 0..2 {
        let down = |c: &&Change| matches!(c, Change::NodeDisconnected { .. });
        assert_eq!(world.changes(n).into_iter().filter(down).count(), 0);
        assert_eq!(world.node(n).connections(), 1);
    }
}

#[test]
fn a_newcomer_with_the_name_of_a_node_that_answers_is_refused() {
    let mut world = World::of(3);
    world.run(10);
    // A second process of the first node's name comes up on another machine, and dials the others.
    world.nodes.push(None);
    world.events.push(Vec::new());
    world.notices.push(Vec::new());
    world.restart(3, config(0), 9000);
    world.run(60);
    for n in 0..3 {
        assert_eq!(world.connected(n), 3);
        let down = |c: &&Change| matches!(c, Change::NodeDisconnected { .. });
        assert_eq!(world.changes(n).into_iter().filter(down).count(), 0);
    }
    assert_eq!(world.connected(3), 1);
    assert!(world.node(1).counters().closed["name_taken"] >= 1);
}

#[test]
fn a_newcomer_takes_the_place_of_a_node_that_does_not_answer() {
    let mut world = World::of(2);
    world.run(10);
    // The machine loses its power: nothing says goodbye, and a new life begins.
    world.ends.clear();
    world.nodes[1] = None;
    world.restart(1, config(1), 9000);
    world.run(5);
    let reason = DownReason::Replaced;
    let replaced = Change::NodeDisconnected {
        name: name(1),
        reason,
    };
    assert!(world.changes(0).contains(&&replaced));
    assert_eq!(world.connected(0), 2);
    assert_eq!(
        world.node(0).topology().known_incarnation(&name(1)),
        Some(Incarnation(9000))
    );
}
