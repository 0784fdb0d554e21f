//! A sender, receivers, their disks and the network between them, one step at a time.
//!
//! A step is the smallest thing that can happen. Each disk keeps what was synced, and a crash loses the rest.

mod choices;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

pub(super) use choices::Step;

use super::{OUTBOX, node};
use crate::name::{Label, NodeName};
use crate::outbox::{
    Batch, BatchAnswer, EventId, Fate, InboxSettings, Input, Offered, OutboxId, OutboxSettings,
    Output, PersistProblem, Receiver, Recorded, Recording, Records, SendError, Sender, Stored,
    Tried, Verdict, Write, WriteId,
};
use crate::time::Instant;

#[derive(Debug)]
struct Open {
    outbox: OutboxId,
    call: u64,
    /// Effects of a transaction that is not committed.
    effects: Vec<Effect>,
    to_store: Option<Recorded>,
    is_read: bool,
}

/// An event's number and its payload.
type Effect = (u64, String);

#[derive(Debug)]
struct Node {
    name: NodeName,
    is_linked: bool,
    receiver: Receiver,
    /// Which of the world's stores it has.
    store: usize,
    open: Option<Open>,
}

#[derive(Debug)]
pub(super) struct World {
    now: Instant,
    settings: OutboxSettings,
    recording: Recording,
    shared: Option<Label>,
    /// What the sender's disk has synced.
    disk: Stored,
    pub(super) sender: Sender,
    writing: Option<(WriteId, Vec<Write>)>,
    calls: u64,
    /// The call that the sender waits for.
    call: Option<u64>,
    network: Vec<(u64, NodeName, Batch)>,
    answers: Vec<(u64, BatchAnswer)>,
    nodes: Vec<Node>,
    stores: Vec<Records>,
    /// What receivers have applied, in order.
    pub(super) applied: Vec<Effect>,
    payloads: BTreeMap<EventId, String>,
    sent: u64,
    /// Events that the caller was told are kept.
    kept: BTreeSet<String>,
    /// Events that the caller was told are not.
    refused: BTreeSet<String>,
    /// What has happened, for a test that fails.
    steps: Vec<Step>,
    /// Whether a receiver was killed between an effect and its record.
    pub(super) may_repeat: bool,
}

impl World {
    /// Two receivers, linked; with a shared store or one each.
    pub(super) fn new(settings: OutboxSettings, recording: Recording, shares: bool) -> Self {
        let now = Instant::ZERO;
        let disk = Stored::new(OUTBOX);
        let shared = shares.then(|| Label::new("store", "shop").expect("a label"));
        let mut world = World {
            now,
            sender: Sender::with_store(now, 0, settings.clone(), disk.clone()),
            settings,
            recording,
            shared,
            disk,
            writing: None,
            calls: 0,
            call: None,
            network: Vec::new(),
            answers: Vec::new(),
            nodes: Vec::new(),
            stores: vec![Records::default(), Records::default()],
            applied: Vec::new(),
            payloads: BTreeMap::new(),
            sent: 0,
            kept: BTreeSet::new(),
            refused: BTreeSet::new(),
            steps: Vec::new(),
            may_repeat: false,
        };
        for (n, name) in ["a@10.0.0.1", "b@10.0.0.2"].into_iter().enumerate() {
            let store = if shares { 0 } else { n };
            world.nodes.push(Node {
                name: node(name),
                is_linked: true,
                receiver: world.receiver(store),
                store,
                open: None,
            });
        }
        world.connect();
        world
    }

    /// A receiver as it starts.
    fn receiver(&self, store: usize) -> Receiver {
        let inbox = InboxSettings {
            unknown_after: Duration::ZERO,
            ..InboxSettings::default()
        };
        let mut receiver = Receiver::new(self.now, inbox, self.recording, self.shared.clone());
        receiver.know("good");
        if self.recording == Recording::After {
            for record in self.stores[store].iter() {
                assert_eq!(receiver.recover(record.clone()), []);
            }
        }
        receiver
    }

    fn connect(&mut self) {
        let linked = self.nodes.iter().filter(|node| node.is_linked);
        let linked = linked.map(|node| node.name.clone()).collect();
        self.sender.handle(self.now, Input::Connected(linked));
        self.drain();
    }

