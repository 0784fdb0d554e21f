//! `metrics`: the result of the newest read of a page: `metrics = { page = "board", freshness = "fresh",
//! provider = "alchemy", calls = 1100, responding = 3 }`; `reads`: the results of all reads of a page: `reads =
//! { page = "board", count = 300, loading = 0, hit_percent = ">= 80", refreshes = "<= 21" }`. Several such
//! tables in a list must all hold.

use lasso_core::metrics::store::Freshness;
use lasso_core::name::NodeName;

use super::names::Wanted;
use super::tables::{Numbers, Window, all_of, numbers, refuse, refuse_nothing};
use super::{Check, Entry, Mismatch, Observed};
use crate::app::{Outcome, ReadLog, Row, Sight};
use crate::scenario::{Amount, Deed, Diagnostic, Fields, Reader, Value, one_of, shorten};

pub(super) const METRICS: Entry = Entry {
    key: "metrics",
    summary: "the result of the newest read of a page: a provider's figures, freshness, age, coverage",
    absent: false,
    parse: |value, reader| several(value, reader, "metrics", SEEN),
};

pub(super) const READS: Entry = Entry {
    key: "reads",
    summary: "the results of all reads of a page: how many, how fresh, and how many refreshes they cost",
    absent: false,
    parse: |value, reader| several(value, reader, "reads", READ),
};

/// Numbers of a provider of the newest read.
const FIGURES: &[&str] = SEEN.split_at(11).0;
/// Numbers of the newest read, a provider's figures first.
const SEEN: &[&str] = &[
    "calls",
    "mean_us",
    "p50_us",
    "p95_us",
    "p99_us",
    "error_mean_us",
    "error_p95_us",
    "success_ppm",
    "lowest_ppm",
    "highest_ppm",
    "cold_start",
    "age_ms",
    "responding",
    "total",
    "failures",
];
/// Numbers of all reads.
const READ: &[&str] = &[
    "count",
    "fresh",
    "stale",
    "expired",
    "loading",
    "hit_percent",
    "refreshes",
];

const FRESHNESS: &[(&str, Freshness)] = &[
    ("fresh", Freshness::Fresh),
    ("stale", Freshness::Stale),
    ("expired", Freshness::Expired),
    ("loading", Freshness::Loading),
];

#[derive(Debug)]
struct Page {
    key: &'static str,
    page: String,
    window: Window,
    provider: Option<String>,
    freshness: Option<Freshness>,
    failed: Option<Wanted>,
    why: Option<&'static str>,
    wanted: Numbers,
}

fn several(
    value: &Value,
    reader: &mut Reader<'_>,
    key: &'static str,
    names: &'static [&'static str],
) -> Option<Box<dyn Check>> {
    all_of(value, reader, |value, reader| {
        read(value, reader, key, names)
    })
}

fn read(
    value: &Value,
    reader: &mut Reader<'_>,
    key: &'static str,
    names: &'static [&'static str],
) -> Option<Page> {
    let mut keys = reader.fields(
        value,
        "a table such as `{ page = \"board\", calls = 1100 }`",
    )?;
    let errors = reader.error_count();
    let page = keys.need(reader, "page");
    let page = page.and_then(|value| reader.used(value, Deed::ReadMetrics));
    let window = Window::read(&mut keys, reader);
    let newest = key == METRICS.key;
    let provider_at = newest.then(|| keys.take("provider")).flatten();
    let provider = provider_at.and_then(|value| reader.text(value));
    let (mut freshness, mut failed, mut why) = (None, None, None);
    if newest {
        let wanted = keys.take("freshness");
        freshness = wanted.and_then(|value| reader.choice(value, FRESHNESS));
        let most = reader.names.len();
        let wanted = keys.take("failed");
        failed = wanted.and_then(|value| Wanted::read(value, reader, most));
        why = read_why(&mut keys, reader, failed.as_ref());
    }
    let wanted = numbers(&mut keys, reader, names.iter().copied());
    if reader.error_count() == errors {
        refuse_idle_provider(reader, provider_at, &wanted);
        refuse_of_none(&keys, reader, &wanted);
    }
    if wanted.is_empty() && freshness.is_none() && failed.is_none() {
        let others = if newest {
            &["freshness", "failed"][..]
        } else {
            &[]
        };
        let needs = others.iter().chain(names).copied();
        refuse_nothing(&keys, reader, errors, needs);
    }
    keys.finish(reader, &format!("`{key}`"));
    if reader.error_count() > errors {
        return None;
    }
    Some(Page {
        key,
        page: page?,
        window,
        provider: provider.map(str::to_owned),
        freshness,
        failed,
        why,
        wanted,
    })
}

