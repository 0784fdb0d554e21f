//! The receiving side: applies each event once, and says the same of it each time.
//!
//! A sender repeats only events that it has no answer for, and sends in order. So one number per sender says which
//! events are applied, and only the rejected ones of its last batch must be remembered by themselves.
//!
//! 1. Of one sender at most one batch is applied at a time; an event that is not newer than the sender's number is not
//!    applied again, and gets its earlier verdict.
//! 2. With a store, an answer is given only when the record of it is stored. Where effect and record are one
//!    transaction ([`Recording::Atomic`]) a crash between any two steps applies nothing twice; where the record follows
//!    the effect ([`Recording::After`]) a crash between them does.
//! 3. Records are bounded: the [`InboxSettings::senders_max`] senders heard of last are remembered. Neither a clock nor
//!    time plays a part.
//!
//! The driver calls [`Receiver::offer`], then [`Receiver::next`] and [`Receiver::verdict`] in turns, then
//! [`Receiver::finish`], stores the record where there is one, and gives [`Receiver::answer`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::id::OutboxId;
use super::settings::InboxSettings;
use super::wire::{Batch, BatchAnswer, Event, Refusal, Rest, Verdict};
use crate::name::Label;
use crate::time::Instant;

/// Where a receiver keeps its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// In memory: it ends with the process, as its effects should.
    Memory,
    /// In a store, after the effect.
    After,
    /// In one transaction with the effect.
    Atomic,
}

/// What is remembered of one sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which sender.
    pub outbox: OutboxId,
    /// The newest event with a verdict.
    pub through: u64,
    /// Events of the last batch that were rejected.
    pub rejected: BTreeMap<u64, Refusal>,
    /// Grows with each record that is made: the smallest is the one heard of longest ago.
    pub heard: u64,
}

/// What is to be done with a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offered {
    /// Answer so.
    Answer(BatchAnswer),
    /// Apply what [`Receiver::next`] gives.
    Work,
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
    /// Records that could not be stored.
    pub not_stored: u64,
    /// Senders forgotten because there were too many.
    pub forgotten: u64,
}

/// A batch that is being applied.
#[derive(Debug)]
struct Work {
    began: Instant,
    /// The first event of the batch, which may have been applied before.
    first: u64,
    /// Verdicts on events that came again.
    repeated: Vec<Verdict>,
    /// Verdicts on the others.
    fresh: Vec<(u64, Verdict)>,
    /// The event that a handler has.
    given: Option<u64>,
    /// Events without a verdict.
    events: VecDeque<Event>,
    rest: Rest,
    /// The record as it was.
    before: Option<Record>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Receiver {
    settings: InboxSettings,
    recording: Recording,
    store: Option<Label>,
    started: Instant,
    kinds: BTreeSet<String>,
    records: BTreeMap<OutboxId, Record>,
    /// The records by when they were made.
    heard: BTreeMap<u64, OutboxId>,
    /// Senders whose effects are there, and whose records could not be stored.
    unstored: BTreeSet<OutboxId>,
    works: BTreeMap<OutboxId, Work>,
    counters: ReceiverCounters,
}

impl Receiver {
    /// A receiver without records. `store` names the store that it shares with others, if it does.
    pub fn new(
        now: Instant,
        settings: InboxSettings,
        recording: Recording,
        store: Option<Label>,
    ) -> Self {
        Receiver {
            settings,
            recording,
            store,
            started: now,
            kinds: BTreeSet::new(),
            records: BTreeMap::new(),
            heard: BTreeMap::new(),
            unstored: BTreeSet::new(),
            works: BTreeMap::new(),
            counters: ReceiverCounters::default(),
        }
    }

