//! Drives the machine of live events, where it keeps nobody waiting.
//!
//! What the machine does may take long: it decodes events, sorts latencies, goes through a thousand
//! viewers. So whoever wants something of it says so by a [`Wish`] and goes on, and a runner fulfils the
//! wishes in their order, aside from the tasks that serve requests: see [`Platform::aside`]. It is there
//! while there are wishes. Tasks bring what topics bring, one for each, and tell that something is due,
//! while anybody looks or has just looked.
//!
//! Three kinds of locks. The machine's is taken by the runner alone; under it the data plane's may be
//! taken, to subscribe, and the front's. The front's and that of a seat are anybody's, for as long as it
//! takes to put something there or to take it away, and none is taken under them. Nobody is woken under
//! any, and no waker cloned or dropped, which may do anything.
//!
//! [`Platform::aside`]: crate::seam::Platform::aside

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use lasso_core::config::Settings;
use lasso_core::event::TopologyEvent;
use lasso_core::events::routing::RoutingEvent;
use lasso_core::events::sampler::Sampler;
use lasso_core::events::{Live, LiveCounters, LiveOrder, ViewerId, event_keys};
use lasso_core::plane::{Effects, SubscribeError, Update};
use lasso_core::time::Instant;
use lasso_core::topology::Coverage;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, broadcast, oneshot};

use super::seat::Seat;
use super::tasks::{keep_time, read};
use super::viewer::{ViewError, Viewer, Wanted};
use super::{Delivery, EventCounters};
use crate::messaging::RawSubscription;
use crate::shared::Shared;

/// See the module's text.
pub(crate) struct Desk {
    machine: Mutex<Machine>,
    front: Mutex<Front>,
    sampler: Mutex<Sampler>,
    /// Tells the clock that something is due earlier than it thought.
    pub(super) sooner: Notify,
}

/// What becomes of somebody who wants to look.
pub(super) type Opened = Result<Viewer, ViewError>;

/// What is wanted of the machine. Of each viewer, opening, topic and clock one waits at most.
pub(super) enum Wish {
    /// Somebody wants to look.
    View {
        wanted: Box<Wanted>,
        seated: oneshot::Sender<Opened>,
    },
    /// A viewer wants what comes next, as soon as it does.
    Read { viewer: ViewerId },
    /// A viewer is gone.
    Leave { viewer: ViewerId },
    /// A topic has brought these; to be given back empty.
    Updates {
        topic: Arc<str>,
        updates: Vec<Update>,
        taken: oneshot::Sender<Vec<Update>>,
    },
    /// How much of the cluster is there.
    Coverage {
        coverage: Coverage,
        told: oneshot::Sender<()>,
    },
    /// Something is due.
    Tick { done: oneshot::Sender<()> },
    /// The node has stopped: nothing comes any more.
    Stopped,
}

/// What anybody may look at.
#[derive(Default)]
struct Front {
    wishes: VecDeque<Wish>,
    /// There is a runner, which looks for wishes before it ends.
    is_running: bool,
    /// As of the runner's last turn.
    counters: LiveCounters,
    /// The same.
    deadline: Option<Instant>,
    /// There is a clock, which looks for a deadline before it ends.
    is_ticking: bool,
}

/// What is the runner's alone.
struct Machine {
    live: Live<RoutingEvent>,
    /// Where deliveries are put.
    seats: BTreeMap<ViewerId, Arc<Seat>>,
    /// Viewers that want what comes next, of which there was nothing yet.
    waiting: BTreeSet<ViewerId>,
    /// The topics that are read; dropping one ends its task.
    readers: BTreeMap<String, oneshot::Sender<()>>,
    /// The node has stopped.
    is_over: bool,
}

/// What is to be done once the machine's lock is released.
#[derive(Default)]
struct After {
    effects: Effects,
    /// Tasks to start.
    readers: Vec<(String, RawSubscription, oneshot::Receiver<()>)>,
    /// Tasks to end.
    over: Vec<oneshot::Sender<()>>,
    /// The changes of the cluster since its coverage was looked at.
    changes: Option<broadcast::Receiver<Arc<TopologyEvent>>>,
    /// A clock is to be started.
    clock: bool,
    /// The clock is to look again.
    sooner: bool,
    /// What viewers are given.
    given: Vec<(Arc<Seat>, Delivery)>,
    /// Seats of viewers that are gone, with their wakers.
    spent: Vec<Arc<Seat>>,
    /// Seats to which nothing comes any more.
    ended: Vec<Arc<Seat>>,
    /// What became of those who wanted to look.
    seated: Vec<(oneshot::Sender<Opened>, Opened)>,
    taken: Vec<(oneshot::Sender<Vec<Update>>, Vec<Update>)>,
    done: Vec<oneshot::Sender<()>>,
}

impl Desk {
    pub(crate) fn new(settings: &Settings, seed: [u8; 32]) -> Self {
        let keys = event_keys(seed);
        Desk {
            machine: Mutex::new(Machine {
                live: Live::new(settings.events.clone(), keys.ids),
                seats: BTreeMap::new(),
                waiting: BTreeSet::new(),
                readers: BTreeMap::new(),
                is_over: false,
            }),
            front: Mutex::default(),
            sampler: Mutex::new(Sampler::new(settings.sampling.clone(), keys.sampling)),
            sooner: Notify::new(),
        }
    }

