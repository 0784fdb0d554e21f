//! The loops that all systems share.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::tally::clock;
use super::{Job, Stage, Tally};

/// Publishes on one topic.
pub(crate) trait Publisher: Send + 'static {
    /// Hands one message over, waiting while the system wants that; tells how many receivers it
    /// was dropped for.
    fn publish(&mut self, payload: &Bytes) -> impl Future<Output = io::Result<u64>> + Send;
    /// Sends what was handed over and still waits for more.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// Receives what is published.
pub(crate) trait Subscriber: Send + 'static {
    /// Waits for messages, passes all that are there, and tells how many were missed before.
    fn batch(
        &mut self,
        each: impl FnMut(&[u8]) + Send,
    ) -> impl Future<Output = io::Result<u64>> + Send;
}

/// Asks another process, with questions in flight.
pub(crate) trait Caller: Send + 'static {
    /// Sends so many questions at once.
    fn ask(&mut self, count: usize) -> impl Future<Output = io::Result<()>> + Send;
    /// Waits for answers; tells how many came, at least one.
    fn answers(&mut self) -> impl Future<Output = io::Result<usize>> + Send;
}

/// Publishes as the job says: so many, so many a second, or all that goes; with each publisher.
pub(crate) async fn publish(job: Job, publishers: Vec<impl Publisher>) -> io::Result<()> {
    let stage = Stage::enter(&job).await;
    let tally = Arc::clone(&stage.tally);
    let payload = job.payload();
    let (count, rate, stamped) = (
        job.number("count"),
        job.number("rate"),
        job.number("stamped") > 0,
    );
    let work = all(publishers, move |publisher| {
        let (payload, tally) = (payload.clone(), Arc::clone(&tally));
        async move {
            match (count, rate) {
                (0, 0) => flood(publisher, payload, u64::MAX, tally).await,
                (0, rate) => pace(publisher, payload, rate, stamped, tally).await,
                (count, _) => flood(publisher, payload, count, tally).await,
            }
        }
    });
    if count > 0 {
        stage.finish(work).await
    } else {
        stage.measure(work).await
    }
}

/// Runs a task with each of `parts`, until all have ended or one has failed.
pub(crate) async fn all<T, F>(parts: Vec<T>, task: impl Fn(T) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut tasks: JoinSet<io::Result<()>> = parts.into_iter().map(task).collect();
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(io::Error::other)??;
    }
    Ok(())
}

/// Publishes `count` messages as fast as the system takes them.
pub(crate) async fn flood(
    mut publisher: impl Publisher,
    payload: Bytes,
    count: u64,
    tally: Arc<Tally>,
) -> io::Result<()> {
    let mut left = count;
    while left > 0 {
        let round = left.min(FLOOD_ROUND);
        for _ in 0..round {
            tally.missed(publisher.publish(&payload).await?);
        }
        tally.done(round);
        left -= round;
    }
    publisher.flush().await
}

/// Publishes `rate` messages a second, each millisecond what is due.
async fn pace(
    mut publisher: impl Publisher,
    payload: Bytes,
    rate: u64,
    stamped: bool,
    tally: Arc<Tally>,
) -> io::Result<()> {
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (start, mut published) = (Instant::now(), 0);
    loop {
        ticks.tick().await;
        let due = (start.elapsed().as_nanos() * u128::from(rate) / 1_000_000_000) as u64;
        while published < due {
            let shed = if stamped {
                publisher.publish(&stamp(&payload)).await?
            } else {
                publisher.publish(&payload).await?
            };
            tally.missed(shed);
            tally.done(1);
            published += 1;
        }
        publisher.flush().await?;
    }
}

/// The payload with the time at its front.
fn stamp(payload: &Bytes) -> Bytes {
    let mut stamped = payload.to_vec();
    stamped[..8].copy_from_slice(&clock().to_be_bytes());
    stamped.into()
}

