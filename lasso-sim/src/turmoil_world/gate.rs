//! Freezes a process: its tasks do not run while the gate is shut, and time passes without them.

use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::panic::catch_unwind;
use std::sync::Arc;

use parking_lot::Mutex;

use super::panics;
use crate::scenario::NodeId;

#[derive(Default)]
struct State {
    shut: bool,
    /// The panic message of a task.
    panic: Option<String>,
    waiting: Vec<Waker>,
}

/// The gate of one process; cloned into each of its tasks.
#[derive(Clone, Default)]
pub(super) struct Gate {
    state: Arc<Mutex<State>>,
    /// The node of the process.
    node: Option<NodeId>,
}

impl Gate {
    /// The gate of a process of that node.
    pub(super) fn of(node: NodeId) -> Self {
        Gate {
            node: Some(node),
            ..Gate::default()
        }
    }

    pub(super) fn shut(&self) {
        self.state.lock().shut = true;
    }

    /// Runs the tasks again, in the order in which they reached the gate.
    pub(super) fn open(&self) {
        let waiting = {
            let mut state = self.state.lock();
            state.shut = false;
            core::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The panic message of a task; returned once.
    pub(super) fn take_panic(&self) -> Option<String> {
        self.state.lock().panic.take()
    }

    /// A task that runs only while the gate is open.
    pub(super) fn guard<F: Future<Output = ()>>(&self, task: F) -> Guarded<F> {
        Guarded {
            gate: self.clone(),
            task: Box::pin(task),
        }
    }
}

/// See [`Gate::guard`].
pub(super) struct Guarded<F> {
    gate: Gate,
    task: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut state = self.gate.state.lock();
            if state.shut {
                let waker = cx.waker();
                if !state.waiting.iter().any(|other| other.will_wake(waker)) {
                    state.waiting.push(waker.clone());
                }
                return Poll::Pending;
            }
        }
        // Tokio would not report it.
        let (node, task) = (self.gate.node, &mut self.task);
        let polled = panics::of(node, || {
            catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx)))
        });
        polled.unwrap_or_else(|panic| {
            let text = panics::text(panic.as_ref());
            self.gate.state.lock().panic.get_or_insert(text);
            Poll::Ready(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_task_is_told() {
        let gate = Gate::default();
        let mut task = Box::pin(gate.guard(async { panic!("out of {}", "order") }));
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(task.as_mut().poll(&mut cx), Poll::Ready(()));
        assert_eq!(gate.take_panic().as_deref(), Some("out of order"));
    }

    #[test]
    fn a_task_behind_a_shut_gate_runs_when_it_opens() {
        let gate = Gate::default();
        let runs = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&runs);
        let mut task = Box::pin(gate.guard(async move { *counter.lock() += 1 }));
        let mut cx = Context::from_waker(Waker::noop());
        gate.shut();
        assert_eq!(task.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(*runs.lock(), 0);
        gate.open();
        assert_eq!(task.as_mut().poll(&mut cx), Poll::Ready(()));
        assert_eq!(*runs.lock(), 1);
    }
}
