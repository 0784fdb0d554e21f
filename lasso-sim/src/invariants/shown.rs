//! Invariant 8, for figures and states: those that a viewer shows are computed only from events that it may
//! see.
//!
//! 1. The calls of a row, and its errors, are never more than the events published for the viewer's scope stand
//!    for, by chain, provider and region. A plain success stands for at most 1/rate calls, rounded up, with the
//!    sampling rate of its node. Any other event stands for one.
//! 2. Nor are the calls more than the events of the last window stand for, as long as all wall clocks are right.
//!    The shown figures may be a heartbeat and a batch old, seconds count as wholes, and small changes are not
//!    delivered. So the window is taken as that much longer, and a row may have a few calls more. Just after a
//!    process was frozen, windows are not judged.
//! 3. A shown state was published for the profile, with that value. When it was published, a viewer of the
//!    profile at that node named its chain, or the chain lingered there after a viewer had left. It is shown
//!    for at most as long as states are kept. The chains of a refused viewer count until its refusal.
//!
//! Events that a frozen or restarted publisher had under way count from when they were published, which is
//! never later than their arrival.

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use lasso_core::events::figures::Row;
use lasso_core::events::routing::RoutingEvent;
use lasso_core::events::sampler::{SampleRates, WEIGHT_MAX};
use lasso_core::events::topics::Segment;
use lasso_core::events::windows::{Series, WINDOW_SECONDS};
use lasso_core::events::{EventSettings, Kind, Scope, StateKey, StreamEvent};
use lasso_core::name::Label;
use lasso_core::time::Instant;

use super::invariant::{Entry, Invariant, Moment};
use crate::app::Saw;
use crate::app::events::{Emission, EventSaw, Known, Looked, Sight};
use crate::scenario::{NodeId, NodeSpec};

pub(super) const ENTRY: Entry = Entry {
    number: 8,
    name: "shown",
    make: |_| Box::<Shown>::default(),
};

/// Calls, and errors among them.
type Calls = (u64, u64);

/// The key of calls that are counted together: an account's, or those without one, of one series in one region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    account: Option<Segment>,
    series: Series,
    region: Label,
}

/// The number of calls that published events stand for.
#[derive(Debug, Default)]
struct Sum {
    all: Calls,
    /// By the second in which they happened; old ones are forgotten.
    seconds: BTreeMap<u64, Calls>,
}

#[derive(Debug, Default)]
struct OfProfile {
    sums: BTreeMap<Owner, Sum>,
    /// When each was published first.
    states: BTreeMap<(StateKey, Known), Instant>,
}

#[derive(Debug)]
struct OfNode {
    events: EventSettings,
    sampling: SampleRates,
    /// Until when shown figures may be old.
    late_until: Instant,
    /// The chains that viewers have named, by profile.
    named: BTreeMap<(Segment, String), Named>,
}

/// A chain of a profile.
#[derive(Debug, Default)]
struct Named {
    /// The viewers that name it now.
    by: BTreeSet<u32>,
    /// Until when it may linger after a viewer that has left.
    until: Option<Instant>,
}

/// See the module's text.
#[derive(Debug, Default)]
struct Shown {
    profiles: BTreeMap<Segment, OfProfile>,
    nodes: BTreeMap<NodeId, OfNode>,
    /// The present viewers, and their scopes.
    watched: BTreeMap<(NodeId, u32), (String, Looked)>,
}

impl Invariant for Shown {
    fn started(&mut self, at: &mut Moment<'_>, spec: &NodeSpec) {
        self.forget(at.node);
        let of = OfNode {
            events: spec.settings.events.clone(),
            sampling: spec.settings.sampling.clone(),
            late_until: Instant::ZERO,
            named: BTreeMap::new(),
        };
        self.nodes.insert(at.node, of);
    }

    fn ended(&mut self, at: &mut Moment<'_>) {
        self.forget(at.node);
    }

    fn resumed(&mut self, at: &mut Moment<'_>) {
        if let Some(of) = self.nodes.get_mut(&at.node) {
            of.late_until = at.now + lag(&of.events, at.facts.slack);
        }
    }

