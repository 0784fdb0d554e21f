//! How fast the simulated worlds are: `cargo bench -p lasso-sim --bench worlds`.
//!
//! Each figure is printed with what it is measured against. `-- NAME` runs those whose name holds
//! NAME.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant as Clock, SystemTime};

use lasso_core::plane::Audience;
use lasso_core::time::Instant;
use lasso_sim::app::{Call, Load, Order, Pace, Publish, Rate, Reads, Serve, Subscribe};
use lasso_sim::direct::{DirectWorld, Options};
use lasso_sim::scenario::{NodeId, Scenario};
use lasso_sim::stage::{Stage, stage};
use lasso_sim::world::{World, WorldKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The largest share of a run that invariants may cost.
const INVARIANTS: f64 = 0.5;
/// What this project demands of five nodes in the direct world, in simulated seconds per second.
const DIRECT_FIVE: f64 = 100_000.0;
/// And of a thousand forming a cluster, in seconds of wall time.
const DIRECT_THOUSAND: f64 = 60.0;
/// And of five nodes in the turmoil world.
const TURMOIL_FIVE: f64 = 700.0;

const TICK: Duration = Duration::from_millis(10);

fn main() {
    // Cargo passes `--bench`; what is no flag is a filter.
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| {
        filter
            .as_ref()
            .is_none_or(|filter| name.contains(filter.as_str()))
    };
    if wanted("direct_five") {
        direct_five();
    }
    if wanted("direct_thousand") {
        direct_thousand();
    }
    if wanted("turmoil_five") {
        turmoil_five();
    }
    if wanted("invariants") {
        invariants(5);
        invariants(20);
    }
}

fn scenario(text: &str) -> Scenario {
    match Scenario::parse("bench.toml".as_ref(), text) {
        Ok(scenario) => scenario,
        Err(bad) => panic!("{}", bad.render(false)),
    }
}

fn five() -> Scenario {
    scenario(
        r#"
        lasso = 1
        title = "five"
        [nodes]
        n = { count = 5 }
        [[step]]
        at = "10s"
        expect = { on = "all", connected = 5 }
        "#,
    )
}

fn start_all(world: &mut dyn World, scenario: &Scenario) {
    for node in scenario.node_ids() {
        if let Err(refusal) = world.start(node, scenario.node(node)) {
            panic!("{refusal}");
        }
    }
}

fn run_until(world: &mut dyn World, seconds: u64) {
    let until = Instant::ZERO + Duration::from_secs(seconds);
    while world.now() < until {
        world.advance(until);
    }
}

fn whole(world: &dyn World, scenario: &Scenario) -> bool {
    let count = scenario.nodes.len();
    let connected = |node: NodeId| world.observe(node).map(|view| view.coverage.connected);
    scenario
        .node_ids()
        .all(|node| connected(node) == Some(count))
}

/// Five nodes with default settings and real encryption, invariants and trace on, nothing to do.
fn direct_five() {
    const SECONDS: u64 = 500_000;
    let scenario = five();
    let mut world = DirectWorld::new(&scenario, 1, Options::default());
    start_all(&mut world, &scenario);
    run_until(&mut world, 60);
    assert!(whole(&world, &scenario), "the cluster is not whole");
    let (before, clock) = (world.inputs_handled(), Clock::now());
    run_until(&mut world, 60 + SECONDS);
    let took = clock.elapsed();
    assert!(whole(&world, &scenario) && world.violations().is_empty());
    let inputs = world.inputs_handled() - before;
    let rate = SECONDS as f64 / took.as_secs_f64();
    println!(
        "direct_five      {rate:>10.0} simulated s per s   {:.2} of {DIRECT_FIVE:.0}   \
         {:.0} ns per input, {:.1} inputs per simulated s",
        rate / DIRECT_FIVE,
        took.as_nanos() as f64 / inputs as f64,
        inputs as f64 / SECONDS as f64,
    );
}

/// So many nodes that all publish to all and call each other: what the invariants cost of a run, beside the
/// same run without them.
fn invariants(count: usize) {
    const SECONDS: u64 = 60;
    let scenario = scenario(&format!(
        "lasso = 1\ntitle = \"loaded\"\n[nodes]\nn = {{ count = {count} }}\n[[step]]\nat = \"10s\"\n\
         expect = {{ on = \"all\", connected = {count} }}\n"
    ));
    let run = |is_watched: bool| {
        let mut world = DirectWorld::new(&scenario, 1, Options::default());
        if !is_watched {
            world.watch_nothing();
        }
        start_all(&mut world, &scenario);
        run_until(&mut world, 30);
        assert!(whole(&world, &scenario), "the cluster is not whole");
        load(&mut world, &scenario);
        let (before, clock) = (world.inputs_handled(), ProcessorClock::now());
        run_until(&mut world, 30 + SECONDS);
        let took = clock.elapsed();
        assert!(world.violations().is_empty(), "{:?}", world.violations());
        (took, world.inputs_handled() - before)
    };
    // The best of three of each, in turns: whatever else runs on the machine makes both slower.
    let least = |least: (f64, u64), run: (f64, u64)| if run.0 < least.0 { run } else { least };
    let (mut bare, mut watched) = (run(false), run(true));
    for _ in 0..2 {
        (bare, watched) = (least(bare, run(false)), least(watched, run(true)));
    }
    assert_eq!(bare.1, watched.1, "to watch a run changes nothing in it");
    let share = 1.0 - bare.0 / watched.0;
    println!(
        "invariants_{count:<5} {:>9.0} % of a run        {:.2} of {:.0} %   {:.0} ns per input with, {:.0} \
         without",
        share * 100.0,
        share / INVARIANTS,
        INVARIANTS * 100.0,
        watched.0 * 1e9 / watched.1 as f64,
        bare.0 * 1e9 / bare.1 as f64,
    );
}

/// The time for which this process had a processor, where the system says, so that whatever else runs
/// on the machine does not count; else the time that has passed.
struct ProcessorClock(Clock, Option<f64>);

impl ProcessorClock {
    fn now() -> Self {
        ProcessorClock(Clock::now(), on_processor())
    }

    /// In seconds.
    fn elapsed(&self) -> f64 {
        let passed = || self.0.elapsed().as_secs_f64();
        self.1
            .zip(on_processor())
            .map_or_else(passed, |(before, now)| now - before)
    }
}

fn on_processor() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    let nanos: u64 = stat.split_whitespace().next()?.parse().ok()?;
    Some(nanos as f64 / 1e9)
}

