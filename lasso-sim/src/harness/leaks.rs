//! Reports where two runs of one seed differ, and the usual causes.

use core::fmt::Write;

/// Lines before the first difference that are shown.
const BEFORE: usize = 8;

/// Causes of differences between runs, and their replacements.
const REASONS: [(&str, &str); 7] = [
    (
        "`tokio::select!` without `biased;`, `futures::select!`",
        "start it with `biased;`",
    ),
    (
        "the order of a `HashMap` or `HashSet` of std",
        "use `BTreeMap`, or a hasher with a fixed seed",
    ),
    (
        "`std::time::Instant`, `SystemTime::now`",
        "use `tokio::time::Instant`, `Node::wall_clock`",
    ),
    (
        "randomness of the system: `rand::rng`, `getrandom`, random UUIDs",
        "use `Node::rng`",
    ),
    (
        "threads, `spawn_blocking`, `tokio::fs`, sockets, files",
        "do the work in a task, or replace it in the test",
    ),
    (
        "tasks of `tokio::spawn` when a node ends",
        "use `Cluster::spawn` or `Node::spawn`",
    ),
    (
        "addresses of values as keys, statics that outlive a run",
        "use numbers, keep the state in `Setup::state`",
    ),
];

/// The message. `loose`: nodes that had tasks of `tokio::spawn`, and the number of tasks.
pub(super) fn message(first: &str, second: &str, loose: &[(String, usize)]) -> String {
    let mut text = String::new();
    let (first, second): (Vec<&str>, Vec<&str>) =
        (first.lines().collect(), second.lines().collect());
    let shorter = first.len().min(second.len());
    let number = (0..shorter).find(|number| first[*number] != second[*number]);
    let number = number.unwrap_or(shorter);
    let line = |lines: &[&str]| lines.get(number).copied().unwrap_or("(the end)").to_owned();
    let _ = writeln!(
        text,
        "  the first difference is in line {} of the trace:",
        number + 1
    );
    let _ = writeln!(text, "    first run:  {}", line(&first));
    let _ = writeln!(text, "    second run: {}", line(&second));
    if line(&first).contains(" run inputs ") {
        let _ = writeln!(
            text,
            "    (`inputs` sums up the bytes that nodes received: some message differs, or its time, \
             since the `inputs` line before)"
        );
    }
    let _ = writeln!(text, "  before:");
    for line in &first[number.saturating_sub(BEFORE)..number] {
        let _ = writeln!(text, "    {line}");
    }
    for (node, tasks) in loose {
        let _ = writeln!(text, "  node {node} had {tasks} tasks of `tokio::spawn`");
    }
    let _ = writeln!(text, "  what makes runs differ:");
    for (reason, instead) in REASONS {
        let _ = writeln!(text, "    - {reason}: {instead}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_shown_with_the_lines_before_it() {
        let text = message("1 a\n2 b\n3 c\n", "1 a\n2 x\n3 y\n", &[("n".to_owned(), 2)]);
        assert!(text.contains("line 2 of the trace"), "{text}");
        assert!(text.contains("first run:  2 b\n"), "{text}");
        assert!(text.contains("second run: 2 x\n"), "{text}");
        assert!(text.contains("  before:\n    1 a\n"), "{text}");
        assert!(text.contains("node n had 2 tasks"), "{text}");
    }

    #[test]
    fn a_run_that_ends_early_differs_where_it_ends() {
        let text = message("1 a\n2 run inputs 7\n", "1 a\n", &[]);
        assert!(text.contains("second run: (the end)"), "{text}");
        assert!(text.contains("some message differs"), "{text}");
    }
}
