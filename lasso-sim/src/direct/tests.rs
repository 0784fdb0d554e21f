use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;

use bytes::Bytes;
use lasso_core::config::Settings;
use lasso_core::event::{Change, DownReason};
use lasso_core::name::{Basename, Description, Label, NodeName};

use super::*;
use crate::scenario::Loc;
use crate::world::{Cut, DnsMode, Opening, Path, Stranger, World};

fn label(text: &str) -> Label {
    Label::new("label", text).unwrap()
}

/// `count` nodes that find each other by DNS.
fn specs(count: u32) -> Vec<NodeSpec> {
    let basename = Basename::new("app").unwrap();
    let node = |index: u32| {
        let host = IpAddr::from([10, 0, (index / 250) as u8, (index % 250 + 1) as u8]);
        let address = SocketAddr::new(host, 9155);
        NodeSpec {
            key: format!("n{index}"),
            loc: Loc {
                span: 0..0,
                line: 1,
                column: 1,
            },
            basename: basename.clone(),
            address,
            host,
            dns_name: "app.internal".to_owned(),
            cluster: label("lasso"),
            description: Description::of(&NodeName::new(basename.clone(), address)),
            cookie: "a secret of more than thirty-two bytes".to_owned(),
            cookie_previous: None,
            queries: vec!["app.internal".parse().unwrap()],
            peers: Vec::new(),
            expected_nodes: count,
            settings: Settings::default(),
            starts: Some(Duration::ZERO),
            ready: true,
            clock_offset_ms: 0,
        }
    };
    (0..count).map(node).collect()
}

fn world(specs: &[NodeSpec], seed: u64) -> DirectWorld {
    let network = Network {
        dns_latency: Duration::from_millis(2),
        ..Network::default()
    };
    let options = Options {
        keep_trace: true,
        quiet: false,
    };
    let mut world = DirectWorld::with(specs, &network, false, seed, options);
    for (index, spec) in specs.iter().enumerate() {
        world.start(NodeId(index as u32), spec).unwrap();
    }
    world
}

fn run(world: &mut DirectWorld, seconds: u64) {
    let until = Instant::ZERO + Duration::from_secs(seconds);
    while world.now() < until {
        world.advance(until);
    }
    assert_eq!(
        world.violations(),
        [],
        "{}",
        world.record.trace.text().unwrap_or_default()
    );
}

fn connected(world: &DirectWorld) -> Vec<usize> {
    let nodes = (0..world.hosts.len() as u32).map(NodeId);
    nodes
        .filter_map(|node| world.node(node))
        .map(|node| node.coverage().connected)
        .collect()
}

fn paths(a: u32, b: u32) -> [Path; 2] {
    let (a, b) = (NodeId(a), NodeId(b));
    [Path { from: a, to: b }, Path { from: b, to: a }]
}

#[test]
fn three_nodes_find_each_other_within_ten_seconds() {
    let specs = specs(3);
    let mut world = world(&specs, 1);
    run(&mut world, 10);
    assert_eq!(connected(&world), [3, 3, 3]);
    run(&mut world, 600);
    assert_eq!(connected(&world), [3, 3, 3]);
    assert_eq!(
        world.events(NodeId(0)).len(),
        6,
        "{:?}",
        world.events(NodeId(0))
    );
}

