use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::*;
use crate::event::{Change as TopologyChange, DownReason};
use crate::metrics::SharedRecorder;
use crate::metrics::queries::{AllMethods, Leaderboard, MethodKey, MethodPerformance, ProviderKey};
use crate::metrics::recorder::{Call, Limits, Outcome, SeriesKey};
use crate::metrics::sketch::BUCKETS_MAX;
use crate::metrics::store::Freshness;
use crate::name::{Incarnation, NodeName};
use crate::plane::{Answer, CallError, Half};
use crate::topology::{Coverage, NodeState};

const TIMEOUT: Duration = Duration::from_secs(5);

fn no_part(why: &str) -> CallError {
    CallError::Malformed {
        half: Half::Answer,
        problem: format!("no part of `lasso.leaderboard`: {why}"),
    }
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn name(number: usize) -> NodeName {
    format!("app@10.0.0.{number}").parse().unwrap()
}

fn chain() -> ProviderKey {
    ProviderKey {
        profile: "free".into(),
        chain: "ethereum".into(),
    }
}

/// A node that has recorded so many calls that took so long.
fn node(calls: usize, millis: u64) -> Registry {
    let recorder = SharedRecorder::new(1, Limits::default());
    let key = SeriesKey {
        profile: "free",
        provider: "alchemy",
        chain: "ethereum",
        method: "eth_call",
        region: "iad",
    };
    for _ in 0..calls {
        let call = Call::new(Outcome::Success, Duration::from_millis(millis));
        recorder.record(at(0), &key, call);
    }
    Registry::shipped(&recorder)
}

fn cluster_of(nodes: usize) -> Responders {
    Responders {
        me: name(1),
        others: (2..=nodes).map(name).collect(),
        total: nodes,
    }
}

fn service() -> (Service, Vec<Change<Subject, Value>>) {
    (Service::new(MetricsSettings::default()), Vec::new())
}

fn answered(answer: Answer) -> Result<Bytes, CallError> {
    match answer {
        Answer::Done(bytes) => Ok(bytes),
        Answer::Rejected(reject) => Err(CallError::Rejected(reject)),
        Answer::Malformed(problem) => Err(CallError::Malformed {
            half: Half::Question,
            problem,
        }),
    }
}

/// Reads the leaderboard of a cluster of which node 1 is this one.
fn gather(nodes: &[Registry]) -> Readout<<Leaderboard as Query>::Answer> {
    let (mut service, mut changes) = service();
    let subject = nodes[0].subject::<Leaderboard>(&chain()).unwrap();
    service.want(at(0), &subject, &mut changes);
    let errand = service
        .poll_refresh(at(0), || cluster_of(nodes.len()))
        .unwrap();
    let outcomes = errand.to().iter().zip(&nodes[1..]).map(|(to, node)| {
        let answer = node.answer(at(0), &errand.question());
        (to.clone(), answered(answer))
    });
    let brought = errand.merge(at(0), outcomes.collect());
    service.finish(at(0), errand.id(), brought, &mut changes);
    service.read::<Leaderboard>(at(0), &subject, &mut changes)
}

#[test]
fn a_thousand_calls_here_and_a_hundred_there_are_one_answer() {
    let readout = gather(&[node(1_000, 100), node(100, 200)]);
    let figures = &readout.value().unwrap().providers[0].figures;
    assert_eq!(figures.calls, 1_100);
    assert_eq!(format!("{:.2}", figures.mean_latency_ms), "109.09");
    assert_eq!(readout.freshness, Freshness::Fresh);
    let coverage = readout.coverage().unwrap();
    assert_eq!((coverage.responding, coverage.total), (2, 2));
}

#[test]
fn a_node_that_does_not_know_the_query_is_named_with_that_and_spoils_nothing() {
    let readout = gather(&[node(20, 100), Registry::new(), node(30, 100)]);
    assert_eq!(readout.value().unwrap().providers[0].figures.calls, 50);
    assert_eq!(readout.freshness, Freshness::Fresh);
    let coverage = readout.coverage().unwrap();
    assert_eq!((coverage.responding, coverage.total), (2, 3));
    let [(node, CallError::Rejected(reject))] = &coverage.failed[..] else {
        panic!("{:?}", coverage.failed)
    };
    assert_eq!((node, reject.code), (&name(2), CODE_NOT_REGISTERED));
    let text = "no query named `lasso.leaderboard` is registered here";
    assert_eq!(reject.message, text);
}

#[test]
fn a_part_that_cannot_be_read_is_a_failure_of_its_node() {
    let here = node(20, 100);
    let (mut service, mut changes) = service();
    let subject = here.subject::<Leaderboard>(&chain()).unwrap();
    service.want(at(0), &subject, &mut changes);
    let errand = service.poll_refresh(at(0), || cluster_of(4)).unwrap();
    let mut deep = vec![0x91; 100_000];
    deep.push(0);
    let outcomes = vec![
        (name(2), Ok(Bytes::from_static(b"nonsense"))),
        (name(3), Ok(Bytes::from(deep))),
        (name(4), Err(CallError::Timeout(TIMEOUT))),
    ];
    let brought = errand.merge(at(0), outcomes);
    assert_eq!(brought.answered, 0);
    let failed = [
        (name(2), no_part("bytes after the value")),
        (name(3), no_part("nested deeper than 64 levels")),
        (name(4), CallError::Timeout(TIMEOUT)),
    ];
    assert_eq!(brought.failed, failed);
    service.finish(at(0), errand.id(), brought, &mut changes);
    let readout = service.read::<Leaderboard>(at(0), &subject, &mut changes);
    assert_eq!(readout.freshness, Freshness::Stale, "this node alone");
    assert_eq!(readout.failure().unwrap().count, 1);
    assert_eq!(
        service.counters().unread,
        2,
        "and not the one that was late"
    );
}

#[test]
fn a_part_beyond_the_bound_is_not_read_and_its_node_is_named_with_that() {
    let nodes = [node(20, 100), node(30, 100)];
    let subject = nodes[0].subject::<Leaderboard>(&chain()).unwrap();
    let part = answered(nodes[1].answer(at(0), &subject.question())).unwrap();
    let bytes = part.len();
    let settings = |part_bytes_max| MetricsSettings {
        part_bytes_max,
        ..MetricsSettings::default()
    };
    for (max, answers) in [(bytes, 1), (bytes - 1, 0)] {
        let (mut service, mut changes) = (Service::new(settings(max)), Vec::new());
        service.want(at(0), &subject, &mut changes);
        let errand = service.poll_refresh(at(0), || cluster_of(2)).unwrap();
        let brought = errand.merge(at(0), vec![(name(2), Ok(part.clone()))]);
        assert_eq!(brought.answered, answers);
        service.finish(at(0), errand.id(), brought, &mut changes);
        let readout = service.read::<Leaderboard>(at(0), &subject, &mut changes);
        let calls = readout.value().unwrap().providers[0].figures.calls;
        let unread = service.counters().unread;
        if answers == 1 {
            assert_eq!((calls, unread), (50, 0), "at the bound");
            continue;
        }
        assert_eq!((calls, unread), (20, 1), "over it");
        let problem = format!("a part of `lasso.leaderboard` of {bytes} bytes; {max} are accepted");
        let half = Half::Answer;
        let error = CallError::Malformed { half, problem };
        assert_eq!(readout.coverage().unwrap().failed, [(name(2), error)]);
    }
}

#[test]
fn what_a_full_recorder_tells_of_one_key_is_within_the_bound() {
    let limits = Limits::default();
    let recorder = SharedRecorder::new(1, limits.clone());
    for number in 0..limits.series_max {
        let method = format!("a_method_with_quite_a_long_name_{number}");
        let key = SeriesKey {
            profile: "free",
            provider: "alchemy",
            chain: "ethereum",
            method: &method,
            region: "iad",
        };
        // Every bucket that a sketch may have: from a microsecond to more than an hour.
        for bucket in 0..BUCKETS_MAX as u64 {
            let (power, part) = (10 + bucket / 64, bucket % 64);
            let latency = Duration::from_nanos((64 + part) << (power - 6));
            recorder.record(at(0), &key, Call::new(Outcome::Success, latency));
        }
    }
    let full = Registry::shipped(&recorder);
    let subject = full.subject::<AllMethods>(&chain()).unwrap();
    let part = answered(full.answer(at(0), &subject.question())).unwrap();
    // A bucket of one call takes a byte for the call; those of 16,000 take another.
    let more = limits.series_max * BUCKETS_MAX;
    let max = MetricsSettings::default().part_bytes_max;
    assert!(
        part.len() > more && part.len() + more <= max,
        "{} bytes",
        part.len()
    );
}

#[test]
fn questions_that_are_none_are_refused() {
    let here = node(1, 1);
    let nested = vec![0x91; 100_000];
    for question in [&b""[..], b"nonsense", &nested] {
        assert!(matches!(here.answer(at(0), question), Answer::Malformed(_)));
    }
    let subject = here.subject::<Leaderboard>(&chain()).unwrap();
    let mut question = subject.question().to_vec();
    question.push(0);
    assert!(matches!(
        here.answer(at(0), &question),
        Answer::Malformed(_)
    ));
    // A field of a later release is skipped, but not one of megabytes.
    for (bytes, good) in [(1_000_u32, true), (1 << 20, false)] {
        let mut question = subject.question().to_vec();
        question[0] += 1;
        question.extend(b"\xa5later\xdb");
        question.extend(bytes.to_be_bytes());
        question.resize(question.len() + bytes as usize, b'x');
        let answer = here.answer(at(0), &question);
        assert_eq!(matches!(answer, Answer::Done(_)), good, "{answer:?}");
    }
}

#[test]
fn with_metrics_off_nobody_is_asked_and_the_coverage_says_so() {
    let here = node(20, 100);
    let settings = MetricsSettings {
        enabled: false,
        ..MetricsSettings::default()
    };
    let (mut service, mut changes) = (Service::new(settings), Vec::new());
    let subject = here.subject::<Leaderboard>(&chain()).unwrap();
    service.want(at(0), &subject, &mut changes);
    let errand = service.poll_refresh(at(0), || cluster_of(3)).unwrap();
    assert!(errand.to().is_empty());
    let brought = errand.merge(at(0), Vec::new());
    service.finish(at(0), errand.id(), brought, &mut changes);
    let readout = service.read::<Leaderboard>(at(0), &subject, &mut changes);
    assert_eq!(readout.freshness, Freshness::Fresh);
    let coverage = readout.coverage().unwrap();
    assert_eq!((coverage.responding, coverage.total), (1, 3));
    assert!(coverage.failed.is_empty());
}

#[test]
fn one_subject_is_one_refresh_and_keys_and_queries_are_told_apart() {
    let here = node(1, 1);
    let (mut service, mut changes) = service();
    let method = MethodKey {
        profile: "free".into(),
        chain: "ethereum".into(),
        method: "eth_call".into(),
    };
    for _ in 0..1_000 {
        let board = here.subject::<Leaderboard>(&chain()).unwrap();
        assert_eq!(board.key::<Leaderboard>(), Some(&chain()));
        assert_eq!(board.key::<MethodPerformance>(), None);
        service.want(at(0), &board, &mut changes);
        let one = here.subject::<MethodPerformance>(&method).unwrap();
        assert_ne!(board, one);
        service.want(at(0), &one, &mut changes);
    }
    let mut polled = || service.poll_refresh(at(0), || cluster_of(2));
    let (first, second) = (polled().unwrap(), polled().unwrap());
    assert_eq!(first.subject().query(), "lasso.leaderboard");
    assert_eq!(second.subject().query(), "lasso.method_performance");
    assert_eq!(polled(), None);
}

/// A query with a name and keys of the tests' choosing.
#[derive(Serialize, Deserialize)]
struct Own<const NUMBER: usize>;

const NAMES: [&str; 4] = ["own", "own", "", "lasso.leaderboard"];

impl<const NUMBER: usize> Query for Own<NUMBER> {
    const NAME: &'static str = NAMES[NUMBER];
    type Key = String;
    type Partial = u64;
    type Answer = u64;

    fn collect(&self, _: Instant, key: &String) -> u64 {
        key.len() as u64
    }

    fn merge(&self, _: &String, parts: Vec<(NodeName, u64)>) -> u64 {
        parts.iter().map(|(_, part)| part).sum()
    }
}

#[test]
fn an_application_asks_questions_of_its_own() {
    let mut here = node(1, 1);
    here.register(Own::<0>).unwrap();
    let (mut service, mut changes) = service();
    let subject = here.subject::<Own<0>>(&"four".to_owned()).unwrap();
    service.want(at(0), &subject, &mut changes);
    let errand = service.poll_refresh(at(0), || cluster_of(3)).unwrap();
    let part = answered(here.answer(at(0), &errand.question()));
    let brought = errand.merge(at(0), vec![(name(2), part.clone()), (name(3), part)]);
    service.finish(at(0), errand.id(), brought, &mut changes);
    let readout = service.read::<Own<0>>(at(0), &subject, &mut changes);
    assert_eq!(readout.value(), Some(&12));
}

#[test]
fn names_are_taken_once_and_keys_are_bounded() {
    let mut here = node(1, 1);
    let key = "k".to_owned();
    let unknown = here.subject::<Own<0>>(&key).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "no query named `own` is registered here"
    );
    assert_eq!(here.register(Own::<0>), Ok(()));
    assert_eq!(here.register(Own::<1>), Err(RegisterError::Taken("own")));
    assert_eq!(here.register(Own::<2>), Err(RegisterError::Name("")));
    let taken = here.register(Own::<3>).unwrap_err();
    assert_eq!(
        taken.to_string(),
        "a query named `lasso.leaderboard` is registered"
    );
    // The same name, but another type.
    let other = here.subject::<Own<1>>(&key).unwrap_err();
    assert_eq!(other, AskError::NotRegistered("own"));
    let large = here.subject::<Own<0>>(&"x".repeat(KEY_BYTES_MAX));
    let bytes = KEY_BYTES_MAX + 3;
    let query = "own";
    assert_eq!(large.unwrap_err(), AskError::KeyTooLarge { query, bytes });
}

