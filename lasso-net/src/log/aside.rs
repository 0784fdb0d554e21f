//! The thread on which lines of the library reach the subscriber, whatever that waits for.
//!
//! One for the process, since the sink of log lines is one for the process as well.

use core::time::Duration;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::writer::count_dropped;

/// Writes one line.
pub(crate) type Line = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// Something was put into the queue, or all of it was written.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Line>,
    /// A thread takes the lines.
    has_thread: bool,
    /// It writes one now.
    is_writing: bool,
}

static QUEUE: LazyLock<Queue> = LazyLock::new(Queue::default);

/// Has a line written on the thread for lines, with the subscriber of this thread. One for which there is
/// no room, or no thread, is dropped and counted.
pub(crate) fn aside(line: Line) {
    let subscriber = tracing::dispatcher::get_default(Clone::clone);
    let line = move || tracing::dispatcher::with_default(&subscriber, line);
    let queue = &*QUEUE;
    let mut state = queue.state.lock();
    if !state.has_thread {
        let builder = std::thread::Builder::new().name("lasso-log".into());
        state.has_thread = builder.spawn(|| write(&QUEUE)).is_ok();
    }
    if !state.has_thread || state.lines.len() >= LINES_MAX {
        return count_dropped(1);
    }
    state.lines.push_back(Box::new(line));
    queue.changed.notify_all();
}

fn write(queue: &Queue) -> ! {
    let mut state = queue.state.lock();
    loop {
        let Some(line) = state.lines.pop_front() else {
            queue.changed.wait(&mut state);
            continue;
        };
        state.is_writing = true;
        drop(state);
        // A subscriber that panics costs its line.
        if catch_unwind(AssertUnwindSafe(line)).is_err() {
            count_dropped(1);
        }
        state = queue.state.lock();
        state.is_writing = false;
        if state.lines.is_empty() {
            queue.changed.notify_all();
        }
    }
}

/// Waits until the subscriber has every line of the library, for at most `patience`; false when there is
/// more. Blocks the thread: for the end of a process.
pub fn flush_within(patience: Duration) -> bool {
    let until = Instant::now() + patience.min(PATIENCE_MAX);
    let queue = &*QUEUE;
    let mut state = queue.state.lock();
    while state.is_writing || !state.lines.is_empty() {
        if queue.changed.wait_until(&mut state, until).timed_out() {
            return !state.is_writing && state.lines.is_empty();
        }
    }
    true
}

/// The longest wait for a flush: later moments may be none of the system's clock.
pub(super) const PATIENCE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Lines that wait for the subscriber; each is a few hundred bytes.
const LINES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_subscriber_that_blocks_holds_up_nobody_and_what_has_no_room_is_counted() {
        let (go_on, goes_on) = mpsc::channel::<()>();
        let (tell, written) = mpsc::channel();
        let before = super::super::dropped();
        aside(Box::new(move || {
            let _ = goes_on.recv();
        }));
        for n in 0..2 * LINES_MAX {
            let tell = tell.clone();
            aside(Box::new(move || tell.send(n).expect("the test waits")));
        }
        drop(tell);
        let dropped = super::super::dropped() - before;
        assert!(dropped >= LINES_MAX as u64, "{dropped}");
        assert!(!flush_within(Duration::ZERO));
        go_on.send(()).expect("the thread waits");
        let written: Vec<usize> = written.iter().collect();
        assert!(written.len() >= LINES_MAX - 1 && written.len() <= LINES_MAX + 1);
        assert!(written.is_sorted());
        assert!(flush_within(Duration::from_secs(10)));
    }
}