#[test]
fn a_seed_is_a_run() {
    let specs = specs(3);
    let hash = |seed| {
        let mut world = world(&specs, seed);
        run(&mut world, 60);
        world.record.trace.checkpoint(world.now);
        world.record.trace.hash()
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

#[test]
fn a_crash_is_noticed_at_once_and_a_frozen_node_after_its_silence() {
    let specs = specs(3);
    let mut world = world(&specs, 1);
    run(&mut world, 60);
    world.crash(NodeId(2)).unwrap();
    run(&mut world, 61);
    assert_eq!(connected(&world), [2, 2]);
    world.start(NodeId(2), &specs[2]).unwrap();
    run(&mut world, 70);
    assert_eq!(connected(&world), [3, 3, 3]);
    world.pause(NodeId(1)).unwrap();
    run(&mut world, 99);
    assert_eq!(connected(&world), [3, 3, 3]);
    run(&mut world, 146);
    assert_eq!(connected(&world), [2, 3, 2]);
    let events = world.events(NodeId(0)).iter();
    let down: Vec<_> = events
        .filter_map(|event| match &event.what.change {
            Change::NodeDisconnected { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect();
    assert_eq!(down, [DownReason::Closed, DownReason::Down]);
    world.resume(NodeId(1)).unwrap();
    run(&mut world, 156);
    assert_eq!(connected(&world), [3, 3, 3]);
}

#[test]
fn a_partition_is_noticed_by_silence_and_healed_within_ten_seconds() {
    for how in [Cut::Stall, Cut::Drop, Cut::Reset] {
        let specs = specs(3);
        let mut world = world(&specs, 5);
        run(&mut world, 60);
        world.attribute(FaultId(1));
        world
            .cut(&[paths(0, 2), paths(1, 2)].concat(), how)
            .unwrap();
        run(&mut world, 136);
        assert_eq!(connected(&world), [2, 2, 1], "{how:?}");
        world.heal(&[paths(0, 2), paths(1, 2)].concat()).unwrap();
        run(&mut world, 146);
        assert_eq!(connected(&world), [3, 3, 3], "{how:?}");
        assert!(world.effects(FaultId(1)) > 0);
    }
}

#[test]
fn one_direction_cut_ends_the_link_and_a_machine_that_is_off_is_missed() {
    let specs = specs(3);
    let mut world = world(&specs, 5);
    run(&mut world, 60);
    world.cut(&paths(0, 2)[..1], Cut::Stall).unwrap();
    run(&mut world, 140);
    assert_eq!(connected(&world), [2, 3, 2]);
    world.heal(&paths(0, 2)).unwrap();
    run(&mut world, 150);
    assert_eq!(connected(&world), [3, 3, 3]);
    world.vanish(NodeId(2)).unwrap();
    run(&mut world, 160);
    assert_eq!(connected(&world), [3, 3]);
    run(&mut world, 230);
    assert_eq!(connected(&world), [2, 2]);
    world.start(NodeId(2), &specs[2]).unwrap();
    run(&mut world, 240);
    assert_eq!(connected(&world), [3, 3, 3]);
}

#[test]
fn dns_faults_make_nobody_leave_and_new_nodes_wait() {
    let specs = specs(3);
    let mut world = world(&specs[..2], 1);
    run(&mut world, 20);
    let all = [NodeId(0), NodeId(1)];
    for mode in [
        DnsMode::Fails,
        DnsMode::Silent,
        DnsMode::Empty,
        DnsMode::Truncated(1),
    ] {
        world.attribute(FaultId(9));
        world.dns("app.internal", &all, &mode).unwrap();
        let until = world.now().since_start().as_secs() + 100;
        run(&mut world, until);
        assert_eq!(connected(&world), [2, 2], "{mode:?}");
    }
    assert!(world.effects(FaultId(9)) > 0);
}

#[test]
fn a_graceful_stop_is_left() {
    let specs = specs(3);
    let mut world = world(&specs, 1);
    run(&mut world, 20);
    world.stop(NodeId(1)).unwrap();
    run(&mut world, 21);
    assert_eq!(world.process(NodeId(1)), crate::world::Process::Gone);
    let last = world.events(NodeId(0)).last().unwrap();
    assert!(
        matches!(
            last.what.change,
            Change::NodeDisconnected {
                reason: DownReason::Left,
                ..
            }
        ),
        "{last:?}"
    );
}

#[test]
fn strangers_are_sent_away_and_disturb_nobody() {
    let specs = specs(2);
    let mut world = world(&specs, 1);
    run(&mut world, 20);
    let garbage = Opening::Bytes(Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n"));
    for opening in [garbage, Opening::Bytes(Bytes::new()), Opening::Replay] {
        world.attribute(FaultId(4));
        let stranger = Stranger {
            to: NodeId(0),
            from: IpAddr::from([192, 0, 2, 1]),
            connections: 3,
            opening,
            leaves_after: None,
        };
        world.stranger(&stranger).unwrap();
        let until = world.now().since_start().as_secs() + 10;
        run(&mut world, until);
    }
    assert_eq!(world.effects(FaultId(4)), 9);
    assert_eq!(connected(&world), [2, 2]);
    let view = world.observe(NodeId(0)).unwrap();
    let closed: BTreeSet<_> = view.closed.keys().copied().collect();
    assert!(
        closed.contains("garbage") && closed.contains("handshake_timeout"),
        "{closed:?}"
    );
}

#[test]
fn a_lossy_network_is_slow_and_nobody_is_declared_dead() {
    let specs = specs(3);
    let shape = crate::scenario::Shape {
        loss_ppm: 200_000,
        ..Default::default()
    };
    let network = Network {
        default: shape,
        ..Network::default()
    };
    let mut world = DirectWorld::with(&specs, &network, false, 3, Options::default());
    for (index, spec) in specs.iter().enumerate() {
        world.start(NodeId(index as u32), spec).unwrap();
    }
    run(&mut world, 3_600);
    assert_eq!(connected(&world), [3, 3, 3]);
    assert_eq!(
        world.observe(NodeId(0)).unwrap().counters["disconnected"],
        0
    );
}
