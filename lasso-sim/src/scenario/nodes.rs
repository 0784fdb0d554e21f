//! Reads who is there: `[all]`, `[nodes]`, `[groups]`.

use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lasso_core::config::Settings;
use lasso_core::discovery::Query;
use lasso_core::name::{Basename, DEFAULT_PORT, Description, Label, NodeName};

use super::errors::Diagnostic;
use super::model::{NodeId, NodeSpec};
use super::names::Origin;
use super::reader::{Fields, Reader};
use super::settings;
use super::units;
use super::value::{Key, Kind, Table, Value};

/// Most nodes that a file may have.
pub const NODES_MAX: usize = 4_096;
/// The secret of nodes that name none.
const COOKIE: &str = "a secret for simulations only, 48 bytes of it....";
/// Shortest secret, in bytes.
const COOKIE_MIN: usize = 16;

/// What a table of `[nodes]` says, before addresses and counts are worked out.
#[derive(Debug, Clone)]
struct Draft<'v> {
    app: Basename,
    cluster: Label,
    region: Label,
    roles: BTreeSet<Label>,
    version: Label,
    id: Option<Label>,
    cookie: String,
    cookie_previous: Option<String>,
    ip: Option<IpAddr>,
    host: Option<IpAddr>,
    port: u16,
    dns: Option<Vec<Query>>,
    dns_name: Option<String>,
    peers: Option<&'v Value>,
    expected: u32,
    starts: Option<Duration>,
    ready: bool,
    clock_ms: i64,
    settings: Settings,
}

fn label(text: &str) -> Label {
    Label::new("label", text).expect("a constant that is a label")
}

impl Draft<'_> {
    fn new() -> Self {
        Draft {
            app: Basename::new("lasso").expect("a constant that is a basename"),
            cluster: label("lasso"),
            region: Label::unknown(),
            roles: BTreeSet::new(),
            version: label("1.0.0"),
            id: None,
            cookie: COOKIE.to_owned(),
            cookie_previous: None,
            ip: None,
            host: None,
            port: DEFAULT_PORT,
            dns: None,
            dns_name: None,
            peers: None,
            expected: 1,
            starts: Some(Duration::ZERO),
            ready: true,
            clock_ms: 0,
            settings: Settings::default(),
        }
    }
}

/// A node whose draft is complete, with what is still to be resolved.
struct Placed<'v> {
    key: String,
    span: Range<usize>,
    draft: Draft<'v>,
}

/// Reads `[all]`, `[nodes]` and `[groups]` into the reader's nodes and names.
pub(super) fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>) {
    let mut all = Draft::new();
    if let Some(value) = fields.take("all")
        && let Some(mut keys) = reader.fields(value, "a table: what holds for every node")
    {
        read_common(reader, &mut keys, &mut all);
        keys.finish(reader, "`[all]`");
    }
    let mut placed = Vec::new();
    if let Some(value) = fields.need(reader, "nodes")
        && let Kind::Table(table) = &value.kind
    {
        for (key, value) in &table.entries {
            read_node(reader, key, value, &all, &mut placed);
        }
        if placed.is_empty() && reader.error_count() == 0 {
            let nobody = Diagnostic::new(table.span.clone(), "a scenario needs at least one node");
            reader.error(nobody.label("nobody is here"));
        }
    } else if let Some(value) = fields.take("nodes") {
        reader.wrong::<()>(value, "a table of nodes: `a = { region = \"iad\" }`");
    }
    reader.counts_known &= !placed.is_empty();
    place(reader, placed);
    if let Some(value) = fields.take("groups")
        && let Kind::Table(table) = &value.kind
    {
        read_groups(reader, table);
    } else if let Some(value) = fields.take("groups") {
        reader.wrong::<()>(value, "a table of lists: `east = [\"a\", \"b\"]`");
    }
}

