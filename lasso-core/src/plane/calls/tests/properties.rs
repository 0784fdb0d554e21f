//! Three nodes that ask each other whatever, over links that stall and are cut; and bytes of
//! strangers.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::plane::calls::wire;

const NODES: usize = 3;
const WAITING_MAX: usize = 24;
const HANDLERS_MAX: usize = 6;

#[derive(Debug, Clone)]
enum Step {
    Call {
        from: usize,
        to: u8,
        method: &'static str,
        timeout_ms: u64,
    },
    CallMany {
        from: usize,
        to: Vec<u8>,
        timeout_ms: u64,
    },
    Cancel {
        nth: usize,
    },
    CancelMany {
        nth: usize,
    },
    Take {
        nth: usize,
    },
    /// The oldest frame in one of the queues arrives.
    Deliver {
        queue: usize,
    },
    Answer {
        node: usize,
        nth: usize,
        how: u8,
    },
    /// Both ends of a link are down, one after the other; what was under way is lost.
    Cut {
        pair: usize,
        first: bool,
    },
    /// A new link of a pair; it may take the place of one that stands.
    Link {
        pair: usize,
    },
    Full {
        node: usize,
        full: bool,
    },
    Pass {
        millis: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..NODES;
    let method = prop_oneof![4 => Just("echo"), 1 => Just("none")];
    // Node 4 is never there.
    let to = 1..=4_u8;
    prop_oneof![
        6 => (node.clone(), to.clone(), method, 0..400_u64)
            .prop_map(|(from, to, method, timeout_ms)| Step::Call { from, to, method, timeout_ms }),
        2 => (node.clone(), vec(to, 0..5), 0..400_u64)
            .prop_map(|(from, to, timeout_ms)| Step::CallMany { from, to, timeout_ms }),
        1 => any::<usize>().prop_map(|nth| Step::Cancel { nth }),
        1 => any::<usize>().prop_map(|nth| Step::CancelMany { nth }),
        2 => any::<usize>().prop_map(|nth| Step::Take { nth }),
        12 => any::<usize>().prop_map(|queue| Step::Deliver { queue }),
        6 => (node.clone(), any::<usize>(), 0..4_u8)
            .prop_map(|(node, nth, how)| Step::Answer { node, nth, how }),
        1 => (node.clone(), any::<bool>()).prop_map(|(pair, first)| Step::Cut { pair, first }),
        2 => node.clone().prop_map(|pair| Step::Link { pair }),
        1 => (node, any::<bool>()).prop_map(|(node, full)| Step::Full { node, full }),
        3 => (0..200_u64).prop_map(|millis| Step::Pass { millis }),
    ]
}

/// What a caller knows of its call.
struct Asked<Id> {
    node: usize,
    id: Id,
    to: Vec<u8>,
    /// Stands at the start of the question, and so of every answer.
    tag: u32,
    deadline: Instant,
    over: bool,
}

/// Nodes 1 to 3, who asked what, and what is under way.
struct World {
    now: Instant,
    sides: Vec<Side>,
    /// The connections that each end takes for a link, with the pair.
    links: BTreeMap<ConnId, usize>,
    next_conn: u64,
    /// By connection, receiving node, and whether it is the control lane.
    queues: BTreeMap<(ConnId, usize, bool), VecDeque<Vec<u8>>>,
    calls: Vec<Asked<CallId>>,
    gathers: Vec<Asked<GatherId>>,
    next_tag: u32,
    wakes: BTreeMap<(usize, bool, u64), u32>,
}

/// The two nodes of a pair.
fn ends(pair: usize) -> [usize; 2] {
    [pair, (pair + 1) % NODES]
}

impl World {
    fn new() -> Self {
        let settings = CallSettings {
            waiting_max: WAITING_MAX,
            handlers_max: HANDLERS_MAX,
            ..CallSettings::default()
        };
        let mut world = World {
            now: at(0),
            sides: (1..=3).map(|me| Side::new(me, &settings)).collect(),
            links: BTreeMap::new(),
            next_conn: 0,
            queues: BTreeMap::new(),
            calls: Vec::new(),
            gathers: Vec::new(),
            next_tag: 0,
            wakes: BTreeMap::new(),
        };
        for side in &mut world.sides {
            side.calls.serve("echo").unwrap();
        }
        (0..NODES).for_each(|pair| world.link(pair));
        world
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Call {
                from,
                to,
                method,
                timeout_ms,
            } => self.call(from, to, method, timeout_ms),
            Step::CallMany {
                from,
                to,
                timeout_ms,
            } => self.call_many(from, to, timeout_ms),
            Step::Cancel { nth } => {
                if let Some(call) = nth.checked_rem(self.calls.len()) {
                    let call = &mut self.calls[call];
                    self.sides[call.node].calls.cancel_call(call.id);
                    call.over = true;
                }
            }
            Step::CancelMany { nth } => {
                if let Some(gather) = nth.checked_rem(self.gathers.len()) {
                    let gather = &mut self.gathers[gather];
                    self.sides[gather.node].calls.cancel_gather(gather.id);
                    gather.over = true;
                }
            }
            Step::Take { nth } => {
                if let Some(nth) = nth.checked_rem(self.calls.len()) {
                    self.take(nth);
                }
                if let Some(nth) = nth.checked_rem(self.gathers.len()) {
                    self.take_many(nth);
                }
            }
            Step::Deliver { queue } => self.deliver(queue),
            Step::Answer { node, nth, how } => self.answer(node, nth, how),
            Step::Cut { pair, first } => self.cut(pair, first),
            Step::Link { pair } => self.link(pair),
            Step::Full { node, full } => self.sides[node].lanes.full = full,
            Step::Pass { millis } => self.pass(millis),
        }
        self.collect();
    }

