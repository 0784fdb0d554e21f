//! What a node's metrics run by.

use core::time::Duration;

use crate::config::{SettingsError, check};
use crate::metrics::recorder::Limits;
use crate::metrics::store::{StoreSettings, StoreSettingsError};

/// Intervals and bounds of a node's metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Whether other nodes are asked, true. False: answers speak for this node alone, and their
    /// coverage says so; this node still answers others.
    pub enabled: bool,
    /// What this node keeps of its own calls.
    pub recorder: Limits,
    /// What is kept of the cluster's answers.
    pub store: StoreSettings,
    /// How long a node has for its part of an answer, 5 s; at least 1 ms, and below
    /// `store.refresh_timeout`. Higher: a frozen node holds up every refresh for longer. Lower: slow
    /// nodes are left out.
    pub timeout: Duration,
    /// Most bytes of one node's part of an answer, 8 MiB, which is 8 KiB for each series that a node
    /// keeps; at least 1 KiB. A larger one is not read: its node is named with that. Higher: more memory
    /// while parts are merged, several times as much for each node. Lower: nodes that know much are
    /// left out.
    pub part_bytes_max: usize,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        MetricsSettings {
            enabled: true,
            recorder: Limits::default(),
            store: StoreSettings::default(),
            timeout: Duration::from_secs(5),
            part_bytes_max: 8 << 20,
        }
    }
}

impl MetricsSettings {
    /// Checks ranges and the relations between fields.
    ///
    /// # Errors
    /// The first field that is out of range or contradicts another.
    pub(crate) fn validate(&self) -> Result<(), SettingsError> {
        let (timeout, store) = (self.timeout, &self.store);
        store.validate().map_err(|error| SettingsError {
            field: match error {
                StoreSettingsError::Ages { .. } => "metrics.store.ages",
                StoreSettingsError::Backoff { .. } => "metrics.store.backoff_max",
                StoreSettingsError::Zero(_) => "metrics.store",
            },
            value: error.to_string(),
            why: "see the fields' descriptions for what is accepted".into(),
        })?;
        check(
            self.recorder.series_max >= 1,
            "metrics.recorder.series_max",
            self.recorder.series_max,
            "at least 1 is accepted",
        )?;
        check(
            self.part_bytes_max >= 1 << 10,
            "metrics.part_bytes_max",
            self.part_bytes_max,
            "at least 1,024 is accepted",
        )?;
        check(
            timeout >= Duration::from_millis(1) && timeout < store.refresh_timeout,
            "metrics.timeout",
            timeout,
            "it must be at least 1ms, and below metrics.store.refresh_timeout, which ends the wait",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn each_contradiction_is_refused_by_its_field() {
        assert_eq!(Settings::default().validate(), Ok(()));
        type Spoil = fn(&mut MetricsSettings);
        let table: [(&str, Spoil); 7] = [
            ("metrics.part_bytes_max", |m| m.part_bytes_max = 1_023),
            ("metrics.timeout", |m| m.timeout = Duration::ZERO),
            ("metrics.timeout", |m| m.timeout = m.store.refresh_timeout),
            ("metrics.recorder.series_max", |m| m.recorder.series_max = 0),
            ("metrics.store.ages", |m| {
                m.store.ages.fresh = m.store.ages.dropped
            }),
            ("metrics.store.backoff_max", |m| {
                m.store.backoff_max = Duration::from_nanos(1)
            }),
            ("metrics.store", |m| m.store.keys_max = 0),
        ];
        for (field, spoil) in table {
            let mut settings = Settings::default();
            spoil(&mut settings.metrics);
            assert_eq!(settings.validate().unwrap_err().field, field);
        }
    }
}
