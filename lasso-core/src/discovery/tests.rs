use super::*;
use crate::event::Notice;
use crate::secure::{Cookie, Security};

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn name(text: &str) -> NodeName {
    text.parse().expect("a name")
}

fn discovery(queries: &[&str], peers: &[&str]) -> Discovery {
    let security = Security::Cookie {
        current: Cookie::new("sixteen bytes or more"),
        previous: None,
    };
    let mut config = NodeConfig::new(name("lasso@10.0.0.1"), security);
    config.queries = queries
        .iter()
        .map(|query| query.parse().expect("a query"))
        .collect();
    config.peers = peers.iter().map(|peer| name(peer)).collect();
    Discovery::new(&config)
}

fn addresses(ips: &[&str]) -> DnsAnswer {
    let ips = ips
        .iter()
        .map(|ip| (ip.parse().expect("an address"), None))
        .collect();
    DnsAnswer::Addresses {
        addresses: ips,
        truncated: false,
    }
}

fn answer(d: &mut Discovery, seconds: u64, answer: DnsAnswer) -> Found {
    d.answered(at(seconds), QueryId(0), Family::A, answer)
}

#[test]
fn a_good_answer_makes_candidates_and_drops_the_nodes_own_address() {
    let mut d = discovery(&["lasso.internal"], &[]);
    let found = answer(&mut d, 1, addresses(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]));
    assert_eq!(
        found.added,
        [name("lasso@10.0.0.2"), name("lasso@10.0.0.3")]
    );
    assert_eq!(d.nodes_named(), 3);
}

#[test]
fn an_address_without_a_port_is_dialled_at_the_port_of_the_node_itself() {
    let security = Security::InsecureNull;
    let mut config = NodeConfig::new(name("lasso@10.0.0.1:7000"), security);
    config.queries = vec!["lasso.internal".parse().expect("a query")];
    let mut d = Discovery::new(&config);
    let found = answer(&mut d, 1, addresses(&["10.0.0.1", "10.0.0.2"]));
    assert_eq!(found.added, [name("lasso@10.0.0.2:7000")]);
    assert_eq!(d.nodes_named(), 2);
}

#[test]
fn a_query_may_name_its_own_basename_and_srv_names_ports() {
    let mut d = discovery(&["srv:_lasso._tcp.other=phoenix"], &[]);
    let found = d.tick(at(0), |_| false);
    assert_eq!(found.lookups.len(), 1);
    assert_eq!(found.lookups[0].family, Family::Srv);
    assert_eq!(found.lookups[0].name, "_lasso._tcp.other");
    let one = vec![("10.0.0.9".parse().expect("an address"), Some(7000))];
    let found = d.answered(
        at(1),
        QueryId(0),
        Family::Srv,
        DnsAnswer::Addresses {
            addresses: one,
            truncated: false,
        },
    );
    assert_eq!(found.added, [name("phoenix@10.0.0.9:7000")]);
}

#[test]
fn both_families_are_asked_every_five_seconds_each_on_its_own() {
    let mut d = discovery(&["lasso.internal"], &[]);
    assert_eq!(d.tick(at(0), |_| false).lookups.len(), 2);
    answer(&mut d, 1, addresses(&["10.0.0.2"]));
    // The other family does not answer; the first one is asked again on time.
    assert_eq!(d.deadline(), Some(at(5)));
    let families: Vec<Family> = d
        .tick(at(5), |_| false)
        .lookups
        .iter()
        .map(|lookup| lookup.family)
        .collect();
    assert_eq!(families, [Family::A, Family::Aaaa]);
    assert_eq!(d.counters().failures, 1);
}

#[test]
fn only_good_answers_make_a_candidate_absent() {
    for bad in [
        DnsAnswer::Failed("timed out".into()),
        DnsAnswer::Empty,
        addresses(&[]),
        DnsAnswer::Addresses {
            addresses: vec![("10.0.0.3".parse().expect("an address"), None)],
            truncated: true,
        },
    ] {
        let mut d = discovery(&["lasso.internal"], &[]);
        answer(&mut d, 0, addresses(&["10.0.0.2"]));
        for seconds in 1..1000 {
            answer(&mut d, seconds, bad.clone());
            assert_eq!(d.tick(at(seconds), |_| false).forgotten, [], "{bad:?}");
        }
        assert!(d.is_candidate(&name("lasso@10.0.0.2")), "{bad:?}");
    }
}

