//! Reads the tables of a TOML file key by key, and remembers every mistake on the way, with its line.
//!
//! 1. A method that returns `None` for a key that is there has said what is wrong with it.
//! 2. A text is never shown as such: there may be a key in it, at the wrong place.

use std::ops::RangeInclusive;
use std::time::Duration;

use lasso::config::duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::settings::Wrong;

/// What reading a file has found so far.
pub(super) struct Reader<'t> {
    text: &'t str,
    /// Each with the byte at which it stands.
    wrong: Vec<(usize, Wrong)>,
}

/// The keys of one table. Whatever was not asked for by the end is unknown.
pub(super) struct Fields<'v> {
    /// The table's own key, from the root.
    place: String,
    at: usize,
    /// `None`: it is not there, and has no keys.
    table: Option<&'v DeTable<'v>>,
    asked: Vec<&'static str>,
}

/// A value, and where it stands.
pub(super) struct Found<'v> {
    /// Its key, from the root.
    pub(super) place: String,
    /// The byte at which it begins.
    pub(super) at: usize,
    value: &'v DeValue<'v>,
}

impl<'t> Reader<'t> {
    /// Reads the text of a whole file by `read`.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file.
    pub(super) fn read<T>(
        text: &'t str,
        read: impl FnOnce(&mut Self, &mut Fields<'_>) -> T,
    ) -> Result<T, Vec<Wrong>> {
        let mut reader = Reader {
            text,
            wrong: Vec::new(),
        };
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            // Only the message: the error as a whole shows the line, and there may be a key in it.
            let at = error.span().map_or(0, |span| span.start);
            reader.refuse(at, "", error.message());
        }
        let mut read_so_far = None;
        if errors.is_empty() {
            let mut fields = Fields::new(String::new(), 0, Some(root.get_ref()));
            read_so_far = Some(read(&mut reader, &mut fields));
            fields.finish(&mut reader);
        }
        reader.wrong.sort_by_key(|(at, _)| *at);
        match read_so_far {
            Some(whole) if reader.wrong.is_empty() => Ok(whole),
            _ => Err(reader.wrong.into_iter().map(|(_, wrong)| wrong).collect()),
        }
    }

    /// Remembers a mistake.
    pub(super) fn refuse(
        &mut self,
        at: usize,
        place: impl Into<String>,
        problem: impl Into<String>,
    ) {
        let before = self.text.bytes().take(at);
        let wrong = Wrong {
            line: 1 + before.filter(|byte| *byte == b'\n').count(),
            place: place.into(),
            problem: problem.into(),
        };
        self.wrong.push((at, wrong));
    }

    fn wrong_kind<T>(&mut self, found: &Found<'_>, accepted: &str) -> Option<T> {
        let problem = format!("it is {}; accepted: {accepted}", kind(found.value));
        self.refuse(found.at, &found.place, problem);
        None
    }

