//! Calling one node.

use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use lasso_core::name::NodeName;
use lasso_core::plane::{CallError, CallId, Half, Question};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::typed;
use crate::Cluster;
use crate::shared::Shared;

/// A call that has no answer: of which method and node, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{method}` of {node}: {reason}")]
pub struct FailedCall {
    /// Who was asked, or was to be.
    pub node: NodeName,
    /// The method.
    pub method: String,
    /// What went wrong.
    pub reason: CallError,
}

impl From<FailedCall> for CallError {
    fn from(failed: FailedCall) -> Self {
        failed.reason
    }
}

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallOptions {
    /// How long the caller waits, handler and network together; `None`: as the settings' `calls`
    /// say, 5 s by default. With zero nobody is asked, and the call has timed out at once.
    pub timeout: Option<Duration>,
}

impl CallOptions {
    pub(super) fn question<'a>(self, method: &'a str, payload: &'a Bytes) -> Question<'a> {
        Question {
            method,
            payload,
            timeout: self.timeout,
        }
    }
}

impl Cluster {
    /// Calls a method of one node, which may be this one. The call begins at once; the answer is
    /// awaited. Dropping it gives the call up, and its answer is dropped when it comes.
    ///
    /// # Errors
    /// [`FailedCall`] with a [`CallError`], of which `NotConnected`, `NoSuchMethod`, `TooLarge`,
    /// `Unencodable` and `Stopped` say that nothing was done, `Overloaded` that nothing was done or the
    /// answer found its lane full, and `Timeout` and `Disconnected` that nobody knows.
    ///
    /// ```
    /// use lasso_net::Cluster;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cookie = "a secret of at least thirty-two bytes";
    /// let a = Cluster::builder().name("doc@127.0.42.1").cookie(cookie).peer("doc@127.0.42.2");
    /// let b = Cluster::builder().name("doc@127.0.42.2").cookie(cookie).peer("doc@127.0.42.1");
    /// let (a, b) = (a.start().await?, b.start().await?);
    /// let _serving = b.serve("greet", |name: String, _| async move { Ok(format!("hello {name}")) })?;
    /// a.wait_for(2, std::time::Duration::from_secs(20)).await?;
    ///
    /// let greeting: String = a.call(&b.name(), "greet", "you").await?;
    /// assert_eq!(greeting, "hello you");
    ///
    /// let failed = a.call::<_, u64>(&b.name(), "greet", "you").await.unwrap_err();
    /// let text = "`greet` of doc@127.0.42.2: the answer could not be understood: 10 bytes that are no `u64`";
    /// assert!(failed.to_string().starts_with(text), "{failed}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn call<Q, A>(&self, to: &NodeName, method: &str, question: &Q) -> Call<A>
    where
        Q: Serialize + ?Sized,
        A: DeserializeOwned,
    {
        self.call_with(to, method, question, CallOptions::default())
    }

    /// As [`Cluster::call`], with options.
    pub fn call_with<Q, A>(
        &self,
        to: &NodeName,
        method: &str,
        question: &Q,
        options: CallOptions,
    ) -> Call<A>
    where
        Q: Serialize + ?Sized,
        A: DeserializeOwned,
    {
        let raw = match typed::encode(question) {
            Ok(payload) => self.call_raw(to, method, payload, options),
            Err(problem) => RawCall {
                shared: Arc::clone(self.shared()),
                stage: Stage::Failed(CallError::Unencodable(problem)),
            },
        };
        Call {
            raw,
            node: to.clone(),
            method: method.into(),
            answer: PhantomData,
        }
    }

    /// As [`Cluster::call_with`], with question and answer as bytes, and the bare [`CallError`].
    pub fn call_raw(
        &self,
        to: &NodeName,
        method: &str,
        question: impl Into<Bytes>,
        options: CallOptions,
    ) -> RawCall {
        let shared = Arc::clone(self.shared());
        let question = question.into();
        let called = shared.with_plane(|plane, now, effects| {
            plane.call(now, to, &options.question(method, &question), effects)
        });
        RawCall {
            shared,
            stage: called.map_or_else(Stage::Failed, Stage::Waiting),
        }
    }
}

enum Stage {
    /// It failed at once.
    Failed(CallError),
    Waiting(CallId),
    Done,
}

/// A call under way: its outcome, with the answer as bytes. Dropping it gives the call up.
///
/// # Panics
/// When it is polled after it has given its outcome.
#[must_use = "dropping it gives the call up"]
pub struct RawCall {
    shared: Arc<Shared>,
    stage: Stage,
}

impl Future for RawCall {
    type Output = Result<Bytes, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match core::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Failed(error) => Err(error),
            Stage::Waiting(id) => {
                let waker = Some(cx.waker());
                match self.shared.read_plane(|plane| plane.poll_call(id, waker)) {
                    Some(outcome) => outcome,
                    None => {
                        self.stage = Stage::Waiting(id);
                        return Poll::Pending;
                    }
                }
            }
            Stage::Done => panic!("a call was polled after its outcome"),
        };
        Poll::Ready(outcome)
    }
}

impl Drop for RawCall {
    fn drop(&mut self) {
        if let Stage::Waiting(id) = self.stage {
            self.shared.read_plane(|plane| plane.cancel_call(id));
        }
    }
}

impl fmt::Debug for RawCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits = match &self.stage {
            Stage::Waiting(id) => Some(id),
            Stage::Failed(_) | Stage::Done => None,
        };
        f.debug_struct("RawCall")
            .field("waits", &waits)
            .finish_non_exhaustive()
    }
}

/// A call under way: its outcome, with the answer decoded as `A`. Dropping it gives the call up.
///
/// # Panics
/// When it is polled after it has given its outcome.
#[must_use = "dropping it gives the call up"]
pub struct Call<A> {
    raw: RawCall,
    node: NodeName,
    method: Box<str>,
    answer: PhantomData<fn() -> A>,
}

impl<A: DeserializeOwned> Future for Call<A> {
    type Output = Result<A, FailedCall>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.raw).poll(cx));
        let outcome = outcome.and_then(|answer| decoded(&answer));
        Poll::Ready(outcome.map_err(|reason| FailedCall {
            node: self.node.clone(),
            method: self.method.to_string(),
            reason,
        }))
    }
}

/// An answer as what it should be.
pub(super) fn decoded<A: DeserializeOwned>(answer: &[u8]) -> Result<A, CallError> {
    typed::decode(answer).map_err(|error| CallError::Malformed {
        half: Half::Answer,
        problem: error.to_string(),
    })
}

impl<A> fmt::Debug for Call<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}
