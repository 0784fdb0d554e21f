//! Drives the machine of live events: a task for each topic that it needs, and one for its deadlines,
//! while anybody looks or has just looked.
//!
//! One lock guards the machine. Under it the data plane's may be taken, to subscribe, and nothing
//! else. Nobody is woken under it, and no waker cloned or dropped, which may do anything.

use core::task::Waker;
use std::collections::BTreeMap;
use std::sync::Arc;

use lasso_core::config::Settings;
use lasso_core::event::TopologyEvent;
use lasso_core::events::routing::RoutingEvent;
use lasso_core::events::sampler::Sampler;
use lasso_core::events::{Live, LiveOrder, Pass, Scope, Seat, ViewerId, event_keys};
use lasso_core::plane::{Effects, SubscribeError};
use lasso_core::time::Instant;
use lasso_core::topology::Coverage;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{Notify, oneshot};

use super::viewer::{Events, ViewError};
use super::{Delivery, EventCounters};
use crate::messaging::RawSubscription;
use crate::shared::Shared;

/// See the module's text.
pub(crate) struct Desk {
    inner: Mutex<Inner>,
    sampler: Mutex<Sampler>,
    /// Tells the clock that something is due earlier than it thought.
    sooner: Notify,
}

struct Inner {
    live: Live<RoutingEvent>,
    /// Viewers that wait.
    waiting: BTreeMap<ViewerId, Waker>,
    /// The topics that are read; dropping one ends its task.
    readers: BTreeMap<String, oneshot::Sender<()>>,
    /// The clock runs.
    ticking: bool,
}

/// What is to be done once the lock is released.
#[derive(Default)]
struct After {
    woken: Vec<Waker>,
    /// The waker of a viewer that is gone.
    spent: Option<Waker>,
    /// Tasks to start.
    readers: Vec<(String, RawSubscription, oneshot::Receiver<()>)>,
    /// Tasks to end.
    over: Vec<oneshot::Sender<()>>,
    /// Why a subscription was refused.
    refused: Option<SubscribeError>,
    effects: Effects,
    /// The clock is to look again.
    sooner: bool,
}

impl Desk {
    pub(crate) fn new(settings: &Settings, seed: [u8; 32]) -> Self {
        let keys = event_keys(seed);
        Desk {
            inner: Mutex::new(Inner {
                live: Live::new(settings.events.clone(), keys.ids),
                waiting: BTreeMap::new(),
                readers: BTreeMap::new(),
                ticking: false,
            }),
            sampler: Mutex::new(Sampler::new(settings.sampling.clone(), keys.sampling)),
            sooner: Notify::new(),
        }
    }

    /// Chooses what is published.
    pub(super) fn sampler(&self) -> MutexGuard<'_, Sampler> {
        self.sampler.lock()
    }

    pub(super) fn counters(&self) -> EventCounters {
        let live = self.inner.lock().live.counters();
        EventCounters {
            live,
            sampler: self.sampler.lock().counters(),
        }
    }

    /// Lets a viewer in, and sees to it that the clock runs.
    pub(super) fn view(
        &self,
        shared: &Arc<Shared>,
        events: &Events,
        pass: &Pass,
        scope: Scope,
    ) -> Result<Seat<RoutingEvent>, ViewError> {
        // In this order, and before the lock: whatever changes after the look is told to the clock.
        let changes = shared.events.subscribe();
        let coverage = shared.node.lock().coverage();
        let mut changes = Some(changes);
        let (seat, refused) = self.with(shared, |inner, now, unix_ms, after| {
            let is_first = !inner.ticking;
            if is_first {
                inner.live.set_coverage(now, coverage);
            }
            let live = &mut inner.live;
            let seat = live.view(now, &events.profile, &events.chains, pass, scope)?;
            inner.obey(shared, after);
            let refused = after.refused.take();
            if refused.is_some() {
                inner.live.turn_away(now, unix_ms, seat.viewer);
            }
            inner.ticking = true;
            if !is_first {
                changes = None;
            }
            Ok::<_, ViewError>((seat, refused))
        })?;
        if let Some(changes) = changes {
            shared.spawn(keep_time(Arc::clone(shared), changes));
        }
        refused.map_or(Ok(seat), |error| Err(ViewError::Subscribe(error)))
    }

    pub(super) fn leave(&self, shared: &Arc<Shared>, viewer: ViewerId) {
        self.with(shared, |inner, now, unix_ms, after| {
            after.spent = inner.waiting.remove(&viewer);
            inner.live.leave(now, unix_ms, viewer);
        });
    }

    /// What this viewer has coming; where that is nothing, `waker` is kept.
    pub(super) fn read(&self, viewer: ViewerId, waker: Option<&Waker>) -> Option<Delivery> {
        let mut waker = waker.cloned();
        let (delivery, spent) = {
            let mut inner = self.inner.lock();
            let delivery = inner.live.read(viewer);
            let kept = if delivery.is_none() {
                waker.take()
            } else {
                None
            };
            let spent = kept.and_then(|waker| inner.waiting.insert(viewer, waker));
            (delivery, spent)
        };
        drop((waker, spent));
        delivery
    }

    /// Does something with the machine, and then what the machine wants done.
    fn with<R>(
        &self,
        shared: &Arc<Shared>,
        act: impl FnOnce(&mut Inner, Instant, u64, &mut After) -> R,
    ) -> R {
        let mut after = After::default();
        let result = {
            let mut inner = self.inner.lock();
            // Read under the lock: no time is older than one that was named before it.
            let (now, unix_ms) = (shared.now(), shared.unix_ms());
            let due = inner.live.deadline();
            let result = act(&mut inner, now, unix_ms, &mut after);
            inner.obey(shared, &mut after);
            let due_now = inner.live.deadline();
            after.sooner = due_now.is_some_and(|now| due.is_none_or(|due| now < due));
            result
        };
        after.carry_out(shared);
        result
    }
}

