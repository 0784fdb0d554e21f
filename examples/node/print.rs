//! What commands print on standard output.

use std::io::{self, Write};

use crate::failure::Failure;

/// Prints a text. A reader that has gone has seen enough: that is no failure.
///
/// # Errors
/// The text could not be written, as to a full device.
pub(crate) fn out(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(format!(
            "standard output cannot be written: {error}"
        ))),
        _ => Ok(()),
    }
}
