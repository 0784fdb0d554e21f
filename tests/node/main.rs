//! The program that operators run, as processes on loopback.

#[path = "../../examples/node/alone.rs"]
mod alone;
mod attacked;
mod config;
mod local;
mod node;
mod proxy;
mod support;
