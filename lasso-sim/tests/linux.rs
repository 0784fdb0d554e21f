//! The network of the simulation beside Linux': the same small story on real sockets and on
//! `Fabric`, and what both ends observe, with its time.
//!
//! The stories about lost packets need network namespaces and so root; elsewhere they say that they
//! were left out. Those that wait for the kernel's own timers pass real time, a second or two each,
//! and run only with `LASSO_LINUX_TIMED=1`.

#![cfg_attr(not(target_os = "linux"), allow(unused))]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant as Clock};

use lasso_core::node::NetError;
use lasso_core::time::Instant;
use lasso_sim::fabric::{Chunk, Conn, Effect, End, Fabric};
use lasso_sim::scenario::{Latency, Shape};
use lasso_sim::world::{Cut, FaultId};
use libtest_mimic::{Arguments, Failed, Trial};

const PORT: u16 = 9155;
const FAULT: FaultId = FaultId(1);
/// What loopback and a pair of virtual interfaces take.
const LATENCY: Duration = Duration::from_micros(50);
/// How far two clocks of a busy machine may be apart.
const SLACK: Duration = Duration::from_millis(350);
/// Set to run the stories that wait on the real clock too.
const TIMED: &str = "LASSO_LINUX_TIMED";
const ROLE: &str = "LASSO_LINUX_ROLE";
const BOTH: [(u32, u32); 2] = [(0, 1), (1, 0)];

fn main() -> ExitCode {
    if let Ok(role) = std::env::var(ROLE) {
        return play(&role);
    }
    let arguments = Arguments::from_args();
    let trials = if cfg!(target_os = "linux") {
        trials()
    } else {
        Vec::new()
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials() -> Vec<Trial> {
    let mut trials = vec![
        Trial::test("nobody_listening_is_a_refusal_at_once", refused),
        Trial::test("a_closed_socket_is_an_end_of_stream", end_of_stream),
        Trial::test("a_socket_closed_with_unread_bytes_is_a_reset", reset),
        Trial::test("a_frozen_process_is_connected_to_and_buffered_for", frozen),
    ];
    // These wait for the kernel's own timers, on the real clock: not for the plain suite.
    if std::env::var_os(TIMED).is_some() {
        trials.extend([
            Trial::test(
                "bytes_for_a_closed_socket_are_answered_by_a_reset",
                write_to_closed,
            ),
            Trial::test(
                "lost_packets_of_a_connect_are_sent_again_after_a_second",
                connect_again,
            ),
            Trial::test(
                "a_stalled_stream_goes_on_when_its_kernel_tries_again",
                stall,
            ),
            Trial::test(
                "one_direction_cut_lets_a_burst_through_and_then_nothing",
                one_direction,
            ),
        ]);
    }
    trials
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn fabric() -> Fabric {
    let latency = Latency::Range(LATENCY, LATENCY);
    let shape = Shape {
        latency,
        ..Shape::default()
    };
    let mut fabric = Fabric::new(1, 2, shape);
    fabric.listen(1, PORT);
    fabric
}

/// What happens until `until`, with its time.
fn run(fabric: &mut Fabric, until: Instant) -> Vec<(Duration, Effect)> {
    let mut seen = Vec::new();
    loop {
        let due = fabric.poll_timeout().filter(|due| *due <= until);
        if let Some(due) = due {
            fabric.advance(due);
        }
        while let Some(effect) = fabric.poll_effect() {
            let when = match effect {
                Effect::Arrives { at, .. } | Effect::Closed { at, .. } => at,
                Effect::Connected { .. } | Effect::Room { .. } => due.unwrap_or(until),
            };
            seen.push((when.since_start(), effect));
        }
        if due.is_none() {
            return seen;
        }
    }
}

fn connected() -> (Fabric, Conn) {
    let mut fabric = fabric();
    let conn = fabric.connect(at(0), 0, 1, PORT);
    run(&mut fabric, at(50));
    (fabric, conn)
}

fn closed(seen: &[(Duration, Effect)], wanted: End) -> Option<NetError> {
    seen.iter().find_map(|(_, effect)| match effect {
        Effect::Closed { end, error, .. } if *end == wanted => Some(*error),
        _ => None,
    })
}

fn same<T: PartialEq + std::fmt::Debug>(simulated: T, real: T) -> Result<(), Failed> {
    if simulated == real {
        return Ok(());
    }
    Err(format!("the simulation says {simulated:?}, Linux {real:?}").into())
}

fn close_in_time(simulated: Duration, real: Duration) -> Result<(), Failed> {
    if simulated.abs_diff(real) <= SLACK {
        return Ok(());
    }
    Err(format!("the simulation says after {simulated:?}, Linux after {real:?}").into())
}

/// An error of Linux as the machines know it.
fn known(error: &std::io::Error) -> NetError {
    match error.kind() {
        ErrorKind::ConnectionRefused => NetError::Refused,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => NetError::Reset,
        _ => NetError::Unreachable,
    }
}

/// The end of a stream as its reader sees it.
fn end_of(stream: &mut TcpStream) -> NetError {
    let mut buffer = [0; 64];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return NetError::Eof,
            Ok(_) => {}
            Err(error) => return known(&error),
        }
    }
}

fn pair() -> Result<(TcpStream, TcpStream), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let dialled = TcpStream::connect(listener.local_addr()?)?;
    Ok((dialled, listener.accept()?.0))
}

