//! A TOML document as a tree with the place of everything, in the order of the file.

use core::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and its place.
#[derive(Debug, Clone)]
pub struct Value {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// Its kind.
    pub kind: Kind,
}

/// The kind of a value.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Text in quotes.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with a point.
    Float(f64),
    /// `true` or `false`.
    Flag(bool),
    /// In brackets.
    List(Vec<Value>),
    /// In braces, or a section.
    Table(Table),
    /// A date or a time of day, which no key takes, or a number beyond 64 bits.
    Other,
}

impl Kind {
    /// Its kind, in words.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Text(_) => "a text",
            Kind::Integer(_) => "a whole number",
            Kind::Float(_) => "a fraction",
            Kind::Flag(_) => "true or false",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
            Kind::Other => "a date or a number too large",
        }
    }
}

/// Keys with their values, in the order of the file.
#[derive(Debug, Clone)]
pub struct Table {
    /// The whole table.
    pub span: Range<usize>,
    /// Its keys.
    pub entries: Vec<(Key, Value)>,
}

/// A key and its place.
#[derive(Debug, Clone)]
pub struct Key {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// Its text.
    pub text: String,
}

impl Table {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let mut entries = self.entries.iter();
        entries.find(|(k, _)| k.text == key).map(|(_, value)| value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let mut entries = self.entries.iter_mut();
        entries.find(|(k, _)| k.text == key).map(|(_, value)| value)
    }

    /// Takes a key out of the table.
    pub fn remove(&mut self, key: &str) -> Option<(Key, Value)> {
        let at = self.entries.iter().position(|(k, _)| k.text == key)?;
        Some(self.entries.remove(at))
    }

    /// Sets the value of a key, in place of its present value or at the end of the table. A new key has the
    /// place of its value.
    pub fn set(&mut self, key: &str, value: Value) {
        match self.get_mut(key) {
            Some(old) => *old = value,
            None => {
                let key = Key {
                    span: value.span.clone(),
                    text: key.to_owned(),
                };
                self.entries.push((key, value));
            }
        }
    }

    /// Reads a piece of TOML that is not in the user's file, in the order of its text. Everything in it has the place
    /// `span`, so that messages point to the part of the file that it was made from.
    ///
    /// # Errors
    /// The parser's error: a fault of the code that made the text.
    pub fn fragment(text: &str, span: &Range<usize>) -> Result<Table, toml::de::Error> {
        let mut made = table(DeTable::parse(text)?);
        made.move_to(span);
        Ok(made)
    }

    fn move_to(&mut self, span: &Range<usize>) {
        self.span = span.clone();
        for (key, value) in &mut self.entries {
            key.span = span.clone();
            value.move_to(span);
        }
    }
}

impl Value {
    fn move_to(&mut self, span: &Range<usize>) {
        self.span = span.clone();
        match &mut self.kind {
            Kind::List(items) => items.iter_mut().for_each(|item| item.move_to(span)),
            Kind::Table(table) => table.move_to(span),
            _ => {}
        }
    }
}

/// Turns the parser's result into the tree. Its depth is bounded by the parser's own limit.
pub(super) fn table(parsed: Spanned<DeTable<'_>>) -> Table {
    let span = parsed.span();
    let mut entries: Vec<(Key, Value)> = parsed
        .into_inner()
        .into_iter()
        .map(|(key, inner)| {
            let key = Key {
                span: key.span(),
                text: key.into_inner().into_owned(),
            };
            (key, value(inner))
        })
        .collect();
    entries.sort_by_key(|(key, _)| key.span.start);
    Table { span, entries }
}

fn value(parsed: Spanned<DeValue<'_>>) -> Value {
    let span = parsed.span();
    let kind = match parsed.into_inner() {
        DeValue::String(text) => Kind::Text(text.into_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Kind::Other, Kind::Integer)
        }
        DeValue::Float(number) => number.as_str().parse().map_or(Kind::Other, Kind::Float),
        DeValue::Boolean(flag) => Kind::Flag(flag),
        DeValue::Datetime(_) => Kind::Other,
        DeValue::Array(items) => Kind::List(items.into_iter().map(value).collect()),
        DeValue::Table(inner) => Kind::Table(table(Spanned::new(span.clone(), inner))),
    };
    Value { span, kind }
}