    fn saw(&mut self, at: &mut Moment<'_>, saw: &Saw) {
        let (now, node, slack) = (at.now, at.node, at.facts.slack);
        let Saw::Events(saw) = saw else {
            return;
        };
        match saw {
            EventSaw::Viewing {
                viewer, name, what, ..
            } => {
                self.viewing(node, *viewer, what);
                let watched = (name.clone(), what.clone());
                self.watched.insert((node, *viewer), watched);
            }
            EventSaw::Refused { viewer, .. } | EventSaw::Left { viewer } => {
                let refused = matches!(saw, EventSaw::Refused { .. });
                if let Some((_, what)) = self.watched.remove(&(node, *viewer)) {
                    self.gone(now, slack, node, *viewer, &what, refused);
                }
            }
            EventSaw::Emitted { emission, result } => {
                if !matches!(result, Ok(None)) {
                    self.emitted(now, node, emission);
                }
            }
            EventSaw::Seen { viewer, sight } => {
                if let Some((name, what)) = self.watched.get(&(node, *viewer)) {
                    self.seen(at, name, what, sight);
                }
            }
        }
    }
}

impl Shown {
    fn forget(&mut self, node: NodeId) {
        self.watched.retain(|(of, _), _| *of != node);
    }

    fn viewing(&mut self, node: NodeId, viewer: u32, what: &Looked) {
        if let Some(of) = self.nodes.get_mut(&node) {
            for chain in &what.chains {
                let chain = (what.profile.clone(), chain.to_string());
                of.named.entry(chain).or_default().by.insert(viewer);
            }
        }
    }

    /// A viewer is gone and names no chain any more. A refused one was never there, so nothing lingers.
    fn gone(
        &mut self,
        now: Instant,
        slack: Duration,
        node: NodeId,
        viewer: u32,
        what: &Looked,
        refused: bool,
    ) {
        let Some(of) = self.nodes.get_mut(&node) else {
            return;
        };
        let lingers = now + of.events.linger + lag(&of.events, slack);
        for chain in &what.chains {
            let Some(named) = of.named.get_mut(&(what.profile.clone(), chain.to_string())) else {
                continue;
            };
            if named.by.remove(&viewer) && !refused {
                named.until = named.until.max(Some(lingers));
            }
        }
        let kept = of.events.state_age_max;
        let may_show = |named: &Named| named.until.is_some_and(|until| until + kept >= now);
        of.named
            .retain(|_, named| !named.by.is_empty() || may_show(named));
    }

    /// A node has published an event.
    fn emitted(&mut self, now: Instant, node: NodeId, emission: &Emission) {
        let event = emission.event(UNIX_MS);
        let profile = self.profiles.entry(event.profile().clone()).or_default();
        if let Kind::State(key) = event.kind() {
            let state = (key, Known::of(&event));
            profile.states.entry(state).or_insert(now);
        }
        let Some(call) = event.call() else {
            return;
        };
        let rates = self.nodes.get(&node).map(|of| &of.sampling);
        let is_plain = match &event {
            RoutingEvent::Decision(decision) => decision.is_plain_success(),
            _ => false,
        };
        let weight = match rates {
            Some(rates) if is_plain => {
                let rate = rates.by_profile.get(event.profile().as_str());
                WEIGHT_MAX.div_ceil(rate.unwrap_or(&rates.default).ppm())
            }
            _ => 1,
        };
        let weight = u64::from(weight);
        let calls = (weight, if call.success { 0 } else { weight });
        let owner = Owner {
            account: event.account().cloned(),
            series: call.series,
            region: event.region().clone(),
        };
        let ago = Duration::from_millis(UNIX_MS - event.unix_ms());
        let second = (now - Instant::ZERO).saturating_sub(ago).as_secs();
        let sum = profile.sums.entry(owner).or_default();
        add(&mut sum.all, calls);
        add(sum.seconds.entry(second).or_default(), calls);
        let old = (now - Instant::ZERO).as_secs().saturating_sub(SECONDS_KEPT);
        sum.seconds = sum.seconds.split_off(&old);
    }

