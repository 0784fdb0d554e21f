//! The sending side; see the module's text for what it guarantees.
//!
//! [`Sender::send`] takes an event, [`Sender::handle`] what happened, and [`Sender::poll_output`] gives what the driver
//! is to do: store a group of writes, send a batch, tell what became of an event. Of each of the first two there is at
//! most one at a time, and the driver answers it with one input.

use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use serde::Serialize;

use super::dead::{DeadLetter, DeadLetters};
use super::id::{EventId, OutboxId};
use super::journal::{Attached, Journal, PersistProblem, Stored, Write, WriteId};
use super::route::Route;
use super::settings::OutboxSettings;
use super::wire::{Batch, BatchAnswer, Event, KIND_BYTES_MAX, Refusal, Rest, Verdict};
use crate::name::NodeName;
use crate::time::{Instant, earliest};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// These nodes of the target are linked now.
    Connected(BTreeSet<NodeName>),
    /// The answer to the batch.
    Answered(BatchAnswer),
    /// The batch got no answer.
    Failed(Tried),
    /// The group of writes is stored and synced.
    Persisted(WriteId),
    /// The group of writes is not stored.
    PersistFailed(WriteId, PersistProblem),
    /// Time has passed.
    Tick,
}

/// What a try without an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// The receiver has not seen the batch.
    NotDone,
    /// Nobody knows whether it was applied.
    Unknown,
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Store these writes in one transaction and sync it, then say so.
    Persist(WriteId, Vec<Write>),
    /// Call a node with a batch, and say how that ended.
    Send {
        /// Whom to call.
        to: NodeName,
        /// With what.
        batch: Batch,
        /// How long to wait for the answer.
        timeout: Duration,
    },
    /// Tell the application.
    Told(EventId, Fate),
}

/// What became of an event. `Held` comes at most once, and any of the last four ends the event's story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is kept: in a store, it is synced.
    Kept,
    /// It waits: nobody is there, earlier events wait, or the first try failed.
    Held,
    /// A receiver has applied it.
    Applied(NodeName),
    /// A receiver rejected it, and it is a dead letter now.
    Rejected(NodeName, Refusal),
    /// It was not kept after all.
    NotKept(SendError),
    /// It was a dead letter, and was retried as the given event or dropped.
    Gone(Option<EventId>),
}

/// Why an event was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too much waits. The event is not taken; send it again when the queue is shorter.
    #[error("the outbox is full: {events} events with {bytes} bytes wait")]
    Full {
        /// Events that wait.
        events: usize,
        /// Bytes of their payloads.
        bytes: usize,
    },
    /// The payload is too large. The caller's fault.
    #[error("the payload has {bytes} bytes; at most {max} are accepted")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The kind is empty or too long. The caller's fault.
    #[error("the kind of an event has 1 to {KIND_BYTES_MAX} bytes; this one has {0}")]
    Kind(usize),
    /// The value cannot be written as bytes. The caller's fault.
    #[error("the event cannot be encoded: {0}")]
    Unencodable(String),
    /// The store did not take it. After [`PersistProblem::Full`] it is not kept, and the outbox goes on when there is
    /// room. After [`PersistProblem::Broken`] it may be there when the store is opened again.
    #[error("the event is not stored: {0}")]
    Store(#[from] PersistProblem),
    /// No dead letter has that number, or it is being retried.
    #[error("there is no such dead letter")]
    NoSuchLetter,
    /// The outbox or its node has stopped. The event is not taken, unless it was being stored.
    #[error("the outbox has stopped")]
    Stopped,
}

/// An event that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its id.
    pub id: EventId,
    /// Whether it goes out at once; else it waits for its turn.
    pub going: bool,
    /// Whether it is kept. If not, [`Fate::Kept`] or [`Fate::NotKept`] follows.
    pub kept: bool,
}

/// What a sender counts. The counters only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SenderCounters {
    /// Events taken, retried dead letters included.
    pub sent: u64,
    /// Events that had to wait: nobody was there, earlier ones waited, or the first try failed.
    pub buffered: u64,
    /// Of those, events that were applied or rejected later.
    pub replayed: u64,
    /// Events that receivers have applied.
    pub applied: u64,
    /// Events that receivers have rejected for good.
    pub rejected: u64,
    /// Events refused because the outbox was full.
    pub refused: u64,
    /// Events refused because the store failed or had no room.
    pub not_stored: u64,
    /// Batches sent.
    pub tries: u64,
    /// Batches whose outcome is unknown.
    pub unknown: u64,
    /// Times that events went elsewhere though their outcome was unknown.
    pub released: u64,
    /// Dead letters that made room for newer ones.
    pub dead_dropped: u64,
}

