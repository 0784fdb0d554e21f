//! Log lines that cannot stop a node.
//!
//! The library logs through `tracing`. It never waits for the subscriber: its lines go to a thread of
//! their own through a bounded queue. Each line that a peer or a stranger can cause has a bound per kind
//! and peer, and one per kind in sum; what is suppressed is counted, and told once a minute. An
//! application gets the same for its own lines with [`bounded`], for the changes of the topology with
//! [`topology`], and a sink that never blocks and never fails with [`LogWriter`]:
//!
//! ```
//! use core::time::Duration;
//! use lasso_net::log::{self, LogWriter};
//!
//! // For a subscriber: `.with_writer(move || logs.clone())`.
//! let logs = LogWriter::stderr()?;
//! assert_eq!(logs.dropped(), 0);
//! // Before the process ends: what is still on its way gets a moment.
//! log::flush_within(Duration::from_millis(100));
//! logs.flush_within(Duration::from_millis(100));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What others chose is quoted by [`shown`], so that no text forges a field or a line.

mod aside;
mod lines;
mod notice;
mod panics;
mod topology;
mod writer;

pub use lasso_core::text::shown;

pub use aside::flush_within;
pub(crate) use aside::{Line, aside};
pub(crate) use lines::Lines;
pub(crate) use notice::notice;
pub use panics::log_panics;
pub use topology::topology;
pub use writer::{LogWriter, dropped};

use crate::Cluster;

/// Logs a line that somebody else can cause, within the bounds of the node: for one `peer` at most 16 at
/// once and one more each 2 s, for the kind in sum at most 2,048 at once and 20 a second.
///
/// `kind` is one of a fixed set of names; `peer` is who causes the line, empty for nobody in particular.
/// `line` is called on another thread, with the subscriber of the thread that calls this.
pub fn bounded(
    cluster: &Cluster,
    kind: &'static str,
    peer: &str,
    line: impl FnOnce() + Send + 'static,
) {
    let shared = cluster.shared();
    shared.lines.say(kind, peer, line);
}
