//! Why the program ends with something other than success.

use std::fmt;
use std::process::{ExitCode, ExitStatus};

use lasso::config::{ConfigErrors, EXIT_CONFIG};

use crate::logs;

/// A text for the operator, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    /// Something went wrong while running: exit code 1.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Failure {
            text: text.into(),
            code: 1,
        }
    }

    /// A process that was to run has ended: with its exit code, where it has one that says why.
    pub(crate) fn ended(text: impl Into<String>, status: Option<ExitStatus>) -> Self {
        let code = status.and_then(|status| status.code());
        let code = code.and_then(|code| u8::try_from(code).ok());
        Failure {
            text: text.into(),
            code: code.filter(|code| *code != 0).unwrap_or(1),
        }
    }

    /// The configuration was refused.
    pub(crate) fn config(errors: ConfigErrors) -> Self {
        Failure::refused(errors.to_string())
    }

    /// A configuration was refused for a reason of the program's own.
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Failure {
            text: text.into(),
            code: EXIT_CONFIG,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Says what went wrong, if anything did, and makes it the exit code.
pub(crate) fn exit(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            logs::tell(&failure.text);
            ExitCode::from(failure.code)
        }
    }
}
