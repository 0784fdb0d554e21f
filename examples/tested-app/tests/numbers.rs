//! The first test of `docs/testing.md`, word for word.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use lasso::{Cluster, Received, SubscribeError};

/// What the test keeps for each node.
#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    heard: AtomicU64,
    missed: AtomicU64,
}

#[test]
fn every_number_is_heard_or_reported_as_missed() {
    lasso_sim::scenario("tests/cut.toml")
        .state(Counts::default)
        .application(|cluster, node| async move {
            let sender = cluster.clone();
            let counts = node.state().clone();
            cluster.spawn(async move {
                // Numbers that are sent before everybody listens are heard by fewer.
                let _ = sender.wait_for(3, Duration::from_secs(20)).await;
                for number in 0..150 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    if sender.publish("numbers", &number).is_ok() {
                        counts.sent.fetch_add(1, Relaxed);
                    }
                }
            });
            listen(cluster, node.state()).await
        })
        .seeds(1..=20)
        .check_after("cut", "80s", |world| {
            let coverage = world.node("c").coverage().ok_or("c does not run")?;
            match coverage.connected {
                1 => Ok(()),
                _ => Err("c does not know that it is alone"),
            }
        })
        .check_end(|world| {
            let sent: u64 = world
                .states()
                .map(|(_, counts)| counts.sent.load(Relaxed))
                .sum();
            for (key, counts) in world.states() {
                let (heard, missed) = (counts.heard.load(Relaxed), counts.missed.load(Relaxed));
                assert_eq!(
                    heard + missed,
                    sent,
                    "{key} heard {heard} and missed {missed}"
                );
            }
        })
        .check();
}

/// The service itself; it knows nothing of the test.
async fn listen(cluster: Cluster, counts: &Counts) -> Result<(), SubscribeError> {
    let mut numbers = cluster.subscribe::<u64>("numbers")?;
    while let Some(received) = numbers.recv().await {
        match received {
            Received::Message { .. } => counts.heard.fetch_add(1, Relaxed),
            Received::Missed(count) => counts.missed.fetch_add(count, Relaxed),
            Received::Malformed { .. } => 0,
        };
    }
    Ok(())
}
