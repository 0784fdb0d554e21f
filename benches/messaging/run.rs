//! One run: starts the processes, lets them go, and gathers what they report.

use std::thread;
use std::time::{Duration, Instant};

use crate::children::{Numbers, Process};
use crate::machine;
use crate::options::{Options, System};
use crate::role::WARM_UP;
use crate::rows::Work;
use crate::servers::Server;

/// The processes of a run; the first is A.
pub(crate) struct Cast {
    processes: Vec<Process>,
    // Dropped after its clients.
    _server: Option<Server>,
}

/// Does `work` once on `system`.
pub(crate) fn run(work: Work, system: System, options: &Options) -> Result<Numbers, String> {
    let length = match work {
        Work::Frozen => FREEZE_AFTER + FROZEN_FOR + FREEZE_AFTER,
        _ => options.length,
    };
    let mut cast = Cast::start(system, &roles(work), length)?;
    let before = cast.resident();
    cast.go()?;
    let most = match work {
        Work::Frozen => cast.freeze()?,
        _ => 0.0,
    };
    let reports = cast.reports(length)?;
    let mut outcome = conclude(work, &reports);
    match work {
        Work::Frozen => outcome.extend(named([("rss_before", before[0]), ("rss_most", most)])),
        Work::Unread => {
            let after = cast.resident();
            outcome.extend(named([
                ("rss_before", before[0]),
                ("rss_after", after[0]),
                ("rss_b_before", before[1]),
                ("rss_b_after", after[1]),
            ]));
        }
        _ => {}
    }
    Ok(outcome)
}

/// Who plays what, A first.
fn roles(work: Work) -> Vec<(&'static str, String)> {
    let role = |name, arguments: &str| (name, arguments.to_owned());
    match work {
        Work::Publish {
            bytes,
            nodes,
            subscribers,
        } => {
            let watch = ("watch", format!("subscribers={subscribers}"));
            let mut roles = vec![("publish", format!("bytes={bytes}"))];
            roles.extend(vec![watch; nodes]);
            roles
        }
        Work::Local { subscribers } => {
            vec![("local", format!("bytes=64 subscribers={subscribers}"))]
        }
        Work::OneWay => vec![
            role("publish", "bytes=64 rate=1000 stamped=1"),
            role("watch", "stamped=1"),
        ],
        Work::Call { at_once } => vec![
            ("call", format!("bytes=64 at_once={at_once}")),
            role("serve", ""),
        ],
        Work::Gather { nodes } => {
            let mut roles = vec![role("gather", "bytes=64")];
            roles.extend(vec![role("serve", ""); nodes]);
            roles
        }
        Work::Frozen => vec![
            role("publish", "bytes=1024 rate=10000 stamped=1"),
            role("watch", "stamped=1"),
            role("watch", "stamped=1"),
        ],
        Work::Beside => vec![role("beside", "bytes=64"), role("serve", "sink=1")],
        Work::Unread => vec![
            role("publish", "bytes=64 count=1000000 unread=1"),
            role("unread", ""),
        ],
    }
}

/// From what each process reported to what the row shows.
fn conclude(work: Work, reports: &[Numbers]) -> Numbers {
    let a = &reports[0];
    let of = |numbers: &Numbers, key: &str| numbers.get(key).copied().unwrap_or(f64::NAN);
    let per_second = |numbers: &Numbers| of(numbers, "count") * 1e9 / of(numbers, "ns");
    let sum = |reports: &[Numbers], key| reports.iter().map(|r| of(r, key)).sum::<f64>();
    let delivered = |reports: &[Numbers]| {
        let (count, missed) = (sum(reports, "count"), sum(reports, "missed"));
        named([
            ("delivered", reports.iter().map(per_second).sum()),
            ("missed", missed / (count + missed).max(1.0)),
            ("cpu_a", of(a, "cpu") / count.max(1.0)),
            ("cpu_others", sum(reports, "cpu") / count.max(1.0)),
        ])
    };
    match work {
        Work::Publish { .. } => delivered(&reports[1..]),
        Work::Local { .. } => delivered(reports),
        Work::OneWay => named([
            ("p50", of(&reports[1], "p50")),
            ("p99", of(&reports[1], "p99")),
        ]),
        Work::Call { .. } | Work::Gather { .. } => named([
            ("p50", of(a, "p50")),
            ("p99", of(a, "p99")),
            ("answered", per_second(a)),
            ("cpu_a", of(a, "cpu") / of(a, "count").max(1.0)),
            (
                "cpu_others",
                sum(&reports[1..], "cpu") / of(a, "count").max(1.0),
            ),
        ]),
        Work::Frozen => named([("gap", of(&reports[1], "gap"))]),
        Work::Beside => named([
            ("p50", of(a, "p50")),
            ("p99", of(a, "p99")),
            ("large", per_second(&reports[1])),
        ]),
        Work::Unread => Numbers::new(),
    }
}

