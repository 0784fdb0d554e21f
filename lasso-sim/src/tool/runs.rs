//! The runs of a command: files, worlds, seeds.

use core::fmt;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::thread;

use super::{Verdict, files};
use crate::runner::{self, Outcome};
use crate::scenario::Template;
use crate::work::Threads;
use crate::world::WorldKind;

/// Reads `1..100`: both ends are part of it.
pub(super) fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let wrong = || format!("`{text}` is no range of seeds such as `1..100`");
    let (first, last) = text.split_once("..").ok_or_else(wrong)?;
    let last = last.strip_prefix('=').unwrap_or(last);
    let range = first.parse().map_err(|_| wrong())?..=last.parse().map_err(|_| wrong())?;
    if range.is_empty() {
        Err(format!("`{text}` holds no seed"))
    } else {
        Ok(range)
    }
}

/// The requested number, or the number of processors.
pub(super) fn threads(jobs: Option<NonZeroUsize>) -> Threads<'static> {
    let threads = jobs.or_else(|| thread::available_parallelism().ok());
    Threads {
        count: threads.map_or(1, NonZeroUsize::get),
        name: "runs",
    }
}

/// One of several equal parts of the seeds, so that several machines can share a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Its number, from 1.
    number: u64,
    /// The number of parts.
    of: u64,
}

impl Part {
    /// All seeds.
    pub(super) const ALL: Part = Part { number: 1, of: 1 };

    /// Its number, and the number of parts.
    pub(super) fn numbers(self) -> (u64, u64) {
        (self.number, self.of)
    }

    /// Whether there are other parts.
    pub(super) fn is_shard(self) -> bool {
        self.of > 1
    }

    /// Reads `2/5`.
    pub(super) fn read(text: &str) -> Result<Part, String> {
        let wrong = || format!("`{text}` is no part such as `2/5`");
        let (number, of) = text.split_once('/').ok_or_else(wrong)?;
        let (number, of) = (
            number.parse().map_err(|_| wrong())?,
            of.parse().map_err(|_| wrong())?,
        );
        if (1..=of).contains(&number) {
            Ok(Part { number, of })
        } else {
            Err(wrong())
        }
    }
}

/// All runs of one file in one world.
#[derive(Debug)]
struct Group {
    template: usize,
    world: WorldKind,
}

/// See the module's text. Runs are numbered: those of one file in one world follow one another.
#[derive(Debug)]
pub(super) struct Runs {
    templates: Vec<Template>,
    groups: Vec<Group>,
    seeds: RangeInclusive<u64>,
    part: Part,
}

impl Runs {
    /// Reads the files. If they have mistakes, writes them to `out` and returns `None`.
    pub(super) fn read(
        paths: &[PathBuf],
        world: &str,
        seeds: RangeInclusive<u64>,
        part: Part,
        out: &mut dyn Write,
    ) -> io::Result<Option<Runs>> {
        let Some(templates) = read_all(paths, out)? else {
            return Ok(None);
        };
        Ok(Some(Runs {
            groups: groups(&templates, world),
            templates,
            seeds,
            part,
        }))
    }

    /// The number of runs of one file in one world.
    pub(super) fn per_group(&self) -> usize {
        let (first, last) = (self.seeds.start(), self.seeds.end());
        let Some(first) = first
            .checked_add(self.part.number - 1)
            .filter(|first| first <= last)
        else {
            return 0;
        };
        usize::try_from((last - first) / self.part.of + 1).unwrap_or(usize::MAX)
    }

    /// The number of runs.
    pub(super) fn count(&self) -> usize {
        self.groups.len().saturating_mul(self.per_group())
    }

    /// Performs one of them.
    pub(super) fn run(&self, index: usize, keep_trace: bool) -> Outcome {
        let (group, number) = (index / self.per_group(), index % self.per_group());
        let (group, number) = (&self.groups[group], number as u64);
        let seed = self.seeds.start() + (self.part.number - 1) + number * self.part.of;
        runner::run_file(
            &self.templates[group.template],
            group.world,
            seed,
            keep_trace,
        )
    }
}

