use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::metrics::recorder::{Call, Limits, Outcome};

const KEY: SeriesKey<'static> = SeriesKey {
    profile: "free",
    provider: "alchemy",
    chain: "ethereum",
    method: "eth_call",
    region: "iad",
};

fn chain() -> ProviderKey {
    ProviderKey {
        profile: "free".into(),
        chain: "ethereum".into(),
    }
}

fn node(number: usize) -> NodeName {
    format!("app@10.0.0.{number}").parse().unwrap()
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn record(recorder: &mut Recorder, now: u64, key: SeriesKey<'_>, calls: usize, millis: u64) {
    for _ in 0..calls {
        let call = Call::new(Outcome::Success, Duration::from_millis(millis));
        recorder.record(at(now), &key, call);
    }
}

fn ask<Q: Query>(
    now: u64,
    key: &Q::Key,
    recorders: &[Recorder],
    query: impl Fn(usize) -> Q,
) -> Q::Answer {
    let parts = (0..recorders.len()).map(|number| {
        let part = query(number).collect(at(now), key);
        // As over the wire.
        let bytes = rmp_serde::to_vec_named(&part).unwrap();
        (node(number + 1), rmp_serde::from_slice(&bytes).unwrap())
    });
    query(0).merge(key, parts.collect())
}

#[test]
fn one_question_answers_by_provider_by_method_and_by_both() {
    let mut recorders = [Recorder::new(1), Recorder::new(2)];
    let pair = |provider, method| SeriesKey {
        provider,
        method,
        ..KEY
    };
    record(&mut recorders[0], 0, pair("alchemy", "eth_call"), 100, 10);
    record(&mut recorders[1], 0, pair("alchemy", "eth_call"), 20, 10);
    record(&mut recorders[0], 0, pair("alchemy", "eth_chainId"), 30, 10);
    record(&mut recorders[1], 0, pair("infura", "eth_call"), 40, 10);
    let ours = |number: usize| recorders[number].clone();
    let table = ask::<Breakdown<Recorder>>(0, &chain(), &recorders, |n| Breakdown(ours(n)));
    let pairs = table.pairs.iter();
    let pairs: Vec<_> = pairs
        .map(|row| (&*row.provider, &*row.method, row.figures.calls))
        .collect();
    assert_eq!(
        pairs,
        [
            ("alchemy", "eth_call", 120),
            ("alchemy", "eth_chainId", 30),
            ("infura", "eth_call", 40)
        ]
    );
    // The other two questions say the same.
    let board = ask::<Leaderboard<Recorder>>(0, &chain(), &recorders, |n| Leaderboard(ours(n)));
    let methods = ask::<AllMethods<Recorder>>(0, &chain(), &recorders, |n| AllMethods(ours(n)));
    assert_eq!(table.untold, board.untold);
    assert_eq!(table.methods, methods.methods);
    assert_eq!(table.providers, board.providers);
}

#[test]
fn the_leaderboard_sums_nodes_and_weighs_means() {
    let mut recorders = [Recorder::new(1), Recorder::new(2)];
    record(&mut recorders[0], 0, KEY, 1_000, 100);
    record(&mut recorders[1], 0, KEY, 100, 200);
    let other = SeriesKey {
        profile: "premium",
        ..KEY
    };
    record(&mut recorders[1], 0, other, 100, 9_000);
    let ranking = ask(0, &chain(), &recorders, |n| {
        Leaderboard(recorders[n].clone())
    });
    assert_eq!(
        ranking.providers.len(),
        1,
        "another profile's rows stay out"
    );
    let figures = &ranking.providers[0].figures;
    assert_eq!(figures.calls, 1_100);
    assert_eq!(format!("{:.2}", figures.mean_latency_ms), "109.09");
    assert_eq!(figures.nodes.len(), 2);
    assert_eq!(figures.nodes[&node(2)].calls, 100);
}

#[test]
fn the_leaderboard_is_by_score_and_ties_are_by_name() {
    let mut recorders = [Recorder::new(1)];
    let of = |provider| SeriesKey { provider, ..KEY };
    for (provider, calls, millis) in [
        ("slow", 50, 900),
        ("b", 50, 100),
        ("quick", 50, 10),
        ("a", 50, 100),
        ("cold", 9, 1),
    ] {
        record(&mut recorders[0], 0, of(provider), calls, millis);
    }
    let ranking = ask(0, &chain(), &recorders, |n| {
        Leaderboard(recorders[n].clone())
    });
    let names: Vec<_> = ranking.providers.iter().map(|row| &*row.provider).collect();
    assert_eq!(names, ["quick", "a", "b", "slow", "cold"]);
    assert!(ranking.providers[4].figures.cold_start);
}

#[test]
fn realtime_tells_of_the_last_window_and_of_sets() {
    let mut recorders = [Recorder::new(1), Recorder::new(2)];
    let of = |provider, method| SeriesKey {
        provider,
        method,
        ..KEY
    };
    record(&mut recorders[0], 10, of("alchemy", "eth_call"), 500, 50);
    record(&mut recorders[0], 70, of("alchemy", "eth_call"), 30, 50);
    record(&mut recorders[1], 70, of("infura", "eth_getLogs"), 90, 50);
    record(&mut recorders[1], 130, of("quiet", "eth_chainId"), 1, 50);
    let stats = ask(125, &chain(), &recorders, |n| {
        Realtime(recorders[n].clone())
    });
    assert_eq!(stats.total.calls, 120);
    assert_eq!(stats.total.requests_per_second.to_bits(), 2f64.to_bits());
    assert!(stats.providers.iter().eq(["alchemy", "infura"]));
    assert!(stats.methods.iter().eq(["eth_call", "eth_getLogs"]));
    let board = ask(125, &chain(), &recorders, |n| {
        Leaderboard(recorders[n].clone())
    });
    let alchemy = board.providers.iter().find(|row| row.provider == "alchemy");
    let figures = &alchemy.unwrap().figures;
    assert_eq!(figures.calls, 530, "since the start");
    assert_eq!(figures.requests_per_second.to_bits(), 0.5f64.to_bits());
}

#[test]
fn methods_are_told_alone_and_all_together() {
    let mut recorders = [Recorder::new(1), Recorder::new(2)];
    let of = |provider, method| SeriesKey {
        provider,
        method,
        ..KEY
    };
    record(&mut recorders[0], 0, of("alchemy", "eth_call"), 20, 50);
    record(&mut recorders[1], 0, of("infura", "eth_call"), 30, 20);
    record(&mut recorders[1], 0, of("infura", "eth_getLogs"), 40, 500);
    let key = MethodKey {
        profile: "free".into(),
        chain: "ethereum".into(),
        method: "eth_call".into(),
    };
    let one = ask(0, &key, &recorders, |n| {
        MethodPerformance(recorders[n].clone())
    });
    let calls: Vec<_> = one
        .providers
        .iter()
        .map(|row| (&*row.provider, row.figures.calls))
        .collect();
    assert_eq!(calls, [("infura", 30), ("alchemy", 20)]);
    let all = ask(0, &chain(), &recorders, |n| {
        AllMethods(recorders[n].clone())
    });
    let methods: Vec<_> = all
        .methods
        .iter()
        .map(|row| (&*row.method, row.figures.calls))
        .collect();
    assert_eq!(methods, [("eth_call", 50), ("eth_getLogs", 40)]);
    assert!(all.methods[0].providers.iter().eq(["alchemy", "infura"]));
}

#[test]
fn calls_without_a_series_are_told_as_untold() {
    let limits = Limits {
        series_max: 1,
        ..Limits::default()
    };
    let mut recorders = [Recorder::with_limits(1, limits)];
    record(&mut recorders[0], 0, KEY, 20, 50);
    let late = SeriesKey {
        provider: "late",
        ..KEY
    };
    record(&mut recorders[0], 0, late, 7, 50);
    let ranking = ask(0, &chain(), &recorders, |n| {
        Leaderboard(recorders[n].clone())
    });
    assert_eq!(ranking.providers.len(), 1);
    assert_eq!(
        ranking.untold,
        Untold {
            calls: 7,
            ..Untold::default()
        }
    );
}

#[test]
fn rows_beyond_the_bounds_are_left_out_and_counted() {
    let row = |name: String| PartialRow {
        name,
        region: "iad".into(),
        tally: Tally::new(),
        window_calls: 0,
        others: Names::default(),
    };
    let mut rows: Vec<_> = (0..ROWS_MAX + 2).map(|n| row(n.to_string())).collect();
    rows[0].name = "x".repeat(NAME_BYTES_MAX + 1);
    // As another release may send them.
    let bytes = rmp_serde::to_vec_named(&BTreeMap::from([("rows", &rows)])).unwrap();
    let sent: CallsPartial = rmp_serde::from_slice(&bytes).unwrap();
    assert_eq!((sent.rows.len(), sent.rows.left_out()), (ROWS_MAX, 2));
    let rows = rows.into();
    let made = CallsPartial { rows, untold: 0 };
    for part in [sent, made] {
        let ranking = Leaderboard(Recorder::new(0)).merge(&chain(), vec![(node(1), part)]);
        assert_eq!(ranking.providers.len(), ROWS_MAX - 1);
        assert_eq!(ranking.untold.rows, 3);
    }
}

#[test]
fn names_beside_rows_are_bounded_for_a_part_as_a_whole() {
    let names =
        |from: usize| -> Vec<String> { (from..from + 3_000).map(|n| n.to_string()).collect() };
    let long = vec!["x".repeat(NAME_BYTES_MAX + 1)];
    let row = |name: &str, others: Vec<String>| {
        serde_json::json!({
            "name": name, "region": "iad", "others": others,
            "tally": { "calls": 20, "successes": 20, "latency_ns": 2_000 },
        })
    };
    let hostile = serde_json::json!({
        "rows": [row("a", names(0)), row("b", names(0)), row("c", names(0)), row("d", long)],
    });
    let bytes = rmp_serde::to_vec_named(&hostile).unwrap();
    let part: CallsPartial = rmp_serde::from_slice(&bytes).unwrap();
    let kept: usize = part.rows.iter().map(|row| row.others.len()).sum();
    assert_eq!(kept, ROWS_MAX);
    let ranking = Leaderboard(Recorder::new(0)).merge(&chain(), vec![(node(1), part)]);
    let methods: Vec<_> = ranking
        .providers
        .iter()
        .map(|row| row.methods.len())
        .collect();
    assert_eq!(
        methods,
        [3_000, ROWS_MAX - 3_000, 0, 0],
        "and no row is lost for it"
    );
    let beyond = 9_000 - ROWS_MAX as u64;
    assert_eq!(ranking.untold.names, beyond + 1);
}

#[test]
fn names_that_come_again_and_again_use_up_the_room_too() {
    let row = |name: &str| {
        serde_json::json!({
            "name": name, "region": "iad", "others": vec!["again"; 3_000], "tally": {},
        })
    };
    let rows = ["a", "b", "c"].map(row);
    let bytes = rmp_serde::to_vec_named(&serde_json::json!({ "rows": rows })).unwrap();
    let part: CallsPartial = rmp_serde::from_slice(&bytes).unwrap();
    let left_out: Vec<u64> = part.rows.iter().map(|row| row.others.left_out()).collect();
    assert_eq!(left_out, [0, 6_000 - ROWS_MAX as u64, 3_000]);
}

#[test]
fn what_a_newer_release_adds_is_skipped_and_what_an_older_one_lacks_is_nothing() {
    let newer = serde_json::json!({
        "rows": [{
            "name": "alchemy", "region": "iad", "colour": "red",
            "tally": { "calls": 20, "successes": 20, "latency_ns": 2_000, "retries": 3 },
        }],
        "since": 12,
    });
    let bytes = rmp_serde::to_vec_named(&newer).unwrap();
    let part: CallsPartial = rmp_serde::from_slice(&bytes).unwrap();
    assert_eq!(part.rows[0].tally.calls, 20);
    assert_eq!((part.rows[0].tally.failovers, part.untold), (0, 0));
    assert!(part.rows[0].tally.latency.is_empty());
}

proptest! {
    #[test]
    fn the_order_of_the_nodes_changes_no_bit(
        calls in prop::collection::vec((0..4usize, 0..3usize, 0..3usize, 0..2usize, 1..9_000u64), 0..150),
        order in Just([0, 1, 2, 3]).prop_shuffle(),
    ) {
        let mut recorders = [0, 1, 2, 3].map(Recorder::new);
        for (owner, provider, method, region, millis) in calls {
            let key = SeriesKey {
                provider: ["alchemy", "infura", "ankr"][provider],
                method: ["eth_call", "eth_getLogs", "eth_chainId"][method],
                region: ["iad", "sjc"][region],
                ..KEY
            };
            record(&mut recorders[owner], millis % 100, key, 1, millis);
        }
        fn text<Q: Query<Answer: Serialize>>(query: Q, key: &Q::Key, parts: Vec<(NodeName, Q::Partial)>) -> String {
            serde_json::to_string(&query.merge(key, parts)).unwrap()
        }
        macro_rules! check {
            ($query:ident) => {
                let part = |n: usize| (node(n + 1), $query(recorders[n].clone()).collect(at(100), &chain()));
                let straight = text($query(recorders[0].clone()), &chain(), (0..4).map(part).collect());
                let mixed = text($query(recorders[0].clone()), &chain(), order.iter().copied().map(part).collect());
                prop_assert_eq!(straight, mixed);
            };
        }
        check!(Leaderboard);
        check!(Realtime);
        check!(AllMethods);
    }
}
