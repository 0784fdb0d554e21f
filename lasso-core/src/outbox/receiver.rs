//! The receiving side: applies each event once, and says the same of it each time.
//!
//! 1. Of one sender at most one batch is applied at a time. An event that is not newer than the sender's record is not
//!    applied again, and gets its earlier verdict.
//! 2. With a store, an answer is given only when the record of it is stored. Where effect and record are one
//!    transaction ([`Recording::Atomic`]) a crash between any two steps applies nothing twice; where the record follows
//!    the effect ([`Recording::After`]) a crash between them does.
//! 3. The [`InboxSettings::senders_max`] senders whose records were written last are remembered, with at most 32 refusals
//!    each. An event is known as applied for as long as its sender is remembered.
//!
//! The driver calls [`Receiver::offer`]; with [`Offered::Read`] it begins a transaction, reads the record in it and
//! calls [`Receiver::read`]. Then it calls [`Receiver::next`] and [`Receiver::verdict`] in turns, then
//! [`Receiver::finish`], stores the record where there is one, and gives [`Receiver::answer`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use super::id::OutboxId;
use super::records::{Record, Records};
use super::settings::InboxSettings;
use super::wire::{Batch, BatchAnswer, Event, Refusal, Rest, Verdict};
use crate::name::Label;
use crate::time::Instant;

/// Where a receiver keeps its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// In memory: they end with the process, as their effects should.
    Memory,
    /// In a store of its own, after the effect.
    After,
    /// In one transaction with the effect. Several receivers may share the store. The store does what [`Records::put`]
    /// does.
    Atomic,
}

/// What is to be done with a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offered {
    /// Answer so.
    Answer(BatchAnswer),
    /// Read the sender's record, and say so with [`Receiver::read`] or [`Receiver::unread`].
    Read,
    /// Apply the events that [`Receiver::next`] gives.
    Work,
}

/// A record to store before the answer is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The record.
    pub record: Record,
    /// Through where the record goes that it was made from, 0 for none. See [`Records::put`].
    pub replaces: u64,
    /// Senders whose records are to be removed in the same write. Empty with [`Recording::Atomic`], where the store
    /// finds them.
    pub gone: Vec<OutboxId>,
}

/// What a receiver counts. The counters only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ReceiverCounters {
    /// Batches that came.
    pub batches: u64,
    /// Events applied.
    pub applied: u64,
    /// Events rejected for good.
    pub rejected: u64,
    /// Of those, events of a kind that has no handler.
    pub unknown_kind: u64,
    /// Events that came again and were not applied again.
    pub duplicates: u64,
    /// Batches put off, because work on an earlier copy or on too much else was under way.
    pub busy: u64,
    /// Batches of which a part was put off by a handler.
    pub put_off: u64,
    /// Batches refused because another store was demanded.
    pub other_store: u64,
    /// Records that could not be read or stored.
    pub not_stored: u64,
    /// Senders that the receiver's own memory forgot because there were too many.
    pub forgotten: u64,
}

/// A batch that is being applied.
#[derive(Debug)]
struct Work {
    began: Instant,
    /// Verdicts on events that came again.
    repeated: Vec<Verdict>,
    /// Verdicts on the others.
    fresh: Vec<(u64, Verdict)>,
    /// The event that a handler has.
    given: Option<u64>,
    /// Events without a verdict.
    events: VecDeque<Event>,
    rest: Rest,
    /// Through where the record goes.
    through: u64,
    /// The events that the next record names as rejected.
    rejected: BTreeMap<u64, Refusal>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Receiver {
    settings: InboxSettings,
    recording: Recording,
    store: Option<Label>,
    started: Instant,
    kinds: BTreeSet<String>,
    /// Empty with [`Recording::Atomic`].
    records: Records,
    /// Senders whose effects are there, and whose records could not be stored.
    unstored: BTreeSet<OutboxId>,
    /// Batches that wait for their sender's record.
    reading: BTreeMap<OutboxId, Batch>,
    works: BTreeMap<OutboxId, Work>,
    counters: ReceiverCounters,
}

impl Receiver {
    /// A receiver without records. `store` names the store that it shares with others, if it does; only with
    /// [`Recording::Atomic`] does it.
    ///
    /// # Panics
    /// When a store is named with another recording: its record would not be the store's.
    pub fn new(
        now: Instant,
        settings: InboxSettings,
        recording: Recording,
        store: Option<Label>,
    ) -> Self {
        assert!(
            store.is_none() || recording == Recording::Atomic,
            "a shared store needs the record in one transaction with the effect"
        );
        Receiver {
            settings,
            recording,
            store,
            started: now,
            kinds: BTreeSet::new(),
            records: Records::default(),
            unstored: BTreeSet::new(),
            reading: BTreeMap::new(),
            works: BTreeMap::new(),
            counters: ReceiverCounters::default(),
        }
    }

