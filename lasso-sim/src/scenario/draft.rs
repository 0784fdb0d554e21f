//! Reads the keys that a node and `[all]` have in common.

use core::time::Duration;
use std::collections::BTreeSet;
use std::net::IpAddr;

use lasso_core::config::Settings;
use lasso_core::discovery::Query;
use lasso_core::name::{Basename, DEFAULT_PORT, Label};

use super::errors::Diagnostic;
use super::reader::{Fields, Reader};
use super::settings;
use super::units;
use super::value::{Kind, Value};

/// The secret of nodes that name none.
const COOKIE: &str = "a secret for simulations only, 48 bytes of it....";
/// Shortest secret, in bytes.
const COOKIE_MIN: usize = 16;

/// A table of `[nodes]`, before addresses and counts are resolved.
#[derive(Debug, Clone)]
pub(super) struct Draft<'v> {
    pub(super) app: Basename,
    pub(super) cluster: Label,
    pub(super) region: Label,
    pub(super) roles: BTreeSet<Label>,
    pub(super) version: Label,
    pub(super) id: Option<Label>,
    pub(super) cookie: String,
    pub(super) cookie_previous: Option<String>,
    pub(super) ip: Option<IpAddr>,
    pub(super) host: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) dns: Option<Vec<Query>>,
    pub(super) dns_name: Option<String>,
    pub(super) peers: Option<&'v Value>,
    pub(super) expected: u32,
    pub(super) starts: Option<Duration>,
    /// The file gives no start, so the seed draws it.
    pub(super) spread: bool,
    pub(super) ready: bool,
    pub(super) clock_ms: i64,
    pub(super) settings: Settings,
}

fn label(text: &str) -> Label {
    Label::new("label", text).expect("a constant that is a label")
}

impl Draft<'_> {
    pub(super) fn new() -> Self {
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
            spread: true,
            ready: true,
            clock_ms: 0,
            settings: Settings::default(),
        }
    }
}

/// The keys that a node and `[all]` have in common.
pub(super) fn read_common<'v>(
    reader: &mut Reader<'_>,
    keys: &mut Fields<'v>,
    draft: &mut Draft<'v>,
) {
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
    read_cookies(reader, keys, draft);
    read_discovery(reader, keys, draft);
    if let Some(count) = keys
        .take("expected")
        .and_then(|v| reader.integer(v, 1, 100_000))
    {
        draft.expected = count as u32;
    }
    if let Some(value) = keys.take("starts") {
        draft.spread = false;
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

fn read_cookies(reader: &mut Reader<'_>, keys: &mut Fields<'_>, draft: &mut Draft<'_>) {
    if let Some(cookie) = keys
        .take("cookie")
        .and_then(|value| read_cookie(reader, value))
    {
        draft.cookie = cookie;
    }
    if let Some(value) = keys.take("cookie_previous") {
        draft.cookie_previous = read_cookie(reader, value);
    }
}

/// Reads how the node finds others, and how others find it.
fn read_discovery<'v>(reader: &mut Reader<'_>, keys: &mut Fields<'v>, draft: &mut Draft<'v>) {
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

pub(super) fn read_label(
    reader: &mut Reader<'_>,
    value: &Value,
    what: &'static str,
) -> Option<Label> {
    let text = reader.text(value)?;
    match Label::new(what, text) {
        Ok(label) => Some(label),
        Err(error) => {
            reader.error(Diagnostic::new(value.span.clone(), error.to_string()).label("here"));
            None
        }
    }
}

pub(crate) fn read_cookie(reader: &mut Reader<'_>, value: &Value) -> Option<String> {
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
