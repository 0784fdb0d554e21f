//! What runs while anybody looks: a task for each topic, and a clock.

use std::sync::Arc;

use lasso_core::event::TopologyEvent;
use lasso_core::plane::SubscriberId;
use lasso_core::topology::Coverage;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::oneshot;

use super::desk::Wish;
use crate::messaging::RawSubscription;
use crate::shared::Shared;

/// One topic that is read. The machine is told when that is over, however it came.
pub(super) struct Reading {
    shared: Arc<Shared>,
    topic: Arc<str>,
    id: SubscriberId,
    subscription: RawSubscription,
}

impl Reading {
    pub(super) fn new(
        shared: Arc<Shared>,
        topic: Arc<str>,
        id: SubscriberId,
        subscription: RawSubscription,
    ) -> Self {
        Reading {
            shared,
            topic,
            id,
            subscription,
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let (topic, id) = (Arc::clone(&self.topic), self.id);
        self.shared
            .desk
            .wish(&self.shared, Wish::Drained { topic, id });
    }
}

/// Hands on what one topic brings, until it is not needed any more or the node stops. The next comes
/// only after what came before was taken in: until then it waits where messages wait, which is bounded.
pub(super) async fn read(mut reading: Reading, mut stopped: oneshot::Receiver<()>) {
    let shared = Arc::clone(&reading.shared);
    let mut updates = Vec::new();
    loop {
        let first = tokio::select! {
            biased;
            _ = &mut stopped => return,
            first = reading.subscription.recv() => first,
        };
        let Some(first) = first else {
            return;
        };
        updates.push(first);
        while updates.len() < AT_ONCE
            && let Some(next) = reading.subscription.try_recv()
        {
            updates.push(next);
        }
        let (taken, emptied) = oneshot::channel();
        let topic = Arc::clone(&reading.topic);
        let wish = Wish::Updates {
            topic,
            updates,
            taken,
        };
        shared.desk.wish(&shared, wish);
        let Ok(emptied) = emptied.await else {
            return;
        };
        updates = emptied;
    }
}

/// Tells what is due, and how much of the cluster is there, while there are streams.
pub(super) async fn keep_time(
    shared: Arc<Shared>,
    mut changes: broadcast::Receiver<Arc<TopologyEvent>>,
) {
    let mut stopped = shared.stopped.subscribe();
    loop {
        let Some(deadline) = shared.desk.deadline() else {
            return;
        };
        let (done, was_done) = oneshot::channel();
        let wish = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            changed = changes.recv() => {
                let Some(coverage) = newest(&shared, changed, &mut changes) else { return };
                Wish::Coverage { coverage, told: done }
            }
            () = shared.desk.sooner.notified() => continue,
            () = tokio::time::sleep_until(shared.at(deadline)) => Wish::Tick { done },
        };
        shared.desk.wish(&shared, wish);
        if was_done.await.is_err() {
            return; // and never will be
        }
    }
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

/// Updates that are taken in before others have a turn.
const AT_ONCE: usize = 256;
