//! The table.

use std::collections::BTreeMap;

use crate::children::Numbers;
use crate::options::System;
use crate::rows::{Figure, Row, Unit};

/// What all runs of a row gave.
#[derive(Default)]
pub(crate) struct Outcomes {
    runs: BTreeMap<System, Vec<Numbers>>,
}

impl Outcomes {
    /// One more run.
    pub(crate) fn take(&mut self, system: System, outcome: Numbers) {
        self.runs.entry(system).or_default().push(outcome);
    }

    /// The values of one figure, sorted.
    fn values(&self, system: System, figure: &Figure) -> Vec<f64> {
        let runs = self.runs.get(&system).map_or(&[][..], Vec::as_slice);
        let found = runs.iter().filter_map(|run| run.get(figure.key));
        let mut values: Vec<f64> = found.copied().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn median(&self, system: System, figure: &Figure) -> Option<f64> {
        median(&self.values(system, figure))
    }
}

/// The middle of sorted values.
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    Some((sorted[last / 2] + sorted[sorted.len() / 2]) / 2.0)
}

/// One run, on the line that was begun for it.
pub(crate) fn progress(row: &Row, outcome: &Numbers) {
    for figure in row.figures {
        if let Some(value) = outcome.get(figure.key).filter(|value| value.is_finite()) {
            eprint!("; {} {}", figure.what, written(figure.unit, *value));
        }
    }
    eprintln!();
}

/// The whole table, one line a figure.
pub(crate) fn print(measured: &[(&Row, Outcomes)], systems: &[System]) {
    let beside_floor = [System::Lasso, System::Floor]
        .iter()
        .all(|s| systems.contains(s));
    let mut head = vec!["what".to_owned(), "to reach".to_owned()];
    if systems.contains(&System::Lasso) {
        head.push("reached".into());
    }
    if beside_floor {
        head.push("lasso / floor".into());
    }
    head.extend(systems.iter().map(System::to_string));
    let mut lines = vec![head];
    for (row, outcomes) in measured {
        for figure in row.figures {
            let mut cells = vec![format!("{}: {}", row.what, figure.what), goal(figure)];
            if systems.contains(&System::Lasso) {
                cells.push(verdict(figure, outcomes));
            }
            if beside_floor {
                cells.push(ratio(figure, outcomes));
            }
            cells.extend(systems.iter().map(|system| cell(*system, figure, outcomes)));
            lines.push(cells);
        }
    }
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max();
    let widths: Vec<usize> = (0..lines[0].len()).filter_map(width).collect();
    lines.insert(1, widths.iter().map(|width| "-".repeat(*width)).collect());
    for line in lines {
        let cells = line.iter().zip(&widths);
        let padded: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        println!("| {} |", padded.join(" | "));
    }
}

/// Median, least and most.
fn cell(system: System, figure: &Figure, outcomes: &Outcomes) -> String {
    let values = outcomes.values(system, figure);
    let (Some(median), Some(least), Some(most)) = (median(&values), values.first(), values.last())
    else {
        return "-".into();
    };
    let (scale, name) = scale(figure.unit, median);
    let digits = digits(median / scale);
    format!(
        "{:.digits$} {name} ({:.digits$}..{:.digits$})",
        median / scale,
        least / scale,
        most / scale
    )
}

fn goal(figure: &Figure) -> String {
    let sign = if figure.unit == Unit::Rate {
        ">="
    } else {
        "<="
    };
    let target = figure.target;
    target.map_or(String::new(), |target| {
        format!("{sign} {}", written(figure.unit, target))
    })
}

/// Whether what is to be reached is reached, or else by how much it is missed.
fn verdict(figure: &Figure, outcomes: &Outcomes) -> String {
    let reached = outcomes.median(System::Lasso, figure);
    let (Some(target), Some(reached)) = (figure.target, reached) else {
        return String::new();
    };
    let met = match figure.unit {
        Unit::Rate => reached >= target,
        _ => reached <= target,
    };
    format!("{} {:.2}", if met { "yes" } else { "NO" }, reached / target)
}

/// lasso beside the floor.
fn ratio(figure: &Figure, outcomes: &Outcomes) -> String {
    let lasso = outcomes.median(System::Lasso, figure);
    let floor = outcomes.median(System::Floor, figure);
    match (figure.unit, lasso, floor) {
        (Unit::Rate | Unit::Time, Some(lasso), Some(floor)) if floor > 0.0 => {
            format!("{:.2}", lasso / floor)
        }
        _ => String::new(),
    }
}

/// What the columns are.
pub(crate) fn legend(systems: &[System]) {
    println!();
    for system in systems {
        let text = match system {
            System::Lasso => "two processes of this library, encryption on",
            System::Floor => {
                "raw tokio TCP, the same framing in records of 64 KiB, the same cipher"
            }
            System::FloorPlain => "the floor with no cipher",
            System::Nats => "nats-server between the two, with a batching client of our own",
            System::Redis => "redis-server between the two, with a pipelining client of our own",
            System::Pg => "Erlang's pg and erpc, no encryption",
        };
        println!("{:<12} {text}", system.to_string());
    }
    println!("load average at the end: {}", crate::machine::load());
}

/// A value for people.
pub(crate) fn written(unit: Unit, value: f64) -> String {
    let (scale, name) = scale(unit, value);
    format!("{:.*} {name}", digits(value / scale), value / scale)
}

/// The unit that suits a value: how large it is, and its name.
fn scale(unit: Unit, value: f64) -> (f64, &'static str) {
    let steps: &[(f64, &'static str)] = match unit {
        Unit::Rate => &[(1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")],
        Unit::Time => &[(1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")],
        Unit::Bytes => &[(1_048_576.0, "MiB"), (1024.0, "KiB")],
        Unit::Share => &[(0.01, "%")],
    };
    let fits = steps.iter().find(|(least, _)| value >= *least);
    *fits.unwrap_or(&steps[steps.len() - 1])
}

/// Three that count.
fn digits(value: f64) -> usize {
    match value {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    }
}