    /// Chooses what is published.
    pub(super) fn sampler(&self) -> MutexGuard<'_, Sampler> {
        self.sampler.lock()
    }

    pub(super) fn counters(&self) -> EventCounters {
        let live = self.front.lock().counters;
        EventCounters {
            live,
            sampler: self.sampler.lock().counters(),
        }
    }

    /// When something is due; where nothing is, the clock that asks is to end.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let mut front = self.front.lock();
        front.is_ticking = front.deadline.is_some();
        front.deadline
    }

    /// Wants something of the machine, and does not wait for it.
    pub(super) fn wish(&self, shared: &Arc<Shared>, wish: Wish) {
        let starts = {
            let mut front = self.front.lock();
            front.wishes.push_back(wish);
            !core::mem::replace(&mut front.is_running, true)
        };
        if starts {
            let runner = Runner {
                shared: Arc::clone(shared),
                is_done: false,
            };
            shared.aside(move || runner.run());
        }
    }

    /// Fulfils wishes, and then what the machine wants done for them.
    fn turn(&self, shared: &Arc<Shared>, wishes: &mut VecDeque<Wish>) {
        let mut after = After::default();
        {
            let mut machine = self.machine.lock();
            // Read under the lock: no time is older than one that was named before it.
            let mut turn = Turn {
                shared,
                now: shared.now(),
                unix_ms: shared.unix_ms(),
                machine: &mut machine,
                after: &mut after,
            };
            for wish in wishes.drain(..) {
                turn.fulfil(wish);
            }
            let (deadline, counters) = (machine.live.deadline(), machine.live.counters());
            let mut front = self.front.lock();
            front.counters = counters;
            let was = core::mem::replace(&mut front.deadline, deadline);
            if let Some(due) = deadline {
                after.sooner = was.is_none_or(|was| due < was);
                after.clock = !core::mem::replace(&mut front.is_ticking, true);
            }
        }
        after.carry_out(shared);
    }
}

/// Fulfils wishes while there are any.
struct Runner {
    shared: Arc<Shared>,
    is_done: bool,
}

impl Runner {
    fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut wishes = VecDeque::new();
        loop {
            {
                let mut front = shared.desk.front.lock();
                core::mem::swap(&mut wishes, &mut front.wishes);
                if wishes.is_empty() {
                    front.is_running = false;
                    self.is_done = true;
                    return;
                }
            }
            shared.desk.turn(&shared, &mut wishes);
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        // It never ran, as its runtime has ended, or a bug of ours has ended it: whoever waits is told.
        let wishes = {
            let mut front = self.shared.desk.front.lock();
            front.is_running = false;
            core::mem::take(&mut front.wishes)
        };
        drop(wishes);
    }
}

/// The machine, at one moment.
struct Turn<'a> {
    shared: &'a Arc<Shared>,
    now: Instant,
    unix_ms: u64,
    machine: &'a mut Machine,
    after: &'a mut After,
}

impl Turn<'_> {
    fn fulfil(&mut self, wish: Wish) {
        let (now, unix_ms) = (self.now, self.unix_ms);
        let live = &mut self.machine.live;
        match wish {
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
                for update in updates.drain(..) {
                    live.on_update(now, unix_ms, &topic, &update);
                }
                self.after.taken.push((taken, updates));
            }
            Wish::Coverage { coverage, told } => {
                live.set_coverage(now, coverage);
                self.after.done.push(told);
            }
            Wish::Tick { done } => {
                live.tick(now, unix_ms);
                self.after.done.push(done);
            }
            Wish::Stopped => self.stop(),
        }
        let refused = self.obey();
        debug_assert!(refused.is_empty(), "only who has just come is turned away");
    }

    fn view(&mut self, wanted: Wanted) -> Opened {
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
            return Err(ViewError::Subscribe(error));
        }
        let place = Arc::new(Seat::new(self.machine.is_over));
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
            None => _ = self.machine.waiting.insert(viewer),
        }
    }

    fn forget(&mut self, viewer: ViewerId) {
        self.machine.waiting.remove(&viewer);
        self.after.spent.extend(self.machine.seats.remove(&viewer));
    }

    fn stop(&mut self) {
        self.machine.is_over = true;
        self.after
            .ended
            .extend(self.machine.seats.values().cloned());
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
                LiveOrder::Unsubscribe { topic } => {
                    self.after.over.extend(self.machine.readers.remove(&topic));
                }
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
        let (shared, effects) = (self.shared, &mut self.after.effects);
        let id = shared.read_plane(|plane| plane.subscribe(topic, None, effects))?;
        let subscription = RawSubscription::new(Arc::clone(shared), id);
        let (stop, stopped) = oneshot::channel();
        let readers = &mut self.machine.readers;
        self.after
            .over
            .extend(readers.insert(topic.to_owned(), stop));
        self.after
            .readers
            .push((topic.to_owned(), subscription, stopped));
        Ok(())
    }
}

impl After {
    fn carry_out(self, shared: &Arc<Shared>) {
        if !self.effects.is_empty() {
            shared.with_plane(|_, _, effects| *effects = self.effects);
        }
        for (topic, subscription, stopped) in self.readers {
            shared.spawn(read(Arc::clone(shared), topic, subscription, stopped));
        }
        if self.clock {
            let changes = self.changes.unwrap_or_else(|| shared.events.subscribe());
            shared.spawn(keep_time(Arc::clone(shared), changes));
        } else if self.sooner {
            shared.desk.sooner.notify_one();
        }
        drop((self.over, self.spent));
        for (seat, delivery) in self.given {
            seat.give(delivery);
        }
        for seat in self.ended {
            seat.end();
        }
        // Whoever has given up meanwhile has nobody to tell; a viewer that nobody takes leaves.
        for (seated, outcome) in self.seated {
            drop(seated.send(outcome));
        }
        for (taken, updates) in self.taken {
            let _ = taken.send(updates);
        }
        for done in self.done {
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests;
