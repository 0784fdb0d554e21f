//! What is true: every request, by the second in which its answer came.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::watch::Figures;

/// How a request ended.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// With a result.
    Success,
    /// With an error of JSON-RPC.
    Error,
    /// Without being asked at any provider, and why: no viewer hears of it.
    Refused(String),
}

/// The counts of one second.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    number: u64,
    successes: u64,
    errors: u64,
}

/// See the module's text.
pub(crate) struct Tally {
    start: Instant,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    sent: u64,
    /// By why; those beyond [`REASONS_MAX`] together.
    refused: BTreeMap<String, u64>,
    /// How long answers took, in microseconds, all of them.
    took: Vec<u32>,
    /// Up to [`WINDOW`] seconds and the one that runs.
    seconds: VecDeque<Second>,
}

/// What the lines say.
pub(crate) const HEADER: &str = concat!(
    "                       true, last 60 s         viewer, from samples    published\n",
    "   time   sent/s    answered/s   success      answered/s   success     events/s",
);

/// Reasons that are told apart, as they are made up by others.
const REASONS_MAX: usize = 8;
/// The viewers' window, in seconds.
const WINDOW: usize = 60;

impl Tally {
    pub(crate) fn new() -> Self {
        Tally {
            start: Instant::now(),
            counts: Mutex::default(),
        }
    }

    /// A request was sent, or should have been.
    pub(crate) fn sent(&self) {
        self.counts.lock().expect("nobody panics").sent += 1;
    }

    /// An answer took so long.
    pub(crate) fn took(&self, latency: Duration) {
        let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        let mut counts = self.counts.lock().expect("nobody panics");
        counts.took.push(micros);
    }

    /// A request has ended.
    pub(crate) fn done(&self, answer: Answer) {
        let number = self.start.elapsed().as_secs();
        let mut counts = self.counts.lock().expect("nobody panics");
        if counts
            .seconds
            .back()
            .is_none_or(|last| last.number < number)
        {
            counts.seconds.push_back(Second {
                number,
                ..Second::default()
            });
            while counts.seconds.len() > WINDOW + 1 {
                counts.seconds.pop_front();
            }
        }
        let second = counts.seconds.back_mut().expect("it was pushed");
        match answer {
            Answer::Success => second.successes += 1,
            Answer::Error => second.errors += 1,
            Answer::Refused(why) => counts.refuse(why),
        }
    }

    /// How things are, beside what a viewer is shown.
    pub(crate) fn line(&self, seen: &Figures) -> String {
        let time = self.start.elapsed().as_secs_f64();
        let counts = self.counts.lock().expect("nobody panics");
        let (rate, success) = counts.truth().map_or(("-".into(), "-".into()), |truth| {
            let (rate, success) = truth;
            (format!("{rate:.1}"), format!("{:.2}", 100.0 * success))
        });
        format!(
            "{time:>5.0} s {:>8.1} {rate:>13} {success:>7} % {:>15.1} {:>7.2} % {:>12.1}",
            counts.sent as f64 / time,
            seen.rate,
            100.0 * seen.success,
            seen.events as f64 / seen.watched.as_secs_f64(),
        )
    }

    /// What was sent, and why what was refused was.
    pub(crate) fn summary(&self) -> String {
        let counts = self.counts.lock().expect("nobody panics");
        let refused: u64 = counts.refused.values().sum();
        let reasons = counts.refused.iter();
        let reasons = reasons.map(|(why, count)| format!("\n  {count}: {why}"));
        format!(
            "\n{} sent, {refused} refused before any provider{}",
            counts.sent,
            reasons.collect::<String>()
        )
    }

    /// How far apart the two are at the end.
    ///
    /// # Errors
    /// Why that cannot be said.
    pub(crate) fn compared(&self, seen: &Figures) -> Result<String, &'static str> {
        let mut counts = self.counts.lock().expect("nobody panics");
        let (rate, success) = counts.truth().ok_or("no request was answered of late")?;
        if seen.has_ended {
            return Err("the viewer's stream has ended");
        }
        if seen.rate == 0.0 {
            return Err("the viewer was shown no figures; is it of the same cluster?");
        }
        counts.took.sort_unstable();
        Ok(format!(
            "the viewer lost {} events\n\
             rate: {:+.2} % off; success rate: {:+.3} points off\n\
             answers took {:.1} ms (p50), {:.1} ms (p99), {:.1} ms (p99.9)",
            seen.lost,
            100.0 * (seen.rate / rate - 1.0),
            100.0 * (seen.success - success),
            counts.percentile_ms(500),
            counts.percentile_ms(990),
            counts.percentile_ms(999),
        ))
    }
}

impl Counts {
    /// The time that so many of a thousand answers took at most; they are sorted.
    fn percentile_ms(&self, per_mille: usize) -> f64 {
        let rank = (self.took.len() * per_mille).div_ceil(1_000);
        let micros = self.took.get(rank.saturating_sub(1));
        micros.map_or(f64::NAN, |micros| f64::from(*micros) / 1e3)
    }

    fn refuse(&mut self, why: String) {
        let is_new = !self.refused.contains_key(&why);
        let why = if is_new && self.refused.len() >= REASONS_MAX {
            "other reasons".into()
        } else {
            why
        };
        *self.refused.entry(why).or_default() += 1;
    }

    /// Answers per second and their success rate, over the complete seconds of the window; `None`:
    /// there were no answers.
    fn truth(&self) -> Option<(f64, f64)> {
        let complete = self.seconds.len().saturating_sub(1);
        let seconds = self.seconds.iter().take(complete);
        let (successes, errors) = seconds.fold((0, 0), |(successes, errors), second| {
            (successes + second.successes, errors + second.errors)
        });
        let answered = (successes + errors) as f64;
        (answered > 0.0).then(|| (answered / complete as f64, successes as f64 / answered))
    }
}
