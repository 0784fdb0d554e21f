use bytes::Bytes;
use lasso_core::event::{Change, DownReason};

use super::*;
use crate::world::{Cut, Opening, Path, Process, Stranger, World};

const THREE: &str = r#"
lasso = 1
title = "Three nodes"
story = "Three nodes, of which the last is hindered."

[nodes]
a = {}
b = {}
c = {}

[[step]]
at = "10s"
expect = { on = "all", connected = 3 }
"#;

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
const C: NodeId = NodeId(2);

fn world(seed: u64) -> TurmoilWorld {
    let scenario = Scenario::parse(std::path::Path::new("three.toml"), THREE);
    let scenario = scenario.unwrap_or_else(|errors| panic!("{errors:?}"));
    let options = Options {
        keep_trace: true,
        quiet: false,
    };
    let mut world = TurmoilWorld::new(&scenario, seed, options);
    for (index, spec) in scenario.nodes.iter().enumerate() {
        world.start(NodeId(index as u32), spec).unwrap();
    }
    world
}

fn run(world: &mut TurmoilWorld, millis: u64) {
    let until = world.now() + Duration::from_millis(millis);
    while world.now() < until {
        world.advance(until);
    }
    let trace = world
        .books
        .record
        .trace
        .text()
        .unwrap_or_default()
        .to_owned();
    assert_eq!(world.violations(), [], "{trace}");
}

fn connected(world: &TurmoilWorld, node: NodeId) -> usize {
    world.observe(node).expect("it runs").coverage.connected
}

fn losses(world: &TurmoilWorld, node: NodeId) -> Vec<DownReason> {
    let reason = |change: &Change| match change {
        Change::NodeDisconnected { reason, .. } => Some(*reason),
        _ => None,
    };
    world
        .events(node)
        .iter()
        .filter_map(|event| reason(&event.what.change))
        .collect()
}

#[test]
fn three_nodes_form_a_cluster_that_stays_whole() {
    let mut world = world(1);
    run(&mut world, 2_000);
    for node in [A, B, C] {
        assert_eq!(connected(&world, node), 3);
    }
    run(&mut world, 300_000);
    assert_eq!(losses(&world, A), []);
    assert_eq!(connected(&world, B), 3);
}

#[test]
fn a_crash_is_seen_at_once_and_a_restart_is_found() {
    let mut world = world(2);
    run(&mut world, 20_000);
    world.crash(C).unwrap();
    run(&mut world, 50);
    assert_eq!(
        (connected(&world, A), losses(&world, A)),
        (2, vec![DownReason::Closed])
    );
    let spec = world.hosts[C.index()].spec.clone();
    run(&mut world, 5_000);
    world.start(C, &spec).unwrap();
    run(&mut world, 2_000);
    assert_eq!((connected(&world, A), connected(&world, C)), (3, 3));
}

#[test]
fn a_frozen_process_is_down_after_the_tick_time_and_back_after_the_thaw() {
    let mut world = world(3);
    run(&mut world, 20_000);
    world.pause(C).unwrap();
    run(&mut world, 29_000);
    assert_eq!(connected(&world, A), 3);
    run(&mut world, 46_000);
    assert_eq!(
        (connected(&world, A), losses(&world, A)),
        (2, vec![DownReason::Down])
    );
    world.resume(C).unwrap();
    run(&mut world, 10_000);
    assert_eq!((connected(&world, A), connected(&world, C)), (3, 3));
}

#[test]
fn a_partition_is_noticed_and_healed_within_ten_seconds() {
    let mut world = world(4);
    run(&mut world, 20_000);
    let paths: Vec<Path> = [(A, C), (C, A), (B, C), (C, B)]
        .map(|(from, to)| Path { from, to })
        .to_vec();
    world.attribute(FaultId(1));
    world.cut(&paths, Cut::Stall).unwrap();
    run(&mut world, 76_000);
    assert_eq!((connected(&world, A), connected(&world, C)), (2, 1));
    world.heal(&paths).unwrap();
    run(&mut world, 10_000);
    assert_eq!((connected(&world, A), connected(&world, C)), (3, 3));
    assert!(world.effects(FaultId(1)) > 0);
}

#[test]
fn a_goodbye_ends_the_process_and_is_told_apart() {
    let mut world = world(5);
    run(&mut world, 20_000);
    world.stop(C).unwrap();
    run(&mut world, 2_000);
    assert_eq!(world.process(C), Process::Gone);
    assert_eq!(losses(&world, A), [DownReason::Left]);
}

#[test]
fn a_stranger_is_refused_and_counted() {
    let mut world = world(6);
    run(&mut world, 20_000);
    let stranger = |opening| Stranger {
        to: A,
        from: [10, 9, 9, 9].into(),
        connections: 1,
        opening,
        leaves_after: None,
    };
    world.attribute(FaultId(7));
    world
        .stranger(&stranger(Opening::Bytes(Bytes::from_static(
            b"GET / HTTP/1.1\r\n",
        ))))
        .unwrap();
    world.stranger(&stranger(Opening::Replay)).unwrap();
    run(&mut world, 5_000);
    let closed = world.observe(A).expect("it runs").closed;
    assert_eq!(
        (closed["garbage"], closed["replayed"]),
        (1, 1),
        "{closed:?}"
    );
    assert_eq!(world.effects(FaultId(7)), 2);
    assert_eq!(losses(&world, A), []);
}

#[test]
fn one_seed_gives_one_trace() {
    let trace = |seed| {
        let mut world = world(seed);
        run(&mut world, 30_000);
        world.crash(B).unwrap();
        run(&mut world, 30_000);
        world.books.record.trace.checkpoint(Instant::ZERO);
        world
            .books
            .record
            .trace
            .text()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(trace(8), trace(8));
    assert_ne!(trace(8), trace(9));
}
