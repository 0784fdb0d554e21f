//! A sink for log lines that never blocks and never fails.
//!
//! Lines wait in a bounded queue for a thread that writes them. Where the sink is full, gone or not read,
//! that thread waits or fails, and nobody else does: lines for which there is no room are dropped and
//! counted, as are those that could not be written.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use super::aside::PATIENCE_MAX;
use parking_lot::{Condvar, Mutex};

/// Lines that were lost in this process, by all writers and before any of them.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many log lines this process has dropped, since its sink could not take them.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

pub(super) fn count_dropped(lines: u64) {
    DROPPED.fetch_add(lines, Ordering::Relaxed);
}

/// A sink of lines that a subscriber can write to; cheap to clone.
///
/// Each call of [`Write::write`] is taken as one line, as subscribers write them. At most 4,096 lines and
/// 1 MiB wait, and as much is being written. Once lines can be written again, one says how many were
/// dropped.
#[derive(Debug, Clone)]
pub struct LogWriter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Something was put into the queue, or all of it was written, or no handle is left.
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    is_writing: bool,
    /// Lines dropped that no line has told yet.
    untold: u64,
}

impl LogWriter {
    /// Writes to standard error, past the lock that the standard library has for it: a thread that waits
    /// in a write there holds up nobody.
    ///
    /// # Errors
    /// The system has no file descriptor or no thread left.
    #[cfg(unix)]
    pub fn stderr() -> io::Result<Self> {
        use std::os::fd::AsFd;
        let own = io::stderr().as_fd().try_clone_to_owned()?;
        LogWriter::new(std::fs::File::from(own))
    }

    /// Writes to standard output, likewise.
    ///
    /// # Errors
    /// As [`LogWriter::stderr`].
    #[cfg(unix)]
    pub fn stdout() -> io::Result<Self> {
        use std::os::fd::AsFd;
        let own = io::stdout().as_fd().try_clone_to_owned()?;
        LogWriter::new(std::fs::File::from(own))
    }

    /// Writes to `sink`, on a thread of its own.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn new(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let inner = Arc::new(Inner {
            state: Mutex::default(),
            changed: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let writer = Arc::clone(&inner);
        let builder = std::thread::Builder::new().name("log-writer".into());
        builder.spawn(move || writer.write_to(sink))?;
        Ok(LogWriter(inner))
    }

    /// Lines that this writer has dropped.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Waits until every line is written, for at most `patience`; false when there is more. Blocks the
    /// thread: for the end of a process.
    pub fn flush_within(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience.min(PATIENCE_MAX);
        let mut state = self.0.state.lock();
        while state.is_writing || !state.lines.is_empty() {
            if self.0.changed.wait_until(&mut state, until).timed_out() {
                return !state.is_writing && state.lines.is_empty();
            }
        }
        true
    }
}

impl Write for LogWriter {
    /// Takes one line; never fails and never waits for the sink.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inner {
    fn push(&self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        if state.lines.len() >= LINES_MAX || state.bytes + line.len() > BYTES_MAX {
            return self.lost(&mut state, 1);
        }
        state.bytes += line.len();
        state.lines.push_back(line.into());
        self.changed.notify_all();
    }

    fn lost(&self, state: &mut State, lines: u64) {
        state.untold += lines;
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        count_dropped(lines);
    }

    fn write_to(self: Arc<Self>, mut sink: impl Write) {
        // A line was cut off, so that the next one has to begin anew.
        let mut is_torn = false;
        loop {
            let lines = {
                let mut state = self.state.lock();
                state.is_writing = false;
                while state.lines.is_empty() {
                    self.changed.notify_all();
                    // Each handle but this one may put something in.
                    if Arc::strong_count(&self) == 1 {
                        return;
                    }
                    self.changed.wait_for(&mut state, LOOK_FOR_HANDLES);
                }
                state.is_writing = true;
                state.bytes = 0;
                core::mem::take(&mut state.lines)
            };
            let mut lost = 0;
            for line in &lines {
                match write_line(&mut sink, line, &mut is_torn) {
                    Ok(()) => {}
                    Err(_) => lost += 1,
                }
            }
            let wrote = lost < lines.len() as u64;
            let untold = {
                let mut state = self.state.lock();
                self.lost(&mut state, lost);
                if wrote {
                    core::mem::take(&mut state.untold)
                } else {
                    0
                }
            };
            if untold > 0 {
                // Through the subscriber, so that it has the form of all others.
                tracing::warn!(
                    lines = untold,
                    "log lines were dropped: the sink did not take them"
                );
            }
        }
    }
}

