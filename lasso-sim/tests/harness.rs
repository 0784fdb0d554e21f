//! The harness for applications of users: what it runs, what it finds, and what it says.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lasso_net::Cluster;
use lasso_net::messaging::{Received, SubscribeError};
use lasso_sim::{Failed, Harness, Node, Setup};
use parking_lot::Mutex;

/// Three nodes, of which one is cut off, and which restart.
const CUT: &str = r#"
lasso = 1
title = "One of three nodes is cut off for a while"
nodes = { a = { region = "iad", roles = ["web"] }, b = {}, c = {} }

[[step]]
at = "20s"
label = "cut"
partition = [["a", "b"], ["c"]]

[[step]]
at = "110s"
heal = "all"

[[step]]
at = "140s"
expect = { on = "all", connected = 3 }
"#;

/// Three nodes and nothing else.
fn quiet(steps: &str) -> Setup {
    let head = "lasso = 1\ntitle = \"Three nodes\"\nall = { starts = \"0s\" }\n\
                nodes = { a = {}, b = {}, c = {} }\n";
    lasso_sim::scenario_text("three.toml", &format!("{head}{steps}"))
}

const STEADY: &str = "[[step]]\nat = \"10s\"\nexpect = { on = \"all\", connected = 3 }\n";

/// Publishes a number each second and counts those of all nodes.
async fn count(cluster: Cluster, node: Node<AtomicU64>) -> Result<(), SubscribeError> {
    let mut numbers = cluster.subscribe::<u64>("numbers")?;
    let publisher = cluster.clone();
    cluster.spawn(async move {
        for number in 1.. {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = publisher.publish("numbers", &number);
        }
    });
    while let Some(received) = numbers.recv().await {
        if let Received::Message { .. } = received {
            node.state().fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

fn counted() -> Harness<AtomicU64> {
    lasso_sim::scenario_text("cut.toml", CUT)
        .state(AtomicU64::default)
        .application(count)
}

fn failure(harness: Harness<impl Send + Sync + 'static>) -> Failed {
    harness.seeds(1..=2).try_check().expect_err("it must fail")
}

#[test]
fn an_application_runs_on_every_node_and_checks_see_its_state() {
    let report = counted()
        .seeds(1..=3)
        .check_after("cut", "80s", |world| {
            let coverage = world.node("c").coverage().ok_or("c does not run")?;
            match (coverage.connected, world.now().as_secs()) {
                (1, 100) => Ok(()),
                other => Err(format!("connected and time: {other:?}")),
            }
        })
        .check_end(|world| {
            for (key, got) in world.states() {
                let got = got.load(Ordering::Relaxed);
                // 140 from itself, and as many from each other node but for a cut of 90 s.
                let expected = if key == "c" { 230..=245 } else { 320..=340 };
                assert!(expected.contains(&got), "{key} got {got}");
            }
        })
        .try_check();
    let report = report.unwrap_or_else(|failed| panic!("{failed}"));
    assert_eq!((report.seeds(), report.different()), (1..=3, 3));
    let text = report.to_string();
    assert!(
        text.starts_with("cut.toml: held with seeds 1 to 3, 3 different runs"),
        "{text}"
    );
}

#[test]
fn a_test_may_use_a_label_that_the_file_uses_too_whatever_it_draws() {
    let drawn = CUT
        .replace("at = \"20s\"", "at = \"15s..20s\"")
        .replace("at = \"110s\"", "after = \"cut + 90s\"");
    let report = lasso_sim::scenario_text("drawn.toml", &drawn)
        .state(AtomicU64::default)
        .application(count)
        .seeds(1..=2)
        .check_after("cut", "80s", |world| {
            let coverage = world.node("c").coverage().ok_or("c does not run")?;
            (coverage.connected == 1)
                .then_some(())
                .ok_or(format!("connected: {}", coverage.connected))
        })
        .try_check();
    report.unwrap_or_else(|failed| panic!("{failed}"));
}

#[test]
fn a_failed_check_says_what_when_where_and_how_to_repeat_it() {
    let failed = failure(counted().check_at("30s", |world| match world.seed() {
        2 => Err("seed 2 displeases"),
        _ => Ok(()),
    }));
    assert_eq!(failed.seed(), Some(2));
    let text = failed.to_string();
    for part in [
        "cut.toml fails with seed 2, of seeds 1 to 2: One of three nodes is cut off for a while",
        "tests/harness.rs:",
        "at 30.000000 s",
        "expected: check_at(\"30s\") holds",
        "seen:     seed 2 displeases",
        "partition",
        "replay:   LASSO_SEED=2 cargo test -p lasso-sim \
         a_failed_check_says_what_when_where_and_how_to_repeat_it -- --exact --nocapture",
    ] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

#[test]
fn a_check_that_panics_fails_at_the_place_of_the_panic() {
    let line = line!() + 1;
    let failed = failure(counted().check_end(|world| assert_eq!(world.nodes().count(), 4)));
    let text = failed.to_string();
    assert!(
        text.contains(&format!("tests/harness.rs:{line}:")),
        "{text}"
    );
    assert!(text.contains("left: 3"), "{text}");
}

#[test]
fn an_error_of_the_application_fails_the_run_with_node_and_time() {
    let application = |_: Cluster, node: Node| async move {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        match node.key() {
            "b" => Err("out of stock"),
            _ => Ok(()),
        }
    };
    let text = failure(quiet(STEADY).application(application)).to_string();
    assert!(text.contains("at 2.500000 s on b\n"), "{text}");
    assert!(
        text.contains("expected: the application returns no error"),
        "{text}"
    );
    assert!(text.contains("seen:     out of stock"), "{text}");
}

#[test]
fn a_panic_fails_the_run_in_the_application_its_tasks_and_its_handlers() {
    let application = |_: Cluster, _: Node| async { panic!("the application falls") };
    let text = failure(quiet(STEADY).application(application)).to_string();
    assert!(text.contains("a panic: the application falls"), "{text}");
    assert!(text.contains("on a\n"), "{text}");

    let task = |cluster: Cluster, _: Node| async move {
        cluster.spawn(async { panic!("the task falls") });
    };
    let text = failure(quiet(STEADY).application(task)).to_string();
    assert!(text.contains("a panic: the task falls"), "{text}");

    let line = line!() + 2;
    let handler = |cluster: Cluster, node: Node| async move {
        let fall = |_: u64, _| async { panic!("the handler falls") };
        let serving = cluster.serve::<u64, u64, _, _>("fall", fall);
        serving.expect("it is not served yet").forever();
        tokio::time::sleep(Duration::from_secs(5)).await;
        if node.key() == "a" {
            let _ = cluster.call::<u64, u64>(&cluster.name(), "fall", &1).await;
        }
    };
    let text = failure(quiet(STEADY).application(handler)).to_string();
    assert!(text.contains("a panic: the handler falls"), "{text}");
    assert!(
        text.contains(&format!("tests/harness.rs:{line}:")),
        "{text}"
    );
}

#[test]
fn each_start_of_a_node_begins_the_application_anew_with_other_numbers() {
    let steps = "[[step]]\nat = \"10s\"\nrestart = \"b\"\n[[step]]\nat = \"20s\"\n\
                 expect = { on = \"all\", connected = 3 }\n";
    quiet(steps)
        .state(|| Mutex::new(Vec::new()))
        .application(|_, node| async move {
            let draws = (node.rng().next_u64(), node.rng().next_u64());
            node.state()
                .lock()
                .push((node.start(), node.now().as_secs(), draws));
            core::future::pending::<()>().await;
        })
        .seeds(1..=2)
        .check_end(|world| {
            let starts = |key: &str| world.node(key).state().lock().clone();
            let (a, b) = (starts("a"), starts("b"));
            assert_eq!((a.len(), b.len(), world.node("b").starts()), (1, 2, 2));
            assert_eq!((b[0].0, b[1].0, b[1].1), (1, 2, 10));
            let mut draws: Vec<u64> = a.iter().chain(&b).flat_map(|s| [s.2.0, s.2.1]).collect();
            draws.sort_unstable();
            draws.dedup();
            assert_eq!(draws.len(), 6);
        })
        .check();
}

#[test]
fn an_application_may_fail_once_its_node_was_told_to_stop() {
    let steps = "[[step]]\nat = \"10s\"\nstop = \"b\"\n[[step]]\nat = \"20s\"\n\
                 expect = { on = [\"a\", \"c\"], connected = 2 }\n";
    let application = |cluster: Cluster, _: Node| async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            cluster.publish("numbers", &1)?;
        }
        #[expect(unreachable_code, reason = "it names the type of the error")]
        Ok::<(), lasso_net::messaging::PublishError>(())
    };
    let test = quiet(steps).application(application).seeds(1..=1);
    test.check_end(|world| assert!(!world.node("b").is_running()))
        .check();
}

#[test]
fn a_frozen_node_freezes_its_application() {
    let steps = "[[step]]\nat = \"10s\"\npause = \"b\"\n[[step]]\nat = \"30s\"\nresume = \"b\"\n\
                 [[step]]\nat = \"45s\"\nexpect = { on = \"all\", connected = 3 }\n";
    quiet(steps)
        .state(AtomicU64::default)
        .application(|_, node| async move {
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                node.state().store(node.now().as_secs(), Ordering::Relaxed);
            }
        })
        .seeds(1..=1)
        .check_at("29s", |world| {
            assert!(world.node("b").is_frozen());
            assert_eq!(world.node("b").state().load(Ordering::Relaxed), 9);
            assert_eq!(world.node("a").state().load(Ordering::Relaxed), 28);
        })
        .check_at("40s", |world| {
            assert_eq!(world.node("b").state().load(Ordering::Relaxed), 39);
        })
        .check();
}

#[test]
fn tasks_that_nobody_can_freeze_are_named_when_their_node_is_frozen() {
    let steps = "[[step]]\nat = \"10s\"\npause = \"b\"\n[[step]]\nat = \"20s\"\nresume = \"b\"\n";
    let application = |_: Cluster, _: Node| async {
        tokio::spawn(core::future::pending::<()>());
        core::future::pending::<()>().await;
    };
    let text = failure(quiet(steps).application(application)).to_string();
    assert!(text.contains("at 10.000000 s on b\n"), "{text}");
    assert!(text.contains("1 tasks of `tokio::spawn`"), "{text}");
    assert!(text.contains("`Cluster::spawn`"), "{text}");
}

#[test]
fn an_act_asks_inside_of_the_simulation_and_its_error_fails_the_run() {
    let serve = |cluster: Cluster, _: Node| async move {
        let double = |number: u64, _| async move { Ok(2 * number) };
        cluster
            .serve("double", double)
            .map(|serving| serving.forever())
    };
    let ask = |cluster: Cluster, node: Node| async move {
        let name = cluster.topology().members[0].name().clone();
        let doubled = cluster.call::<u64, u64>(&name, "double", &21).await;
        node.note(format_args!("doubled: {doubled:?}"));
        match doubled {
            Ok(42) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    let good = quiet(STEADY).application(serve).act_at("5s", "a", ask);
    good.seeds(1..=1).check();

    let idle = |_: Cluster, _: Node| async {};
    let bad = quiet(STEADY).application(idle).act_at("5s", "a", ask);
    let text = failure(bad).to_string();
    assert!(
        text.contains("expected: act_at(\"5s\", \"a\") succeeds"),
        "{text}"
    );
    assert!(text.contains("on a\n"), "{text}");
    assert!(text.contains("notes: doubled: Err("), "{text}");
}

#[test]
fn an_act_needs_a_node_that_runs_and_must_end() {
    let idle = |_: Cluster, _: Node| async {};
    let steps = "[[step]]\nat = \"5s\"\ncrash = \"b\"\n";
    let act = quiet(steps).application(idle).act_at("6s", "b", idle);
    let text = failure(act).to_string();
    assert!(text.contains("seen:     `b` does not run"), "{text}");

    let hangs = |_: Cluster, _: Node| core::future::pending::<()>();
    let act = quiet(STEADY).application(idle).act_at("6s", "b", hangs);
    let text = failure(act).to_string();
    assert!(text.contains("at 70.000000 s on b"), "{text}");
    assert!(
        text.contains("ends within 60s of the scenario's end"),
        "{text}"
    );
}

#[test]
fn what_is_not_deterministic_is_found_and_said() {
    let application = |cluster: Cluster, _: Node| async move {
        let names: HashMap<u64, u64> = (0..40).map(|number| (number, number)).collect();
        let _numbers = cluster.subscribe::<u64>("numbers");
        tokio::time::sleep(Duration::from_secs(5)).await;
        // The order of a map with a random hasher.
        for number in names.keys() {
            let _ = cluster.publish("numbers", number);
        }
        core::future::pending::<()>().await;
    };
    let text = failure(quiet(STEADY).application(application)).to_string();
    assert!(text.contains("two runs with seed 1 differ"), "{text}");
    assert!(text.contains("the order of a `HashMap`"), "{text}");
    assert!(text.contains("run inputs"), "{text}");
    assert!(text.contains("LASSO_SEED=1 cargo test"), "{text}");
}

#[test]
fn every_mistake_of_a_test_is_said_before_anything_runs() {
    let idle = |_: Cluster, _: Node| async {};
    let test = quiet(STEADY)
        .application(idle)
        .check_at("soon", |_| ())
        .check_after("nowhere", "1s", |_| ())
        .act_at("1s", "d", idle);
    let text = failure(test).to_string();
    assert!(text.contains("`soon` is no time"), "{text}");
    assert!(text.contains("no step has the label `nowhere`"), "{text}");
    assert!(text.contains("the scenario has no node `d`"), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");

    let bad = lasso_sim::scenario_text("bad.toml", "lasso = 1\nnods = {}\n").application(idle);
    let text = failure(bad).to_string();
    assert!(text.contains("bad.toml:2:1"), "{text}");
    let missing = lasso_sim::scenario("tests/there-is-none.toml").application(idle);
    let text = failure(missing).to_string();
    assert!(
        text.contains("cannot read") && text.contains("there-is-none.toml"),
        "{text}"
    );
}

#[test]
fn a_test_with_a_runtime_of_its_own_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let idle = |_: Cluster, _: Node| async {};
    let text = runtime
        .expect("a runtime")
        .block_on(async { failure(quiet(STEADY).application(idle)).to_string() });
    assert!(text.contains("`#[tokio::test]`"), "{text}");
}

#[test]
fn what_the_file_expects_fails_the_test_too() {
    let steps = "[[step]]\nat = \"10s\"\nexpect = { on = \"all\", connected = 2 }\n";
    let idle = |_: Cluster, _: Node| async {};
    let text = failure(quiet(steps).application(idle)).to_string();
    assert!(
        text.contains("three.toml:7:") && text.contains("expected: connected = 2"),
        "{text}"
    );
}

#[test]
fn an_error_of_a_task_names_where_the_task_was_started_and_each_line_of_it_is_indented() {
    let line = line!() + 2;
    let application = |_: Cluster, node: Node| async move {
        node.spawn(async { Err::<(), _>("shoes: 3 left\nhats: none left") });
    };
    let text = failure(quiet(STEADY).application(application)).to_string();
    assert!(
        text.contains(&format!("tests/harness.rs:{line}:")),
        "{text}"
    );
    let seen = "    seen:     shoes: 3 left\n              hats: none left\n";
    assert!(text.contains(seen), "{text}");
}

#[test]
fn seeds_that_would_never_end_are_refused() {
    let idle = |_: Cluster, _: Node| async {};
    for seeds in [0..=u64::MAX, 1..=u64::MAX, 5..=2_000_000_000] {
        let refused = quiet(STEADY).application(idle).seeds(seeds).try_check();
        let text = refused.expect_err("it must fail").to_string();
        assert!(text.contains("would never end"), "{text}");
    }
    let last = quiet(STEADY)
        .application(idle)
        .seeds(u64::MAX - 1..=u64::MAX);
    let report = last.try_check().expect("the last two seeds there are");
    assert_eq!(report.different(), 2);
}