#[test]
fn a_candidate_is_forgotten_after_sixty_seconds_of_absence_unless_it_is_linked() {
    let mut d = discovery(&["lasso.internal"], &[]);
    answer(&mut d, 0, addresses(&["10.0.0.2", "10.0.0.3"]));
    answer(&mut d, 10, addresses(&["10.0.0.3"]));
    assert_eq!(d.nodes_named(), 2);
    let linked = |n: &NodeName| *n == name("lasso@10.0.0.2");
    assert_eq!(d.tick(at(69), |_| false).forgotten, []);
    assert_eq!(d.tick(at(70), linked).forgotten, []);
    assert!(d.is_candidate(&name("lasso@10.0.0.2")));
    assert!(!d.lost(at(100), &name("lasso@10.0.0.2"), false));
    assert_eq!(d.tick(at(159), |_| false).forgotten, []);
    assert_eq!(
        d.tick(at(160), |_| false).forgotten,
        [name("lasso@10.0.0.2")]
    );
}

#[test]
fn a_candidate_named_again_starts_anew() {
    let mut d = discovery(&["lasso.internal"], &[]);
    answer(&mut d, 0, addresses(&["10.0.0.2"]));
    answer(&mut d, 10, addresses(&["10.0.0.3"]));
    answer(&mut d, 50, addresses(&["10.0.0.2", "10.0.0.3"]));
    assert_eq!(d.tick(at(500), |_| false).forgotten, []);
}

#[test]
fn one_family_that_names_a_candidate_is_enough() {
    let mut d = discovery(&["a.internal", "b.internal"], &[]);
    answer(&mut d, 0, addresses(&["10.0.0.2"]));
    d.answered(at(0), QueryId(1), Family::A, addresses(&["10.0.0.2"]));
    for seconds in 1..100 {
        answer(&mut d, seconds, addresses(&["10.0.0.3"]));
    }
    assert_eq!(d.tick(at(100), |_| false).forgotten, []);
    assert_eq!(d.nodes_named(), 3);
}

#[test]
fn static_peers_are_candidates_for_ever() {
    let mut d = discovery(&["lasso.internal"], &["lasso@10.0.0.7", "lasso@10.0.0.1"]);
    assert_eq!(
        d.candidates().collect::<Vec<_>>(),
        [&name("lasso@10.0.0.7")]
    );
    for seconds in 0..200 {
        answer(&mut d, seconds, addresses(&["10.0.0.2"]));
        assert_eq!(d.tick(at(seconds), |_| false).forgotten, []);
    }
    assert_eq!(d.nodes_named(), 3);
}

#[test]
fn several_addresses_of_one_identity_and_own_ones_count_once() {
    let mut d = discovery(&["lasso.internal"], &[]);
    answer(&mut d, 0, addresses(&["10.0.0.2", "10.1.0.2", "10.1.0.1"]));
    assert_eq!(d.nodes_named(), 4);
    d.answers_as(&name("lasso@10.1.0.2"), &name("lasso@10.0.0.2"));
    assert_eq!(d.nodes_named(), 3);
    d.is_own(&name("lasso@10.1.0.1"));
    assert_eq!(d.nodes_named(), 2);
    let found = answer(&mut d, 5, addresses(&["10.0.0.2", "10.1.0.2", "10.1.0.1"]));
    assert_eq!(found.added, []);
}

#[test]
fn an_own_address_is_forgotten_as_such_once_nothing_names_it_any_more() {
    let mut d = discovery(&["lasso.internal"], &[]);
    let both = || addresses(&["10.0.0.2", "10.1.0.1"]);
    answer(&mut d, 0, both());
    d.is_own(&name("lasso@10.1.0.1"));
    for seconds in (5..300).step_by(5) {
        assert_eq!(answer(&mut d, seconds, both()).added, []);
        assert_eq!(d.tick(at(seconds), |_| false).forgotten, []);
    }
    assert_eq!((d.nodes_named(), d.candidates().count()), (2, 1));
    answer(&mut d, 300, addresses(&["10.0.0.2"]));
    d.tick(at(359), |_| false);
    assert_eq!(answer(&mut d, 359, addresses(&["10.0.0.2"])).added, []);
    d.tick(at(360), |_| false);
    let found = answer(&mut d, 361, both());
    assert_eq!(
        found.added,
        [name("lasso@10.1.0.1")],
        "it may be another's by now"
    );
}

#[test]
fn a_node_that_proves_to_be_at_an_own_address_is_a_candidate_again() {
    let mut d = discovery(&["lasso.internal"], &["lasso@10.1.0.1"]);
    d.is_own(&name("lasso@10.1.0.1"));
    assert!(!d.is_candidate(&name("lasso@10.1.0.1")));
    assert!(d.met(at(1), &name("lasso@10.1.0.1")));
    assert!(!d.met(at(1), &name("lasso@10.0.0.1")), "its own name");
}

