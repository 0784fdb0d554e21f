//! The shape of each path between two nodes, and since when. Part of the facts.
//!
//! A path without an entry has the shape of the file's `[network]`.

use core::time::Duration;
use std::collections::BTreeMap;

use lasso_core::time::Instant;

use crate::scenario::{Latency, Network, Shape};

/// See the module's text.
#[derive(Debug)]
pub(super) struct Weather {
    default: Grade,
    paths: BTreeMap<(u32, u32), PathFact>,
}

/// The effect of a shape on packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grade {
    /// Packets get lost by chance.
    lossy: bool,
    /// Frames may take seconds.
    slow: bool,
    /// The longest latency of a packet, one way.
    longest: Duration,
}

#[derive(Debug)]
struct PathFact {
    grade: Grade,
    /// When it last improved in any way.
    eased: Option<Instant>,
}

impl Weather {
    pub(super) fn new(network: &Network) -> Self {
        let mut weather = Weather {
            default: Grade::of(&network.default),
            paths: BTreeMap::new(),
        };
        for (paths, shape) in &network.rules {
            let grade = Grade::of(shape);
            for path in paths {
                let fact = PathFact { grade, eased: None };
                weather.paths.insert((path.from.0, path.to.0), fact);
            }
        }
        weather
    }

    /// These paths have this shape from now on.
    pub(super) fn shaped(&mut self, now: Instant, paths: &[(u32, u32)], shape: &Shape) {
        let grade = Grade::of(shape);
        for path in paths {
            let fact = self.paths.entry(*path).or_insert(PathFact {
                grade: self.default,
                eased: None,
            });
            let before = core::mem::replace(&mut fact.grade, grade);
            if before.is_worse_in_some_way(&grade) {
                // The last packet that was slow may still be on its way.
                fact.eased = Some(now + before.longest);
            }
        }
    }

    /// Since when neither direction of a pair has lost or delayed packets; zero: always.
    pub(super) fn fair_since(&self, a: u32, b: u32) -> Option<Instant> {
        let pair = [(a, b), (b, a)];
        let foul = |path: &(u32, u32)| {
            let grade = self.grade(*path);
            grade.lossy || grade.slow
        };
        if pair.iter().any(foul) {
            return None;
        }
        let eased = pair.iter().filter_map(|path| self.eased(*path));
        Some(eased.max().unwrap_or(Instant::ZERO))
    }

    /// Whether some packet of a pair may have been lost by chance since then.
    pub(super) fn is_lossy_since(&self, then: Instant, a: u32, b: u32) -> bool {
        [(a, b), (b, a)].iter().any(|path| {
            self.grade(*path).lossy || self.eased(*path).is_some_and(|eased| eased > then)
        })
    }

    /// The longest latency of a packet between two nodes now, one way.
    pub(super) fn longest(&self, a: u32, b: u32) -> Duration {
        let there = self.grade((a, b)).longest;
        there.max(self.grade((b, a)).longest)
    }

    fn grade(&self, path: (u32, u32)) -> Grade {
        self.paths
            .get(&path)
            .map_or(self.default, |fact| fact.grade)
    }

    fn eased(&self, path: (u32, u32)) -> Option<Instant> {
        self.paths.get(&path)?.eased
    }
}

impl Grade {
    fn of(shape: &Shape) -> Self {
        let longest = match shape.latency {
            Latency::Range(_, longest) => longest,
            Latency::Quantiles { p99, .. } => p99 * 2,
        };
        let longest = longest + shape.jitter;
        Grade {
            lossy: shape.loss_ppm > 0,
            slow: shape.bandwidth.is_some() || longest > SLOW,
            longest,
        }
    }

    fn is_worse_in_some_way(&self, other: &Grade) -> bool {
        (self.lossy && !other.lossy) || (self.slow && !other.slow) || self.longest > other.longest
    }
}

/// If packets take longer than this, news can be late without being lost.
const SLOW: Duration = Duration::from_millis(500);