/// Every node subscribes to two topics, publishes on one of them, and calls its neighbour.
fn load(world: &mut DirectWorld, scenario: &Scenario) {
    let at_rate = |number| Load {
        pace: Pace::Rate(Rate {
            number,
            unit: Duration::from_secs(1),
        }),
        count: None,
        lasts: None,
    };
    for node in scenario.node_ids() {
        let next = NodeId((node.0 + 1) % scenario.nodes.len() as u32);
        let topics = ["even", "odd"];
        let subscriptions = topics.map(|topic| {
            Order::Subscribe(Subscribe {
                name: topic.to_owned(),
                topic: topic.into(),
                queue: None,
                count: 2,
                reads: Reads::AtOnce,
            })
        });
        let others = [
            Order::Serve(Serve {
                method: "sum".into(),
                takes: (Duration::ZERO, Duration::from_millis(10)),
                panics_ppm: 0,
                rejects_ppm: 0,
                size: 64,
            }),
            Order::Publish(Publish {
                topic: topics[node.index() % 2].into(),
                load: at_rate(20),
                size: 256,
                audience: Audience::All,
            }),
            Order::Call(Call {
                to: scenario.node(next).name(),
                method: "sum".into(),
                load: at_rate(20),
                timeout: None,
                size: 64,
            }),
        ];
        for order in subscriptions.into_iter().chain(others) {
            world.order(node, &order).expect("it runs");
        }
    }
}

