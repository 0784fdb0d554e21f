use std::time::{Duration, Instant};

use lasso::{DownReason, NodeState};

use crate::support::{Network, disconnected, eventually, whole};

#[tokio::test]
async fn a_killed_process_is_seen_at_once_and_back_when_it_starts_again() {
    let network = Network::new(11);
    let one = network.node(1, &[2, 3]).start().await.unwrap();
    let two = network.node(2, &[1, 3]).start().await.unwrap();
    let mut three = network.process(3, &[1, 2], 60);
    whole(&[&one, &two], 3).await;

    let (mut first, mut second) = (one.topology_events(), two.topology_events());
    let killed = Instant::now();
    three.kill();
    for events in [&mut first, &mut second] {
        let (reason, _) = disconnected(events, &network.name(3)).await;
        assert_eq!(reason, DownReason::Closed);
        let after = killed.elapsed();
        // The aim is 50 ms; a busy machine gets more, and the tick time is 60 s.
        assert!(after < Duration::from_secs(1), "{after:?}");
    }
    let before = one.topology().members.iter().map(|m| m.incarnation()).max();

    let _three = network.process(3, &[1, 2], 60);
    whole(&[&one, &two], 3).await;
    let after = one.topology().members.iter().map(|m| m.incarnation()).max();
    assert!(after > before, "{after:?} is a later life than {before:?}");
}

#[tokio::test]
async fn a_frozen_process_is_down_within_its_bounds_and_back_when_it_goes_on() {
    const TICK: Duration = Duration::from_secs(2);
    let network = Network::new(12);
    let one = network.node(1, &[2]).tick_time(TICK).start().await.unwrap();
    let two = network.process(2, &[1], TICK.as_secs());
    whole(&[&one], 2).await;

    let mut events = one.topology_events();
    two.signal("STOP");
    let (reason, after) = disconnected(&mut events, &network.name(2)).await;
    assert_eq!(reason, DownReason::Down);
    // 0.75 T to 1.25 T after its last byte, which may be T/4 old; half a second for this machine.
    assert!(
        (TICK / 2..TICK * 5 / 4 + TICK / 4).contains(&after),
        "{after:?}"
    );
    assert_eq!(one.coverage().disconnected, [network.name(2)]);

    two.signal("CONT");
    let back = one.wait_for(2, Duration::from_secs(10)).await;
    assert!(back.is_ok(), "{back:?}");
}

#[tokio::test]
async fn a_graceful_stop_is_left_and_so_is_the_loss_of_the_last_handle() {
    let network = Network::new(13);
    let one = network.node(1, &[2, 3]).start().await.unwrap();
    let two = network.node(2, &[1]).start().await.unwrap();
    let three = network.node(3, &[1]).start().await.unwrap();
    whole(&[&one], 3).await;

    let mut events = one.topology_events();
    two.shutdown().await;
    assert_eq!(
        disconnected(&mut events, &network.name(2)).await.0,
        DownReason::Left
    );
    assert_eq!(two.topology_events().recv().await, None);

    let other_handle = three.clone();
    drop(three);
    assert_eq!(other_handle.coverage().connected, 2);
    drop(other_handle);
    assert_eq!(
        disconnected(&mut events, &network.name(3)).await.0,
        DownReason::Left
    );
    let state = |member: &lasso::Member| member.state();
    assert!(
        one.topology()
            .members
            .iter()
            .all(|m| state(m) == NodeState::Disconnected)
    );
}

#[tokio::test]
async fn readiness_is_heard_and_taken_back() {
    let network = Network::new(14);
    let one = network.node(1, &[2]).start().await.unwrap();
    let two = network.node(2, &[1]).start().await.unwrap();
    whole(&[&one, &two], 2).await;
    let state = || one.topology().members.first().map(lasso::Member::state);
    eventually("it responds", || state() == Some(NodeState::Responding)).await;
    two.set_ready(true);
    eventually("it is ready", || state() == Some(NodeState::Ready)).await;
    two.set_ready(false);
    eventually("it is no longer", || state() == Some(NodeState::Responding)).await;
}
