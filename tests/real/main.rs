//! Nodes over real sockets, and where it matters in processes of their own, on loopback.
//!
//! Few on purpose: what a network does is told by scenarios in simulation; these say that the world
//! outside behaves as the simulation has it. They need Linux's 127.0.0.0/8.

mod failure;
mod formation;
mod strangers;
mod support;

/// Not a test of its own: the body of the processes that other tests start, kill and freeze.
#[test]
fn a_node_in_a_process_of_its_own() {
    support::run_as_child();
}
