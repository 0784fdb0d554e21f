//! Live events in the turmoil world: viewers and events through lasso-net's handle.

use std::sync::Arc;

use lasso_net::events::Viewer;
use lasso_net::seam::Platform;
use tokio::sync::mpsc;

use super::app::{Clock, Desk, Runner};
use crate::app::Told;
use crate::app::events::{EventAsk, EventTold, Looked, Sight};

impl Runner {
    pub(super) async fn ask_events(&mut self, ask: EventAsk) {
        match ask {
            EventAsk::View { viewer, what } => self.view(viewer, &what).await,
            EventAsk::Leave { viewer } => drop(self.viewers.remove(&viewer)),
            EventAsk::Look { viewer } => {
                if let Some(looks) = self.viewers.get(&viewer) {
                    // Its task exists as long as this end of the channel.
                    let _ = looks.send(());
                }
            }
            EventAsk::Emit(emission) => {
                let event = emission.event(self.platform.unix_ms());
                let result = self.cluster.publish_event(event);
                self.tell(Told::Events(EventTold::Emitted(result)));
            }
        }
    }

    async fn view(&mut self, viewer: u32, what: &Looked) {
        let events = self.cluster.events(what.profile.clone());
        let events = events.chains(what.chains.iter().cloned());
        let error = match events.viewer(&what.pass, what.scope.clone()).await {
            Ok(open) => {
                let (looks, looked) = mpsc::unbounded_channel();
                self.viewers.insert(viewer, looks);
                let (desk, clock) = (Arc::clone(&self.desk), self.clock);
                self.platform.spawn(look(desk, clock, viewer, open, looked));
                None
            }
            Err(error) => Some(error.to_string()),
        };
        self.tell(Told::Events(EventTold::Viewing { viewer, error }));
    }
}

/// Reads for a viewer on each request, until there are no more.
async fn look(
    desk: Arc<Desk>,
    clock: Clock,
    viewer: u32,
    mut open: Viewer,
    mut looks: mpsc::UnboundedReceiver<()>,
) {
    let mut is_first = true;
    while let Some(()) = looks.recv().await {
        let delivery = tokio::select! {
            biased;
            // It reads once at a time, so this is its end.
            _ = looks.recv() => return,
            delivery = open.recv() => delivery,
        };
        let Some(delivery) = delivery else { return };
        let sight = Sight::new(is_first, &delivery);
        is_first = false;
        let told = EventTold::Seen { viewer, sight };
        desk.tell(clock.now(), Told::Events(told));
    }
}
