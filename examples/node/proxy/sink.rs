//! Reports into the cluster: recorded for figures, sampled and published for viewers.

use std::hash::{BuildHasher, RandomState};

use lasso::Cluster;
use lasso::events::{SampleRate, SampleRates};

use super::report::{Report, Sink};
use super::settings::Settings;
use super::telling::Teller;

/// Tells one node's cluster. See the module's text.
pub(crate) struct ClusterSink {
    cluster: Cluster,
    teller: Teller,
}

impl ClusterSink {
    /// A sink for this node.
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let region = cluster.health().node.region;
        ClusterSink {
            cluster: cluster.clone(),
            teller: Teller::new(cluster.name(), region, random()),
        }
    }
}

impl Sink for ClusterSink {
    fn take(&mut self, unix_ms: u64, report: Report) {
        if let Report::Finished(finished) = &report {
            for (key, call) in self.teller.calls(finished) {
                self.cluster.record(&key, call);
            }
        }
        let event = self.teller.event(unix_ms, &report);
        // What is published reaches whom it reaches; viewers are told what they missed.
        let _ = self.cluster.publish_event(event);
    }
}

/// The sampling rates of the profiles, for the node's settings.
pub(crate) fn rates(settings: &Settings) -> SampleRates {
    let mut rates = SampleRates::default();
    for (name, profile) in &settings.profiles {
        if let Some(rate) = profile
            .sampling_ppm
            .and_then(|ppm| SampleRate::from_ppm(ppm).ok())
        {
            rates.by_profile.insert(name.to_string(), rate);
        }
    }
    rates
}

/// A number that nobody has had before: the standard library's hashers are seeded by the system.
fn random() -> u128 {
    let half = |number: u8| u128::from(RandomState::new().hash_one(number));
    (half(0) << 64) | half(1)
}
