//! One node as a process of its own.
//!
//! The child watches its standard input, which this process holds open: when it ends, because the
//! child is to stop or because this process is gone, however it went, the child says goodbye and
//! exits.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};

use crate::report::Report;

/// What happens to a child, or comes from it.
pub(crate) struct Happening {
    /// Which node.
    pub(crate) node: usize,
    /// Which process; a line of an earlier one may come late.
    pub(crate) pid: u32,
    /// When this process took notice.
    pub(crate) at: Instant,
    /// What.
    pub(crate) what: What,
}

/// See [`Happening`].
pub(crate) enum What {
    /// It reports.
    Report(Report),
    /// It logs.
    Log(String),
    /// It has ended; `None` where the system does not say how.
    Ended(Option<ExitStatus>),
}

/// A process that was started.
pub(crate) struct Child {
    pid: u32,
    /// Held open for as long as it is to run.
    stdin: Option<ChildStdin>,
    kill: Option<oneshot::Sender<()>>,
}

impl Child {
    /// Starts `command` as node number `node`; what happens to it goes to `happenings`.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn start(
        mut command: Command,
        node: usize,
        happenings: mpsc::Sender<Happening>,
    ) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().expect("a child that was not waited for");
        let teller = Teller {
            node,
            pid,
            happenings,
        };
        let stdin = child.stdin.take();
        let reports = child.stdout.take().expect("a pipe");
        let logs = child.stderr.take().expect("a pipe");
        let reports = tokio::spawn(teller.clone().lines(reports, report));
        let logs = tokio::spawn(teller.clone().lines(logs, What::Log));
        let (kill, killed) = oneshot::channel();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                Ok(()) = killed => {
                    // It may have ended by itself by now.
                    let _ = child.start_kill();
                }
                _ = child.wait() => {}
            }
            let status = child.wait().await.ok();
            // All that it has said comes first.
            let _ = tokio::join!(reports, logs);
            teller.tell(What::Ended(status)).await;
        });
        Ok(Child {
            pid,
            stdin,
            kill: Some(kill),
        })
    }

    /// Its id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks it to say goodbye and exit.
    pub(crate) fn stop(&mut self) {
        self.stdin = None;
    }

    /// Ends it without a goodbye, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(kill) = self.kill.take() {
            let _ = kill.send(());
        }
    }
}

/// A line that is no report is shown like a log.
fn report(line: String) -> What {
    match serde_json::from_str(&line) {
        Ok(report) => What::Report(report),
        Err(_) => What::Log(line),
    }
}

/// Tells what comes from one process.
#[derive(Clone)]
struct Teller {
    node: usize,
    pid: u32,
    happenings: mpsc::Sender<Happening>,
}

impl Teller {
    async fn tell(&self, what: What) {
        let happening = Happening {
            node: self.node,
            pid: self.pid,
            at: Instant::now(),
            what,
        };
        // Nobody listens any more when this process is about to end.
        let _ = self.happenings.send(happening).await;
    }

    async fn lines(self, from: impl AsyncRead + Unpin, what: fn(String) -> What) {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.tell(what(line)).await;
        }
    }
}
