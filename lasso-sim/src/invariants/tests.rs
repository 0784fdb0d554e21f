//! Each invariant meets a run in which it holds, and one in which it is broken on purpose.

use std::collections::{BTreeMap, BTreeSet};

use lasso_core::event::DownReason;
use lasso_core::name::{Identity, Incarnation, NodeName};
use lasso_core::node::ConnId;

use lasso_core::topology::Unanswered;

use super::*;
use crate::scenario::Scenario;

#[path = "letter_tests.rs"]
mod letter_tests;
#[path = "liar_tests.rs"]
mod liar_tests;
#[path = "app_tests.rs"]
mod of_applications;
#[path = "link_tests.rs"]
mod of_links;
#[path = "teeth_tests.rs"]
mod of_teeth;
#[path = "viewer_tests.rs"]
mod of_viewers;

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
const C: NodeId = NodeId(2);
const BORN: u64 = 1_000;

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

/// Three nodes, of which the third has another cookie.
fn scenario() -> Scenario {
    let text = r#"
        lasso = 1
        title = "three"
        [nodes]
        a = { cookie = "one secret that is long enough for all" }
        b = { cookie = "one secret that is long enough for all" }
        c = { cookie = "another secret, which is long enough too" }
        [[step]]
        at = "1s"
        expect = { on = "all", connected = 2 }
    "#;
    match Scenario::parse("three.toml".as_ref(), text) {
        Ok(scenario) => scenario,
        Err(bad) => panic!("{}", bad.render(false)),
    }
}

/// The state of a node, as set by a test.
#[derive(Debug, Clone, Default)]
struct Told {
    version: u64,
    links: Vec<LinkInfo>,
    known: BTreeMap<NodeName, u64>,
    coverage: Option<Coverage>,
    members: Vec<(NodeName, bool)>,
    audits: Audits,
    counts: PlaneCounts,
    sizes: Sizes,
    tables: Option<TableSizes>,
    rounds: Rounds,
    unanswered: BTreeMap<NodeName, Unanswered>,
    islands: Vec<NodeName>,
    candidates: BTreeSet<NodeName>,
}

impl Knowledge for Told {
    fn links_version(&self) -> (u64, u64, u64) {
        (self.version, 0, 0)
    }

    fn links(&self) -> Vec<LinkInfo> {
        self.links.clone()
    }

    fn link(&self, peer: &NodeName) -> Option<LinkInfo> {
        self.links
            .iter()
            .find(|link| link.peer.name == *peer)
            .cloned()
    }

    fn incarnation(&self) -> u64 {
        BORN
    }

    fn known_incarnation(&self, peer: &NodeName) -> Option<u64> {
        self.known.get(peer).copied()
    }

    fn coverage(&self) -> Coverage {
        self.coverage.clone().unwrap_or_else(|| coverage(0, 0))
    }

    fn members(&self) -> Vec<(NodeName, bool)> {
        self.members.clone()
    }

    fn queues_version(&self) -> u64 {
        self.version
    }

    fn audits(&self) -> Audits {
        self.audits.clone()
    }

    fn plane_counts(&self) -> PlaneCounts {
        self.counts.clone()
    }

    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn table_sizes(&self) -> Option<TableSizes> {
        self.tables
    }

    fn rounds(&self) -> Rounds {
        self.rounds
    }

    fn unanswered(&self, peer: &NodeName) -> Option<Unanswered> {
        self.unanswered.get(peer).copied()
    }

    fn islands(&self) -> Vec<NodeName> {
        self.islands.clone()
    }

    fn is_candidate(&self, name: &NodeName) -> bool {
        self.candidates.contains(name)
    }
}

/// When the last byte came on every connection.
struct Last(Instant);

impl Witness for Last {
    fn last_byte(&self, _: NodeId, _: ConnId) -> Option<Instant> {
        Some(self.0)
    }
}

struct Stand {
    scenario: Scenario,
    invariants: Invariants,
}

impl Stand {
    fn new() -> Self {
        let scenario = scenario();
        let mut invariants =
            Invariants::new(&scenario.nodes, &Network::default(), false, Duration::ZERO);
        for node in scenario.node_ids() {
            invariants.started(at(0), node, scenario.node(node), BORN);
        }
        Stand {
            scenario,
            invariants,
        }
    }

    fn name(&self, node: NodeId) -> NodeName {
        self.scenario.node(node).name()
    }

    fn link(&self, peer: NodeId, session: u64) -> LinkInfo {
        let spec = self.scenario.node(peer);
        LinkInfo {
            conn: ConnId::Out(session),
            peer: Identity {
                cluster: spec.cluster.clone(),
                name: spec.name(),
                incarnation: Incarnation(BORN),
            },
            session,
            last_received: at(0),
        }
    }

