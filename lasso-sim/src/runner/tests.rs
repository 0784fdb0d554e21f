use super::*;

fn scenario(rest: &str) -> Scenario {
    let text =
        format!("lasso = 1\ntitle = \"three\"\n[nodes]\na = {{}}\nb = {{}}\nc = {{}}\n{rest}");
    match Scenario::parse("three.toml".as_ref(), &text) {
        Ok(scenario) => scenario,
        Err(bad) => panic!("{}", bad.render(false)),
    }
}

fn direct(rest: &str) -> Outcome {
    run(&scenario(rest), WorldKind::Direct, 1, true)
}

#[test]
fn what_holds_is_held_and_leaves_a_trace() {
    let outcome = direct(
        "[[step]]\nat = \"0s\"\nexpect = { on = \"all\", within = \"10s\", connected = 3 }\n",
    );
    assert_eq!(
        (outcome.verdict, outcome.failures.len()),
        (Verdict::Held, 0)
    );
    let trace = outcome.trace.unwrap();
    assert!(trace.contains("a starts as lasso@"), "{trace}");
    assert!(trace.contains("step 1: holds"), "{trace}");
    assert_eq!(outcome.trace_hash.len(), 64);
}

#[test]
fn a_failure_says_where_when_who_and_how_to_repeat_it() {
    let outcome =
        direct("[[step]]\nat = \"20s\"\nexpect = { on = \"b\", within = \"5s\", connected = 2 }\n");
    assert_eq!(outcome.verdict, Verdict::Failed);
    let failure = &outcome.failures[0];
    assert!(failure.place.starts_with("three.toml:9:"), "{failure:?}");
    assert_eq!(
        (failure.at.as_str(), failure.node.as_deref()),
        ("25.000000", Some("b"))
    );
    assert_eq!(failure.expected, "within 5s: connected = 2");
    assert_eq!(failure.seen, "connected = 3");
    assert!(!failure.trace.is_empty());
    let replay = outcome.replay.as_str();
    assert!(
        replay.ends_with("lasso-sim -- run three.toml --seed 1 --world direct"),
        "{replay}"
    );
    assert!(
        outcome
            .report()
            .contains("expected: within 5s: connected = 2")
    );
}

#[test]
fn an_order_that_touches_nothing_fails_the_run() {
    let outcome = direct(
        "[[step]]\nat = \"20s\"\ncut = { between = [\"a\", \"b\"] }\n\
         [[step]]\nat = \"20s\"\nheal = \"all\"\n\
         [[step]]\nat = \"20s\"\nexpect = { on = \"all\", connected = 3 }\n",
    );
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert_eq!(outcome.failures[0].seen, "it touched nothing");
}

#[test]
fn a_rule_is_broken_at_the_moment_at_which_it_is() {
    let outcome = direct(
        "[[step]]\nat = \"30s\"\ncrash = \"c\"\n\
         [[always]]\nfrom = \"10s\"\nuntil = \"60s\"\non = [\"a\", \"b\"]\nconnected = 3\n",
    );
    let failure = &outcome.failures[0];
    assert!(failure.at.starts_with("30.000"), "{failure:?}");
    assert_eq!(failure.expected, "always: connected = 3");
    let outcome = direct(
        "[[step]]\nat = \"30s\"\ncrash = \"c\"\n\
         [[never]]\nfrom = \"10s\"\nuntil = \"60s\"\non = [\"a\", \"b\"]\nconnected = 2\n",
    );
    assert_eq!(outcome.failures[0].expected, "never");
}

#[test]
fn a_step_waits_for_its_condition_and_the_run_fails_when_it_never_comes() {
    let waits = |condition: &str| {
        direct(&format!(
            "[[step]]\nwhen = {{ on = \"all\", {condition} }}\nby = \"20s\"\n\
             crash = \"c\"\n\
             [[step]]\nat = \"21s\"\nexpect = {{ on = [\"a\", \"b\"], connected = 2 }}\n"
        ))
    };
    assert_eq!(
        waits("connected = 3").verdict,
        Verdict::Held,
        "{}",
        waits("connected = 3").report()
    );
    let failed = waits("disconnected = [\"b\"]");
    assert_eq!(failed.verdict, Verdict::Failed);
    assert!(
        failed.failures[0].at.starts_with("20.000"),
        "{:?}",
        failed.failures
    );
}

