//! The machines that decide everything in lasso, without IO, clock or randomness of their own.

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
pub mod time;
mod timers;
pub mod topology;
