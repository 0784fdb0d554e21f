//! Texts into values. Each parser says what is wrong; the table says what would be accepted.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lasso_core::discovery::{Query, QueryError};
use lasso_core::name::{DEFAULT_PORT, NameError, NodeName, undialable};

/// Reads `500ms`, `8s`, `2m` or `1h`.
///
/// # Errors
/// What is wrong with the text.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err("it does not start with a number".into());
    }
    let number: u64 = number.parse().map_err(|_| "the number is too large")?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" => return Err("the unit is missing".into()),
        _ => return Err(format!("`{}` is no unit", super::error::shown(unit))),
    };
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or("the number is too large".into())
}

/// Writes what [`duration`] reads.
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0 => "0s".into(),
        _ if millis.is_multiple_of(60_000) && millis > 60_000 => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

/// Reads a comma-separated list; blanks around the parts and empty parts are dropped.
pub(super) fn list<T>(
    text: &str,
    part: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    text.split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty())
        .map(part)
        .collect()
}

/// Reads one query: `name`, `srv:name`, `name=basename`.
pub(super) fn query(text: &str) -> Result<Query, String> {
    let query: Query = text.parse().map_err(|e: QueryError| e.to_string())?;
    let bare = query.name.strip_suffix('.').unwrap_or(&query.name);
    if bare.parse::<IpAddr>().is_ok() {
        return Err(format!(
            "`{bare}` is an address, not a name; CLUSTER_PEERS takes addresses"
        ));
    }
    if !bare.split('.').all(|label| (1..=63).contains(&label.len())) {
        return Err(format!("`{bare}` has a part that is not 1 to 63 bytes"));
    }
    Ok(query)
}

/// Reads a node name.
pub(super) fn node_name(text: &str) -> Result<NodeName, String> {
    let name: NodeName = text.parse().map_err(|e: NameError| e.to_string())?;
    reachable(name.address().ip())?;
    Ok(name)
}

/// Reads an address, also in brackets.
pub(super) fn ip(text: &str) -> Result<IpAddr, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse().map_err(|_| {
        let zoned = bare.contains('%');
        if zoned {
            ZONE
        } else {
            "it is not an IP address"
        }
        .into()
    })
}

/// Refuses addresses that nobody can dial.
pub(super) fn reachable(ip: IpAddr) -> Result<IpAddr, String> {
    match undialable(SocketAddr::new(ip, DEFAULT_PORT)) {
        Some(why) => Err(format!("peers cannot reach {ip}: {why}")),
        None => Ok(ip),
    }
}

/// Reads `ip:port`, or an address alone for port 53.
pub(super) fn dns_server(text: &str) -> Result<SocketAddr, String> {
    let address = match ip(text) {
        Ok(ip) => SocketAddr::new(ip, 53),
        Err(_) => match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => address,
            _ if text.contains('%') => return Err(ZONE.into()),
            _ => return Err("it is not an address with a port".into()),
        },
    };
    match address.ip() {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Err(ZONE.into()),
        _ => Ok(address),
    }
}

/// Why a link-local server is refused.
const ZONE: &str = "a link-local address needs a zone such as `%eth0`, and no zone is kept";

/// Reads a port.
pub(super) fn port(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err("it is not a port".into()),
    }
}

/// Reads a number of nodes.
pub(super) fn count(text: &str) -> Result<u32, String> {
    match text.parse::<u16>() {
        Ok(count) if count != 0 => Ok(count.into()),
        _ => Err("it is not a number of nodes".into()),
    }
}

/// Reads a truth value.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("it is neither true nor false".into()),
    }
}
