//! Counters of a topology.

/// Counters of a topology, which only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Nodes that connected.
    pub connected: u64,
    /// Nodes that disconnected.
    pub disconnected: u64,
    /// Health checks that were sent.
    pub checks_sent: u64,
    /// Health checks that passed.
    pub checks_passed: u64,
    /// Health checks that were not answered in time.
    pub checks_failed: u64,
    /// Answers to health checks and to requests for a description that arrived too late.
    pub late_answers: u64,
    /// Times that a peer did not describe itself after all tries.
    pub descriptions_failed: u64,
    /// Frames that were dropped: from a node without a link, or with contents beyond bounds.
    pub frames_refused: u64,
    /// Links with an incarnation older than the known one, which were ignored.
    pub stale_incarnations: u64,
    /// Differences that reconciliation found.
    pub differences: u64,
    /// Disconnected nodes that were forgotten, by age or by number.
    pub forgotten: u64,
    /// Times that a node began to flap.
    pub flaps: u64,
}
