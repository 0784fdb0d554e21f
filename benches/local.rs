//! Forty real nodes on this machine: how fast they are one cluster, what each holds in memory, and
//! how fast a killed one is seen. Runs `node --local 40 --script measure`, built with optimisation.
//!
//! `cargo bench --bench local`, or with the others: `cargo bench --workspace`.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let status = Command::new(env!("CARGO"))
        .args([
            "run",
            "--quiet",
            "--release",
            "--example",
            "node",
            "--manifest-path",
            manifest,
        ])
        .args(["--", "--local", "40", "--script", "measure"])
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("the measurement ended with {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("cargo did not run: {error}");
            ExitCode::FAILURE
        }
    }
}