impl Inner {
    /// Does what is ordered, as far as that is done under the lock.
    fn obey(&mut self, shared: &Arc<Shared>, after: &mut After) {
        while let Some(order) = self.live.poll() {
            match order {
                LiveOrder::Readable { viewer } => after.woken.extend(self.waiting.remove(&viewer)),
                LiveOrder::Unsubscribe { topic } => after.over.extend(self.readers.remove(&topic)),
                LiveOrder::Subscribe { topic } => {
                    let effects = &mut after.effects;
                    match shared.read_plane(|plane| plane.subscribe(&topic, None, effects)) {
                        Ok(id) => {
                            let subscription = RawSubscription::new(Arc::clone(shared), id);
                            let (stop, stopped) = oneshot::channel();
                            after.over.extend(self.readers.insert(topic.clone(), stop));
                            after.readers.push((topic, subscription, stopped));
                        }
                        Err(error) => {
                            self.live.on_refused(&topic);
                            after.refused = Some(error);
                        }
                    }
                }
            }
        }
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
        if self.sooner {
            shared.desk.sooner.notify_one();
        }
        drop((self.over, self.spent));
        self.woken.into_iter().for_each(Waker::wake);
    }
}

/// Hands the machine what one topic brings, until it is not needed any more or the node stops.
async fn read(
    shared: Arc<Shared>,
    topic: String,
    mut subscription: RawSubscription,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut updates = Vec::new();
    loop {
        let first = tokio::select! {
            biased;
            _ = &mut stopped => return,
            first = subscription.recv() => first,
        };
        let Some(first) = first else {
            return;
        };
        updates.push(first);
        while updates.len() < AT_ONCE
            && let Some(next) = subscription.try_recv()
        {
            updates.push(next);
        }
        shared.desk.with(&shared, |inner, now, unix_ms, _| {
            for update in updates.drain(..) {
                inner.live.on_update(now, unix_ms, &topic, &update);
            }
        });
    }
}

/// Does what is due, and tells viewers how much of the cluster is there, while there are streams.
async fn keep_time(shared: Arc<Shared>, mut changes: broadcast::Receiver<Arc<TopologyEvent>>) {
    let mut stopped = shared.stopped.subscribe();
    loop {
        let deadline = {
            let mut inner = shared.desk.inner.lock();
            let deadline = inner.live.deadline();
            inner.ticking = deadline.is_some();
            deadline
        };
        let Some(deadline) = deadline else {
            return;
        };
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            changed = changes.recv() => {
                let Some(coverage) = newest(&shared, changed, &mut changes) else { break };
                shared.desk.with(&shared, |inner, now, _, _| inner.live.set_coverage(now, coverage));
            }
            () = shared.desk.sooner.notified() => {}
            () = tokio::time::sleep_until(shared.at(deadline)) => {
                shared.desk.with(&shared, |inner, now, unix_ms, _| inner.live.tick(now, unix_ms));
            }
        }
    }
    // The node has stopped: whoever waits is woken, since nothing comes any more.
    let waiting = core::mem::take(&mut shared.desk.inner.lock().waiting);
    waiting.into_values().for_each(Waker::wake);
}

/// The newest coverage of the changes that wait; `None` when no more come.
fn newest(
    shared: &Shared,
    changed: Result<Arc<TopologyEvent>, RecvError>,
    changes: &mut broadcast::Receiver<Arc<TopologyEvent>>,
) -> Option<Coverage> {
    let mut newest = match changed {
        Ok(event) => Some(event),
        Err(RecvError::Lagged(_)) => None,
        Err(RecvError::Closed) => return None,
    };
    while let Ok(event) = changes.try_recv() {
        newest = Some(event);
    }
    let now = || shared.node.lock().coverage();
    Some(newest.map_or_else(now, |event| event.coverage.clone()))
}

/// Updates that are taken in before others have a turn at the lock.
const AT_ONCE: usize = 256;