/// Reports a provider without a checked number.
fn refuse_idle_provider(reader: &mut Reader<'_>, provider: Option<&Value>, wanted: &Numbers) {
    if let Some(value) = provider
        && !wanted.iter().any(|(number, _)| FIGURES.contains(number))
    {
        let needs = format!("needs {}", one_of(FIGURES.iter().copied()));
        refuse(
            reader,
            value,
            "of this provider nothing is expected",
            &needs,
        );
    }
}

/// Reports numbers that a read without a value does not have.
fn refuse_of_none(keys: &Fields<'_>, reader: &mut Reader<'_>, wanted: &Numbers) {
    let none = |(number, amount): &(&str, Amount)| {
        *number == "count" && !amount.is_possible(1, usize::MAX)
    };
    if wanted.len() > 1 && wanted.iter().any(none) {
        let nothing = "of no reads at all nothing else can be expected";
        let nothing = Diagnostic::new(keys.span(), nothing);
        reader.error(nothing.label("needs another `count`, or that alone"));
    }
}

/// Why nodes failed, which is meaningful only if some did.
fn read_why(
    keys: &mut Fields<'_>,
    reader: &mut Reader<'_>,
    failed: Option<&Wanted>,
) -> Option<&'static str> {
    let value = keys.take("why")?;
    let failures = Outcome::NAMED.iter().filter(|(name, _)| *name != "ok");
    let failures: Vec<(&str, &'static str)> = failures.map(|(name, _)| (*name, *name)).collect();
    let why = reader.choice(value, &failures);
    if failed.is_none_or(Wanted::may_be_nobody) {
        let nobody = "this holds, too, where nobody has failed";
        let nobody = Diagnostic::new(value.span.clone(), nobody);
        reader.error(nobody.label("needs a `failed` that names somebody, or `failed = \">= 1\"`"));
    }
    why
}

impl Page {
    fn reads<'a>(&'a self, observed: &Observed<'a>) -> Vec<&'a ReadLog> {
        let all = observed.app.reads.iter();
        let chosen = all.filter(|read| *read.page == *self.page && self.window.contains(read.at));
        chosen.collect()
    }

    fn mismatch(&self, what: &str, wanted: &str, seen: &str) -> Mismatch {
        let (key, page) = (self.key, &self.page);
        let provider = self.provider.as_ref().filter(|_| FIGURES.contains(&what));
        let of = provider.map_or(String::new(), |provider| format!(" of {provider}"));
        Mismatch {
            expected: format!("{key} of {page}: {what}{of} {wanted}"),
            seen: format!("{what} = {seen}"),
        }
    }

    /// The same, with the result of the newest read.
    fn mismatch_of(&self, sight: &Sight, what: &str, wanted: &str, seen: &str) -> Mismatch {
        let providers = sight.rows.iter().map(|row| row.provider.as_str());
        let providers: Vec<&str> = providers.collect();
        let providers = match providers.is_empty() {
            true => "none".to_owned(),
            false => shorten(&providers),
        };
        let mut mismatch = self.mismatch(what, wanted, seen);
        mismatch.seen += &format!("; the read saw: {sight}, providers: {providers}");
        mismatch
    }

