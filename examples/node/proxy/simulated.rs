//! A provider that is not there: how long it takes, what it says, when it fails.
//!
//! It decides what a request comes to, and how long that takes; whoever asks waits as long. Latencies
//! have a long tail, as those of real providers do: the configured one times e to the power of a normal
//! variable times the jitter, so that half of the answers are faster and half are slower. Without
//! jitter every answer takes exactly as long.
//!
//! Heights follow the wall clock, so that all nodes of a cluster see the same chain.
//!
//! 1. The same seed, times and questions give the same answers.

use std::time::{Duration, Instant};

use lasso::Label;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::value::{RawValue, to_raw_value};

use super::jsonrpc::{METHOD_NOT_FOUND, RpcError, Said};
use super::methods;
use super::reply::{Failure, Reply};

/// What a provider is like, seen from one region.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Traits {
    /// The median of its latency.
    pub(crate) latency: Duration,
    /// How much its latency varies; 0: not at all, 0.3: as usual.
    pub(crate) jitter: f64,
    /// The share of requests that it fails, 0 to 1.
    pub(crate) error_rate: f64,
    /// Requests per second that it takes; `None`: any number.
    pub(crate) rate_limit: Option<u32>,
    /// Blocks that it is behind the chain.
    pub(crate) lag: u64,
}

/// The chain that it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Its number.
    pub(crate) id: u64,
    /// Between two blocks.
    pub(crate) block_time: Duration,
}

/// The machine. See the module's text.
#[derive(Debug)]
pub(crate) struct Simulated {
    traits: Traits,
    chain: Chain,
    rng: ChaCha8Rng,
    /// Requests that it would take at `filled_at`.
    tokens: f64,
    filled_at: Instant,
}

impl Simulated {
    /// A provider that draws from `seed`.
    pub(crate) fn new(now: Instant, traits: Traits, chain: Chain, seed: u64) -> Self {
        Simulated {
            tokens: f64::from(traits.rate_limit.unwrap_or_default()),
            filled_at: now,
            rng: ChaCha8Rng::seed_from_u64(seed),
            traits,
            chain,
        }
    }

    /// What a request comes to, and after how long.
    pub(crate) fn ask(&mut self, now: Instant, unix_ms: u64, method: &Label) -> (Duration, Reply) {
        if !self.takes_one_more(now) {
            return (
                AT_ONCE,
                Err(Failure::RateLimited(Some(Duration::from_secs(1)))),
            );
        }
        let latency = self.latency();
        if self.uniform() < self.traits.error_rate {
            return self.fail(latency);
        }
        (latency, Ok(self.answer(unix_ms, method)))
    }

    /// Its newest block.
    pub(crate) fn height(&self, unix_ms: u64) -> u64 {
        let block_ms = self.chain.block_time.as_millis().max(1) as u64;
        (unix_ms / block_ms).saturating_sub(self.traits.lag)
    }

    fn takes_one_more(&mut self, now: Instant) -> bool {
        let Some(limit) = self.traits.rate_limit.map(f64::from) else {
            return true;
        };
        let passed = now.saturating_duration_since(self.filled_at);
        self.filled_at = self.filled_at.max(now);
        self.tokens = (self.tokens + passed.as_secs_f64() * limit).min(limit);
        let takes = self.tokens >= 1.0;
        if takes {
            self.tokens -= 1.0;
        }
        takes
    }

