//! The proxy of `examples/node`: its parts with their own tests, and the whole of it.

#[path = "../../examples/node/proxy/mod.rs"]
mod proxy;

mod client;
mod figures;
mod limits;
mod pages;
mod routing;
mod upstreams;
mod viewers;