fn read_node<'v>(
    reader: &mut Reader<'_>,
    key: &Key,
    value: &'v Value,
    all: &Draft<'v>,
    placed: &mut Vec<Placed<'v>>,
) {
    let Some(mut keys) = reader.fields(value, "a table: `{}` or `{ region = \"iad\" }`") else {
        reader.names.add_node(&key.text);
        placed.push(Placed {
            key: key.text.clone(),
            span: key.span.clone(),
            draft: all.clone(),
        });
        return;
    };
    let mut draft = all.clone();
    check_key(reader, key);
    read_common(reader, &mut keys, &mut draft);
    draft.ip = keys
        .take("ip")
        .and_then(|value| address(reader, value))
        .or(draft.ip);
    draft.host = keys.take("host").and_then(|value| address(reader, value));
    draft.id = keys
        .take("id")
        .and_then(|value| read_label(reader, value, "id"));
    let count_at = keys.take("count");
    let count = count_at.and_then(|v| reader.integer(v, 1, NODES_MAX as i64));
    reader.counts_known &= count_at.is_some() == count.is_some();
    let every = keys.take("every");
    let stagger = every
        .and_then(|value| reader.duration(value))
        .unwrap_or_default();
    if let (Some(value), None) = (every, count) {
        let lost = Diagnostic::new(value.span.clone(), "`every` means nothing without `count`");
        reader.error(lost.label("time between the starts of a `count` of nodes"));
    }
    if let (Some(span), Some(_)) = (keys.key_span("ip").or(keys.key_span("host")), count) {
        let clash = Diagnostic::new(span, "nodes with a `count` cannot share one address");
        reader.error(clash.label("leave it out, or name the nodes one by one"));
    }
    keys.finish(reader, &format!("node `{}`", key.text));
    let Some(count) = count else {
        add(reader, placed, key.text.clone(), key, draft);
        return;
    };
    let mut members = Vec::new();
    for number in 1..=count {
        let mut one = draft.clone();
        let late = stagger.saturating_mul(number as u32 - 1);
        one.starts = draft.starts.map(|start| start + late);
        members.push(NodeId(placed.len() as u32));
        add(reader, placed, format!("{}-{number}", key.text), key, one);
        if placed.len() > NODES_MAX {
            break;
        }
    }
    reader.names.add_to(Origin::Group, &key.text, &members);
}

fn add<'v>(
    reader: &mut Reader<'_>,
    placed: &mut Vec<Placed<'v>>,
    name: String,
    key: &Key,
    draft: Draft<'v>,
) {
    if placed.len() == NODES_MAX {
        let many = Diagnostic::new(key.span.clone(), format!("more than {NODES_MAX} nodes"));
        reader.error(many.label("with this one"));
    }
    if !reader.names.add_node(&name) {
        let twice = Diagnostic::new(key.span.clone(), format!("a node `{name}` exists already"));
        reader.error(twice.label("a `count` makes nodes called `key-1`, `key-2`, …"));
    }
    placed.push(Placed {
        key: name,
        span: key.span.clone(),
        draft,
    });
}

fn check_key(reader: &mut Reader<'_>, key: &Key) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let starts_well = key.text.starts_with(|c: char| c.is_ascii_alphabetic());
    if !starts_well || !key.text.chars().all(allowed) || key.text.len() > 64 || key.text == "all" {
        let message = format!("`{}` cannot be the name of a node", key.text);
        reader.error(
            Diagnostic::new(key.span.clone(), message)
                .label("a letter, then letters, digits, `-`, `_`; not `all`"),
        );
    }
}

/// The keys that a node and `[all]` have in common.
fn read_common<'v>(reader: &mut Reader<'_>, keys: &mut Fields<'v>, draft: &mut Draft<'v>) {
    if let Some(value) = keys.take("app")
        && let Some(text) = reader.text(value)
    {
        match Basename::new(text) {
            Ok(app) => draft.app = app,
            Err(error) => {
                reader.error(Diagnostic::new(value.span.clone(), error.to_string()).label("here"));
            }
        }
    }
    for (key, place) in [
        ("cluster", &mut draft.cluster),
        ("region", &mut draft.region),
        ("version", &mut draft.version),
    ] {
        if let Some(found) = keys
            .take(key)
            .and_then(|value| read_label(reader, value, key))
        {
            *place = found;
        }
    }
    if let Some(value) = keys.take("roles") {
        let items = reader.items(value).iter();
        draft.roles = items
            .filter_map(|item| read_label(reader, item, "role"))
            .collect();
    }
    if let Some(cookie) = keys
        .take("cookie")
        .and_then(|value| read_cookie(reader, value))
    {
        draft.cookie = cookie;
    }
    if let Some(value) = keys.take("cookie_previous") {
        draft.cookie_previous = read_cookie(reader, value);
    }
    if let Some(port) = keys.take("port").and_then(|v| reader.integer(v, 1, 65_535)) {
        draft.port = port as u16;
    }
    if let Some(value) = keys.take("dns") {
        let items = reader.items(value).iter();
        draft.dns = Some(items.filter_map(|item| read_query(reader, item)).collect());
    }
    if let Some(value) = keys.take("dns_name") {
        draft.dns_name = reader.text(value).map(str::to_owned);
    }
    draft.peers = keys.take("peers").or(draft.peers);
    if let Some(count) = keys
        .take("expected")
        .and_then(|v| reader.integer(v, 1, 100_000))
    {
        draft.expected = count as u32;
    }
    if let Some(value) = keys.take("starts") {
        draft.starts = match &value.kind {
            Kind::Text(text) if text == "later" => None,
            Kind::Text(text) if units::duration(text).is_some() => units::duration(text),
            _ => reader.wrong(
                value,
                "a time such as `10s`, or `later` for a step that starts it",
            ),
        };
    }
    if let Some(ready) = keys.take("ready").and_then(|value| reader.flag(value)) {
        draft.ready = ready;
    }
    if let Some(millis) = keys
        .take("clock")
        .and_then(|value| offset_ms(reader, value))
    {
        draft.clock_ms = millis;
    }
    if let Some(value) = keys.take("settings") {
        settings::read(reader, value, &mut draft.settings);
    }
}

