//! What is told of providers beside requests: newest blocks, health, and circuits again and again.
//!
//! Viewers drop a state that is not renewed for 5 min, so that a node which is gone leaves none behind.
//! So everything is told when it changes, and every [`RENEW`] in any case.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lasso::Label;

use super::pool::Health;
use super::report::{Height, Report};
use super::service::{Room, Service, clock};

/// How often what has not changed is told again: nobody keeps states while nobody looks, so that this
/// is also how long the first viewer may have to wait for them.
const RENEW: Duration = Duration::from_secs(15);

/// Watches one chain for as long as the process lives.
pub(crate) async fn watch(service: Service, room: Arc<Room>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = Told::default();
    loop {
        ticks.tick().await;
        let heights = (0..room.len()).map(|place| service.ask_for_height(&room, place));
        let heights = futures_util::future::join_all(heights).await;
        let reports = {
            let mut pool = room.pool.lock();
            for (place, height) in heights.into_iter().enumerate() {
                pool.set_height(place, height);
            }
            let consensus = pool.consensus();
            let heights = pool.heights().map(|(provider, height, lag)| Height {
                provider: provider.clone(),
                height,
                consensus,
                lag,
            });
            let now = clock();
            let mut news = told.news(now, heights.collect(), pool.health(now));
            if news.renew {
                let circuits = pool.circuits().into_iter();
                let report = |circuit| Report::Circuit(room.place.clone(), circuit);
                news.reports.extend(circuits.map(report));
            }
            let place = || room.place.clone();
            news.reports.extend(
                news.heights
                    .into_iter()
                    .map(|one| Report::Height(place(), one)),
            );
            news.reports.extend(
                news.health
                    .into_iter()
                    .map(|one| Report::Health(place(), one)),
            );
            news.reports
        };
        reports.into_iter().for_each(|report| service.tell(report));
    }
}

/// What was told last.
#[derive(Default)]
struct Told {
    renewed_at: Option<Instant>,
    heights: BTreeMap<Label, Height>,
    health: BTreeMap<Label, (Instant, Health)>,
}

/// What is to be told now.
struct News {
    /// All of it, circuits included.
    renew: bool,
    heights: Vec<Height>,
    health: Vec<Health>,
    reports: Vec<Report>,
}

impl Told {
    fn news(&mut self, now: Instant, heights: Vec<Height>, health: Vec<Health>) -> News {
        let is_over = |at: Instant| now.saturating_duration_since(at) >= RENEW;
        let renew = self.renewed_at.is_none_or(is_over);
        if renew {
            self.renewed_at = Some(now);
        }
        let heights = heights.into_iter().filter(|new| {
            let old = self.heights.insert(new.provider.clone(), new.clone());
            renew || old.as_ref() != Some(new)
        });
        let heights = heights.collect();
        let health = health.into_iter().filter(|new| {
            let old = self.health.get(&new.provider);
            let tell = renew || old.is_none_or(|(at, old)| is_news(now - *at, old, new));
            if tell {
                let told = (now, new.clone());
                self.health.insert(new.provider.clone(), told);
            }
            tell
        });
        News {
            renew,
            heights,
            health: health.collect(),
            reports: Vec::new(),
        }
    }
}

/// Whether how a provider is doing is to be told, when it was told that long ago.
fn is_news(ago: Duration, old: &Health, new: &Health) -> bool {
    let is_another = |old: &Health| {
        let state = |one: &Health| (one.status, one.circuit, one.lag, one.rate_limited);
        state(old) != state(new) || old.in_row.failures != new.in_row.failures
    };
    is_another(old) || (old != new && ago >= COUNTS)
}

/// Counts that change with every request are told this often.
const COUNTS: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::super::pool::InRow;
    use super::*;
    use lasso::events::{CircuitState, ProviderStatus};

    #[test]
    fn what_changes_is_told_at_once_and_everything_every_fifteen_seconds() {
        let provider = Label::new("provider", "a").unwrap();
        let height = |height| Height {
            provider: provider.clone(),
            height,
            consensus: Some(height),
            lag: Some(0),
        };
        let health = Health {
            provider: provider.clone(),
            status: ProviderStatus::Healthy,
            circuit: CircuitState::Closed,
            lag: Some(0),
            rate_limited: false,
            in_row: InRow::default(),
            methods: Vec::new(),
        };
        let now = Instant::now();
        let mut told = Told::default();
        let mut numbers = |seconds, height| {
            let now = now + Duration::from_secs(seconds);
            let news = told.news(now, vec![height], vec![health.clone()]);
            (news.renew, news.heights.len(), news.health.len())
        };
        assert_eq!(numbers(0, height(7)), (true, 1, 1));
        assert_eq!(numbers(2, height(7)), (false, 0, 0));
        assert_eq!(numbers(4, height(8)), (false, 1, 0));
        assert_eq!(numbers(14, height(8)), (false, 0, 0));
        assert_eq!(numbers(15, height(8)), (true, 1, 1));
        assert_eq!(numbers(16, height(8)), (false, 0, 0));
    }

    #[test]
    fn a_row_of_failures_is_told_at_once_and_counts_every_five_seconds() {
        let health = |failures, successes| Health {
            provider: Label::new("provider", "a").unwrap(),
            status: ProviderStatus::Healthy,
            circuit: CircuitState::Closed,
            lag: None,
            rate_limited: false,
            in_row: InRow {
                failures,
                successes,
            },
            methods: Vec::new(),
        };
        let now = Instant::now();
        let mut told = Told::default();
        let mut tells = |seconds, health| {
            let news = told.news(now + Duration::from_secs(seconds), vec![], vec![health]);
            !news.health.is_empty()
        };
        assert!(tells(0, health(0, 0)));
        assert!(!tells(2, health(0, 9)));
        assert!(!tells(4, health(0, 20)));
        assert!(tells(6, health(0, 30)));
        assert!(!tells(8, health(0, 40)));
        assert!(tells(10, health(1, 0)));
        assert!(!tells(12, health(1, 0)));
        assert!(tells(14, health(0, 1)));
    }
}