#[test]
fn an_ipv4_address_in_an_answer_for_ipv6_is_the_same_node() {
    let mut d = discovery(&["lasso.internal"], &[]);
    let mapped = addresses(&["::ffff:10.0.0.1", "::ffff:10.0.0.2"]);
    let found = d.answered(at(0), QueryId(0), Family::Aaaa, mapped);
    assert_eq!(found.added, [name("lasso@10.0.0.2")]);
    assert_eq!(answer(&mut d, 0, addresses(&["10.0.0.2"])).added, []);
    assert_eq!(d.nodes_named(), 2);
}

#[test]
fn addresses_at_which_nobody_can_be_dialled_are_refused_and_counted() {
    let mut d = discovery(&["lasso.internal"], &[]);
    answer(&mut d, 0, addresses(&["10.0.0.2"]));
    let bad = [
        "0.0.0.0",
        "0.0.0.7",
        "255.255.255.255",
        "224.0.0.1",
        "239.1.2.3",
        "::",
        "::ffff:0.0.0.0",
        "ff02::1",
        "fe80::1",
    ];
    assert_eq!(answer(&mut d, 5, addresses(&bad)).added, []);
    assert_eq!(d.counters().refused, bad.len() as u64);
    assert_eq!(d.status(at(5))[0].families[0].state, QueryState::Empty);
    assert_eq!(
        d.tick(at(1000), |_| false).forgotten,
        [],
        "such an answer is no list of nodes"
    );
    let services = DnsAnswer::Addresses {
        addresses: vec![
            ([10, 0, 0, 3].into(), Some(0)),
            ([10, 0, 0, 4].into(), Some(9)),
        ],
        truncated: false,
    };
    let found = answer(&mut d, 1000, services);
    assert_eq!(found.added, [name("lasso@10.0.0.4:9")]);
    assert_eq!(d.counters().refused, bad.len() as u64 + 1);
}

#[test]
fn where_nothing_is_asked_a_node_that_dialled_us_is_forgotten_a_minute_after_its_link() {
    let mut d = discovery(&[], &["lasso@10.0.0.9"]);
    let learned = name("lasso@10.0.0.2");
    assert!(d.met(at(0), &learned));
    for seconds in 1..200 {
        assert_eq!(d.tick(at(seconds), |_| true).forgotten, []);
    }
    assert!(!d.lost(at(200), &learned, false));
    assert_eq!(d.tick(at(259), |_| false).forgotten, []);
    assert_eq!(d.deadline(), Some(at(260)));
    assert_eq!(d.tick(at(260), |_| false).forgotten, [learned]);
    assert_eq!(
        d.candidates().count(),
        1,
        "a static peer is never forgotten"
    );
}

#[test]
fn services_have_twice_the_limit_as_they_are_two_questions() {
    for (query, seconds) in [("lasso.internal", 5), ("srv:_lasso._tcp.internal", 10)] {
        let mut d = discovery(&[query], &[]);
        d.tick(at(0), |_| false);
        d.tick(at(seconds - 1), |_| false);
        assert_eq!(d.status(at(0))[0].state, QueryState::Pending, "{query}");
        d.tick(at(seconds), |_| false);
        assert_eq!(d.status(at(0))[0].state, QueryState::Failed, "{query}");
    }
}

#[test]
fn a_family_that_goes_on_failing_beside_a_good_one_is_shown_and_told_once() {
    let mut d = discovery(&["lasso.internal"], &[]);
    let mut notices = Vec::new();
    let mut fails = |d: &mut Discovery, seconds, answer: DnsAnswer| {
        let found = d.answered(at(seconds), QueryId(0), Family::Aaaa, answer);
        notices.extend(found.notices);
    };
    for seconds in 0..10 {
        answer(&mut d, seconds, addresses(&["10.0.0.2"]));
        fails(&mut d, seconds, DnsAnswer::Failed("refused".into()));
    }
    let status = &d.status(at(12))[0];
    assert_eq!(status.state, QueryState::Ok);
    let of = |family: &FamilyStatus| (family.family, family.state, family.age_seconds);
    let families: Vec<_> = status.families.iter().map(of).collect();
    assert_eq!(
        families,
        [
            (Family::A, QueryState::Ok, Some(3)),
            (Family::Aaaa, QueryState::Failed, None)
        ]
    );
    assert_eq!(status.families[1].cause.as_deref(), Some("refused"));
    fails(&mut d, 10, DnsAnswer::Empty);
    let told = |state, cause: Option<&str>| Notice::Discovery {
        query: "lasso.internal".into(),
        family: Some(Family::Aaaa),
        state,
        cause: cause.map(Into::into),
    };
    assert_eq!(
        notices,
        [
            told(QueryState::Failed, Some("refused")),
            told(QueryState::Empty, None)
        ]
    );
}