fn read_all(paths: &[PathBuf], out: &mut dyn Write) -> io::Result<Option<Vec<Template>>> {
    let (mut templates, mut good) = (Vec::new(), true);
    for path in paths {
        let found = match files::beneath(path) {
            Ok(found) => found,
            Err(error) => {
                writeln!(out, "error: {}: {error}", path.display())?;
                good = false;
                continue;
            }
        };
        for file in found {
            match files::read(&file, out)? {
                Some(template) => templates.push(template),
                None => good = false,
            }
        }
    }
    if good && templates.is_empty() {
        writeln!(out, "error: no scenario there")?;
        good = false;
    }
    Ok(good.then_some(templates))
}

/// One world if one was requested; else every simulated world of the file.
fn groups(templates: &[Template], world: &str) -> Vec<Group> {
    let mut groups = Vec::new();
    for (index, template) in templates.iter().enumerate() {
        for kind in WorldKind::ALL {
            let wanted = if world == "all" {
                template.sample().worlds.contains(&kind)
            } else {
                kind.name() == world
            };
            if wanted {
                groups.push(Group {
                    template: index,
                    world: kind,
                });
            }
        }
    }
    groups
}

/// The totals of all runs.
#[derive(Debug, Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Total {
    pub(super) held: u64,
    pub(super) failed: u64,
    pub(super) refused: u64,
}

impl Total {
    pub(super) fn add(&mut self, verdict: runner::Verdict) {
        match verdict {
            runner::Verdict::Held => self.held += 1,
            runner::Verdict::Failed => self.failed += 1,
            runner::Verdict::Refused => self.refused += 1,
        }
    }

    /// Adds another sum.
    pub(super) fn merge(&mut self, other: &Total) {
        self.held += other.held;
        self.failed += other.failed;
        self.refused += other.refused;
    }

    pub(super) fn verdict(&self) -> Verdict {
        match (self.held, self.failed) {
            // No world could run it: wrong usage rather than a failure.
            (0, 0) => Verdict::Bad,
            (_, 0) => Verdict::Held,
            (_, _) => Verdict::Failed,
        }
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, failed, refused) = (self.held, self.failed, self.refused);
        let runs = held + failed;
        let word = if runs == 1 { "run" } else { "runs" };
        write!(f, "{runs} {word}: {held} held, {failed} failed")?;
        if refused > 0 {
            write!(f, "; {refused} refused")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_seeds_holds_both_its_ends() {
        assert_eq!(seeds("1..100").unwrap().count(), 100);
        assert_eq!(seeds("7..7").unwrap().count(), 1);
        assert!(seeds("7..6").is_err());
        assert!(seeds("7").is_err());
    }

    #[test]
    fn parts_share_the_seeds_and_leave_none_out() {
        let text = "lasso = 1\ntitle = \"one\"\nnodes = { a = {} }\n\
            [[step]]\nat = \"1s\"\nexpect = { on = \"a\", connected = 1 }\n";
        let mut ran = Vec::new();
        for part in ["1/3", "2/3", "3/3"] {
            let runs = Runs {
                templates: vec![Template::read("one.toml".as_ref(), text).unwrap()],
                groups: vec![Group {
                    template: 0,
                    world: WorldKind::Direct,
                }],
                seeds: 5..=12,
                part: Part::read(part).unwrap(),
            };
            ran.extend((0..runs.count()).map(|index| runs.run(index, false).seed));
        }
        assert_eq!(ran, [5, 8, 11, 6, 9, 12, 7, 10]);
        for wrong in ["0/3", "4/3", "1", "a/b", "0/0"] {
            assert!(Part::read(wrong).is_err(), "{wrong}");
        }
    }
}
