//! A stream of the answers to one key.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::sync::Arc;

use futures_core::Stream;
use lasso_core::metrics::queries::Query;
use lasso_core::metrics::service::{AskError, Subject};
use lasso_core::metrics::store::Told;
use tokio::sync::watch;

use super::Readout;
use super::boards::Board;
use super::state::State;

/// The cluster's answers to one key, as they change; see [`Metrics::watch`](super::Metrics::watch). Also a [`Stream`]. The
/// key is renewed until the last that watches it is dropped.
#[must_use = "dropping it ends the watch"]
pub struct Watch<Q: Query> {
    /// What becomes the next answer; it has the watcher meanwhile.
    next: Next<Q>,
    key: Arc<Watched>,
}

type Answer<Q> = Option<Readout<<Q as Query>::Answer>>;
type Next<Q> = Pin<Box<dyn Future<Output = (Watcher<Q>, Answer<Q>)> + Send>>;

/// That a key is watched.
struct Watched {
    state: Arc<State>,
    subject: Subject,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.state.unwatch(&self.subject);
    }
}

impl<Q: Query> Watch<Q> {
    pub(super) fn new(state: &Arc<State>, key: &Q::Key) -> Result<Self, AskError> {
        let board = state.board::<Q>()?;
        let subject = state.subject::<Q>(key)?;
        // Before the key is wanted, so that nothing is missed.
        let shown = state.shown.subscribe();
        state.watch(&subject)?;
        let watcher = Watcher {
            state: Arc::clone(state),
            board,
            key: key.clone(),
            told: Told::default(),
            shown,
            over: false,
        };
        Ok(Watch {
            next: Box::pin(watcher.next()),
            key: Arc::new(Watched {
                state: Arc::clone(state),
                subject,
            }),
        })
    }

    /// The next answer, or the same where it is worth less or gathering it has failed. The first comes as soon as there is
    /// one; after that one that is [`loading`](super::Freshness::Loading) says that the last was too old to be shown.
    /// `None` once the node has stopped and what it had last was read. Cancelling loses nothing.
    pub async fn recv(&mut self) -> Answer<Q> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Answer<Q>> {
        let (watcher, answer) = ready!(self.next.as_mut().poll(cx));
        self.next = Box::pin(watcher.next());
        Poll::Ready(answer)
    }
}

impl<Q: Query> Stream for Watch<Q> {
    type Item = Readout<Q::Answer>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<Q>> {
        self.poll_recv(cx)
    }
}

impl<Q: Query> fmt::Debug for Watch<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("key", &self.key.subject)
            .finish_non_exhaustive()
    }
}

/// Waits for what is not told yet.
struct Watcher<Q: Query> {
    state: Arc<State>,
    board: Arc<Board<Q>>,
    key: Q::Key,
    told: Told,
    /// Says that some answer has changed.
    shown: watch::Receiver<()>,
    /// The node has stopped, and the watcher knows it.
    over: bool,
}

impl<Q: Query> Watcher<Q> {
    async fn next(mut self) -> (Self, Answer<Q>) {
        while !self.over {
            self.shown.borrow_and_update();
            let now = self.state.now();
            let readout = self.board.cache.peek(now, &self.key);
            if self.told.is_news(&readout) {
                return (self, Some(readout));
            }
            let falls_at = readout.falls_at(now, self.board.cache.ages());
            drop(readout);
            let falls = async {
                match falls_at {
                    Some(at) => tokio::time::sleep(at - now + TICK).await,
                    None => core::future::pending().await,
                }
            };
            self.over = tokio::select! {
                biased;
                changed = self.shown.changed() => changed.is_err(),
                () = self.state.stopped() => true,
                () = falls => false,
            };
        }
        (self, None)
    }
}

/// By how much the clock of the metrics may be late, and a little: an answer is looked at once it shows that it is older.
const TICK: Duration = Duration::from_millis(20);
