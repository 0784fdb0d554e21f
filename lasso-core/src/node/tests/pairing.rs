//! Every order of dial, accept, answer, loss and return of two nodes, up to a bound.
//!
//! A state is two nodes and the connections between them, each with what is on its way in either
//! direction. From a state the search delivers what waits on one connection in one direction, lets
//! time pass to the next deadline, breaks a connection in one of two ways, or takes the power from
//! a node and starts it again. Nodes cannot be copied, so a state is the list of moves that leads to
//! it. After each new state everything is delivered and time passes: both ends must then agree on
//! a single link, and no link may have been given up that nothing had touched.

use super::*;

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
}

struct Model {
    now: Instant,
    nodes: [Node; 2],
    wires: Vec<Wire>,
    lives: u64,
    /// Faults that the search may still add.
    faults: u32,
    lost_any: bool,
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
            Output::Close { conn, .. } => {
                self.put(n, conn, Item::Fin);
                if let Some((w, side)) = self.wire_of(n, conn) {
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

    /// Delivers all that waits in one direction.
    fn deliver(&mut self, w: usize, side: usize) {
        let dialler = self.wires[w].ends[0];
        while let Some(item) = self.wires[w].queues[side].pop_front() {
            if item == Item::Syn {
                let other = 1 - dialler.map_or(0, |(n, _)| n);
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
    fn tick(&mut self) -> Instant {
        let due = |n: usize| (self.nodes[n].poll_timeout().unwrap_or(Instant::ZERO), n);
        let (at, n) = due(0).min(due(1));
        self.now = self.now.max(at);
        self.input(n, Input::Tick);
        self.now
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

    fn make(&mut self, step: Move) {
        match step {
            Move::Deliver(w, side) => return self.deliver(w, side),
            Move::Time => {
                self.tick();
                return;
            }
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
        if self.faults > 0 {
            moves.extend([Move::Return(0), Move::Return(1)]);
        }
        moves
    }

    /// All that matters for what comes next, as text; numbers that only name things are left out.
    fn fingerprint(&self) -> String {
        let mut text = format!("{:?} {} ", self.now, self.faults);
        for (n, node) in self.nodes.iter().enumerate() {
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

    /// Everything is delivered at once from now on, for so long.
    fn settle(&mut self, time: Duration) {
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
        for node in &self.nodes {
            assert_eq!(node.connections(), 1, "a connection is left over");
        }
    }
}

/// Searches all orders of moves from a start, and returns how many states it visited.
fn search(start: impl Fn() -> Model, depth: usize) -> usize {
    let replay = |path: &[Move]| {
        let mut model = start();
        path.iter().for_each(|step| model.make(*step));
        model
    };
    let mut seen = BTreeSet::new();
    let mut frontier = vec![Vec::new()];
    for level in 0..=depth {
        let mut next = Vec::new();
        for path in frontier {
            let mut model = replay(&path);
            if !seen.insert(model.fingerprint()) {
                continue;
            }
            if level < depth {
                next.extend(
                    model
                        .moves()
                        .into_iter()
                        .map(|step| [path.as_slice(), &[step]].concat()),
                );
            }
            let settled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                // A connection that swallows everything is found by its silence.
                let time = if model.lost_any { 100 } else { 10 };
                model.settle(Duration::from_secs(time));
                model.assert_one_link();
            }));
            assert!(settled.is_ok(), "after {path:?}");
        }
        frontier = next;
    }
    seen.len()
}

/// Two nodes that have been linked for a while.
fn linked(faults: u32) -> Model {
    let mut model = Model::new(faults);
    model.settle(Duration::from_secs(20));
    model.assert_one_link();
    model
}

#[test]
fn two_nodes_that_find_each_other_end_with_one_link_whatever_the_order() {
    let states = search(|| Model::new(1), 7);
    assert!(states >= 1_000, "{states}");
}

#[test]
fn a_node_that_lost_power_is_linked_again_whatever_the_order() {
    let mut states = 0;
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
            states += search(start, 8);
        }
    }
    assert!(states >= 1_500, "{states}");
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
        let states = search(start, 9);
        assert!(states >= 900, "{states}");
    }
}