/// An event that waits.
#[derive(Debug)]
struct Waiting {
    event: Event,
    since: Instant,
    /// Its age when this machine was made.
    older: Duration,
    kept: bool,
    /// It goes out at once; once it is false, it waits.
    going: bool,
}

/// A batch under way.
#[derive(Debug)]
struct UnderWay {
    to: NodeName,
    events: usize,
    through: u64,
}

/// See the module's text.
#[derive(Debug)]
pub struct Sender {
    settings: OutboxSettings,
    id: OutboxId,
    is_stored: bool,
    last: u64,
    queue: VecDeque<Waiting>,
    bytes: usize,
    dead: DeadLetters,
    /// Dead letters that are being retried.
    retried: BTreeSet<u64>,
    journal: Journal,
    route: Route,
    under_way: Option<UnderWay>,
    /// No try before that.
    wait_until: Option<Instant>,
    /// No write before that; only while the journal is blocked.
    write_at: Instant,
    /// The next wait.
    wait: Duration,
    outputs: VecDeque<Output>,
    counters: SenderCounters,
}

impl Sender {
    /// An outbox that forgets everything when its process ends.
    pub fn in_memory(settings: OutboxSettings, id: OutboxId) -> Self {
        Sender::new(Instant::ZERO, 0, settings, Stored::new(id), false)
    }

    /// An outbox with a store, which holds `stored`.
    pub fn with_store(
        now: Instant,
        unix_ms: u64,
        settings: OutboxSettings,
        stored: Stored,
    ) -> Self {
        Sender::new(now, unix_ms, settings, stored, true)
    }

    fn new(
        now: Instant,
        unix_ms: u64,
        settings: OutboxSettings,
        stored: Stored,
        is_stored: bool,
    ) -> Self {
        let mut dead = DeadLetters::default();
        let mut gone = Vec::new();
        for letter in stored.dead {
            gone.extend(dead.push(letter, &settings));
        }
        let recovered = |event: Event| Waiting {
            since: now,
            older: Duration::from_millis(unix_ms.saturating_sub(event.unix_ms)),
            event,
            kept: true,
            going: false,
        };
        let queue: VecDeque<Waiting> = stored.events.into_iter().map(recovered).collect();
        let mut sender = Sender {
            id: stored.id,
            is_stored,
            last: stored.last,
            bytes: queue.iter().map(|w| w.event.payload.len()).sum(),
            queue,
            dead,
            retried: BTreeSet::new(),
            journal: Journal::default(),
            route: Route::new(now, stored.id, stored.attached),
            under_way: None,
            wait_until: None,
            write_at: now,
            wait: settings.retry_min,
            outputs: VecDeque::new(),
            counters: SenderCounters::default(),
            settings,
        };
        if !gone.is_empty() {
            sender.counters.dead_dropped += gone.len() as u64;
            sender.write(Write::Drop(gone));
        }
        sender
    }

    /// Takes an event. `unix_ms` is the wall clock, for people to read.
    ///
    /// # Errors
    /// [`SendError`]; nothing was changed but a counter.
    pub fn send(
        &mut self,
        now: Instant,
        unix_ms: u64,
        kind: &str,
        payload: Bytes,
    ) -> Result<Sent, SendError> {
        self.check(kind, payload.len())?;
        let event = self.event(unix_ms, kind.into(), payload);
        Ok(self.take(now, event, None))
    }

    /// Sends a dead letter again, as a new event at the end of the queue.
    ///
    /// # Errors
    /// [`SendError`]; the letter stays.
    pub fn retry(&mut self, now: Instant, unix_ms: u64, seq: u64) -> Result<Sent, SendError> {
        let letter = self
            .dead
            .get(seq)
            .filter(|_| !self.retried.contains(&seq))
            .ok_or(SendError::NoSuchLetter)?;
        let (kind, payload) = (letter.event.kind.clone(), letter.event.payload.clone());
        self.check(&kind, payload.len())?;
        let event = self.event(unix_ms, kind, payload);
        Ok(self.take(now, event, Some(seq)))
    }

