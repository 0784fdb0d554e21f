//! Every order of dial, accept, answer, loss and return of two nodes, up to a bound.
//!
//! A state is two nodes and the connections between them, each with what is on its way in either
//! direction. From a state the search delivers what waits on one connection in one direction, lets
//! time pass until a deadline has an effect, breaks a connection in one of two ways, takes the power
//! from a node and starts it again, or lets a node leave and starts it again at any later point. Nodes
//! cannot be copied, so a state is the list of moves that leads to it. After each new state everything
//! is delivered and time passes: both ends must then agree on a single link, and no link may have been
//! given up that nothing had touched.
//!
//! Deadlines without an effect on the pair are no moves of their own. If they were, timers that have
//! nothing to do with the pair would use up the depth, and how many orders are tried would depend on
//! how those timers are spread. A search names the situations that it must have reached, since a
//! number of states says little about what they are.

use super::*;

use crate::link::LaneId;

/// What waits in one direction of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Syn,
    SynAck,
    Bytes(Bytes),
    Fin,
}

/// One connection. Side 0 dialled it.
struct Wire {
    /// The node and its name for the connection, on either side; `None` once that side is done.
    ends: [Option<(usize, ConnId)>; 2],
    /// What is on its way to either side.
    queues: [VecDeque<Item>; 2],
    /// Nothing arrives any more, and nobody hears of that.
    lost: bool,
    /// A fault touched it, or one side gave it up for a reason of its own.
    touched: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Move {
    Deliver(usize, usize),
    Time,
    Lose(usize),
    Reset(usize),
    Return(usize),
    Leave(usize),
    Start(usize),
}

struct Model {
    now: Instant,
    nodes: [Node; 2],
    wires: Vec<Wire>,
    lives: u64,
    /// Faults that the search may still add.
    faults: u32,
    lost_any: bool,
    /// Handshakes are delivered one message at a time.
    stepwise: bool,
}

fn member(n: usize, life: u64) -> Node {
    let mut config = NodeConfig::new(name(n), Security::InsecureNull);
    config.peers = vec![name(1 - n)];
    config.settings.dial.second_delay = Duration::ZERO;
    let seed = [n as u8 + 10 * life as u8 + 1; 32];
    Node::new(config, seed, 1000 + life).expect("settings are good")
}

impl Model {
    fn new(faults: u32) -> Self {
        Model {
            now: Instant::ZERO,
            nodes: [member(0, 0), member(1, 0)],
            wires: Vec::new(),
            lives: 0,
            faults,
            lost_any: false,
            stepwise: false,
        }
    }

    fn wire_of(&self, n: usize, conn: ConnId) -> Option<(usize, usize)> {
        let at = |(w, wire): (usize, &Wire)| {
            let side = wire.ends.iter().position(|end| *end == Some((n, conn)))?;
            Some((w, side))
        };
        self.wires.iter().enumerate().find_map(at)
    }

    fn input(&mut self, n: usize, input: Input) {
        let link = self.nodes[n].link(&name(1 - n)).map(|link| link.conn);
        let wire = link.and_then(|conn| self.wire_of(n, conn));
        self.handle(n, input, wire);
    }

    /// `link` is the connection that was the link before.
    fn handle(&mut self, n: usize, input: Input, link: Option<(usize, usize)>) {
        self.nodes[n].handle(self.now, input);
        let mut written = Vec::new();
        while let Some(output) = self.nodes[n].poll_output() {
            if let Output::Send { conn, bytes } = &output {
                let (conn, bytes) = (*conn, bytes.len());
                written.push(Input::Written { conn, bytes });
            }
            self.output(n, output, link);
        }
        for input in written {
            self.input(n, input);
        }
    }

