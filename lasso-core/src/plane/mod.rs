//! The data plane: what applications cross the cluster with. Topics with subscribers, and calls to
//! one node or to many.
//!
//! It stands beside the control machinery of [`crate::node`]: a node tells it which links stand and
//! who is there, and everything else, publish, deliver, call, answer, passes through it alone. It is
//! a machine without IO like the rest; in the direct world a node drives it, in lasso-net the tasks
//! of the links do.

pub mod calls;
pub mod effects;
mod outlet;
pub mod pubsub;

pub use calls::{Answer, CallError, CallId, GatherId, Gathered, Reject, Request, ServeId};
pub use effects::{Effects, Wake};
pub use outlet::Outlet;
pub use pubsub::{Audience, Message, PublishError, Reach, SubscribeError, SubscriberId, Update};
