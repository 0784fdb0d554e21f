//! The conditions after the last fault: everything heals, and the cluster is whole within a bound, and stays
//! whole.

use core::time::Duration;

use super::cast::{Cast, Player};
use super::plan::{Step, quoted};
use super::spec::Spec;
use lasso_core::config::Settings;

/// The jitter of a delay before the next try, in percent.
const JITTER_PERCENT: u32 = 20;

/// How soon nodes with these settings become one cluster again after every fault is over. A longer
/// outage means longer delays between dials. The bound is the sum of:
///
/// - half a tick time, in which a stalled stream resumes or is replaced;
/// - the longest delay before a dial with its jitter, the dials under way before it, a connect, a handshake,
///   and the time in which an existing link may answer;
/// - a DNS poll, for nodes that know no address of another node;
/// - a health check of a suspect, and one whole round of checks.
pub(crate) fn promised(cast: &Cast, longest_outage: Duration) -> Duration {
    let longest = |setting: fn(&Settings) -> Duration| cast.longest(setting);
    let is_stale = longest_outage >= shortest_stale(cast);
    let delay = if is_stale {
        longest(|s| s.dial.backoff_max_stale)
    } else {
        longest(|s| s.dial.backoff_max)
    };
    let peers = cast.nodes.len().saturating_sub(1);
    let turns = cast.nodes.iter().map(|node| {
        let at_once = node.settings.dial.concurrent_max.max(1);
        peers.div_ceil(at_once)
    });
    let turns = turns.max().unwrap_or(1).max(1) as u32;
    let redial = delay * (100 + JITTER_PERCENT) / 100
        + longest(|s| s.dial.connect_timeout) * turns
        + longest(|s| s.link.handshake_timeout)
        + longest(|s| s.link.ask_timeout);
    let names = longest(|s| s.discovery.poll_interval) + longest(|s| s.discovery.lookup_timeout);
    let round = longest(|s| s.topology.health_interval)
        + longest(|s| s.topology.health_timeout)
        + longest(|s| s.topology.health_suspect_interval);
    longest(|s| s.link.tick_time) / 2 + redial + names + round
}

fn shortest_stale(cast: &Cast) -> Duration {
    let all = cast.nodes.iter().map(|node| node.settings.dial.stale_after);
    all.min().unwrap_or(Duration::MAX)
}

/// The steps after the last fault, the last of which ends the run.
pub(crate) fn steps(spec: &Spec, cast: &Cast, longest_outage: Duration) -> Vec<Step> {
    let whole = &spec.whole;
    let within = whole
        .within
        .unwrap_or_else(|| promised(cast, longest_outage));
    let healed = spec.window.until;
    let mut steps = Vec::new();
    let mut say = |at: Duration, text: String| steps.push(Step { at, text });
    say(healed, "heal = \"all\"".to_owned());
    if !cast.dns_names().is_empty() {
        say(healed, "dns = \"truth\"".to_owned());
    }
    let members: Vec<Player> = whole.on.clone().unwrap_or_else(|| cast.all());
    let (on, count) = (cast.list(&members), members.len());
    if count < 2 {
        return steps;
    }
    let expected = format!("on = {on}, connected = {count}, responding = {count}");
    let in_time = quoted(within);
    say(
        healed,
        format!("expect = {{ within = {in_time}, {expected} }}"),
    );
    // A link whose stream never resumed is given up after 1.25 ticks at the latest.
    let tick = cast.longest(|s| s.link.tick_time);
    let silent = healed + within.max(tick * 5 / 4);
    let again = cast.longest(|s| s.topology.describe_again);
    let described = within + again;
    let described = quoted(described);
    say(
        healed,
        format!("expect = {{ on = {on}, within = {described}, identified = {count} }}"),
    );
    let ends = (silent + whole.quiet).max(healed + within + again);
    let since = quoted(silent);
    say(
        ends,
        format!(
            "expect = {{ {expected}, identified = {count}, disconnected = [], islands = [], \
             pairs = [], events = {{ of = \"node_disconnected\", since = {since}, count = 0 }} }}"
        ),
    );
    steps
}
