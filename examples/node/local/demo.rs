//! The demo: a cluster forms, loses a node without a warning, and gets it back.

use std::time::{Duration, Instant};

use super::{Local, ms};
use crate::failure::Failure;

/// Plays it. Success: the cluster was whole twice.
pub(crate) async fn play(local: &mut Local) -> Result<(), Failure> {
    let start = local.start_all()?;
    local.whole().await?;
    local.say_formed(start);
    local.pass(Duration::from_secs(2)).await?;

    let victim = local.plans.len() / 2;
    let name = local.plans[victim].name.clone();
    local.say(&format!("kill -9 {name}"));
    local.kill(victim);
    local.lost(victim).await?;
    let slowest = local.noticed.iter().max().copied().unwrap_or_default();
    let others = local.noticed.len();
    local.say(&format!(
        "all {others} others have noticed, the slowest after {}",
        ms(slowest)
    ));
    local.pass(Duration::from_secs(2)).await?;

    local.say(&format!("{name} is started again"));
    let start = Instant::now();
    local.start(victim)?;
    let took = local.whole().await? - start;
    local.say(&format!(
        "the cluster is whole again: {} nodes, {} after {name} was started",
        local.plans.len(),
        ms(took)
    ));
    local.pass(Duration::from_secs(1)).await?;
    local.say("the demo is over; all nodes say goodbye");
    Ok(())
}
