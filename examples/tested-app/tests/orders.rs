//! The service under faults, on simulated nodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lasso::{Cluster, NodeName};
use lasso_sim::{Harness, Node, Snapshot};
use orders::{Answer, Feed, Ledger, Order};
use parking_lot::Mutex;

/// What a test keeps for each shop.
struct Shop {
    /// Survives its restarts, as a disk does.
    ledger: Arc<Ledger>,
    feed: Arc<Feed>,
    /// Orders that its customers were told of, with the shop that was asked and its answer.
    told: Mutex<BTreeMap<u64, (NodeName, Answer)>>,
}

impl Shop {
    fn new() -> Self {
        Shop {
            ledger: Arc::new(Ledger::new(10_000)),
            feed: Arc::default(),
            told: Mutex::default(),
        }
    }
}

/// A shop with a customer of its own.
async fn shop(cluster: Cluster, node: Node<Shop>) -> Result<(), orders::Error> {
    node.spawn(customer(cluster.clone(), node.clone()));
    let (ledger, feed) = (
        Arc::clone(&node.state().ledger),
        Arc::clone(&node.state().feed),
    );
    orders::serve(cluster, ledger, feed).await
}

/// Orders at any of the shops, several times a second, from when all are there until a while before the end.
async fn customer(cluster: Cluster, node: Node<Shop>) {
    let _ = cluster.wait_for(3, Duration::from_secs(20)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut rng = node.rng();
    while node.now() < LAST_ORDER {
        tokio::time::sleep(rng.duration(Duration::from_millis(600))).await;
        let mut shops = vec![cluster.name()];
        let others = cluster.topology().members;
        shops.extend(others.iter().map(|member| member.name().clone()));
        let at = shops[rng.range(0..=shops.len() as u64 - 1) as usize].clone();
        let order = Order {
            id: rng.next_u64(),
            pieces: rng.range(1..=3) as u32,
        };
        let (cluster, asking) = (cluster.clone(), node.clone());
        node.spawn(async move {
            match orders::place(&cluster, &at, order, 5).await {
                Ok(answer) => {
                    asking.state().told.lock().insert(order.id, (at, answer));
                }
                Err(error) => asking.note(format_args!("order {:x} at {at}: {error}", order.id)),
            }
        });
    }
}

/// No customer begins an order later than this.
const LAST_ORDER: Duration = Duration::from_secs(150);

fn scenario(file: &str) -> Harness<Shop> {
    lasso_sim::scenario(file)
        .state(Shop::new)
        .application(shop)
        .seeds(1..=5)
        .check_end(no_stock_is_taken_twice)
        .check_end(shops_remember_what_customers_were_told)
}

fn no_stock_is_taken_twice(world: &Snapshot<Shop>) -> Result<(), String> {
    for (key, shop) in world.states() {
        let (stock, reserved) = (shop.ledger.stock(), shop.ledger.reserved());
        if stock + reserved != 10_000 {
            return Err(format!(
                "{key} has {stock} pieces left and {reserved} reserved"
            ));
        }
    }
    Ok(())
}

fn shops_remember_what_customers_were_told(world: &Snapshot<Shop>) -> Result<(), String> {
    let ledgers: BTreeMap<&NodeName, &Ledger> = world
        .nodes()
        .map(|node| (node.name(), &*node.state().ledger))
        .collect();
    let mut orders = 0;
    for (key, shop) in world.states() {
        for (id, (at, answer)) in &*shop.told.lock() {
            orders += 1;
            let known = ledgers[at].answered(*id);
            if known != Some(*answer) {
                return Err(format!(
                    "{key} was told {answer:?} for {id:x} by {at}, which knows {known:?}"
                ));
            }
        }
    }
    if orders < 100 {
        return Err(format!(
            "only {orders} orders were answered: the test shows little"
        ));
    }
    Ok(())
}

#[test]
fn a_cut_loses_no_order() {
    scenario("tests/cut.toml")
        .check_after("cut", "90s", |world| {
            for (key, connected) in [("a", 2), ("b", 2), ("c", 1)] {
                let coverage = world.node(key).coverage().ok_or("a shop does not run")?;
                if (coverage.connected, coverage.expected) != (connected, 3) {
                    return Err("the coverage does not say who is cut off");
                }
            }
            Ok(())
        })
        .check_end(|world| {
            let published: u64 = world
                .states()
                .map(|(_, shop)| shop.feed.counts().published)
                .sum();
            for (key, shop) in world.states() {
                let counts = shop.feed.counts();
                // What a shop was told that it missed is what it really missed.
                assert_eq!(counts.heard + counts.missed, published, "{key}: {counts:?}");
                assert!(
                    counts.missed > 0,
                    "{key} missed nothing: the cut did nothing"
                );
            }
        })
        .check();
}

#[test]
fn restarts_take_no_stock_twice() {
    scenario("tests/restarts.toml").check();
}

#[test]
fn drawn_faults_take_no_stock_twice() {
    scenario("tests/drawn.toml").check();
}

/// The block of the README, line by line, with the least that it needs.
mod readme {
    use std::sync::Arc;

    struct Shop;

    impl Shop {
        fn new() -> Shop {
            Shop
        }

        fn stock(&self) -> u64 {
            10_000
        }

        fn reserved(&self) -> u64 {
            0
        }
    }

    mod orders {
        pub(super) async fn serve(_cluster: lasso::Cluster, _shop: super::Arc<super::Shop>) {}
    }

    #[rustfmt::skip]
    #[allow(dead_code, reason = "to be compiled, and not run")]
    fn a_test_of_a_service() {
        lasso_sim::scenario("tests/cut.toml")
            .state(Shop::new)
            .application(|cluster, node| async move { orders::serve(cluster, node.state().clone()).await })
            .seeds(1..=20)
            .check_end(|world| {
                for (key, shop) in world.states() {
                    assert_eq!(shop.stock() + shop.reserved(), 10_000, "{key} took stock twice");
                }
            })
            .check();
    }
}