    /// Executes what the sender orders.
    fn drain(&mut self) {
        while let Some(output) = self.sender.poll_output() {
            match output {
                Output::Persist(id, writes) => {
                    assert!(self.writing.is_none(), "one group at a time");
                    self.writing = Some((id, writes));
                }
                Output::Send { to, batch, .. } => {
                    assert!(self.call.is_none(), "one batch at a time");
                    self.calls += 1;
                    self.call = Some(self.calls);
                    let batch = Batch::decode(&batch.encode()).expect("a batch");
                    assert!(batch.events.len() <= self.settings.batch_max);
                    for event in &batch.events {
                        let on_disk = self.disk.events.contains(event);
                        assert!(on_disk, "{event:?} is sent before it is stored");
                    }
                    let attached = self.disk.attached.as_ref().expect("stored before the try");
                    assert_eq!(attached.node, to);
                    self.network.push((self.calls, to, batch));
                }
                Output::Told(id, fate) => self.told(id, fate),
            }
        }
        assert!(self.sender.len() <= self.settings.queue_max);
        assert!(self.sender.bytes() <= self.settings.queue_bytes_max);
        assert!(self.sender.dead_letters().count() <= self.settings.dead_max);
    }

    fn told(&mut self, id: EventId, fate: Fate) {
        let payload = self.payloads[&id].clone();
        match fate {
            Fate::Kept => assert!(self.kept.insert(payload)),
            Fate::NotKept(SendError::Store(PersistProblem::Full(_))) => {
                assert!(self.refused.insert(payload));
            }
            Fate::Applied(_) => assert!(payload.starts_with("good"), "{payload} was applied"),
            Fate::Rejected(_, refusal) => {
                assert!(payload.starts_with("bad"), "{payload}: {refusal}");
            }
            Fate::NotKept(_) | Fate::Held | Fate::Gone(_) => {}
        }
    }

    fn restart_sender(&mut self) {
        (self.writing, self.call) = (None, None);
        let (settings, disk) = (self.settings.clone(), self.disk.clone());
        self.sender = Sender::with_store(self.now, 0, settings, disk);
        self.connect();
    }

    pub(super) fn step(&mut self, step: Step) {
        self.now += Duration::from_millis(1);
        self.steps.push(step);
        match step {
            Step::Send { good } => self.send(good),
            Step::Sync | Step::SyncFull | Step::SyncFails { .. } => self.sync(step),
            Step::KillSender { stored } => {
                if let Some((_, writes)) = self.writing.take().filter(|_| stored) {
                    self.store(&writes);
                }
                self.restart_sender();
            }
            Step::Arrive => self.arrive(),
            Step::Work(n) => self.work(n, false),
            Step::PutOff(n) => self.work(n, true),
            Step::StoreFails(n, stored) => self.store_record(n, stored, true),
            Step::KillNode(n) => self.kill_node(n),
            Step::Answer => {
                let (call, answer) = self.answers.remove(0);
                if self.call.take_if(|waits| *waits == call).is_some() {
                    self.sender.handle(self.now, Input::Answered(answer));
                }
            }
            Step::TimeOut => self.fail(Tried::Unknown),
            Step::Refuse => {
                let call = self.call;
                self.network.retain(|(copy, ..)| Some(*copy) != call);
                self.fail(Tried::NotDone);
            }
            Step::Link(n) => {
                self.nodes[n].is_linked = !self.nodes[n].is_linked;
                self.connect();
            }
            Step::Tick => {
                let due = self.sender.poll_timeout();
                self.now = self.now.max(due.unwrap_or(self.now));
                self.sender.handle(self.now, Input::Tick);
            }
        }
        self.drain();
    }

    fn send(&mut self, good: bool) {
        self.sent += 1;
        let kind = if good { "good" } else { "bad" };
        let payload = format!("{kind} {}", self.sent);
        let bytes = payload.clone().into();
        if let Ok(sent) = self.sender.send(self.now, 0, kind, bytes) {
            self.payloads.insert(sent.id, payload);
        }
    }

    fn sync(&mut self, step: Step) {
        let Some((id, writes)) = self.writing.take() else {
            return;
        };
        let input = match step {
            Step::SyncFull => Input::PersistFailed(id, PersistProblem::Full("0 bytes left".into())),
            Step::SyncFails { stored } => {
                if stored {
                    self.store(&writes);
                }
                Input::PersistFailed(id, PersistProblem::Broken("an IO error".into()))
            }
            _ => {
                self.store(&writes);
                Input::Persisted(id)
            }
        };
        self.sender.handle(self.now, input);
    }

    fn store(&mut self, writes: &[Write]) {
        for write in writes {
            self.disk.apply(write);
        }
    }

    fn fail(&mut self, tried: Tried) {
        if self.call.take().is_some() {
            self.sender.handle(self.now, Input::Failed(tried));
        }
    }

    fn arrive(&mut self) {
        let (call, to, batch) = self.network.remove(0);
        let outbox = batch.outbox;
        let at = self.nodes.iter().position(|node| node.name == to);
        let node = &mut self.nodes[at.expect("a node")];
        let is_read = match node.receiver.offer(self.now, batch) {
            Offered::Answer(answer) => return self.answers.push((call, answer)),
            offered => offered == Offered::Work,
        };
        node.open = Some(Open {
            outbox,
            call,
            effects: Vec::new(),
            to_store: None,
            is_read,
        });
    }

