//! A table on a terminal, changed in place, with lines above it; without a terminal, lines alone.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Instant;

use super::board::{Board, Process, Row};

/// Where a local cluster is shown.
pub(crate) struct Screen {
    table: bool,
    start: Instant,
    /// Lines of the table that stand on the terminal now.
    drawn: usize,
}

impl Screen {
    /// A screen that shows times since `start`; `table`: standard output is a terminal.
    pub(crate) fn new(table: bool, start: Instant) -> Self {
        Screen {
            table,
            start,
            drawn: 0,
        }
    }

    /// One line, with the time at which it became true.
    pub(crate) fn line(&mut self, at: Instant, text: &str) {
        let seconds = at.saturating_duration_since(self.start).as_secs_f64();
        self.plain(&format!("{seconds:>8.3} s  {text}"));
    }

    /// One line as it is.
    pub(crate) fn plain(&mut self, text: &str) {
        let mut out = self.erase();
        let _ = writeln!(out, "{text}");
        show(&out);
    }

    /// Draws the table as things stand at `now`; nothing without a terminal.
    pub(crate) fn draw(&mut self, now: Instant, board: &Board) {
        if !self.table {
            return;
        }
        let (width, height) = match terminal_size::terminal_size() {
            Some((width, height)) => (width.0.into(), height.0.into()),
            None => (80, 24),
        };
        let lines = lines(now, board, height);
        let mut out = self.erase();
        for line in &lines {
            let cut: String = line.chars().take(width).collect();
            let _ = writeln!(out, "{}", cut.trim_end());
        }
        self.drawn = lines.len();
        show(&out);
    }

    /// Draws the table for the last time; it stays.
    pub(crate) fn finish(&mut self, now: Instant, board: &Board) {
        self.draw(now, board);
        self.table = false;
        self.drawn = 0;
    }

    /// What takes the table off the terminal.
    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            drawn => format!("\x1b[{drawn}A\x1b[J"),
        }
    }
}

fn show(text: &str) {
    let mut out = io::stdout().lock();
    // Whoever closes our output does not want to see more; the nodes go on.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The table, in at most `height` lines with one to spare.
fn lines(now: Instant, board: &Board, height: usize) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        format!(
            "{:<22} {:>8}  {:<24} {:<8} {:<9} {:>7}  {}",
            "NODE", "PID", "SEEN BY THE OTHERS AS", "REGION", "COVERAGE", "SINCE", "HTTP"
        ),
    ];
    let rows = board.rows();
    let room = height.saturating_sub(lines.len() + 2).max(1);
    let shown = if rows.len() <= room {
        rows.len()
    } else {
        room - 1
    };
    lines.extend(rows[..shown].iter().map(|row| line(now, row)));
    if shown < rows.len() {
        lines.push(format!("… and {} more", rows.len() - shown));
    }
    let up = rows.iter().filter(|row| row.process.is_up()).count();
    let whole = if board.is_whole() {
        "whole"
    } else {
        "not whole"
    };
    lines.push(format!(
        "{up} of {} up, {whole}; Ctrl-C stops all",
        rows.len()
    ));
    lines
}

fn line(now: Instant, row: &Row) -> String {
    let pid = row.process.pid().map_or("-".into(), |pid| pid.to_string());
    let http = match row.process {
        Process::Up { http, .. } => format!("http://{http}/health"),
        _ => String::new(),
    };
    format!(
        "{:<22} {:>8}  {:<24} {:<8} {:<9} {:>6}s  {}",
        row.name.to_string(),
        pid,
        seen(row),
        row.region,
        row.coverage,
        now.saturating_duration_since(row.since).as_secs(),
        http
    )
}

/// What the others say: one state where they agree, else how many say what.
fn seen(row: &Row) -> String {
    if let Some(state) = row.agreed {
        return state.name().into();
    }
    let parts: Vec<String> = row
        .seen
        .iter()
        .map(|(state, by)| format!("{by} {}", state.name()))
        .collect();
    if parts.is_empty() {
        "-".into()
    } else {
        parts.join(", ")
    }
}