    /// Puts what went out under way, and counts whom was to be woken.
    fn collect(&mut self) {
        for node in 0..NODES {
            let side = &mut self.sides[node];
            side.calls.assert_invariants();
            assert!(side.calls.serving() <= HANDLERS_MAX);
            assert!(side.calls.waiting() <= WAITING_MAX);
            let control = side.lanes.control.drain(..).map(|out| (out, true));
            let calls = side.lanes.calls.drain(..).map(|out| (out, false));
            for ((conn, frame), control) in control.chain(calls) {
                // What goes out on a connection that is cut already is lost.
                if let Some(&pair) = self.links.get(&conn) {
                    let to = ends(pair).into_iter().find(|&end| end != node).unwrap();
                    let queue = self.queues.entry((conn, to, control)).or_default();
                    queue.push_back(frame);
                }
            }
            for wake in side.fx.wakes.drain(..) {
                let key = match wake {
                    Wake::Call(id) => (node, false, id.0),
                    Wake::Gather(id) => (node, true, id.0),
                    Wake::Request(id) => {
                        let open = side.fx.requests.len();
                        side.fx.requests.retain(|request| request.id != id);
                        assert_eq!(side.fx.requests.len() + 1, open, "told of one, once");
                        continue;
                    }
                    other => panic!("{other:?}"),
                };
                *self.wakes.entry(key).or_default() += 1;
            }
        }
    }

    fn question(&mut self) -> (u32, Bytes) {
        self.next_tag += 1;
        let payload = Bytes::copy_from_slice(&self.next_tag.to_be_bytes());
        (self.next_tag, payload)
    }

    fn call(&mut self, node: usize, to: u8, method: &'static str, timeout_ms: u64) {
        let (tag, payload) = self.question();
        let timeout = Duration::from_millis(timeout_ms);
        let question = Question {
            method,
            payload: &payload,
            timeout: Some(timeout),
        };
        let Side { calls, lanes, fx } = &mut self.sides[node];
        if let Ok(id) = calls.call(self.now, &name(to), &question, lanes, fx) {
            let deadline = self.now + timeout;
            self.calls.push(Asked {
                node,
                id,
                to: vec![to],
                tag,
                deadline,
                over: false,
            });
        }
    }

    fn call_many(&mut self, node: usize, to: Vec<u8>, timeout_ms: u64) {
        let (tag, payload) = self.question();
        let timeout = Duration::from_millis(timeout_ms);
        let question = Question {
            method: "echo",
            payload: &payload,
            timeout: Some(timeout),
        };
        let names: Vec<_> = to.iter().map(|&to| name(to)).collect();
        let Side { calls, lanes, fx } = &mut self.sides[node];
        if let Ok(id) = calls.call_many(self.now, &names, &question, lanes, fx) {
            let deadline = self.now + timeout;
            self.gathers.push(Asked {
                node,
                id,
                to,
                tag,
                deadline,
                over: false,
            });
        }
    }

    fn deliver(&mut self, queue: usize) {
        self.queues.retain(|_, frames| !frames.is_empty());
        let Some(nth) = queue.checked_rem(self.queues.len()) else {
            return;
        };
        let (&(conn, to, _), frames) = self.queues.iter_mut().nth(nth).unwrap();
        let frame = frames.pop_front().unwrap();
        self.sides[to].receive(self.now, conn, &frame).unwrap();
    }

