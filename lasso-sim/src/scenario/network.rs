//! Reads the network: `[network]` and `[[network.link]]`.

use core::time::Duration;
use std::collections::BTreeSet;

use super::errors::Diagnostic;
use super::model::{Latency, Network, NodeId, Shape};
use super::reader::{Fields, Reader};
use super::units;
use super::value::{Kind, Value};
use crate::world::Path;

/// Reads `[network]`; without it, the defaults.
pub(super) fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Network {
    let mut network = Network {
        dns_latency: Duration::from_millis(2),
        ..Network::default()
    };
    let Some(value) = fields.take("network") else {
        return network;
    };
    let wanted = "a table such as `{ latency = \"5ms..40ms\" }`";
    let Some(mut keys) = reader.fields(value, wanted) else {
        return network;
    };
    read_shape(reader, &mut keys, &mut network.default);
    if let Some(latency) = keys
        .take("dns_latency")
        .and_then(|value| reader.duration(value))
    {
        network.dns_latency = latency;
    }
    if let Some(value) = keys.take("link") {
        for item in reader.items(value) {
            let Some(mut link) = reader.fields(item, "a table: `[[network.link]]`") else {
                continue;
            };
            let paths = read_paths(reader, &mut link);
            let mut shape = network.default.clone();
            if !read_shape(reader, &mut link, &mut shape) {
                let empty = Diagnostic::new(link.span(), "this link differs in nothing");
                reader.error(empty.label("`latency`, `jitter`, `loss` or `bandwidth`"));
            }
            link.finish(reader, "`[[network.link]]`");
            if let Some(paths) = paths {
                network.rules.push((paths, shape));
            }
        }
    }
    keys.finish(reader, "`[network]`");
    network
}

/// Reads the keys of a shape over its present values. True when there was one.
pub(crate) fn read_shape(
    reader: &mut Reader<'_>,
    keys: &mut Fields<'_>,
    shape: &mut Shape,
) -> bool {
    let mut any = false;
    if let Some(value) = keys.take("latency") {
        any = true;
        shape.latency = read_latency(reader, value).unwrap_or(shape.latency);
    }
    if let Some(value) = keys.take("jitter") {
        any = true;
        shape.jitter = reader.duration(value).unwrap_or_default();
    }
    if let Some(value) = keys.take("loss") {
        any = true;
        let share = reader.text(value).map(units::share_ppm);
        match share {
            Some(Some(ppm)) => shape.loss_ppm = ppm,
            Some(None) => {
                reader.wrong::<()>(value, "a share such as `5%` or `0.1%`");
            }
            None => {}
        }
    }
    if let Some(value) = keys.take("bandwidth") {
        any = true;
        let bytes = reader.text(value).map(units::bandwidth);
        match bytes {
            Some(Some(bytes)) => shape.bandwidth = Some(bytes),
            Some(None) => {
                reader.wrong::<()>(value, "a bandwidth such as `1MB/s` or `64KiB/s`");
            }
            None => {}
        }
    }
    any
}

/// `5ms`, `5ms..40ms` or `{ median = "5ms", p99 = "80ms" }`.
fn read_latency(reader: &mut Reader<'_>, value: &Value) -> Option<Latency> {
    const FORM: &str =
        "a latency such as `5ms`, `5ms..40ms` or `{ median = \"5ms\", p99 = \"80ms\" }`";
    match &value.kind {
        Kind::Text(text) => {
            let (low, high) = text.split_once("..").unwrap_or((text, text));
            match (units::duration(low), units::duration(high)) {
                (Some(low), Some(high)) if low <= high => Some(Latency::Range(low, high)),
                _ => reader.wrong(value, FORM),
            }
        }
        Kind::Table(_) => {
            let mut keys = reader.fields(value, FORM)?;
            let median = keys
                .need(reader, "median")
                .and_then(|value| reader.duration(value));
            let p99 = keys
                .need(reader, "p99")
                .and_then(|value| reader.duration(value));
            keys.finish(reader, "a latency");
            let (median, p99) = (median?, p99?);
            if p99 < median || median.is_zero() {
                return reader.wrong(value, "a latency whose p99 is not below its median");
            }
            Some(Latency::Quantiles { median, p99 })
        }
        _ => reader.wrong(value, FORM),
    }
}

/// `between = [A, B]`, both ways, or `from = A`, `to = B`, one way.
pub(crate) fn read_paths(reader: &mut Reader<'_>, keys: &mut Fields<'_>) -> Option<BTreeSet<Path>> {
    let (between, from, to) = (keys.take("between"), keys.take("from"), keys.take("to"));
    match (between, from, to) {
        (Some(value), None, None) => between_two(reader, value),
        (None, Some(from), Some(to)) => {
            let (from, to) = (reader.nodes(from), reader.nodes(to));
            some_path(reader, keys, one_way(&from?, &to?))
        }
        _ => {
            let unclear = Diagnostic::new(keys.span(), "between whom?");
            reader.error(
                unclear.label("needs `between`, or `from` and `to`").help(
                    "`between = [\"iad\", \"sjc\"]` is both ways, `from` and `to` is one way",
                ),
            );
            None
        }
    }
}

fn some_path(
    reader: &mut Reader<'_>,
    keys: &Fields<'_>,
    paths: BTreeSet<Path>,
) -> Option<BTreeSet<Path>> {
    if paths.is_empty() {
        let loop_only = Diagnostic::new(keys.span(), "there is no path from a node to itself");
        reader.error(loop_only.label("names one node only"));
        return None;
    }
    Some(paths)
}

/// Both ways between the nodes of a list of two.
pub(crate) fn between_two(reader: &mut Reader<'_>, value: &Value) -> Option<BTreeSet<Path>> {
    let Kind::List(items) = &value.kind else {
        return reader.wrong(value, "a list of two: `[\"iad\", \"sjc\"]`");
    };
    let [a, b] = items.as_slice() else {
        let message = format!("two sides are wanted here, and these are {}", items.len());
        reader.error(Diagnostic::new(value.span.clone(), message).label("a list of two"));
        return None;
    };
    let (a, b) = (reader.nodes(a), reader.nodes(b));
    let (a, b) = (a?, b?);
    let mut paths = one_way(&a, &b);
    paths.extend(one_way(&b, &a));
    if paths.is_empty() {
        let same = Diagnostic::new(value.span.clone(), "both sides are the same node");
        reader.error(same.label("here"));
        return None;
    }
    Some(paths)
}

/// From each of some nodes to each of others, except from a node to itself.
pub(crate) fn one_way(from: &[NodeId], to: &[NodeId]) -> BTreeSet<Path> {
    let pairs = from.iter().flat_map(|from| {
        to.iter().map(|to| Path {
            from: *from,
            to: *to,
        })
    });
    pairs.filter(|path| path.from != path.to).collect()
}