/// A duration with a sign, in milliseconds: `+1h`, `-500ms`.
pub(crate) fn offset_ms(reader: &mut Reader<'_>, value: &Value) -> Option<i64> {
    let read = |text: &str| {
        let (sign, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        let millis = i64::try_from(units::duration(rest)?.as_millis()).ok()?;
        Some(sign * millis)
    };
    let text = reader.text(value)?;
    read(text).or_else(|| reader.wrong(value, "a signed duration such as `+1h` or `-500ms`"))
}

fn read_label(reader: &mut Reader<'_>, value: &Value, what: &'static str) -> Option<Label> {
    let text = reader.text(value)?;
    match Label::new(what, text) {
        Ok(label) => Some(label),
        Err(error) => {
            reader.error(Diagnostic::new(value.span.clone(), error.to_string()).label("here"));
            None
        }
    }
}

fn read_cookie(reader: &mut Reader<'_>, value: &Value) -> Option<String> {
    let text = reader.text(value)?;
    if text.len() < COOKIE_MIN {
        let message = format!("a cookie of {} bytes is refused by every node", text.len());
        let short = Diagnostic::new(value.span.clone(), message);
        reader.error(short.label(format!("at least {COOKIE_MIN} bytes")));
        return None;
    }
    Some(text.to_owned())
}

/// `name`, `name=basename` or `srv:name`.
fn read_query(reader: &mut Reader<'_>, value: &Value) -> Option<Query> {
    let text = reader.text(value)?;
    let (srv, rest) = text
        .strip_prefix("srv:")
        .map_or((false, text), |rest| (true, rest));
    let (name, basename) = match rest.split_once('=') {
        None => (rest, None),
        Some((name, basename)) => match Basename::new(basename) {
            Ok(basename) => (name, Some(basename)),
            Err(error) => {
                reader.error(Diagnostic::new(value.span.clone(), error.to_string()).label("here"));
                return None;
            }
        },
    };
    if name.is_empty() || name.contains(char::is_whitespace) {
        return reader.wrong(
            value,
            "a DNS name, with `=basename` behind it where it differs",
        );
    }
    Some(Query {
        name: name.to_owned(),
        srv,
        basename,
    })
}

pub(crate) fn address(reader: &mut Reader<'_>, value: &Value) -> Option<IpAddr> {
    let text = reader.text(value)?;
    match text.parse::<IpAddr>() {
        Ok(ip) if !ip.is_unspecified() && !ip.is_multicast() => Some(ip),
        _ => reader.wrong(value, "an IP address such as `10.0.0.9`"),
    }
}

/// Gives every node its address, and completes it.
fn place(reader: &mut Reader<'_>, placed: Vec<Placed<'_>>) {
    let given: BTreeSet<IpAddr> = placed
        .iter()
        .flat_map(|node| [node.draft.ip, node.draft.host])
        .flatten()
        .collect();
    let mut free = (0u32..)
        .map(|n| IpAddr::V4(Ipv4Addr::new(10, 0, (n / 250) as u8, (n % 250 + 1) as u8)))
        .filter(|ip| !given.contains(ip));
    let mut peers = Vec::new();
    for (index, node) in placed.into_iter().enumerate() {
        let Placed { key, span, draft } = node;
        let ip = draft
            .ip
            .unwrap_or_else(|| free.next().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let address = SocketAddr::new(ip, draft.port);
        let name = NodeName::new(draft.app.clone(), address);
        let mut description = Description::of(&name);
        description.id = draft.id.unwrap_or(description.id);
        description.region = draft.region;
        description.version = draft.version;
        description.roles = draft.roles;
        let own_name = format!("{}.internal", draft.app);
        let own = || Query {
            name: draft.dns_name.clone().unwrap_or_else(|| own_name.clone()),
            srv: false,
            basename: None,
        };
        let queries = draft.dns.unwrap_or_else(|| vec![own()]);
        let id = NodeId(index as u32);
        if description.region != Label::unknown() {
            reader
                .names
                .add_to(Origin::Region, description.region.as_str(), &[id]);
        }
        for role in &description.roles {
            reader.names.add_to(Origin::Role, role.as_str(), &[id]);
        }
        peers.push(draft.peers);
        let loc = reader.loc(&span);
        reader.nodes.push(NodeSpec {
            key,
            loc,
            basename: draft.app,
            address,
            host: draft.host.unwrap_or(ip),
            dns_name: draft.dns_name.unwrap_or_else(|| own_name.clone()),
            cluster: draft.cluster,
            description,
            cookie: draft.cookie,
            cookie_previous: draft.cookie_previous,
            queries,
            peers: Vec::new(),
            expected_nodes: draft.expected,
            settings: draft.settings,
            starts: draft.starts,
            ready: draft.ready,
            clock_offset_ms: draft.clock_ms,
        });
    }
    resolve_peers(reader, &peers);
    refuse_shared_hosts(reader);
}

fn resolve_peers(reader: &mut Reader<'_>, peers: &[Option<&Value>]) {
    for (index, value) in peers.iter().enumerate() {
        let Some(value) = value else { continue };
        let Some(found) = reader.node_set(value) else {
            continue;
        };
        let me = NodeId(index as u32);
        let others = found.into_iter().filter(|peer| *peer != me);
        let names = others
            .map(|peer| reader.nodes[peer.index()].name())
            .collect();
        reader.nodes[index].peers = names;
    }
}

/// Two nodes that both start at a given time cannot stand at one address.
fn refuse_shared_hosts(reader: &mut Reader<'_>) {
    let mut seen: Vec<(IpAddr, u16, usize)> = Vec::new();
    let mut errors = Vec::new();
    for (index, node) in reader.nodes.iter().enumerate() {
        if node.starts.is_none() {
            continue;
        }
        let place = (node.host, node.address.port());
        match seen.iter().find(|(ip, port, _)| (*ip, *port) == place) {
            None => seen.push((place.0, place.1, index)),
            Some((ip, _, first)) => {
                let other = &reader.nodes[*first];
                let message = format!("`{}` and `{}` would both be at {ip}", other.key, node.key);
                errors.push(
                    Diagnostic::new(node.loc.span.clone(), message)
                        .label("give it `starts = \"later\"`, or `host`")
                        .also(other.loc.span.clone(), "the other one"),
                );
            }
        }
    }
    for error in errors {
        reader.error(error);
    }
}

fn read_groups(reader: &mut Reader<'_>, table: &Table) {
    for (key, value) in &table.entries {
        check_key(reader, key);
        if reader.names.is_node(&key.text) {
            let message = format!("`{}` is the name of a node", key.text);
            reader.error(Diagnostic::new(key.span.clone(), message).label("call it otherwise"));
        }
        if let Some(members) = reader.nodes(value) {
            reader.names.add_to(Origin::Group, &key.text, &members);
        }
    }
}

/// Complains of groups that no step, rule or link uses.
pub(super) fn refuse_unused_groups(reader: &mut Reader<'_>, groups: Option<&Value>) {
    let Some(Value {
        kind: Kind::Table(table),
        ..
    }) = groups
    else {
        return;
    };
    for (key, _) in &table.entries {
        if !reader.names.is_used(&key.text) {
            let message = format!("nothing uses the group `{}`", key.text);
            reader.error(Diagnostic::new(key.span.clone(), message).label("take it away"));
        }
    }
}

/// Complains of nodes that nothing ever starts.
pub(super) fn refuse_idle_nodes(reader: &mut Reader<'_>) {
    let idle: Vec<Diagnostic> = reader
        .nodes
        .iter()
        .enumerate()
        .filter(|(index, node)| {
            node.starts.is_none() && !reader.started.contains_key(&NodeId(*index as u32))
        })
        .map(|(_, node)| {
            Diagnostic::new(
                node.loc.span.clone(),
                format!("nothing ever starts `{}`", node.key),
            )
            .label("it starts `later`, and no step has `start` with it")
        })
        .collect();
    for diagnostic in idle {
        reader.error(diagnostic);
    }
}
