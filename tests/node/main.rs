//! The program that operators run, as processes on loopback.

mod attacked;
mod config;
mod local;
mod node;
mod proxy;
mod support;