    /// Takes the record of one sender from a store of the receiver's own, the one written longest ago first. Returns the
    /// senders that are too many, to be removed there.
    pub fn recover(&mut self, record: Record) -> Vec<OutboxId> {
        debug_assert_ne!(self.recording, Recording::Atomic, "records are read then");
        let known = self.through(record.outbox);
        self.keep(record, known)
    }

    /// There is a handler for events of this kind.
    pub fn know(&mut self, kind: &str) {
        self.kinds.insert(kind.into());
    }

    /// There is no handler for events of this kind any more.
    pub fn forget(&mut self, kind: &str) {
        self.kinds.remove(kind);
    }

    /// The counters.
    pub fn counters(&self) -> &ReceiverCounters {
        &self.counters
    }

    /// Senders that the receiver's own memory holds.
    pub fn senders(&self) -> usize {
        self.records.len()
    }

    /// A batch came.
    pub fn offer(&mut self, now: Instant, batch: Batch) -> Offered {
        self.counters.batches += 1;
        if batch.store.is_some() && batch.store != self.store {
            self.counters.other_store += 1;
            return Offered::Answer(self.answer_of(Vec::new(), Rest::OtherStore));
        }
        let outbox = batch.outbox;
        let is_full = self.works.len() + self.reading.len() >= self.settings.works_max;
        if is_full || self.works.contains_key(&outbox) || self.reading.contains_key(&outbox) {
            self.counters.busy += 1;
            return Offered::Answer(self.answer_of(Vec::new(), Rest::Busy));
        }
        if self.recording == Recording::Atomic {
            self.reading.insert(outbox, batch);
            return Offered::Read;
        }
        let record = self.records.get(outbox).cloned();
        self.begin(now, batch, record)
    }

    /// The record of the sender whose batch waits for it, as it is stored. `None`: no batch waits.
    pub fn read(
        &mut self,
        now: Instant,
        outbox: OutboxId,
        record: Option<Record>,
    ) -> Option<Offered> {
        let batch = self.reading.remove(&outbox)?;
        Some(self.begin(now, batch, record))
    }

    /// The record cannot be read now: the answer that makes the sender come again. `None`: no batch waits for it.
    pub fn unread(&mut self, outbox: OutboxId, why: &str) -> Option<BatchAnswer> {
        self.reading.remove(&outbox)?;
        self.counters.not_stored += 1;
        Some(self.answer_of(Vec::new(), Rest::Later(short(why))))
    }

    fn begin(&mut self, now: Instant, batch: Batch, record: Option<Record>) -> Offered {
        let outbox = batch.outbox;
        let through = record.as_ref().map_or(0, |record| record.through);
        let first = batch.events.first().map_or(0, |event| event.seq);
        let mut rejected = record.map_or_else(BTreeMap::new, |record| record.rejected);
        // Earlier ones have been settled by the sender.
        rejected.retain(|seq, _| *seq >= first);
        let (again, events): (Vec<Event>, Vec<Event>) = batch
            .events
            .into_iter()
            .partition(|event| event.seq <= through);
        self.counters.duplicates += again.len() as u64;
        let verdict = |event: &Event| match rejected.get(&event.seq) {
            Some(refusal) => Verdict::Rejected(refusal.clone()),
            None => Verdict::Applied,
        };
        let repeated: Vec<Verdict> = again.iter().map(verdict).collect();
        if events.is_empty() && !self.unstored.contains(&outbox) {
            return Offered::Answer(self.answer_of(repeated, Rest::More));
        }
        let work = Work {
            began: now,
            repeated,
            fresh: Vec::new(),
            given: None,
            events: events.into(),
            rest: Rest::More,
            through,
            rejected,
        };
        self.works.insert(outbox, work);
        Offered::Work
    }

    /// The next event for a handler; `None` when the work on the sender's batch is done.
    pub fn next(&mut self, now: Instant, outbox: OutboxId) -> Option<Event> {
        loop {
            let work = self.works.get_mut(&outbox)?;
            if work.given.is_some() {
                debug_assert!(false, "a handler has an event already");
                return None;
            }
            let late = !work.fresh.is_empty() && now - work.began >= self.settings.work_time;
            if late || work.rest != Rest::More || work.rejected.len() >= REJECTED_MAX {
                return None;
            }
            let event = work.events.pop_front()?;
            work.given = Some(event.seq);
            if self.kinds.contains(&event.kind) {
                return Some(event);
            }
            let kind: String = event.kind.chars().take(64).collect();
            let why = format!("no handler for `{}`", kind.escape_debug());
            if now - self.started < self.settings.unknown_after {
                self.later(outbox, &why);
                return None;
            }
            self.counters.unknown_kind += 1;
            let refusal = Refusal::new(Refusal::CODE_UNKNOWN_KIND, &why);
            self.verdict(outbox, Verdict::Rejected(refusal));
        }
    }

