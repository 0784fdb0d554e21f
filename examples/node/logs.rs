//! What a node tells its operator: log lines with fields, on standard error.
//!
//! Nothing here waits for standard error or fails with it: see [`LogWriter`].

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use lasso::Coverage;
use lasso::log::{self, LogWriter};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Where the logs of this process go, once they have started.
static LOGS: OnceLock<LogWriter> = OnceLock::new();

/// Logs go to standard error from here on; `RUST_LOG` says which, `info` and above by default.
///
/// # Errors
/// The system has no file descriptor or no thread left.
pub(crate) fn start(json: bool) -> Result<(), Failure> {
    let writer = LogWriter::stderr()
        .map_err(|error| Failure::new(format!("no log can be kept: {error}")))?;
    let writer = LOGS.get_or_init(|| writer);
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env_lossy();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(|| writer.clone());
    if json {
        logs.json().flatten_event(true).init();
    } else {
        logs.init();
    }
    log::log_panics();
    Ok(())
}

/// One line for the operator, in words: with the logs, where there are any.
pub(crate) fn tell(text: &str) {
    let line = format!("{text}\n");
    // Nobody else could be told that standard error takes nothing.
    let _ = match LOGS.get() {
        Some(logs) => logs.clone().write_all(line.as_bytes()),
        None => io::stderr().write_all(line.as_bytes()),
    };
}

/// What was logged gets a moment to be written before the process ends.
pub(crate) fn finish() {
    if let Some(logs) = LOGS.get() {
        log::flush_within(MOMENT);
        logs.flush_within(MOMENT);
    }
}

/// "responding/expected".
pub(crate) fn short(coverage: &Coverage) -> String {
    format!("{}/{}", coverage.responding, coverage.expected)
}

/// For a sink that is read: far more than it takes.
const MOMENT: Duration = Duration::from_millis(500);