#[test]
fn membership_changes_with_links_and_with_who_responds() {
    let event = |responding, change| TopologyEvent {
        epoch: 1,
        coverage: Coverage {
            expected: 3,
            connected: 3,
            responding,
            identified: 3,
            unresponsive: Vec::new(),
            disconnected: Vec::new(),
            epoch: 1,
        },
        change,
    };
    let health = |state| TopologyChange::HealthUpdate {
        changed: vec![(name(2), state)],
    };
    let mut membership = Membership::default();
    let mut changes = |responding, change| membership.changes_with(&event(responding, change));
    let up = TopologyChange::NodeConnected {
        name: name(2),
        incarnation: Incarnation(1),
    };
    assert!(changes(1, up));
    assert!(changes(2, health(NodeState::Responding)));
    assert!(!changes(2, health(NodeState::Ready)), "it was asked before");
    assert!(changes(1, health(NodeState::Unresponsive)));
    let down = TopologyChange::NodeDisconnected {
        name: name(2),
        reason: DownReason::Down,
    };
    assert!(changes(1, down));
}

#[test]
fn one_that_begins_to_respond_as_another_ceases_is_a_change_of_membership() {
    use NodeState::{Ready, Responding, Unresponsive};
    let mut membership = Membership::default();
    let mut changes = |changed: &[(usize, NodeState)]| {
        let changed = changed.iter().map(|(node, state)| (name(*node), *state));
        membership.changes_with(&TopologyEvent {
            epoch: 1,
            coverage: Coverage {
                expected: 3,
                connected: 3,
                responding: 2,
                identified: 3,
                unresponsive: Vec::new(),
                disconnected: Vec::new(),
                epoch: 1,
            },
            change: TopologyChange::HealthUpdate {
                changed: changed.collect(),
            },
        })
    };
    assert!(changes(&[(2, Responding)]));
    for (changed, differs) in [
        (&[(2, Ready)][..], false),
        (&[(2, Unresponsive), (3, Ready)], true),
        (&[(2, Unresponsive), (3, Responding)], false),
        (&[(2, Responding), (3, Unresponsive)], true),
    ] {
        assert_eq!(changes(changed), differs, "{changed:?}");
    }
}

#[test]
fn a_refresh_that_is_given_up_tells_how_many_nodes_there_should_be() {
    let (mut service, mut changes) = service();
    let here = node(20, 100);
    let subject = here.subject::<Leaderboard>(&chain()).unwrap();
    service.want(at(0), &subject, &mut changes);
    let errand = service.poll_refresh(at(0), || cluster_of(1)).unwrap();
    let brought = errand.merge(at(0), Vec::new());
    service.finish(at(0), errand.id(), brought, &mut changes);
    service.want(at(16), &subject, &mut changes);
    let _lost = service.poll_refresh(at(16), || cluster_of(3)).unwrap();
    service.tick(at(26), &mut changes);
    let readout = service.read::<Leaderboard>(at(26), &subject, &mut changes);
    let coverage = &readout.failure().unwrap().coverage;
    assert_eq!((coverage.responding, coverage.total), (0, 3));
    assert_eq!(readout.coverage().unwrap().total, 1, "as it was gathered");
}
