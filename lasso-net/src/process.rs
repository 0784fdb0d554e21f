//! What a node needs of its process: file descriptors, and memory that nobody writes to a disk.
//!
//! Nothing here is done by itself: limits belong to the program. `examples/node` does both at its start.
//!
//! ```
//! use lasso_net::process;
//!
//! if let Ok(files) = process::raise_open_files() {
//!     assert!(files.now >= files.before);
//! }
//! ```

use std::io;

/// How many file descriptors this process may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles {
    /// Before it was raised.
    pub before: u64,
    /// Now.
    pub now: u64,
}

/// Raises this process's limit of file descriptors as far as the system lets it, at most to 65,536, and
/// returns it. Many systems begin with 1,024, so that few hundred clients could keep out new links.
///
/// A process that is started from this one gets the same limit. A program that uses `select(2)` on file
/// descriptors above 1,023 must not call this.
///
/// # Errors
/// The system does not know such a limit.
#[cfg(target_os = "linux")]
pub fn raise_open_files() -> io::Result<OpenFiles> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let before = limit.current.unwrap_or(u64::MAX);
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(OPEN_FILES_WANTED);
    let raised = wanted > before && {
        let current = Some(wanted);
        setrlimit(Resource::Nofile, Rlimit { current, ..limit }).is_ok()
    };
    let now = if raised { wanted } else { before };
    Ok(OpenFiles { before, now })
}

/// As on Linux, which alone is known here.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn raise_open_files() -> io::Result<OpenFiles> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How many file descriptors this process may have; `None` where the system does not say.
pub fn open_files_max() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, getrlimit};
        Some(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Keeps the memory of this process, which holds keys, from core dumps and from debuggers of the same
/// user. On Linux the files of `/proc` that show memory are root's from then on.
///
/// # Errors
/// The system refuses, or cannot.
#[cfg(target_os = "linux")]
pub fn forbid_core_dumps() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// As on Linux, which alone is known here.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn forbid_core_dumps() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// More than every bound of a node together; some systems allow a thousand million, for which other
/// programs allocate tables.
#[cfg(target_os = "linux")]
const OPEN_FILES_WANTED: u64 = 65_536;
