//! Members that know the secret and do not keep to the protocol.

use super::*;

use crate::frame::Hello;
use crate::link::{LaneId, Link, Role};

/// The far end of one connection, played by hand.
struct Member {
    link: Link,
    guard: ReplayGuard,
    /// It takes everything and says nothing.
    frozen: bool,
    /// Why the node closed it.
    closed: Option<CloseReason>,
}

/// One node and whoever dialled it.
pub(super) struct Room {
    pub(super) node: Node,
    pub(super) now: Instant,
    members: Vec<Member>,
    pub(super) notices: Vec<Notice>,
}

impl Room {
    fn new() -> Self {
        Room::of(config(0))
    }

    pub(super) fn of(config: NodeConfig) -> Self {
        Room {
            node: Node::new(config, [1; 32], 1000).expect("settings are good"),
            now: Instant::ZERO,
            members: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Connects from the address of host `n`, and says nothing yet.
    fn connect(&mut self, n: usize) -> usize {
        self.connect_from(n, n)
    }

    /// The same from the address of another host.
    pub(super) fn connect_from(&mut self, host: usize, n: usize) -> usize {
        let (config, number) = (config(n), self.members.len());
        let seed = [100 + number as u8; 32];
        let (security, settings) = (&config.security, &config.settings.link);
        let link = Link::new(self.now, Role::Dialer, security, settings, seed);
        self.members.push(Member {
            link,
            guard: ReplayGuard::new(),
            frozen: false,
            closed: None,
        });
        let conn = ConnId::In(number as u64);
        let from = SocketAddr::new(name(host).address().ip(), 40_000);
        self.node.handle(self.now, Input::Accepted { conn, from });
        number
    }

    pub(super) fn say(&mut self, member: usize, frame: &Frame) {
        let link = &mut self.members[member].link;
        link.send(self.now, frame).expect("the lane has room");
        while self.carry() {}
    }

    /// Puts a frame into a lane of a member's link, and hands it over.
    pub(super) fn push(&mut self, member: usize, lane: LaneId, frame: &[u8]) {
        let lanes = self.members[member].link.lanes().clone();
        let pushed = lanes.lock().push(lane, frame, &Bytes::new());
        pushed.expect("the lane has room").wake();
        while self.carry() {}
    }

    /// Hands over what either side has to say; false when that was nothing.
    fn carry(&mut self) -> bool {
        let mut progress = false;
        for (number, member) in self.members.iter_mut().enumerate() {
            let conn = ConnId::In(number as u64);
            if member.frozen {
                continue;
            }
            while let Some(bytes) = member.link.poll_transmit(self.now) {
                member.link.written(self.now, bytes.len());
                self.node.handle(self.now, Input::Received { conn, bytes });
                progress = true;
            }
        }
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Send { conn, bytes } => {
                    let ConnId::In(number) = conn else { continue };
                    let member = &mut self.members[number as usize];
                    let (now, mut events) = (self.now, Vec::new());
                    let _ = member
                        .link
                        .receive(now, &bytes, &mut member.guard, &mut events);
                    let bytes = bytes.len();
                    self.node.handle(now, Input::Written { conn, bytes });
                }
                Output::Close { conn, reason } => {
                    let ConnId::In(number) = conn else { continue };
                    self.members[number as usize].closed = Some(reason);
                }
                Output::Notice(notice) => self.notices.push(notice),
                _ => {}
            }
            progress = true;
        }
        progress
    }

    /// Connects as host `n` in that incarnation, and says so.
    pub(super) fn greet(&mut self, n: usize, incarnation: u64) -> usize {
        let member = self.connect(n);
        self.say(member, &Frame::Hello(hello(n, incarnation)));
        member
    }

    /// The same, and it becomes the link: the node has the smaller name and decides.
    pub(super) fn join(&mut self, n: usize, incarnation: u64) -> usize {
        let member = self.greet(n, incarnation);
        self.say(member, &Frame::Offer);
        assert!(self.node.link(&name(n)).is_some(), "{n} is linked");
        member
    }

    pub(super) fn reason(&self, member: usize) -> Option<&'static str> {
        self.members[member].closed.as_ref().map(CloseReason::name)
    }
}

pub(super) fn hello(n: usize, incarnation: u64) -> Hello {
    let identity = Identity {
        cluster: config(n).cluster,
        name: name(n),
        incarnation: Incarnation(incarnation),
    };
    Hello {
        identity,
        version_min: 1,
        version_max: 1,
        features: BTreeSet::new(),
        tick_ms: 60_000,
        probe: false,
    }
}

#[test]
fn frames_out_of_order_cost_that_one_connection() {
    let mut room = Room::new();
    let honest = room.join(1, 1);
    let early = room.connect(2);
    room.say(early, &Frame::Offer);
    let adopts = room.greet(2, 1);
    room.say(adopts, &Frame::Adopt);
    let greets_twice = room.greet(2, 1);
    room.say(greets_twice, &Frame::Hello(hello(2, 1)));
    let offers_twice = room.join(2, 1);
    room.say(offers_twice, &Frame::Offer);
    for member in [early, adopts, greets_twice, offers_twice] {
        assert_eq!(room.reason(member), Some("garbage"), "{member}");
    }
    assert_eq!(room.node.counters().closed["garbage"], 4);
    assert_eq!(room.reason(honest), None);
    assert_eq!(room.node.links().count(), 1);
    assert_eq!(room.node.connections(), 1 + room.node.connecting.len());
}

