//! Serving: handlers of this program that answer calls.

use core::future::{Future, poll_fn};
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::{Poll, Waker};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::catch_unwind;
use std::sync::Arc;

use bytes::Bytes;
use lasso_core::name::NodeName;
use lasso_core::plane::{Answer, Reject, Request, ServeError, ServeId};
use parking_lot::RwLock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::typed;
use crate::Cluster;
use crate::log;
use crate::shared::Shared;

impl Cluster {
    /// Answers calls of a method from now on, from any node, this one included.
    ///
    /// Calls run concurrently, up to `handlers_max` of the settings' `calls` for all methods
    /// together, at most half of them for the same node; more are answered [`Overloaded`](crate::messaging::CallError::Overloaded). A
    /// handler that panics answers
    /// [`Rejected`](crate::messaging::CallError::Rejected) with the code
    /// [`Reject::CODE_NODE`], and so does one whose answer cannot be sent; the node lives. A handler
    /// is dropped when its caller's time is over, or the link to it is lost. A question that is no `Q` is answered
    /// [`Malformed`](crate::messaging::CallError::Malformed) without the handler.
    ///
    /// A handler that holds a [`Cluster`] keeps the node running: the node then stops by
    /// [`Cluster::shutdown`] alone.
    ///
    /// # Errors
    /// [`ServeError`]: the method is served already, its name is no name for a method, the node
    /// serves too many, or it has stopped.
    ///
    /// ```
    /// use lasso_net::{Cluster, messaging::{CallError, Reject}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cluster = Cluster::builder().start().await?;
    /// let _serving = cluster.serve("root", |number: f64, context| async move {
    ///     if number < 0.0 {
    ///         let message = format!("{} asks for the root of {number}", context.from);
    ///         return Err(Reject { code: 1, message });
    ///     }
    ///     Ok(number.sqrt())
    /// })?;
    /// let me = cluster.name();
    /// assert_eq!(cluster.call::<f64, f64>(&me, "root", &9.0).await, Ok(3.0));
    /// let rejected = cluster.call::<f64, f64>(&me, "root", &-1.0).await;
    /// let reason = rejected.unwrap_err().reason;
    /// assert!(matches!(reason, CallError::Rejected(Reject { code: 1, .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn serve<Q, A, F, W>(&self, method: &str, handler: F) -> Result<Serving, ServeError>
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
        F: Fn(Q, Context) -> W + Send + Sync + 'static,
        W: Future<Output = Result<A, Reject>> + Send + 'static,
    {
        let lines = Arc::clone(&self.shared().lines);
        self.serve_as(method, move |payload, context| {
            let (lines, from) = (Arc::clone(&lines), context.from.clone());
            let method = Arc::clone(&context.method);
            let question = typed::decode(&payload);
            let work = question.map(|question| handler(question, context));
            Box::pin(async move {
                let work = match work {
                    Ok(work) => work,
                    Err(error) => {
                        let error = error.to_string();
                        let told = error.clone();
                        lines.say("malformed_question", &from.to_string(), move || {
                            let (method, error) = (log::shown(&method), log::shown(&told));
                            tracing::debug!(%method, %error, "a question could not be understood");
                        });
                        return Answer::Malformed(error);
                    }
                };
                match work.await {
                    Ok(answer) => encoded(&answer),
                    Err(reject) => Answer::Rejected(reject),
                }
            })
        })
    }

    /// As [`Cluster::serve`], with questions and answers as bytes.
    ///
    /// # Errors
    /// As [`Cluster::serve`].
    pub fn serve_raw<F, W>(&self, method: &str, handler: F) -> Result<Serving, ServeError>
    where
        F: Fn(Bytes, Context) -> W + Send + Sync + 'static,
        W: Future<Output = Result<Bytes, Reject>> + Send + 'static,
    {
        self.serve_as(method, move |payload, context| {
            let work = handler(payload, context);
            Box::pin(async move {
                match work.await {
                    Ok(answer) => Answer::Done(answer),
                    Err(reject) => Answer::Rejected(reject),
                }
            })
        })
    }

    /// As [`Cluster::serve_raw`], where the handler says all that there is to say.
    pub(crate) fn serve_as(
        &self,
        method: &str,
        handler: impl Fn(Bytes, Context) -> Working + Send + Sync + 'static,
    ) -> Result<Serving, ServeError> {
        let shared = Arc::clone(self.shared());
        let method = shared.handlers.add(&shared, method, Arc::new(handler))?;
        Ok(Serving {
            shared,
            method: Some(method),
        })
    }
}

fn encoded(answer: &impl Serialize) -> Answer {
    match typed::encode(answer) {
        Ok(bytes) => Answer::Done(bytes),
        Err(problem) => said_by_the_node(format!("the answer cannot be encoded: {problem}")),
    }
}

fn said_by_the_node(message: String) -> Answer {
    Answer::Rejected(Reject::by_node(message))
}

/// What a handler is told of a call, besides the question.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who asks.
    pub from: NodeName,
    /// When the caller gives up, by tokio's clock; the handler is dropped then.
    pub deadline: Instant,
    /// The method.
    pub method: Arc<str>,
}

