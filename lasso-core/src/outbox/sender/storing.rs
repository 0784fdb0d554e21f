//! What becomes of writes.

use super::Sender;
use crate::outbox::fate::Fate;
use crate::outbox::journal::{PersistProblem, Write, WriteId};
use crate::time::Instant;

impl Sender {
    pub(super) fn write(&mut self, write: Write) {
        if self.is_stored {
            self.journal.write(write);
        }
    }

    /// An event is kept, and the letter that it was is none any more.
    pub(super) fn kept(&mut self, seq: u64, old: Option<u64>) {
        if let Some(old) = old {
            self.retried.remove(&old);
            self.dead.remove(old);
            let new = self.event_id(seq);
            self.tell(old, Fate::Gone(Some(new)));
        }
        let Some(going) = self.queue.keep(seq) else {
            return;
        };
        self.tell(seq, Fate::Kept);
        if !going {
            self.counters.buffered += 1;
            self.tell(seq, Fate::Held);
        }
    }

    pub(super) fn on_persisted(&mut self, now: Instant, id: WriteId) {
        for write in self.journal.persisted(id).into_iter().flatten() {
            match write {
                Write::Append { event, tried } => {
                    if tried {
                        self.route.extend(event.seq);
                    }
                    self.kept(event.seq, None);
                }
                Write::Retry { old, event } => self.kept(event.seq, Some(old)),
                Write::Attach(attached) => self.route.attach(now, attached),
                Write::Settle { .. } | Write::Drop(_) => {}
            }
        }
    }

    pub(super) fn on_persist_failed(
        &mut self,
        now: Instant,
        id: WriteId,
        problem: &PersistProblem,
    ) {
        self.write_at = now + self.settings.retry_min;
        for write in self.journal.failed(id, problem) {
            let (seq, old) = match write {
                Write::Append { event, .. } => (event.seq, None),
                Write::Retry { old, event } => (event.seq, Some(old)),
                _ => continue,
            };
            if let Some(old) = old {
                self.retried.remove(&old);
                if self.dead.get(old).is_none() {
                    // It made room for another while it was being retried.
                    self.tell(old, Fate::Gone(None));
                }
            }
            self.queue.remove(seq);
            self.counters.not_stored += 1;
            self.tell(seq, Fate::NotKept(problem.clone().into()));
        }
    }
}
