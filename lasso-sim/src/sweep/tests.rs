use super::*;
use crate::runner::{self, Failure, Goal};
use crate::scenario::Scenario;
use crate::world::WorldKind;

fn outcome(seed: u64) -> Outcome {
    let text = "lasso = 1\ntitle = \"one\"\nnodes = { a = { starts = \"0s\" } }\nends = \"1s\"\n\
        [[sometimes]]\ntitle = \"alone\"\non = \"a\"\nconnected = 1\nseeds = 2\n";
    let scenario = Scenario::parse("one.toml".as_ref(), text).unwrap();
    runner::run(&scenario, WorldKind::Direct, seed, false)
}

fn failed(seed: u64, place: &str, expected: &str, seen: &str) -> Outcome {
    let mut outcome = outcome(seed);
    outcome.verdict = Verdict::Failed;
    outcome.failures = vec![Failure {
        place: place.to_owned(),
        at: "1.000000".to_owned(),
        node: Some("a".to_owned()),
        expected: expected.to_owned(),
        seen: seen.to_owned(),
        more: 0,
        trace: Vec::new(),
    }];
    outcome
}

#[test]
fn failures_are_grouped_by_place_and_invariant_whatever_their_numbers() {
    let mut summary = Summary::default();
    let invariant = "invariant 7 of what always holds";
    for (seed, place, expected, seen) in [
        (1, "one.toml:9:3", "connected = 3", "connected = 2"),
        (2, "one.toml:9:3", "connected = 3", "connected = 1"),
        (3, "one.toml:10:3", "connected = 3", "connected = 1"),
        (4, "one.toml", invariant, "12 messages are missing"),
        (5, "one.toml", invariant, "1 messages are missing"),
        (6, "one.toml", invariant, "message 7 came twice"),
        (
            7,
            "one.toml",
            "invariant 8 of what always holds",
            "12 messages are missing",
        ),
    ] {
        summary.add(&failed(seed, place, expected, seen));
    }
    let kinds: Vec<(&str, u64, &[u64])> = summary
        .failures
        .iter()
        .map(|kind| (kind.what.as_str(), kind.runs, kind.seeds.as_slice()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("one.toml:9:3: connected = #", 2, &[1, 2][..]),
            ("one.toml:10:3: connected = #", 1, &[3]),
            (
                "invariant 7 of what always holds: # messages are missing",
                2,
                &[4, 5]
            ),
            (
                "invariant 7 of what always holds: message # came twice",
                1,
                &[6]
            ),
            (
                "invariant 8 of what always holds: # messages are missing",
                1,
                &[7]
            ),
        ]
    );
    assert_eq!((summary.held, summary.failed), (0, 7));
    let first = summary.failures.iter().next().unwrap();
    assert!(
        first.report.contains("seen:     connected = 2"),
        "{}",
        first.report
    );
}

#[test]
fn kinds_and_seeds_are_bounded() {
    let mut kinds = Kinds::default();
    for seed in 0..20 {
        kinds.add(&failed(seed, "one.toml:1:1", "x", "y"));
    }
    for line in 0..KINDS_MAX {
        kinds.add(&failed(1, &format!("one.toml:{}:1", line + 2), "x", "y"));
    }
    assert_eq!(kinds.iter().count(), KINDS_MAX);
    assert_eq!(kinds.others(), 1);
    let first = kinds.iter().next().unwrap();
    assert_eq!((first.runs, first.seeds.len()), (20, SEEDS_SHOWN));
}

#[test]
fn what_no_run_reached_is_demanded_once_there_were_enough_runs() {
    let unreached = |goal: &Goal| Goal {
        at: None,
        ..goal.clone()
    };
    let mut miss = outcome(1);
    miss.goals = miss.goals.iter().map(unreached).collect();
    let mut summary = Summary::default();
    summary.add(&miss);
    assert!(summary.unreached().is_empty(), "two seeds were asked for");
    summary.add(&miss);
    assert_eq!(summary.unreached()[0].title, "alone");
    let reaches = outcome(3);
    assert_eq!(reaches.goals[0].at.as_deref(), Some("0.000000"));
    summary.add(&reaches);
    assert!(summary.unreached().is_empty());
    let goal = summary.goals.iter().next().unwrap();
    assert_eq!((goal.runs, goal.first_seed), (1, Some(3)));
}

#[test]
fn sums_stand_in_the_order_of_the_file() {
    let mut listed: Listed<&str> = Listed::default();
    for place in ["f.toml:10:1", "f.toml:9:20", "f.toml:9:3"] {
        listed.at(place, "crash", || place);
    }
    let order: Vec<&str> = listed.iter().copied().collect();
    assert_eq!(order, ["f.toml:9:3", "f.toml:9:20", "f.toml:10:1"]);
}

#[test]
fn different_hashes_are_counted_exactly_and_then_nearly() {
    let mut distinct = Distinct::default();
    // Spread evenly, as hashes are; each appears twice.
    let hash = |n: u64| format!("{:016x}ffff", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for n in (0..1_000).chain(0..1_000) {
        distinct.add(&hash(n));
    }
    assert_eq!((distinct.count(), distinct.is_exact()), (1_000, true));
    for n in 0..400_000 {
        distinct.add(&hash(n));
    }
    assert!(!distinct.is_exact());
    assert!(
        (392_000..=408_000).contains(&distinct.count()),
        "{}",
        distinct.count()
    );
    distinct.add("");
}
