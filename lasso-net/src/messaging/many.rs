//! Calling many nodes at once.

use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use lasso_core::name::{Label, NodeName};
use lasso_core::node::Node;
use lasso_core::plane::{CallError, GatherId, Gathered};
use lasso_core::topology::NodeState;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::{CallOptions, decoded};
use super::typed;
use crate::Cluster;
use crate::shared::Shared;

/// Which nodes are asked. But for [`Targets::Nodes`] these are nodes whose link stands when the call
/// begins, in the order of their names; who is missing from the cluster is told by
/// [`Cluster::coverage`](crate::Cluster::coverage).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Every node, this one included.
    All,
    /// Every node but this one.
    Others,
    /// These, in this order, whether they are there or not.
    Nodes(Vec<NodeName>),
    /// Every node that has this role, this one included where it has it.
    Role(Label),
    /// Every node of this region, this one included where it is there.
    Region(Label),
}

impl Targets {
    fn resolve(self, cluster: &Cluster) -> Vec<NodeName> {
        match self {
            Targets::Nodes(nodes) => nodes,
            targets => cluster.inspect(|node| targets.find(node)),
        }
    }

    fn find(&self, node: &Node) -> Vec<NodeName> {
        let wanted = |name: &NodeName, roles: &BTreeSet<Label>, region: &Label| match self {
            Targets::All => true,
            Targets::Nodes(nodes) => nodes.contains(name),
            Targets::Others => *name != node.identity().name,
            Targets::Role(role) => roles.contains(role),
            Targets::Region(here) => here == region,
        };
        let topology = node.topology();
        let me = (&node.identity().name, topology.description());
        let linked = topology
            .members()
            .filter(|member| member.state() != NodeState::Disconnected);
        let mut names: Vec<NodeName> = linked
            .map(|member| (member.name(), member.description()))
            .chain([me])
            .filter(|(name, is)| wanted(name, &is.roles, &is.region))
            .map(|(name, _)| name.clone())
            .collect();
        names.sort();
        names
    }
}

/// What a call to many gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers<A> {
    /// One outcome per node asked, in the order asked.
    pub outcomes: Vec<(NodeName, Result<A, CallError>)>,
    /// For how much of the cluster it speaks.
    pub coverage: CallCoverage,
}

/// What a call to many gave, with the answers as bytes.
pub type RawAnswers = Answers<Bytes>;

impl<A> Answers<A> {
    /// The answers of the nodes that gave one.
    pub fn values(&self) -> impl Iterator<Item = (&NodeName, &A)> {
        self.outcomes
            .iter()
            .filter_map(|(name, outcome)| Some((name, outcome.as_ref().ok()?)))
    }

    /// The nodes that gave none, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&NodeName, &CallError)> {
        self.outcomes
            .iter()
            .filter_map(|(name, outcome)| Some((name, outcome.as_ref().err()?)))
    }

    fn new(
        outcomes: Vec<(NodeName, Result<A, CallError>)>,
        joined: Vec<NodeName>,
        left: Vec<NodeName>,
        epoch: u64,
    ) -> Self {
        let mut failed = BTreeMap::new();
        for error in outcomes
            .iter()
            .filter_map(|(_, outcome)| outcome.as_ref().err())
        {
            *failed.entry(error.name()).or_insert(0) += 1;
        }
        let asked = outcomes.len();
        let coverage = CallCoverage {
            asked,
            answered: asked - failed.values().sum::<usize>(),
            failed,
            joined,
            left,
            epoch,
        };
        Answers { outcomes, coverage }
    }
}

/// For how much of the cluster a call to many speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallCoverage {
    /// Nodes that were asked.
    pub asked: usize,
    /// Nodes that answered.
    pub answered: usize,
    /// Nodes that did not, by the name of the reason, such as `timeout`.
    pub failed: BTreeMap<&'static str, usize>,
    /// Nodes that came while the call was under way, and were not asked.
    pub joined: Vec<NodeName>,
    /// Nodes that left while the call was under way.
    pub left: Vec<NodeName>,
    /// The membership epoch when the nodes were asked.
    pub epoch: u64,
}

impl fmt::Display for CallCoverage {
    /// "answered/asked nodes".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} nodes", self.answered, self.asked)
    }
}