    /// `node` tells that `peer` is linked, and knows so.
    fn connects(&mut self, now: Instant, node: NodeId, peer: NodeId, session: u64) {
        let change = Change::NodeConnected {
            name: self.name(peer),
            incarnation: Incarnation(BORN),
        };
        let told = Told {
            version: session,
            links: vec![self.link(peer, session)],
            known: BTreeMap::from([(self.name(peer), BORN)]),
            coverage: Some(coverage(1, 2)),
            members: vec![(self.name(peer), true)],
            ..Told::default()
        };
        self.invariants
            .event(now, node, &event(1, 2, change), &Last(now));
        self.invariants.after(now, node, &told);
    }

    /// The condition that does not hold yet at the end.
    fn unsettled(&self, now: Instant, members: &[Member]) -> Option<(NodeId, u32)> {
        let unsettled = self.invariants.unsettled(now, members)?;
        Some((unsettled.node, unsettled.number))
    }

    /// The numbers of the violations, each run of the same number once.
    /// `A` and `B` are linked from the start, and have been for long.
    fn calm() -> Self {
        let mut stand = Stand::new();
        stand.connects(at(1), A, B, 7);
        stand.connects(at(1), B, A, 7);
        stand
    }

    fn tells(&mut self, now: Instant, node: NodeId, saw: Saw) {
        self.invariants.saw(now, node, &saw);
    }

    fn does(&mut self, now: Instant, node: NodeId, output: &Output, last: Instant) {
        self.invariants.output(now, node, output, &Last(last));
    }

    fn knows(&mut self, now: Instant, node: NodeId, told: Told) {
        self.invariants.after(now, node, &told);
    }

    /// The paths between two nodes lose packets from now on, or no longer.
    fn loses(&mut self, now: Instant, (a, b): (NodeId, NodeId), loses: bool) {
        let shape = Shape {
            loss_ppm: if loses { 10_000 } else { 0 },
            ..Shape::default()
        };
        let paths = [(a.0, b.0), (b.0, a.0)];
        self.invariants.shaped(now, &paths, &shape);
    }

    fn found(&self) -> Vec<u32> {
        let found = self.invariants.violations().iter();
        let mut numbers: Vec<u32> = found.map(|violation| violation.number).collect();
        numbers.dedup();
        numbers
    }
}

pub(super) fn coverage(epoch: u64, connected: usize) -> Coverage {
    Coverage {
        expected: 3,
        connected,
        responding: 1,
        identified: 1,
        unresponsive: Vec::new(),
        disconnected: Vec::new(),
        epoch,
    }
}

fn event(epoch: u64, connected: usize, change: Change) -> TopologyEvent {
    TopologyEvent {
        epoch,
        coverage: coverage(epoch, connected),
        change,
    }
}

fn health() -> Change {
    Change::HealthUpdate {
        changed: Vec::new(),
    }
}

#[test]
fn two_that_agree_are_left_alone() {
    let mut stand = Stand::new();
    stand.connects(at(1), A, B, 7);
    stand.connects(at(1), B, A, 7);
    stand.invariants.advance(at(60), &Last(at(60)));
    assert!(stand.found().is_empty(), "{:?}", stand.found());
}

#[test]
fn two_ends_that_keep_different_connections_are_caught() {
    let mut stand = Stand::new();
    stand.connects(at(1), A, B, 7);
    stand.connects(at(1), B, A, 8);
    stand.invariants.advance(at(5), &Last(at(5)));
    assert!(stand.found().is_empty(), "the news may be on its way");
    stand.invariants.advance(at(6), &Last(at(6)));
    assert_eq!(stand.found(), [1]);
}

#[test]
fn a_link_that_only_one_end_knows_is_caught_but_not_while_the_path_is_cut() {
    let mut stand = Stand::new();
    stand.invariants.paths(at(0), &[(1, 0)], true);
    stand.connects(at(1), A, B, 7);
    stand.invariants.advance(at(60), &Last(at(60)));
    assert!(stand.found().is_empty(), "{:?}", stand.found());
    stand.invariants.paths(at(60), &[(1, 0)], false);
    for second in 61..=145 {
        stand.invariants.advance(at(second), &Last(at(second)));
    }
    assert_eq!(stand.found(), [1]);
}

#[test]
fn an_incarnation_that_goes_back_is_caught() {
    let mut stand = Stand::new();
    stand.connects(at(1), A, B, 7);
    let name = stand.name(B);
    let told = Told {
        known: BTreeMap::from([(name.clone(), BORN - 1)]),
        ..Told::default()
    };
    let gone = Change::NodeDisconnected {
        name,
        reason: DownReason::Closed,
    };
    let mut last = event(2, 1, gone);
    last.coverage.disconnected = vec![stand.name(B)];
    stand.invariants.event(at(2), A, &last, &Last(at(2)));
    let told = Told {
        coverage: Some(last.coverage),
        members: vec![(stand.name(B), false)],
        ..told
    };
    stand.invariants.after(at(2), A, &told);
    assert_eq!(stand.found(), [2]);
}

