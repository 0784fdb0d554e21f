//! The client of `docs/testing.md`, word for word.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use lasso::{CallError, CallOptions, Cluster, NodeName};
use lasso_sim::Node;

/// What the test keeps for each node.
#[derive(Default)]
struct Account {
    /// Survive restarts, as a database does.
    rows: Mutex<Rows>,
    /// The amounts that this node's client was told were added, and where.
    told: Mutex<Vec<(NodeName, u64, u64)>>,
}

#[derive(Default)]
struct Rows {
    total: u64,
    /// What was added, by the id that the client drew.
    added: BTreeMap<u64, u64>,
}

#[test]
fn no_amount_is_added_twice_or_lost_once_it_was_confirmed() {
    lasso_sim::scenario("tests/sums.toml")
        .state(Account::default)
        .application(|cluster, node| async move {
            node.spawn(client(cluster.clone(), node.clone()));
            let account = node.state().clone();
            let add = move |(id, amount): (u64, u64), _| {
                let rows = &mut *account.rows.lock().expect("no panic");
                // The same id again is the same request again, whose answer was lost.
                if rows.added.insert(id, amount).is_none() {
                    rows.total += amount;
                }
                async { Ok(()) }
            };
            cluster.serve::<(u64, u64), (), _, _>("add", add)?.forever();
            Ok::<(), lasso::ServeError>(())
        })
        .seeds(1..=5)
        .check_end(|world| {
            let accounts: BTreeMap<&NodeName, &Account> = world
                .nodes()
                .map(|node| (node.name(), node.state()))
                .collect();
            for (key, account) in world.states() {
                let rows = account.rows.lock().expect("no panic");
                let sum: u64 = rows.added.values().sum();
                assert_eq!(rows.total, sum, "{key} has added something twice");
            }
            let mut confirmed = 0;
            for (key, client) in world.states() {
                for (at, id, amount) in &*client.told.lock().expect("no panic") {
                    let rows = accounts[at].rows.lock().expect("no panic");
                    assert_eq!(
                        rows.added.get(id),
                        Some(amount),
                        "{key} was told so by {at}"
                    );
                    confirmed += 1;
                }
            }
            assert!(
                confirmed > 100,
                "only {confirmed} amounts: the test shows little"
            );
        })
        .check();
}

/// Adds an amount to some account twice a second. Each request has a task of its own, so that one that waits for
/// a node that is cut off holds up no other.
async fn client(cluster: Cluster, node: Node<Account>) {
    let mut rng = node.rng();
    while node.now() < Duration::from_secs(150) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut nodes = vec![cluster.name()];
        let others = cluster.topology().members;
        nodes.extend(others.iter().map(|member| member.name().clone()));
        let at = nodes[rng.range(0..=nodes.len() as u64 - 1) as usize].clone();
        let (id, amount) = (rng.next_u64(), rng.range(1..=9));
        let (cluster, asking) = (cluster.clone(), node.clone());
        node.spawn(async move {
            match add(&cluster, &at, (id, amount)).await {
                Ok(()) => asking
                    .state()
                    .told
                    .lock()
                    .expect("no panic")
                    .push((at, id, amount)),
                // It may or may not have been added: nobody was told that it was.
                Err(error) => asking.note(format_args!("{id:x} at {at}: {error}")),
            }
        });
    }
}

/// Asks up to five times. After a timeout or a lost link nobody knows whether the amount was added, so each
/// attempt has the same id.
async fn add(cluster: &Cluster, at: &NodeName, request: (u64, u64)) -> Result<(), CallError> {
    let options = CallOptions {
        timeout: Some(Duration::from_secs(2)),
    };
    let mut attempt = 1;
    loop {
        let call = cluster.call_with::<(u64, u64), ()>(at, "add", &request, options);
        match call.await.map_err(CallError::from) {
            Ok(()) => return Ok(()),
            // Once this node stops there is nobody left to ask.
            Err(error) if attempt == 5 || error == CallError::Stopped => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
        attempt += 1;
    }
}
