//! The queries of a node, whatever their types.
//!
//! A [`Registry`] knows the queries by name and answers peers. A [`Subject`] is one key of one query:
//! it holds the query, so that whoever has one can gather and merge without the registry.

use core::any::{Any, TypeId};
use core::cmp::Ordering;
use core::fmt;
use core::panic::AssertUnwindSafe;
use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::depth;
use crate::metrics::SharedRecorder;
use crate::metrics::queries::{AllMethods, Leaderboard, MethodPerformance, Query, Realtime};
use crate::metrics::store::Entry;
use crate::name::NodeName;
use crate::plane::{Answer, CallError, Half, Reject};
use crate::time::Instant;

/// An answer of a query, of whatever type. [`Readout`](super::Readout) knows which.
pub type Value = Arc<dyn Any + Send + Sync>;

impl Entry<Value> {
    /// The same, where the value is an `A`.
    pub fn typed<A: Send + Sync + 'static>(&self) -> Option<Entry<A>> {
        let value = Value::clone(&self.value).downcast().ok()?;
        Some(self.with_value(value))
    }
}

/// Most queries of one node, the shipped ones included.
pub const QUERIES_MAX: usize = 64;
/// Longest name of a query, in bytes.
pub const QUERY_NAME_BYTES_MAX: usize = 120;
/// Largest key, in bytes as it is sent.
pub const KEY_BYTES_MAX: usize = 1_024;
/// Longest question of a peer that is looked into: a key, a name, and as much again for what later releases add.
const QUESTION_BYTES_MAX: usize = 4_096;

