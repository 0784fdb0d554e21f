//! The processes of a run, and what is said between them and this one: lines.
//!
//! A child says `ready` once it is connected, starts at `go`, says `report key=value ...` when it
//! has measured, and ends at `end`, or when its standard input does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::options::System;

/// The first argument of a child.
pub(crate) const CHILD_FLAG: &str = "--child";

/// What a child reported: numbers by name.
pub(crate) type Numbers = BTreeMap<String, f64>;

/// A process of a run; killed when dropped.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    role: String,
}

impl Process {
    /// Starts a child in a role; `arguments` are `key=value`. Erlang's are told what
    /// `environment` says.
    pub(crate) fn start(
        system: System,
        role: &str,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> Result<Process, String> {
        let mut command = match system {
            System::Pg => {
                let mut command = Command::new("escript");
                command.arg(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/benches/messaging/peers/pg.escript"
                ));
                command
            }
            _ => {
                let this = std::env::current_exe().map_err(|error| error.to_string())?;
                let mut command = Command::new(this);
                command.arg(CHILD_FLAG).arg(system.to_string());
                command
            }
        };
        command.arg(role).args(arguments);
        command.envs(environment.iter().map(|(key, value)| (key, value)));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{role} did not start: {error}"))?;
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Process {
            child,
            stdin,
            lines,
            role: format!("{system} {role}"),
        })
    }

    /// Its id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says a line to it.
    pub(crate) fn say(&mut self, line: &str) -> Result<(), String> {
        let stdin = self.stdin.as_mut().expect("open until it is dropped");
        let said = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        said.map_err(|error| format!("{} does not listen: {error}", self.role))
    }

    /// Waits for a line that begins with `word`, and returns the numbers behind it.
    pub(crate) fn hear(&mut self, word: &str, within: Duration) -> Result<Numbers, String> {
        loop {
            let line = self
                .lines
                .recv_timeout(within)
                .map_err(|error| format!("{} said no {word}: {error}", self.role))?;
            let mut words = line.split(' ');
            match words.next() {
                Some(said) if said == word => return Ok(words.filter_map(number).collect()),
                Some("problem") => return Err(format!("{}: {line}", self.role)),
                _ => {}
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(word: &str) -> Option<(String, f64)> {
    let (key, value) = word.split_once('=')?;
    Some((key.to_owned(), value.parse().ok()?))
}
