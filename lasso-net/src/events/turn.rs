//! The machine of live events at one moment, and what is wanted of it then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lasso_core::config::Settings;
use lasso_core::events::routing::RoutingEvent;
use lasso_core::events::{Live, LiveCounters, LiveOrder, ViewerId};
use lasso_core::plane::{SubscribeError, SubscriberId};
use lasso_core::time::Instant;
use tokio::sync::oneshot;

use super::after::After;
use super::desk::{Opened, Wish};
use super::seat::Seat;
use super::tally::Tally;
use super::tasks::Reading;
use super::viewer::{ViewError, Viewer, Wanted};
use crate::messaging::RawSubscription;
use crate::shared::Shared;

/// What is the runner's alone.
pub(super) struct Machine {
    live: Live<RoutingEvent>,
    /// Where deliveries are put.
    seats: BTreeMap<ViewerId, Arc<Seat>>,
    /// Viewers that want what comes next, of which there was nothing yet.
    waiting: BTreeSet<ViewerId>,
    /// The topics that are read.
    readers: BTreeMap<String, Reader>,
    /// The node has stopped: what its topics have brought until then is still to come.
    is_stopping: bool,
    /// That has come as well: to whom nothing waits nothing comes any more.
    is_over: bool,
    counters: LiveCounters,
    tally: Tally,
}

/// Who reads a topic.
struct Reader {
    id: SubscriberId,
    /// Dropping it ends the task.
    stop: oneshot::Sender<()>,
}

impl Machine {
    pub(super) fn new(settings: &Settings, key: [u64; 2]) -> Self {
        Machine {
            live: Live::new(settings.events.clone(), key),
            seats: BTreeMap::new(),
            waiting: BTreeSet::new(),
            readers: BTreeMap::new(),
            is_stopping: false,
            is_over: false,
            counters: LiveCounters::default(),
            tally: Tally::default(),
        }
    }

    /// When something is due, while anything is.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.live.deadline().filter(|_| !self.is_stopping)
    }

    /// What was done, now that so much more was. To add it all up takes a look at every viewer, so
    /// where there are many that is done when as much else was.
    pub(super) fn counters(&mut self, done: usize) -> LiveCounters {
        let known = self.counters;
        self.counters = if self.tally.is_due(done, self.live.size()) {
            self.live.counters()
        } else {
            LiveCounters {
                stream: known.stream,
                feeds: known.feeds,
                ..self.live.present()
            }
        };
        self.counters
    }

    /// It is driven no more: all who wait here are to be told, and all that reads for it to end.
    pub(super) fn abandon(&mut self) -> (Vec<Arc<Seat>>, impl Sized + use<>) {
        self.waiting.clear();
        let seats = core::mem::take(&mut self.seats).into_values().collect();
        (seats, core::mem::take(&mut self.readers))
    }
}

/// The machine, at one moment.
pub(super) struct Turn<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) now: Instant,
    pub(super) unix_ms: u64,
    pub(super) machine: &'a mut Machine,
    pub(super) after: &'a mut After,
}