    fn answer(&mut self, node: usize, nth: usize, how: u8) {
        let side = &mut self.sides[node];
        let Some(nth) = nth.checked_rem(side.fx.requests.len()) else {
            return;
        };
        let request = side.fx.requests.swap_remove(nth);
        let answer = match how {
            0 => Answer::Malformed("why".into()),
            1 => Answer::Rejected(rejected(7, "no")),
            _ => Answer::Done([&request.payload[..], &[node as u8 + 1]].concat().into()),
        };
        side.answer(request.id, answer);
    }

    fn cut(&mut self, pair: usize, first: bool) {
        let conns: Vec<_> = self
            .links
            .iter()
            .filter(|(_, p)| **p == pair)
            .map(|(c, _)| *c)
            .collect();
        for conn in conns {
            self.links.remove(&conn);
            self.queues.retain(|(on, ..), _| *on != conn);
            let [a, b] = ends(pair);
            let order = if first { [a, b] } else { [b, a] };
            order
                .into_iter()
                .for_each(|end| self.sides[end].link_down(conn));
        }
        // Nothing waits on a lost link.
        let [a, b] = ends(pair);
        for nth in 0..self.calls.len() {
            let call = &self.calls[nth];
            let between = [(a, b), (b, a)].map(|(from, to)| (from, vec![to as u8 + 1]));
            if !call.over && between.contains(&(call.node, call.to.clone())) {
                self.take(nth);
                assert!(self.calls[nth].over, "it waits for a link that is lost");
            }
        }
    }

    fn link(&mut self, pair: usize) {
        let conn = ConnId::Out(self.next_conn);
        self.next_conn += 1;
        let [a, b] = ends(pair);
        self.sides[a].calls.link_up(conn, &name(b as u8 + 1));
        self.sides[b].calls.link_up(conn, &name(a as u8 + 1));
        self.links.insert(conn, pair);
    }

    /// Time passes; each machine is asked again at each of its deadlines.
    fn pass(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        for side in &mut self.sides {
            while let Some(due) = side.calls.deadline().filter(|due| *due <= until) {
                let waiting = side.calls.waiting();
                side.tick(due);
                assert!(
                    side.calls.waiting() < waiting,
                    "a deadline is that of a call that waits"
                );
            }
        }
        self.now = until;
    }

    /// Takes an outcome, if it is there; it must be by the deadline.
    fn take(&mut self, nth: usize) {
        let (now, asked) = (self.now, &mut self.calls[nth]);
        let outcome = self.sides[asked.node].calls.poll_call(asked.id, None);
        match outcome {
            Some(outcome) => {
                assert!(
                    !asked.over,
                    "a second outcome, or one of a call that was given up"
                );
                asked.over = true;
                asked.check(asked.to[0], &outcome);
            }
            None => assert!(asked.over || now < asked.deadline, "no outcome in time"),
        }
    }

    fn take_many(&mut self, nth: usize) {
        let (now, asked) = (self.now, &mut self.gathers[nth]);
        match self.sides[asked.node].calls.poll_gather(asked.id, None) {
            Some(gathered) => {
                assert!(
                    !asked.over,
                    "a second outcome, or one of a call that was given up"
                );
                asked.over = true;
                let names: Vec<_> = gathered
                    .outcomes
                    .iter()
                    .map(|(name, _)| name.clone())
                    .collect();
                let expected: Vec<_> = asked.to.iter().map(|&to| name(to)).collect();
                assert_eq!(names, expected, "one per node asked, in the order asked");
                for (&to, (_, outcome)) in asked.to.iter().zip(&gathered.outcomes) {
                    asked.check(to, outcome);
                }
            }
            None => assert!(asked.over || now < asked.deadline, "not complete in time"),
        }
    }

    /// Everything that waits comes to its end.
    fn settle(&mut self) {
        self.pass(1_000);
        self.collect();
        (0..self.calls.len()).for_each(|nth| self.take(nth));
        (0..self.gathers.len()).for_each(|nth| self.take_many(nth));
        assert!(self.calls.iter().all(|call| call.over));
        assert!(self.gathers.iter().all(|gather| gather.over));
        for node in 0..NODES {
            while !self.sides[node].fx.requests.is_empty() {
                self.step(Step::Answer {
                    node,
                    nth: 0,
                    how: 2,
                });
            }
        }
        while self.queues.values().any(|frames| !frames.is_empty()) {
            self.step(Step::Deliver { queue: 0 });
            for node in 0..NODES {
                self.step(Step::Answer {
                    node,
                    nth: 0,
                    how: 2,
                });
            }
        }
        for side in &self.sides {
            assert_eq!((side.calls.waiting(), side.calls.serving()), (0, 0));
            assert_eq!(side.calls.deadline(), None);
            let count = side.calls.counters();
            assert_eq!(count.started, count.outcomes() + count.cancelled);
        }
        assert!(
            self.wakes.values().all(|&times| times == 1),
            "woken more than once"
        );
    }