    /// A text.
    pub(super) fn text<'v>(
        &mut self,
        fields: &mut Fields<'v>,
        key: &'static str,
    ) -> Option<(Found<'v>, &'v str)> {
        let found = fields.take(key)?;
        match found.value {
            DeValue::String(text) => Some((found, text)),
            _ => self.wrong_kind(&found, "a text in quotes"),
        }
    }

    /// A text that must be there.
    pub(super) fn needed_text<'v>(
        &mut self,
        fields: &mut Fields<'v>,
        key: &'static str,
    ) -> Option<(Found<'v>, &'v str)> {
        if !fields.has(key) {
            fields.asked.push(key);
            self.refuse(fields.at, fields.place_of(key), "it is missing");
        }
        self.text(fields, key)
    }

    /// A whole number.
    pub(super) fn number(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
        accepted: RangeInclusive<u64>,
    ) -> Option<u64> {
        let found = fields.take(key)?;
        let (least, most) = (accepted.start(), accepted.end());
        let words = format!("a whole number from {least} to {most}");
        let DeValue::Integer(number) = found.value else {
            return self.wrong_kind(&found, &words);
        };
        let read = u64::from_str_radix(number.as_str(), number.radix()).ok();
        let inside = read.filter(|number| accepted.contains(number));
        if inside.is_none() {
            let problem = format!("`{number}` is out of range; accepted: {least} to {most}");
            self.refuse(found.at, found.place, problem);
        }
        inside
    }

    /// A number with or without a point.
    pub(super) fn share(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
        accepted: RangeInclusive<f64>,
    ) -> Option<f64> {
        let found = fields.take(key)?;
        let (least, most) = (accepted.start(), accepted.end());
        let read = match found.value {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => return self.wrong_kind(&found, &format!("a number from {least} to {most}")),
        };
        let inside = read.filter(|number: &f64| accepted.contains(number));
        if inside.is_none() {
            let problem = format!("it is out of range; accepted: {least} to {most}");
            self.refuse(found.at, found.place, problem);
        }
        inside
    }

    /// A time.
    pub(super) fn time(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Option<Duration> {
        let (Found { place, at, .. }, text) = self.text(fields, key)?;
        match duration(text) {
            Ok(time) if (LEAST_TIME..=MOST_TIME).contains(&time) => return Some(time),
            Ok(_) => self.refuse(at, place, "it is out of range; accepted: 1ms to 1h"),
            Err(_) => self.refuse(at, place, "it is no time; accepted: `500ms`, `8s`, `2m`"),
        }
        None
    }

    /// A table; one without keys where it is not there, or is none.
    pub(super) fn table<'v>(&mut self, fields: &mut Fields<'v>, key: &'static str) -> Fields<'v> {
        let found = fields.take(key);
        let table = found.and_then(|found| self.as_table(found));
        table.unwrap_or_else(|| Fields::new(fields.place_of(key), fields.at, None))
    }

    /// The tables of a list.
    pub(super) fn tables<'v>(
        &mut self,
        fields: &mut Fields<'v>,
        key: &'static str,
    ) -> Vec<Fields<'v>> {
        let Some(found) = fields.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = found.value else {
            self.wrong_kind::<()>(&found, "a list of tables");
            return Vec::new();
        };
        let tables = items.iter().enumerate().filter_map(|(number, item)| {
            self.as_table(Found {
                place: format!("{}.{number}", found.place),
                at: item.span().start,
                value: item.get_ref(),
            })
        });
        tables.collect()
    }

    /// The texts of a list, each as `read` makes it; it is `None` for one that is not accepted.
    pub(super) fn texts(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
        accepted: &str,
        read: fn(&str) -> Option<String>,
    ) -> Vec<String> {
        let Some(found) = fields.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = found.value else {
            self.wrong_kind::<()>(&found, &format!("a list: {accepted}"));
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let text = match item.get_ref() {
                DeValue::String(text) => read(text),
                _ => None,
            };
            if text.is_none() {
                let place = format!("{}.{number}", found.place);
                self.refuse(item.span().start, place, format!("accepted: {accepted}"));
            }
            texts.extend(text);
        }
        texts
    }

    /// The tables within a table, by the names that the file gives them.
    pub(super) fn named<'v>(&mut self, fields: &Fields<'v>) -> Vec<(&'v str, Fields<'v>)> {
        let entries = fields.table.into_iter().flat_map(|table| table.iter());
        let tables = entries.filter_map(|(name, value)| {
            let table = self.as_table(Found {
                place: fields.place_of(name.get_ref()),
                at: value.span().start,
                value: value.get_ref(),
            });
            Some((name.get_ref().as_ref(), table?))
        });
        tables.collect()
    }

    /// Complains where there is nothing under a key: no value, or a table or a list with nothing in it.
    pub(super) fn demand_some(&mut self, fields: &Fields<'_>, key: &str, accepted: &str) {
        let is_there = fields
            .entry(key)
            .is_some_and(|value| match value.get_ref() {
                DeValue::Table(table) => !table.is_empty(),
                DeValue::Array(items) => !items.is_empty(),
                _ => true,
            });
        if !is_there {
            let problem = format!("there is none; accepted: {accepted}");
            self.refuse(fields.at_of(key), fields.place_of(key), problem);
        }
    }

    fn as_table<'v>(&mut self, found: Found<'v>) -> Option<Fields<'v>> {
        match found.value {
            DeValue::Table(table) => Some(Fields::new(found.place, found.at, Some(table))),
            _ => self.wrong_kind(&found, "a table"),
        }
    }
}

impl<'v> Fields<'v> {
    fn new(place: String, at: usize, table: Option<&'v DeTable<'v>>) -> Self {
        Fields {
            place,
            at,
            table,
            asked: Vec::new(),
        }
    }

    /// Its key, from the root.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// The key of something in it, from the root.
    pub(super) fn place_of(&self, key: &str) -> String {
        match self.place.as_str() {
            "" => key.to_owned(),
            place => format!("{place}.{key}"),
        }
    }

    /// Where the table begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Where the value of a key stands; where it is not there, the table.
    pub(super) fn at_of(&self, key: &str) -> usize {
        let entry = self.entry(key);
        entry.map_or(self.at, |value| value.span().start)
    }

    /// True when it has a key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    fn entry(&self, key: &str) -> Option<&'v Spanned<DeValue<'v>>> {
        let mut entries = self.table?.iter();
        let (_, value) = entries.find(|(name, _)| name.get_ref() == key)?;
        Some(value)
    }

    fn take(&mut self, key: &'static str) -> Option<Found<'v>> {
        self.asked.push(key);
        let value = self.entry(key)?;
        Some(Found {
            place: self.place_of(key),
            at: value.span().start,
            value: value.get_ref(),
        })
    }

    /// Complains of every key that was not asked for.
    pub(super) fn finish(&mut self, reader: &mut Reader<'_>) {
        self.asked.sort_unstable();
        self.asked.dedup();
        let known = self.asked.join("`, `");
        let entries = self.table.into_iter().flat_map(|table| table.iter());
        for (key, _) in entries {
            let name = key.get_ref().as_ref();
            if !self.asked.contains(&name) {
                let problem = format!("there is no such key; the keys are `{known}`");
                reader.refuse(key.span().start, self.place_of(name), problem);
            }
        }
    }
}

/// What a value is, in words.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or a time of day",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Shortest time that can be configured,
const LEAST_TIME: Duration = Duration::from_millis(1);
/// and longest.
const MOST_TIME: Duration = Duration::from_secs(3600);