#[test]
fn a_file_for_other_worlds_is_refused_with_its_reason() {
    let text = "lasso = 1\ntitle = \"t\"\nworlds = [\"turmoil\"]\nbecause = \"of tasks\"\n\
                [nodes]\na = {}\n[[step]]\nat = \"1s\"\nexpect = { on = \"a\", connected = 1 }\n";
    let scenario = match Scenario::parse("t.toml".as_ref(), text) {
        Ok(scenario) => scenario,
        Err(bad) => panic!("{}", bad.render(false)),
    };
    let outcome = run(&scenario, WorldKind::Direct, 1, false);
    assert_eq!(outcome.verdict, Verdict::Refused);
    assert!(outcome.reason.unwrap().contains("of tasks"));
}

#[test]
fn a_seed_is_a_trace() {
    let rest = "[[step]]\nat = \"1m\"\nexpect = { on = \"all\", connected = 3 }\n";
    assert_eq!(direct(rest).trace, direct(rest).trace);
    let other = run(&scenario(rest), WorldKind::Direct, 2, true);
    assert_ne!(direct(rest).trace_hash, other.trace_hash);
}

#[test]
fn a_rule_that_was_never_looked_at_fails_the_run() {
    let text = "lasso = 1\ntitle = \"late\"\n[nodes]\na = {}\nb = {}\nc = { starts = \"30s\" }\n\
        [groups]\nlate = [\"c\"]\n\
        [[never]]\non = \"late\"\nuntil = \"10s\"\nconnected = 3\n\
        [[step]]\nat = \"50s\"\nexpect = { on = \"all\", connected = 3 }\n";
    let scenario = Scenario::parse("late.toml".as_ref(), text).unwrap();
    let outcome = run(&scenario, WorldKind::Direct, 1, false);
    assert_eq!(outcome.verdict, Verdict::Failed);
    let failure = &outcome.failures[0];
    assert_eq!(failure.expected, "the rule is looked at");
    assert_eq!(failure.seen, "none of its nodes ran between 0s and 10s");
    assert!(failure.place.starts_with("late.toml:9:"), "{failure:?}");
}

#[test]
fn an_outcome_says_how_often_each_check_was_looked_at_and_what_took_effect() {
    let outcome = direct(
        "[[step]]\nat = \"20s\"\ncrash = \"c\"\n\
         [[step]]\nat = \"30s\"\nexpect = { on = [\"a\", \"b\"], connected = 2, identified = 2 }\n\
         [[always]]\non = [\"a\", \"b\"]\nfrom = \"15s\"\nconnected = \">= 2\"\n\
         [[never]]\non = \"a\"\nconnected = 1\nidentified = 1\nfrom = \"15s\"\n",
    );
    assert_eq!(outcome.verdict, Verdict::Held, "{:?}", outcome.failures);
    let looks: Vec<(&str, &str)> = outcome
        .looks
        .iter()
        .map(|look| (look.what, look.check.as_str()))
        .collect();
    let wanted = [
        ("expect", "connected"),
        ("expect", "identified"),
        ("always", "connected"),
        ("never", "connected"),
        ("never", "identified"),
    ];
    assert_eq!(looks, wanted);
    let times: Vec<u64> = outcome.looks.iter().map(|look| look.times).collect();
    assert_eq!(times[..2], [2, 2]);
    // Two nodes at each moment, and one; the second check of a `never` only if the first holds.
    assert_eq!(times[2], times[3] * 2);
    assert!(times[3] > 10, "{times:?}");
    assert_eq!(times[4], 0);
    let orders = &outcome.orders[0];
    assert_eq!(
        (orders.verb, orders.ordered, orders.took_effect),
        ("crash", 1, 1)
    );
    assert!(
        orders.touched > 0 && orders.place.starts_with("three.toml:9:"),
        "{orders:?}"
    );
}

#[test]
fn what_runs_told_about_members_is_compared_without_times() {
    let hash = |at: &str, node: &str| {
        let rest = format!(
            "[[step]]\nat = \"{at}\"\ncrash = \"{node}\"\n[[step]]\nafter = \"5s\"\nexpect = {{ on = \"a\", connected = 2 }}\n"
        );
        direct(&rest).membership_hash
    };
    assert_eq!(hash("20s", "c"), hash("21s", "c"));
    assert_ne!(hash("20s", "c"), hash("20s", "b"));
}