fn refused() -> Result<(), Failed> {
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let real = TcpStream::connect(free).err().map(|error| known(&error));
    let mut fabric = fabric();
    fabric.connect(at(0), 0, 1, 1);
    same(closed(&run(&mut fabric, at(1_000)), End::Dialler), real)
}

fn end_of_stream() -> Result<(), Failed> {
    let (mut dialled, accepted) = pair()?;
    drop(accepted);
    let (mut fabric, conn) = connected();
    let arrives = fabric.close(at(100), conn, End::Acceptor).is_some();
    same(arrives.then_some(NetError::Eof), Some(end_of(&mut dialled)))
}

fn reset() -> Result<(), Failed> {
    let (mut dialled, accepted) = pair()?;
    dialled.write_all(b"never read")?;
    // The bytes are there before the socket is closed.
    accepted.peek(&mut [0; 16])?;
    drop(accepted);
    let (mut fabric, conn) = connected();
    fabric.write(at(100), conn, End::Dialler, 10);
    fabric.abort(at(200), conn, End::Acceptor);
    let simulated = closed(&run(&mut fabric, at(1_000)), End::Dialler);
    same(simulated, Some(end_of(&mut dialled)))
}

fn write_to_closed() -> Result<(), Failed> {
    let (mut dialled, accepted) = pair()?;
    drop(accepted);
    let first = dialled.write(b"a").is_ok();
    thread::sleep(Duration::from_millis(100));
    let second = dialled.write(b"b").err().map(|error| known(&error));
    let (mut fabric, conn) = connected();
    fabric.close(at(100), conn, End::Acceptor);
    let taken = fabric.write(at(101), conn, End::Dialler, 1).bytes == 1;
    let simulated = closed(&run(&mut fabric, at(1_000)), End::Dialler);
    same((taken, simulated), (first, second))
}