#[test]
fn a_close_as_the_first_frame_ends_the_connection_and_nothing_else() {
    let mut room = Room::new();
    room.join(1, 1);
    let epoch = room.node.topology().epoch();
    let leaves = room.connect(2);
    room.say(leaves, &Frame::Close(CloseReason::Left));
    assert_eq!(room.reason(leaves), Some("left"));
    assert_eq!(room.node.counters().closed_by_peer["left"], 1);
    assert_eq!(room.node.topology().epoch(), epoch);
    assert_eq!(room.node.links().count(), 1);
}

#[test]
fn a_member_that_lies_about_later_lives_costs_the_links_once() {
    let mut room = Room::new();
    for n in 0..50 {
        let liar = room.connect(2);
        let known = room.node.identity().incarnation;
        room.say(liar, &Frame::Close(CloseReason::StaleIncarnation { known }));
        assert_eq!(room.node.identity().incarnation, Incarnation(1001), "{n}");
        room.now += Duration::from_millis(10);
    }
    assert_eq!(room.node.counters().renumberings_held, 49);
    let told = |notice: &&Notice| matches!(notice, Notice::Renumbered { .. });
    assert_eq!(room.notices.iter().filter(told).count(), 1);
    // What comes later may be the truth: another peer that knows another life.
    room.now += Duration::from_secs(1);
    let known = Incarnation(2000);
    let peer = room.connect(3);
    room.say(peer, &Frame::Close(CloseReason::StaleIncarnation { known }));
    assert_eq!(room.node.identity().incarnation, Incarnation(2001));
    // Nothing is above the last one.
    room.now += Duration::from_secs(3600);
    let known = Incarnation(u64::MAX);
    let liar = room.connect(2);
    room.say(liar, &Frame::Close(CloseReason::StaleIncarnation { known }));
    assert_eq!(room.node.identity().incarnation, Incarnation(2001));
}

#[test]
fn only_the_node_that_was_asked_can_answer_for_its_name() {
    let mut room = Room::new();
    let standing = room.join(1, 1);
    let other = room.join(2, 1);
    room.members[standing].frozen = true;
    let newcomer = room.greet(1, 2);
    for number in 0..10 {
        room.say(other, &Frame::Pong(number));
    }
    assert_eq!(room.reason(newcomer), None, "the answer of a stranger");
    room.members[standing].frozen = false;
    while room.carry() {}
    assert_eq!(room.reason(newcomer), Some("name_taken"));
    assert_eq!(
        [room.reason(standing), room.reason(other)],
        [None, None],
        "both links stand"
    );
}

#[test]
fn a_node_that_answers_late_keeps_its_name_while_a_newcomer_waits() {
    let mut world = World::of(2);
    world.run(10);
    // A second process of the second node's name dials the first one, which asks the second node.
    world.nodes.push(None);
    world.events.push(Vec::new());
    world.notices.push(Vec::new());
    world.restart(2, config(1), 9000);
    // The question, and what the newcomer says after it, are slow.
    let mut slow = Vec::new();
    while let Some(packet) = world.packets.pop_front() {
        let asking = |conn: &Conn| matches!(conn.step(), Some(Step::Asking { .. }));
        let asks = world.node(0).conns.values().any(|conn| asking(conn));
        let is_slow = match &packet {
            Packet::Bytes { to: 1, .. } => true,
            Packet::Bytes { to: 0, conn, .. } => {
                let from = world.ends.get(&(0, *conn)).map(|(from, _)| *from);
                asks && from == Some(2)
            }
            _ => false,
        };
        if is_slow {
            slow.push(packet);
        } else {
            world.deliver(packet);
        }
    }
    world.now += Duration::from_millis(2_500);
    world.input(0, Input::Tick);
    let passed = |conn: &Conn| matches!(conn.step(), Some(Step::Passed { unanswered, .. }) if unanswered.is_some());
    assert!(world.node(0).conns.values().any(|conn| passed(conn)));
    for packet in slow {
        world.deliver(packet);
        while let Some(packet) = world.packets.pop_front() {
            world.deliver(packet);
        }
    }
    assert_eq!(world.node(0).counters().closed["name_taken"], 1);
    let down = |c: &&Change| matches!(c, Change::NodeDisconnected { .. });
    assert_eq!(world.changes(0).into_iter().filter(down).count(), 0);
    assert_eq!(world.connected(0), 2);
}

#[test]
fn a_node_does_not_dial_a_stranger_that_has_just_dialled_it() {
    // Of some of these pairs the first node goes first, of others the second one.
    let mut configs: Vec<NodeConfig> = (0..8).map(config).collect();
    for (n, config) in configs.iter_mut().enumerate() {
        config.queries.clear();
        config.peers = if n == 0 { Vec::new() } else { vec![name(0)] };
    }
    let mut world = World::new(configs);
    world.run(10);
    assert_eq!(world.connected(0), 8);
    assert_eq!(world.node(0).counters().dials, 0);
}
