//! A plan while it is drawn: its steps, and when each node runs, so that each step can be carried out.
//!
//! 1. For each node the plan keeps spans of time that do not overlap: it is gone, it is frozen, or some fault
//!    needs it to run. A fault that finds no room is not drawn.
//! 2. Several faults may hold or slow the same path at once; the path is freed when the last of them
//!    ends.
//! 3. Everything that begins has an end within the window.

use core::time::Duration;
use std::collections::BTreeSet;

use super::cast::{Cast, Player};
use crate::scenario::show_duration;

/// One direction between two nodes.
pub(crate) type Way = (Player, Player);

/// One step: a verb with its value, at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// When.
    pub(crate) at: Duration,
    /// As in a file: `vanish = "b"`.
    pub(crate) text: String,
}

/// The order at a time, until the plan is finished.
#[derive(Debug, Clone)]
enum Order {
    /// As in a file.
    Text(String),
    /// These nodes start.
    Start(Vec<Player>),
}

/// From a time on, a node starts with these changes to the file: `cookie = "…"`.
#[derive(Debug, Clone)]
struct Variant {
    from: Duration,
    keys: String,
}

/// The state of a node during a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Is {
    /// Without a process.
    Gone,
    /// With a process that is frozen.
    Frozen,
    /// Running, and nothing else may be ordered.
    Needed,
}

/// A span of time of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    pub(crate) is: Is,
}

