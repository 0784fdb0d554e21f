//! Tracks which nodes subscribe, publish, serve and call in a file, so that a misspelt word is a mistake with a
//! place, and not a run in which nothing happens.

use core::ops::Range;
use std::collections::BTreeSet;
use std::sync::Arc;

use lasso_core::event::TOPOLOGY_TOPIC;

use super::errors::{Diagnostic, did_you_mean};
use super::model::NodeId;
use super::names::shorten;
use super::reader::Reader;
use super::value::{Kind, Value};

/// The identity of a profile's operator, who is no account.
pub const OPERATOR: &str = "operator";

/// An action of applications with a topic or a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Subscribe to a topic.
    Subscribe,
    /// Publish on a topic.
    Publish,
    /// Serve a method.
    Serve,
    /// Call a method of one node.
    Call,
    /// Call a method of many nodes.
    CallMany,
    /// Read metrics under a name.
    ReadMetrics,
    /// Open viewers of live events, by their name.
    View,
    /// Publish live events of a profile.
    Emit,
    /// Publish live events about requests to a provider.
    Route,
}

impl Deed {
    /// As in "no step above … `prices`".
    fn words(self) -> [&'static str; 2] {
        match self {
            Deed::Subscribe => ["subscribes to", "subscribe"],
            Deed::Publish => ["publishes on", "publish"],
            Deed::Serve => ["serves", "serve"],
            Deed::Call => ["calls", "call it"],
            Deed::ReadMetrics => ["reads metrics as", "read it"],
            Deed::CallMany => ["calls many nodes for", "call many nodes for it"],
            Deed::View => ["opens a viewer called", "open one"],
            Deed::Emit => ["emits events of", "emit some"],
            Deed::Route => ["routes requests to", "route some"],
        }
    }
}

/// Some nodes do something with some topics, or with a method.
#[derive(Debug)]
struct Use {
    deed: Deed,
    words: BTreeSet<Arc<str>>,
    nodes: BTreeSet<NodeId>,
    /// The name of the subscribers.
    called: Option<String>,
    /// Its place in the file.
    span: Range<usize>,
}

/// All uses in a file.
#[derive(Debug, Default)]
pub(super) struct Uses {
    all: Vec<Use>,
    /// A word could not be read, so a topic or method that seems unused may be used.
    unsure: bool,
    /// Words named by checks that also hold if nobody is reached.
    named: BTreeSet<String>,
    /// Topics with the nodes that must publish on them somewhere in the file.
    sources: Vec<(String, Value)>,
    /// Accounts with events or viewers.
    accounts: BTreeSet<String>,
    /// The identities of viewers, each of which must be one of these.
    guises: Vec<Value>,
}

impl Uses {
    fn with<'a>(&'a self, deed: Deed, word: &'a str) -> impl Iterator<Item = &'a Use> {
        let uses = self.all.iter();
        uses.filter(move |used| used.deed == deed && used.words.contains(word))
    }

    fn words(&self, deeds: &[Deed]) -> BTreeSet<&str> {
        let uses = self.all.iter().filter(|used| deeds.contains(&used.deed));
        uses.flat_map(|used| used.words.iter().map(AsRef::as_ref))
            .collect()
    }
}

