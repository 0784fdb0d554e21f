//! Reads `[[sometimes]]`: the goals that at least one run of a sweep must reach.

use core::ops::Range;
use core::time::Duration;

use super::errors::Diagnostic;
use super::model::{Expect, Loc};
use super::reader::{Fields, Reader};
use super::steps::{read_expect, read_span};
use super::value::{Kind, Value};

/// A goal that some run of a sweep must reach at some moment: the opposite of a `[[never]]`.
#[derive(Debug)]
pub struct Sometimes {
    /// Its place in the file.
    pub loc: Loc,
    /// Its title, in one line for people.
    pub title: String,
    /// From this time on.
    pub from: Duration,
    /// Until this time, inclusive.
    pub until: Duration,
    /// A sweep with fewer runs need not reach it.
    pub seeds: u64,
    /// It is reached when all checks hold for one of the subjects at the same moment.
    pub expect: Expect,
}

/// Reads every `[[sometimes]]`, each with its place; `last` is the time until which rules hold.
pub(super) fn read(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_>,
    last: Duration,
) -> Vec<(Sometimes, Range<usize>)> {
    let Some(value) = fields.take("sometimes") else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for item in reader.items(value) {
        let Some(mut keys) = reader.fields(item, "a table: `[[sometimes]]`") else {
            continue;
        };
        if let Some(sometimes) = read_one(reader, &mut keys, last) {
            all.push((sometimes, item.span.clone()));
        }
        keys.finish(reader, "`[[sometimes]]`");
    }
    all
}

fn read_one(reader: &mut Reader<'_>, keys: &mut Fields<'_>, last: Duration) -> Option<Sometimes> {
    let title = keys.take("title");
    if title.is_none() {
        let untitled = Diagnostic::new(keys.span(), "what is reached here?");
        reader.error(untitled.label("needs a `title`: one line for the table of a sweep"));
    }
    let title = title
        .and_then(|value| reader.text(value))
        .map(str::to_owned);
    let seeds = match keys.take("seeds") {
        Some(value) => read_seeds(reader, value),
        None => Some(1),
    };
    let span = read_span(reader, keys, last);
    let expect = read_expect(reader, keys);
    let (from, until) = span?;
    Some(Sometimes {
        loc: reader.loc(&keys.span()),
        title: title?,
        from,
        until,
        seeds: seeds?,
        expect: expect?,
    })
}

fn read_seeds(reader: &mut Reader<'_>, value: &Value) -> Option<u64> {
    match value.kind {
        Kind::Integer(seeds) if seeds >= 1 => u64::try_from(seeds).ok(),
        _ => reader.wrong(value, "a number of seeds, at least 1"),
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use crate::scenario::Scenario;

    fn read(sometimes: &str) -> Result<Scenario, String> {
        let text = format!(
            "lasso = 1\ntitle = \"three\"\nends = \"30s\"\nnodes = {{ a = {{}}, b = {{}} }}\n\
             [[sometimes]]\n{sometimes}"
        );
        Scenario::parse("s.toml".as_ref(), &text).map_err(|bad| bad.to_string())
    }

    #[test]
    fn what_must_be_reached_has_a_title_a_window_and_a_number_of_seeds() {
        let scenario =
            read("title = \"two\"\non = \"a\"\nconnected = 2\nfrom = \"5s\"\nseeds = 50\n")
                .unwrap();
        let sometimes = &scenario.sometimes[0];
        assert_eq!((sometimes.title.as_str(), sometimes.seeds), ("two", 50));
        assert_eq!(sometimes.from, Duration::from_secs(5));
        assert_eq!(sometimes.until, Duration::from_secs(30));
    }

    #[test]
    fn mistakes_are_told_each_at_its_place() {
        let bad = read("on = \"a\"\nconnected = 2\n").unwrap_err();
        assert!(bad.contains("what is reached here?"), "{bad}");
        let bad = read("title = \"x\"\nseeds = 0\non = \"a\"\nconnected = 2\n").unwrap_err();
        assert!(bad.contains("a number of seeds"), "{bad}");
        let bad = read("title = \"x\"\non = \"a\"\n").unwrap_err();
        assert!(bad.contains("expects nothing"), "{bad}");
        let bad =
            read("title = \"x\"\nfrom = \"9s\"\nuntil = \"8s\"\nconnected = 2\n").unwrap_err();
        assert!(bad.contains("nothing is ever checked"), "{bad}");
        let bad = read("title = \"x\"\nname = \"y\"\nconnected = 2\n").unwrap_err();
        assert!(bad.contains("unknown key `name`"), "{bad}");
    }
}
