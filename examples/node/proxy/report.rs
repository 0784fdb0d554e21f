//! What the cluster is told, without ever waiting for it.
//!
//! Whoever serves a request puts what there is to tell into a bounded queue, and goes on. A thread of
//! its own takes it out, records it and publishes it: so that whatever the cluster part does, and be it
//! that it waits for a lock for ever, no request notices. When the queue is full, what is new is dropped
//! and counted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use lasso::Label;
use lasso::Segment;

use super::pool::{CircuitNews, Health};

/// Something that the cluster is to know.
#[derive(Debug, Clone)]
pub(crate) enum Report {
    /// A request is over.
    Finished(Box<Finished>),
    /// A circuit changed, or is told again.
    Circuit(Place, CircuitNews),
    /// How a provider is doing.
    Health(Place, Health),
    /// The newest block of a provider.
    Height(Place, Height),
}

/// A chain of a profile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The profile.
    pub(crate) profile: Segment,
    /// The chain.
    pub(crate) chain: Segment,
}

/// The newest block of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Height {
    /// Whose.
    pub(crate) provider: Label,
    /// Its number.
    pub(crate) height: u64,
    /// The newest that most providers have.
    pub(crate) consensus: Option<u64>,
    /// How far it is behind that.
    pub(crate) lag: Option<u64>,
}

/// A request that is over.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    /// Where it was routed.
    pub(crate) place: Place,
    /// Whose it was.
    pub(crate) account: Option<Segment>,
    /// The method that was called.
    pub(crate) method: Label,
    /// How providers were chosen.
    pub(crate) strategy: Label,
    /// Where it was tried, in order.
    pub(crate) tries: Vec<Tried>,
    /// It was answered, if only with the client's own error.
    pub(crate) success: bool,
    /// What kind of error it ended with.
    pub(crate) error_category: Option<Label>,
    /// That error's code.
    pub(crate) error_code: Option<i64>,
}

/// One provider that a request was tried at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tried {
    /// Which.
    pub(crate) provider: Label,
    /// It did what it could: the request was done, or was none that can be.
    pub(crate) success: bool,
    /// How long it took.
    pub(crate) latency: Duration,
}

impl Finished {
    /// From the first try to the last answer.
    pub(crate) fn duration(&self) -> Duration {
        self.tries.iter().map(|tried| tried.latency).sum()
    }
}

/// Takes reports in, on a thread of its own; it may wait as long as it likes.
pub(crate) trait Sink: Send + 'static {
    /// Takes one in, which came to be at `unix_ms` by the wall clock.
    fn take(&mut self, unix_ms: u64, report: Report);
}

/// Where reports are handed in.
#[derive(Clone)]
pub(crate) struct Reporter {
    queue: SyncSender<(u64, Report)>,
    shed: Arc<AtomicU64>,
    waiting: Arc<AtomicU64>,
}

impl Reporter {
    /// Starts the thread, which ends with the last reporter.
    pub(crate) fn start(mut sink: impl Sink) -> Self {
        let (queue, reports) = sync_channel(QUEUE_MAX);
        let shed = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&shed);
        let waiting = Arc::new(AtomicU64::new(0));
        let left = Arc::clone(&waiting);
        let take = move || {
            for (unix_ms, report) in reports {
                // One that the sink cannot take is lost alone; the panic's own message says why.
                let taken = catch_unwind(AssertUnwindSafe(|| sink.take(unix_ms, report)));
                lost.fetch_add(u64::from(taken.is_err()), Ordering::Relaxed);
                left.fetch_sub(1, Ordering::Release);
            }
        };
        let thread = std::thread::Builder::new().name("reports".into());
        thread
            .spawn(take)
            .expect("the system has a thread to give at the start");
        Reporter {
            queue,
            shed,
            waiting,
        }
    }

    /// Hands one in. Returns at once.
    pub(crate) fn tell(&self, unix_ms: u64, report: Report) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.queue.try_send((unix_ms, report)).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.shed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reports that wait for the cluster to be told.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Acquire)
    }

    /// Reports that the cluster was not told: there was no room for them, or they were not taken.
    pub(crate) fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }
}

/// Reports that wait: some seconds' worth under full load, a few MiB.
const QUEUE_MAX: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    fn report(height: u64) -> Report {
        let segment = |text| Segment::new(text).unwrap();
        let place = Place {
            profile: segment("p"),
            chain: segment("c"),
        };
        let height = Height {
            provider: Label::new("provider", "a").unwrap(),
            height,
            consensus: None,
            lag: None,
        };
        Report::Height(place, height)
    }

    /// Takes one report in for each permission, and tells its time.
    struct Slow(Receiver<()>, Sender<u64>);

    impl Sink for Slow {
        fn take(&mut self, unix_ms: u64, _: Report) {
            let _ = self.0.recv();
            let _ = self.1.send(unix_ms);
        }
    }

    #[test]
    fn reports_that_find_no_room_are_counted_and_the_others_come_in_order() {
        let (permit, permits) = channel();
        let (taken, took) = channel();
        let reporter = Reporter::start(Slow(permits, taken));
        let offered = 2 * QUEUE_MAX as u64;
        (0..offered).for_each(|number| reporter.tell(number, report(number)));
        // The thread may have taken one out by then.
        let shed = reporter.shed();
        assert!(shed.abs_diff(QUEUE_MAX as u64) <= 1, "{shed}");
        drop(permit);
        let clone = reporter.clone();
        drop((reporter, clone));
        let took: Vec<u64> = took.into_iter().collect();
        assert!(took.is_sorted());
        assert_eq!(took.len() as u64 + shed, offered);
    }

    /// Panics at every other report.
    struct Brittle(Sender<u64>);

    impl Sink for Brittle {
        fn take(&mut self, unix_ms: u64, _: Report) {
            assert!(unix_ms.is_multiple_of(2), "this one is not taken");
            let _ = self.0.send(unix_ms);
        }
    }

    #[test]
    fn a_report_that_cannot_be_taken_is_counted_and_those_after_it_are_told() {
        let (taken, took) = channel();
        let reporter = Reporter::start(Brittle(taken));
        (0..5).for_each(|number| reporter.tell(number, report(number)));
        assert_eq!(took.iter().take(3).collect::<Vec<_>>(), [0, 2, 4]);
        while reporter.waiting() > 0 {
            std::thread::yield_now();
        }
        assert_eq!(reporter.shed(), 2);
    }
}
