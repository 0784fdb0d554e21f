//! What the README shows works: its scenario holds, and its program forms a cluster.

use std::time::Duration;

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
