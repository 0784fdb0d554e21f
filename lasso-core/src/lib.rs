//! The machines that decide everything in lasso, without IO, clock or randomness of their own.
//!
//! [`node::Node`] finds the others, links up and knows who is there; [`plane::Plane`] carries topics and calls;
//! [`events`] decides what viewers are shown of requests, and [`metrics`] what all nodes have measured
//! together. Each module's text has an example that runs.

mod bounded;
pub mod codec;
pub mod config;
pub mod discovery;
pub mod event;
pub mod events;
pub mod frame;
pub mod health;
pub mod link;
pub mod mesh;
pub mod metrics;
pub mod name;
pub mod node;
pub mod plane;
pub mod secure;
mod shares;
pub mod text;
pub mod throttle;
pub mod time;
mod timers;
pub mod topology;