fn write_line(sink: &mut impl Write, line: &[u8], is_torn: &mut bool) -> io::Result<()> {
    if *is_torn {
        write_all(sink, b"\n", &mut false)?;
        *is_torn = false;
    }
    write_all(sink, line, is_torn)?;
    sink.flush()
}

/// As [`Write::write_all`], for sinks that must not be waited for in the system as well; `has_begun`
/// becomes true where only a part was written.
fn write_all(sink: &mut impl Write, mut rest: &[u8], has_begun: &mut bool) -> io::Result<()> {
    let whole = rest.len();
    while !rest.is_empty() {
        match sink.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A terminal or pipe that somebody else has set so.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(TRY_AGAIN);
            }
            Err(error) => return Err(error),
        }
        *has_begun = !rest.is_empty() && rest.len() < whole;
    }
    Ok(())
}

/// Lines that wait.
const LINES_MAX: usize = 4096;
/// Their bytes: some seconds of a log that is busier than any should be.
const BYTES_MAX: usize = 1 << 20;
/// How often a thread without lines looks whether anybody could still write some.
const LOOK_FOR_HANDLES: Duration = Duration::from_secs(10);
/// Until a sink that does not wait is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// Takes what it is given once it is let.
    struct Gate {
        open: Receiver<io::Result<usize>>,
        taken: Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = match self.open.recv() {
                Ok(room) => room?.min(bytes.len()),
                // Open for good.
                Err(_) => bytes.len(),
            };
            let _ = self.taken.send(bytes[..room].to_vec());
            Ok(room)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (LogWriter, Sender<io::Result<usize>>, Receiver<Vec<u8>>) {
        let ((opener, open), (taken, written)) = (mpsc::channel(), mpsc::channel());
        let writer = LogWriter::new(Gate { open, taken }).expect("there are threads");
        (writer, opener, written)
    }

    #[test]
    fn a_sink_that_is_not_read_holds_up_nobody_and_bounds_what_waits() {
        let (mut writer, opener, written) = gated();
        let line = [b'x'; 128];
        for _ in 0..10 * LINES_MAX {
            writer.write_all(&line).expect("it never fails");
        }
        let dropped = writer.dropped();
        assert!(dropped >= 8 * LINES_MAX as u64, "{dropped}");
        assert!(!writer.flush_within(Duration::ZERO));
        drop(opener);
        assert!(writer.flush_within(SOON));
        let lines = written.try_iter().count() as u64;
        assert_eq!(lines + dropped, 10 * LINES_MAX as u64);
    }

    #[test]
    fn few_long_lines_are_bounded_as_well() {
        let (mut writer, _opener, _written) = gated();
        for _ in 0..64 {
            writer.write_all(&[b'x'; 64 << 10]).expect("it never fails");
        }
        assert!(writer.dropped() >= 64 - 2 * 16);
    }

    #[test]
    fn a_full_device_loses_lines_and_the_next_begins_on_a_line_of_its_own() {
        let (mut writer, opener, written) = gated();
        opener.send(Ok(2)).expect("it is open");
        for line in ["one\n", "two\n", "three\n"] {
            writer.write_all(line.as_bytes()).expect("it never fails");
        }
        for _ in 0..3 {
            let full = Err(io::ErrorKind::StorageFull.into());
            opener.send(full).expect("it is open");
        }
        while writer.dropped() < 3 {
            std::thread::yield_now();
        }
        writer.write_all(b"four\n").expect("it never fails");
        drop(opener);
        assert!(writer.flush_within(SOON));
        let written: Vec<u8> = written.try_iter().flatten().collect();
        assert_eq!(String::from_utf8_lossy(&written), "on\nfour\n");
    }
}
