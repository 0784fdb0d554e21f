//! The identity of a node: names, incarnations, descriptions.
//!
//! A node name is `basename@ip:port`. The port is omitted if it is the default, 9155. An IPv6 address is always
//! in brackets, with or without a port: `app@[fdaa::3]`.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::bounded;
use crate::text::is_hidden;

/// The default port for links, and the port of a node name without one.
pub const DEFAULT_PORT: u16 = 9155;
/// Longest basename, in bytes.
pub const BASENAME_MAX: usize = 64;
/// Longest cluster name, node id, region, role or version, in bytes.
pub const LABEL_MAX: usize = 128;
/// Most roles that a node may have.
pub const ROLES_MAX: usize = 32;

/// Why a text is not a name. This is the caller's fault; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text has no `@` between basename and address.
    #[error("`{0}` has no `@`: a node name is `basename@ip` or `basename@ip:port`")]
    NoAt(String),
    /// The basename is empty, too long, or contains a forbidden character.
    #[error("basename `{0}` is not 1 to 64 letters, digits, `-`, `_` or `.`")]
    Basename(String),
    /// The text after the `@` is not an address.
    #[error(
        "`{0}` is not an IP address with an optional port (`10.0.0.5`, `10.0.0.5:9155`, `[fdaa::3]:9155`)"
    )]
    Address(String),
    /// A label is empty, too long, or contains an invisible character.
    #[error("{what} `{text}` is not 1 to 128 bytes without control and other invisible characters")]
    Label {
        /// Which label.
        what: &'static str,
        /// The text that was refused.
        text: String,
    },
    /// More roles than [`ROLES_MAX`].
    #[error("{0} roles are more than 32")]
    Roles(usize),
}

/// The part of a node name before the `@`: the same on every node of an application.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Basename(Arc<str>);

impl Basename {
    /// Checks a basename: 1 to 64 ASCII letters, digits, `-`, `_` or `.`.
    ///
    /// # Errors
    /// [`NameError::Basename`] for anything else.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if text.is_empty() || text.len() > BASENAME_MAX || !text.bytes().all(allowed) {
            return Err(NameError::Basename(
                text.chars().take(BASENAME_MAX).collect(),
            ));
        }
        Ok(Basename(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `basename@ip:port`, the name of one node.
///
/// ```
/// use lasso_core::name::NodeName;
///
/// let name: NodeName = "lasso@10.0.0.5".parse()?;
/// assert_eq!(name.address().port(), 9155);
/// assert_eq!(name.to_string(), "lasso@10.0.0.5");
/// let v6: NodeName = "lasso@[fdaa::3]:4000".parse()?;
/// assert_eq!(v6.to_string(), "lasso@[fdaa::3]:4000");
/// # Ok::<(), lasso_core::name::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName {
    address: SocketAddr,
    basename: Basename,
}

impl NodeName {
    /// The name of the node of application `basename` at `address`.
    pub fn new(basename: Basename, address: SocketAddr) -> Self {
        // The flow label and zone of an IPv6 address are not part of a name, and an IPv4 address written as
        // IPv6 (`::ffff:10.0.0.5`) is the same host.
        NodeName {
            address: SocketAddr::new(address.ip().to_canonical(), address.port()),
            basename,
        }
    }

    /// A lower bound of all names at this address, in the order of names.
    pub(crate) fn first_at(ip: IpAddr) -> Self {
        NodeName {
            address: SocketAddr::new(ip, 0),
            basename: Basename("".into()),
        }
    }

    /// The part before the `@`.
    pub fn basename(&self) -> &Basename {
        &self.basename
    }

    /// Address and port at which the node accepts links.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The part after the `@`, without the port.
    pub fn host(&self) -> String {
        self.address.ip().to_string()
    }
}

/// Why no node can be dialled at an address; `None` if one can be.
///
/// ```
/// use lasso_core::name::undialable;
///
/// assert_eq!(undialable("10.0.0.5:9155".parse()?), None);
/// assert_eq!(undialable("0.0.0.0:9155".parse()?), Some("it stands for any address"));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
pub fn undialable(address: SocketAddr) -> Option<&'static str> {
    let ip = address.ip().to_canonical();
    let (broadcast, link_local) = match ip {
        IpAddr::V4(v4) => (v4.is_broadcast(), false),
        IpAddr::V6(v6) => (false, v6.is_unicast_link_local()),
    };
    let this_network = matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 0);
    if ip.is_unspecified() || this_network {
        Some("it stands for any address")
    } else if ip.is_multicast() {
        Some("it is a multicast address")
    } else if broadcast {
        Some("it is the broadcast address")
    } else if link_local {
        Some("it is link-local, and a node name has no zone such as `%eth0`")
    } else if address.port() == 0 {
        Some("port 0 is no port")
    } else {
        None
    }
}