    /// The handler has decided about the event that it was given. Of a rejected event it leaves no effect.
    pub fn verdict(&mut self, outbox: OutboxId, verdict: Verdict) {
        let Some(work) = self.works.get_mut(&outbox) else {
            return;
        };
        let Some(seq) = work.given.take() else {
            return;
        };
        let verdict = match verdict {
            Verdict::Rejected(refusal) => {
                let refusal = Refusal::new(refusal.code, &refusal.message);
                work.rejected.insert(seq, refusal.clone());
                Verdict::Rejected(refusal)
            }
            Verdict::Applied => Verdict::Applied,
        };
        work.fresh.push((seq, verdict));
    }

    /// The handler cannot apply the event that it was given now, and has not.
    pub fn later(&mut self, outbox: OutboxId, why: &str) {
        if let Some(work) = self.works.get_mut(&outbox) {
            work.given = None;
            work.rest = Rest::Later(short(why));
            self.counters.put_off += 1;
        }
    }

    /// The work on a batch is done. Returns the record to store before the answer is given; `None`: there is none to
    /// store.
    pub fn finish(&mut self, outbox: OutboxId) -> Option<Recorded> {
        let work = self.works.get(&outbox)?;
        if work.fresh.is_empty() && !self.unstored.contains(&outbox) {
            return None;
        }
        let replaces = work.through;
        let record = Record {
            outbox,
            through: work.fresh.last().map_or(replaces, |(seq, _)| *seq),
            rejected: work.rejected.clone(),
        };
        let gone = match self.recording {
            Recording::Atomic => Vec::new(),
            Recording::Memory | Recording::After => {
                let known = self.through(outbox);
                self.keep(record.clone(), known)
            }
        };
        let recorded = Recorded {
            record,
            replaces,
            gone,
        };
        (self.recording != Recording::Memory).then_some(recorded)
    }

    /// The answer, once the record is stored, or where there is none to store.
    pub fn answer(&mut self, outbox: OutboxId) -> Option<BatchAnswer> {
        let work = self.works.remove(&outbox)?;
        self.unstored.remove(&outbox);
        for (_, verdict) in &work.fresh {
            match verdict {
                Verdict::Applied => self.counters.applied += 1,
                Verdict::Rejected(_) => self.counters.rejected += 1,
            }
        }
        let mut verdicts = work.repeated;
        verdicts.extend(work.fresh.into_iter().map(|(_, verdict)| verdict));
        Some(self.answer_of(verdicts, work.rest))
    }

    /// The record is not stored, or that is not known: the answer that makes the sender come again. With
    /// [`Recording::Atomic`] the next try reads the store, which knows. Else the effect is there, and this process
    /// remembers that.
    pub fn not_stored(&mut self, outbox: OutboxId, why: &str) -> Option<BatchAnswer> {
        self.works.remove(&outbox)?;
        self.counters.not_stored += 1;
        if self.recording == Recording::After && self.records.get(outbox).is_some() {
            self.unstored.insert(outbox);
        }
        Some(self.answer_of(Vec::new(), Rest::Unknown(short(why))))
    }

    fn answer_of(&self, verdicts: Vec<Verdict>, rest: Rest) -> BatchAnswer {
        BatchAnswer {
            verdicts,
            rest,
            store: self.store.clone(),
        }
    }

    fn through(&self, outbox: OutboxId) -> u64 {
        self.records.get(outbox).map_or(0, |record| record.through)
    }

    /// Keeps a record in memory; the senders that are forgotten for it.
    fn keep(&mut self, record: Record, replaces: u64) -> Vec<OutboxId> {
        let gone = self
            .records
            .put(record, replaces, self.settings.senders_max);
        let gone = gone.unwrap_or_default();
        self.counters.forgotten += gone.len() as u64;
        for outbox in &gone {
            self.unstored.remove(outbox);
        }
        gone
    }
}

fn short(why: &str) -> String {
    why.chars().take(WHY_CHARS_MAX).collect()
}

/// Rejected events of one batch after which its work ends, so that a record stays small: each refusal has at most 128
/// bytes of text.
const REJECTED_MAX: usize = 32;
/// Characters that say why events were put off.
const WHY_CHARS_MAX: usize = 200;
