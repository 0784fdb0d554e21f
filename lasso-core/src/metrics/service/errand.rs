//! One gathering: whom to ask what, and what comes of it.

use core::time::Duration;

use bytes::Bytes;

use super::registry::{Subject, Value};
use super::settings::MetricsSettings;
use crate::metrics::store::{Brought, Refresh, RefreshId};
use crate::name::NodeName;
use crate::node::Node;
use crate::plane::{CallError, Reject};
use crate::time::Instant;
use crate::topology::NodeState;

/// Who there is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Responders {
    /// This node.
    pub me: NodeName,
    /// Every other node that is responding or ready, by name.
    pub others: Vec<NodeName>,
    /// Nodes that there should be, this one included: the topology's `expected`.
    pub total: usize,
}

impl Responders {
    /// Those that a node sees.
    pub fn of(node: &Node) -> Self {
        let responds = |state| matches!(state, NodeState::Responding | NodeState::Ready);
        let members = node.topology().members();
        let others = members.filter(|member| responds(member.state()));
        let mut others: Vec<_> = others.map(|member| member.name().clone()).collect();
        others.sort();
        Responders {
            me: node.identity().name.clone(),
            others,
            total: node.coverage().expected,
        }
    }
}

/// An order to gather one answer from the nodes that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the key is not gathered again before this is finished or has timed out"]
pub struct Errand {
    refresh: Refresh<Subject>,
    responders: Responders,
    timeout: Duration,
    part_bytes_max: usize,
}

impl Errand {
    pub(super) fn new(
        refresh: Refresh<Subject>,
        responders: Responders,
        settings: &MetricsSettings,
    ) -> Self {
        Errand {
            refresh,
            responders,
            timeout: settings.timeout,
            part_bytes_max: settings.part_bytes_max,
        }
    }

    /// What to finish it under.
    pub fn id(&self) -> RefreshId {
        self.refresh.id
    }

    /// What is gathered.
    pub fn subject(&self) -> &Subject {
        &self.refresh.key
    }

    /// Whom to call, this node not among them.
    pub fn to(&self) -> &[NodeName] {
        &self.responders.others
    }

    /// What to ask them, by [`METHOD`](super::METHOD).
    pub fn question(&self) -> Bytes {
        self.refresh.key.question()
    }

    /// How long they have.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Puts together what the nodes said and this node's own part. It takes as long as reading and
    /// merging the parts takes, and needs no lock but the recorder's.
    pub fn merge(
        &self,
        now: Instant,
        outcomes: Vec<(NodeName, Result<Bytes, CallError>)>,
    ) -> Brought<Value> {
        let (subject, me) = (&self.refresh.key, &self.responders.me);
        let merged = subject.merge(now, me, outcomes, self.part_bytes_max);
        Brought {
            value: merged.value,
            own: merged.own,
            answered: merged.answered,
            failed: merged.failed,
            total: self.responders.total,
        }
    }

    /// What is to be told where merging came to nothing, as the query's own code panicked.
    pub fn nothing(&self) -> Brought<Value> {
        let (me, query) = (&self.responders.me, self.subject().query());
        let reject = Reject::by_node(format!("merging the parts of `{query}` panicked"));
        Brought {
            failed: vec![(me.clone(), CallError::Rejected(reject))],
            ..Brought::nothing(self.responders.total)
        }
    }
}