    /// Every node asks every other one, over links that stand.
    fn everybody_answers(&mut self) {
        self.sides
            .iter_mut()
            .for_each(|side| side.lanes.full = false);
        for pair in 0..NODES {
            self.cut(pair, true);
            self.link(pair);
        }
        for from in 0..NODES {
            self.call_many(from, vec![1, 2, 3], 500);
            let asked = self.gathers.last().unwrap();
            let (node, id) = (asked.node, asked.id);
            assert_eq!(node, from);
            self.collect();
            while self.sides.iter().any(|side| !side.fx.requests.is_empty())
                || self.queues.values().any(|frames| !frames.is_empty())
            {
                self.step(Step::Deliver { queue: 0 });
                (0..NODES).for_each(|node| {
                    self.step(Step::Answer {
                        node,
                        nth: 0,
                        how: 2,
                    })
                });
            }
            let gathered = self.sides[node].calls.poll_gather(id, None).unwrap();
            assert!(gathered.outcomes.iter().all(|(_, outcome)| outcome.is_ok()));
        }
    }
}

impl<Id> Asked<Id> {
    /// An answer is that of the node asked, to this question.
    fn check(&self, to: u8, outcome: &Result<Bytes, CallError>) {
        match outcome {
            Ok(answer) => assert_eq!(answer[..], [&self.tag.to_be_bytes()[..], &[to]].concat()),
            Err(CallError::TooLarge { .. }) => panic!("nothing was too large"),
            Err(_) => (),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_call_has_one_outcome_by_its_deadline_whatever_happens(steps in vec(step(), 1..250)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.settle();
        world.everybody_answers();
    }

    #[test]
    fn whatever_strangers_say_is_refused_or_bounded(
        bodies in vec((any::<bool>(), any::<bool>(), vec(any::<u8>(), 0..200)), 1..60),
        calls in vec((0..8_u64, any::<u64>(), 0..3_usize), 0..40),
    ) {
        let settings = CallSettings { handlers_max: HANDLERS_MAX, ..CallSettings::default() };
        let (mut one, _) = pair_with(&settings);
        one.calls.serve("echo").unwrap();
        let mine: Vec<_> = (0..4).map(|_| one.call(at(0), 2, "echo").unwrap()).collect();
        for (number, millis, method) in calls {
            let mut frame = Vec::new();
            let method = ["echo", "none", "e"][method];
            wire::put_call(&mut frame, number, Duration::from_millis(millis), method, 0);
            one.receive(at(0), LINK, &frame).unwrap();
        }
        for (is_call, linked, bytes) in bodies {
            let conn = if linked { LINK } else { ConnId::In(99) };
            let kind = if is_call { kind::CALL } else { kind::ANSWER };
            let mut frame = Vec::new();
            codec::put(kind, &bytes, &mut frame);
            let before = one.calls.counters().clone();
            if one.receive(at(0), conn, &frame).is_err() {
                prop_assert_eq!(&before, one.calls.counters(), "nothing is changed");
            }
        }
        prop_assert!(one.calls.serving() <= HANDLERS_MAX);
        prop_assert!(one.fx.requests.len() <= HANDLERS_MAX);
        one.tick(at(5000));
        for id in mine {
            prop_assert!(one.outcome(id).is_some());
            prop_assert!(one.outcome(id).is_none());
        }
    }

    #[test]
    fn any_body_reads_as_a_value_or_an_error(bytes in vec(any::<u8>(), 0..64)) {
        if let Ok(head) = wire::read_call(&bytes) {
            prop_assert!((1..=METHOD_BYTES_MAX).contains(&head.method.len()));
            prop_assert!(head.payload_at <= bytes.len());
        }
        if let Ok((_, wire::Verdict::Rejected(reject))) = wire::read_answer(bytes.into()) {
            prop_assert!(reject.message.len() <= REJECT_BYTES_MAX);
        }
    }
}
