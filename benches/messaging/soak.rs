//! A long run at half of the highest rate: does the memory stay flat?

use std::thread;
use std::time::{Duration, Instant};

use crate::machine;
use crate::options::{Options, System};
use crate::report::{median, written};
use crate::role::WARM_UP;
use crate::rows::{Unit, Work};
use crate::run::{self, Cast};

/// Measures the highest rate, publishes at half of it for `length`, and says how the memory of
/// both processes went.
pub(crate) fn soak(length: Duration, options: &Options) -> Result<(), String> {
    let rate = highest_rate(options)? / 2.0;
    println!(
        "soak: 64 B, A to B, {} for {length:?}",
        written(Unit::Rate, rate)
    );
    let roles = [
        ("publish", format!("bytes=64 rate={rate:.0} yields=1")),
        ("watch", String::new()),
    ];
    let mut cast = Cast::start(System::Lasso, &roles, length)?;
    eprintln!();
    cast.go()?;
    thread::sleep(WARM_UP);
    let start = Instant::now();
    let mut samples: Vec<Vec<f64>> = Vec::new();
    while start.elapsed() + SAMPLE_EVERY <= length {
        thread::sleep(SAMPLE_EVERY);
        let resident = cast.resident();
        println!(
            "{:>6.0} s  A {:>10}  B {:>10}  load {}",
            start.elapsed().as_secs_f64(),
            written(Unit::Bytes, resident[0]),
            written(Unit::Bytes, resident[1]),
            machine::load()
        );
        samples.push(resident);
    }
    let reports = cast.reports(length)?;
    let of = |index: usize, key: &str| reports[index].get(key).copied().unwrap_or(0.0);
    let seconds = of(1, "ns") / 1e9;
    println!(
        "published {}, shed {:.0}; delivered {}, {:.0} in all, missed {:.0}",
        written(Unit::Rate, of(0, "count") * 1e9 / of(0, "ns")),
        of(0, "missed"),
        written(Unit::Rate, of(1, "count") / seconds),
        of(1, "count"),
        of(1, "missed"),
    );
    verdict(&samples);
    Ok(())
}

fn highest_rate(options: &Options) -> Result<f64, String> {
    let work = Work::Publish {
        bytes: 64,
        nodes: 1,
        subscribers: 1,
    };
    let mut rates = Vec::new();
    for turn in 1..=options.runs {
        eprint!("highest rate {turn}/{}:", options.runs);
        let outcome = run::run(work, System::Lasso, options)?;
        eprintln!("; {}", written(Unit::Rate, outcome["delivered"]));
        rates.push(outcome["delivered"]);
    }
    rates.sort_by(f64::total_cmp);
    median(&rates).ok_or_else(|| "no run".into())
}

/// Flat: the second half of the run never held more than the first half did, but for one lane, which
/// may have been full only then. A single byte kept of each message would be many times that.
fn verdict(samples: &[Vec<f64>]) {
    let (first, second) = samples.split_at(samples.len() / 2);
    for (index, name) in ["A", "B"].iter().enumerate() {
        let most = |half: &[Vec<f64>]| half.iter().map(|s| s[index]).fold(0.0, f64::max);
        let (first, second) = (most(first), most(second));
        let flat = second <= first + FLAT_WITHIN;
        println!(
            "memory of {name}: {}; at most {} in the first half, {} in the second",
            if flat { "flat" } else { "NOT FLAT" },
            written(Unit::Bytes, first),
            written(Unit::Bytes, second),
        );
    }
}

/// From one look at the memory to the next.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// The data lane's bound, in bytes.
const FLAT_WITHIN: f64 = 8.0 * 1_048_576.0;
