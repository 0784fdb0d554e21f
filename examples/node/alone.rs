//! When a clustered node that has nobody says so: DNS that answers and nobody there looks like success.
//!
//! The time counts from when the node became alone, at its start or later; while another node is linked nothing is due.

use std::time::Duration;

use tokio::time::Instant;

/// A clustered node that has had nobody for so long says so,
const AFTER: Duration = Duration::from_secs(30);
/// and again after this, for as long as it has nobody.
const AGAIN: Duration = Duration::from_secs(300);

/// See the module's text.
pub(crate) struct Alone {
    /// When to say so; never for a node that looks for nobody, and not while somebody is linked.
    due: Option<Instant>,
    enabled: bool,
}

impl Alone {
    /// A node starts, and has nobody yet. `enabled` is false for one that looks for nobody.
    pub(crate) fn new(now: Instant, enabled: bool) -> Self {
        Alone {
            due: enabled.then_some(now + AFTER),
            enabled,
        }
    }

    /// So many nodes are connected now, this one included.
    pub(crate) fn connected(&mut self, now: Instant, nodes: usize) {
        if nodes > 1 {
            self.due = None;
        } else if self.enabled && self.due.is_none() {
            self.due = Some(now + AFTER);
        }
    }

    /// When it is to be said next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// It is said now.
    pub(crate) fn said(&mut self, now: Instant) {
        self.due = self.due.map(|_| now + AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn still_alone_counts_from_when_the_node_became_alone() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut alone = Alone::new(start, true);
        assert_eq!(alone.due(), Some(at(30)));
        alone.connected(at(3), 3);
        assert_eq!(alone.due(), None);
        // Half an hour later the last one goes.
        alone.connected(at(1_800), 2);
        alone.connected(at(1_801), 1);
        alone.connected(at(1_810), 1);
        assert_eq!(alone.due(), Some(at(1_831)));
        alone.said(at(1_831));
        assert_eq!(alone.due(), Some(at(2_131)));
        alone.connected(at(1_900), 2);
        assert_eq!(alone.due(), None);
    }

    #[test]
    fn a_node_that_looks_for_nobody_is_never_told_that_it_is_alone() {
        let start = Instant::now();
        let mut alone = Alone::new(start, false);
        alone.connected(start, 1);
        assert_eq!(alone.due(), None);
    }
}
