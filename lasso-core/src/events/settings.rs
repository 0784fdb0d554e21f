//! The numbers that events are collected and shown by.

use core::time::Duration;

use super::kinds::EventKinds;
use crate::config::SettingsError;

/// Settings of an [`EventStream`](super::EventStream). Every figure holds per scope, where a scope is
/// the profile or one account within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSettings {
    /// For how long an event's id is remembered, 120 s. Higher: more memory at the same rate. Lower:
    /// copies that a stalled link delivers late are shown twice.
    pub dedup_window: Duration,
    /// Most ids remembered, 50,000; 1 to 1,000,000. Higher: 44 bytes each. Lower: the window is cut
    /// short at a lower rate of events, which is counted. An event is shown again when so many others
    /// have come between it and a second copy.
    pub dedup_max: usize,
    /// The longest that an event or a state waits for others of its batch, 500 ms; also the shortest
    /// time between two looks at the figures. Higher: viewers see things later. Lower: more, smaller
    /// batches, and more work on percentiles.
    pub batch_interval: Duration,
    /// A batch goes at once when so many wait, 100; at least 1. Higher: larger bursts. Lower: more
    /// batches under load.
    pub batch_max: usize,
    /// A viewer hears something at least this often, 2 s. Higher: fewer idle messages. Lower: a dead
    /// stream is noticed sooner, if the viewer's own patience is lowered too.
    pub heartbeat: Duration,
    /// What is known of a scope is kept for so long after its last viewer, 30 s. Higher: events are
    /// taken in for nobody. Lower: a page that is loaded anew finds nothing.
    pub linger: Duration,
    /// Newest events that a new viewer gets, 100; at least 1. Higher: larger snapshots. Lower: a new
    /// viewer's list starts shorter.
    pub recent_max: usize,
    /// Events per second and viewer, 150; at least 1. Any one second may have twice that, as an idle
    /// viewer saves up a second's worth. Higher: more for viewers to draw. Lower: more is left out.
    pub viewer_rate: u32,
    /// Most events that wait for a viewer to read, 1,000; at least 1. Higher: more memory for slow
    /// viewers. Lower: they lose more.
    pub viewer_queue: usize,
    /// Most viewers of one profile, 1,000; at least 1. Higher: more work per batch. Lower: viewers are
    /// turned away.
    pub viewers_max: usize,
    /// Most viewers that one account of a profile has itself, 250, a quarter of the profile's; one at
    /// least. Operators who look at the account count for the profile only. Higher: few accounts can
    /// take the places of all others. Lower: an account's own viewers are turned away.
    pub account_viewers_max: usize,
    /// Most scopes of one profile with viewers, 256; at least 1. Higher: more memory, a few MiB for
    /// each busy one. Lower: accounts are turned away.
    pub scopes_max: usize,
    /// Most profiles of one node with viewers, 256; at least 1. Higher: more memory. Lower: viewers of
    /// further profiles are turned away.
    pub profiles_max: usize,
    /// Most chains of one profile whose states its viewers may want, 64; at least 1. Higher: three more
    /// topics of the node's interest each. Lower: viewers that name more are turned away.
    pub chains_max: usize,
    /// Most combinations of provider, chain and region with figures, 1,000; at least 1. Higher: 4 KiB
    /// each, and a longer look at the figures. Lower: what is beyond has no figures, which is counted.
    pub series_max: usize,
    /// Most calls of one series that percentiles are taken from, 200, the newest; at least 1. Higher:
    /// 12 bytes each, and a longer look. Lower: coarser percentiles.
    pub samples_max: usize,
    /// How often windows that hold nothing any more are thrown away, 30 s. Higher: they hold memory for
    /// longer. Lower: more work.
    pub clean_every: Duration,
    /// A state that is not renewed for so long is dropped, 5 min. Higher: the states of nodes that are
    /// gone are shown for longer. Lower: publishers must renew more often.
    pub state_age_max: Duration,
    /// Most states of one group (circuits, health, heights, each registered kind), 500; at least 1. Higher: larger snapshots.
    /// Lower: the one that was not renewed for longest is dropped sooner, which is counted.
    pub states_max: usize,
    /// Which changes of figures are worth telling.
    pub thresholds: Thresholds,
    /// The kinds of events that have no type of their own, those that are shipped and the application's; at most
    /// [`KINDS_MAX`](super::kinds::KINDS_MAX). More: `states_max` more states for each that is one. A node skips and counts
    /// events of other kinds, so it is to be the same on every node.
    pub kinds: EventKinds,
}

/// Which changes of figures are worth telling: those of at least one of these sizes, since they
/// were last told. Higher: fewer messages. Lower: smoother charts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thresholds {
    /// Success rate, in millionths: 10,000, which is one point.
    pub success_ppm: u32,
    /// Traffic share, in millionths: 20,000, which is two points.
    pub share_ppm: u32,
    /// Median, 5 ms.
    pub p50: Duration,
    /// 95th percentile, 10 ms.
    pub p95: Duration,
    /// Calls, 5.
    pub calls: u64,
}

