use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::events::sampler::SampleRates;

fn label(text: &str) -> Label {
    Label::new("label", text).unwrap()
}

fn segment(text: &str) -> Segment {
    Segment::new(text).unwrap()
}

fn decision() -> RoutingDecision {
    RoutingDecision {
        account: Some(segment("acme")),
        region: label("iad"),
        method: label("eth_blockNumber"),
        strategy: label("fastest"),
        transport: Transport::WebSocket,
        duration_us: 1_234,
        result: Outcome::Error,
        failovers: 2,
        error_category: Some(label("rate_limit")),
        error_code: Some(-32_005),
        ..RoutingDecision::new(
            label("7f1c"),
            1_769_248_800_000,
            segment("premium"),
            "lasso@10.0.0.5".parse().unwrap(),
            segment("eth"),
            label("alchemy"),
        )
    }
}

fn circuit() -> CircuitChange {
    CircuitChange {
        unix_ms: 1_769_248_800_000,
        profile: segment("premium"),
        source: "lasso@10.0.0.5".parse().unwrap(),
        region: label("iad"),
        chain: segment("eth"),
        provider: label("alchemy"),
        transport: Transport::Http,
        previous: CircuitState::HalfOpen,
        state: CircuitState::Open,
        failures: 5,
        reason: Some(label("timeout")),
    }
}

fn health() -> ProviderHealth {
    let circuit = circuit();
    ProviderHealth {
        unix_ms: circuit.unix_ms,
        profile: circuit.profile,
        source: circuit.source,
        region: circuit.region,
        chain: circuit.chain,
        provider: circuit.provider,
        status: ProviderStatus::Degraded,
        statuses: BTreeMap::from([(Transport::Http, ProviderStatus::Down)]),
        circuits: BTreeMap::from([(Transport::Http, CircuitState::Open)]),
        block_lag: Some(3),
        rate_limited: true,
    }
}

fn height() -> BlockHeight {
    let circuit = circuit();
    BlockHeight {
        unix_ms: circuit.unix_ms,
        profile: circuit.profile,
        source: circuit.source,
        region: circuit.region,
        chain: circuit.chain,
        provider: circuit.provider,
        height: 23_000_000,
        consensus: Some(23_000_002),
        lag: Some(2),
    }
}

fn all() -> [RoutingEvent; 4] {
    [
        RoutingEvent::Decision(decision()),
        RoutingEvent::Circuit(circuit()),
        RoutingEvent::Health(health()),
        RoutingEvent::Height(height()),
    ]
}

/// The bytes of such a map.
fn packed(value: &Value) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}

#[test]
fn every_field_travels_under_its_documented_name() {
    let documented = [
        json!({
            "kind": "routing_decision", "request_id": "7f1c", "unix_ms": 1_769_248_800_000_u64,
            "profile": "premium", "account": "acme", "source": "lasso@10.0.0.5", "region": "iad",
            "chain": "eth", "method": "eth_blockNumber", "strategy": "fastest",
            "provider": "alchemy", "transport": "web_socket", "duration_us": 1_234,
            "result": "error", "failovers": 2, "error_category": "rate_limit",
            "error_code": -32_005, "weight": 1,
        }),
        json!({
            "kind": "circuit", "unix_ms": 1_769_248_800_000_u64, "profile": "premium",
            "source": "lasso@10.0.0.5", "region": "iad", "chain": "eth", "provider": "alchemy",
            "transport": "http", "previous": "half_open", "state": "open", "failures": 5,
            "reason": "timeout",
        }),
        json!({
            "kind": "provider_health", "unix_ms": 1_769_248_800_000_u64, "profile": "premium",
            "source": "lasso@10.0.0.5", "region": "iad", "chain": "eth", "provider": "alchemy",
            "status": "degraded", "statuses": { "http": "down" }, "circuits": { "http": "open" },
            "block_lag": 3, "rate_limited": true,
        }),
        json!({
            "kind": "block_height", "unix_ms": 1_769_248_800_000_u64, "profile": "premium",
            "source": "lasso@10.0.0.5", "region": "iad", "chain": "eth", "provider": "alchemy",
            "height": 23_000_000, "consensus": 23_000_002, "lag": 2,
        }),
    ];
    for (event, documented) in all().into_iter().zip(documented) {
        assert_eq!(serde_json::to_value(&event).unwrap(), documented);
        assert_eq!(
            RoutingEvent::decode(&event.encode()).unwrap(),
            Some(event.clone())
        );
        assert_eq!(
            RoutingEvent::decode(&packed(&documented)).unwrap(),
            Some(event)
        );
    }
}

