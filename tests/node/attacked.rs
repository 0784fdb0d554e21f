//! What strangers, clients, members and a bad log sink cannot do to a running node.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write, pipe};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lasso::{Cluster, Description, Label};
use serde_json::Value;

use crate::support::{COOKIE, PATIENCE, Running, address, eventually, get, node, output, post};

/// A node at `ip` that looks for another one.
fn one(ip: Ipv4Addr, peer: Ipv4Addr) -> Command {
    settings(node(&[]), ip, peer)
}

fn settings(mut command: Command, ip: Ipv4Addr, peer: Ipv4Addr) -> Command {
    command
        .env("CLUSTER_NODE_BASENAME", "lasso")
        .env("CLUSTER_NODE_IP", ip.to_string())
        .env("CLUSTER_PEERS", format!("lasso@{peer}"))
        .env("HTTP_BIND", ip.to_string())
        .env("RELEASE_COOKIE", COOKIE);
    command
}

/// The same with at most so many open files.
fn with_files(files: u32, ip: Ipv4Addr, peer: Ipv4Addr) -> Command {
    let program = node(&[]);
    let program = program.get_program().to_str().expect("a path of text");
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {files} && exec {program}");
    command.args(["-c", &script]).env_clear();
    command.stdin(Stdio::null());
    settings(command, ip, peer)
}

/// A process of which only HTTP is seen; killed when dropped.
struct Silent {
    child: Child,
    http: SocketAddr,
}

impl Silent {
    fn start(mut command: Command, ip: Ipv4Addr, err: impl Into<Stdio>) -> Self {
        let command = command.stdout(Stdio::null()).stderr(err);
        let child = command.spawn().expect("the program starts");
        let http = SocketAddr::from((ip, 4000));
        eventually("it listens", || TcpStream::connect(http).is_ok());
        // Answered once links are taken.
        assert_alive(http);
        Silent { child, http }
    }

    fn health(&self) -> Value {
        health(self.http)
    }

