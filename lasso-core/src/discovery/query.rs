//! Queries to DNS, and their states.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{Basename, NameError};

/// One name to resolve, and the basename of the nodes at its addresses.
///
/// Written `name`, `name=basename`, `srv:name` or `srv:name=basename`.
///
/// ```
/// use lasso_core::discovery::Query;
///
/// let query: Query = "other-app.internal=phoenix".parse()?;
/// assert_eq!(query.basename.unwrap().as_str(), "phoenix");
/// # Ok::<(), lasso_core::discovery::QueryError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// The DNS name.
    pub name: String,
    /// Ask for SRV records, which name ports, rather than for addresses.
    pub srv: bool,
    /// The basename of the found nodes, if it is not this node's own.
    pub basename: Option<Basename>,
}

/// Why a text is not a query. The caller's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The DNS name is empty, too long, or contains a character that host names cannot have.
    #[error("`{0}` is not a DNS name of 1 to 253 letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// The text after the `=` is not a basename.
    #[error(transparent)]
    Basename(#[from] NameError),
}

impl core::str::FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let (name, basename) = match text.split_once('=') {
            Some((name, basename)) => (name, Some(Basename::new(basename.trim())?)),
            None => (text, None),
        };
        let name = name.trim();
        let (name, srv) = match name.strip_prefix("srv:") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > 253 || !name.bytes().all(allowed) {
            return Err(QueryError::Name(name.chars().take(253).collect()));
        }
        Ok(Query {
            name: name.to_owned(),
            srv,
            basename,
        })
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.srv { "srv:" } else { "" }, self.name)?;
        self.basename
            .iter()
            .try_for_each(|basename| write!(f, "={basename}"))
    }
}

/// The position of a query in the node's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueryId(pub u32);

/// The type of records that a query asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Services: targets with ports, which the driver resolves to addresses.
    Srv,
}

/// The state of a query, over all its families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryState {
    /// Not answered yet.
    Pending,
    /// The last answers were complete and had at least one address.
    Ok,
    /// The last answers had no address.
    Empty,
    /// One of the last answers was truncated.
    Truncated,
    /// The last tries failed, or one failed and the other had no address.
    Failed,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::A => "a",
            Family::Aaaa => "aaaa",
            Family::Srv => "srv",
        })
    }
}

impl fmt::Display for QueryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QueryState::Pending => "pending",
            QueryState::Ok => "ok",
            QueryState::Empty => "empty",
            QueryState::Truncated => "truncated",
            QueryState::Failed => "failed",
        })
    }
}

/// One query, as shown in the health answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryStatus {
    /// The query as configured.
    pub query: String,
    /// Its state.
    pub state: QueryState,
    /// Nodes in the last good answers, both families together.
    pub addresses: usize,
    /// Seconds since the last good answer.
    pub age_seconds: Option<u64>,
    /// Each family by itself: one may fail for ever while the other works.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<FamilyStatus>,
}

/// One family of a query, as shown in the health answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyStatus {
    /// The type of records.
    pub family: Family,
    /// Its state.
    pub state: QueryState,
    /// Nodes in the last good answer.
    pub addresses: usize,
    /// Seconds since the last good answer.
    pub age_seconds: Option<u64>,
    /// Why the last try failed, if it did.
    pub cause: Option<String>,
}