/// Why a query was not registered. The caller's fault; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// A query of that name is there.
    #[error("a query named `{0}` is registered")]
    Taken(&'static str),
    /// A name that is none.
    #[error("the name of a query has 1 to {QUERY_NAME_BYTES_MAX} bytes; `{0}` has {bytes}", bytes = .0.len())]
    Name(&'static str),
    /// There are as many as may be.
    #[error("`{0}` is one query too many: a node has at most {QUERIES_MAX}")]
    TooMany(&'static str),
}

/// Why a question cannot be asked. The caller's fault; nobody was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The query was not registered.
    #[error("no query named `{0}` is registered here")]
    NotRegistered(&'static str),
    /// The key is too large.
    #[error("a key of `{query}` has at most {KEY_BYTES_MAX} bytes; this one has {bytes}")]
    KeyTooLarge {
        /// The query.
        query: &'static str,
        /// The key's size.
        bytes: usize,
    },
    /// As many other keys are watched as may be.
    #[error("a key of `{query}` is one too many: at most {max} keys are watched at once")]
    TooManyWatched {
        /// The query.
        query: &'static str,
        /// How many may be.
        max: usize,
    },
    /// The key cannot be written.
    #[error("a key of `{query}` cannot be encoded: {problem}")]
    Unencodable {
        /// The query.
        query: &'static str,
        /// Why.
        problem: String,
    },
}

/// A question as it is sent.
#[derive(Serialize, Deserialize)]
struct Question<'a> {
    query: &'a str,
    key: Bytes,
}

/// A query without its types.
trait Registered: Send + Sync {
    fn query_type(&self) -> TypeId;
    /// This node's part, as it is sent.
    fn part(&self, now: Instant, key: &[u8]) -> Answer;
    /// Merges this node's part and those of others.
    fn merge(
        &self,
        now: Instant,
        key: &Value,
        me: &NodeName,
        parts: Vec<(NodeName, Bytes)>,
    ) -> Merged;
}

/// What merging came to.
#[derive(Default)]
pub(super) struct Merged {
    pub(super) value: Option<Value>,
    /// This node's own part is in the value.
    pub(super) own: bool,
    /// Others whose parts are.
    pub(super) answered: usize,
    /// Whose part is missing, and why.
    pub(super) failed: Vec<(NodeName, CallError)>,
}

struct Typed<Q>(Q);

impl<Q: Query> Typed<Q> {
    /// The query is code of the application: where it panics, it costs this part and no other.
    fn collect(&self, now: Instant, key: &Q::Key) -> Result<Q::Partial, Reject> {
        let collect = AssertUnwindSafe(|| self.0.collect(now, key));
        catch_unwind(collect).map_err(|_panic| {
            Reject::by_node(format!("collecting a part of `{}` panicked", Q::NAME))
        })
    }
}

impl<Q> Registered for Typed<Q>
where
    Q: Query,
{
    fn query_type(&self) -> TypeId {
        TypeId::of::<Q>()
    }

    fn part(&self, now: Instant, key: &[u8]) -> Answer {
        let key = match unpack::<Q::Key>(key) {
            Ok(key) => key,
            Err(problem) => {
                return Answer::Malformed(format!("no key of `{}`: {problem}", Q::NAME));
            }
        };
        let packed = self.collect(now, &key).and_then(|part| {
            pack(&part).map_err(|problem| {
                let query = Q::NAME;
                Reject::by_node(format!("a part of `{query}` cannot be encoded: {problem}"))
            })
        });
        packed.map_or_else(Answer::Rejected, Answer::Done)
    }

    fn merge(
        &self,
        now: Instant,
        key: &Value,
        me: &NodeName,
        parts: Vec<(NodeName, Bytes)>,
    ) -> Merged {
        let mut merged = Merged::default();
        let Some(key) = key.downcast_ref::<Q::Key>() else {
            return merged;
        };
        let mut read = Vec::new();
        match self.collect(now, key) {
            Ok(own) => read.push((me.clone(), own)),
            Err(reject) => merged
                .failed
                .push((me.clone(), CallError::Rejected(reject))),
        }
        merged.own = !read.is_empty();
        for (node, part) in parts {
            match unpack(&part) {
                Ok(part) => read.push((node, part)),
                Err(problem) => {
                    let problem = format!("no part of `{}`: {problem}", Q::NAME);
                    merged.failed.push((node, malformed(problem)));
                }
            }
        }
        merged.answered = read.len() - usize::from(merged.own);
        if !read.is_empty() {
            merged.value = Some(Arc::new(self.0.merge(key, read)));
        }
        merged
    }
}

fn malformed(problem: String) -> CallError {
    CallError::Malformed {
        half: Half::Answer,
        problem,
    }
}

/// See the module. Cheap to clone; a clone does not hear of what is registered later.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<&'static str, Arc<dyn Registered>>);

impl Registry {
    /// A registry of no queries.
    pub fn new() -> Self {
        Registry::default()
    }

    /// A registry of the shipped queries over a node's own calls.
    pub fn shipped(recorder: &SharedRecorder) -> Self {
        let mut registry = Registry::new();
        let calls = || recorder.clone();
        let shipped = [
            registry.register(Leaderboard(calls())),
            registry.register(Realtime(calls())),
            registry.register(MethodPerformance(calls())),
            registry.register(AllMethods(calls())),
        ];
        debug_assert!(shipped.iter().all(Result::is_ok));
        registry
    }

    /// Adds a query.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn register<Q: Query>(&mut self, query: Q) -> Result<(), RegisterError> {
        if Q::NAME.is_empty() || Q::NAME.len() > QUERY_NAME_BYTES_MAX {
            return Err(RegisterError::Name(Q::NAME));
        }
        if self.0.contains_key(Q::NAME) {
            return Err(RegisterError::Taken(Q::NAME));
        }
        if self.0.len() >= QUERIES_MAX {
            return Err(RegisterError::TooMany(Q::NAME));
        }
        self.0.insert(Q::NAME, Arc::new(Typed(query)));
        Ok(())
    }

    /// One key of one query.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn subject<Q: Query>(&self, key: &Q::Key) -> Result<Subject, AskError> {
        let registered = self.0.get(Q::NAME);
        let same_type = |query: &&Arc<dyn Registered>| query.query_type() == TypeId::of::<Q>();
        let Some(query) = registered.filter(same_type) else {
            return Err(AskError::NotRegistered(Q::NAME));
        };
        let encoded = pack(key).map_err(|problem| AskError::Unencodable {
            query: Q::NAME,
            problem,
        })?;
        if encoded.len() > KEY_BYTES_MAX {
            return Err(AskError::KeyTooLarge {
                query: Q::NAME,
                bytes: encoded.len(),
            });
        }
        Ok(Subject {
            name: Q::NAME,
            encoded,
            key: Arc::new(key.clone()),
            query: Arc::clone(query),
        })
    }

    /// This node's part of an answer that a peer asks for with `question`.
    pub fn answer(&self, now: Instant, question: &[u8]) -> Answer {
        if question.len() > QUESTION_BYTES_MAX {
            let bytes = question.len();
            return Answer::Malformed(format!(
                "a question of {bytes} bytes; {QUESTION_BYTES_MAX} are accepted"
            ));
        }
        if let Err(unfit) = depth::check(question) {
            return Answer::Malformed(unfit.to_string());
        }
        let question = match rmp_serde::from_slice::<Question<'_>>(question) {
            Ok(question) => question,
            Err(error) => return Answer::Malformed(error.to_string()),
        };
        match self.0.get(question.query) {
            Some(query) if question.key.len() <= KEY_BYTES_MAX => query.part(now, &question.key),
            Some(_) => {
                let bytes = question.key.len();
                Answer::Malformed(format!(
                    "a key of {bytes} bytes; {KEY_BYTES_MAX} are accepted"
                ))
            }
            None => Answer::Rejected(Reject {
                code: CODE_NOT_REGISTERED,
                message: format!("no query named `{}` is registered here", question.query),
            }),
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// One key of one query: what an answer is kept under. Equal are those of the same query whose keys
/// are sent as the same bytes.
#[derive(Clone)]
pub struct Subject {
    name: &'static str,
    encoded: Bytes,
    key: Value,
    query: Arc<dyn Registered>,
}

impl Subject {
    /// The query's name.
    pub fn query(&self) -> &'static str {
        self.name
    }

    /// The key, where it is one of `Q`.
    pub fn key<Q: Query>(&self) -> Option<&Q::Key> {
        if self.query.query_type() == TypeId::of::<Q>() {
            self.key.downcast_ref()
        } else {
            None
        }
    }

    /// The question as it is sent.
    pub(super) fn question(&self) -> Bytes {
        let question = Question {
            query: self.name,
            key: self.encoded.clone(),
        };
        pack(&question).expect("two byte strings can be written")
    }

    /// The cluster's answer from what nodes said; those whose part cannot be read, or is larger than
    /// `part_bytes_max` and is not, become failures.
    pub(super) fn merge(
        &self,
        now: Instant,
        me: &NodeName,
        outcomes: Vec<(NodeName, Result<Bytes, CallError>)>,
        part_bytes_max: usize,
    ) -> Merged {
        let (mut parts, mut failed) = (Vec::new(), Vec::new());
        for (node, outcome) in outcomes {
            match outcome {
                Ok(part) if part.len() > part_bytes_max => {
                    let (name, bytes) = (self.name, part.len());
                    let problem = format!(
                        "a part of `{name}` of {bytes} bytes; {part_bytes_max} are accepted"
                    );
                    failed.push((node, malformed(problem)));
                }
                Ok(part) => parts.push((node, part)),
                Err(error) => failed.push((node, error)),
            }
        }
        let mut merged = self.query.merge(now, &self.key, me, parts);
        merged.failed.append(&mut failed);
        merged.failed.sort_by(|a, b| a.0.cmp(&b.0));
        merged
    }

    fn parts(&self) -> (&str, &[u8]) {
        (self.name, &self.encoded)
    }
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Subject {}

impl PartialOrd for Subject {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Subject {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} bytes)", self.name, self.encoded.len())
    }
}

fn pack(value: &impl Serialize) -> Result<Bytes, String> {
    let bytes = rmp_serde::to_vec_named(value).map_err(|error| error.to_string())?;
    // Every receiver would refuse it.
    depth::check(&bytes).map_err(|unfit| unfit.to_string())?;
    Ok(bytes.into())
}

/// What a peer has sent, as the type that was asked for; or what is wrong with it.
fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    depth::check(bytes).map_err(|unfit| unfit.to_string())?;
    rmp_serde::from_slice(bytes).map_err(|error| error.to_string())
}

/// The code with which a node refuses a query that it does not know.
pub const CODE_NOT_REGISTERED: u32 = 1;