/// Writes until the kernel takes no more: whether it took some, and whether there was an end.
fn fill(stream: &mut TcpStream) -> Result<(bool, bool), Failed> {
    stream.set_nonblocking(true)?;
    let (chunk, mut taken) = (vec![1; 64 << 10], 0_usize);
    while taken < 1 << 30 {
        match stream.write(&chunk) {
            Ok(bytes) => taken += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((taken > 0, true)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((taken > 0, false))
}

fn frozen() -> Result<(), Failed> {
    // Nobody accepts: what the kernel does for a process that does not run.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut dialled = TcpStream::connect(listener.local_addr()?)?;
    let filled = fill(&mut dialled)?;
    let (mut accepted, _) = listener.accept()?;
    accepted.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut buffer = vec![0; 1 << 20];
    while accepted.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
    let goes_on = dialled.write(b"more").is_ok();

    let mut fabric = fabric();
    fabric.freeze(at(0), 1);
    let conn = fabric.connect(at(0), 0, 1, PORT);
    let connects = run(&mut fabric, at(50));
    let connects = connects
        .iter()
        .any(|(_, effect)| matches!(effect, Effect::Connected { .. }));
    let sent = fabric.write(at(100), conn, End::Dialler, 1 << 30);
    let blocked = fabric.write(at(200), conn, End::Dialler, 1).bytes == 0;
    fabric.thaw(at(1_000), 1);
    let room = run(&mut fabric, at(2_000));
    let room = room
        .iter()
        .any(|(_, effect)| matches!(effect, Effect::Room { .. }));
    same(
        (connects, (sent.bytes > 0, blocked), room),
        (true, filled, goes_on),
    )
}

fn connect_again() -> Result<(), Failed> {
    // A full queue of connections makes Linux drop the first packet of the next one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let real = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind("127.0.0.1:0".parse().map_err(std::io::Error::other)?)?;
        let listener = socket.listen(1)?;
        let address: SocketAddr = listener.local_addr()?;
        let first = tokio::net::TcpStream::connect(address).await?;
        let second = tokio::net::TcpStream::connect(address).await?;
        let clock = Clock::now();
        let third = tokio::spawn(tokio::net::TcpStream::connect(address));
        tokio::time::sleep(Duration::from_millis(500)).await;
        let accepted = (listener.accept().await?, listener.accept().await?);
        let third = third.await.map_err(std::io::Error::other)??;
        drop((first, second, third, accepted));
        Ok::<_, std::io::Error>(clock.elapsed())
    })?;
    let mut fabric = fabric();
    fabric.cut(at(0), &BOTH, Cut::Stall, FAULT);
    fabric.connect(at(0), 0, 1, PORT);
    run(&mut fabric, at(500));
    fabric.heal(at(500), &BOTH);
    let seen = run(&mut fabric, at(5_000));
    let connects = seen
        .iter()
        .find(|(_, effect)| matches!(effect, Effect::Connected { .. }));
    let Some((simulated, _)) = connects else {
        return Err("it never connects".into());
    };
    close_in_time(*simulated, real)
}

fn stall() -> Result<(), Failed> {
    let Some(mut wires) = Wires::new()? else {
        return Ok(());
    };
    wires.cut("a")?;
    wires.cut("b")?;
    let clock = Clock::now();
    wires.write()?;
    thread::sleep(Duration::from_secs(1));
    let early = wires.arrived(Duration::ZERO);
    wires.heal("a")?;
    wires.heal("b")?;
    let arrived = wires.arrived(Duration::from_secs(5));
    let real = clock.elapsed();

    let (mut fabric, conn) = connected();
    fabric.cut(at(1_000), &BOTH, Cut::Stall, FAULT);
    fabric.write(at(1_000), conn, End::Dialler, 1);
    run(&mut fabric, at(2_000));
    fabric.heal(at(2_000), &BOTH);
    let seen = run(&mut fabric, at(10_000));
    let wakes = seen.iter().find(|(_, effect)| {
        matches!(
            effect,
            Effect::Arrives {
                chunk: Chunk::Data(1),
                ..
            }
        )
    });
    let Some((wakes, _)) = wakes else {
        return Err("it never wakes up".into());
    };
    same((false, true), (early, arrived))?;
    close_in_time(*wakes - Duration::from_secs(1), real)
}

fn one_direction() -> Result<(), Failed> {
    let Some(mut wires) = Wires::new()? else {
        return Ok(());
    };
    // The acknowledgements are lost; the bytes are not.
    wires.cut("b")?;
    wires.write()?;
    let first = wires.arrived(Duration::from_millis(150));
    thread::sleep(Duration::from_secs(1));
    wires.write()?;
    let later = wires.arrived(Duration::from_millis(500));
    wires.heal("b")?;
    let healed = wires.arrived(Duration::from_secs(8));

    let (mut fabric, conn) = connected();
    fabric.cut(at(1_000), &[(1, 0)], Cut::Stall, FAULT);
    let burst = fabric
        .write(at(1_000), conn, End::Dialler, 1)
        .arrives
        .is_some();
    run(&mut fabric, at(2_150));
    let silent = fabric
        .write(at(2_150), conn, End::Dialler, 1)
        .arrives
        .is_some();
    let none = run(&mut fabric, at(2_650)).is_empty();
    fabric.heal(at(2_650), &BOTH);
    let seen = run(&mut fabric, at(10_650));
    let goes_on = seen
        .iter()
        .any(|(_, effect)| matches!(effect, Effect::Arrives { .. }));
    same((burst, silent || !none, goes_on), (first, later, healed))
}

/// Two network namespaces with a wire between them, and a connected process in each.
struct Wires {
    name: String,
    writer: Child,
    orders: ChildStdin,
    reader: Child,
    lines: Receiver<String>,
}

fn ip(arguments: &str) -> std::io::Result<bool> {
    let mut command = Command::new("ip");
    let status = command
        .args(arguments.split(' '))
        .stderr(Stdio::null())
        .status()?;
    Ok(status.success())
}

impl Wires {
    /// `None`, with a line that says so, where namespaces cannot be made.
    fn new() -> Result<Option<Self>, Failed> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("lasso{}x{number}", std::process::id());
        if !ip(&format!("netns add {name}a")).unwrap_or(false) {
            println!("left out: network namespaces need `ip` and root");
            return Ok(None);
        }
        let made = [
            format!("netns add {name}b"),
            format!("link add v netns {name}a type veth peer name v netns {name}b"),
            format!("-n {name}a link set v address 02:00:00:00:00:0a up"),
            format!("-n {name}b link set v address 02:00:00:00:00:0b up"),
            format!("-n {name}a addr add 10.9.0.1/24 dev v"),
            format!("-n {name}b addr add 10.9.0.2/24 dev v"),
        ];
        for order in &made {
            if !ip(order)? {
                remove(&name);
                println!("left out: `ip {order}` is not allowed here");
                return Ok(None);
            }
        }
        wire(&name, "a", "0b")?;
        wire(&name, "b", "0a")?;
        let mut reader = role(&name, "b", "read")?;
        let lines = lines(&mut reader)?;
        wait_for(&lines, "listening")?;
        let mut writer = role(&name, "a", "write")?;
        let orders = writer.stdin.take().ok_or("no input")?;
        wait_for(&lines, "accepted")?;
        Ok(Some(Wires {
            name,
            writer,
            orders,
            reader,
            lines,
        }))
    }

    /// What this side sends reaches nobody.
    fn cut(&self, side: &str) -> Result<(), Failed> {
        wire(&self.name, side, "ff")
    }

    fn heal(&self, side: &str) -> Result<(), Failed> {
        wire(&self.name, side, if side == "a" { "0b" } else { "0a" })
    }

    fn write(&mut self) -> Result<(), Failed> {
        self.orders.write_all(b"write\n")?;
        Ok(self.orders.flush()?)
    }

    fn arrived(&self, within: Duration) -> bool {
        self.lines
            .recv_timeout(within)
            .is_ok_and(|line| line == "read")
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        let _ = self.writer.kill();
        let _ = self.reader.kill();
        let _ = (self.writer.wait(), self.reader.wait());
        remove(&self.name);
    }
}