impl Reader<'_> {
    /// Notes that a step makes applications do something with topics or a method. `None`: it could not be read,
    /// so no conclusion is drawn.
    pub fn note_use(
        &mut self,
        deed: Deed,
        words: Option<&[Arc<str>]>,
        nodes: Option<&[NodeId]>,
        called: Option<&str>,
        span: Range<usize>,
    ) {
        let Some(words) = words else {
            self.uses.unsure = true;
            return;
        };
        let all = || self.names.all().collect();
        self.uses.all.push(Use {
            deed,
            words: words.iter().cloned().collect(),
            nodes: nodes.map_or_else(all, |nodes| nodes.iter().copied().collect()),
            called: called.map(str::to_owned),
            span,
        });
    }

    /// Sets the nodes of the topics and methods that are read next, if the file names them.
    pub fn about(&mut self, on: Option<&Value>) {
        self.on = on.cloned();
    }

    /// Reads a topic or a method of a check, which the checked nodes must use in this way in a step above;
    /// `None` when a mistake was found.
    pub fn used(&mut self, value: &Value, deed: Deed) -> Option<String> {
        let word = self.text(value)?.to_owned();
        self.uses.named.insert(word.clone());
        if self.uses.unsure {
            return Some(word);
        }
        let nodes = self.uses.with(deed, &word).flat_map(|used| &used.nodes);
        let nodes: BTreeSet<NodeId> = nodes.copied().collect();
        if nodes.is_empty() {
            let nobody = self.nobody(&word, value.span.clone(), deed);
            self.error(nobody);
            return None;
        }
        let on = self.on.clone();
        self.refuse_idle(on.as_ref(), &nodes, deed, &word)
            .then_some(word)
    }

    /// Reads the name of subscribers of a topic, which the checked nodes must have; `None` when a mistake was
    /// found.
    pub fn used_name(&mut self, value: &Value, topic: Option<&str>) -> Option<String> {
        let name = self.text(value)?.to_owned();
        let Some(topic) = topic.filter(|_| !self.uses.unsure) else {
            return Some(name);
        };
        let uses = self.uses.with(Deed::Subscribe, topic);
        let called: BTreeSet<&str> = uses.filter_map(|used| used.called.as_deref()).collect();
        if called.contains(name.as_str()) {
            return Some(name);
        }
        let message = format!("no subscriber of `{topic}` above is called `{name}`");
        let unknown = Diagnostic::new(value.span.clone(), message);
        let unknown = with_close(unknown, &name, &called);
        self.error(unknown);
        None
    }

    /// Reports a provider to which no step above routes requests: it has no figures.
    pub fn refuse_provider_without_requests(&mut self, value: &Value) {
        let known = self.uses.words(&[Deed::Route]);
        let known = known.into_iter().map(str::to_owned).collect();
        self.refuse_without_requests(value, "to", &known);
    }

    /// Reports a region in which no step above routes requests: it has no figures.
    pub fn refuse_region_without_requests(&mut self, value: &Value) {
        let routes = self.uses.all.iter().filter(|used| used.deed == Deed::Route);
        let nodes: BTreeSet<NodeId> = routes.flat_map(|used| &used.nodes).copied().collect();
        let named = self.nodes.iter().enumerate();
        let busy = named.filter(|(index, _)| nodes.contains(&NodeId(*index as u32)));
        let known = busy.map(|(_, node)| node.description.region.to_string());
        let known = known.collect();
        self.refuse_without_requests(value, "in", &known);
    }

    fn refuse_without_requests(&mut self, value: &Value, how: &str, known: &BTreeSet<String>) {
        let Kind::Text(word) = &value.kind else {
            return;
        };
        if self.uses.unsure || known.contains(word) {
            return;
        }
        let message = format!("no step above routes requests {how} `{word}`");
        let unknown = Diagnostic::new(value.span.clone(), message);
        let known = known.iter().map(String::as_str).collect();
        let unknown = with_close(unknown, word, &known);
        self.error(unknown);
    }

    /// Remembers that these nodes must publish on a topic somewhere in the file.
    pub fn needs_sources(&mut self, topic: &str, nodes: &Value) {
        self.uses.sources.push((topic.to_owned(), nodes.clone()));
    }

    /// Remembers that this account exists.
    pub fn note_account(&mut self, account: &str) {
        self.uses.accounts.insert(account.to_owned());
    }

    /// Remembers that this must be [`OPERATOR`], or an account somewhere in the file.
    pub fn needs_account(&mut self, value: &Value) {
        self.uses.guises.push(value.clone());
    }

    /// Reports viewers with an identity that appears nowhere else in the file.
    pub(super) fn refuse_unknown_accounts(&mut self) {
        for guise in core::mem::take(&mut self.uses.guises) {
            let Kind::Text(name) = &guise.kind else {
                continue;
            };
            let accounts = self.uses.accounts.iter().map(String::as_str);
            let known: BTreeSet<&str> = accounts.chain([OPERATOR]).collect();
            if !known.contains(name.as_str()) {
                let message = format!("nothing in the file is of an account `{name}`");
                let unknown = Diagnostic::new(guise.span.clone(), message);
                let unknown = match did_you_mean(name, known.iter().copied()) {
                    Some(close) => unknown.label(format!("did you mean `{close}`?")),
                    None => unknown.label("here"),
                };
                let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
                let unknown = unknown.help(format!("one asks as {}", shorten(&known)));
                self.error(unknown);
            }
        }
    }

    fn nobody(&self, word: &str, span: Range<usize>, deed: Deed) -> Diagnostic {
        let [does, _] = deed.words();
        let known = self.uses.words(&[deed]);
        let nobody = Diagnostic::new(span, format!("no step above {does} `{word}`"));
        with_close(nobody, word, &known)
    }

    /// Reports each name in a list whose nodes do not do this; false if there was one.
    fn refuse_idle(
        &mut self,
        named: Option<&Value>,
        busy: &BTreeSet<NodeId>,
        deed: Deed,
        word: &str,
    ) -> bool {
        let errors = self.error_count();
        let [does, busy_do] = deed.words();
        for item in named.map_or(&[][..], |value| self.items(value)) {
            let Kind::Text(name) = &item.kind else {
                continue;
            };
            let Ok(nodes) = self.names.resolve(name, item.span.clone()) else {
                continue;
            };
            if nodes.is_disjoint(busy) {
                let who: Vec<&str> = busy.iter().map(|node| self.names.key(*node)).collect();
                let label = format!("those that {busy_do}: {}", shorten(&who));
                let message = format!("`{name}` never {does} `{word}`");
                self.error(Diagnostic::new(item.span.clone(), message).label(label));
            }
        }
        self.error_count() == errors
    }

    /// Reports topics and methods without a counterpart, once the whole file is known.
    pub(super) fn refuse_unused_words(&mut self) {
        if self.uses.unsure {
            return;
        }
        let calls = &[Deed::Call, Deed::CallMany][..];
        let mut errors = Vec::new();
        for used in &self.uses.all {
            let (takers, nobody, help) = match used.deed {
                Deed::Publish => (
                    &[Deed::Subscribe][..],
                    "nobody subscribes to",
                    "let somebody subscribe, or say that it reaches nobody: `reached = { topic = \"…\", nodes = 0 }`",
                ),
                Deed::Call | Deed::CallMany => (
                    &[Deed::Serve][..],
                    "nobody serves",
                    "let somebody serve it, or say how the calls end: `outcomes = { method = \"…\", no_such_method = 1 }`",
                ),
                Deed::Serve => (
                    calls,
                    "nobody calls",
                    "take it away, or let somebody call it",
                ),
                Deed::Subscribe | Deed::View | Deed::Emit | Deed::Route | Deed::ReadMetrics => {
                    continue;
                }
            };
            let is_named = |word: &Arc<str>| self.uses.named.contains(word.as_ref());
            let taken = self.uses.words(takers);
            let goes_somewhere = |word: &Arc<str>| {
                taken.contains(word.as_ref()) || (used.deed != Deed::Serve && is_named(word))
            };
            if let Some(word) = used.words.first()
                && !used.words.iter().any(goes_somewhere)
            {
                let lost = Diagnostic::new(used.span.clone(), format!("{nobody} `{word}`"));
                let lost = match did_you_mean(word, taken) {
                    Some(close) => lost.label(format!("did you mean `{close}`?")),
                    None => lost.label("nothing comes of it"),
                };
                errors.push(lost.help(help));
            }
        }
        for error in errors {
            self.error(error);
        }
        for (topic, nodes) in core::mem::take(&mut self.uses.sources) {
            // Every node publishes on this topic by itself.
            if *topic == *TOPOLOGY_TOPIC {
                continue;
            }
            let sources = self.uses.with(Deed::Publish, &topic);
            let busy = sources
                .flat_map(|used| used.nodes.iter().copied())
                .collect();
            self.refuse_idle(Some(&nodes), &busy, Deed::Publish, &topic);
        }
    }
}

/// Adds a suggestion in place of `word`.
fn with_close(diagnostic: Diagnostic, word: &str, known: &BTreeSet<&str>) -> Diagnostic {
    let close = did_you_mean(word, known.iter().copied());
    let known: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
    let diagnostic = match close {
        Some(close) => diagnostic.label(format!("did you mean `{close}`?")),
        None => diagnostic.label("here"),
    };
    if known.is_empty() {
        diagnostic
    } else {
        diagnostic.help(format!("above there is {}", shorten(&known)))
    }
}
