//! A message, and how it is held: by its one subscriber, or shared by many.
//!
//! A message for one subscriber is moved to it. One for many is shared as a whole, so that each
//! subscriber costs one count of references in a place that belongs to this message alone: counts
//! of what all messages have in common would be fought over by every processor.

use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use super::{Row, Source};

/// What a message says.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// Its topic and where it comes from.
    pub source: Arc<Source>,
    /// Its row of numbers.
    pub row: Row,
    /// Its number within source and row: grows by one from message to message.
    pub number: u64,
    /// The source's wall clock when it was published, in milliseconds since 1970.
    pub unix_ms: u64,
    /// What was published.
    pub payload: Bytes,
}

/// One message, as a subscriber gets it: see [`Content`]. Cheap to clone.
#[derive(Clone)]
pub struct Message(Held);

#[derive(Clone)]
enum Held {
    Own(Content),
    Shared(Arc<Content>),
}

impl Message {
    /// The same message, to be held by many.
    pub(super) fn shared(self) -> Message {
        match self.0 {
            Held::Own(content) => Message(Held::Shared(Arc::new(content))),
            Held::Shared(_) => self,
        }
    }

    /// What it says, for oneself alone.
    pub fn into_content(self) -> Content {
        match self.0 {
            Held::Own(content) => content,
            Held::Shared(content) => Arc::unwrap_or_clone(content),
        }
    }
}

impl From<Content> for Message {
    fn from(content: Content) -> Self {
        Message(Held::Own(content))
    }
}

impl Deref for Message {
    type Target = Content;

    fn deref(&self) -> &Content {
        match &self.0 {
            Held::Own(content) => content,
            Held::Shared(content) => content,
        }
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Message {}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.source.topic)
            .field("from", &self.source.node)
            .field("row", &self.row)
            .field("number", &self.number)
            .field("bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}
