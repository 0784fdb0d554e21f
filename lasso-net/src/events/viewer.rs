//! Looking at events.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::fmt;
use std::sync::Arc;

use futures_core::Stream;
use lasso_core::events::topics::Segment;
use lasso_core::events::{Pass, Scope, ScopeError, ViewerId};
use lasso_core::plane::SubscribeError;

use super::Delivery;
use crate::Cluster;
use crate::shared::Shared;

impl Cluster {
    /// The live events of a profile, for [`Events::viewer`].
    pub fn events(&self, profile: Segment) -> Events {
        Events {
            shared: Arc::clone(self.shared()),
            profile,
            chains: Vec::new(),
        }
    }
}

/// The live events of one profile.
#[derive(Clone)]
#[must_use = "nothing is looked at until a viewer is opened"]
pub struct Events {
    shared: Arc<Shared>,
    pub(super) profile: Segment,
    pub(super) chains: Vec<Segment>,
}

/// Why there is no viewer. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// The scope is not the bearer's to see, or there are too many viewers.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The node is subscribed to as many topics as it may be. Try again when others have left, or raise
    /// `pubsub.interest_max`.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
}

impl Events {
    /// The chains whose states (circuits, health of providers, block heights) are wanted: three topics
    /// each, which all viewers of the profile on this node share.
    pub fn chains(mut self, chains: impl IntoIterator<Item = Segment>) -> Self {
        self.chains.extend(chains);
        self
    }

    /// Opens a viewer. `pass` is what the server knows of the one who asks, and never comes from there.
    /// What is delivered is looked at once more, event by event.
    ///
    /// # Errors
    /// [`ViewError`]; nothing was changed.
    pub fn viewer(&self, pass: &Pass, scope: Scope) -> Result<Viewer, ViewError> {
        let shared = Arc::clone(&self.shared);
        let seat = shared.desk.view(&shared, self, pass, scope)?;
        Ok(Viewer {
            shared,
            id: seat.viewer,
            snapshot: Some(Box::new(seat.snapshot)),
        })
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("profile", &self.profile)
            .field("chains", &self.chains)
            .finish_non_exhaustive()
    }
}

/// Somebody who looks. Ends when it is dropped; what it looked at is known for 30 s more. Also a
/// [`Stream`].
#[must_use = "dropping it ends it"]
pub struct Viewer {
    shared: Arc<Shared>,
    id: ViewerId,
    /// What it gets first.
    snapshot: Option<Box<Delivery>>,
}

impl Viewer {
    /// What comes next: at first a snapshot of all that is known, then batches, and a heartbeat where
    /// nothing else came for 2 s; `None` once the node has stopped. Cancelling loses nothing. What is
    /// read late comes together.
    pub async fn recv(&mut self) -> Option<Delivery> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// What has come already.
    pub fn try_recv(&mut self) -> Option<Delivery> {
        let snapshot = self.snapshot.take().map(|snapshot| *snapshot);
        snapshot.or_else(|| self.shared.desk.read(self.id, None))
    }

    /// Its name, for as long as the process lives.
    pub fn id(&self) -> ViewerId {
        self.id
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        if let Some(snapshot) = self.snapshot.take() {
            return Poll::Ready(Some(*snapshot));
        }
        if let Some(delivery) = self.shared.desk.read(self.id, Some(cx.waker())) {
            return Poll::Ready(Some(delivery));
        }
        // Looked at last: whoever sets it wakes, after that, whoever has left a waker.
        if self.shared.has_stopped() {
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

impl Stream for Viewer {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.poll_recv(cx)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.shared.desk.leave(&self.shared, self.id);
    }
}

impl fmt::Debug for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Viewer")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
