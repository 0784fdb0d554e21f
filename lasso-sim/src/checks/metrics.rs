//! `metrics`: what the newest read of a page saw:
//! `metrics = { page = "board", freshness = "fresh", provider = "alchemy", calls = 1100, responding = 3 }`;
//! `reads`: how all reads of a page went:
//! `reads = { page = "board", count = 300, loading = 0, hit_percent = ">= 80", refreshes = "<= 21" }`.
//! Several such tables in a list must all hold.

use core::time::Duration;

use lasso_core::metrics::store::Freshness;
use lasso_core::name::NodeName;
use lasso_core::time::Instant;

use super::events::window;
use super::names::Wanted;
use super::{Check, Entry, Mismatch, Observed, amount_within, most_of};
use crate::app::{Outcome, ReadLog, Row};
use crate::scenario::{Amount, Deed, Diagnostic, Fields, Reader, Value};

pub(super) const METRICS: Entry = Entry {
    key: "metrics",
    summary: "what the newest read of a page saw: a provider's figures, freshness, age, coverage",
    absent: false,
    parse: |value, reader| several(value, reader, "metrics", SEEN),
};

pub(super) const READS: Entry = Entry {
    key: "reads",
    summary: "how all reads of a page went: how many, how fresh, and how many refreshes they cost",
    absent: false,
    parse: |value, reader| several(value, reader, "reads", READ),
};

/// Numbers of the newest read.
const SEEN: &[&str] = &[
    "calls",
    "mean_us",
    "p50_us",
    "p95_us",
    "p99_us",
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
    since: Duration,
    until: Option<Duration>,
    provider: Option<String>,
    freshness: Option<Freshness>,
    failed: Option<Wanted>,
    why: Option<&'static str>,
    wanted: Vec<(&'static str, Amount)>,
}

#[derive(Debug)]
struct All(Vec<Page>);

fn several(
    value: &Value,
    reader: &mut Reader<'_>,
    key: &'static str,
    numbers: &'static [&'static str],
) -> Option<Box<dyn Check>> {
    let items = reader.items(value).iter();
    let pages: Vec<Option<Page>> = items.map(|item| read(item, reader, key, numbers)).collect();
    let pages: Vec<Page> = pages.into_iter().collect::<Option<_>>()?;
    if pages.is_empty() {
        return reader.wrong(value, "a list of tables that must hold");
    }
    Some(Box::new(All(pages)))
}

fn read(
    value: &Value,
    reader: &mut Reader<'_>,
    key: &'static str,
    numbers: &'static [&'static str],
) -> Option<Page> {
    let mut keys = reader.fields(
        value,
        "a table such as `{ page = \"board\", calls = 1100 }`",
    )?;
    let errors = reader.error_count();
    let page = keys.need(reader, "page");
    let page = page.and_then(|value| reader.used(value, Deed::ReadMetrics));
    let (since, until) = window(&mut keys, reader);
    let newest = key == METRICS.key;
    let (mut provider, mut freshness, mut failed, mut why) = (None, None, None, None);
    if newest {
        provider = keys.take("provider").and_then(|value| reader.text(value));
        let wanted = keys.take("freshness");
        freshness = wanted.and_then(|value| reader.choice(value, FRESHNESS));
        let most = reader.names.len();
        let wanted = keys.take("failed");
        failed = wanted.and_then(|value| Wanted::read(value, reader, most));
        why = read_why(&mut keys, reader, failed.as_ref());
    }
    let mut wanted = Vec::new();
    for number in numbers {
        if let Some(value) = keys.take(number)
            && let Some(amount) = amount_within(value, reader, 0, most_of(number, reader))
        {
            wanted.push((*number, amount));
        }
    }
    let nothing = wanted.is_empty() && freshness.is_none() && failed.is_none();
    if nothing && reader.error_count() == errors && !keys.has_unknown() {
        let nothing = Diagnostic::new(keys.span(), "this expects nothing");
        let others = if newest {
            &["freshness", "failed"][..]
        } else {
            &[]
        };
        let known = others.iter().chain(numbers);
        let known: Vec<String> = known.map(|key| format!("`{key}`")).collect();
        reader.error(nothing.label(format!("needs {}", known.join(" or "))));
    }
    keys.finish(reader, &format!("`{key}`"));
    if reader.error_count() > errors {
        return None;
    }
    Some(Page {
        key,
        page: page?,
        since,
        until,
        provider: provider.map(str::to_owned),
        freshness,
        failed,
        why,
        wanted,
    })
}

/// Why nodes failed, which says something only where some did.
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
        let from = Instant::ZERO + self.since;
        let until = self.until.map(|until| Instant::ZERO + until);
        let all = observed.app.reads.iter().filter(move |read| {
            *read.page == *self.page
                && read.at >= from
                && until.is_none_or(|until| read.at <= until)
        });
        all.collect()
    }

    fn mismatch(&self, what: &str, wanted: &str, seen: &str) -> Mismatch {
        let (key, page) = (self.key, &self.page);
        Mismatch {
            expected: format!("{key} of {page}: {what} {wanted}"),
            seen: format!("{what} = {seen}"),
        }
    }

    fn holds_for_newest(&self, read: &ReadLog, observed: &Observed<'_>) -> Result<(), Mismatch> {
        let sight = &read.sight;
        if let Some(wanted) = self.freshness
            && sight.freshness != wanted
        {
            let (wanted, seen) = (format!("= {wanted:?}"), format!("{:?}", sight.freshness));
            return Err(self.mismatch("freshness", &wanted, &seen));
        }
        if let Some(wanted) = &self.failed {
            let failed: Vec<NodeName> = sight.failed.iter().map(|(node, _)| node.clone()).collect();
            wanted.holds("failed", failed, observed)?;
        }
        if let Some(wanted) = self.why
            && let Some((_, why)) = sight.failed.iter().find(|(_, why)| *why != wanted)
        {
            return Err(self.mismatch("why", &format!("= {wanted}"), why));
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
                return Err(self.mismatch(number, &wanted.to_string(), &seen));
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
        let from = Instant::ZERO + self.since;
        let before = observed.app.reads.iter().rfind(|read| read.at < from);
        let refreshes = |read: Option<&ReadLog>| read.map_or(0, |read| read.sight.refreshes);
        for (number, wanted) in &self.wanted {
            let seen = match *number {
                "count" => reads.len(),
                "hit_percent" => {
                    let hits = with(Freshness::Fresh) + with(Freshness::Stale);
                    hits * 100 / reads.len().max(1)
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
        "success_ppm" => Some(row.success_ppm),
        "lowest_ppm" => row.spread_ppm.map(|(lowest, _)| lowest),
        "highest_ppm" => row.spread_ppm.map(|(_, highest)| highest),
        "cold_start" => Some(u64::from(row.cold_start)),
        _ => None,
    }
}

impl Check for All {
    fn holds(&self, observed: &Observed<'_>) -> Result<(), Mismatch> {
        self.0.iter().try_for_each(|page| {
            let reads = page.reads(observed);
            if page.key == READS.key {
                return page.holds_for_all(&reads, observed);
            }
            let newest = reads.last().ok_or_else(|| Mismatch {
                expected: format!("a read of {}", page.page),
                seen: "none".to_owned(),
            })?;
            page.holds_for_newest(newest, observed)
        })
    }
}
