//! Every block of Rust in the README and in the documents is compiled: here, line by line as it
//! stands there, or in the file that a document names as its own.

use std::time::Duration;

use lasso::events::{Pass, RoutingDecision, RoutingEvent, Scope, Segment};
use lasso::metrics::{Call, Leaderboard, Outcome, ProviderKey, SeriesKey};
use lasso::{Cluster, NodeName, Targets};

type Compiled = Result<(), Box<dyn std::error::Error>>;

#[rustfmt::skip]
#[allow(dead_code)]
async fn the_first_program() -> Compiled {
    let cluster = lasso::Cluster::builder()
        .name("shop@127.0.0.1") // the same basename on every node, and this node's own address
        .cookie("a secret of at least 32 bytes, the same on every node")
        .peer("shop@127.0.0.2") // or .query("shop.internal"), the DNS name that leads to all nodes
        .region("iad")
        .start()
        .await?;
    cluster.wait_for(2, Duration::from_secs(30)).await?; // until the other one runs
    println!("{}", cluster.coverage()); // "2/2 nodes"
    cluster.shutdown().await; // the others hear that it left, rather than that it was lost
    Ok(())
}

fn stock_of(item: &str) -> u32 {
    item.len() as u32
}

#[rustfmt::skip]
#[allow(dead_code, unused_variables, unused_mut)]
async fn topics_and_calls(cluster: Cluster, node: NodeName, order: Order) -> Compiled {
    let mut orders = cluster.subscribe::<Order>("orders")?;         // on any node
    let reach = cluster.publish("orders", &order)?;                 // never waits; says whom it reached

    let _serving = cluster.serve("stock", |item: String, _call| async move { Ok(stock_of(&item)) })?;
    let stock: u32 = cluster.call(&node, "stock", "shoes").await?;  // one outcome, within 5 s
    let all = cluster.call_many::<_, u32>(Targets::All, "stock", "shoes").await?;
    println!("{} of {} nodes answered", all.coverage.answered, all.coverage.asked);
    Ok(())
}

#[rustfmt::skip]
#[derive(serde::Serialize, serde::Deserialize)]
struct Order { item: String, count: u32 }

type Price = u64;

#[rustfmt::skip]
#[allow(dead_code, unused_variables, unused_mut)]
async fn topics_and_calls_of_the_document(cluster: Cluster, node: NodeName, order: Order) -> Compiled {
    let mut orders = cluster.subscribe::<Order>("orders:emea")?;
    let reach = cluster.publish("orders:emea", &order)?;          // never waits
    let price: Price = cluster.call(&node, "price", &order).await?;  // one outcome, in time
    let prices = cluster.call_many::<_, Price>(Targets::All, "price", &order).await?;
    Ok(())
}

#[rustfmt::skip]
#[allow(dead_code, unused_variables)]
async fn live_events(cluster: Cluster, decision: RoutingDecision, profile: Segment, pass: Pass) -> Compiled {
    cluster.publish_event(RoutingEvent::Decision(decision))?;       // sampled; never waits
    let mut viewer = cluster.events(profile).viewer(&pass, Scope::Profile).await?;
    let snapshot = viewer.recv().await;                             // then batches, twice a second
    Ok(())
}

#[rustfmt::skip]
#[allow(dead_code, unused_variables)]
async fn live_events_of_the_document(
    cluster: Cluster, decision: RoutingDecision, profile: Segment, account: Segment, chain: Segment,
) -> Compiled {
    // The node that serves requests publishes; never waits.
    cluster.publish_event(RoutingEvent::Decision(decision))?;

    // Whoever looks, on this node or another. The pass is what the server knows of the one who asks.
    let pass = Pass::account(profile.clone(), account.clone());
    let mut viewer = cluster.events(profile).chains([chain]).viewer(&pass, Scope::Account(account)).await?;
    while let Some(delivery) = viewer.recv().await { /* a snapshot first, then what is new */ }
    Ok(())
}