#[test]
fn a_field_and_a_kind_of_a_newer_release_are_skipped() {
    for event in all() {
        let mut newer = serde_json::to_value(&event).unwrap();
        newer["colour"] = json!({ "deep": [1, { "deeper": [null, "x", 1.5] }] });
        assert_eq!(RoutingEvent::decode(&packed(&newer)).unwrap(), Some(event));
    }
    let unknown = json!({ "kind": "weather", "profile": 7, "rain": true });
    assert_eq!(RoutingEvent::decode(&packed(&unknown)).unwrap(), None);
}

#[test]
fn a_name_of_a_newer_release_reads_as_unknown() {
    let mut newer = serde_json::to_value(RoutingEvent::Decision(decision())).unwrap();
    newer["transport"] = json!("quic");
    newer["result"] = json!("postponed");
    let Some(RoutingEvent::Decision(read)) = RoutingEvent::decode(&packed(&newer)).unwrap() else {
        panic!("it is a decision");
    };
    assert_eq!(
        (read.transport, read.result),
        (Transport::Unknown, Outcome::Unknown)
    );
    assert!(!RoutingEvent::Decision(read).call().unwrap().success);
}

#[test]
fn an_event_of_an_older_release_may_lack_what_may_be_absent() {
    let mut older = serde_json::to_value(RoutingEvent::Decision(decision())).unwrap();
    let fields = older.as_object_mut().unwrap();
    for field in [
        "account",
        "failovers",
        "error_category",
        "error_code",
        "weight",
    ] {
        fields.remove(field);
    }
    let expected = RoutingDecision {
        account: None,
        failovers: 0,
        error_category: None,
        error_code: None,
        weight: 1,
        ..decision()
    };
    let read = RoutingEvent::decode(&packed(&older)).unwrap();
    assert_eq!(read, Some(RoutingEvent::Decision(expected)));
    older.as_object_mut().unwrap().remove("profile");
    assert_eq!(RoutingEvent::decode(&packed(&older)), Err(Malformed));
}

#[test]
fn what_cannot_be_right_is_malformed() {
    let with = |field: &str, value: Value| {
        let mut event = serde_json::to_value(RoutingEvent::Decision(decision())).unwrap();
        event[field] = value;
        RoutingEvent::decode(&packed(&event))
    };
    assert_eq!(with("weight", json!(0)), Err(Malformed));
    assert_eq!(with("weight", json!(1_000_001)), Err(Malformed));
    assert_eq!(with("account", json!("acme:account:other")), Err(Malformed));
    assert_eq!(with("chain", json!("e\u{0}th")), Err(Malformed));
    assert_eq!(with("request_id", json!("")), Err(Malformed));
    assert_eq!(
        with("padding", json!("x".repeat(EVENT_BYTES_MAX))),
        Err(Malformed)
    );
    assert_eq!(RoutingEvent::decode(&[]), Err(Malformed));
}

#[test]
fn a_hundred_thousand_nested_arrays_are_an_error_and_not_the_end() {
    let event = RoutingEvent::Height(height()).encode();
    // One more entry in the map, whose value is an array in an array in an array.
    let mut deep = vec![event[0] + 1];
    deep.extend_from_slice(&event[1..]);
    deep.extend_from_slice(b"\xa1x");
    let small = deep.len();
    deep.resize(small + 100_000, 0x91);
    assert_eq!(RoutingEvent::decode(&deep), Err(Malformed));
    deep.truncate(EVENT_BYTES_MAX);
    assert_eq!(RoutingEvent::decode(&deep), Err(Malformed));
}