    /// Drops a dead letter.
    ///
    /// # Errors
    /// [`SendError::NoSuchLetter`].
    pub fn drop_letter(&mut self, seq: u64) -> Result<DeadLetter, SendError> {
        if self.retried.contains(&seq) {
            return Err(SendError::NoSuchLetter);
        }
        let letter = self.dead.remove(seq).ok_or(SendError::NoSuchLetter)?;
        self.write(Write::Drop(vec![seq]));
        self.tell(seq, Fate::Gone(None));
        Ok(letter)
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Connected(nodes) => self.on_connected(now, nodes),
            Input::Answered(answer) => self.on_answered(now, answer),
            Input::Failed(tried) => self.on_failed(now, tried),
            Input::Persisted(id) => self.on_persisted(now, id),
            Input::PersistFailed(id, problem) => self.on_persist_failed(now, id, &problem),
            Input::Tick => {}
        }
        if self.wait_until.is_some_and(|until| until <= now) {
            self.wait_until = None;
            self.route.ask_again();
        }
        if self.journal.is_blocked() && self.write_at <= now {
            self.journal.unblock();
        }
        if self.release_at().is_some_and(|at| at <= now) {
            self.counters.released += 1;
            self.route.release();
        }
        self.go_on(now);
        self.assert_invariants();
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front().or_else(|| {
            let (id, writes) = self.journal.next_group()?;
            Some(Output::Persist(id, writes))
        })
    }

    /// When [`Input::Tick`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let write_at = self.journal.is_blocked().then_some(self.write_at);
        let try_at = self.wait_until.filter(|_| !self.queue.is_empty());
        earliest(earliest(try_at, write_at), self.release_at())
    }

    /// The outbox's id.
    pub fn id(&self) -> OutboxId {
        self.id
    }

    /// Events that wait, one that is being stored included.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes of the payloads of events that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How long the oldest event has waited.
    pub fn oldest_age(&self, now: Instant) -> Option<Duration> {
        let oldest = self.queue.front()?;
        Some(now - oldest.since + oldest.older)
    }

    /// The events that wait, oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = &Event> {
        self.queue.iter().map(|waiting| &waiting.event)
    }

    /// The dead letters, oldest first.
    pub fn dead_letters(&self) -> impl Iterator<Item = &DeadLetter> {
        self.dead.iter()
    }

    /// The counters.
    pub fn counters(&self) -> &SenderCounters {
        &self.counters
    }

    /// Why the store takes nothing any more, if so.
    pub fn broken(&self) -> Option<&str> {
        self.journal.broken()
    }

    fn check(&mut self, kind: &str, bytes: usize) -> Result<(), SendError> {
        if !(1..=KIND_BYTES_MAX).contains(&kind.len()) {
            return Err(SendError::Kind(kind.len()));
        }
        let max = self.settings.event_bytes_max;
        if bytes > max {
            return Err(SendError::TooLarge { bytes, max });
        }
        if let Some(why) = self.journal.broken() {
            let problem = PersistProblem::Broken(why.into());
            self.counters.not_stored += 1;
            return Err(problem.into());
        }
        let is_full = self.queue.len() >= self.settings.queue_max
            || self.bytes + bytes > self.settings.queue_bytes_max;
        if is_full {
            self.counters.refused += 1;
            return Err(SendError::Full {
                events: self.queue.len(),
                bytes: self.bytes,
            });
        }
        Ok(())
    }

    fn event(&mut self, unix_ms: u64, kind: String, payload: Bytes) -> Event {
        self.last += 1;
        Event {
            seq: self.last,
            kind,
            payload,
            unix_ms,
        }
    }

    fn take(&mut self, now: Instant, event: Event, old: Option<u64>) -> Sent {
        let seq = event.seq;
        let going = self.flows();
        self.counters.sent += 1;
        self.bytes += event.payload.len();
        self.queue.push_back(Waiting {
            event: event.clone(),
            since: now,
            older: Duration::ZERO,
            kept: false,
            going,
        });
        if self.is_stored {
            self.retried.extend(old);
            let tried = going && self.is_tried_at_once();
            self.write(match old {
                Some(old) => Write::Retry { old, event },
                None => Write::Append { event, tried },
            });
        } else {
            self.kept(seq, old);
            self.go_on(now);
        }
        let id = self.event_id(seq);
        let kept = !self.is_stored;
        Sent { id, going, kept }
    }

    /// Whether a new event goes out at once.
    fn flows(&self) -> bool {
        self.wait_until.is_none()
            && self.route.is_anybody_there()
            && self.queue.back().is_none_or(|last| last.going)
    }

    /// Whether a new event needs no attachment of its own, because it goes to the attached node.
    fn is_tried_at_once(&self) -> bool {
        let attached = self.route.attached.as_ref();
        attached.is_some_and(|attached| self.route.is_there(&attached.node))
            && !self.journal.attaches()
    }

    fn event_id(&self, seq: u64) -> EventId {
        EventId {
            outbox: self.id,
            seq,
        }
    }

    fn tell(&mut self, seq: u64, fate: Fate) {
        let id = self.event_id(seq);
        self.outputs.push_back(Output::Told(id, fate));
    }

    fn write(&mut self, write: Write) {
        if self.is_stored {
            self.journal.write(write);
        }
    }

    /// An event is kept, and the letter that it was is none any more.
    fn kept(&mut self, seq: u64, old: Option<u64>) {
        if let Some(old) = old {
            self.retried.remove(&old);
            self.dead.remove(old);
            let new = self.event_id(seq);
            self.tell(old, Fate::Gone(Some(new)));
        }
        let Ok(at) = self.queue.binary_search_by_key(&seq, |w| w.event.seq) else {
            return;
        };
        self.queue[at].kept = true;
        let going = self.queue[at].going;
        self.tell(seq, Fate::Kept);
        if !going {
            self.counters.buffered += 1;
            self.tell(seq, Fate::Held);
        }
    }

    /// What goes out at once waits now.
    fn hold(&mut self) {
        let mut held = Vec::new();
        for waiting in self.queue.iter_mut().rev().take_while(|w| w.going) {
            waiting.going = false;
            held.extend(waiting.kept.then_some(waiting.event.seq));
        }
        self.counters.buffered += held.len() as u64;
        for seq in held.into_iter().rev() {
            self.tell(seq, Fate::Held);
        }
    }

    fn on_connected(&mut self, now: Instant, nodes: BTreeSet<NodeName>) {
        if self.route.connected(now, nodes) {
            self.forget_wait();
        }
        if !self.route.is_anybody_there() {
            self.hold();
        }
    }

    fn on_answered(&mut self, now: Instant, answer: BatchAnswer) {
        let Some(batch) = self.under_way.take() else {
            return;
        };
        if answer.verdicts.len() > batch.events {
            return self.unknown(now, &batch);
        }
        if let Some(attached) = &mut self.route.attached {
            // It is stored with the next attachment.
            attached.store = answer.store;
        }
        let all = answer.verdicts.len() == batch.events;
        let some = !answer.verdicts.is_empty();
        self.settle(&batch.to, answer.verdicts);
        match answer.rest {
            _ if all => self.forget_wait(),
            Rest::More if some => self.forget_wait(),
            Rest::More | Rest::Later(_) | Rest::Busy => self.wait(now),
            Rest::OtherStore => self.pass(now, batch.to),
        }
    }

    /// The first events of the queue leave it.
    fn settle(&mut self, by: &NodeName, verdicts: Vec<Verdict>) {
        let (mut through, mut dead, mut gone) = (0, Vec::new(), Vec::new());
        for verdict in verdicts {
            let Some(waiting) = self.queue.pop_front() else {
                break;
            };
            let event = waiting.event;
            through = event.seq;
            self.bytes -= event.payload.len();
            self.counters.replayed += u64::from(!waiting.going);
            match verdict {
                Verdict::Applied => {
                    self.counters.applied += 1;
                    self.tell(through, Fate::Applied(by.clone()));
                }
                Verdict::Rejected(refusal) => {
                    self.counters.rejected += 1;
                    self.tell(through, Fate::Rejected(by.clone(), refusal.clone()));
                    let letter = DeadLetter { event, refusal };
                    dead.push(letter.clone());
                    gone.extend(self.dead.push(letter, &self.settings));
                }
            }
        }
        self.counters.dead_dropped += gone.len() as u64;
        for seq in &gone {
            self.retried.remove(seq);
            self.tell(*seq, Fate::Gone(None));
        }
        if through > 0 {
            self.write(Write::Settle {
                through,
                dead,
                gone,
            });
        }
    }

    fn on_failed(&mut self, now: Instant, tried: Tried) {
        let Some(batch) = self.under_way.take() else {
            return;
        };
        match tried {
            Tried::Unknown => self.unknown(now, &batch),
            Tried::NotDone => self.pass(now, batch.to),
        }
    }

    fn unknown(&mut self, now: Instant, batch: &UnderWay) {
        self.counters.unknown += 1;
        self.route.unsure(batch.through);
        self.wait(now);
    }

    /// A node did not take the batch. Another one may, at once.
    fn pass(&mut self, now: Instant, node: NodeName) {
        self.route.pass(node);
        let head = self.queue.front().map(|waiting| waiting.event.seq);
        if head.is_some_and(|head| self.route.aim(head).is_none()) {
            self.wait(now);
        }
    }

    fn wait(&mut self, now: Instant) {
        self.hold();
        self.wait_until = Some(now + self.wait);
        self.wait = (self.wait * 2).min(self.settings.retry_max);
    }

    fn forget_wait(&mut self) {
        self.wait_until = None;
        self.wait = self.settings.retry_min;
        self.route.ask_again();
    }

    fn on_persisted(&mut self, now: Instant, id: WriteId) {
        for write in self.journal.persisted(id).into_iter().flatten() {
            match write {
                Write::Append { event, tried } => {
                    if let Some(attached) = self.route.attached.as_mut().filter(|_| tried) {
                        attached.through = event.seq;
                    }
                    self.kept(event.seq, None);
                }
                Write::Retry { old, event } => self.kept(event.seq, Some(old)),
                Write::Attach(attached) => self.route.attach(now, attached),
                Write::Settle { .. } | Write::Drop(_) => {}
            }
        }
    }

    fn on_persist_failed(&mut self, now: Instant, id: WriteId, problem: &PersistProblem) {
        self.write_at = now + self.settings.retry_min;
        for write in self.journal.failed(id, problem) {
            let (seq, old) = match write {
                Write::Append { event, .. } => (event.seq, None),
                Write::Retry { old, event } => (event.seq, Some(old)),
                _ => continue,
            };
            if let Some(old) = old {
                self.retried.remove(&old);
            }
            if let Ok(at) = self.queue.binary_search_by_key(&seq, |w| w.event.seq)
                && let Some(waiting) = self.queue.remove(at)
            {
                self.bytes -= waiting.event.payload.len();
            }
            self.counters.not_stored += 1;
            self.tell(seq, Fate::NotKept(problem.clone().into()));
        }
    }

    fn release_at(&self) -> Option<Instant> {
        let head = self.queue.front().map(|waiting| waiting.event.seq);
        let after = self.settings.release_after;
        self.route.release_at(head, after)
    }

    /// Sends the next batch, where that may be.
    fn go_on(&mut self, now: Instant) {
        if self.under_way.is_some() || self.wait_until.is_some() || self.journal.attaches() {
            return;
        }
        let Some(head) = self.queue.front().filter(|waiting| waiting.kept) else {
            return;
        };
        let Some(aim) = self.route.aim(head.event.seq) else {
            return self.hold();
        };
        let events = self.batch();
        let through = events.last().map_or(0, |event| event.seq);
        let attached = self.route.attached.as_ref();
        let covered = attached.is_some_and(|a| a.node == aim.node && a.through >= through);
        if !covered {
            let same = attached.filter(|attached| attached.node == aim.node);
            let attached = Attached {
                store: same.map_or(aim.store, |attached| attached.store.clone()),
                node: aim.node,
                through,
            };
            if self.is_stored {
                return self.write(Write::Attach(attached));
            }
            self.route.attach(now, attached);
            return self.go_on(now);
        }
        self.counters.tries += 1;
        self.under_way = Some(UnderWay {
            to: aim.node.clone(),
            events: events.len(),
            through,
        });
        self.outputs.push_back(Output::Send {
            to: aim.node,
            batch: Batch {
                outbox: self.id,
                store: aim.store,
                events,
            },
            timeout: self.settings.answer_timeout,
        });
    }

    /// The first events that are kept, as many as a batch takes. What was tried before goes again in one piece.
    fn batch(&self) -> Vec<Event> {
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.event.payload.len();
            waiting.kept && bytes <= self.settings.batch_bytes_max
        };
        let events = self.queue.iter().take(self.settings.batch_max);
        let events = events.take_while(fits);
        events.map(|waiting| waiting.event.clone()).collect()
    }

    fn assert_invariants(&self) {
        debug_assert!(self.dead.len() <= self.settings.dead_max);
        let under_way = self.under_way.as_ref();
        debug_assert!(under_way.is_none_or(|batch| batch.events <= self.queue.len()));
        if self.queue.len() > INVARIANTS_MAX {
            return;
        }
        let queue = || self.queue.iter();
        debug_assert!(queue().is_sorted_by(|a, b| a.event.seq < b.event.seq));
        // Nothing goes out at once behind something that waits.
        debug_assert!(queue().is_sorted_by_key(|waiting| waiting.going));
        let bytes: usize = queue().map(|waiting| waiting.event.payload.len()).sum();
        debug_assert_eq!(bytes, self.bytes);
    }
}

/// Longer queues are not looked through after each input.
const INVARIANTS_MAX: usize = 64;