impl Turn<'_> {
    /// Returns how much that was, in events and other wishes.
    pub(super) fn fulfil(&mut self, wish: Wish) -> usize {
        let (now, unix_ms) = (self.now, self.unix_ms);
        let live = &mut self.machine.live;
        let mut done = 1;
        match wish {
            // It was given up meanwhile: nothing is opened, and nothing built.
            Wish::View { seated, .. } if seated.is_closed() => self.after.given_up.push(seated),
            Wish::View { wanted, seated } => {
                let outcome = self.view(*wanted);
                self.after.seated.push((seated, outcome));
            }
            Wish::Read { viewer } => self.read(viewer),
            Wish::Leave { viewer } => {
                live.leave(now, unix_ms, viewer);
                self.forget(viewer);
            }
            Wish::Updates {
                topic,
                mut updates,
                taken,
            } => {
                done = updates.len();
                for update in updates.drain(..) {
                    live.on_update(now, unix_ms, &topic, &update);
                }
                self.after.taken.push((taken, updates));
            }
            Wish::Drained { topic, id } => self.drained(&topic, id),
            Wish::Coverage { coverage, told } => {
                live.set_coverage(now, coverage);
                self.after.done.push(told);
            }
            Wish::Tick { done } => {
                live.tick(now, unix_ms);
                self.after.done.push(done);
            }
            Wish::Stopped => self.machine.is_stopping = true,
            #[cfg(test)]
            Wish::Panic => panic!("as a test wants it"),
        }
        let refused = self.obey();
        debug_assert!(refused.is_empty(), "only who has just come is turned away");
        self.finish();
        done
    }

    fn view(&mut self, wanted: Wanted) -> Opened {
        if self.machine.is_stopping || self.shared.has_stopped() {
            return Err(ViewError::Ended);
        }
        let Wanted {
            profile,
            chains,
            pass,
            scope,
            coverage,
            changes,
        } = wanted;
        let kept = &mut self.after.changes;
        let looked = || {
            *kept = Some(changes);
            coverage
        };
        let live = &mut self.machine.live;
        let seat = live.view(self.now, &profile, &chains, &pass, scope, looked)?;
        let mut refused = self.obey().into_iter();
        if let Some((_, error)) = refused.find(|(who, _)| *who == seat.viewer) {
            return Err(match error {
                SubscribeError::Stopped => ViewError::Ended,
                full => ViewError::Subscribe(full),
            });
        }
        let place = Arc::new(Seat::default());
        self.machine.seats.insert(seat.viewer, Arc::clone(&place));
        let shared = Arc::clone(self.shared);
        Ok(Viewer::new(shared, seat.viewer, place, seat.snapshot))
    }

    fn read(&mut self, viewer: ViewerId) {
        let Some(seat) = self.machine.seats.get(&viewer) else {
            return;
        };
        match self.machine.live.read(viewer) {
            Some(delivery) => self.after.given.push((Arc::clone(seat), delivery)),
            None if self.machine.is_over => self.after.ended.push(Arc::clone(seat)),
            None => _ = self.machine.waiting.insert(viewer),
        }
    }

    fn forget(&mut self, viewer: ViewerId) {
        self.machine.waiting.remove(&viewer);
        self.after.spent.extend(self.machine.seats.remove(&viewer));
    }

    /// A topic brings nothing any more; one that was subscribed to anew does.
    fn drained(&mut self, topic: &str, id: SubscriberId) {
        let readers = &mut self.machine.readers;
        if readers.get(topic).is_some_and(|reader| reader.id == id) {
            let reader = readers.remove(topic);
            self.after.over.extend(reader.map(|reader| reader.stop));
        }
    }

    /// Once the node has stopped and all that its topics had brought has come, viewers get what waits
    /// for its batch, and those for whom nothing does are told that it is over.
    fn finish(&mut self) {
        let machine = &mut *self.machine;
        if machine.is_over || !machine.is_stopping || !machine.readers.is_empty() {
            return;
        }
        machine.is_over = true;
        machine.live.hurry(self.now, self.unix_ms);
        self.obey();
        let machine = &mut *self.machine;
        let waiting = core::mem::take(&mut machine.waiting).into_iter();
        let seats = waiting.filter_map(|viewer| machine.seats.get(&viewer).cloned());
        self.after.ended.extend(seats);
    }

    /// Does what is ordered, as far as that is done under the lock. Returns who was turned away, since a
    /// topic that it needs was refused.
    fn obey(&mut self) -> Vec<(ViewerId, SubscribeError)> {
        let mut refused = Vec::new();
        while let Some(order) = self.machine.live.poll() {
            match order {
                LiveOrder::Readable { viewer } => {
                    if self.machine.waiting.remove(&viewer) {
                        self.read(viewer);
                    }
                }
                LiveOrder::Unsubscribe { topic } => self.unsubscribe(&topic),
                LiveOrder::Subscribe { topic } => {
                    if let Err(error) = self.subscribe(&topic) {
                        let live = &mut self.machine.live;
                        let viewers = live.on_refused(self.now, self.unix_ms, &topic);
                        refused.extend(viewers.into_iter().map(|who| (who, error.clone())));
                    }
                }
            }
        }
        refused
    }

    fn subscribe(&mut self, topic: &str) -> Result<(), SubscribeError> {
        let shared = self.shared;
        let effects = self.after.effects.get_or_insert_default();
        let id = shared.read_plane(|plane| plane.subscribe(topic, None, effects))?;
        let subscription = RawSubscription::new(Arc::clone(shared), id);
        let (stop, stopped) = oneshot::channel();
        let reader = Reader { id, stop };
        let was = self.machine.readers.insert(topic.to_owned(), reader);
        debug_assert!(was.is_none(), "{topic} has a reader");
        let reading = Reading::new(Arc::clone(shared), topic.into(), id, subscription);
        self.after.readers.push((reading, stopped));
        Ok(())
    }

    /// Not by ending the reader alone: what is subscribed to next needs the place at once.
    fn unsubscribe(&mut self, topic: &str) {
        let Some(Reader { id, stop }) = self.machine.readers.remove(topic) else {
            return;
        };
        let effects = self.after.effects.get_or_insert_default();
        self.shared
            .read_plane(|plane| plane.unsubscribe(id, effects));
        self.after.over.push(stop);
    }
}
