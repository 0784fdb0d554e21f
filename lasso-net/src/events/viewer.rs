//! Looking at events.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::fmt;
use std::sync::Arc;

use futures_core::Stream;
use lasso_core::event::TopologyEvent;
use lasso_core::events::topics::Segment;
use lasso_core::events::{Pass, Scope, ScopeError, ViewerId};
use lasso_core::plane::SubscribeError;
use lasso_core::topology::Coverage;
use tokio::sync::broadcast;

use super::Delivery;
use super::desk::Wish;
use super::seat::Seat;
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
    profile: Segment,
    chains: Vec<Segment>,
}

/// What a viewer that is to be opened needs.
pub(super) struct Wanted {
    pub(super) profile: Segment,
    pub(super) chains: Vec<Segment>,
    pub(super) pass: Pass,
    pub(super) scope: Scope,
    /// How much of the cluster was there a moment ago.
    pub(super) coverage: Coverage,
    /// How it has changed since.
    pub(super) changes: broadcast::Receiver<Arc<TopologyEvent>>,
}

/// Why there is no viewer. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// The scope is not the bearer's to see, or there are too many viewers; also where as many as a
    /// profile may have wait to be let in.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The node is subscribed to as many topics as it may be. Try again when others have left, or raise
    /// `pubsub.interest_max`.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// The node has stopped, the runtime that it runs on is ending, or a bug of lasso has ended live
    /// events on it, which the log says. There is nothing to look at, and never will be.
    #[error("the node shows nothing any more")]
    Ended,
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
    /// Resolves as soon as what is under way for others is done, which takes milliseconds at most times;
    /// meanwhile no thread waits. Cancelling it opens nothing.
    ///
    /// It is done, as all that is worked out for viewers, on one thread of the pool that tokio has for
    /// work that blocks, for as long as there is anything to do. Where the application takes all of that
    /// pool (`max_blocking_threads`), no viewer is opened and none gets anything until it gives one back;
    /// a viewer then shows itself as stale. Do not wait for a viewer there on all of them.
    ///
    /// # Errors
    /// [`ViewError`]; nothing was changed.
    pub async fn viewer(&self, pass: &Pass, scope: Scope) -> Result<Viewer, ViewError> {
        let shared = &self.shared;
        // In this order: whatever changes after the look is among the changes.
        let changes = shared.events.subscribe();
        let coverage = shared.node.lock().coverage();
        let wanted = Wanted {
            profile: self.profile.clone(),
            chains: self.chains.clone(),
            pass: pass.clone(),
            scope,
            coverage,
            changes,
        };
        let opened = shared.desk.open(shared, wanted)?;
        opened.await.unwrap_or(Err(ViewError::Ended))
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
    /// Where it finds what comes next.
    seat: Arc<Seat>,
}

impl Viewer {
    pub(super) fn new(
        shared: Arc<Shared>,
        id: ViewerId,
        seat: Arc<Seat>,
        snapshot: Delivery,
    ) -> Self {
        Viewer {
            shared,
            id,
            snapshot: Some(Box::new(snapshot)),
            seat,
        }
    }

    /// What comes next: at first a snapshot of all that is known, then batches, and a heartbeat where
    /// nothing else came for 2 s; `None` once the node has stopped and all that had come was read, or once
    /// its runtime is gone, and from then on. Cancelling loses nothing. What is read late comes together.
    pub async fn recv(&mut self) -> Option<Delivery> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// What has come already. Beside the snapshot that is what was asked for: one that says `None` asks
    /// for the next delivery, which is there at some later call. A task that waits for it, by a
    /// [`recv`](Viewer::recv) or as a [`Stream`], is woken as before.
    pub fn try_recv(&mut self) -> Option<Delivery> {
        match self.next(None) {
            Poll::Ready(delivery) => delivery,
            Poll::Pending => None,
        }
    }

    /// True when nothing has come for 30 s, though it was asked for all the while by a
    /// [`recv`](Viewer::recv) that was cancelled since, or by [`try_recv`](Viewer::try_recv): what was
    /// shown so far is to be shown as stale. As something comes every 2 s from a node that is well, it is
    /// not, or its machine has far too much to do. False before anything was asked for, while
    /// something is there to be read, and again once it came.
    pub fn is_stale(&self) -> bool {
        self.snapshot.is_none() && self.seat.is_stale(self.shared.now())
    }

    /// Its name, for as long as the process lives.
    pub fn id(&self) -> ViewerId {
        self.id
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.next(Some(cx.waker()))
    }

    /// What has come, or that nothing does any more; where neither is so it is asked for, and the waker
    /// kept.
    fn next(&mut self, waker: Option<&Waker>) -> Poll<Option<Delivery>> {
        if let Some(snapshot) = self.snapshot.take() {
            return Poll::Ready(Some(*snapshot));
        }
        let found = self.seat.take();
        if found.is_ready() {
            return found;
        }
        if self.seat.wait(self.shared.now(), waker) {
            let viewer = self.id;
            self.shared.desk.wish(&self.shared, Wish::Read { viewer });
        }
        // It may have come meanwhile, without anybody to wake.
        self.seat.take()
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
        let viewer = self.id;
        self.shared.desk.wish(&self.shared, Wish::Leave { viewer });
    }
}

impl fmt::Debug for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Viewer")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