    fn holds_for_newest(&self, read: &ReadLog, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let sight = &read.sight;
        if let Some(wanted) = self.freshness
            && sight.freshness != wanted
        {
            let (wanted, seen) = (format!("= {wanted:?}"), format!("{:?}", sight.freshness));
            return Err(self.mismatch_of(sight, "freshness", &wanted, &seen));
        }
        if let Some(wanted) = &self.failed {
            let failed: Vec<NodeName> = sight.failed.iter().map(|(node, _)| node.clone()).collect();
            wanted.holds("failed", failed, observed)?;
        }
        if let Some(wanted) = self.why
            && let Some((_, why)) = sight.failed.iter().find(|(_, why)| *why != wanted)
        {
            return Err(self.mismatch_of(sight, "why", &format!("= {wanted}"), why));
        }
        let row = match &self.provider {
            None => sight.rows.first(),
            Some(provider) => sight.rows.iter().find(|row| row.provider == *provider),
        };
        for (number, wanted) in &self.wanted {
            let seen = match *number {
                "age_ms" => Some(sight.age.as_millis() as u64),
                "responding" => sight.coverage.map(|(responding, _)| responding as u64),
                "total" => sight.coverage.map(|(_, total)| total as u64),
                "failures" => Some(u64::from(sight.failures)),
                figure => row.and_then(|row| figure_of(row, figure)),
            };
            if !seen.is_some_and(|seen| wanted.contains(seen as usize)) {
                let seen = seen.map_or("nothing".to_owned(), |seen| seen.to_string());
                return Err(self.mismatch_of(sight, number, &wanted.to_string(), &seen));
            }
        }
        Ok(())
    }

    fn holds_for_all(&self, reads: &[&ReadLog], observed: &Observed<'_>) -> Result<(), Mismatch> {
        let counted = self.wanted.iter().any(|(number, _)| *number == "count");
        if reads.is_empty() && !counted {
            return Err(self.mismatch("count", ">= 1", "0"));
        }
        let with = |freshness| {
            let of = reads
                .iter()
                .filter(|read| read.sight.freshness == freshness);
            of.count()
        };
        let start = self.window.start();
        let before = observed.app.reads.iter().rfind(|read| read.at < start);
        let refreshes = |read: Option<&ReadLog>| read.map_or(0, |read| read.sight.refreshes);
        for (number, wanted) in &self.wanted {
            let seen = match *number {
                "count" => reads.len(),
                "hit_percent" if reads.is_empty() => {
                    return Err(self.mismatch(number, &wanted.to_string(), "nothing"));
                }
                "hit_percent" => {
                    let hits = with(Freshness::Fresh) + with(Freshness::Stale);
                    hits * 100 / reads.len()
                }
                "refreshes" => {
                    let begun = refreshes(reads.last().copied());
                    begun.saturating_sub(refreshes(before)) as usize
                }
                kind => {
                    let named = FRESHNESS.iter().find(|(name, _)| *name == kind);
                    named.map_or(0, |(_, freshness)| with(*freshness))
                }
            };
            if !wanted.contains(seen) {
                return Err(self.mismatch(number, &wanted.to_string(), &seen.to_string()));
            }
        }
        Ok(())
    }
}

fn figure_of(row: &Row, figure: &str) -> Option<u64> {
    match figure {
        "calls" => Some(row.calls),
        "mean_us" => Some(row.mean_us),
        "p50_us" => row.percentiles_us[0],
        "p95_us" => row.percentiles_us[1],
        "p99_us" => row.percentiles_us[2],
        "error_mean_us" => Some(row.error_mean_us),
        "error_p95_us" => row.error_p95_us,
        "success_ppm" => Some(row.success_ppm),
        "lowest_ppm" => row.spread_ppm.map(|(lowest, _)| lowest),
        "highest_ppm" => row.spread_ppm.map(|(_, highest)| highest),
        "cold_start" => Some(u64::from(row.cold_start)),
        _ => None,
    }
}

impl Check for Page {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let reads = self.reads(observed);
        if self.key == READS.key {
            return self.holds_for_all(&reads, observed);
        }
        let newest = reads.last().ok_or_else(|| Mismatch {
            expected: format!("a read of {}", self.page),
            seen: "none".to_owned(),
        })?;
        self.holds_for_newest(newest, observed)
    }
}
