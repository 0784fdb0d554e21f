//! The metrics of a node in the turmoil world: lasso-net's handle.

use std::sync::Arc;

use lasso_net::Cluster;
use lasso_net::metrics::Leaderboard;
use lasso_net::seam::Platform;

use super::app::Runner;
use crate::app::{MetricAsk, MetricTold, Sight, Told};

impl Runner {
    pub(super) fn ask_metrics(&self, ask: MetricAsk) {
        match ask {
            MetricAsk::Record(recorded) => {
                let region = |cluster: &Cluster| {
                    cluster.inspect(|node| node.topology().description().region.clone())
                };
                let region = region(&self.cluster);
                recorded.with(region.as_str(), |key, call| self.cluster.record(key, call));
            }
            MetricAsk::Read {
                tag,
                key,
                wait: None,
            } => {
                let metrics = self.cluster.metrics();
                let readout = metrics.get::<Leaderboard>(&key);
                let readout = readout.expect("it is shipped, and names are short");
                let sight = Sight::of(&readout, &metrics.stats().store);
                self.tell(Told::Metrics(MetricTold { tag, sight }));
            }
            MetricAsk::Read {
                tag,
                key,
                wait: Some(wait),
            } => {
                let (cluster, desk) = (self.cluster.clone(), Arc::clone(&self.desk));
                let clock = self.clock;
                self.platform.spawn(async move {
                    let metrics = cluster.metrics();
                    let readout = metrics.get_or_wait::<Leaderboard>(&key, wait).await;
                    let readout = readout.expect("it is shipped, and names are short");
                    let sight = Sight::of(&readout, &metrics.stats().store);
                    desk.tell(clock.now(), Told::Metrics(MetricTold { tag, sight }));
                });
            }
        }
    }
}