impl FromStr for NodeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (basename, address) = text
            .split_once('@')
            .ok_or_else(|| NameError::NoAt(text.chars().take(200).collect()))?;
        Ok(NodeName::new(
            Basename::new(basename)?,
            parse_address(address)?,
        ))
    }
}

/// Reads `ip`, `ip:port`, `[ipv6]` or `[ipv6]:port`; without a port, 9155.
///
/// # Errors
/// [`NameError::Address`] for anything else.
pub fn parse_address(text: &str) -> Result<SocketAddr, NameError> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, DEFAULT_PORT));
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'))
        && let Ok(ip) = inner.parse::<IpAddr>()
    {
        return Ok(SocketAddr::new(ip, DEFAULT_PORT));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        _ => Err(NameError::Address(text.chars().take(200).collect())),
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.basename)?;
        match (self.address.ip(), self.address.port()) {
            (IpAddr::V4(ip), DEFAULT_PORT) => write!(f, "{ip}"),
            (IpAddr::V6(ip), DEFAULT_PORT) => write!(f, "[{ip}]"),
            _ => write!(f, "{}", self.address),
        }
    }
}

impl fmt::Display for Basename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! text_serde {
    ($type:ty, $parse:expr) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                $parse(&text).map_err(de::Error::custom)
            }
        }
    };
}

text_serde!(Basename, Basename::new);
text_serde!(NodeName, NodeName::from_str);
text_serde!(Label, |text| Label::new("label", text));

/// A short text about a node or its cluster: cluster name, id, region, role, version.
///
/// 1 to 128 bytes without control, format and other invisible characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Arc<str>);

impl Label {
    /// Checks a label; `what` names it in the error.
    ///
    /// # Errors
    /// [`NameError::Label`] when it is empty, longer than 128 bytes or contains an invisible character: see
    /// [`is_hidden`].
    pub fn new(what: &'static str, text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > LABEL_MAX || text.chars().any(is_hidden) {
            return Err(NameError::Label {
                what,
                text: text.escape_debug().take(LABEL_MAX).collect(),
            });
        }
        Ok(Label(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The label `unknown`, the default region of a node.
    pub fn unknown() -> Self {
        Label("unknown".into())
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number that grows each time a node of one name starts: the wall clock's milliseconds at the start, or one
/// more than the number that a peer already knows for that name.
///
/// Reading one from a peer fails above [`Incarnation::MAX`]: a node that claims more is lying, and no later
/// life of its name could ever follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// The last millisecond before the year 2500.
    pub const MAX: Incarnation = Incarnation(16_725_225_599_999);

    /// The least incarnation that is later than this one. Nothing is later than [`Incarnation::MAX`]: if it was
    /// claimed for a name, the node of that name continues under it, and no peer treats it as stale.
    #[must_use]
    pub fn next(self) -> Incarnation {
        Incarnation(self.0.saturating_add(1)).min(Incarnation::MAX)
    }
}

impl<'de> Deserialize<'de> for Incarnation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Incarnation(u64::deserialize(deserializer)?);
        if read > Incarnation::MAX {
            return Err(de::Error::custom("an incarnation beyond the year 2500"));
        }
        Ok(read)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The identity of the peer at the other end of a link, checked in the handshake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster that the node belongs to.
    pub cluster: Label,
    /// Its name, which holds its address.
    pub name: NodeName,
    /// Which life of that name this is.
    pub incarnation: Incarnation,
}

/// The description of a node, which its application may change while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Free text id; by default the host part of the name.
    pub id: Label,
    /// Region; `unknown` by default.
    pub region: Label,
    /// Roles, such as `web` and `ingestor`; at most 32.
    #[serde(deserialize_with = "bounded::set::<_, _, ROLES_MAX>")]
    pub roles: BTreeSet<Label>,
    /// Version of the application.
    pub version: Label,
}

impl Description {
    /// The default description of a node: id from its name, region `unknown`, no roles, version `0.0.0`.
    pub fn of(name: &NodeName) -> Self {
        Description {
            id: Label(name.host().into()),
            region: Label::unknown(),
            roles: BTreeSet::new(),
            version: Label("0.0.0".into()),
        }
    }

    /// Checks the bound on roles, which the types alone do not enforce.
    ///
    /// # Errors
    /// [`NameError::Roles`] for more than [`ROLES_MAX`].
    pub fn validate(&self) -> Result<(), NameError> {
        if self.roles.len() > ROLES_MAX {
            Err(NameError::Roles(self.roles.len()))
        } else {
            Ok(())
        }
    }
}
