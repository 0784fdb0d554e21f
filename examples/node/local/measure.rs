//! Numbers: how fast a cluster forms and notices a kill, and how much memory a node holds.

use std::time::{Duration, Instant};

use super::{Local, ms};
use crate::failure::Failure;

/// How many nodes are killed, one after the other.
const KILLS: usize = 5;

/// Measures, and prints a small report.
pub(crate) async fn play(local: &mut Local) -> Result<(), Failure> {
    let start = local.start_all()?;
    let started = Instant::now();
    let whole = local.whole().await?;
    let up = local.board.last_up().unwrap_or(whole);
    local.say_formed(start);
    local.pass(Duration::from_secs(2)).await?;
    let pids = local
        .board
        .rows()
        .iter()
        .filter_map(|row| row.process.pid());
    let mut memory: Vec<u64> = pids.filter_map(resident_kib).collect();

    let mut returns = Vec::new();
    let count = local.plans.len();
    let kills = KILLS.min(count);
    for kill in 0..kills {
        let victim = kill * count / kills;
        local.kill(victim);
        local.lost(victim).await?;
        local.pass(Duration::from_millis(500)).await?;
        let again = Instant::now();
        local.start(victim)?;
        returns.push(local.whole().await? - again);
    }
    let mut noticed = std::mem::take(&mut local.noticed);

    let mut lines = vec![
        String::new(),
        format!(
            "formation  {count} nodes: all started after {}, the last up after {}, whole {} after that",
            ms(started - start),
            ms(up - start),
            ms(whole - up)
        ),
    ];
    lines.push(match middle_and_largest(&mut memory) {
        Some((middle, largest)) => format!(
            "memory     resident per node: median {:.1} MiB, largest {:.1} MiB",
            mib(middle),
            mib(largest)
        ),
        None => "memory     this system does not say (no /proc)".into(),
    });
    if let Some((middle, largest)) = middle_and_largest(&mut noticed) {
        lines.push(format!(
            "kill -9    {kills} kills, noticed by each other node: median {}, slowest {}",
            ms(middle),
            ms(largest)
        ));
    }
    if let Some((middle, largest)) = middle_and_largest(&mut returns) {
        lines.push(format!(
            "return     from a node's start to a whole cluster: median {}, slowest {}",
            ms(middle),
            ms(largest)
        ));
    }
    lines.push(String::new());
    lines.iter().for_each(|line| local.screen.plain(line));
    Ok(())
}

fn middle_and_largest<T: Ord + Copy>(values: &mut [T]) -> Option<(T, T)> {
    values.sort_unstable();
    Some((*values.get(values.len() / 2)?, *values.last()?))
}

/// Memory of a process that is in RAM, in KiB, where the system says.
fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
