//! The program that operators run: one node, or a whole cluster on one machine.
//!
//! ```text
//! cargo run --example node -- --check-config
//! cargo run --example node -- --local 3
//! cargo run --example node -- --local 3 --script demo
//! ```
//!
//! `cli` says what may be asked for, `run` is one node, `alone` when it says that it has nobody, `proxy` is what it serves, `logs` is what it
//! tells its operator, `print` what its commands print, `dns` names nodes that are started by hand, and `local` starts many nodes as
//! processes of their own and shows what they say of each other.

mod alone;
mod cli;
mod dns;
mod failure;
mod local;
mod logs;
mod print;
mod proxied;
mod proxy;
mod report;
mod run;
mod signals;

use std::process::ExitCode;

use cli::Job;

/// Writes the last lines also where a panic ends the process.
struct Finish;

impl Drop for Finish {
    fn drop(&mut self) {
        logs::finish();
    }
}

fn main() -> ExitCode {
    let _finish = Finish;
    match cli::parse() {
        Job::Keygen => run::keygen(),
        Job::Dns(options) => dns::run(options),
        Job::CheckConfig(node) => run::check_config(&node),
        Job::Node(node) => run::node(node),
        Job::Local(local) => local::run(local),
    }
}