    /// Checks for figures and states that the viewer may not see.
    fn seen(&self, at: &mut Moment<'_>, viewer: &str, what: &Looked, sight: &Sight) {
        let (now, facts) = (at.now, at.facts);
        let Some(of) = self.nodes.get(&at.node) else {
            return;
        };
        let at_name = &facts.cast.actor(at.node).name;
        let mut demand = |holds: bool, text: fmt::Arguments<'_>| {
            at.demand(holds, || format!("viewer `{viewer}` at {at_name} {text}"));
        };
        let nothing = OfProfile::default();
        let profile = self.profiles.get(&what.profile).unwrap_or(&nothing);
        for (key, known) in &sight.states {
            let published = profile.states.get(&(key.clone(), *known)).copied();
            demand(
                of.may_show(now, published.unwrap_or(now), &what.profile, &key.chain),
                format_args!("is shown {key:?}, a chain that nobody asked for"),
            );
            demand(
                published.is_some(),
                format_args!("is shown {key:?} as {known:?}, which nobody published"),
            );
        }
        if sight.figures.is_empty() {
            return;
        }
        let lag = lag(&of.events, facts.slack);
        let recent = facts.clocks_agree && now >= of.late_until && lag < LAG_MAX;
        let since = (now - Instant::ZERO).saturating_sub(WINDOW + lag).as_secs();
        let sums = profile.sums_of(&what.scope, recent.then_some(since));
        for (row, figures) in &sight.figures {
            let (mut all, mut window) = ((0, 0), (0, 0));
            for (_, of_all, of_window) in sums.iter().filter(|(owner, ..)| owner.is_in(row)) {
                add(&mut all, *of_all);
                add(&mut window, *of_window);
            }
            let more = of.events.thresholds.calls;
            let of_window = window.0.saturating_add(more.saturating_sub(1));
            let calls = if recent { all.0.min(of_window) } else { all.0 };
            demand(
                figures.calls <= calls && figures.errors <= all.1,
                format_args!(
                    "is shown {} calls, {} errors of {row:?}; what was published for it stands for \
                     {calls} and {} at most",
                    figures.calls, figures.errors, all.1
                ),
            );
        }
    }
}

impl OfNode {
    /// Whether a viewer names the chain, or one that has left named it when this was published. A frozen node
    /// may be late.
    fn may_show(&self, now: Instant, published: Instant, profile: &Segment, chain: &Label) -> bool {
        let Some(named) = self.named.get(&(profile.clone(), chain.to_string())) else {
            return false;
        };
        let kept = self.events.state_age_max;
        let lingers = |until: Instant| published <= until && now <= until + kept;
        !named.by.is_empty() || now < self.late_until || named.until.is_some_and(lingers)
    }
}

impl OfProfile {
    /// The calls that a scope's events stand for, in total and since that second; without one, only in total.
    fn sums_of(&self, scope: &Scope, since: Option<u64>) -> Vec<(&Owner, Calls, Calls)> {
        let is_own = |owner: &Owner| match scope {
            Scope::Profile => true,
            Scope::Account(own) => owner.account.as_ref() == Some(own),
        };
        let own = self.sums.iter().filter(|(owner, _)| is_own(owner));
        let recent = |sum: &Sum| {
            let mut recent = (0, 0);
            if let Some(since) = since {
                let seconds = sum.seconds.range(since..);
                seconds.for_each(|(_, calls)| add(&mut recent, *calls));
            }
            recent
        };
        own.map(|(owner, sum)| (owner, sum.all, recent(sum)))
            .collect()
    }
}

impl Owner {
    fn is_in(&self, row: &Row) -> bool {
        row.series.as_ref().is_none_or(|of| *of == self.series)
            && row.region.as_ref().is_none_or(|of| *of == self.region)
    }
}

fn add(sum: &mut Calls, calls: Calls) {
    sum.0 = sum.0.saturating_add(calls.0);
    sum.1 = sum.1.saturating_add(calls.1);
}

/// The greatest age of shown figures.
fn lag(events: &EventSettings, slack: Duration) -> Duration {
    events.heartbeat + events.batch_interval + slack + LATE
}

const WINDOW: Duration = Duration::from_secs(WINDOW_SECONDS);
/// Allows for worlds that are late, and for clocks that count milliseconds.
const LATE: Duration = Duration::from_secs(1);
/// Above this, published events are forgotten too early.
const LAG_MAX: Duration = Duration::from_secs(120);
/// A window and the longest lag.
const SECONDS_KEPT: u64 = WINDOW_SECONDS + LAG_MAX.as_secs();
/// Any moment will do that is later than the greatest age of an event.
const UNIX_MS: u64 = 1 << 40;
