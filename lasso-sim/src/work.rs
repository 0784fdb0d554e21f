//! Does many jobs on several threads, and takes their results in the order of the jobs.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use parking_lot::{Condvar, Mutex};

/// The number of jobs per thread that may be finished before the results of earlier ones are taken: behind a slow
/// job, the results of the others must not pile up.
const AHEAD: usize = 16;

/// The jobs handed out and the results taken so far.
struct Desk {
    next: usize,
    taken: usize,
    closed: bool,
}

struct Shared<'a> {
    desk: Mutex<Desk>,
    moved: Condvar,
    count: usize,
    ahead: usize,
    stop: &'a AtomicBool,
}

impl Shared<'_> {
    /// The next job; `None` if there is none, or the work was stopped.
    fn next(&self) -> Option<usize> {
        let mut desk = self.desk.lock();
        while !desk.closed && desk.next >= desk.taken + self.ahead && desk.next < self.count {
            self.moved.wait(&mut desk);
        }
        if desk.closed || desk.next >= self.count || self.stop.load(Ordering::Relaxed) {
            return None;
        }
        desk.next += 1;
        Some(desk.next - 1)
    }

    fn taken(&self) {
        self.desk.lock().taken += 1;
        self.moved.notify_all();
    }

    fn close(&self) {
        self.desk.lock().closed = true;
        self.moved.notify_all();
    }
}

/// Closes the desk when a thread panics; otherwise the others would wait for its result for ever.
struct CloseOnPanic<'a>(&'a Shared<'a>);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.close();
        }
    }
}

/// The threads that do the work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Threads<'a> {
    /// The number of threads, at least one.
    pub(crate) count: usize,
    /// Their name in panic messages.
    pub(crate) name: &'a str,
}

/// Does the jobs `0..count` on several threads, and takes their results in the order of the jobs, on this thread.
/// Once `stop` is set, no further job begins; jobs under way are finished and taken.
///
/// # Errors
/// The first error of `take`, after which nothing more is taken, or the system's error if it gives no thread.
pub(crate) fn in_order<R: Send, E: From<io::Error>>(
    count: usize,
    threads: Threads<'_>,
    stop: &AtomicBool,
    work: impl Fn(usize) -> R + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let shared = Shared {
        desk: Mutex::new(Desk {
            next: 0,
            taken: 0,
            closed: false,
        }),
        moved: Condvar::new(),
        count,
        ahead: threads.count * AHEAD,
        stop,
    };
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for begun in 0..threads.count.min(count) {
            let (sender, shared, work) = (sender.clone(), &shared, &work);
            let thread = thread::Builder::new().name(threads.name.to_owned());
            let spawned = thread.spawn_scoped(scope, move || {
                let _close = CloseOnPanic(shared);
                while let Some(job) = shared.next() {
                    if sender.send((job, work(job))).is_err() {
                        return;
                    }
                }
            });
            match spawned {
                Ok(_) => {}
                // Fewer threads do the same work.
                Err(_) if begun > 0 => break,
                Err(error) => return Err(error.into()),
            }
        }
        drop(sender);
        let (mut early, mut wanted) = (BTreeMap::new(), 0);
        while let Ok((job, result)) = receiver.recv() {
            early.insert(job, result);
            while let Some(result) = early.remove(&wanted) {
                if let Err(error) = take(result) {
                    shared.close();
                    return Err(error);
                }
                wanted += 1;
                shared.taken();
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(count: usize) -> Threads<'static> {
        Threads {
            count,
            name: "work",
        }
    }

    fn all(threads: usize, stop_at: Option<usize>) -> Vec<usize> {
        let (stop, mut seen) = (AtomicBool::new(false), Vec::new());
        let work = |job: usize| {
            if Some(job) == stop_at {
                stop.store(true, Ordering::Relaxed);
            }
            job * 2
        };
        in_order(500, named(threads), &stop, work, |result| {
            seen.push(result);
            io::Result::Ok(())
        })
        .unwrap();
        seen
    }

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        let wanted: Vec<usize> = (0..500).map(|job| job * 2).collect();
        for threads in [1, 4] {
            assert_eq!(all(threads, None), wanted);
        }
    }

    #[test]
    fn once_told_to_stop_only_what_was_begun_is_finished() {
        let seen = all(4, Some(100));
        // Job 100 began, and no job that is too far ahead of it.
        assert!(
            (101..=100 + 4 * AHEAD).contains(&seen.len()),
            "{}",
            seen.len()
        );
        assert_eq!(seen, (0..seen.len()).map(|job| job * 2).collect::<Vec<_>>());
    }

    #[test]
    fn a_slow_job_holds_back_the_others() {
        let (most, stop) = (Mutex::new(0), AtomicBool::new(false));
        let (go, wait) = mpsc::channel();
        let wait = Mutex::new(wait);
        let work = |job: usize| {
            if job == 0 {
                // The last job that may begin while this one is under way lets it continue.
                wait.lock().recv().unwrap();
                return *most.lock();
            }
            let mut most = most.lock();
            *most = job.max(*most);
            drop(most);
            if job == 4 * AHEAD - 1 {
                go.send(()).unwrap();
            }
            job
        };
        let mut first = None;
        in_order(10_000, named(4), &stop, work, |result| {
            first.get_or_insert(result);
            io::Result::Ok(())
        })
        .unwrap();
        assert_eq!(first, Some(4 * AHEAD - 1));
    }

    #[test]
    fn after_an_error_nothing_more_is_taken() {
        let (stop, mut taken) = (AtomicBool::new(false), 0);
        let done = in_order(
            1_000,
            named(4),
            &stop,
            |job| job,
            |_| {
                taken += 1;
                if taken == 10 {
                    Err(io::Error::from(io::ErrorKind::BrokenPipe))
                } else {
                    Ok(())
                }
            },
        );
        assert!(done.is_err());
        assert_eq!(taken, 10);
    }
}