/// A thousand nodes, four names in DNS of 250 each, started at once, 1 ms apart from each other.
fn direct_thousand() {
    let names = ["n1", "n2", "n3", "n4"]
        .map(|name| format!("\"{name}.internal\""))
        .join(", ");
    let group = |name: &str| {
        format!("{name} = {{ count = 250, dns_name = \"{name}.internal\", dns = [{names}] }}\n")
    };
    let nodes: String = ["n1", "n2", "n3", "n4"].map(group).concat();
    let scenario = scenario(&format!(
        "lasso = 1\ntitle = \"thousand\"\ncipher = \"none\"\n[network]\nlatency = \"1ms\"\n[nodes]\n{nodes}\
         [[step]]\nat = \"60s\"\nexpect = {{ on = \"all\", connected = 1000 }}\n"
    ));
    let options = Options {
        quiet: true,
        ..Options::default()
    };
    let clock = Clock::now();
    let mut world = DirectWorld::new(&scenario, 1, options);
    start_all(&mut world, &scenario);
    let mut formed_after = None;
    for second in 1..=120 {
        run_until(&mut world, second);
        let nodes = scenario.node_ids().filter_map(|node| world.node(node));
        let all = nodes
            .filter(|node| node.topology().coverage().connected == 1_000)
            .count();
        if all == 1_000 {
            formed_after = Some(second);
            break;
        }
    }
    let took = clock.elapsed().as_secs_f64();
    assert!(world.violations().is_empty(), "{:?}", world.violations());
    match formed_after {
        Some(second) => println!(
            "direct_thousand  {took:>10.1} s of wall time    {:.2} of {DIRECT_THOUSAND:.0}   whole \
             after {second} simulated s, {} inputs, {}",
            took / DIRECT_THOUSAND,
            world.inputs_handled(),
            memory(),
        ),
        None => panic!("a thousand nodes are not whole after 120 simulated seconds"),
    }
}

/// The most memory that this process has held, where the system says.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or_else(String::new, |peak| format!("at most {} held", peak.trim()))
}

/// Five nodes with lasso-net's own driver, beside bare turmoil hosts with one heartbeat per second
/// and link.
fn turmoil_five() {
    const SECONDS: u64 = 2_000;
    let scenario = five();
    let mut world = stage(WorldKind::Turmoil, &scenario, 1, Options::default());
    start_all(&mut *world, &scenario);
    run_until(&mut *world, 60);
    assert!(whole(&*world, &scenario), "the cluster is not whole");
    let clock = Clock::now();
    run_until(&mut *world, 60 + SECONDS);
    let rate = SECONDS as f64 / clock.elapsed().as_secs_f64();
    assert!(whole(&*world, &scenario));
    drop(world);
    let bare = bare_turmoil(SECONDS);
    println!(
        "turmoil_five     {rate:>10.0} simulated s per s   {:.2} of {TURMOIL_FIVE:.0}   {:.2} of bare \
         turmoil ({bare:.0})",
        rate / TURMOIL_FIVE,
        rate / bare,
    );
}

/// Five turmoil hosts that do nothing but write and read eight bytes per second and connection.
fn bare_turmoil(seconds: u64) -> f64 {
    const HOSTS: u8 = 5;
    let mut sim = turmoil::Builder::new()
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(1))
        .simulation_duration(Duration::from_secs(seconds + 60))
        .epoch(SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_248_800))
        .rng_seed(1)
        .build();
    let address = |host: u8| IpAddr::V4(Ipv4Addr::new(192, 168, 0, host + 1));
    for host in 0..HOSTS {
        sim.host(address(host), move || async move {
            let listener = turmoil::net::TcpListener::bind("0.0.0.0:9155").await?;
            for peer in host + 1..HOSTS {
                tokio::task::spawn_local(async move {
                    // Whoever has a larger number starts later within the same tick.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    let stream = turmoil::net::TcpStream::connect((address(peer), 9155)).await;
                    heartbeat(stream.expect("the peer listens")).await;
                });
            }
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::task::spawn_local(heartbeat(stream));
            }
        });
    }
    let warm = Duration::from_secs(5);
    while sim.elapsed() < warm {
        sim.step().expect("a step");
    }
    let clock = Clock::now();
    while sim.elapsed() < warm + Duration::from_secs(seconds) {
        black_box(sim.step().expect("a step"));
    }
    seconds as f64 / clock.elapsed().as_secs_f64()
}

async fn heartbeat(mut stream: turmoil::net::TcpStream) {
    let mut buffer = [0; 8];
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            biased;
            read = stream.read_exact(&mut buffer) => {
                if read.is_err() {
                    return;
                }
            }
            _ = every.tick() => {
                if stream.write_all(&[1; 8]).await.is_err() {
                    return;
                }
            }
        }
    }
}