    fn output(&mut self, n: usize, output: Output, link: Option<(usize, usize)>) {
        match output {
            Output::Dial { conn, .. } => self.wires.push(Wire {
                ends: [Some((n, conn)), None],
                queues: [VecDeque::new(), VecDeque::from([Item::Syn])],
                lost: false,
                touched: false,
            }),
            Output::Send { conn, bytes } => self.put(n, conn, Item::Bytes(bytes)),
            Output::Close { conn, reason } => {
                self.put(n, conn, Item::Fin);
                if let Some((w, side)) = self.wire_of(n, conn) {
                    // Slower than the time that both sides have to agree.
                    self.wires[w].touched |= reason == CloseReason::HandshakeTimeout;
                    self.wires[w].ends[side] = None;
                }
            }
            Output::Event(event) => {
                if let Change::NodeDisconnected { reason, .. } = event.change {
                    let (w, _) = link.expect("a link was lost that did not stand");
                    let known = reason == DownReason::Down || self.wires[w].touched;
                    assert!(known, "{n} lost a link that nothing touched: {reason:?}");
                    self.wires[w].touched = true;
                }
            }
            _ => {}
        }
    }

    fn put(&mut self, n: usize, conn: ConnId, item: Item) {
        if let Some((w, side)) = self.wire_of(n, conn) {
            let wire = &mut self.wires[w];
            if !wire.lost {
                wire.queues[1 - side].push_back(item);
            }
        }
    }

    /// Delivers what waits in one direction. While neither end knows who the other one is, the answers
    /// are delivered too: handshakes are alike, and delivered one by one they would use up the depth
    /// before two connections of a pair have anything to do with each other.
    fn deliver(&mut self, w: usize, side: usize) {
        let mut to = side;
        loop {
            self.deliver_one_way(w, to);
            to = 1 - to;
            let wire = &self.wires[w];
            let met = |end: &(usize, ConnId)| {
                let conn = self.nodes[end.0].conns.get(&end.1);
                conn.is_some_and(|conn| conn.step().is_some())
            };
            let strange = wire.ends.iter().flatten().all(|end| !met(end));
            if self.stepwise || !strange || wire.queues[to].is_empty() {
                break;
            }
        }
    }

    fn deliver_one_way(&mut self, w: usize, side: usize) {
        let dialler = self.wires[w].ends[0];
        while let Some(item) = self.wires[w].queues[side].pop_front() {
            if item == Item::Syn {
                let other = 1 - dialler.map_or(0, |(n, _)| n);
                if self.nodes[other].is_stopped() {
                    self.wires[w].queues[0].push_back(Item::Fin);
                    continue;
                }
                let conn = ConnId::In(w as u64);
                self.wires[w].ends[1] = Some((other, conn));
                self.wires[w].queues[0].push_back(Item::SynAck);
                let from = SocketAddr::new(name(1 - other).address().ip(), 40_000);
                self.input(other, Input::Accepted { conn, from });
                continue;
            }
            let Some((n, conn)) = self.wires[w].ends[side] else {
                continue;
            };
            match item {
                Item::Syn | Item::SynAck => self.input(n, Input::Connected { conn }),
                Item::Bytes(bytes) => self.input(n, Input::Received { conn, bytes }),
                Item::Fin => {
                    self.wires[w].ends[side] = None;
                    let error = NetError::Eof;
                    self.input_of_gone(n, conn, w, error);
                }
            }
        }
    }

    /// The end is gone before the node hears of it, so its link is looked up by hand.
    fn input_of_gone(&mut self, n: usize, conn: ConnId, w: usize, error: NetError) {
        let link = self.nodes[n].link(&name(1 - n)).map(|link| link.conn);
        let wire = (link == Some(conn)).then_some((w, 0));
        self.handle(n, Input::Closed { conn, error }, wire);
    }

    /// Lets time pass to the next deadline of either node.
    fn tick(&mut self) {
        let due = |n: usize| Some((self.nodes[n].poll_timeout()?, n));
        let Some((at, n)) = due(0).into_iter().chain(due(1)).min() else {
            return;
        };
        self.now = self.now.max(at);
        self.input(n, Input::Tick);
    }

    /// Lets time pass until that has an effect on the pair.
    fn wait(&mut self) {
        let before = self.picture();
        for _ in 0..DEADLINES_MAX {
            self.tick();
            if self.picture() != before {
                break;
            }
        }
    }

    fn lose(&mut self, w: usize) {
        let wire = &mut self.wires[w];
        (wire.lost, wire.touched) = (true, true);
        wire.queues.iter_mut().for_each(VecDeque::clear);
    }