/// A hindrance of some paths, or of some answers of DNS.
#[derive(Debug, Clone)]
struct Hindrance<T> {
    what: BTreeSet<T>,
    from: Duration,
    until: Duration,
    is_hold: bool,
}

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) cast: &'a Cast,
    /// The window of all faults.
    pub(crate) window: Window,
    orders: Vec<(Duration, Order)>,
    /// By node, in the order of time.
    variants: Vec<Vec<Variant>>,
    spans: Vec<Vec<Span>>,
    cuts: Vec<Hindrance<Way>>,
    slowed: Vec<Hindrance<Way>>,
    /// DNS names, each with a node that gets false answers about it.
    told: Vec<Hindrance<(String, Player)>>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(cast: &'a Cast, window: Window) -> Self {
        Plan {
            cast,
            window,
            orders: Vec::new(),
            variants: vec![Vec::new(); cast.nodes.len()],
            spans: vec![Vec::new(); cast.nodes.len()],
            cuts: Vec::new(),
            slowed: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Adds a step.
    pub(crate) fn say(&mut self, at: Duration, text: impl Into<String>) {
        self.orders.push((at, Order::Text(text.into())));
    }

    /// Starts nodes, with their changes at that time.
    pub(crate) fn start(&mut self, at: Duration, nodes: &[Player]) {
        self.orders.push((at, Order::Start(nodes.to_vec())));
    }

    /// From a time on a node starts with these keys.
    pub(crate) fn vary(&mut self, node: Player, from: Duration, keys: &str) {
        let keys = keys.to_owned();
        self.variants[node].push(Variant { from, keys });
        self.variants[node].sort_by_key(|variant| variant.from);
    }

    /// The end of an item that begins at `from` and would last for `lasts`.
    pub(crate) fn end(&self, from: Duration, lasts: Duration) -> Duration {
        (from + lasts).min(self.window.until)
    }

    /// Takes a span of a node's time, if it is free and the node has been started by then.
    pub(crate) fn take(&mut self, node: Player, is: Is, from: Duration, until: Duration) -> bool {
        let starts = self.cast.nodes[node].starts;
        let free = |span: &Span| until < span.from || span.until < from;
        let fits = from < until
            && until <= self.window.until
            && starts.is_some_and(|starts| starts < from)
            && self.spans[node].iter().all(free);
        if fits {
            self.spans[node].push(Span { from, until, is });
            self.spans[node].sort_by_key(|span| span.from);
        }
        fits
    }

    /// Ends a process with this verb, and starts it again. False: there is no room for that.
    pub(crate) fn away(
        &mut self,
        node: Player,
        verb: &str,
        from: Duration,
        until: Duration,
    ) -> bool {
        let fits = self.take(node, Is::Gone, from, until);
        if fits {
            self.say(from, format!("{verb} = {}", self.cast.name(node)));
            self.start(until, &[node]);
        }
        fits
    }

    /// Freezes a process for a while. False: there is no room for that.
    pub(crate) fn freeze(&mut self, node: Player, from: Duration, until: Duration) -> bool {
        let fits = self.take(node, Is::Frozen, from, until);
        if fits {
            self.say(from, format!("pause = {}", self.cast.name(node)));
            self.say(until, format!("resume = {}", self.cast.name(node)));
        }
        fits
    }

    /// Hinders, with a verb, the paths from each of `from` to each of `to`, and back if `both`.
    pub(crate) fn hinder(
        &mut self,
        (verb, extra): (&str, &str),
        (a, b, both): (&[Player], &[Player], bool),
        (from, until): (Duration, Duration),
    ) {
        let paths = self.paths(a, b, both);
        self.say(from, format!("{verb} = {{ {paths}{extra} }}"));
        self.cuts.push(Hindrance {
            what: ways(a, b, both),
            from,
            until,
            is_hold: verb == "hold",
        });
    }

    /// Cuts the nodes into two sides.
    pub(crate) fn partition(
        &mut self,
        (a, b): (&[Player], &[Player]),
        how: &str,
        (from, until): (Duration, Duration),
    ) {
        let side = |nodes: &[Player]| match self.cast.list(nodes) {
            list if list.starts_with('[') => list,
            one => format!("[{one}]"),
        };
        let (left, right) = (side(a), side(b));
        let text = format!("partition = {{ sides = [{left}, {right}], how = \"{how}\" }}");
        self.say(from, text);
        self.cuts.push(Hindrance {
            what: ways(a, b, true),
            from,
            until,
            is_hold: false,
        });
    }

    /// Gives paths another shape for a while.
    pub(crate) fn slow(
        &mut self,
        shape: &str,
        (a, b): (&[Player], &[Player]),
        (from, until): (Duration, Duration),
    ) {
        let paths = self.paths(a, b, true);
        self.say(from, format!("slow = {{ {paths}, {shape} }}"));
        self.slowed.push(Hindrance {
            what: ways(a, b, true),
            from,
            until,
            is_hold: false,
        });
    }

    /// Answers a name to some nodes in this way for a while: `is = "fails"`.
    pub(crate) fn tell(
        &mut self,
        mode: &str,
        (name, seen_by): (&str, &[Player]),
        (from, until): (Duration, Duration),
    ) {
        let askers = self.cast.list(seen_by);
        let text = format!("dns = {{ {mode}, name = {name:?}, seen_by = {askers} }}");
        self.say(from, text);
        self.told.push(Hindrance {
            what: seen_by
                .iter()
                .map(|node| (name.to_owned(), *node))
                .collect(),
            from,
            until,
            is_hold: false,
        });
    }

    fn paths(&self, a: &[Player], b: &[Player], both: bool) -> String {
        let (a, b) = (self.cast.list(a), self.cast.list(b));
        if both {
            format!("between = [{a}, {b}]")
        } else {
            format!("from = {a}, to = {b}")
        }
    }

    /// The number of steps so far.
    pub(crate) fn len(&self) -> usize {
        self.orders.len()
    }

    /// Whether a node can be given an order: it runs, and is not frozen.
    pub(crate) fn listens(&self, node: Player, at: Duration) -> bool {
        let starts = self.cast.nodes[node].starts;
        let hinders = |span: &Span| span.is != Is::Needed && span.from <= at && at < span.until;
        starts.is_some_and(|starts| starts <= at) && !self.spans[node].iter().any(hinders)
    }

    /// The lifetime of each process of a node, in the order of time.
    pub(crate) fn lives(&self, node: Player) -> Vec<Window> {
        let mut from = self.cast.nodes[node].starts;
        let mut lives = Vec::new();
        for span in self.spans[node].iter().filter(|span| span.is == Is::Gone) {
            let until = span.from;
            lives.extend(from.map(|from| Window { from, until }));
            from = Some(span.until);
        }
        let until = self.window.until;
        lives.extend(from.map(|from| Window { from, until }));
        lives
    }

    /// The first moment from `at` on, and before `until`, at which a node can be given an order.
    pub(crate) fn listens_from(
        &self,
        node: Player,
        at: Duration,
        until: Duration,
    ) -> Option<Duration> {
        let starts = self.cast.nodes[node].starts?;
        let ends = self.spans[node].iter().map(|span| span.until);
        let mut moments: Vec<Duration> = ends.chain([at, starts]).collect();
        moments.sort_unstable();
        let mut moments = moments.into_iter();
        moments.find(|moment| (at..until).contains(moment) && self.listens(node, *moment))
    }

    /// Gives an order to each process of a node, as soon as it lives and `from` has passed.
    pub(crate) fn order_each_life(&mut self, node: Player, from: Duration, text: &str) {
        for life in self.lives(node) {
            if let Some(at) = self.listens_from(node, life.from.max(from), life.until) {
                self.say(at, text);
            }
        }
    }

    /// The length of the longest cut, or of a longer absence or freeze of a node.
    pub(crate) fn longest_outage(&self) -> Duration {
        let cuts = self.cuts.iter().map(|cut| cut.until - cut.from);
        let spans = self
            .spans
            .iter()
            .flatten()
            .map(|span| span.until - span.from);
        cuts.chain(spans).max().unwrap_or_default()
    }

    /// All steps in the order of time, with the steps that end each fault.
    pub(crate) fn finish(mut self) -> Vec<Step> {
        self.end_cuts();
        for ended in ends(&self.slowed) {
            for (a, b) in grouped(&ended.1) {
                let (a, b) = (self.cast.name(a), self.cast.list(&b));
                let text = format!("slow = {{ from = {a}, to = {b}, back = true }}");
                self.say(ended.0, text);
            }
        }
        for (at, told) in ends(&self.told) {
            let names: BTreeSet<String> = told.iter().map(|(name, _)| name.clone()).collect();
            for name in names {
                let askers = told.iter().filter(|(of, _)| *of == name);
                let askers: Vec<Player> = askers.map(|(_, node)| *node).collect();
                let askers = self.cast.list(&askers);
                let text =
                    format!("dns = {{ is = \"truth\", name = {name:?}, seen_by = {askers} }}");
                self.say(at, text);
            }
        }
        let orders = core::mem::take(&mut self.orders);
        let mut steps: Vec<Step> = orders
            .into_iter()
            .flat_map(|(at, order)| self.written(at, order))
            .collect();
        // Steps at one moment stay in the order in which they were drawn.
        steps.sort_by_key(|step| step.at);
        steps
    }

    /// The steps of one order.
    fn written(&self, at: Duration, order: Order) -> Vec<Step> {
        let texts = match order {
            Order::Text(text) => vec![text],
            Order::Start(nodes) => nodes.iter().map(|node| self.started(at, *node)).collect(),
        };
        texts.into_iter().map(|text| Step { at, text }).collect()
    }

    fn variant(&self, at: Duration, node: Player) -> Option<&Variant> {
        let variants = self.variants[node].iter();
        variants.take_while(|variant| variant.from <= at).last()
    }

    fn started(&self, at: Duration, node: Player) -> String {
        let name = self.cast.name(node);
        match self.variant(at, node) {
            None => format!("start = {name}"),
            Some(Variant { keys, .. }) => format!("start = {{ nodes = {name}, {keys} }}"),
        }
    }

    fn end_cuts(&mut self) {
        for (at, ways) in ends(&self.cuts) {
            // A cut that ended during a hold is ended with the hold: `release` would leave it.
            let was_cut = |cut: &Hindrance<Way>| {
                !cut.is_hold && cut.until <= at && !cut.what.is_disjoint(&ways)
            };
            let verb = if self.cuts.iter().any(was_cut) {
                "heal"
            } else {
                "release"
            };
            for (a, b) in grouped(&ways) {
                let (a, b) = (self.cast.name(a), self.cast.list(&b));
                self.say(at, format!("{verb} = {{ from = {a}, to = {b} }}"));
            }
        }
    }
}

/// From each of some nodes to each of others, and back.
fn ways(a: &[Player], b: &[Player], both: bool) -> BTreeSet<Way> {
    let pairs = a.iter().flat_map(|a| b.iter().map(|b| (*a, *b)));
    let pairs = pairs.filter(|(a, b)| a != b);
    let there_and_back = pairs.flat_map(|(a, b)| [Some((a, b)), both.then_some((b, a))]);
    there_and_back.flatten().collect()
}

/// By the time of each end: everything that no other hindrance continues.
fn ends<T: Ord + Clone>(all: &[Hindrance<T>]) -> Vec<(Duration, BTreeSet<T>)> {
    let times: BTreeSet<Duration> = all.iter().map(|one| one.until).collect();
    let freed = |at: Duration| {
        let over = all.iter().filter(|one| one.until == at);
        let over: BTreeSet<T> = over.flat_map(|one| one.what.iter().cloned()).collect();
        let going_on = |what: &T| {
            let mut others = all.iter();
            others.any(|one| one.from <= at && at < one.until && one.what.contains(what))
        };
        over.into_iter().filter(|what| !going_on(what)).collect()
    };
    let times = times.into_iter();
    times
        .map(|at| (at, freed(at)))
        .filter(|(_, freed): &(_, BTreeSet<T>)| !freed.is_empty())
        .collect()
}

/// Ways by their source.
fn grouped(ways: &BTreeSet<Way>) -> Vec<(Player, Vec<Player>)> {
    let from: BTreeSet<Player> = ways.iter().map(|(from, _)| *from).collect();
    let to = |node: Player| {
        let own = ways.iter().filter(|(from, _)| *from == node);
        own.map(|(_, to)| *to).collect()
    };
    from.into_iter().map(|node| (node, to(node))).collect()
}

/// A duration in quotes, as in a file.
pub(crate) fn quoted(time: Duration) -> String {
    format!("\"{}\"", show_duration(time))
}
