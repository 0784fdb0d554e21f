//! What the machine of live events wants done, which is not done under its lock.

use std::sync::Arc;

use lasso_core::event::TopologyEvent;
use lasso_core::plane::{Effects, Update};
use tokio::sync::{broadcast, oneshot};

use super::Delivery;
use super::desk::Opened;
use super::seat::Seat;
use super::tasks::{Reading, keep_time, read};
use crate::shared::Shared;

/// What is to be done once the machine's lock is released.
#[derive(Default)]
pub(super) struct After {
    /// What the data plane wants, if it was asked for anything.
    pub(super) effects: Option<Effects>,
    /// Tasks to start.
    pub(super) readers: Vec<(Reading, oneshot::Receiver<()>)>,
    /// Tasks to end.
    pub(super) over: Vec<oneshot::Sender<()>>,
    /// The changes of the cluster since its coverage was looked at.
    pub(super) changes: Option<broadcast::Receiver<Arc<TopologyEvent>>>,
    /// A clock is to be started.
    pub(super) clock: bool,
    /// The clock is to look again.
    pub(super) sooner: bool,
    /// What viewers are given.
    pub(super) given: Vec<(Arc<Seat>, Delivery)>,
    /// Seats of viewers that are gone, with their wakers.
    pub(super) spent: Vec<Arc<Seat>>,
    /// Seats to which nothing comes any more.
    pub(super) ended: Vec<Arc<Seat>>,
    /// What became of those who wanted to look.
    pub(super) seated: Vec<(oneshot::Sender<Opened>, Opened)>,
    /// Those who wanted to and do not any more, with their wakers.
    pub(super) given_up: Vec<oneshot::Sender<Opened>>,
    pub(super) taken: Vec<(oneshot::Sender<Vec<Update>>, Vec<Update>)>,
    pub(super) done: Vec<oneshot::Sender<()>>,
}

impl After {
    pub(super) fn carry_out(self, shared: &Arc<Shared>) {
        if let Some(wanted) = self.effects {
            shared.with_plane(|_, _, effects| *effects = wanted);
        }
        for (reading, stopped) in self.readers {
            shared.spawn(read(reading, stopped));
        }
        if self.clock {
            let changes = self.changes.unwrap_or_else(|| shared.events.subscribe());
            shared.spawn(keep_time(Arc::clone(shared), changes));
        } else if self.sooner {
            shared.desk.sooner.notify_one();
        }
        drop((self.over, self.spent, self.given_up));
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
