use std::collections::BTreeSet;

use super::*;

fn reached(items: &[(Kind, &'static str, u64)]) -> Reached {
    let mut reached = Reached::default();
    for (kind, name, times) in items {
        reached.add(Item::new(*kind, *name), *times);
    }
    reached
}

#[test]
fn everything_has_a_name_of_its_own() {
    let all = universe();
    let distinct: BTreeSet<&Item> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    for kind in Kind::ALL {
        assert!(all.iter().any(|item| item.kind == kind), "{kind:?}");
    }
}

#[test]
fn an_excuse_is_for_something_that_exists_and_gives_a_reason() {
    let all = universe();
    for (kind, name, why) in EXCUSED {
        let item = Item::new(*kind, *name);
        assert!(all.contains(&item), "{item}");
        assert!(why.len() > 10, "{item}: {why}");
    }
}

#[test]
fn every_counter_that_checks_can_read_is_one_that_can_be_reached() {
    // Present amounts are not events that a run could reach.
    let of_now = [
        "event_streams",
        "event_viewers",
        "event_topics",
        "event_timers",
    ];
    let names = counters::names();
    for name in crate::inspect::counter_names() {
        assert!(names.contains(&name) || of_now.contains(&name), "{name}");
    }
}

#[test]
fn a_table_adds_up_runs_and_names_what_none_of_them_reached() {
    let mut table = Table::default();
    table.add(&reached(&[
        (Kind::CloseReason, "silent", 2),
        (Kind::Notice, "stalled", 1),
    ]));
    table.add(&reached(&[(Kind::CloseReason, "silent", 3)]));
    let row = |name: &str| table.rows().into_iter().find(|row| row.name == name);
    let silent = row("silent").unwrap();
    assert_eq!((silent.times, silent.runs), (5, 2));
    let text = table.to_string();
    assert!(
        text.starts_with(&format!(
            "coverage of the machines: 2 of {} in 2 runs\n",
            universe().len()
        )),
        "{text}"
    );
    let missing: Vec<String> = table.missing().into_iter().map(|row| row.name).collect();
    assert!(missing.contains(&"garbage".to_owned()) && !missing.contains(&"silent".to_owned()));
    assert!(text.contains("\n    garbage (close reasons)"), "{text}");
}

#[test]
fn a_run_in_each_world_reaches_what_happens_in_it() {
    use crate::runner;
    use crate::scenario::Scenario;
    use crate::world::WorldKind;

    let text = "lasso = 1\ntitle = \"a crash\"\nnodes = { a = {}, b = {} }\n\
        [[step]]\nat = \"20s\"\ncrash = \"b\"\n\
        [[step]]\nat = \"25s\"\nexpect = { on = \"a\", connected = 1 }\n";
    let scenario = Scenario::parse("crash.toml".as_ref(), text).unwrap();
    for world in [WorldKind::Direct, WorldKind::Turmoil] {
        let outcome = runner::run(&scenario, world, 1, false);
        let times = |kind, name: &str| {
            let mut all = outcome.reached.iter();
            let found = all.find(|(item, _)| item.kind == kind && item.name == name);
            found.map_or(0, |(_, times)| times)
        };
        assert_eq!(times(Kind::DownReason, "closed"), 1, "{world}");
        // Both lives count: the one that crashed as well.
        assert_eq!(times(Kind::Counter, "connected"), 2, "{world}");
        assert_eq!(
            times(Kind::Transition, "disconnected -> discovering"),
            2,
            "{world}"
        );
        assert_eq!(
            times(Kind::Transition, "ready -> disconnected"),
            1,
            "{world}"
        );
        assert!(times(Kind::CloseReason, "transport") > 0, "{world}");
        assert_eq!(times(Kind::CloseReason, "garbage"), 0, "{world}");
    }
}