impl Default for EventSettings {
    fn default() -> Self {
        EventSettings {
            dedup_window: Duration::from_secs(120),
            dedup_max: 50_000,
            batch_interval: Duration::from_millis(500),
            batch_max: 100,
            heartbeat: Duration::from_secs(2),
            linger: Duration::from_secs(30),
            recent_max: 100,
            viewer_rate: 150,
            viewer_queue: 1_000,
            viewers_max: 1_000,
            account_viewers_max: 250,
            scopes_max: 256,
            profiles_max: 256,
            chains_max: 64,
            series_max: 1_000,
            samples_max: 200,
            clean_every: Duration::from_secs(30),
            state_age_max: Duration::from_secs(300),
            states_max: 500,
            thresholds: Thresholds::default(),
            kinds: EventKinds::default(),
        }
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            success_ppm: 10_000,
            share_ppm: 20_000,
            p50: Duration::from_millis(5),
            p95: Duration::from_millis(10),
            calls: 5,
        }
    }
}

impl EventSettings {
    /// Checks every range.
    ///
    /// # Errors
    /// [`SettingsError`] for the first field that is out of its range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        for (field, value) in [
            ("events.dedup_window", self.dedup_window),
            ("events.batch_interval", self.batch_interval),
            ("events.heartbeat", self.heartbeat),
            ("events.linger", self.linger),
            ("events.clean_every", self.clean_every),
            ("events.state_age_max", self.state_age_max),
        ] {
            let fits = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
            refuse_unless(
                fits.contains(&value),
                field,
                value,
                "1ms to 24h is accepted",
            )?;
        }
        for (field, value, most) in [
            ("events.dedup_max", self.dedup_max, 1_000_000),
            ("events.batch_max", self.batch_max, 1_000_000),
            ("events.recent_max", self.recent_max, 1_000_000),
            ("events.viewer_rate", self.viewer_rate as usize, 1_000_000),
            ("events.viewer_queue", self.viewer_queue, 1_000_000),
            ("events.viewers_max", self.viewers_max, 1_000_000),
            (
                "events.account_viewers_max",
                self.account_viewers_max,
                1_000_000,
            ),
            ("events.scopes_max", self.scopes_max, 1_000_000),
            ("events.profiles_max", self.profiles_max, 1_000_000),
            ("events.chains_max", self.chains_max, 1_000_000),
            ("events.series_max", self.series_max, 1_000_000),
            ("events.samples_max", self.samples_max, 1_000_000),
            ("events.states_max", self.states_max, 1_000_000),
        ] {
            let fits = (1..=most).contains(&value);
            refuse_unless(fits, field, value, "1 to 1,000,000 is accepted")?;
        }
        refuse_unless(
            self.batch_interval <= self.heartbeat,
            "events.batch_interval",
            self.batch_interval,
            "it must not be above events.heartbeat, by which something must have come",
        )
    }
}

fn refuse_unless(
    fits: bool,
    field: &'static str,
    value: impl core::fmt::Debug,
    why: &'static str,
) -> Result<(), SettingsError> {
    let value = format!("{value:?}");
    if fits {
        Ok(())
    } else {
        let why = why.into();
        Err(SettingsError { field, value, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_accepted_and_every_field_out_of_range_is_refused_by_its_name() {
        EventSettings::default().validate().unwrap();
        type Spoil = fn(&mut EventSettings);
        let table: [(&str, Spoil); 21] = [
            ("events.dedup_window", |s| s.dedup_window = Duration::ZERO),
            ("events.batch_interval", |s| {
                s.batch_interval = Duration::ZERO
            }),
            ("events.batch_interval", |s| {
                s.batch_interval = Duration::from_secs(3)
            }),
            ("events.heartbeat", |s| s.heartbeat = Duration::MAX),
            ("events.linger", |s| s.linger = Duration::ZERO),
            ("events.clean_every", |s| s.clean_every = Duration::ZERO),
            ("events.state_age_max", |s| s.state_age_max = Duration::ZERO),
            ("events.dedup_max", |s| s.dedup_max = 0),
            ("events.dedup_max", |s| s.dedup_max = 1_000_001),
            ("events.batch_max", |s| s.batch_max = 0),
            ("events.recent_max", |s| s.recent_max = 0),
            ("events.viewer_rate", |s| s.viewer_rate = 0),
            ("events.viewer_queue", |s| s.viewer_queue = 0),
            ("events.viewers_max", |s| s.viewers_max = 0),
            ("events.account_viewers_max", |s| s.account_viewers_max = 0),
            ("events.scopes_max", |s| s.scopes_max = 0),
            ("events.profiles_max", |s| s.profiles_max = 0),
            ("events.chains_max", |s| s.chains_max = 0),
            ("events.series_max", |s| s.series_max = 0),
            ("events.samples_max", |s| s.samples_max = 0),
            ("events.states_max", |s| s.states_max = 0),
        ];
        for (field, spoil) in table {
            let mut settings = EventSettings::default();
            spoil(&mut settings);
            assert_eq!(settings.validate().unwrap_err().field, field);
        }
    }
}