#[test]
fn whoever_dialled_us_and_said_goodbye_is_forgotten_at_once() {
    let mut d = discovery(&[], &[]);
    assert!(d.met(at(0), &name("lasso@10.0.0.2")));
    assert!(!d.met(at(0), &name("lasso@10.0.0.2")));
    assert!(!d.lost(at(1), &name("lasso@10.0.0.2"), false));
    assert!(d.is_candidate(&name("lasso@10.0.0.2")));
    assert!(d.lost(at(1), &name("lasso@10.0.0.2"), true));
    assert!(!d.is_candidate(&name("lasso@10.0.0.2")));
}

#[test]
fn at_most_256_addresses_are_taken_and_the_rest_removes_nobody() {
    let mut d = discovery(&["lasso.internal"], &[]);
    answer(&mut d, 0, addresses(&["10.9.9.9"]));
    let many: Vec<String> = (0..300)
        .map(|n| format!("10.1.{}.{}", n / 200, n % 200))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let found = answer(&mut d, 1, addresses(&many));
    assert_eq!(found.added.len(), 256);
    assert_eq!(d.status(at(1))[0].state, QueryState::Truncated);
    assert_eq!(d.tick(at(1000), |_| false).forgotten, []);
    assert_eq!(d.counters().truncated, 1);
}

#[test]
fn an_answer_cut_short_before_its_first_address_is_truncated_and_not_empty() {
    let mut d = discovery(&["lasso.internal"], &[]);
    answer(&mut d, 0, addresses(&["10.0.0.2"]));
    let nothing = DnsAnswer::Addresses {
        addresses: Vec::new(),
        truncated: true,
    };
    let found = answer(&mut d, 5, nothing);
    let state = QueryState::Truncated;
    let query = "lasso.internal".into();
    assert_eq!(
        found.notices,
        [Notice::Discovery {
            query,
            family: None,
            state,
            cause: None
        }]
    );
    assert_eq!(d.status(at(5))[0].state, QueryState::Truncated);
    assert_eq!(d.counters().truncated, 1);
    assert_eq!(d.tick(at(1000), |_| false).forgotten, []);
}

#[test]
fn answers_that_name_others_each_time_do_not_fill_memory() {
    let mut d = discovery(&["lasso.internal"], &[]);
    let part = |n: u32| DnsAnswer::Addresses {
        addresses: (0..200)
            .map(|host| ([10, 1, n as u8, host].into(), None))
            .collect(),
        truncated: true,
    };
    let added: usize = (0..30)
        .map(|n| answer(&mut d, 5 * u64::from(n), part(n)).added.len())
        .sum();
    assert_eq!((added, d.candidates().count()), (4096, 4096));
    assert_eq!(d.counters().named_shed, 30 * 200 - 4096);
    // Good answers make room again.
    answer(&mut d, 200, addresses(&["10.1.0.1"]));
    assert_eq!(d.tick(at(260), |_| false).forgotten.len(), 4095);
    let found = answer(&mut d, 261, addresses(&["10.1.0.1", "10.2.0.1"]));
    assert_eq!(found.added, [name("lasso@10.2.0.1")]);
}

#[test]
fn the_operator_hears_of_changes_of_state_only() {
    let mut d = discovery(&["lasso.internal"], &[]);
    let mut notices = Vec::new();
    for seconds in 0..10 {
        notices.extend(answer(&mut d, seconds, addresses(&["10.0.0.2"])).notices);
        notices.extend(
            d.answered(at(seconds), QueryId(0), Family::Aaaa, DnsAnswer::Empty)
                .notices,
        );
    }
    assert_eq!(notices.len(), 1);
    for seconds in 10..20 {
        notices.extend(answer(&mut d, seconds, DnsAnswer::Failed("refused".into())).notices);
    }
    let state = QueryState::Failed;
    assert_eq!(
        notices[1..],
        [Notice::Discovery {
            query: "lasso.internal".into(),
            family: None,
            state,
            cause: Some("refused".into()),
        }]
    );
    let status = &d.status(at(20))[0];
    assert_eq!(
        (status.state, status.addresses, status.age_seconds),
        (QueryState::Failed, 1, Some(11))
    );
}

#[test]
fn queries_that_are_none_are_refused() {
    for text in ["", "a b", "name=", "name=a@b", "srv:", &"x".repeat(254)] {
        assert!(text.parse::<Query>().is_err(), "{text}");
    }
}
