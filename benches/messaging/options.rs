//! What the command line asks for.

use core::fmt;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::rows::{ROWS, Row};

/// Compares the data plane with the floor of this machine, and with other systems.
#[derive(Parser)]
pub(crate) struct Options {
    /// Rows to measure, by the beginning of their names, with commas between; all by default
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Runs of each system and row
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Length of one measurement, such as 2s
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub(crate) length: Duration,
    /// What to measure beside other systems
    #[arg(long, value_delimiter = ',', default_values = ["lasso", "floor", "floor-plain"])]
    pub(crate) systems: Vec<System>,
    /// Other systems to measure where they are installed: nats, redis, pg
    #[arg(long, value_delimiter = ',')]
    pub(crate) peers: Vec<System>,
    /// In place of the table: publish at half of the highest rate for so long, such as 10m, and
    /// watch the memory
    #[arg(long, value_parser = duration)]
    pub(crate) soak: Option<Duration>,
    /// Name the rows, and end
    #[arg(long)]
    pub(crate) list: bool,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum System {
    /// This library.
    Lasso,
    /// Nothing but framing, the same cipher, and TCP.
    Floor,
    /// The floor without a cipher.
    FloorPlain,
    /// NATS' server, with a client of our own.
    Nats,
    /// Redis' server, with a client of our own.
    Redis,
    /// Erlang's `pg` and `erpc`.
    Pg,
}

impl System {
    /// The program that must be installed, and what to install on Debian.
    fn needs(self) -> Option<(&'static str, &'static str)> {
        match self {
            System::Lasso | System::Floor | System::FloorPlain => None,
            System::Nats => Some(("nats-server", "nats-server")),
            System::Redis => Some(("redis-server", "redis-server")),
            System::Pg => Some(("escript", "erlang-base")),
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            System::Lasso => "lasso",
            System::Floor => "floor",
            System::FloorPlain => "floor-plain",
            System::Nats => "nats",
            System::Redis => "redis",
            System::Pg => "pg",
        })
    }
}

impl Options {
    /// The rows asked for, in the table's order.
    pub(crate) fn rows(&self) -> Result<Vec<&'static Row>, String> {
        for name in &self.only {
            if !ROWS.iter().any(|row| row.id.starts_with(name.as_str())) {
                return Err(format!(
                    "no row's name begins with {name}; --list shows them"
                ));
            }
        }
        let wanted = |row: &&Row| {
            self.only.is_empty()
                || self
                    .only
                    .iter()
                    .any(|name| row.id.starts_with(name.as_str()))
        };
        Ok(ROWS.iter().filter(wanted).collect())
    }

    /// The systems asked for, without those that are not installed.
    pub(crate) fn installed(&self) -> Vec<System> {
        let mut systems = self.systems.clone();
        systems.extend(&self.peers);
        systems.sort_unstable();
        systems.dedup();
        systems.retain(|system| {
            let Some((program, package)) = system.needs() else {
                return true;
            };
            let found = is_there(program);
            if !found {
                eprintln!("{system} is left out: {program} is not installed (Debian: {package})");
            }
            found
        });
        systems
    }
}

fn is_there(program: &str) -> bool {
    let mut which = Command::new("which");
    let which = which.arg(program).stdout(Stdio::null());
    which.status().is_ok_and(|status| status.success())
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("a whole number and s, m or h".into()),
    };
    match digits.parse::<u64>() {
        Ok(count @ 1..=1_000_000) => Ok(Duration::from_secs(count * seconds)),
        _ => Err("a whole number from 1, and s, m or h".into()),
    }
}
