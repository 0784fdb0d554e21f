//! What is wrong with a configuration: every error at once, each with its place and a way out.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// The exit code of a program that refuses its configuration (`EX_CONFIG` of `sysexits.h`).
pub const EXIT_CONFIG: u8 = 78;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody gave it.
    Default,
    /// The program's own code.
    Program,
    /// The program's own code, by this method of the builder.
    Builder(&'static str),
    /// A configuration file.
    File {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1; 0 for the file as a whole.
        line: usize,
    },
    /// The environment.
    Environment,
    /// The command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Program => f.write_str("program"),
            Origin::Builder(method) => write!(f, "the builder's `.{method}()`"),
            Origin::File { path, line: 0 } => write!(f, "{}", path.display()),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment => f.write_str("environment"),
            Origin::Flag => f.write_str("flag"),
        }
    }
}

/// One thing that is wrong. The fault of whoever configured the node; nothing was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The variable, or the key or flag as it was written when there is no such variable.
    pub variable: Cow<'static, str>,
    /// The value, cut to 120 characters; never that of a secret.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
    /// What is wrong with it.
    pub problem: String,
    /// What would be accepted.
    pub accepted: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.variable)?;
        if let Some(value) = &self.value {
            write!(f, " is `{value}`")?;
        }
        if self.origin != Origin::Default {
            write!(f, " ({})", self.origin)?;
        }
        write!(f, ": {}", self.problem)?;
        if self.accepted.is_empty() {
            Ok(())
        } else {
            write!(f, "; accepted: {}", self.accepted)
        }
    }
}

/// Everything that is wrong with a configuration, in the order of the variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "the configuration has an error\n  {one}"),
            all => {
                write!(f, "the configuration has {} errors", all.len())?;
                all.iter().try_for_each(|error| write!(f, "\n  {error}"))
            }
        }
    }
}

impl std::error::Error for ConfigErrors {}

/// Something that works and will surprise somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWarning {
    /// The variable, as it was written.
    pub variable: Cow<'static, str>,
    /// What is unusual, and what to do.
    pub text: String,
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.text)
    }
}

/// A value as an error shows it: without control characters, and short.
pub(super) fn shown(value: &str) -> String {
    let mut text: String = value
        .chars()
        .take(120)
        .flat_map(char::escape_debug)
        .collect();
    if value.chars().nth(120).is_some() {
        text.push('…');
    }
    text
}