    fn reset(&mut self, w: usize) {
        let wire = &mut self.wires[w];
        wire.touched = true;
        for queue in &mut wire.queues {
            *queue = VecDeque::from([Item::Fin]);
        }
        wire.lost = true;
    }

    /// The node loses power, and is back at once as a new life.
    fn power_back(&mut self, n: usize) {
        for w in 0..self.wires.len() {
            self.lose(w);
            for end in &mut self.wires[w].ends {
                *end = end.filter(|(of, _)| *of != n);
            }
        }
        self.lives += 1;
        self.nodes[n] = member(n, self.lives);
        self.input(n, Input::Tick);
    }

    /// The node says goodbye and ends.
    fn leave(&mut self, n: usize) {
        for wire in &mut self.wires {
            wire.touched = true;
        }
        let within = Duration::ZERO;
        self.input(n, Input::Command(Command::Leave { within }));
        assert!(self.nodes[n].is_stopped());
        assert_eq!(self.nodes[n].links().count(), 0, "{n} left a link behind");
        assert_eq!(
            self.nodes[n].connections(),
            0,
            "{n} left connections behind"
        );
    }

    /// A node that has left starts again.
    fn start(&mut self, n: usize) {
        self.lives += 1;
        self.nodes[n] = member(n, self.lives);
        self.input(n, Input::Tick);
    }

    fn make(&mut self, step: Move) {
        match step {
            Move::Deliver(w, side) => return self.deliver(w, side),
            Move::Time => return self.wait(),
            Move::Start(n) => return self.start(n),
            Move::Leave(n) => self.leave(n),
            Move::Lose(w) => {
                self.lose(w);
                self.lost_any = true;
            }
            Move::Reset(w) => self.reset(w),
            Move::Return(n) => self.power_back(n),
        }
        self.faults -= 1;
    }

    fn moves(&self) -> Vec<Move> {
        let mut moves = vec![Move::Time];
        for (w, wire) in self.wires.iter().enumerate() {
            let waits = |side: &usize| !wire.queues[*side].is_empty();
            moves.extend((0..2).filter(waits).map(|side| Move::Deliver(w, side)));
            let alive = !wire.lost && wire.ends.iter().all(Option::is_some);
            if alive && self.faults > 0 {
                moves.extend([Move::Lose(w), Move::Reset(w)]);
            }
        }
        for n in 0..2 {
            if self.nodes[n].is_stopped() {
                moves.push(Move::Start(n));
            } else if self.faults > 0 {
                moves.extend([Move::Return(n), Move::Leave(n)]);
            }
        }
        moves
    }

    /// All that matters for what comes next, as text; numbers that only name things are left out.
    fn fingerprint(&self) -> String {
        format!("{:?} {} {}", self.now, self.faults, self.picture())
    }

    /// How far either end of each connection that is open has come.
    fn situation(&self) -> String {
        let step = |end: &Option<(usize, ConnId)>| {
            let Some((n, conn)) = end else {
                return "gone";
            };
            let met = |conn: &Conn| conn.step();
            match self.nodes[*n].conns.get(conn).and_then(|conn| met(conn)) {
                None => "new",
                Some(Step::Asking { .. }) => "asking",
                Some(Step::Passed { .. }) => "passed",
                Some(Step::Proposed { .. }) => "proposed",
                Some(Step::Accepted { .. }) => "accepted",
                Some(Step::Linked) => "linked",
            }
        };
        let open = self.wires.iter().map(|wire| {
            let mut ends = [step(&wire.ends[0]), step(&wire.ends[1])];
            ends.sort_unstable();
            ends.join("-")
        });
        let mut open: Vec<String> = open.filter(|ends| ends != "gone-gone").collect();
        open.sort_unstable();
        open.join(" ")
    }