fn remove(name: &str) {
    let _ = ip(&format!("netns del {name}a"));
    let _ = ip(&format!("netns del {name}b"));
}

/// Where the frames of one side go: to the other side's card, or to one that nobody has.
fn wire(name: &str, side: &str, card: &str) -> Result<(), Failed> {
    let other = if side == "a" { "10.9.0.2" } else { "10.9.0.1" };
    let order = format!(
        "-n {name}{side} neigh replace {other} lladdr 02:00:00:00:00:{card} dev v nud permanent"
    );
    if ip(&order)? {
        Ok(())
    } else {
        Err(format!("`ip {order}` failed").into())
    }
}

fn role(name: &str, side: &str, role: &str) -> Result<Child, Failed> {
    let child = Command::new("ip")
        .args(["netns", "exec", &format!("{name}{side}")])
        .arg(std::env::current_exe()?)
        .env(ROLE, role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    Ok(child)
}

fn lines(child: &mut Child) -> Result<Receiver<String>, Failed> {
    let output = child.stdout.take().ok_or("no output")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

fn wait_for(lines: &Receiver<String>, wanted: &str) -> Result<(), Failed> {
    match lines.recv_timeout(Duration::from_secs(10)) {
        Ok(line) if line == wanted => Ok(()),
        other => Err(format!("wanted `{wanted}`, got {other:?}").into()),
    }
}

/// One of the two processes at the ends of the wire.
fn play(role: &str) -> ExitCode {
    let played = if role == "read" {
        read_bytes()
    } else {
        write_bytes()
    };
    if played.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Says `read` for each byte that arrives.
fn read_bytes() -> std::io::Result<()> {
    let listener = TcpListener::bind(("10.9.0.2", PORT))?;
    println!("listening");
    let (mut stream, _) = listener.accept()?;
    println!("accepted");
    let mut byte = [0];
    while stream.read(&mut byte)? > 0 {
        println!("read");
    }
    Ok(())
}

/// Writes one byte for each line that it reads.
fn write_bytes() -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("10.9.0.2", PORT))?;
    stream.set_nodelay(true)?;
    for _ in std::io::stdin().lines() {
        stream.write_all(b"x")?;
    }
    Ok(())
}
