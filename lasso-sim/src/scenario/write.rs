//! Writes a drawn tree as a file that people can read and the tool can run.

use core::fmt::Write;

use super::value::{Kind, Table, Value};

/// Lists of tables longer than this are broken into lines.
const WIDTH: usize = 100;

/// The file of a tree, beneath a comment.
pub(super) fn write(tree: &Table, comment: &str) -> String {
    let mut out = String::new();
    for line in comment.lines() {
        let _ = writeln!(out, "# {line}");
    }
    let _ = writeln!(out);
    let is_section = |value: &Value| match &value.kind {
        Kind::Table(_) => true,
        Kind::List(items) => {
            let is_table = |item: &Value| matches!(item.kind, Kind::Table(_));
            !items.is_empty() && items.iter().all(is_table)
        }
        _ => false,
    };
    let (sections, keys): (Vec<_>, Vec<_>) = tree
        .entries
        .iter()
        .partition(|(_, value)| is_section(value));
    for (key, value) in keys {
        entry(&mut out, &key.text, value);
    }
    for (key, value) in sections {
        match &value.kind {
            Kind::Table(table) => section(&mut out, &key.text, table),
            Kind::List(items) => tables(&mut out, &key.text, items),
            _ => {}
        }
    }
    out
}

/// `[key]` with a line for each of its keys; the links of `[network]` are sections of their own.
fn section(out: &mut String, name: &str, table: &Table) {
    let _ = writeln!(out, "\n[{}]", word(name));
    let (links, keys): (Vec<_>, Vec<_>) = table
        .entries
        .iter()
        .partition(|(key, value)| name == "network" && key.text == "link" && is_list(value));
    for (key, value) in keys {
        entry(out, &key.text, value);
    }
    for (key, value) in links {
        if let Kind::List(items) = &value.kind {
            tables(out, &format!("{name}.{}", key.text), items);
        }
    }
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind, Kind::List(_))
}

/// `[[name]]` for each table.
fn tables(out: &mut String, name: &str, items: &[Value]) {
    for item in items {
        let _ = writeln!(out, "\n[[{name}]]");
        if let Kind::Table(table) = &item.kind {
            for (key, value) in &table.entries {
                entry(out, &key.text, value);
            }
        }
    }
}

fn entry(out: &mut String, key: &str, value: &Value) {
    let _ = writeln!(out, "{} = {}", word(key), inline(value, key.len() + 3));
}

/// A key, in quotes where it needs them.
fn word(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        quoted(key)
    }
}

/// A value on one line; a list of tables that is too long for one line has a line for each table.
fn inline(value: &Value, indent: usize) -> String {
    match &value.kind {
        Kind::Text(text) if text.contains('\n') => long(text),
        Kind::Text(text) => quoted(text),
        Kind::Integer(number) => number.to_string(),
        Kind::Float(number) => format!("{number:?}"),
        Kind::Flag(flag) => flag.to_string(),
        Kind::List(items) => {
            let shown: Vec<String> = items.iter().map(|item| inline(item, 4)).collect();
            let line = format!("[{}]", shown.join(", "));
            let is_table = |item: &Value| matches!(item.kind, Kind::Table(_));
            if line.len() + indent <= WIDTH || !items.iter().all(is_table) {
                return line;
            }
            let lines: Vec<String> = shown.iter().map(|item| format!("    {item},\n")).collect();
            format!("[\n{}]", lines.concat())
        }
        Kind::Table(table) if table.entries.is_empty() => "{}".to_owned(),
        Kind::Table(table) => {
            let shown: Vec<String> = table
                .entries
                .iter()
                .map(|(key, value)| format!("{} = {}", word(&key.text), inline(value, indent)))
                .collect();
            format!("{{ {} }}", shown.join(", "))
        }
        // No key takes one, so that no tree that was read has one.
        Kind::Other => "\"\"".to_owned(),
    }
}

/// A text of several lines, as stories are. Its first newline is not part of it.
fn long(text: &str) -> String {
    let mut out = String::from("\"\"\"\n");
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        out.push_str(&escaped(line));
    }
    out.push_str("\"\"\"");
    out
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse::parse_tree;

    /// A tree without its places.
    fn bare(value: &Table) -> String {
        let mut out = String::new();
        for (key, value) in &value.entries {
            let _ = write!(out, "{}=", key.text);
            match &value.kind {
                Kind::Table(table) => out.push_str(&bare(table)),
                Kind::List(items) => items.iter().for_each(|item| match &item.kind {
                    Kind::Table(table) => out.push_str(&bare(table)),
                    other => {
                        let _ = write!(out, "{other:?},");
                    }
                }),
                other => {
                    let _ = write!(out, "{other:?};");
                }
            }
        }
        out
    }

    #[test]
    fn a_tree_that_was_written_reads_back() {
        let text = "lasso = 1\ntitle = 'a \"title\" with \\ and tab\t'\nstory = \"\"\"\nTwo lines,\none \\\"quoted\\\".\n\"\"\"\n\
            [nodes]\na = { roles = [\"x\", \"y\"], settings = { tick_time = \"8s\" } }\n\"odd key\" = {}\n\
            [network]\nlatency = \"1ms\"\n[[network.link]]\nfrom = \"a\"\nto = \"b\"\nloss = \"5%\"\n\
            [[step]]\nat = \"0s\"\nexpect = { viewed = [{ called = \"a long name that fills the line\", events = 1 }, \
            { called = \"another long name that does so\", events = 2, stale = true }] }\n[[step]]\nat = \"1s\"\nheal = \"all\"\n";
        let tree = parse_tree(text).expect("TOML");
        let written = write(&tree, "one\ntwo");
        let again = parse_tree(&written).unwrap_or_else(|errors| panic!("{errors:?}\n{written}"));
        assert_eq!(bare(&again), bare(&tree), "{written}");
        assert!(
            written.starts_with("# one\n# two\n\nlasso = 1\n"),
            "{written}"
        );
        assert_eq!(write(&again, "one\ntwo"), written);
    }
}