    /// [`Model::fingerprint`] without the time.
    fn picture(&self) -> String {
        let mut text = String::new();
        for (n, node) in self.nodes.iter().enumerate() {
            text += if node.is_stopped() { "stopped " } else { "" };
            for (id, conn) in &node.conns {
                let step = conn.step().map(|step| match step {
                    Step::Asking { until, offered, .. } => format!("asking {until:?} {offered}"),
                    Step::Passed {
                        unanswered,
                        offered,
                    } => {
                        format!("passed {} {offered}", unanswered.is_some())
                    }
                    Step::Proposed { .. } => "proposed".into(),
                    Step::Accepted { .. } => "accepted".into(),
                    other => format!("{other:?}"),
                });
                text += &format!("{:?} {step:?};", self.wire_of(n, *id));
            }
            text += &format!("{} / ", node.connecting.len());
        }
        for wire in self.wires.iter().filter(|wire| !wire.lost) {
            text += &format!(
                "{:?}|",
                wire.queues.iter().map(VecDeque::len).collect::<Vec<_>>()
            );
        }
        text
    }

    /// Everything is delivered at once from now on, for so long; all nodes run.
    fn settle(&mut self, time: Duration) {
        for n in 0..2 {
            if self.nodes[n].is_stopped() {
                self.start(n);
            }
        }
        let end = self.now + time;
        loop {
            let waiting = (0..self.wires.len()).flat_map(|w| [(w, 0), (w, 1)]);
            let next = waiting
                .into_iter()
                .find(|(w, side)| !self.wires[*w].queues[*side].is_empty());
            if let Some((w, side)) = next {
                self.deliver(w, side);
            } else if self
                .nodes
                .iter()
                .any(|node| node.poll_timeout() <= Some(end))
            {
                self.tick();
            } else {
                break;
            }
        }
        self.now = end;
    }

    fn assert_one_link(&self) {
        let session = |n: usize| self.nodes[n].link(&name(1 - n)).map(|link| link.session);
        assert_eq!(session(0), session(1), "the two ends differ");
        assert!(session(0).is_some(), "there is no link");
        for (n, node) in self.nodes.iter().enumerate() {
            assert_eq!(node.connections(), 1, "a connection is left over");
            let link = node.link(&name(1 - n)).map(|link| link.conn);
            let number = |w: usize| [ConnId::In(w as u64), ConnId::Out(w as u64)];
            for id in (0..self.wires.len()).flat_map(number) {
                let sends = node.plane().lock().lane(id, LaneId::Data).is_some();
                assert_eq!(sends, link == Some(id), "the data plane of {n} and {id}");
            }
        }
    }
}

/// What a search has visited.
#[derive(Default)]
struct Visited {
    states: BTreeSet<String>,
    situations: BTreeSet<String>,
}

impl Visited {
    /// Fails unless some state of the search was in each of these situations, among others.
    fn assert_reached(&self, wanted: &[&str]) {
        let missed: Vec<&&str> = wanted
            .iter()
            .filter(|wanted| {
                let holds = |situation: &String| {
                    let mut rest: Vec<&str> = situation.split(' ').collect();
                    wanted.split(' ').all(|one| {
                        let at = rest.iter().position(|other| *other == one);
                        at.map(|at| rest.remove(at)).is_some()
                    })
                };
                !self.situations.iter().any(holds)
            })
            .collect();
        assert!(
            missed.is_empty(),
            "{missed:?} not in {:#?}",
            self.situations
        );
    }
}

/// Lets everything heal, and expects one link.
fn assert_heals(mut model: Model, path: &[Move]) {
    let settled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // A connection that swallows everything is found by its silence.
        let time = if model.lost_any { 100 } else { 10 };
        model.settle(Duration::from_secs(time));
        model.assert_one_link();
    }));
    assert!(settled.is_ok(), "after {path:?}");
}

/// Searches all orders of moves from a start.
fn search(start: impl Fn() -> Model, depth: usize, visited: &mut Visited) {
    let replay = |path: &[Move]| {
        let mut model = start();
        path.iter().for_each(|step| model.make(*step));
        model
    };
    let mut frontier = vec![Vec::new()];
    for level in 0..=depth {
        let mut next = Vec::new();
        for path in frontier {
            let model = replay(&path);
            if !visited.states.insert(model.fingerprint()) {
                continue;
            }
            visited.situations.insert(model.situation());
            if level < depth {
                let moves = model.moves().into_iter();
                next.extend(moves.map(|step| [path.as_slice(), &[step]].concat()));
            }
            assert_heals(model, &path);
        }
        frontier = next;
    }
}