#[test]
fn somebody_without_the_cookie_and_somebody_unheard_of_are_caught() {
    let mut stand = Stand::new();
    stand.connects(at(1), A, C, 7);
    assert_eq!(stand.found(), [3]);
    let mut stand = Stand::new();
    let name = stand.name(B);
    let change = Change::NodeConnected {
        name,
        incarnation: Incarnation(BORN + 5),
    };
    stand
        .invariants
        .event(at(1), A, &event(1, 2, change), &Last(at(1)));
    assert_eq!(stand.found(), [3]);
}

#[test]
fn declaring_down_too_early_is_caught_and_in_time_is_not() {
    for (silence, expected) in [(44, vec![4_u32]), (45, vec![]), (75, vec![])] {
        let mut stand = Stand::new();
        stand.connects(at(1), A, B, 7);
        stand.connects(at(1), B, A, 7);
        stand.invariants.paths(at(20), &[(1, 0)], true);
        let name = stand.name(B);
        let down = Change::NodeDisconnected {
            name,
            reason: DownReason::Down,
        };
        let mut event = event(2, 1, down);
        event.coverage.disconnected = vec![stand.name(B)];
        stand
            .invariants
            .event(at(100), A, &event, &Last(at(100 - silence)));
        assert_eq!(stand.found(), expected, "after {silence} s");
    }
}

#[test]
fn staying_up_while_silent_for_too_long_is_caught() {
    let mut stand = Stand::new();
    stand.connects(at(1), A, B, 7);
    stand.connects(at(1), B, A, 7);
    stand.invariants.advance(at(76), &Last(at(1)));
    assert!(stand.found().is_empty(), "{:?}", stand.found());
    stand.invariants.advance(at(77), &Last(at(1)));
    assert!(stand.found().contains(&4), "{:?}", stand.found());
}

#[test]
fn a_frozen_judge_has_its_time_again() {
    let mut stand = Stand::new();
    stand.connects(at(1), A, B, 7);
    stand.connects(at(1), B, A, 7);
    stand.invariants.paused(A);
    stand.invariants.paused(B);
    stand.invariants.advance(at(300), &Last(at(1)));
    stand.invariants.resumed(at(300), A);
    stand.invariants.resumed(at(300), B);
    stand.invariants.advance(at(374), &Last(at(1)));
    assert!(stand.found().is_empty(), "{:?}", stand.found());
}

#[test]
fn coverage_that_does_not_add_up_is_caught() {
    type Spoil = fn(&mut Coverage, &NodeName);
    let spoils: [Spoil; 4] = [
        |coverage, _| coverage.responding = 3,
        |coverage, _| coverage.connected = 0,
        |coverage, other| coverage.disconnected = vec![other.clone(), other.clone()],
        |coverage, _| coverage.epoch = 9,
    ];
    for spoil in spoils {
        let mut stand = Stand::new();
        let mut event = event(1, 2, health());
        spoil(&mut event.coverage, &stand.name(B));
        stand.invariants.event(at(1), A, &event, &Last(at(1)));
        assert_eq!(stand.found().first(), Some(&5), "{event:?}");
    }
    let mut stand = Stand::new();
    let told = Told {
        coverage: Some(coverage(1, 2)),
        ..Told::default()
    };
    stand
        .invariants
        .event(at(1), A, &event(1, 2, health()), &Last(at(1)));
    stand.invariants.after(at(1), A, &told);
    assert_eq!(
        stand.found(),
        [5],
        "two are connected, and nobody is a member"
    );
}

#[test]
fn an_epoch_that_jumps_or_stands_still_is_caught() {
    for second in [1, 3] {
        let mut stand = Stand::new();
        stand
            .invariants
            .event(at(1), A, &event(1, 1, health()), &Last(at(1)));
        assert!(stand.found().is_empty(), "{:?}", stand.found());
        stand
            .invariants
            .event(at(1), A, &event(second, 1, health()), &Last(at(1)));
        assert_eq!(stand.found(), [6]);
    }
}

#[test]
fn disagreement_about_who_is_there_is_caught() {
    let stand = Stand::new();
    let member = |node, links: Vec<LinkInfo>, candidates: &[NodeId]| Member {
        node,
        links,
        candidates: candidates
            .iter()
            .map(|node| stand.name(*node))
            .collect::<BTreeSet<_>>(),
    };
    let agree = [
        member(A, vec![stand.link(B, 7)], &[B, C]),
        member(B, vec![stand.link(A, 7)], &[A, C]),
        member(C, vec![], &[A, B]),
    ];
    assert_eq!(
        stand.unsettled(at(60), &agree),
        None,
        "C has another cookie"
    );
    let apart = [member(A, vec![], &[B]), member(B, vec![], &[])];
    assert!(stand.unsettled(at(60), &apart).is_some());
    let one_sided = [
        member(A, vec![stand.link(B, 7)], &[B]),
        member(B, vec![], &[A]),
    ];
    assert!(stand.unsettled(at(60), &one_sided).is_some());
}
