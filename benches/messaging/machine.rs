//! The machine that all this runs on, and its processes.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::options::{Options, System};

/// Prints what the numbers depend upon.
pub(crate) fn describe(options: &Options, systems: &[System]) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let processor = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, name)| name);
    println!(
        "{cores} cores, {processor}; Linux {}",
        read("/proc/sys/kernel/osrelease").trim()
    );
    println!("load average at the start: {}", load());
    println!(
        "{} runs in turn, each {:?} after {:?} of warm-up; median (min..max)",
        options.runs,
        options.length,
        crate::role::WARM_UP
    );
    let versions: [(System, &str, &[&str]); 3] = [
        (System::Nats, "nats-server", &["--version"]),
        (System::Redis, "redis-server", &["--version"]),
        (System::Pg, "erl", &["-noshell", "-eval", OTP_RELEASE]),
    ];
    for (system, program, arguments) in versions {
        if systems.contains(&system) {
            let output = Command::new(program).args(arguments).output();
            let text = output.map(|output| output.stdout).unwrap_or_default();
            println!("{system}: {}", String::from_utf8_lossy(&text).trim());
        }
    }
    println!();
}

/// The load averages, as the kernel writes them.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Memory of a process that is resident, in bytes; 0 where it is gone.
pub(crate) fn resident(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<f64>().ok())
        .map_or(0.0, |kib| kib * 1024.0)
}

/// Sends a signal to a process that was started here.
pub(crate) fn signal(pid: u32, name: &str) -> Result<(), String> {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("kill -{name} {pid}: {other:?}")),
    }
}

/// So many ports of the loopback address that are free right now.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>, String> {
    let listen = || TcpListener::bind("127.0.0.1:0");
    let listeners: Result<Vec<TcpListener>, _> = (0..count).map(|_| listen()).collect();
    let listeners = listeners.map_err(|error| error.to_string())?;
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    let ports: Result<Vec<u16>, _> = listeners.iter().map(port).collect();
    ports.map_err(|error| error.to_string())
}

const OTP_RELEASE: &str =
    r#"io:format("Erlang/OTP ~s", [erlang:system_info(otp_release)]), halt()."#;