/// Two nodes that have been linked for a while.
fn linked(faults: u32) -> Model {
    let mut model = Model::new(faults);
    model.settle(Duration::from_secs(20));
    model.assert_one_link();
    model
}

/// Deadlines that may pass without an effect before a wait is taken to have none.
const DEADLINES_MAX: usize = 50;

#[test]
fn two_nodes_that_find_each_other_end_with_one_link_whatever_the_order() {
    let mut visited = Visited::default();
    search(|| Model::new(1), 7, &mut visited);
    let states = visited.states.len();
    assert!(states >= 1_600, "{states}");
    visited.assert_reached(&[
        "passed-passed passed-proposed",
        "accepted-proposed passed-passed",
        "accepted-linked asking-passed",
        "gone-passed passed-proposed",
        "accepted-gone new-passed",
    ]);
}

#[test]
fn a_node_that_lost_power_is_linked_again_whatever_the_order() {
    let (mut states, mut reached) = (0, Visited::default());
    for n in 0..2 {
        for after in [2, 33, 50] {
            let start = || {
                let mut model = linked(0);
                (0..model.wires.len()).for_each(|w| model.lose(w));
                let back = model.now + Duration::from_secs(after);
                while model.nodes[1 - n].poll_timeout() <= Some(back) {
                    model.now = model
                        .now
                        .max(model.nodes[1 - n].poll_timeout().expect("some"));
                    model.input(1 - n, Input::Tick);
                    // Nobody is there to accept.
                    (0..model.wires.len()).for_each(|w| model.lose(w));
                }
                model.now = back;
                model.power_back(n);
                model
            };
            let mut visited = Visited::default();
            search(start, 8, &mut visited);
            states += visited.states.len();
            reached.situations.append(&mut visited.situations);
        }
    }
    assert!(states >= 1_300, "{states}");
    reached.assert_reached(&[
        "asking-passed asking-passed gone-linked",
        "asking-passed gone-linked passed-proposed",
        "gone-linked passed-passed passed-proposed",
        "accepted-proposed gone-linked new-passed",
        "accepted-linked gone-linked",
    ]);
}

#[test]
fn a_silent_link_is_replaced_or_kept_whatever_becomes_of_its_test() {
    for lost in [false, true] {
        let start = || {
            let mut model = linked(1);
            if lost {
                (0..model.wires.len()).for_each(|w| model.lose(w));
            }
            // What is sent waits, so that both ends hear nothing for half a tick time.
            while model.wires.len() == 1 {
                model.tick();
            }
            model
        };
        let mut visited = Visited::default();
        search(start, 7, &mut visited);
        let states = visited.states.len();
        assert!(states >= 1_300, "{states}");
        visited.assert_reached(&[
            "accepted-proposed linked-linked new-passed",
            "accepted-linked gone-linked",
            "accepted-gone linked-linked",
            "gone-passed linked-linked passed-passed",
            "linked-linked passed-proposed",
        ]);
    }
}

/// The searches end after a few moves. Walks go further, with several faults on the way.
#[test]
fn long_walks_with_several_faults_end_with_one_link() {
    for seed in 0..WALKS {
        let mut dice = ChaCha12Rng::seed_from_u64(seed);
        let mut model = if seed % 2 == 0 {
            Model::new(FAULTS)
        } else {
            linked(FAULTS)
        };
        model.stepwise = seed % 4 < 2;
        let mut path = Vec::new();
        for _ in 0..LONG {
            let moves = model.moves();
            // Faults are many among the moves, and are to be few among those that are made.
            let few = dice.next_u32() % 8 != 0;
            let harmless =
                |step: &Move| matches!(step, Move::Deliver(..) | Move::Time | Move::Start(_));
            let moves: Vec<Move> = moves
                .into_iter()
                .filter(|step| !few || harmless(step))
                .collect();
            let step = moves[dice.next_u32() as usize % moves.len()];
            path.push(step);
            let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| model.make(step)));
            assert!(made.is_ok(), "after {path:?}");
        }
        assert_heals(model, &path);
    }
}

/// How many walks, of how many moves, with how many faults.
const WALKS: u64 = 1_000;
const LONG: usize = 60;
const FAULTS: u32 = 6;
