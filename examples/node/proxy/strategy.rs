//! In which order are providers tried?
//!
//! 1. Every candidate is in the order exactly once.
//! 2. The same seed and the same questions give the same orders.

use std::fmt;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// How a profile chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Strategy {
    /// The one that answers soonest, but for one request in [`EXPLORE_ONE_IN`].
    Fastest,
    /// Each in turn.
    LoadBalanced,
    /// By lot, where one that takes half as long has twice the chance.
    #[default]
    LatencyWeighted,
    /// In the order of the configuration.
    Priority,
}

impl Strategy {
    /// All there are.
    pub(crate) const ALL: [Strategy; 4] = [
        Strategy::Fastest,
        Strategy::LoadBalanced,
        Strategy::LatencyWeighted,
        Strategy::Priority,
    ];

    /// Its name, as it is configured and shown.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Strategy::Fastest => "fastest",
            Strategy::LoadBalanced => "load-balanced",
            Strategy::LatencyWeighted => "latency-weighted",
            Strategy::Priority => "priority",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One request in so many goes to another provider than the fastest, so that one which has become
/// faster is found out.
pub(crate) const EXPLORE_ONE_IN: u64 = 32;

/// A provider that may be asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    /// Its place in the configuration.
    pub(crate) place: usize,
    /// Those of a lower rank come before all of a higher one, whatever the strategy.
    pub(crate) rank: u8,
    /// What it took lately, in milliseconds; `None` before its first answer.
    pub(crate) latency_ms: Option<f64>,
}

/// Chooses for one chain. See the module's text.
#[derive(Debug)]
pub(crate) struct Chooser {
    strategy: Strategy,
    rng: ChaCha8Rng,
    turn: u64,
}

impl Chooser {
    /// A chooser that draws from `seed`.
    pub(crate) fn new(strategy: Strategy, seed: u64) -> Self {
        Chooser {
            strategy,
            rng: ChaCha8Rng::seed_from_u64(seed),
            turn: 0,
        }
    }

    /// The candidates' places, the one to try first in front. They come in the order of the
    /// configuration.
    pub(crate) fn order(&mut self, candidates: &[Candidate]) -> Vec<usize> {
        self.turn = self.turn.wrapping_add(1);
        let mut order: Vec<Candidate> = candidates.to_vec();
        match self.strategy {
            Strategy::Priority => {}
            Strategy::LoadBalanced if order.is_empty() => {}
            Strategy::LoadBalanced => {
                let first = (self.turn - 1) % order.len() as u64;
                order.rotate_left(first as usize);
            }
            Strategy::Fastest => {
                // One that was never asked comes first: nothing else tells how fast it is.
                let latency = |one: &Candidate| one.latency_ms.unwrap_or(0.0);
                order.sort_by(|a, b| latency(a).total_cmp(&latency(b)));
                if self.turn.is_multiple_of(EXPLORE_ONE_IN) && order.len() > 1 {
                    let other = 1 + self.rng.next_u64() % (order.len() as u64 - 1);
                    let other = order.remove(other as usize);
                    order.insert(0, other);
                }
            }
            Strategy::LatencyWeighted => self.draw(&mut order),
        }
        order.sort_by_key(|one| one.rank);
        order.into_iter().map(|one| one.place).collect()
    }

    /// A weighted shuffle (Efraimidis and Spirakis 2006): each draws -ln(u)/weight, the least first.
    fn draw(&mut self, order: &mut [Candidate]) {
        let known = order.iter().filter_map(|one| one.latency_ms);
        let best = known.fold(f64::INFINITY, f64::min);
        let best = if best.is_finite() { best } else { 1.0 };
        let mut drawn: Vec<(f64, Candidate)> = order
            .iter()
            .map(|one| {
                // One that was never asked has the chance of the best.
                let latency = one.latency_ms.unwrap_or(best).max(LEAST_MS);
                let uniform = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
                (-(1.0 - uniform).ln() * latency, *one)
            })
            .collect();
        drawn.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (place, (_, one)) in order.iter_mut().zip(drawn) {
            *place = one;
        }
    }
}

/// Latencies below this are taken for it, so that one answer from a cache does not draw everything.
const LEAST_MS: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(latencies: &[Option<f64>]) -> Vec<Candidate> {
        let one = |(place, latency_ms): (usize, &Option<f64>)| Candidate {
            place,
            rank: 0,
            latency_ms: *latency_ms,
        };
        latencies.iter().enumerate().map(one).collect()
    }

    fn firsts(strategy: Strategy, latencies: &[Option<f64>], questions: usize) -> Vec<usize> {
        let candidates = candidates(latencies);
        let mut chooser = Chooser::new(strategy, 7);
        let mut firsts = vec![0; latencies.len()];
        for _ in 0..questions {
            let mut order = chooser.order(&candidates);
            firsts[order[0]] += 1;
            order.sort_unstable();
            assert!(order.into_iter().eq(0..latencies.len()));
        }
        firsts
    }

    #[test]
    fn priority_is_the_order_of_the_configuration() {
        let firsts = firsts(Strategy::Priority, &[Some(900.0), Some(1.0), None], 100);
        assert_eq!(firsts, [100, 0, 0]);
    }

    #[test]
    fn load_balanced_gives_each_its_turn() {
        let firsts = firsts(Strategy::LoadBalanced, &[Some(900.0), Some(1.0), None], 99);
        assert_eq!(firsts, [33, 33, 33]);
    }

    #[test]
    fn fastest_asks_the_fastest_and_now_and_then_another() {
        let known = firsts(
            Strategy::Fastest,
            &[Some(30.0), Some(10.0), Some(20.0)],
            3_200,
        );
        assert_eq!(known[1], 3_100);
        assert!(known[0] > 20 && known[2] > 20, "{known:?}");
        let unknown = firsts(Strategy::Fastest, &[Some(30.0), None], 31);
        assert_eq!(unknown, [0, 31]);
    }

    #[test]
    fn latency_weighted_gives_twice_the_chance_for_half_the_time() {
        let firsts = firsts(Strategy::LatencyWeighted, &[Some(50.0), Some(100.0)], 9_000);
        // 6,000 of 9,000; four standard errors are 179.
        assert!(firsts[0].abs_diff(6_000) < 179, "{firsts:?}");
    }

    #[test]
    fn rank_comes_before_the_strategy_and_does_not_spoil_the_turns() {
        let mut candidates = candidates(&[None, None, None, None]);
        candidates[0].rank = 2;
        candidates[3].rank = 1;
        let mut chooser = Chooser::new(Strategy::LoadBalanced, 1);
        let orders: Vec<_> = (0..4).map(|_| chooser.order(&candidates)).collect();
        assert_eq!(orders[..2], [[1, 2, 3, 0], [1, 2, 3, 0]]);
        assert_eq!(orders[2..], [[2, 1, 3, 0], [1, 2, 3, 0]]);
    }

    #[test]
    fn no_candidates_are_an_empty_order() {
        for strategy in [
            Strategy::Fastest,
            Strategy::LoadBalanced,
            Strategy::LatencyWeighted,
            Strategy::Priority,
        ] {
            assert!(Chooser::new(strategy, 1).order(&[]).is_empty());
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_orders() {
        let candidates = candidates(&[Some(10.0), None, Some(30.0)]);
        let orders = |seed| {
            let mut chooser = Chooser::new(Strategy::LatencyWeighted, seed);
            (0..50)
                .map(|_| chooser.order(&candidates))
                .collect::<Vec<_>>()
        };
        assert_eq!(orders(1), orders(1));
        assert_ne!(orders(1), orders(2));
    }
}
