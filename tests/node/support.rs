//! Starts the program, reads what it prints, and ends it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Far more than any of these tests takes; a failure says what it waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
pub(crate) const COOKIE: &str = "the secret of the tests, 32 bytes";

/// The program with these arguments, in an empty environment.
pub(crate) fn node(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Waits until something holds, and fails with what it waited for.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::yield_now();
    }
}

/// Cargo builds examples next to the directory of the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    let target = test.parent().and_then(|deps| deps.parent());
    let target = target.expect("a test is in target/<profile>/deps");
    let program = target.join("examples/node");
    assert!(
        program.exists(),
        "{} is not there; build it with `cargo build --example node`, as `cargo test` does when \
         it is not told `--test`",
        program.display()
    );
    program
}

/// An address that no other test uses, also in another run at the same time; `test` is a number
/// that no other test has.
pub(crate) fn address(test: u8, node: u8) -> Ipv4Addr {
    let process = (std::process::id() % 250) as u8 + 1;
    Ipv4Addr::new(127, process, 100 + test, node)
}

/// A port that is free on that address now.
pub(crate) fn free_port(ip: Ipv4Addr) -> u16 {
    let listener = TcpListener::bind((ip, 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Runs a command to its end.
pub(crate) fn output(mut command: Command) -> (ExitStatus, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
    (status, text(stdout), text(stderr))
}

/// A process whose lines are read as they come; killed when dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (tell, lines) = mpsc::channel();
        let out: Box<dyn Read + Send> = Box::new(child.stdout.take().expect("a pipe"));
        let err: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("a pipe"));
        for from in [out, err] {
            let tell = tell.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(from).lines().map_while(Result::ok) {
                    let _ = tell.send(line);
                }
            });
        }
        Running {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// The next line that holds all of `parts`.
    pub(crate) fn line(&mut self, parts: &[&str]) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!(
                    "no line with {parts:?}; there were:\n{}",
                    self.seen.join("\n")
                );
            };
            self.seen.push(line.clone());
            if parts.iter().all(|part| line.contains(part)) {
                return line;
            }
        }
    }

    /// The lines so far.
    pub(crate) fn seen(&self) -> &[String] {
        &self.seen
    }

    /// Everything to the end, and how it ended.
    pub(crate) fn finish(mut self) -> (ExitStatus, String) {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it goes on; there were:\n{}", self.seen.join("\n"))
                }
            }
        }
        let status = self.child.wait().expect("the child is ours");
        (status, self.seen.join("\n"))
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let kill = Command::new("kill").args([signal, &pid]).status();
        assert!(kill.expect("there is a kill").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer to `GET path`: status line, headers, body.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    send(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
    )
}

/// The answer to `POST path` with this body: status line, headers, body.
pub(crate) fn post(address: SocketAddr, path: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    send(address, &request)
}

fn send(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody answers HTTP");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