    /// Takes a record from the store. Returns the senders that are one too many, to be removed there.
    pub fn recover(&mut self, record: Record) -> Vec<OutboxId> {
        self.keep(record)
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

    /// Senders that are remembered.
    pub fn senders(&self) -> usize {
        self.records.len()
    }

    /// A batch came.
    pub fn offer(&mut self, now: Instant, batch: Batch) -> Offered {
        self.counters.batches += 1;
        if batch.store.is_some() && batch.store != self.store {
            return Offered::Answer(self.answer_of(Vec::new(), Rest::OtherStore));
        }
        let is_full = self.works.len() >= self.settings.works_max;
        if is_full || self.works.contains_key(&batch.outbox) {
            self.counters.busy += 1;
            return Offered::Answer(self.answer_of(Vec::new(), Rest::Busy));
        }
        let before = self.records.get(&batch.outbox).cloned();
        let through = before.as_ref().map_or(0, |record| record.through);
        let first = batch.events.first().map_or(0, |event| event.seq);
        let (again, events): (Vec<Event>, VecDeque<Event>) = {
            let (again, new): (Vec<_>, Vec<_>) =
                batch.events.into_iter().partition(|event| event.seq <= through);
            (again, new.into())
        };
        self.counters.duplicates += again.len() as u64;
        let verdict = |event: &Event| {
            let refusal = before.as_ref().and_then(|b| b.rejected.get(&event.seq));
            refusal.map_or(Verdict::Applied, |refusal| {
                Verdict::Rejected(refusal.clone())
            })
        };
        let repeated: Vec<Verdict> = again.iter().map(verdict).collect();
        if events.is_empty() && !self.unstored.contains(&batch.outbox) {
            return Offered::Answer(self.answer_of(repeated, Rest::More));
        }
        let work = Work {
            began: now,
            first,
            repeated,
            fresh: Vec::new(),
            given: None,
            events,
            rest: Rest::More,
            before,
        };
        self.works.insert(batch.outbox, work);
        Offered::Work
    }

    /// The next event for a handler; `None` when the work on the sender's batch is done.
    pub fn next(&mut self, now: Instant, outbox: OutboxId) -> Option<Event> {
        loop {
            let work = self.works.get_mut(&outbox)?;
            debug_assert!(work.given.is_none(), "a handler has an event already");
            let late = !work.fresh.is_empty() && now - work.began >= self.settings.work_time;
            let rejected = work.fresh.iter().filter(|(_, v)| *v != Verdict::Applied);
            if late || work.rest != Rest::More || rejected.count() >= REJECTED_MAX {
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

    /// The handler has decided about the event that it was given.
    pub fn verdict(&mut self, outbox: OutboxId, verdict: Verdict) {
        let Some(work) = self.works.get_mut(&outbox) else {
            return;
        };
        if let Some(seq) = work.given.take() {
            let verdict = match verdict {
                Verdict::Rejected(refusal) => {
                    Verdict::Rejected(Refusal::new(refusal.code, &refusal.message))
                }
                Verdict::Applied => Verdict::Applied,
            };
            work.fresh.push((seq, verdict));
        }
    }

    /// The handler cannot apply the event that it was given now, and has not.
    pub fn later(&mut self, outbox: OutboxId, why: &str) {
        if let Some(work) = self.works.get_mut(&outbox) {
            work.given = None;
            work.rest = later(why);
            self.counters.put_off += 1;
        }
    }

    /// The work on a batch is done. Returns the record to store before the answer is given, and the senders whose
    /// records are to be removed with that. `None`: there is nothing to store.
    pub fn finish(&mut self, outbox: OutboxId) -> Option<(Record, Vec<OutboxId>)> {
        let work = self.works.get(&outbox)?;
        if work.fresh.is_empty() && !self.unstored.contains(&outbox) {
            return None;
        }
        let before = work.before.as_ref();
        let old = before.map_or(0, |record| record.through);
        let kept = before.into_iter().flat_map(|record| &record.rejected);
        let kept = kept.filter(|(seq, _)| **seq >= work.first);
        let mut rejected: BTreeMap<u64, Refusal> = kept.map(|(k, v)| (*k, v.clone())).collect();
        for (seq, verdict) in &work.fresh {
            if let Verdict::Rejected(refusal) = verdict {
                rejected.insert(*seq, refusal.clone());
            }
        }
        let heard = self.heard.last_key_value().map_or(0, |(heard, _)| *heard) + 1;
        let record = Record {
            outbox,
            through: work.fresh.last().map_or(old, |(seq, _)| *seq),
            rejected,
            heard,
        };
        let gone = self.keep(record.clone());
        (self.recording != Recording::Memory).then_some((record, gone))
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

    /// The record is not stored: the answer that makes the sender come again. Where the record is one with the effect,
    /// neither is there. Else the effect is there, and this process remembers that.
    pub fn not_stored(&mut self, outbox: OutboxId, why: &str) -> Option<BatchAnswer> {
        let work = self.works.remove(&outbox)?;
        self.counters.not_stored += 1;
        if self.recording == Recording::Atomic {
            self.remove(outbox);
            if let Some(before) = work.before {
                // It was there before, so that nobody has to make room for it.
                self.keep(before);
            }
        } else {
            self.unstored.insert(outbox);
        }
        Some(self.answer_of(Vec::new(), later(why)))
    }

    fn answer_of(&self, verdicts: Vec<Verdict>, rest: Rest) -> BatchAnswer {
        BatchAnswer {
            verdicts,
            rest,
            store: self.store.clone(),
        }
    }

    fn remove(&mut self, outbox: OutboxId) {
        if let Some(record) = self.records.remove(&outbox) {
            self.heard.remove(&record.heard);
        }
        self.unstored.remove(&outbox);
    }

    /// Keeps a record; the senders that are forgotten for it.
    fn keep(&mut self, record: Record) -> Vec<OutboxId> {
        let unstored = self.unstored.contains(&record.outbox);
        self.remove(record.outbox);
        if unstored {
            self.unstored.insert(record.outbox);
        }
        self.heard.insert(record.heard, record.outbox);
        self.records.insert(record.outbox, record);
        let mut gone = Vec::new();
        while self.records.len() > self.settings.senders_max {
            let oldest = self.heard.first_key_value().map(|(_, outbox)| *outbox);
            let Some(oldest) = oldest else { break };
            self.remove(oldest);
            gone.push(oldest);
        }
        self.counters.forgotten += gone.len() as u64;
        debug_assert_eq!(self.records.len(), self.heard.len());
        gone
    }
}

fn later(why: &str) -> Rest {
    Rest::Later(why.chars().take(WHY_CHARS_MAX).collect())
}

/// Rejected events of one batch after which its work ends: what is remembered of a sender is bounded by this and by
/// what the batch before has left.
const REJECTED_MAX: usize = 32;
/// Characters that say why events were put off.
const WHY_CHARS_MAX: usize = 200;