/// Counts what comes and, where the job says so, how long each message was on its way.
pub(crate) async fn watch(job: Job, subscribers: Vec<impl Subscriber>) -> io::Result<()> {
    let stage = Stage::enter(&job).await;
    let tally = Arc::clone(&stage.tally);
    let stamped = job.number("stamped") > 0;
    let work = all(subscribers, move |subscriber| {
        let tally = Arc::clone(&tally);
        async move {
            if stamped {
                time(subscriber, tally).await
            } else {
                count(subscriber, tally).await
            }
        }
    });
    stage.measure(work).await
}

/// Counts messages.
pub(crate) async fn count(mut subscriber: impl Subscriber, tally: Arc<Tally>) -> io::Result<()> {
    loop {
        let mut count = 0;
        let missed = subscriber.batch(|_| count += 1).await?;
        tally.done(count);
        tally.missed(missed);
    }
}

/// Counts messages, and tells how long they took and how long none came.
async fn time(mut subscriber: impl Subscriber, tally: Arc<Tally>) -> io::Result<()> {
    let mut last: Option<Instant> = None;
    loop {
        let each = |payload: &[u8]| {
            let sent = payload
                .first_chunk()
                .map_or(0, |bytes| u64::from_be_bytes(*bytes));
            tally.took(clock().saturating_sub(sent));
            tally.done(1);
        };
        let missed = subscriber.batch(each).await?;
        tally.missed(missed);
        let now = Instant::now();
        if let Some(last) = last.replace(now) {
            tally.gap(now - last);
        }
    }
}

/// Keeps `at_once` questions in flight with each caller.
pub(crate) async fn call(job: Job, callers: Vec<impl Caller>, at_once: usize) -> io::Result<()> {
    let stage = Stage::enter(&job).await;
    let tally = Arc::clone(&stage.tally);
    let timed = job.number("at_once") == 1;
    let work = all(callers, move |caller| {
        keep_asking(caller, at_once, timed, Arc::clone(&tally))
    });
    stage.measure(work).await
}

/// Keeps `at_once` questions in flight; where `timed`, tells how long each answer took.
async fn keep_asking(
    mut caller: impl Caller,
    at_once: usize,
    timed: bool,
    tally: Arc<Tally>,
) -> io::Result<()> {
    let mut waiting = 0;
    loop {
        let start = Instant::now();
        caller.ask(at_once - waiting).await?;
        let answered = caller.answers().await?;
        waiting = at_once - answered;
        tally.done(answered as u64);
        if timed {
            tally.took(start.elapsed().as_nanos() as u64);
        }
    }
}

/// Asks one question after another while messages of 16 MiB go the same way.
pub(crate) async fn beside(
    job: Job,
    publisher: impl Publisher,
    caller: impl Caller,
) -> io::Result<()> {
    let stage = Stage::enter(&job).await;
    let tally = Arc::clone(&stage.tally);
    let work = async move {
        let large = vec![0x5a; LARGE_BYTES].into();
        tokio::spawn(flood(publisher, large, u64::MAX, Arc::default()));
        keep_asking(caller, 1, true, tally).await
    };
    stage.measure(work).await
}

/// Asks all at once, and waits for the last answer.
pub(crate) async fn gather(job: Job, mut callers: Vec<impl Caller>) -> io::Result<()> {
    let stage = Stage::enter(&job).await;
    let tally = Arc::clone(&stage.tally);
    let work = async move {
        loop {
            let start = Instant::now();
            for caller in &mut callers {
                caller.ask(1).await?;
            }
            for caller in &mut callers {
                caller.answers().await?;
            }
            tally.done(1);
            tally.took(start.elapsed().as_nanos() as u64);
        }
    };
    stage.measure(work).await
}

/// Messages between two looks at the counters.
const FLOOD_ROUND: u64 = 64;
/// 16 MiB, with room for what stands around a message.
const LARGE_BYTES: usize = (16 << 20) - 1024;
