//! What the data plane wants done by whoever drives it.
//!
//! Filled by the plane's methods under whatever lock guards it, and carried out after that lock is
//! released.
//!
//! ```
//! use bytes::Bytes;
//! use lasso_core::config::NodeConfig;
//! use lasso_core::name::{Description, Identity, Incarnation, Label, NodeName};
//! use lasso_core::plane::{Audience, Effects, Plane, Wake};
//! use lasso_core::secure::Security;
//! use lasso_core::time::Instant;
//!
//! let name: NodeName = "app@10.0.0.1".parse()?;
//! let me = Identity {
//!     cluster: Label::new("cluster name", "docs")?,
//!     name: name.clone(),
//!     incarnation: Incarnation(1),
//! };
//! let config = NodeConfig::new(name.clone(), Security::InsecureNull);
//! let mut plane = Plane::new(&config, &me, &Description::of(&name));
//! let (now, mut fx) = (Instant::ZERO, Effects::default());
//!
//! let subscriber = plane.subscribe("prices", None, &mut fx)?;
//! assert!(fx.is_empty(), "nobody has anything to do");
//! plane.publish(|| now, 0, "prices", &Bytes::new(), &Audience::Local, &mut fx)?;
//! // The subscriber had left no waker, so it is named.
//! assert!(matches!(fx.wakes[..], [Wake::Subscriber(id)] if id == subscriber));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::task::Waker;

use super::{CallId, GatherId, Request, ServeId, SubscriberId};
use crate::name::NodeName;
use crate::node::ConnId;

/// Somebody has something to do.
#[derive(Debug, Clone)]
pub enum Wake {
    /// A task that waited, whatever for.
    Task(Waker),
    /// The link on this connection has something to send, and had nothing before.
    Link(ConnId),
    /// This subscriber has something to read, and had nothing before.
    Subscriber(SubscriberId),
    /// This call has its outcome.
    Call(CallId),
    /// This call to many has its last outcome.
    Gather(GatherId),
    /// Nobody waits any more for the answer to this request: its asker's link is lost, and its place
    /// is free.
    Request(ServeId),
}

/// Keeps a waker in place of an earlier one, which goes to `spent`: what a waker holds may do
/// anything when it is dropped, and so is dropped under no lock.
pub(super) fn keep(kept: &mut Option<Waker>, waker: &Waker, spent: &mut Vec<Waker>) {
    if kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
        return;
    }
    spent.extend(kept.replace(waker.clone()));
}

/// See the module's text. Without allocation while nothing is to be done.
#[derive(Debug, Default)]
pub struct Effects {
    /// Whom to wake. Where a task had left its waker there is that alone, else the name of what
    /// became ready.
    pub wakes: Vec<Wake>,
    /// Calls of peers, to be handed to their handlers. Each holds a place among the handlers until
    /// it is answered, or its asker's link is lost.
    pub requests: Vec<Request>,
    /// Peers that have begun to refuse topics of this node, for the operator. Only a tick says so.
    pub refusing: Vec<NodeName>,
}

impl Effects {
    /// True when nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.wakes.is_empty() && self.requests.is_empty() && self.refusing.is_empty()
    }

    /// Wakes the task that waits, or else names what became ready.
    pub(crate) fn wake(&mut self, waiting: &mut Option<Waker>, otherwise: Wake) {
        self.wakes
            .push(waiting.take().map_or(otherwise, Wake::Task));
    }
}