#[rustfmt::skip]
#[allow(dead_code)]
async fn figures(cluster: Cluster, took: Duration, wait: Duration) -> Compiled {
    let series = SeriesKey {
        profile: "free", provider: "alchemy", chain: "ethereum", method: "eth_call", region: "iad",
    };
    cluster.record(&series, Call::new(Outcome::Success, took)); // of this node alone; no network in it

    let chain = ProviderKey { profile: "free".into(), chain: "ethereum".into() };
    let board = cluster.metrics().get_or_wait::<Leaderboard>(&chain, wait).await?; // of all nodes
    for provider in board.value().into_iter().flat_map(|ranking| &ranking.providers) {
        println!("{}: {:.1} ms", provider.provider, provider.figures.mean_latency_ms);
    }
    println!("{:?}, {:?} old, {:?}", board.freshness, board.age, board.coverage());
    Ok(())
}

#[rustfmt::skip]
#[allow(dead_code, unused_variables)]
async fn figures_of_the_document(
    cluster: Cluster, series: SeriesKey<'_>, chain: ProviderKey, took: Duration, wait: Duration,
) -> Compiled {
    cluster.record(&series, Call::new(Outcome::Success, took));        // this node's own calls
    let board = cluster.metrics().get::<Leaderboard>(&chain)?;         // never waits
    let board = cluster.metrics().get_or_wait::<Leaderboard>(&chain, wait).await?;
    let mut boards = cluster.metrics().watch::<Leaderboard>(&chain)?;  // a stream of answers as they change
    if let Some(ranking) = board.value() { /* of all nodes */ }
    let (age, worth, whom) = (board.age, board.freshness, board.coverage());
    boards.recv().await;
    Ok(())
}

/// The lines of a text without their indentation, and without those that only import or are empty.
fn lines(text: &str) -> Vec<&str> {
    let trimmed = text.lines().map(str::trim);
    trimmed
        .filter(|line| !line.is_empty() && !line.starts_with("use "))
        .collect()
}

fn blocks(document: &str) -> impl Iterator<Item = &str> {
    let parts = document.split("```rust").skip(1);
    parts.filter_map(|rest| rest.split_once('\n')?.1.split("```").next())
}

#[test]
fn every_block_of_rust_in_the_documents_is_compiled() {
    let root = env!("CARGO_MANIFEST_DIR");
    let read = |file: &str| std::fs::read_to_string(format!("{root}/{file}")).expect(file);
    let files = |folder: &str, ending: &str| -> Vec<String> {
        let entries = std::fs::read_dir(format!("{root}/{folder}")).expect(folder);
        let names = entries.map(|entry| entry.expect("it can be listed").file_name());
        let names = names.map(|name| format!("{folder}/{}", name.to_string_lossy()));
        names.filter(|name| name.ends_with(ending)).collect()
    };
    let mut compiled = vec![include_str!("blocks.rs").to_owned()];
    let tested = files("examples/tested-app/tests", ".rs");
    compiled.extend(tested.iter().map(|file| read(file)));
    let compiled: Vec<Vec<&str>> = compiled.iter().map(|source| lines(source)).collect();
    let mut documents = files("docs", ".md");
    documents.push("README.md".to_owned());
    let mut seen = 0;
    for document in documents {
        for block in blocks(&read(&document)) {
            let (shown, mut at, mut parts) = (lines(block), 0, 0);
            while at < shown.len() {
                // An item may be compiled apart from the statements behind it.
                let longest = compiled
                    .iter()
                    .map(|source| longest_run(source, &shown[at..]));
                let longest = longest.max().unwrap_or(0);
                assert!(
                    longest > 0,
                    "{document} shows a line that is compiled nowhere: {}",
                    shown[at]
                );
                (at, parts) = (at + longest, parts + 1);
            }
            assert!(
                parts <= 2,
                "{document}: these lines are not compiled together: {shown:#?}"
            );
            seen += 1;
        }
    }
    assert!(seen >= 9, "{seen} blocks were found");
}

/// How many of the first lines of `shown` stand in `source` one after another, at one place.
fn longest_run(source: &[&str], shown: &[&str]) -> usize {
    let run = |from: usize| {
        source[from..]
            .iter()
            .zip(shown)
            .take_while(|(one, two)| one == two)
    };
    (0..source.len())
        .map(|from| run(from).count())
        .max()
        .unwrap_or(0)
}
