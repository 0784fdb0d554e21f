//! `figures`, `states`, `covered`: the present contents of viewers of the node's application: `figures = {
//! called = "desk", region = "iad", calls = "950..1050", success_ppm = "940000..960000" }`, `figures = { called
//! = "desk", region = "iad", gone = true }`, `states = { called = "desk", circuits = 3, open = 1, height = 105
//! }`, `covered = { called = "desk", responding = 2, expected = 3 }`. Each viewer of that name has to satisfy
//! it. Several such tables in a list must all hold.

use lasso_core::events::Group;
use lasso_core::events::figures::{Figures, Row};
use lasso_core::events::routing::CircuitState;
use lasso_core::name::Label;

use super::tables::{Numbers, all_of, numbers, only_true, refuse_nothing};
use super::viewed::{called, viewers};
use super::{Check, Entry, Mismatch, Observed};
use crate::app::events::{Known, ViewerLog};
use crate::scenario::{Diagnostic, Reader, Value};

pub(super) const FIGURES: Entry = Entry {
    key: "figures",
    summary: "the figures that each viewer of a name shows, of the whole, a region or a provider",
    absent: false,
    parse: |value, reader| several(value, reader, Of::Figures),
};

pub(super) const STATES: Entry = Entry {
    key: "states",
    summary: "the circuits and heights that each viewer of a name shows",
    absent: false,
    parse: |value, reader| several(value, reader, Of::States),
};

pub(super) const COVERED: Entry = Entry {
    key: "covered",
    summary: "the coverage that each viewer of a name shows",
    absent: false,
    parse: |value, reader| several(value, reader, Of::Coverage),
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Figures,
    States,
    Coverage,
}

impl Of {
    fn name(self) -> &'static str {
        match self {
            Of::Figures => "figures",
            Of::States => "states",
            Of::Coverage => "covered",
        }
    }

    fn numbers(self) -> &'static [&'static str] {
        match self {
            Of::Figures => &[
                "calls",
                "errors",
                "success_ppm",
                "share_ppm",
                "calls_per_1000_s",
                "p50_us",
                "p95_us",
                "error_p50_us",
                "error_p95_us",
            ],
            Of::States => &["circuits", "open", "heights", "height"],
            Of::Coverage => &["responding", "expected"],
        }
    }
}

#[derive(Debug)]
struct Shown {
    of: Of,
    name: String,
    region: Option<Label>,
    provider: Option<Label>,
    gone: bool,
    numbers: Numbers,
}

fn several(value: &Value, reader: &mut Reader<'_>, of: Of) -> Option<Box<dyn Check>> {
    all_of(value, reader, |value, reader| read(value, reader, of))
}

fn read(value: &Value, reader: &mut Reader<'_>, of: Of) -> Option<Shown> {
    let mut keys = reader.fields(value, "a table such as `{ called = \"desk\", … }`")?;
    let errors = reader.error_count();
    let name = called(&mut keys, reader);
    let (mut region, mut provider, mut gone) = (None, None, false);
    if of == Of::Figures {
        let (region_at, provider_at) = (keys.take("region"), keys.take("provider"));
        region = region_at.and_then(|value| label(value, reader));
        provider = provider_at.and_then(|value| label(value, reader));
        if let Some(value) = region_at.filter(|_| region.is_some()) {
            reader.refuse_region_without_requests(value);
        }
        if let Some(value) = provider_at.filter(|_| provider.is_some()) {
            reader.refuse_provider_without_requests(value);
        }
        gone = only_true(&mut keys, reader, "gone");
    }
    let names = of.numbers().iter().copied();
    let numbers = numbers(&mut keys, reader, names.clone());
    if gone && !numbers.is_empty() {
        let both = Diagnostic::new(keys.span(), "what is gone has no figures");
        reader.error(both.label("needs `gone` alone, or figures alone"));
    }
    if numbers.is_empty() && !gone {
        let gone = (of == Of::Figures).then_some("gone");
        refuse_nothing(&keys, reader, errors, names.chain(gone));
    }
    keys.finish(reader, &format!("`{}`", of.name()));
    if reader.error_count() > errors {
        return None;
    }
    Some(Shown {
        of,
        name: name?,
        region,
        provider,
        gone,
        numbers,
    })
}

fn label(value: &Value, reader: &mut Reader<'_>) -> Option<Label> {
    match Label::new("label", reader.text(value)?) {
        Ok(label) => Some(label),
        Err(error) => {
            reader.error(Diagnostic::new(value.span.clone(), error.to_string()));
            None
        }
    }
}

impl Shown {
    fn is_row(&self, row: &Row) -> bool {
        let provider = row.series.as_ref().map(|series| &series.provider);
        row.region == self.region && provider == self.provider.as_ref()
    }

    /// The value of a number; `None` if it is not shown.
    fn value(&self, viewer: &ViewerLog, number: &str) -> Option<u64> {
        match self.of {
            Of::Figures => {
                let mut rows = viewer.figures.iter();
                let (_, figures) = rows.find(|(row, _)| self.is_row(row))?;
                figure(figures, number)
            }
            Of::States => {
                let states = viewer.states.iter();
                let of_group = |group| states.clone().filter(move |(key, _)| key.group == group);
                Some(match number {
                    "circuits" => of_group(Group::Circuit).count() as u64,
                    "open" => {
                        let is_open = |known: &Known| *known == Known::Circuit(CircuitState::Open);
                        states.filter(|(_, known)| is_open(known)).count() as u64
                    }
                    "heights" => of_group(Group::Height).count() as u64,
                    _ => {
                        let heights = states.filter_map(|(_, known)| match known {
                            Known::Height(height) => Some(*height),
                            _ => None,
                        });
                        return heights.max();
                    }
                })
            }
            Of::Coverage => {
                let (responding, expected) = viewer.coverage?;
                let coverage = match number {
                    "responding" => responding,
                    _ => expected,
                };
                Some(coverage as u64)
            }
        }
    }

    fn describe(&self) -> String {
        let mut text = format!("{} of viewers `{}`", self.of.name(), self.name);
        if let Some(region) = &self.region {
            text = format!("{text} in {region}");
        }
        if let Some(provider) = &self.provider {
            text = format!("{text} of {provider}");
        }
        text
    }
}

impl Check for Shown {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        for viewer in viewers(observed, &self.name, false, || self.describe())? {
            let is_there = viewer.figures.keys().any(|row| self.is_row(row));
            if self.gone && is_there {
                return Err(Mismatch {
                    expected: format!("{} are gone", self.describe()),
                    seen: "they are there".to_owned(),
                });
            }
            for (number, amount) in &self.numbers {
                let value = self.value(viewer, number);
                let fits = value.and_then(|value| usize::try_from(value).ok());
                if !fits.is_some_and(|value| amount.contains(value)) {
                    let seen = value.map_or("nothing".to_owned(), |value| value.to_string());
                    let expected = format!("{}: {number} {amount}", self.describe());
                    return Err(Mismatch { expected, seen });
                }
            }
        }
        Ok(())
    }
}

fn figure(figures: &Figures, number: &str) -> Option<u64> {
    match number {
        "calls" => Some(figures.calls),
        "errors" => Some(figures.errors),
        "success_ppm" => Some(figures.success_ppm.into()),
        "share_ppm" => Some(figures.share_ppm.into()),
        "calls_per_1000_s" => Some(figures.calls_per_1000_s),
        "p50_us" => figures.p50_us.map(u64::from),
        "p95_us" => figures.p95_us.map(u64::from),
        "error_p50_us" => figures.error_p50_us.map(u64::from),
        _ => figures.error_p95_us.map(u64::from),
    }
}
