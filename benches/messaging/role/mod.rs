//! What a child does: its part of one run.

mod floor;
mod lasso;
mod loops;
mod nats;
mod redis;
mod tally;

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

pub(crate) use tally::Tally;

/// What goes by before anything is counted.
pub(crate) const WARM_UP: Duration = Duration::from_millis(500);

/// Plays the role that the arguments name, on the runtime that all systems have: tokio's of many
/// threads with its defaults.
pub(crate) fn play(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let (Some(system), Some(role)) = (arguments.next(), arguments.next()) else {
        eprintln!("a child needs a system and a role");
        return ExitCode::FAILURE;
    };
    let pairs = arguments.filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    });
    let job = Job {
        role,
        values: pairs.collect(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the system gives threads");
    // As a task, since the future of `block_on` itself runs beside the workers.
    let played = runtime.block_on(async move { tokio::spawn(dispatch(system, job)).await });
    match played.map_err(io::Error::other).flatten() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("problem {error}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(system: String, job: Job) -> io::Result<()> {
    match system.as_str() {
        "lasso" => lasso::play(job).await,
        "floor" => floor::play(job, true).await,
        "floor-plain" => floor::play(job, false).await,
        "nats" => nats::play(job).await,
        "redis" => redis::play(job).await,
        _ => Err(unknown(&system)),
    }
}

/// Neither a system nor a role of that name.
fn unknown(name: &str) -> io::Error {
    io::Error::other(format!("{name} is not known"))
}

/// What is to be done.
pub(crate) struct Job {
    pub(crate) role: String,
    values: BTreeMap<String, String>,
}

impl Job {
    /// A number among the arguments; 0 where it is missing.
    pub(crate) fn number(&self, key: &str) -> u64 {
        let value = self.values.get(key).map(|value| value.parse());
        value.and_then(Result::ok).unwrap_or(0)
    }

    /// The port of this process.
    pub(crate) fn port(&self) -> u16 {
        self.number("port") as u16
    }

    /// The server's port.
    pub(crate) fn server(&self) -> u16 {
        self.number("server") as u16
    }

    /// The ports of the other processes, A's first.
    pub(crate) fn peers(&self) -> Vec<u16> {
        let text = self.values.get("peers").map_or("", String::as_str);
        text.split(',')
            .filter_map(|port| port.parse().ok())
            .collect()
    }

    /// What is published or asked.
    pub(crate) fn payload(&self) -> bytes::Bytes {
        vec![0x5a; self.number("bytes") as usize].into()
    }

    fn millis(&self, key: &str) -> Duration {
        Duration::from_millis(self.number(key))
    }
}

/// The conversation with the process that started this one.
pub(crate) struct Stage {
    lines: mpsc::UnboundedReceiver<String>,
    warm_up: Duration,
    length: Duration,
    pub(crate) tally: Arc<Tally>,
}

impl Stage {
    /// Says that this process is ready, and waits until it is to start.
    pub(crate) async fn enter(job: &Job) -> Stage {
        let (sender, lines) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
            // Nobody is left to report to.
            std::process::exit(0);
        });
        let mut stage = Stage {
            lines,
            warm_up: job.millis("warm_ms"),
            length: job.millis("length_ms"),
            tally: Arc::default(),
        };
        println!("ready");
        stage.lines.recv().await;
        stage
    }

    /// Lets `work` run, counts what it does within the time of measurement, and reports. The work
    /// goes on until this process is ended, so that the others are measured under the same load.
    pub(crate) async fn measure(
        mut self,
        work: impl Future<Output = io::Result<()>> + Send + 'static,
    ) -> io::Result<()> {
        tokio::spawn(async move {
            if let Err(error) = work.await {
                println!("problem {error}");
            }
        });
        tokio::time::sleep(self.warm_up).await;
        let (start, before) = (Instant::now(), self.tally.begin());
        tokio::time::sleep(self.length).await;
        println!("{}", self.tally.report(before, start.elapsed()));
        self.lines.recv().await;
        Ok(())
    }

    /// Runs `work` to its end, and reports.
    pub(crate) async fn finish(
        mut self,
        work: impl Future<Output = io::Result<()>> + Send + 'static,
    ) -> io::Result<()> {
        let (start, before) = (Instant::now(), self.tally.begin());
        tokio::spawn(work).await.map_err(io::Error::other)??;
        println!("{}", self.tally.report(before, start.elapsed()));
        self.lines.recv().await;
        Ok(())
    }
}