    /// Asks it to stop; it does so with success.
    fn stop(mut self) {
        let pid = self.child.id().to_string();
        let kill = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(kill.expect("there is a kill").success());
        let status = self.child.wait().expect("the child is ours");
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn health(http: SocketAddr) -> Value {
    let answer = get(http, "/health");
    let (_, body) = answer.split_once("\r\n\r\n").expect("headers end");
    serde_json::from_str(body).expect("JSON")
}

fn assert_alive(http: SocketAddr) {
    let began = Instant::now();
    for path in ["/livez", "/readyz"] {
        let answer = get(http, path);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// Sends what is not lasso's, or of another version of it: a line of the log for each, once a minute.
fn intrude(ip: Ipv4Addr, bytes: &[u8]) {
    let mut stream = TcpStream::connect((ip, 9155)).expect("links are taken");
    stream.write_all(bytes).expect("there is room");
    let _ = stream.read_to_end(&mut Vec::new());
}

const NO_LASSO: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
const OTHER_VERSION: &[u8] = b"lasso\x7f\x01\x00";

fn dropped(node: &Silent) -> u64 {
    node.health()["log"]["lines_dropped"]
        .as_u64()
        .expect("a number")
}

#[test]
fn a_full_log_device_costs_lines_and_nothing_else() {
    let ip = address(31, 1);
    let full = File::options().write(true).open("/dev/full");
    let node = Silent::start(one(ip, address(31, 2)), ip, full.expect("it is there"));
    intrude(ip, NO_LASSO);
    eventually("it is counted", || dropped(&node) > 1);
    assert_alive(node.http);
    node.stop();
}

#[test]
fn a_log_reader_that_has_gone_costs_lines_and_one_that_comes_is_told_how_many() {
    let ip = address(32, 1);
    let name = format!("lasso-log-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("there is a mkfifo").success());
    // Both at once, since either alone waits for the other.
    let both = File::options().read(true).write(true).open(&path);
    let writer = File::options()
        .write(true)
        .open(&path)
        .expect("it is there");
    drop(both);
    let node = Silent::start(one(ip, address(32, 2)), ip, writer);
    intrude(ip, NO_LASSO);
    eventually("it is counted", || dropped(&node) > 1);
    assert_alive(node.http);
    let reader = File::open(&path).expect("it is there");
    intrude(ip, OTHER_VERSION);
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("log lines were dropped")));
    std::fs::remove_file(&path).expect("it is there");
    node.stop();
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_the_node_nor_its_end() {
    let ip = address(33, 1);
    let (mut reader, mut writer) = pipe().expect("a pipe");
    // All that it holds.
    writer.write_all(&[b'.'; 64 << 10]).expect("there is room");
    let node = Silent::start(one(ip, address(33, 2)), ip, writer);
    intrude(ip, NO_LASSO);
    intrude(ip, OTHER_VERSION);
    assert_alive(node.http);
    // Read at last, it has everything.
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains("reason=version") {
        let mut piece = [0; 4096];
        let count = reader.read(&mut piece).expect("a pipe");
        text.extend_from_slice(&piece[..count]);
    }
    let (_unread, mut writer) = pipe().expect("a pipe");
    writer.write_all(&[b'.'; 64 << 10]).expect("there is room");
    let ip = address(34, 1);
    Silent::start(one(ip, address(34, 2)), ip, writer).stop();
    node.stop();
}

#[test]
fn no_command_panics_when_nobody_reads_what_it_prints() {
    for arguments in [
        &["keygen"][..],
        &["--check-config"],
        &["--help"],
        &["--version"],
        &["dns", "--help"],
        &["--no-such-flag"],
        &["--check-config", "--http-port", "0"],
        &["dns", "--listen", "192.0.2.1:1", "a=10.0.0.1"],
    ] {
        for full in [false, true] {
            let sink = || -> Stdio {
                if full {
                    let full = File::options().write(true).open("/dev/full");
                    full.expect("it is there").into()
                } else {
                    let (reader, writer) = pipe().expect("a pipe");
                    drop(reader);
                    writer.into()
                }
            };
            let expected = node(arguments).stdin(Stdio::null()).output();
            let expected = expected.expect("it starts").status.code();
            // Both gone; and of standard output alone, what is said on the other.
            let mut command = node(arguments);
            command.stdout(sink()).stderr(sink());
            let both = command.status().expect("it starts").code();
            let mut command = node(arguments);
            let said = command.stdout(sink()).stderr(Stdio::piped()).output();
            let said = said.expect("it starts");
            let err = String::from_utf8_lossy(&said.stderr);
            assert!(!err.contains("panicked"), "{arguments:?}: {err}");
            let prints = ["keygen", "--check-config"].contains(&arguments[0]);
            if full && prints && expected == Some(0) {
                // What was asked for is nowhere.
                assert_eq!(
                    (both, said.status.code()),
                    (Some(1), Some(1)),
                    "{arguments:?}"
                );
                assert!(err.contains("standard output cannot be written"), "{err}");
            } else {
                assert_eq!(
                    (both, said.status.code()),
                    (expected, expected),
                    "{arguments:?}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_cannot_fill_the_log_nor_forge_a_line() {
    let ips = [address(35, 1), address(35, 2)];
    let mut node = Running::start(one(ips[0], ips[1]));
    let member = Cluster::builder()
        .name(&format!("lasso@{}", ips[1]))
        .cookie(COOKIE)
        .peer(&format!("lasso@{}", ips[0]))
        .start();
    let member = member.await.expect("it starts");
    node.line(&["node_connected"]);
    let mut description = Description::of(&member.name());
    description.id = Label::new("id", "x state=ready\" peer=\"y").expect("no hidden characters");
    member.describe(description.clone()).expect("few roles");
    let line = node.line(&["node_identified", "state=ready"]);
    assert!(line.contains(r#"id="x state=ready\" peer=\"y""#), "{line}");
    let http = SocketAddr::from((ips[0], 4000));
    let suppressed = move || health(http)["log"]["lines_suppressed"].as_u64();
    let mut flips = 0_u64;
    while suppressed().expect("a number") < 1_000 {
        for _ in 0..100 {
            flips += 1;
            member.set_ready(flips.is_multiple_of(2));
            description.version = Label::new("version", &flips.to_string()).expect("digits");
            member.describe(description.clone()).expect("few roles");
            tokio::task::yield_now().await;
        }
    }
    let began = Instant::now();
    member.shutdown().await;
    node.line(&["node_disconnected", "left"]);
    let told = |kind: &str| {
        node.seen()
            .iter()
            .filter(|line| line.contains(kind))
            .count()
    };
    for kind in ["health_update", "node_identified"] {
        // A few at once, and one each two seconds.
        assert!((1..100).contains(&told(kind)), "{}", told(kind));
    }
    assert!(began.elapsed() < PATIENCE);
}

/// So many connections, each after it was answered once.
fn kept(http: SocketAddr, number: usize) -> Vec<TcpStream> {
    let request = format!("GET /livez HTTP/1.1\r\nHost: {http}\r\n\r\n");
    let answered = |_| {
        let mut stream = TcpStream::connect(http).expect("somebody answers");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.write_all(request.as_bytes()).expect("a request");
        let count = stream.read(&mut [0; 1024]).expect("an answer");
        assert!(count > 0);
        stream
    };
    (0..number).map(answered).collect()
}

fn idle(http: SocketAddr, number: usize) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect(http).expect("somebody answers");
    (0..number).map(connect).collect()
}

#[test]
fn clients_that_keep_connections_keep_no_probe_from_its_answer() {
    lasso::process::raise_open_files().expect("the tests need some");
    let ip = address(36, 1);
    let mut node = Running::start(one(ip, address(36, 2)));
    node.line(&["up"]);
    let http = SocketAddr::from((ip, 4000));
    let _kept = kept(http, 1_024);
    assert_alive(http);
    let _idle = idle(http, 1_500);
    assert_alive(http);
    // Clients that send the half of a request are as idle.
    let mut half = idle(http, 1_100);
    for stream in &mut half {
        let _ = stream.write_all(b"POST /rpc/default/ethereum HTTP/1.1\r\nHost: ");
    }
    assert_alive(http);
}

#[test]
fn clients_without_a_key_keep_no_node_from_linking_where_files_are_few() {
    lasso::process::raise_open_files().expect("the tests need some");
    let ips = [address(37, 1), address(37, 2)];
    let mut node = Running::start(with_files(1_024, ips[0], ips[1]));
    node.line(&["bounds of HTTP were reduced"]);
    node.line(&["up"]);
    let http = SocketAddr::from((ips[0], 4000));
    let _idle = idle(http, 1_100);
    let _kept = kept(http, 1_100);
    assert_alive(http);
    let mut other = Running::start(one(ips[1], ips[0]));
    other.line(&["node_connected"]);
    node.line(&["node_connected"]);
    assert_alive(http);
}

#[test]
fn too_few_files_are_an_error_at_the_start() {
    let ip = address(38, 1);
    let (status, _, err) = output(with_files(64, ip, address(38, 2)));
    assert_eq!(status.code(), Some(1), "{err}");
    assert!(
        err.contains("may open 64 files") && err.contains("ulimit -n"),
        "{err}"
    );
}

/// A node whose only provider takes this long.
fn slow(latency: &str, test: u8) -> (Running, SocketAddr) {
    let ip = address(test, 1);
    let name = format!("lasso-slow-{test}-{}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = format!(
        "[profiles.p.chains.eth]\n[[profiles.p.chains.eth.providers]]\nname = \"a\"\n\
         simulated = {{ latency = \"{latency}\", jitter = 0.0 }}\n"
    );
    std::fs::write(&path, file).expect("there is room for a file");
    let mut command = one(ip, address(test, 2));
    command.arg("--proxy-config").arg(&path);
    let mut node = Running::start(command);
    node.line(&["up"]);
    std::fs::remove_file(&path).expect("it was read");
    (node, SocketAddr::from((ip, 4000)))
}

#[test]
fn sigterm_makes_a_node_unready_and_answers_every_request_under_way() {
    let (mut node, http) = slow("2500ms", 39);
    let call = r#"{"jsonrpc":"2.0","id":7,"method":"eth_chainId"}"#;
    let calls: Vec<_> = (0..20)
        .map(|_| std::thread::spawn(move || post(http, "/rpc/p/eth", call)))
        .collect();
    let under_way = || get(http, "/api/node").contains("\"under_way\":20");
    eventually("all are under way", under_way);
    node.signal("-TERM");
    node.line(&["asked to stop"]);
    eventually("it is not ready", || {
        get(http, "/readyz").starts_with("HTTP/1.1 503")
    });
    assert!(get(http, "/livez").starts_with("HTTP/1.1 200"));
    for call in calls {
        let answer = call.join().expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("\"result\":\"0x1\""), "{answer}");
    }
    let (status, text) = node.finish();
    assert_eq!(status.code(), Some(0), "{text}");
}

#[test]
fn a_client_that_never_ends_its_request_delays_the_end_as_long_as_is_set() {
    let ip = address(40, 1);
    let mut command = one(ip, address(40, 2));
    command.env("HTTP_DRAIN_TIME", "1s");
    let mut node = Running::start(command);
    node.line(&["up"]);
    let http = SocketAddr::from((ip, 4000));
    let mut stream = TcpStream::connect(http).expect("somebody answers");
    let half = format!(
        "POST /rpc/default/ethereum HTTP/1.1\r\nHost: {http}\r\nContent-Length: 99\r\n\r\n{{"
    );
    stream.write_all(half.as_bytes()).expect("a request");
    let under_way = || get(http, "/api/node").contains("\"under_way\":1");
    eventually("it is under way", under_way);
    let began = Instant::now();
    node.signal("-TERM");
    let (status, text) = node.finish();
    assert_eq!(status.code(), Some(0), "{text}");
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < PATIENCE / 2,
        "{took:?}"
    );
}

#[test]
fn a_node_says_that_its_keys_get_into_no_core_dump() {
    let ip = address(41, 1);
    let mut node = Running::start(one(ip, address(41, 2)));
    node.line(&["up", "core_dumps=\"off\""]);
}
