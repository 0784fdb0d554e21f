//! Where a viewer finds what comes next: between its own task, and whoever drives the machine.

use core::task::{Poll, Waker};

use lasso_core::events::Staleness;
use lasso_core::time::Instant;
use parking_lot::Mutex;

use super::Delivery;

/// See the module's text. To a new one nothing came.
#[derive(Default)]
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
    /// What came; `None` when nothing does any more.
    pub(super) fn take(&self) -> Poll<Option<Delivery>> {
        let delivery = {
            let mut state = self.0.lock();
            let Some(delivery) = state.delivery.take() else {
                return match state.is_over {
                    true => Poll::Ready(None),
                    false => Poll::Pending,
                };
            };
            state.asked_at = None;
            delivery
        };
        Poll::Ready(Some(*delivery))
    }

    /// Whoever is behind the waker waits, in place of who did before; without one, who did before still
    /// does. True when the next delivery is to be asked for, which it is once until it is taken.
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

    /// Nothing comes any more, beyond what has.
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

    /// True when what was asked for has not come for too long.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        let state = self.0.lock();
        let asked_at = state.asked_at.filter(|_| state.delivery.is_none());
        asked_at.is_some_and(|asked_at| Staleness::new(asked_at).is_stale(now))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use crate::events::Changes;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn nothing<K, V>() -> Changes<K, V> {
        Changes {
            whole: false,
            changed: Vec::new(),
            gone: Vec::new(),
        }
    }

    fn heartbeat() -> Delivery {
        Delivery {
            lost: 0,
            events: Vec::new(),
            states: nothing(),
            figures: nothing(),
            coverage: None,
        }
    }

    #[test]
    fn who_waits_is_woken_also_after_a_look_that_waits_for_nothing() {
        let (seat, woken) = (Seat::default(), Arc::new(Woken::default()));
        let waker = Waker::from(Arc::clone(&woken));
        assert!(seat.wait(Instant::ZERO, Some(&waker)));
        assert!(!seat.wait(Instant::ZERO, None), "it is asked for already");
        seat.give(heartbeat());
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_came_before_the_end_is_taken_before_it() {
        let seat = Seat::default();
        assert!(seat.take().is_pending() && seat.wait(Instant::ZERO, None));
        seat.give(heartbeat());
        seat.end();
        assert!(matches!(seat.take(), Poll::Ready(Some(_))));
        assert!(matches!(seat.take(), Poll::Ready(None)));
    }
}