    fn latency(&mut self) -> Duration {
        if self.traits.jitter == 0.0 {
            return self.traits.latency;
        }
        // Twelve uniform variables add up to a normal one, as nearly as is needed here.
        let normal: f64 = (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0;
        let factor = (self.traits.jitter * normal).exp();
        self.traits.latency.mul_f64(factor).min(LONGEST)
    }

    /// Fails in a way that is its own fault, and no question's.
    fn fail(&mut self, latency: Duration) -> (Duration, Reply) {
        match self.rng.next_u32() % 3 {
            0 => (AT_ONCE, Err(Failure::Unreachable)),
            1 => (latency, Err(Failure::Status(503))),
            _ => (latency, Err(Failure::Malformed)),
        }
    }

    fn answer(&mut self, unix_ms: u64, method: &Label) -> Said {
        let result = match method.as_str() {
            "eth_blockNumber" => hex(self.height(unix_ms)),
            "eth_chainId" => hex(self.chain.id),
            "net_version" => text(&self.chain.id.to_string()),
            "web3_clientVersion" => text("lasso-simulated/1"),
            "eth_syncing" => to_raw_value(&false).expect("a boolean is JSON"),
            "eth_getLogs" => to_raw_value::<[u8; 0]>(&[]).expect("a list is JSON"),
            name if methods::is_known(name) => hex(self.rng.next_u64()),
            name => {
                let message = format!("simulated: there is no method `{name}`");
                return Said::Error(RpcError::new(METHOD_NOT_FOUND, message));
            }
        };
        Said::Result(result)
    }

    /// 0 to 1, without 1.
    fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn hex(number: u64) -> Box<RawValue> {
    text(&format!("{number:#x}"))
}

fn text(text: &str) -> Box<RawValue> {
    to_raw_value(text).expect("a text is JSON")
}

/// What a provider that does not do anything takes for it.
const AT_ONCE: Duration = Duration::from_millis(1);
/// However unlucky the draw.
const LONGEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Chain = Chain {
        id: 1,
        block_time: Duration::from_secs(12),
    };

    fn traits() -> Traits {
        Traits {
            latency: Duration::from_millis(100),
            jitter: 0.0,
            error_rate: 0.0,
            rate_limit: None,
            lag: 0,
        }
    }

    fn label(name: &str) -> Label {
        Label::new("method", name).unwrap()
    }

    fn result(reply: Reply) -> String {
        match reply {
            Ok(Said::Result(result)) => result.get().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_jitter_every_answer_takes_exactly_as_long() {
        let now = Instant::now();
        let mut provider = Simulated::new(now, traits(), BLOCK, 1);
        let took = (0..1_000).map(|_| provider.ask(now, 0, &label("eth_call")).0);
        assert!(
            took.into_iter()
                .all(|took| took == Duration::from_millis(100))
        );
    }

    #[test]
    fn with_jitter_half_of_the_answers_are_faster_and_some_take_much_longer() {
        let now = Instant::now();
        let usual = Traits {
            jitter: 0.3,
            ..traits()
        };
        let mut provider = Simulated::new(now, usual, BLOCK, 1);
        let mut took: Vec<_> = (0..10_001)
            .map(|_| provider.ask(now, 0, &label("eth_call")).0)
            .collect();
        took.sort();
        let ms = |place: usize| took[place].as_millis();
        assert!((97..=103).contains(&ms(5_000)), "{}", ms(5_000));
        assert!((190..=215).contains(&ms(9_900)), "{}", ms(9_900));
    }

    #[test]
    fn it_fails_its_share_of_requests_in_several_ways() {
        let now = Instant::now();
        let flaky = Traits {
            error_rate: 0.2,
            ..traits()
        };
        let mut provider = Simulated::new(now, flaky, BLOCK, 1);
        let mut ways = [0; 4];
        for _ in 0..10_000 {
            let way = match provider.ask(now, 0, &label("eth_call")).1 {
                Ok(Said::Result(_)) => 0,
                Err(Failure::Unreachable) => 1,
                Err(Failure::Status(503)) => 2,
                Err(Failure::Malformed) => 3,
                other => panic!("{other:?}"),
            };
            ways[way] += 1;
        }
        // Four standard errors of 2,000 of 10,000 are 160.
        assert!(i32::abs(ways[0] - 8_000) < 160, "{ways:?}");
        assert!(ways[1..].iter().all(|way| *way > 500), "{ways:?}");
    }

    #[test]
    fn beyond_its_rate_it_refuses_and_after_a_second_takes_as_many_again() {
        let now = Instant::now();
        let limited = Traits {
            rate_limit: Some(10),
            ..traits()
        };
        let mut provider = Simulated::new(now, limited, BLOCK, 1);
        for now in [
            now,
            now + Duration::from_secs(1),
            now + Duration::from_secs(60),
        ] {
            let asked = (0..25).map(|_| provider.ask(now, 0, &label("eth_call")).1);
            let refused = asked.filter(|reply| matches!(reply, Err(Failure::RateLimited(_))));
            assert_eq!(refused.count(), 15);
        }
    }

    #[test]
    fn its_chain_grows_with_the_wall_clock_and_it_is_behind_by_its_lag() {
        let now = Instant::now();
        let behind = Traits { lag: 3, ..traits() };
        let mut provider = Simulated::new(now, behind, BLOCK, 1);
        assert_eq!(
            result(provider.ask(now, 12_000 * 19, &label("eth_blockNumber")).1),
            "\"0x10\""
        );
        assert_eq!(
            result(provider.ask(now, 12_000 * 20, &label("eth_blockNumber")).1),
            "\"0x11\""
        );
        assert_eq!(provider.height(0), 0);
        assert_eq!(
            result(provider.ask(now, 0, &label("eth_chainId")).1),
            "\"0x1\""
        );
    }

    #[test]
    fn a_method_that_it_does_not_know_is_the_clients_error() {
        let now = Instant::now();
        let mut provider = Simulated::new(now, traits(), BLOCK, 1);
        let Ok(Said::Error(error)) = provider.ask(now, 0, &label("eth_nonsense")).1 else {
            panic!("it is no method");
        };
        assert_eq!(error.code, METHOD_NOT_FOUND);
    }

    #[test]
    fn the_same_seed_gives_the_same_answers() {
        let now = Instant::now();
        let unsteady = Traits {
            jitter: 0.5,
            error_rate: 0.5,
            rate_limit: Some(50),
            ..traits()
        };
        let story = |seed| {
            let mut provider = Simulated::new(now, unsteady.clone(), BLOCK, seed);
            let asked = (0..100).map(|n| provider.ask(now, n, &label("eth_call")));
            asked.map(|told| format!("{told:?}")).collect::<Vec<_>>()
        };
        assert_eq!(story(1), story(1));
        assert_ne!(story(1), story(2));
    }
}