#[test]
fn an_account_goes_to_its_own_topic_and_to_no_other() {
    let copies = publishes(&RoutingEvent::Decision(decision()));
    let topics: Vec<&str> = copies.iter().map(|(topic, _)| topic.as_str()).collect();
    let expected = [
        "routing:decisions:premium",
        "routing:decisions:premium:account:acme",
    ];
    assert_eq!(topics, expected);
    assert_eq!(copies[0].1.account(), None);
    assert_eq!(copies[1].1, RoutingEvent::Decision(decision()));
    assert_eq!(copies[0].1.id(), copies[1].1.id());
    let bytes = copies[0].1.encode();
    for word in [&b"acme"[..], b"account"] {
        assert!(
            !bytes.windows(word.len()).any(|at| at == word),
            "not even its name"
        );
    }
    let nobody = RoutingDecision {
        account: None,
        ..decision()
    };
    assert_eq!(publishes(&RoutingEvent::Decision(nobody)).len(), 1);
}

#[test]
fn states_go_to_the_topics_of_their_chain() {
    let topics: Vec<String> = all()[1..]
        .iter()
        .flat_map(publishes)
        .map(|(topic, _)| topic)
        .collect();
    let expected = [
        "circuit:events:premium:eth",
        "provider_pool:events:premium:eth",
        "block_sync:premium:eth",
    ];
    assert_eq!(topics, expected);
}

#[test]
fn errors_failovers_and_states_are_never_sampled_out() {
    let mut sampler = Sampler::new(SampleRates::default(), [1; 32]);
    let after_failover = RoutingDecision {
        result: Outcome::Success,
        weight: 9,
        ..decision()
    };
    for event in all()
        .into_iter()
        .chain([RoutingEvent::Decision(after_failover)])
    {
        for _ in 0..1_000 {
            let sampled = event
                .clone()
                .sampled(&mut sampler)
                .expect("always published");
            assert!(sampled.call().is_none_or(|call| call.weight == 1));
        }
    }
    assert_eq!(sampler.counters().successes, 0);
    let plain = RoutingDecision {
        result: Outcome::Success,
        failovers: 0,
        ..decision()
    };
    let plain = RoutingEvent::Decision(plain);
    let kept: Vec<RoutingEvent> = (0..1_000)
        .filter_map(|_| plain.clone().sampled(&mut sampler))
        .collect();
    assert_eq!(kept.len(), 50);
    assert!(kept.iter().all(|event| event.call().unwrap().weight == 20));
}

#[test]
fn a_state_matters_when_anything_but_its_time_differs() {
    for event in all()[1..].iter() {
        let mut later = event.clone();
        match &mut later {
            RoutingEvent::Circuit(circuit) => circuit.unix_ms += 1,
            RoutingEvent::Health(health) => health.unix_ms += 1,
            RoutingEvent::Height(height) => height.unix_ms += 1,
            RoutingEvent::Decision(_) | RoutingEvent::Open(_) => unreachable!(),
        }
        assert!(!later.matters(event));
        match &mut later {
            RoutingEvent::Circuit(circuit) => circuit.failures += 1,
            RoutingEvent::Health(health) => health.rate_limited = false,
            RoutingEvent::Height(height) => height.height += 1,
            RoutingEvent::Decision(_) | RoutingEvent::Open(_) => unreachable!(),
        }
        assert!(later.matters(event));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_event_or_none_or_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        which in 0_usize..4,
    ) {
        let _ = RoutingEvent::decode(&bytes);
        // An event with a byte changed, and one with its end cut off.
        let mut event = all()[which].encode().to_vec();
        let at = at.index(event.len());
        let _ = RoutingEvent::decode(&event[..at]);
        event[at] = bytes.first().copied().unwrap_or(0);
        if let Ok(Some(read)) = RoutingEvent::decode(&event) {
            prop_assert_eq!(RoutingEvent::decode(&read.encode()), Ok(Some(read)));
        }
    }
}
