//! What settings are refused, and why.

use core::time::Duration;
use std::borrow::Cow;

use super::{Settings, SettingsError};

impl Settings {
    /// Checks ranges and the relations between fields.
    ///
    /// # Errors
    /// The first field that is out of range or contradicts another.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.events.validate()?;
        let tick = self.link.tick_time;
        let legal = Duration::from_secs(1)..=Duration::from_secs(600);
        let why = "1s to 600s is accepted";
        check(legal.contains(&tick), "link.tick_time", tick, why)?;
        for (field, value) in self.durations() {
            let why = "at least 1ms is accepted";
            check(value >= Duration::from_millis(1), field, value, why)?;
        }
        for (field, value, least, most) in self.amounts() {
            let ok = (least..=most).contains(&value);
            let why = match most {
                usize::MAX => format!("at least {least} is accepted"),
                _ => format!("{least} to {most} is accepted"),
            };
            check(ok, field, value, why)?;
        }
        check(
            self.link.ask_timeout < self.link.handshake_timeout,
            "link.ask_timeout",
            self.link.ask_timeout,
            "it must be below link.handshake_timeout, which ends the wait",
        )?;
        check(
            self.dial.backoff_max >= self.dial.backoff_min,
            "dial.backoff_max",
            self.dial.backoff_max,
            "it must not be below dial.backoff_min",
        )?;
        check(
            self.dial.backoff_max_stale >= self.dial.backoff_max,
            "dial.backoff_max_stale",
            self.dial.backoff_max_stale,
            "it must not be below dial.backoff_max",
        )?;
        check(
            self.topology.describe_backoff_max >= self.topology.describe_backoff_min,
            "topology.describe_backoff_max",
            self.topology.describe_backoff_max,
            "it must not be below topology.describe_backoff_min",
        )?;
        for (field, value) in [
            ("leave.within", self.leave.within),
            ("leave.within_dropped", self.leave.within_dropped),
        ] {
            let why = "0s to 600s is accepted";
            check(value <= Duration::from_secs(600), field, value, why)?;
        }
        self.metrics.validate()
    }

    /// Intervals and time-outs that must not be nothing.
    fn durations(&self) -> [(&'static str, Duration); 16] {
        let (link, dial, topology) = (&self.link, &self.dial, &self.topology);
        let suspect = topology.health_suspect_interval;
        [
            ("link.handshake_timeout", link.handshake_timeout),
            ("link.ask_timeout", link.ask_timeout),
            ("link.unfinished_timeout", link.unfinished_timeout),
            ("dial.connect_timeout", dial.connect_timeout),
            ("dial.backoff_min", dial.backoff_min),
            ("discovery.poll_interval", self.discovery.poll_interval),
            ("discovery.lookup_timeout", self.discovery.lookup_timeout),
            ("topology.describe_timeout", topology.describe_timeout),
            (
                "topology.describe_backoff_min",
                topology.describe_backoff_min,
            ),
            ("topology.describe_again", topology.describe_again),
            ("topology.health_interval", topology.health_interval),
            ("topology.health_timeout", topology.health_timeout),
            ("topology.health_suspect_interval", suspect),
            ("topology.reconcile_interval", topology.reconcile_interval),
            ("calls.timeout", self.calls.timeout),
            ("calls.timeout_max", self.calls.timeout_max),
        ]
    }

    /// Amounts, each with the least and the most that is accepted.
    fn amounts(&self) -> [(&'static str, usize, usize, usize); 22] {
        let (link, dial) = (&self.link, &self.dial);
        let (jitter, lane) = (dial.jitter_percent as usize, link.control_lane_bytes);
        let (message, pubsub, calls) = (link.message_bytes_max, &self.pubsub, &self.calls);
        let any = usize::MAX;
        let bytes = 1 << 30;
        let unfinished = link.unfinished_bytes_max;
        [
            ("link.unfinished_bytes_max", unfinished, 4 << 10, bytes),
            ("link.links_max", link.links_max, 1, LINKS_MOST),
            (
                "link.links_per_address",
                link.links_per_address,
                1,
                LINKS_MOST,
            ),
            ("link.pending_max", link.pending_max, 1, any),
            (
                "calls.handlers_bytes_max",
                calls.handlers_bytes_max,
                4 << 10,
                bytes,
            ),
            ("link.calls_lane_bytes", link.calls_lane_bytes, 4 << 10, any),
            ("link.data_lane_bytes", link.data_lane_bytes, 4 << 10, any),
            ("pubsub.queue_max", pubsub.queue_max, 1, any),
            (
                "pubsub.queue_bytes_max",
                pubsub.queue_bytes_max,
                4 << 10,
                any,
            ),
            ("pubsub.interest_max", pubsub.interest_max, 1, any),
            ("pubsub.subscribers_max", pubsub.subscribers_max, 1, any),
            ("pubsub.topics_max", pubsub.topics_max, 1, any),
            ("calls.handlers_max", calls.handlers_max, 1, any),
            ("calls.waiting_max", calls.waiting_max, 1, any),
            ("calls.methods_max", calls.methods_max, 1, any),
            ("link.handshakes_max", link.handshakes_max, 1, usize::MAX),
            (
                "link.handshakes_per_address",
                link.handshakes_per_address,
                1,
                usize::MAX,
            ),
            ("link.control_lane_bytes", lane, 128 << 10, usize::MAX),
            ("link.message_bytes_max", message, 4 << 10, 128 << 20),
            ("dial.jitter_percent", jitter, 0, 90),
            ("dial.concurrent_max", dial.concurrent_max, 1, usize::MAX),
            (
                "discovery.addresses_max",
                self.discovery.addresses_max,
                1,
                4096,
            ),
        ]
    }
}

pub(crate) fn check(
    ok: bool,
    field: &'static str,
    value: impl core::fmt::Debug,
    why: impl Into<Cow<'static, str>>,
) -> Result<(), SettingsError> {
    let value = || format!("{value:?}");
    if ok {
        Ok(())
    } else {
        Err(SettingsError {
            field,
            value: value(),
            why: why.into(),
        })
    }
}

/// Far more than the largest cluster that is tested.
const LINKS_MOST: usize = 65_536;
