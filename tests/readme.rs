//! What the README shows works: its scenario holds, and its program forms a cluster.

use std::time::Duration;

use lasso::Label;
use lasso::events::{Outcome as Ended, Pass, RoutingDecision, RoutingEvent, Scope, Segment};
use lasso::metrics::{Call, Leaderboard, Outcome, ProviderKey, SeriesKey};

const README: &str = include_str!("../README.md");

fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    README
        .split(fence.as_str())
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect()
}

/// The lines of the README's program, but for the words that only it has.
const PROGRAM: &str = r#"let cluster = lasso::Cluster::builder()
    .name("shop@127.0.0.1") // the same basename on every node, and this node's own address
    .cookie("a secret of at least 32 bytes, the same on every node")
    .peer("shop@127.0.0.2") // or .query("shop.internal"), the DNS name that leads to all nodes
    .region("iad")
    .start()
    .await?;
cluster.wait_for(2, Duration::from_secs(30)).await?; // until the other one runs
println!("{}", cluster.coverage()); // "2/2 nodes"
cluster.shutdown().await; // the others hear that it left, rather than that it was lost
"#;

/// The program at addresses that no other test uses; what follows is the README's, word for word.
async fn program(me: &str, other: &str) -> Result<(lasso::Cluster, String), lasso::StartError> {
    let cluster = lasso::Cluster::builder()
        .name(me)
        .cookie("a secret of at least 32 bytes, the same on every node")
        .peer(other)
        .region("iad")
        .start()
        .await?;
    cluster.wait_for(2, Duration::from_secs(30)).await?;
    let shown = cluster.coverage().to_string();
    Ok((cluster, shown))
}

#[tokio::test]
async fn the_program_of_the_readme_forms_a_cluster() {
    assert!(
        blocks("rust")[0].ends_with(PROGRAM),
        "the README's program is another one:\n{}",
        blocks("rust")[0]
    );
    let (a, b) = ("shop@127.0.71.1", "shop@127.0.71.2");
    let (a, b) = tokio::join!(program(a, b), program(b, a));
    for node in [a, b] {
        let (cluster, shown) = node.expect("it starts");
        assert_eq!(shown, "2/2 nodes");
        // Only once both have seen it: a goodbye makes it one node less.
        cluster.shutdown().await;
    }
}

/// The lines of the README about figures, but for the words that only it has.
const FIGURES: &str = r#"let series = SeriesKey {
    profile: "free", provider: "alchemy", chain: "ethereum", method: "eth_call", region: "iad",
};
cluster.record(&series, Call::new(Outcome::Success, took)); // of this node alone; no network in it

let chain = ProviderKey { profile: "free".into(), chain: "ethereum".into() };
let board = cluster.metrics().get_or_wait::<Leaderboard>(&chain, wait).await?; // of all nodes
for provider in board.value().into_iter().flat_map(|ranking| &ranking.providers) {
    println!("{}: {:.1} ms", provider.provider, provider.figures.mean_latency_ms);
}
println!("{:?}, {:?} old, {:?}", board.freshness, board.age, board.coverage());
"#;

#[tokio::test]
async fn the_figures_of_the_readme_are_those_of_the_calls() -> Result<(), Box<dyn std::error::Error>>
{
    assert!(
        blocks("rust").contains(&FIGURES),
        "the README's lines about figures are others"
    );
    let (took, wait) = (Duration::from_millis(80), Duration::from_secs(20));
    let cluster = lasso::Cluster::builder().start().await?;
    let series = SeriesKey {
        profile: "free",
        provider: "alchemy",
        chain: "ethereum",
        method: "eth_call",
        region: "iad",
    };
    (0..10).for_each(|_| cluster.record(&series, Call::new(Outcome::Success, took)));
    let chain = ProviderKey {
        profile: "free".into(),
        chain: "ethereum".into(),
    };
    let board = cluster
        .metrics()
        .get_or_wait::<Leaderboard>(&chain, wait)
        .await?;
    let shown = board
        .value()
        .into_iter()
        .flat_map(|ranking| &ranking.providers);
    let shown: Vec<String> = shown
        .map(|one| format!("{}: {:.1} ms", one.provider, one.figures.mean_latency_ms))
        .collect();
    assert_eq!(shown, ["alchemy: 80.0 ms"]);
    assert_eq!(board.coverage().map(|whole| whole.responding), Some(1));
    Ok(())
}

/// The lines of the README about live events.
const EVENTS: &str = r#"cluster.publish_event(RoutingEvent::Decision(decision))?;       // sampled; never waits
let mut viewer = cluster.events(profile).viewer(&pass, Scope::Profile).await?;
let snapshot = viewer.recv().await;                             // then batches, twice a second
"#;

#[tokio::test]
async fn the_viewer_of_the_readme_gets_a_snapshot_and_then_what_is_new()
-> Result<(), Box<dyn std::error::Error>> {
    assert!(
        blocks("rust").contains(&EVENTS),
        "the README's lines about events are others"
    );
    let cluster = lasso::Cluster::builder().start().await?;
    let profile = Segment::new("premium")?;
    let pass = Pass::operator(profile.clone());
    let failed = |id: &str| -> Result<RoutingDecision, Box<dyn std::error::Error>> {
        let (id, chain) = (Label::new("request id", id)?, Segment::new("eth")?);
        let (name, provider) = (cluster.name(), Label::new("provider", "alchemy")?);
        let profile = profile.clone();
        let mut decision =
            RoutingDecision::new(id, 1_769_248_800_000, profile, name, chain, provider);
        decision.result = Ended::Error; // so that sampling does not leave it out
        Ok(decision)
    };
    let decision = failed("before anybody looks")?;
    let (later, profile) = (failed("while somebody looks")?, profile.clone());
    cluster.publish_event(RoutingEvent::Decision(decision))?;
    let mut viewer = cluster
        .events(profile)
        .viewer(&pass, Scope::Profile)
        .await?;
    let snapshot = viewer.recv().await;
    assert!(snapshot.expect("it is there at once").events.is_empty());
    cluster.publish_event(RoutingEvent::Decision(later))?;
    let news = async {
        loop {
            let batch = viewer.recv().await.expect("the node runs");
            if !batch.events.is_empty() {
                return batch.events.len();
            }
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(20), news).await?;
    assert_eq!(seen, 1);
    Ok(())
}