impl Cluster {
    /// Calls a method of many nodes at once. The calls begin at once; the answers are awaited, and
    /// are there when the last node has answered or failed, after at most the timeout. A node that
    /// fails spoils nothing for the others.
    ///
    /// # Errors
    /// Those for which nobody is asked: the question is too large or cannot be encoded, the method's
    /// name is none, too many such calls wait already, or this node has stopped. What goes wrong at a
    /// node is in its outcome.
    ///
    /// ```
    /// use lasso_net::{Cluster, messaging::Targets};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cluster = Cluster::builder().start().await?;
    /// let _serving = cluster.serve("load", |(): (), _| async { Ok(0.25) })?;
    /// let answers = cluster.call_many::<_, f64>(Targets::All, "load", &()).await?;
    /// assert_eq!(answers.values().map(|(_, load)| load).sum::<f64>(), 0.25);
    /// assert_eq!(answers.coverage.to_string(), "1/1 nodes");
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_many<Q, A>(&self, targets: Targets, method: &str, question: &Q) -> CallMany<A>
    where
        Q: Serialize + ?Sized,
        A: DeserializeOwned,
    {
        self.call_many_with(targets, method, question, CallOptions::default())
    }

    /// As [`Cluster::call_many`], with options.
    pub fn call_many_with<Q, A>(
        &self,
        targets: Targets,
        method: &str,
        question: &Q,
        options: CallOptions,
    ) -> CallMany<A>
    where
        Q: Serialize + ?Sized,
        A: DeserializeOwned,
    {
        let raw = match typed::encode(question) {
            Ok(payload) => self.call_many_raw(targets, method, payload, options),
            Err(problem) => RawCallMany {
                shared: Arc::clone(self.shared()),
                stage: Stage::Failed(CallError::Unencodable(problem)),
            },
        };
        CallMany {
            raw,
            answer: PhantomData,
        }
    }

    /// As [`Cluster::call_many_with`], with question and answers as bytes.
    pub fn call_many_raw(
        &self,
        targets: Targets,
        method: &str,
        question: impl Into<Bytes>,
        options: CallOptions,
    ) -> RawCallMany {
        let to = targets.resolve(self);
        RawCallMany::begin(self.shared(), &to, method, question.into(), options)
    }
}

enum Stage {
    /// Nobody was asked.
    Failed(CallError),
    Waiting(GatherId),
    Done,
}

/// A call to many under way: its answers as bytes. Dropping it gives the calls up.
///
/// # Panics
/// When it is polled after it has given its outcome.
#[must_use = "dropping it gives the calls up"]
pub struct RawCallMany {
    shared: Arc<Shared>,
    stage: Stage,
}

impl RawCallMany {
    /// Calls these nodes, in this order.
    pub(crate) fn begin(
        shared: &Arc<Shared>,
        to: &[NodeName],
        method: &str,
        question: Bytes,
        options: CallOptions,
    ) -> Self {
        let called = shared.with_plane(|plane, now, effects| {
            plane.call_many(now, to, &options.question(method, &question), effects)
        });
        RawCallMany {
            shared: Arc::clone(shared),
            stage: called.map_or_else(Stage::Failed, Stage::Waiting),
        }
    }
}

impl Future for RawCallMany {
    type Output = Result<RawAnswers, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answers = match core::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Failed(error) => return Poll::Ready(Err(error)),
            Stage::Waiting(id) => {
                let waker = Some(cx.waker());
                match self.shared.read_plane(|plane| plane.poll_gather(id, waker)) {
                    Some(gathered) => {
                        let Gathered {
                            outcomes,
                            joined,
                            left,
                            epoch,
                        } = gathered;
                        Answers::new(outcomes, joined, left, epoch)
                    }
                    None => {
                        self.stage = Stage::Waiting(id);
                        return Poll::Pending;
                    }
                }
            }
            Stage::Done => panic!("a call to many was polled after its outcome"),
        };
        Poll::Ready(Ok(answers))
    }
}

impl Drop for RawCallMany {
    fn drop(&mut self) {
        if let Stage::Waiting(id) = self.stage {
            self.shared.read_plane(|plane| plane.cancel_gather(id));
        }
    }
}

impl fmt::Debug for RawCallMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits = match &self.stage {
            Stage::Waiting(id) => Some(id),
            Stage::Failed(_) | Stage::Done => None,
        };
        f.debug_struct("RawCallMany")
            .field("waits", &waits)
            .finish_non_exhaustive()
    }
}

/// A call to many under way: its answers, each decoded as `A`. Dropping it gives the calls up.
///
/// # Panics
/// When it is polled after it has given its outcome.
#[must_use = "dropping it gives the calls up"]
pub struct CallMany<A> {
    raw: RawCallMany,
    answer: PhantomData<fn() -> A>,
}

impl<A: DeserializeOwned> Future for CallMany<A> {
    type Output = Result<Answers<A>, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let raw = ready!(Pin::new(&mut self.raw).poll(cx))?;
        let CallCoverage {
            joined,
            left,
            epoch,
            ..
        } = raw.coverage;
        let outcomes = raw
            .outcomes
            .into_iter()
            .map(|(name, outcome)| (name, outcome.and_then(|answer| decoded(&answer))))
            .collect();
        Poll::Ready(Ok(Answers::new(outcomes, joined, left, epoch)))
    }
}

impl<A> fmt::Debug for CallMany<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}