    fn work(&mut self, n: usize, puts_off: bool) {
        let node = &mut self.nodes[n];
        let Some(open) = &mut node.open else {
            return;
        };
        let (call, outbox) = (open.call, open.outbox);
        if open.to_store.is_some() {
            return self.store_record(n, true, false);
        }
        if !open.is_read {
            open.is_read = true;
            let record = self.stores[node.store].get(outbox).cloned();
            let offered = node.receiver.read(self.now, outbox, record);
            if let Some(Offered::Answer(answer)) = offered {
                node.open = None;
                self.answers.push((call, answer));
            }
            return;
        }
        let Some(event) = node.receiver.next(self.now, outbox) else {
            open.to_store = node.receiver.finish(outbox);
            if open.to_store.is_none() {
                node.open = None;
                let answer = node.receiver.answer(outbox).expect("an answer");
                self.answers.push((call, answer));
            }
            return;
        };
        if puts_off {
            return node.receiver.later(outbox, "the store is away");
        }
        let effect = (event.seq, String::from_utf8_lossy(&event.payload).into());
        match self.recording {
            Recording::Atomic => open.effects.push(effect),
            Recording::After | Recording::Memory => self.applied.push(effect),
        }
        node.receiver.verdict(outbox, Verdict::Applied);
    }

    /// A receiver commits, or its disk fails, which it may notice though the record is there.
    fn store_record(&mut self, n: usize, stored: bool, fails: bool) {
        let node = &mut self.nodes[n];
        let Some(mut open) = node.open.take_if(|open| open.to_store.is_some()) else {
            return;
        };
        let outbox = open.outbox;
        let to_store = open.to_store.take().expect("just looked at");
        assert!(to_store.record.rejected.len() <= 32);
        let records = &mut self.stores[node.store];
        let replaces = match self.recording {
            Recording::Atomic => to_store.replaces,
            _ => records.get(outbox).map_or(0, |record| record.through),
        };
        let put = stored.then(|| records.put(to_store.record, replaces, 10));
        let is_there = put.is_some_and(|put| put.is_ok());
        if is_there {
            self.applied.extend(open.effects);
        }
        let answer = if is_there && !fails {
            node.receiver.answer(outbox)
        } else {
            node.receiver.not_stored(outbox, "the disk failed")
        };
        self.answers.push((open.call, answer.expect("an answer")));
    }

    fn kill_node(&mut self, n: usize) {
        let name = self.nodes[n].name.clone();
        self.network.retain(|(_, to, _)| *to != name);
        let receiver = self.receiver(self.nodes[n].store);
        let node = &mut self.nodes[n];
        (node.receiver, node.open) = (receiver, None);
        self.may_repeat |= self.recording != Recording::Atomic;
    }

    /// All faults end, and what is under way comes to its end.
    pub(super) fn heal(&mut self) {
        for node in &mut self.nodes {
            node.is_linked = true;
        }
        if self.sender.broken().is_some() {
            self.restart_sender();
        }
        self.connect();
        for _ in 0..2_000 {
            let Some(step) = self.enabled(false).first().copied() else {
                return;
            };
            self.step(step);
        }
        panic!("it does not come to an end: {self:#?}");
    }

    /// Nothing accepted is lost or applied twice, and the order holds.
    pub(super) fn check(&self) {
        assert_eq!(self.sender.len(), 0, "{:?}", self.sender);
        assert!(self.disk.events.is_empty());
        let dead = self.disk.dead.iter();
        assert!(dead.clone().eq(self.sender.dead_letters()));
        let dead: Vec<_> = dead
            .map(|d| String::from_utf8_lossy(&d.event.payload))
            .collect();
        for payload in &self.kept {
            let times = self.applied.iter().filter(|(_, p)| p == payload).count();
            let letters = dead.iter().filter(|p| *p == payload).count();
            match payload.starts_with("good") {
                true if self.may_repeat => assert!(times >= 1, "{payload} is lost"),
                true => assert_eq!(times, 1, "{payload} after {:?}", self.steps),
                false => assert_eq!((times, letters), (0, 1), "{payload} after {:?}", self.steps),
            }
        }
        for payload in &self.refused {
            let known = self.applied.iter().any(|(_, p)| p == payload);
            assert!(!known, "{payload} was refused, and is applied");
        }
        let mut first = BTreeSet::new();
        let firsts = self.applied.iter().filter(|(seq, _)| first.insert(*seq));
        assert!(
            firsts.is_sorted_by_key(|(seq, _)| *seq),
            "{:?}",
            self.applied
        );
        if !self.may_repeat {
            assert_eq!(first.len(), self.applied.len(), "{:?}", self.applied);
        }
    }
}
