use super::*;

fn name(text: &str) -> NodeName {
    text.parse().expect("a name")
}

fn mesh(settings: DialSettings) -> Mesh {
    Mesh::new(settings, name("lasso@10.0.0.1"), [7; 32])
}

fn next(mesh: &mut Mesh) -> (Instant, NodeName) {
    let deadline = mesh.deadline().expect("somebody is due");
    let (name, _) = mesh.poll_dial(deadline).expect("due at the deadline");
    (deadline, name)
}

#[test]
fn of_each_pair_one_side_goes_first() {
    let mut firsts = 0;
    for n in 2..102 {
        let (a, b) = (name("lasso@10.0.0.1"), name(&format!("lasso@10.0.0.{n}")));
        let of = |me: &NodeName, other: &NodeName| {
            let mut mesh = Mesh::new(DialSettings::default(), me.clone(), [0; 32]);
            mesh.add(Instant::ZERO, other);
            mesh.deadline().expect("due") - Instant::ZERO
        };
        let (of_a, of_b) = (of(&a, &b), of(&b, &a));
        let second = DialSettings::default().second_delay;
        assert!((of_a.is_zero() && of_b == second) || (of_b.is_zero() && of_a == second));
        firsts += usize::from(of_a.is_zero());
    }
    assert!((30..=70).contains(&firsts), "the coin is fair: {firsts}");
}

#[test]
fn delays_double_from_half_a_second_to_five_with_jitter_from_the_start_of_a_try() {
    let mut mesh = mesh(DialSettings::default());
    let peer = name("lasso@10.0.0.2");
    mesh.add(Instant::ZERO, &peer);
    let (mut began, _) = next(&mut mesh);
    for step in 0..12 {
        mesh.missed(began + Duration::from_millis(100), &peer, Miss::Failed);
        let (at, _) = next(&mut mesh);
        let base = Duration::from_millis(500 << step.min(16)).min(Duration::from_secs(5));
        let delay = at - began;
        assert!(
            delay >= base * 80 / 100 && delay <= base * 120 / 100,
            "{step}: {delay:?}"
        );
        began = at;
    }
}

#[test]
fn after_ten_minutes_without_success_delays_grow_to_thirty_seconds() {
    let mut mesh = mesh(DialSettings::default());
    let peer = name("lasso@10.0.0.2");
    mesh.add(Instant::ZERO, &peer);
    let (mut began, _) = next(&mut mesh);
    let mut longest = Duration::ZERO;
    while began < Instant::ZERO + Duration::from_secs(1800) {
        mesh.missed(began, &peer, Miss::Failed);
        let (at, _) = next(&mut mesh);
        let limit = if began < Instant::ZERO + Duration::from_secs(600) {
            6
        } else {
            36
        };
        assert!(at - began <= Duration::from_secs(limit));
        longest = longest.max(at - began);
        began = at;
    }
    assert!(longest > Duration::from_secs(23));
}

#[test]
fn nodes_whose_tries_run_out_at_the_same_moment_do_not_dial_again_in_step() {
    let (peer, settings) = (name("lasso@10.0.0.2"), DialSettings::default());
    let mut again = BTreeSet::new();
    for seed in 0..50 {
        let mut mesh = Mesh::new(settings.clone(), name("lasso@10.0.0.1"), [seed; 32]);
        mesh.add(Instant::ZERO, &peer);
        let (began, _) = next(&mut mesh);
        let ran_out = began + settings.connect_timeout;
        mesh.missed(ran_out, &peer, Miss::Failed);
        let (at, _) = next(&mut mesh);
        assert!(at > ran_out && at <= ran_out + settings.backoff_min);
        again.insert(at);
    }
    assert!(again.len() >= 45, "{} of 50 are different", again.len());
}

#[test]
fn a_peer_that_was_met_is_dialled_only_if_no_link_comes_of_that() {
    let settings = DialSettings::default();
    let peer = name("lasso@10.0.0.2");
    for linked in [false, true] {
        let mut mesh = mesh(settings.clone());
        mesh.met(Instant::ZERO, &peer);
        if linked {
            mesh.linked(Instant::ZERO, &peer);
            assert_eq!(mesh.deadline(), None);
        } else {
            let (at, _) = next(&mut mesh);
            let wait = at - Instant::ZERO;
            let longest = settings.backoff_min + settings.second_delay;
            assert!(wait >= settings.backoff_min && wait <= longest, "{wait:?}");
        }
    }
}

#[test]
fn a_refused_secret_is_not_tried_again_within_thirty_seconds() {
    let mut mesh = mesh(DialSettings::default());
    let peer = name("lasso@10.0.0.2");
    mesh.add(Instant::ZERO, &peer);
    let (began, _) = next(&mut mesh);
    let refused = began + Duration::from_secs(1);
    mesh.missed(refused, &peer, Miss::Wait);
    let (at, _) = next(&mut mesh);
    assert!(
        at - refused >= Duration::from_secs(30),
        "{:?}",
        at - refused
    );
}

#[test]
fn no_more_dials_are_under_way_than_the_bound() {
    let mut mesh = mesh(DialSettings {
        concurrent_max: 3,
        ..DialSettings::default()
    });
    for n in 2..12 {
        mesh.add(Instant::ZERO, &name(&format!("lasso@10.0.0.{n}")));
    }
    let now = Instant::ZERO + Duration::from_secs(1);
    let begun: Vec<NodeName> = std::iter::from_fn(|| mesh.poll_dial(now))
        .map(|(n, _)| n)
        .collect();
    assert_eq!(begun.len(), 3);
    assert_eq!(mesh.deadline(), None);
    mesh.linked(now, &begun[0]);
    assert!(mesh.poll_dial(now).is_some());
    mesh.remove(&begun[1]);
    assert!(mesh.poll_dial(now).is_some());
    assert!(mesh.poll_dial(now).is_none());
}

#[test]
fn a_linked_peer_is_dialled_only_while_its_link_is_silent() {
    let mut mesh = mesh(DialSettings::default());
    let peer = name("lasso@10.0.0.2");
    let now = Instant::ZERO + Duration::from_secs(100);
    mesh.add(Instant::ZERO, &peer);
    mesh.linked(Instant::ZERO, &peer);
    assert_eq!(mesh.deadline(), None);
    mesh.probe(now, &peer);
    assert_eq!(mesh.poll_dial(now), Some((peer.clone(), true)));
    mesh.missed(now, &peer, Miss::Failed);
    let (_, again) = next(&mut mesh);
    assert_eq!(again, peer);
    mesh.missed(now, &peer, Miss::Failed);
    mesh.heard(&peer);
    assert_eq!(mesh.deadline(), None);
}

#[test]
fn a_lost_link_is_dialled_at_once_and_a_short_lived_one_after_a_delay() {
    let peer = name("lasso@10.0.0.2");
    for (lived, shortest, longest) in [(60, 0, 100), (0, 400, 700)] {
        let mut mesh = mesh(DialSettings::default());
        mesh.add(Instant::ZERO, &peer);
        mesh.linked(Instant::ZERO, &peer);
        let now = Instant::ZERO + Duration::from_secs(lived);
        mesh.unlinked(now, &peer, None);
        let delay = mesh.deadline().expect("due") - now;
        let range = Duration::from_millis(shortest)..=Duration::from_millis(longest);
        assert!(range.contains(&delay), "{lived}: {delay:?}");
    }
}
