//! Conditions of a topology as a whole.

use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::secure::Security;

fn at(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

fn name(host: u8) -> NodeName {
    format!("a@10.0.0.{host}").parse().unwrap()
}

fn peer(host: u8, incarnation: u64) -> Identity {
    Identity {
        cluster: Label::new("cluster name", "lasso").unwrap(),
        name: name(host),
        incarnation: Incarnation(incarnation),
    }
}

fn config(host: u8) -> NodeConfig {
    NodeConfig::new(name(host), Security::InsecureNull)
}

fn topology() -> Topology {
    Topology::new(&config(1))
}

fn described(region: &str) -> Description {
    Description {
        region: Label::new("region", region).unwrap(),
        ..Description::of(&name(2))
    }
}

/// The frames among the orders, with whom they go to.
fn frames(orders: &[Order]) -> Vec<(NodeName, TopologyFrame)> {
    let sent = orders.iter().filter_map(|order| match order {
        Order::Send { to, frame } => Some((to.clone(), frame.clone())),
        _ => None,
    });
    sent.collect()
}

fn changes(orders: &[Order]) -> Vec<Change> {
    let events = orders.iter().filter_map(|order| match order {
        Order::Event(event) => Some(event.change.clone()),
        _ => None,
    });
    events.collect()
}

/// The answer of a healthy peer.
fn answer_of(frame: &TopologyFrame, region: &str, ready: bool) -> Option<TopologyFrame> {
    match frame {
        TopologyFrame::Describe { id } => Some(TopologyFrame::Description {
            id: *id,
            description: described(region),
            ready,
        }),
        TopologyFrame::Check { id, .. } => Some(TopologyFrame::Health {
            id: *id,
            ready,
            view_hash: 0,
            view: None,
        }),
        _ => None,
    }
}

/// Answers everything that the orders ask; returns what follows.
fn answer(topology: &mut Topology, now: Instant, orders: &[Order], ready: bool) -> Vec<Order> {
    let mut all = Vec::new();
    for (to, frame) in frames(orders) {
        if let Some(answer) = answer_of(&frame, "iad", ready) {
            all.extend(topology.receive(now, &to, answer));
        }
    }
    all
}

/// Runs every deadline up to `until`.
fn run(topology: &mut Topology, until: Instant) -> Vec<(Instant, Vec<Order>)> {
    let mut all = Vec::new();
    while let Some(now) = topology.deadline().filter(|deadline| *deadline <= until) {
        if topology.reconcile_due(now) {
            let standing: Vec<(NodeName, Incarnation)> = topology
                .members()
                .filter(|member| member.is_linked())
                .map(|member| (member.name().clone(), member.incarnation()))
                .collect();
            let standing = standing
                .iter()
                .map(|(name, incarnation)| (name, *incarnation));
            assert!(topology.reconcile(now, standing).is_empty());
        }
        let orders = topology.tick(now);
        if !orders.is_empty() {
            all.push((now, orders));
        }
    }
    all
}

fn state(topology: &Topology, host: u8) -> NodeState {
    topology.member(&name(host)).unwrap().state()
}

#[test]
fn a_node_is_asked_and_checked_at_once_and_goes_through_its_states() {
    let mut topology = topology();
    let orders = topology.link_up(at(0), &peer(2, 7));
    assert_eq!(state(&topology, 2), NodeState::Discovering);
    assert_eq!(
        changes(&orders),
        [Change::NodeConnected {
            name: name(2),
            incarnation: Incarnation(7)
        }]
    );
    let asked = frames(&orders);
    assert!(
        matches!(asked[0].1, TopologyFrame::Describe { .. }),
        "{asked:?}"
    );
    assert!(
        matches!(asked[1].1, TopologyFrame::Check { known: None, .. }),
        "{asked:?}"
    );

    let described = answer_of(&asked[0].1, "iad", false).unwrap();
    let orders = topology.receive(at(1), &name(2), described);
    assert!(matches!(
        changes(&orders)[..],
        [Change::NodeIdentified { .. }]
    ));
    assert_eq!(
        state(&topology, 2),
        NodeState::Connected,
        "no check has passed yet"
    );
    assert_eq!(topology.coverage().identified, 2);
    assert_eq!(topology.coverage().responding, 1);

    let well = answer_of(&asked[1].1, "iad", false).unwrap();
    let orders = topology.receive(at(2), &name(2), well);
    let update = |state| {
        [Change::HealthUpdate {
            changed: vec![(name(2), state)],
        }]
    };
    assert_eq!(changes(&orders), update(NodeState::Responding));
    assert_eq!(
        topology.member(&name(2)).unwrap().rtt(),
        Some(Duration::from_millis(2))
    );

    let orders = topology.receive(at(3), &name(2), TopologyFrame::Ready(true));
    assert_eq!(changes(&orders), update(NodeState::Ready));
    assert_eq!(topology.member(&name(2)).unwrap().since(), at(3));
    let orders = topology.receive(at(4), &name(2), TopologyFrame::Ready(false));
    assert_eq!(changes(&orders), update(NodeState::Responding));
    assert_eq!(
        topology.coverage().responding,
        2,
        "ready or not, it responds"
    );
}

#[test]
fn a_description_after_the_first_check_makes_the_node_responding_and_says_so() {
    let mut topology = topology();
    let asked = frames(&topology.link_up(at(0), &peer(2, 1)));
    let well = answer_of(&asked[1].1, "iad", false).unwrap();
    assert!(changes(&topology.receive(at(1), &name(2), well)).is_empty());
    assert_eq!(state(&topology, 2), NodeState::Discovering);
    let described = answer_of(&asked[0].1, "iad", true).unwrap();
    let orders = topology.receive(at(2), &name(2), described);
    let all = changes(&orders);
    assert!(matches!(all[0], Change::NodeIdentified { .. }));
    assert_eq!(
        all[1],
        Change::HealthUpdate {
            changed: vec![(name(2), NodeState::Ready)]
        }
    );
}

#[test]
fn a_node_that_never_describes_itself_stays_connected_in_an_unknown_region() {
    let mut topology = topology();
    let asked = frames(&topology.link_up(at(0), &peer(2, 1)));
    topology.receive(
        at(1),
        &name(2),
        answer_of(&asked[1].1, "iad", true).unwrap(),
    );
    run(&mut topology, at(12_999));
    assert_eq!(state(&topology, 2), NodeState::Discovering);
    run(&mut topology, at(13_000));
    assert_eq!(state(&topology, 2), NodeState::Connected);
    assert_eq!(
        topology.member(&name(2)).unwrap().description().region,
        Label::unknown()
    );
    assert_eq!(topology.counters().descriptions_failed, 1);
    assert_eq!(topology.coverage().identified, 1);
}

#[test]
fn three_failures_make_a_node_unresponsive_and_one_pass_what_it_was_before() {
    let mut topology = topology();
    let orders = topology.link_up(at(0), &peer(2, 1));
    answer(&mut topology, at(0), &orders, true);
    assert_eq!(state(&topology, 2), NodeState::Ready);
    let orders = run(&mut topology, at(29_999));
    assert_eq!(
        state(&topology, 2),
        NodeState::Ready,
        "two failures are not enough"
    );
    assert!(orders.iter().all(|(_, orders)| changes(orders).is_empty()));
    let (when, orders) = run(&mut topology, at(30_000)).pop().unwrap();
    assert_eq!(when, at(30_000));
    let update = |state| {
        [Change::HealthUpdate {
            changed: vec![(name(2), state)],
        }]
    };
    assert_eq!(changes(&orders), update(NodeState::Unresponsive));
    let coverage = topology.coverage();
    assert_eq!(coverage.unresponsive, [name(2)]);
    assert_eq!(
        (coverage.connected, coverage.responding),
        (2, 1),
        "it is still connected"
    );
    let (_, orders) = run(&mut topology, at(35_000)).pop().unwrap();
    let orders = answer(&mut topology, at(35_001), &orders, true);
    assert_eq!(changes(&orders), update(NodeState::Ready));
    assert!(topology.coverage().unresponsive.is_empty());
}

#[test]
fn nodes_that_fail_together_come_in_one_event() {
    let mut topology = topology();
    for host in [2, 3] {
        let orders = topology.link_up(at(0), &peer(host, 1));
        answer(&mut topology, at(0), &orders, false);
    }
    let before = topology.epoch();
    run(&mut topology, at(30_000));
    assert_eq!(topology.coverage().unresponsive, [name(2), name(3)]);
    assert_eq!(topology.epoch(), before + 1);
}

#[test]
fn a_late_answer_is_dropped_and_counted() {
    let mut topology = topology();
    let asked = frames(&topology.link_up(at(0), &peer(2, 1)));
    run(&mut topology, at(5_000));
    let late = answer_of(&asked[1].1, "iad", true).unwrap();
    assert!(topology.receive(at(5_001), &name(2), late).is_empty());
    assert_eq!(topology.counters().late_answers, 1);
    assert_eq!(topology.counters().checks_passed, 0);
    assert_eq!(topology.member(&name(2)).unwrap().rtt(), None);
}

#[test]
fn a_new_session_declares_everything_again() {
    let mut topology = topology();
    let orders = topology.link_up(at(0), &peer(2, 1));
    answer(&mut topology, at(0), &orders, true);
    topology.link_down(at(1), &name(2), DownReason::Closed);
    assert_eq!(
        topology
            .member(&name(2))
            .unwrap()
            .description()
            .region
            .as_str(),
        "iad"
    );
    topology.link_up(at(2), &peer(2, 1));
    assert_eq!(state(&topology, 2), NodeState::Discovering);
    assert_eq!(
        topology.member(&name(2)).unwrap().description().region,
        Label::unknown()
    );
    assert_eq!(topology.coverage().identified, 1);
}

#[test]
fn a_silent_replacement_of_the_link_changes_nothing_but_asks_anew() {
    let mut topology = topology();
    let orders = topology.link_up(at(0), &peer(2, 1));
    answer(&mut topology, at(0), &orders, true);
    let epoch = topology.epoch();
    let orders = topology.session_replaced(at(5), &peer(2, 1));
    assert_eq!(frames(&orders).len(), 2);
    assert_eq!(state(&topology, 2), NodeState::Ready);
    let orders = answer(&mut topology, at(6), &orders, true);
    assert!(orders.is_empty(), "{orders:?}");
    assert_eq!(topology.epoch(), epoch);
}

#[test]
fn a_higher_incarnation_takes_the_place_of_a_lower_one() {
    let mut topology = topology();
    topology.link_up(at(0), &peer(2, 1));
    let orders = topology.link_up(at(1), &peer(2, 2));
    assert_eq!(
        changes(&orders),
        [
            Change::NodeDisconnected {
                name: name(2),
                reason: DownReason::Replaced
            },
            Change::NodeConnected {
                name: name(2),
                incarnation: Incarnation(2)
            },
        ]
    );
    assert_eq!(topology.known_incarnation(&name(2)), Some(Incarnation(2)));
}

#[test]
#[cfg_attr(debug_assertions, should_panic(expected = "older life"))]
fn a_lower_incarnation_never_wins() {
    let mut topology = topology();
    topology.link_up(at(0), &peer(2, 2));
    topology.link_down(at(1), &name(2), DownReason::Down);
    let orders = topology.link_up(at(2), &peer(2, 1));
    assert!(orders.is_empty());
    assert_eq!(topology.known_incarnation(&name(2)), Some(Incarnation(2)));
    assert_eq!(topology.counters().stale_incarnations, 1);
}

#[test]
fn peers_hear_of_readiness_and_a_new_description_at_once() {
    let mut topology = topology();
    topology.link_up(at(0), &peer(2, 1));
    topology.link_up(at(0), &peer(3, 1));
    let ready = TopologyFrame::Ready(true);
    let expected = vec![(name(2), ready.clone()), (name(3), ready)];
    assert_eq!(frames(&topology.set_ready(at(1), true)), expected);
    assert!(topology.set_ready(at(2), true).is_empty(), "no news");
    let orders = topology.describe(at(3), described("sjc"));
    let news = TopologyFrame::Description {
        id: 0,
        description: described("sjc"),
        ready: true,
    };
    assert_eq!(frames(&orders), [(name(2), news.clone()), (name(3), news)]);
    let orders = topology.receive(at(4), &name(2), TopologyFrame::Describe { id: 9 });
    let answer = TopologyFrame::Description {
        id: 9,
        description: described("sjc"),
        ready: true,
    };
    assert_eq!(frames(&orders), [(name(2), answer)]);
}

#[test]
fn a_changed_description_is_told_and_an_unchanged_one_is_not() {
    let mut topology = topology();
    let orders = topology.link_up(at(0), &peer(2, 1));
    answer(&mut topology, at(0), &orders, true);
    let news = |region| TopologyFrame::Description {
        id: 0,
        description: described(region),
        ready: true,
    };
    assert!(topology.receive(at(1), &name(2), news("iad")).is_empty());
    let orders = topology.receive(at(2), &name(2), news("sjc"));
    assert!(matches!(
        changes(&orders)[..],
        [Change::NodeIdentified { .. }]
    ));
    assert_eq!(topology.counters().late_answers, 0);
}

#[test]
fn a_description_with_too_many_roles_is_refused() {
    let mut topology = topology();
    topology.link_up(at(0), &peer(2, 1));
    let roles = (0..=crate::name::ROLES_MAX)
        .map(|n| Label::new("role", &format!("role-{n}")).unwrap())
        .collect();
    let description = Description {
        roles,
        ..described("iad")
    };
    let frame = TopologyFrame::Description {
        id: 1,
        description,
        ready: true,
    };
    assert!(topology.receive(at(1), &name(2), frame).is_empty());
    assert_eq!(topology.counters().frames_refused, 1);
    assert_eq!(topology.coverage().identified, 1);
}

#[test]
fn frames_of_a_node_without_a_link_are_refused() {
    let mut topology = topology();
    let check = TopologyFrame::Check { id: 1, known: None };
    assert!(topology.receive(at(0), &name(2), check.clone()).is_empty());
    topology.link_up(at(1), &peer(2, 1));
    topology.link_down(at(2), &name(2), DownReason::Left);
    assert!(topology.receive(at(3), &name(2), check).is_empty());
    assert_eq!(topology.counters().frames_refused, 2);
}

#[test]
fn expected_is_the_larger_of_the_setting_and_what_discovery_names() {
    let mut config = config(1);
    config.expected_nodes = 3;
    let mut topology = Topology::new(&config);
    assert_eq!(topology.coverage().expected, 3);
    topology.set_discovered(5);
    assert_eq!(topology.coverage().expected, 5);
    assert_eq!(topology.coverage().to_string(), "1/5 nodes");
    topology.set_discovered(2);
    assert_eq!(topology.coverage().expected, 3);
}

#[test]
fn reconciliation_sets_differences_right_and_counts_them() {
    let mut topology = topology();
    topology.link_up(at(0), &peer(2, 1));
    topology.link_up(at(0), &peer(3, 1));
    topology.link_up(at(0), &peer(4, 1));
    assert!(!topology.reconcile_due(at(29_999)));
    assert!(topology.reconcile_due(at(30_000)));
    let standing = [
        (name(2), Incarnation(1)),
        (name(3), Incarnation(2)),
        (name(5), Incarnation(1)),
    ];
    let orders = topology.reconcile(
        at(30_000),
        standing.iter().map(|(name, life)| (name, *life)),
    );
    let up = |host, life| Change::NodeConnected {
        name: name(host),
        incarnation: Incarnation(life),
    };
    let down = |host, reason| Change::NodeDisconnected {
        name: name(host),
        reason,
    };
    assert_eq!(
        changes(&orders),
        [
            down(3, DownReason::Replaced),
            up(3, 2),
            up(5, 1),
            down(4, DownReason::Closed)
        ]
    );
    let told = orders.iter().position(Order::is_deed).unwrap();
    assert_eq!(
        orders[told - 1],
        Order::Notice(Notice::Reconciled { differences: 3 })
    );
    assert_eq!(topology.counters().differences, 3);
    assert!(!topology.reconcile_due(at(59_999)));
}

#[test]
fn a_node_that_goes_and_comes_too_often_is_reported_once() {
    let mut topology = topology();
    let mut notices = 0;
    for n in 0..9 {
        let orders = topology.link_up(at(n * 1000), &peer(2, 1));
        let flapping = Order::Notice(Notice::Flapping {
            name: name(2),
            cycles: 6,
        });
        notices += orders.iter().filter(|order| **order == flapping).count();
        topology.link_down(at(n * 1000 + 500), &name(2), DownReason::Closed);
    }
    assert_eq!(notices, 1);
    assert_eq!(topology.counters().flaps, 1);
    assert!(topology.member(&name(2)).unwrap().is_flapping());
}

/// Topologies that deliver to each other at once, save where a pair is cut.
struct Cluster {
    nodes: Vec<Topology>,
    cut: BTreeSet<(u8, u8)>,
    /// Names in the views that were sent.
    names_sent: usize,
    /// Links that were made and lost so far.
    changes: usize,
}

impl Cluster {
    fn new(size: u8, now: Instant) -> Self {
        Cluster::with(size, now, false)
    }

    fn with(size: u8, now: Instant, prevent_overlap: bool) -> Self {
        let nodes = (1..=size).map(|host| {
            let mut config = config(host);
            config.expected_nodes = u32::from(size);
            config.settings.topology.prevent_overlapping_partitions = prevent_overlap;
            Topology::new(&config)
        });
        let mut cluster = Cluster {
            nodes: nodes.collect(),
            cut: BTreeSet::new(),
            names_sent: 0,
            changes: 0,
        };
        for a in 1..=size {
            for b in a + 1..=size {
                cluster.link(now, a, b);
            }
        }
        cluster
    }

    fn node(&mut self, host: u8) -> &mut Topology {
        &mut self.nodes[usize::from(host) - 1]
    }

    fn link(&mut self, now: Instant, a: u8, b: u8) {
        self.changes += 1;
        self.cut.remove(&(a.min(b), a.max(b)));
        let from_a = self.node(a).link_up(now, &peer(b, 1));
        let from_b = self.node(b).link_up(now, &peer(a, 1));
        self.deliver(now, a, from_a);
        self.deliver(now, b, from_b);
    }

    fn unlink(&mut self, now: Instant, a: u8, b: u8) {
        self.changes += 1;
        self.cut.insert((a.min(b), a.max(b)));
        self.node(a).link_down(now, &name(b), DownReason::Down);
        self.node(b).link_down(now, &name(a), DownReason::Down);
    }

    fn deliver(&mut self, now: Instant, from: u8, orders: Vec<Order>) {
        let mut queue: VecDeque<(u8, Order)> =
            orders.into_iter().map(|order| (from, order)).collect();
        while let Some((from, order)) = queue.pop_front() {
            let (to, frame) = match order {
                Order::Send { to, frame } => (to, frame),
                Order::CloseLink { name: to } => {
                    let to = (1..=self.nodes.len() as u8)
                        .find(|host| name(*host) == to)
                        .unwrap();
                    self.unlink(now, from, to);
                    continue;
                }
                _ => continue,
            };
            let to = (1..=self.nodes.len() as u8)
                .find(|host| name(*host) == to)
                .unwrap();
            if let TopologyFrame::Health {
                view: Some(view), ..
            } = &frame
            {
                self.names_sent += view.len();
            }
            if !self.cut.contains(&(from.min(to), from.max(to))) {
                let orders = self.node(to).receive(now, &name(from), frame);
                queue.extend(orders.into_iter().map(|order| (to, order)));
            }
        }
    }

    fn run(&mut self, until: Instant) {
        loop {
            let deadlines = self.nodes.iter().map(|node| node.deadline().unwrap());
            let now = deadlines.min().unwrap();
            if now > until {
                return;
            }
            for host in 1..=self.nodes.len() as u8 {
                let node = self.node(host);
                if node.reconcile_due(now) {
                    let linked: Vec<NodeName> = node.views.own().iter().cloned().collect();
                    let standing = linked.iter().filter(|linked| **linked != name(host));
                    node.reconcile(now, standing.map(|name| (name, Incarnation(1))));
                }
                let orders = self.node(host).tick(now);
                self.deliver(now, host, orders);
            }
        }
    }
}

impl Cluster {
    fn has(&self, a: u8, b: u8) -> bool {
        self.nodes[usize::from(a) - 1]
            .views
            .own()
            .contains(&name(b))
    }

    /// Like [`Cluster::run`], while nodes dial each other every 5 s where there is a path and
    /// neither of the two excludes the other.
    fn run_dialling(&mut self, from: u64, until: u64, is_path: impl Fn(u8, u8) -> bool) {
        for seconds in (from..until).step_by(5) {
            let now = at(seconds * 1000);
            self.run(now);
            for (a, b) in pairs_of(self.nodes.len() as u8) {
                let excluded = self.node(a).excludes(&name(b)) || self.node(b).excludes(&name(a));
                if is_path(a, b) && !excluded && !self.has(a, b) {
                    self.link(now, a, b);
                }
            }
        }
        self.run(at(until * 1000));
    }
}

fn pairs_of(size: u8) -> Vec<(u8, u8)> {
    let of = |a: u8| (a + 1..=size).map(move |b| (a, b));
    (1..=size).flat_map(of).collect()
}

/// Cuts paths of a cluster with prevention: bit `n` of `cuts` stands for the pair `n`.
fn assert_settles(size: u8, cuts: u32) {
    let pairs = pairs_of(size);
    let is_path = |a: u8, b: u8| {
        let index = pairs.iter().position(|pair| *pair == (a, b));
        cuts >> index.expect("a pair") & 1 == 0
    };
    let mut cluster = Cluster::with(size, at(0), true);
    cluster.run(at(60_000));
    for (a, b) in pairs.iter().copied().filter(|(a, b)| !is_path(*a, *b)) {
        cluster.unlink(at(60_000), a, b);
    }
    cluster.run_dialling(60, 400, is_path);
    let settled = cluster.changes;
    cluster.run_dialling(400, 900, is_path);
    assert_eq!(cluster.changes, settled, "{cuts:#b} goes on changing");
    for (a, b) in &pairs {
        for c in 1..=size {
            let both = c != *a && c != *b && cluster.has(c, *a) && cluster.has(c, *b);
            assert!(
                !both || cluster.has(*a, *b),
                "{cuts:#b}: {c} has {a} and {b}"
            );
        }
    }
    cluster.run_dialling(900, 945, |_, _| true);
    let whole = |(a, b): &(u8, u8)| cluster.has(*a, *b);
    assert!(pairs.iter().all(whole), "{cuts:#b} is not whole again");
}

#[test]
fn with_prevention_every_way_to_cut_four_nodes_settles_and_heals() {
    for cuts in 0..1 << 6 {
        assert_settles(4, cuts);
    }
}

#[test]
fn with_prevention_ways_to_cut_five_nodes_settle_and_heal() {
    // The ring of five, and one in thirteen of all.
    let ring = [(1, 3), (1, 4), (2, 4), (2, 5), (3, 5)];
    let bit = |pair| pairs_of(5).iter().position(|other| *other == pair);
    let ring = ring
        .map(|pair| 1 << bit(pair).expect("a pair"))
        .iter()
        .sum();
    assert_settles(5, ring);
    (0..1 << 10)
        .step_by(13)
        .for_each(|cuts| assert_settles(5, cuts));
}

#[test]
fn a_whole_cluster_sends_no_views_and_reports_no_partition() {
    let mut cluster = Cluster::new(4, at(0));
    cluster.run(at(300_000));
    assert_eq!(cluster.names_sent, 0);
    for node in &cluster.nodes {
        assert_eq!(node.partitions(), Partitions::default());
        assert_eq!(node.coverage().responding, 4);
        assert_eq!(node.counters().checks_failed, 0);
        assert_eq!(node.epoch(), 9, "each of three connected, identified, well");
    }
}

#[test]
fn a_pair_that_cannot_reach_each_other_is_reported_by_all_and_gone_after_the_heal() {
    let mut cluster = Cluster::new(3, at(0));
    cluster.run(at(60_000));
    cluster.unlink(at(60_000), 1, 2);
    cluster.run(at(85_000));
    assert!(
        cluster
            .nodes
            .iter()
            .all(|node| node.partitions().pairs.is_empty()),
        "hold-off"
    );
    cluster.run(at(120_000));
    for node in &cluster.nodes {
        let partitions = node.partitions();
        let pairs: Vec<_> = partitions
            .pairs
            .iter()
            .map(|pair| (&pair.a, &pair.b))
            .collect();
        assert_eq!(pairs, [(&name(1), &name(2))]);
        assert!(partitions.islands.is_empty(), "3 reaches both");
        let since = partitions.pairs[0].since;
        assert!(since >= at(60_000) && since <= at(80_000), "{since}");
    }
    cluster.link(at(120_000), 1, 2);
    cluster.run(at(140_000));
    assert!(
        cluster
            .nodes
            .iter()
            .all(|node| node.partitions() == Partitions::default())
    );
}

#[test]
fn a_node_that_crashes_is_an_island_within_two_seconds_for_all_others() {
    for crash_ms in [60_000, 64_000, 68_000, 72_000] {
        let mut cluster = Cluster::new(4, at(0));
        cluster.run(at(crash_ms));
        for peer in 1..4 {
            cluster.unlink(at(crash_ms), peer, 4);
        }
        cluster.run(at(crash_ms + 2_000));
        for node in &cluster.nodes[..3] {
            let islands = node.partitions().islands.into_iter();
            let nodes: Vec<_> = islands.map(|island| island.nodes).collect();
            assert_eq!(nodes, [vec![name(1), name(2), name(3)], vec![name(4)]]);
        }
    }
}

#[test]
fn two_islands_are_reported_with_who_is_on_them() {
    let mut cluster = Cluster::new(4, at(0));
    cluster.run(at(60_000));
    for (a, b) in [(1, 3), (1, 4), (2, 3), (2, 4)] {
        cluster.unlink(at(60_000), a, b);
    }
    cluster.run(at(90_000));
    let here = [[name(1), name(2)], [name(3), name(4)]];
    let nodes = |node: &Topology| -> Vec<Vec<NodeName>> {
        node.partitions()
            .islands
            .into_iter()
            .map(|island| island.nodes)
            .collect()
    };
    assert_eq!(nodes(&cluster.nodes[0]), here);
    assert_eq!(nodes(&cluster.nodes[1]), here);
    let there: Vec<_> = here.iter().rev().cloned().collect();
    assert_eq!(nodes(&cluster.nodes[3]), there);
    assert!(
        cluster.nodes[0]
            .partitions()
            .islands
            .iter()
            .all(|i| i.since == at(60_000))
    );
    for (a, b) in [(1, 3), (1, 4), (2, 3), (2, 4)] {
        cluster.link(at(90_000), a, b);
    }
    cluster.run(at(92_000));
    assert!(
        cluster
            .nodes
            .iter()
            .all(|node| node.partitions().islands.is_empty())
    );
}

#[test]
fn with_prevention_one_cut_pair_costs_one_node_its_links_and_no_more() {
    let mut cluster = Cluster::with(5, at(0), true);
    cluster.run(at(60_000));
    cluster.unlink(at(60_000), 1, 2);
    cluster.run(at(110_000));
    assert_eq!(
        cluster.nodes[2].coverage().connected,
        5,
        "nothing is closed in a hurry"
    );
    cluster.run(at(300_000));
    let connected: Vec<usize> = cluster
        .nodes
        .iter()
        .map(|node| node.coverage().connected)
        .collect();
    assert_eq!(connected, [4, 1, 4, 4, 4]);
    assert!(
        cluster
            .nodes
            .iter()
            .all(|node| node.partitions().pairs.is_empty())
    );
    assert!(
        cluster
            .nodes
            .iter()
            .all(|node| node.partitions().islands.len() == 2)
    );
}

#[test]
fn with_prevention_a_whole_cluster_loses_no_link() {
    let mut cluster = Cluster::with(5, at(0), true);
    cluster.run(at(60_000));
    cluster.unlink(at(60_000), 1, 2);
    cluster.link(at(80_000), 1, 2);
    cluster.run(at(600_000));
    assert!(
        cluster
            .nodes
            .iter()
            .all(|node| node.coverage().connected == 5)
    );
}

#[test]
fn a_node_that_left_or_is_not_missed_is_no_island() {
    let mut topology = Topology::new(&NodeConfig {
        expected_nodes: 2,
        ..config(1)
    });
    topology.link_up(at(0), &peer(2, 1));
    topology.link_down(at(1), &name(2), DownReason::Left);
    run(&mut topology, at(5_000));
    assert!(topology.partitions().islands.is_empty());
    topology.link_up(at(6_000), &peer(2, 1));
    topology.link_down(at(6_001), &name(2), DownReason::Closed);
    run(&mut topology, at(10_000));
    assert_eq!(topology.partitions().islands.len(), 2);
    topology.link_up(at(11_000), &peer(3, 1));
    assert!(
        topology.partitions().islands.is_empty(),
        "as many are here as are expected"
    );
}

#[derive(Debug, Clone)]
enum Step {
    Up(u8, u64),
    Replace(u8),
    Down(u8, DownReason),
    Describe(u8, u64, bool),
    Ready(u8, bool),
    Check(u8, bool),
    Health(u8, u64, bool, u64, Option<Vec<u8>>),
    Discovered(usize),
    Own(bool),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let host = 2u8..6;
    let reason = prop_oneof![
        Just(DownReason::Left),
        Just(DownReason::Down),
        Just(DownReason::Closed),
        Just(DownReason::Replaced)
    ];
    let view = proptest::option::of(proptest::collection::vec(1u8..9, 0..5));
    prop_oneof![
        4 => (host.clone(), 0u64..3).prop_map(|(host, newer)| Step::Up(host, newer)),
        1 => host.clone().prop_map(Step::Replace),
        2 => (host.clone(), reason).prop_map(|(host, reason)| Step::Down(host, reason)),
        3 => (host.clone(), 0u64..40, any::<bool>()).prop_map(|(h, id, r)| Step::Describe(h, id, r)),
        1 => (host.clone(), any::<bool>()).prop_map(|(host, ready)| Step::Ready(host, ready)),
        1 => (host.clone(), any::<bool>()).prop_map(|(host, views)| Step::Check(host, views)),
        4 => (host, 0u64..60, any::<bool>(), any::<u64>(), view)
            .prop_map(|(h, id, r, hash, view)| Step::Health(h, id, r, hash, view)),
        1 => (0usize..9).prop_map(Step::Discovered),
        1 => any::<bool>().prop_map(Step::Own),
        4 => (0u64..40_000).prop_map(Step::Pass),
    ]
}

/// Checks every event, and what must hold after each step; `latest` when no orders are held back.
fn check(topology: &Topology, epoch: &mut u64, orders: &[Order], latest: bool) {
    let told_first = orders.is_sorted_by_key(Order::is_deed);
    assert!(
        told_first,
        "what is told comes before what is done: {orders:?}"
    );
    for order in orders {
        let Order::Event(event) = order else { continue };
        *epoch += 1;
        assert_eq!(event.epoch, *epoch, "the epoch grows by one per event");
        assert_eq!(event.coverage.epoch, event.epoch);
        let coverage = &event.coverage;
        assert!(coverage.responding <= coverage.connected);
        assert!(coverage.identified <= coverage.connected);
    }
    if latest {
        assert_eq!(topology.epoch(), *epoch);
    }
    let coverage = topology.coverage();
    let count = |part: fn(&Member) -> bool| topology.members().filter(|m| part(m)).count();
    let responding = |m: &Member| matches!(m.state(), NodeState::Responding | NodeState::Ready);
    assert_eq!(coverage.connected, 1 + count(Member::is_linked));
    assert_eq!(coverage.responding, 1 + count(responding));
    assert_eq!(
        coverage.identified,
        1 + count(|m| m.is_linked() && m.is_identified())
    );
    assert_eq!(
        coverage.unresponsive.len(),
        count(|m| m.state() == NodeState::Unresponsive)
    );
    assert_eq!(coverage.disconnected.len(), count(|m| !m.is_linked()));
    assert!(coverage.responding <= coverage.connected);
    assert!(coverage.connected <= 1 + topology.members().count());
    assert_eq!(topology.roster.tally(), &topology.roster.recount());
}

proptest! {
    #[test]
    fn counts_and_epochs_add_up_whatever_happens(steps in proptest::collection::vec(step(), 1..80)) {
        let mut config = config(1);
        config.settings.topology.disconnected_max = 2;
        let mut topology = Topology::new(&config);
        let (mut now, mut epoch) = (at(0), 0);
        for step in steps {
            let orders = match step {
                Step::Up(host, newer) => {
                    let known = topology.known_incarnation(&name(host)).unwrap_or_default();
                    topology.link_up(now, &peer(host, known.0 + newer))
                }
                Step::Replace(host) => {
                    let known = topology.known_incarnation(&name(host)).unwrap_or_default();
                    topology.session_replaced(now, &peer(host, known.0))
                }
                Step::Down(host, reason) => topology.link_down(now, &name(host), reason),
                Step::Describe(host, id, ready) => {
                    let description = described(if ready { "iad" } else { "sjc" });
                    let frame = TopologyFrame::Description { id, description, ready };
                    topology.receive(now, &name(host), frame)
                }
                Step::Ready(host, ready) => {
                    topology.receive(now, &name(host), TopologyFrame::Ready(ready))
                }
                Step::Check(host, views) => {
                    let known = views.then(Vec::new);
                    topology.receive(now, &name(host), TopologyFrame::Check { id: 1, known })
                }
                Step::Health(host, id, ready, view_hash, view) => {
                    let view = view.map(|hosts| hosts.into_iter().map(name).collect());
                    let frame = TopologyFrame::Health { id, ready, view_hash, view };
                    topology.receive(now, &name(host), frame)
                }
                Step::Discovered(nodes) => {
                    topology.set_discovered(nodes);
                    Vec::new()
                }
                Step::Own(ready) => topology.set_ready(now, ready),
                Step::Pass(ms) => {
                    now += Duration::from_millis(ms);
                    for (_, orders) in run(&mut topology, now) {
                        check(&topology, &mut epoch, &orders, false);
                    }
                    Vec::new()
                }
            };
            check(&topology, &mut epoch, &orders, true);
        }
    }
}
