//! Where a viewer finds what comes next: between its own task, and whoever drives the machine.

use core::task::Waker;

use lasso_core::events::Staleness;
use lasso_core::time::Instant;
use parking_lot::Mutex;

use super::Delivery;

/// See the module's text.
pub(super) struct Seat(Mutex<State>);

#[derive(Default)]
struct State {
    /// What came, and was not taken yet.
    delivery: Option<Box<Delivery>>,
    /// Since when the next delivery has been asked for.
    asked_at: Option<Instant>,
    /// Who waits for it.
    waker: Option<Waker>,
    /// No delivery comes any more.
    is_over: bool,
}

impl Seat {
    /// One to which nothing came, and nothing ever will if it `is_over`.
    pub(super) fn new(is_over: bool) -> Self {
        Seat(Mutex::new(State {
            is_over,
            ..State::default()
        }))
    }

    /// What came.
    pub(super) fn take(&self) -> Option<Delivery> {
        let mut state = self.0.lock();
        let delivery = state.delivery.take()?;
        state.asked_at = None;
        drop(state);
        Some(*delivery)
    }

    /// Whoever is behind the waker waits; without one nobody does. True when the next delivery is to be
    /// asked for, which it is once until it is taken.
    pub(super) fn wait(&self, now: Instant, waker: Option<&Waker>) -> bool {
        let waker = waker.cloned();
        let (asks, spent) = {
            let mut state = self.0.lock();
            let spent = waker.and_then(|waker| state.waker.replace(waker));
            let asks = state.asked_at.is_none();
            state.asked_at.get_or_insert(now);
            (asks, spent)
        };
        drop(spent);
        asks
    }

    /// Here is what was asked for.
    pub(super) fn give(&self, delivery: Delivery) {
        let delivery = Box::new(delivery);
        let waker = {
            let mut state = self.0.lock();
            debug_assert!(state.delivery.is_none(), "one is asked for at a time");
            state.delivery = Some(delivery);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nothing comes any more.
    pub(super) fn end(&self) {
        let waker = {
            let mut state = self.0.lock();
            state.is_over = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.lock().is_over
    }

    /// True when what was asked for has not come for too long.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        let state = self.0.lock();
        let asked_at = state.asked_at.filter(|_| state.delivery.is_none());
        asked_at.is_some_and(|asked_at| Staleness::new(asked_at).is_stale(now))
    }
}
