//! A guest inspects a scenario while it runs: the test of a user's own application.

use core::time::Duration;

use lasso_core::time::Instant;

use super::{CHECKPOINT, Failure, Run};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::turmoil_world::site::Complaint;

/// The state of a run.
pub(crate) struct Scene<'a> {
    /// The scenario.
    pub(crate) scenario: &'a Scenario,
    /// When each step has happened, in their order.
    pub(crate) happened: &'a [Instant],
    /// The present.
    pub(crate) now: Instant,
}

/// See the module's text.
pub(crate) trait Guest {
    /// The next moment at which it wants to inspect the run, even if nothing happens then.
    fn is_due(&self, scene: &Scene<'_>) -> Option<Instant>;
    /// Inspects the run: after the steps of this moment, before its checks.
    fn looks(&mut self, scene: &Scene<'_>, stage: &mut dyn Stage) -> Vec<Complaint>;
    /// Whether the guest lets the run end.
    fn is_done(&self, scene: &Scene<'_>) -> bool;
    /// Inspects the run for the last time, when everything has settled.
    fn leaves(&mut self, scene: &Scene<'_>, stage: &mut dyn Stage) -> Vec<Complaint>;
}

/// The same for a run with a guest, so that a difference between two runs can be located.
const GUEST_CHECKPOINT: Duration = Duration::from_secs(1);

/// The interval at which digests of inputs are written into the trace.
pub(super) fn checkpoint(has_guest: bool) -> Duration {
    match has_guest {
        true => GUEST_CHECKPOINT,
        false => CHECKPOINT,
    }
}

impl Run<'_> {
    pub(super) fn guest_is_due(&self) -> Option<Instant> {
        self.guest.as_ref()?.is_due(&self.scene())
    }

    pub(super) fn guest_is_done(&self) -> bool {
        let guest = self.guest.as_ref();
        guest.is_none_or(|guest| guest.is_done(&self.scene()))
    }

    pub(super) fn guest_looks(&mut self) -> Vec<Failure> {
        self.with_guest(|guest, scene, stage| guest.looks(scene, stage))
    }

    pub(super) fn guest_leaves(&mut self) -> Vec<Failure> {
        self.with_guest(|guest, scene, stage| guest.leaves(scene, stage))
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            scenario: self.scenario,
            happened: &self.happened,
            now: self.stage.now(),
        }
    }

    fn with_guest(
        &mut self,
        ask: impl FnOnce(&mut dyn Guest, &Scene<'_>, &mut dyn Stage) -> Vec<Complaint>,
    ) -> Vec<Failure> {
        let Some(guest) = &mut self.guest else {
            return Vec::new();
        };
        let scene = Scene {
            scenario: self.scenario,
            happened: &self.happened,
            now: self.stage.now(),
        };
        let complaints = ask(&mut **guest, &scene, &mut *self.stage);
        let failure = |complaint: Complaint| {
            let Complaint {
                at,
                node,
                place,
                expected,
                seen,
            } = complaint;
            Failure {
                at: super::outcome::seconds(at),
                ..self.failure(place, node, &expected, &seen)
            }
        };
        complaints.into_iter().map(failure).collect()
    }
}