/// A method that is being served; dropping it ends that. Calls that run are still answered.
#[must_use = "dropping it ends serving, as `let _ =` does: keep it (`let _serving = ..`) or call `.forever()`"]
pub struct Serving {
    shared: Arc<Shared>,
    /// `None`: it is served for ever.
    method: Option<Arc<str>>,
}

impl Serving {
    /// Serves for as long as the node runs.
    pub fn forever(mut self) {
        self.method = None;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(method) = self.method.take() {
            self.shared.handlers.remove(&self.shared, &method);
        }
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// A handler at work.
pub(crate) type Working = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Handler = Arc<dyn Fn(Bytes, Context) -> Working + Send + Sync>;

/// The handlers of a node. Their lock comes before the plane's.
#[derive(Default)]
pub(crate) struct Handlers(RwLock<BTreeMap<Arc<str>, Handler>>);

impl Handlers {
    fn add(&self, shared: &Shared, method: &str, handler: Handler) -> Result<Arc<str>, ServeError> {
        let mut handlers = self.0.write();
        let method = shared.read_plane(|plane| plane.serve(method))?;
        handlers.insert(Arc::clone(&method), handler);
        Ok(method)
    }

    fn remove(&self, shared: &Shared, method: &Arc<str>) {
        let handler = {
            let mut handlers = self.0.write();
            shared.read_plane(|plane| plane.unserve(method));
            handlers.remove(method)
        };
        // Not under the lock: what it holds may do anything when it is dropped.
        drop(handler);
    }

    /// Forgets all of them: what they hold may hold the node.
    pub(crate) fn clear(&self) {
        let handlers = core::mem::take(&mut *self.0.write());
        drop(handlers);
    }

    /// Starts the handler of a call.
    pub(crate) fn hand_over(&self, shared: &Arc<Shared>, request: Request) {
        let handler = self.0.read().get(&request.method).cloned();
        shared.spawn(answer(Arc::clone(shared), handler, request));
    }
}

/// A call's place among the handlers, which is freed with this, however its task ends.
struct Place {
    shared: Arc<Shared>,
    id: ServeId,
    method: Arc<str>,
    is_free: bool,
}

impl Place {
    fn answer(mut self, answer: Answer) {
        self.free(Some(answer));
    }

    /// The call's deadline has passed: whoever asked gives up by itself.
    fn give_up(mut self) {
        self.free(None);
    }

    /// It is free already.
    fn leave(mut self) {
        self.is_free = true;
    }

    /// Whether somebody still waits for the answer; the task is woken when nobody does.
    fn is_wanted(&self, waker: &Waker) -> bool {
        // Cloned and dropped outside of the lock: a waker may do anything.
        let mut waker = Some(waker.clone());
        let shared = &self.shared;
        shared.read_plane(|plane| plane.watch(self.id, &mut waker))
    }

    fn free(&mut self, answer: Option<Answer>) {
        self.is_free = true;
        let id = self.id;
        self.shared.with_plane(|plane, _, effects| match answer {
            Some(answer) => plane.answer(id, answer, effects),
            None => plane.give_up(id),
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_free {
            let method = &self.method;
            let told = Arc::clone(method);
            self.shared.lines.say("handler_panicked", method, move || {
                let method = log::shown(&told);
                tracing::error!(%method, "the handler of a call panicked");
            });
            let reject = Reject::panicked(method);
            self.free(Some(Answer::Rejected(reject)));
        }
    }
}

async fn answer(shared: Arc<Shared>, handler: Option<Handler>, request: Request) {
    let deadline = shared.at(request.deadline);
    let place = Place {
        shared,
        id: request.id,
        method: Arc::clone(&request.method),
        is_free: false,
    };
    let Some(handler) = handler else {
        // It went while the call was on its way to it.
        let gone = format!("`{}` is no longer served", place.method);
        return place.answer(said_by_the_node(gone));
    };
    match handle(&handler, request, deadline, &place).await {
        Handled::Answered(answer) => place.answer(answer),
        Handled::Late => place.give_up(),
        Handled::Unwanted => place.leave(),
        // Its place says so when it is dropped.
        Handled::Panicked => drop(place),
    }
}

/// How a handler ended.
enum Handled {
    Answered(Answer),
    Panicked,
    Late,
    /// The link to whoever asked was lost.
    Unwanted,
}

async fn handle(handler: &Handler, request: Request, deadline: Instant, place: &Place) -> Handled {
    let context = Context {
        from: request.from,
        deadline,
        method: request.method,
    };
    // What a handler shares with others is its own affair when it panics, as in any task.
    let begun = catch_unwind(AssertUnwindSafe(|| handler(request.payload, context)));
    let Ok(mut working) = begun else {
        return Handled::Panicked;
    };
    let guarded = poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| working.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Pending) if place.is_wanted(cx.waker()) => Poll::Pending,
            Ok(Poll::Pending) => Poll::Ready(Handled::Unwanted),
            Ok(Poll::Ready(answer)) => Poll::Ready(Handled::Answered(answer)),
            Err(_panic) => Poll::Ready(Handled::Panicked),
        }
    });
    let handled = timeout_at(deadline, guarded).await;
    // What it holds may panic as well.
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(working)));
    match (handled, dropped) {
        (Ok(handled), Ok(())) => handled,
        (Ok(_), Err(_panic)) => Handled::Panicked,
        (Err(_late), _) => Handled::Late,
    }
}
