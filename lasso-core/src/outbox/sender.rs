//! The sending side; see the module's text for what it guarantees.
//!
//! [`Sender::send`] takes an event, [`Sender::handle`] what happened, and [`Sender::poll_output`] gives what the driver
//! is to do: store a group of writes, send a batch, tell what became of an event. Of each of the first two there is at
//! most one at a time, and the driver answers it with one input.

mod answered;
mod storing;

use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::dead::{DeadLetter, DeadLetters};
use super::fate::{Fate, SendError, SenderCounters, Sent};
use super::id::{EventId, OutboxId};
use super::input::{Input, Output};
use super::journal::{Journal, PersistProblem, Stored, Write};
use super::queue::{Queue, Waiting};
use super::route::{Aim, Route};
use super::settings::OutboxSettings;
use super::wire::{Batch, Event, KIND_BYTES_MAX};
use crate::name::NodeName;
use crate::time::{Instant, earliest};

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
    queue: Queue,
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
        let mut queue = Queue::default();
        for event in stored.events {
            queue.push(Waiting {
                since: now,
                older: Duration::from_millis(unix_ms.saturating_sub(event.unix_ms)),
                event,
                kept: true,
                going: false,
            });
        }
        let mut sender = Sender {
            id: stored.id,
            is_stored,
            last: stored.last,
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
        let try_at = self.wait_until.filter(|_| !self.is_empty());
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
        self.queue.len() == 0
    }

    /// Bytes of the payloads of events that wait.
    pub fn bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// How long the oldest event has waited.
    pub fn oldest_age(&self, now: Instant) -> Option<Duration> {
        let oldest = self.queue.head()?;
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
            || self.queue.bytes() + bytes > self.settings.queue_bytes_max;
        if is_full {
            self.counters.refused += 1;
            return Err(SendError::Full {
                events: self.queue.len(),
                bytes: self.queue.bytes(),
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
        self.queue.push(Waiting {
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
        self.wait_until.is_none() && self.route.is_anybody_there() && self.queue.flows()
    }

    /// Whether a new event needs no attachment of its own, because it goes to the attached node.
    fn is_tried_at_once(&self) -> bool {
        self.route.is_attached() && !self.journal.holds_up()
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

    /// What goes out at once waits now.
    fn hold(&mut self) {
        for seq in self.queue.hold() {
            self.counters.buffered += 1;
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

    fn release_at(&self) -> Option<Instant> {
        let head = self.queue.head().map(|waiting| waiting.event.seq);
        let after = self.settings.release_after;
        self.route.release_at(head, after)
    }

    /// Sends the next batch, where that may be.
    fn go_on(&mut self, now: Instant) {
        let idle = self.under_way.is_none() && self.wait_until.is_none();
        if !idle || self.journal.holds_up() || self.broken().is_some() {
            return;
        }
        let Some(head) = self.queue.head().filter(|waiting| waiting.kept) else {
            return;
        };
        let Some(aim) = self.route.aim(head.event.seq) else {
            // Each node that is there has passed: it is asked again after a wait.
            return match self.route.has_passed() {
                true => self.wait(now),
                false => self.hold(),
            };
        };
        let settings = &self.settings;
        let events = self
            .queue
            .batch(settings.batch_max, settings.batch_bytes_max);
        let through = events.last().map_or(0, |event| event.seq);
        if !self.route.covers(&aim.node, through) {
            let attached = self.route.attachment(&aim, through);
            if self.is_stored {
                return self.write(Write::Attach(attached));
            }
            self.route.attach(now, attached);
        }
        self.send_batch(aim, events, through);
    }

    fn send_batch(&mut self, aim: Aim, events: Vec<Event>, through: u64) {
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

    fn assert_invariants(&self) {
        debug_assert!(self.dead.len() <= self.settings.dead_max);
        let under_way = self.under_way.as_ref();
        debug_assert!(under_way.is_none_or(|batch| batch.events <= self.queue.len()));
        self.queue.assert_invariants();
    }
}
