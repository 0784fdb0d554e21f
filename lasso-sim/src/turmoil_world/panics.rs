//! Panics of the tasks of a run, with where they happened.
//!
//! lasso-net catches the panic of a handler, and tokio that of a task, so neither would be reported. While a
//! run is watched, a hook of the process records every panic of its thread; panics of other threads, and of
//! this one outside of a run, are only handled as usual.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic;
use std::sync::Once;

use crate::scenario::NodeId;

/// One panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Panic {
    /// The node of the task; `None`: no node, or a task that lasso does not know.
    pub(crate) node: Option<NodeId>,
    /// `file:line:column`.
    pub(crate) place: Option<String>,
    /// Its message.
    pub(crate) text: String,
}

thread_local! {
    /// `None`: this thread is not watched.
    static SEEN: RefCell<Option<Vec<Panic>>> = const { RefCell::new(None) };
    /// The node whose task is being polled.
    static NODE: Cell<Option<NodeId>> = const { Cell::new(None) };
}

static HOOK: Once = Once::new();

/// Records the panics of `run` on this thread.
pub(crate) fn watch<T>(run: impl FnOnce() -> T) -> T {
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            note(info);
            usual(info);
        }));
    });
    SEEN.set(Some(Vec::new()));
    let result = run();
    SEEN.set(None);
    result
}

/// The panics since the last call.
pub(crate) fn take() -> Vec<Panic> {
    SEEN.with_borrow_mut(|seen| seen.as_mut().map(core::mem::take).unwrap_or_default())
}

/// Attributes panics in `poll` to a node.
pub(super) fn of<T>(node: Option<NodeId>, poll: impl FnOnce() -> T) -> T {
    let before = NODE.replace(node);
    let result = poll();
    NODE.set(before);
    result
}

/// The message of a panic.
pub(crate) fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a text").to_owned()
}

fn note(info: &panic::PanicHookInfo<'_>) {
    // Both are gone while the thread ends; then they are no longer needed.
    let Ok(node) = NODE.try_with(Cell::get) else {
        return;
    };
    let panic = Panic {
        node,
        place: info.location().map(ToString::to_string),
        text: text(info.payload()),
    };
    let _ = SEEN.try_with(|seen| {
        if let Ok(mut seen) = seen.try_borrow_mut()
            && let Some(seen) = seen.as_mut()
        {
            seen.push(panic);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_panic_is_seen_with_its_node_and_place_while_it_is_watched() {
        let fails = || {
            let caught = catch_unwind(AssertUnwindSafe(|| panic!("out of {}", "order")));
            assert!(caught.is_err());
        };
        fails();
        let seen = watch(|| {
            of(Some(NodeId(2)), fails);
            take()
        });
        let [panic] = &seen[..] else {
            panic!("{seen:?}")
        };
        assert_eq!(
            (panic.node, panic.text.as_str()),
            (Some(NodeId(2)), "out of order")
        );
        assert!(
            panic
                .place
                .as_ref()
                .is_some_and(|place| place.contains("panics.rs:"))
        );
        fails();
        assert_eq!(take(), []);
    }
}
