//! The tool `lasso-sim`. What it does is in [`lasso_sim::tool`].

use std::process::ExitCode;

fn main() -> ExitCode {
    lasso_sim::tool::main()
}
