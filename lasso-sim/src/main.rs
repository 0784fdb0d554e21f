//! The tool `lasso-sim`; see [`lasso_sim::tool`].

use std::process::ExitCode;

fn main() -> ExitCode {
    lasso_sim::tool::main()
}