fn named<const N: usize>(numbers: [(&str, f64); N]) -> Numbers {
    numbers.map(|(key, value)| (key.to_owned(), value)).into()
}

impl Cast {
    /// Starts all processes and waits until each is ready.
    pub(crate) fn start(
        system: System,
        roles: &[(&str, String)],
        length: Duration,
    ) -> Result<Cast, String> {
        let server = Server::start(system)?;
        let server_port = server.as_ref().map_or(0, |server| server.port);
        let ports = machine::free_ports(roles.len())?;
        let environment = [
            ("ERL_EPMD_PORT".to_owned(), server_port.to_string()),
            ("ERL_FLAGS".to_owned(), "-start_epmd false".to_owned()),
        ];
        let mut processes = Vec::new();
        for (index, (role, arguments)) in roles.iter().enumerate() {
            let others = ports
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index);
            let others: Vec<String> = others.map(|(_, port)| port.to_string()).collect();
            let mut all = vec![
                format!("port={}", ports[index]),
                format!("peers={}", others.join(",")),
                format!("server={server_port}"),
                format!("warm_ms={}", WARM_UP.as_millis()),
                format!("length_ms={}", length.as_millis()),
            ];
            all.extend(arguments.split_whitespace().map(str::to_owned));
            processes.push(Process::start(system, role, &all, &environment)?);
        }
        let mut cast = Cast {
            processes,
            _server: server,
        };
        eprint!(" pids {}", cast.pids());
        for process in &mut cast.processes {
            process.hear("ready", READY_WITHIN)?;
        }
        Ok(cast)
    }

    fn pids(&self) -> String {
        let pids = self
            .processes
            .iter()
            .map(|process| process.pid().to_string());
        pids.collect::<Vec<_>>().join(" ")
    }

    /// Starts the work.
    pub(crate) fn go(&mut self) -> Result<(), String> {
        self.processes
            .iter_mut()
            .try_for_each(|process| process.say("go"))
    }

    /// What each reports, A first.
    pub(crate) fn reports(&mut self, length: Duration) -> Result<Vec<Numbers>, String> {
        let within = length + WARM_UP + READY_WITHIN;
        let hear = |process: &mut Process| process.hear("report", within);
        self.processes.iter_mut().map(hear).collect()
    }

    /// The memory of each, A first.
    pub(crate) fn resident(&self) -> Vec<f64> {
        let resident = |process: &Process| machine::resident(process.pid());
        self.processes.iter().map(resident).collect()
    }

    /// Stops C for a while, and returns the most memory that A had meanwhile.
    fn freeze(&mut self) -> Result<f64, String> {
        thread::sleep(WARM_UP + FREEZE_AFTER);
        let frozen = self.processes[2].pid();
        machine::signal(frozen, "STOP")?;
        let until = Instant::now() + FROZEN_FOR;
        let mut most: f64 = 0.0;
        while Instant::now() < until {
            most = most.max(machine::resident(self.processes[0].pid()));
            thread::sleep(Duration::from_millis(50));
        }
        machine::signal(frozen, "CONT")?;
        Ok(most)
    }
}

/// How long the processes have to connect with each other.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// From the beginning of the measurement until C is stopped, and from when it goes on to the end.
const FREEZE_AFTER: Duration = Duration::from_secs(1);
/// How long C is stopped.
const FROZEN_FOR: Duration = Duration::from_secs(5);
