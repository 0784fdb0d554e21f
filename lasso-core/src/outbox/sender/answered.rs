//! What becomes of a batch.

use super::{Sender, UnderWay};
use crate::name::{Label, NodeName};
use crate::outbox::dead::DeadLetter;
use crate::outbox::fate::Fate;
use crate::outbox::input::Tried;
use crate::outbox::journal::Write;
use crate::outbox::wire::{BatchAnswer, Rest, Verdict};
use crate::time::Instant;

impl Sender {
    pub(super) fn on_answered(&mut self, now: Instant, answer: BatchAnswer) {
        let Some(batch) = self.under_way.take() else {
            return;
        };
        if answer.verdicts.len() > batch.events {
            return self.unknown(now, &batch);
        }
        if answer.rest == Rest::OtherStore {
            self.route.has_other_store(now, batch.to.clone());
            return self.pass(now, batch.to);
        }
        self.learn_store(now, answer.store);
        let all = answer.verdicts.len() == batch.events;
        let some = !answer.verdicts.is_empty();
        self.settle(&batch.to, answer.verdicts);
        match answer.rest {
            _ if all => self.forget_wait(),
            Rest::More if some => self.forget_wait(),
            Rest::Unknown(_) => self.unknown(now, &batch),
            _ => self.wait(now),
        }
    }

    /// A restart must know the store of the attached node, or it might trust another node with that store.
    pub(super) fn learn_store(&mut self, now: Instant, store: Option<Label>) {
        if let Some(attached) = self.route.answered(now, store) {
            self.write(Write::Attach(attached.clone()));
            self.route.attach(now, attached);
        }
    }

    /// The first events of the queue leave it.
    pub(super) fn settle(&mut self, by: &NodeName, verdicts: Vec<Verdict>) {
        let (mut through, mut dead, mut gone) = (0, Vec::new(), Vec::new());
        for verdict in verdicts {
            let Some(waiting) = self.queue.pop() else {
                break;
            };
            let event = waiting.event;
            through = event.seq;
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
            // What becomes of a letter that is being retried is known when its new event is stored.
            if !self.retried.contains(seq) {
                self.tell(*seq, Fate::Gone(None));
            }
        }
        if through > 0 {
            self.write(Write::Settle {
                through,
                dead,
                gone,
            });
        }
    }

    pub(super) fn on_failed(&mut self, now: Instant, tried: Tried) {
        let Some(batch) = self.under_way.take() else {
            return;
        };
        match tried {
            Tried::Unknown => self.unknown(now, &batch),
            Tried::NotDone => self.pass(now, batch.to),
        }
    }

    pub(super) fn unknown(&mut self, now: Instant, batch: &UnderWay) {
        self.counters.unknown += 1;
        self.route.unsure(batch.through);
        self.wait(now);
    }

    /// A node did not take the batch. Another one may, at once.
    pub(super) fn pass(&mut self, now: Instant, node: NodeName) {
        self.route.pass(node);
        let head = self.queue.head().map(|waiting| waiting.event.seq);
        if head.is_some_and(|head| self.route.aim(head).is_none()) {
            self.wait(now);
        }
    }

    pub(super) fn wait(&mut self, now: Instant) {
        self.hold();
        self.wait_until = Some(now + self.wait);
        self.wait = (self.wait * 2).min(self.settings.retry_max);
    }

    pub(super) fn forget_wait(&mut self) {
        self.wait_until = None;
        self.wait = self.settings.retry_min;
        self.route.ask_again();
    }
}
