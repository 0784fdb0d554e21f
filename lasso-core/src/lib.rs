//! The machines that decide everything in lasso, without IO, clock or randomness of their own.

pub mod config;
pub mod discovery;
pub mod event;
pub mod frame;
pub mod mesh;
pub mod name;
pub mod node;
pub mod secure;
pub mod time;
pub mod topology;
