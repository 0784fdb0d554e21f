//! Panics as log lines.

use std::panic::PanicHookInfo;
use std::sync::LazyLock;
use std::time::Instant as Moment;

use lasso_core::text::shown;
use lasso_core::time::Instant;

use super::{Lines, aside};

static LINES: LazyLock<Lines> = LazyLock::new(|| {
    let started = Moment::now();
    let clock = move || Instant::ZERO + started.elapsed();
    Lines::new(Box::new(clock), aside)
});

/// Logs panics of this process from now on, in place of the standard library's own message, which waits
/// for whoever reads standard error. Within the bounds of [`bounded`](super::bounded) for each place in
/// the source, since peers may cause the panics of a handler.
///
/// Another thread writes the line: call [`flush_within`](super::flush_within) before the process ends. With
/// `panic = "abort"` the line is lost.
pub fn log_panics() {
    std::panic::set_hook(Box::new(log_panic));
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string);
    let place = place.unwrap_or_default();
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a panic without a text");
    let text: String = text.chars().take(TEXT_CHARS_MAX).collect();
    LINES.say("panic", &place.clone(), move || {
        tracing::error!(place = %shown(&place), text = %shown(&text), "a panic");
    });
}

/// A text may hold what a peer has sent.
const TEXT_CHARS_MAX: usize = 1_000;
