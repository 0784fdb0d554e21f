use super::*;
use crate::events::StreamEvent;
use crate::events::routing::{RoutingEvent, publishes};

fn label(text: &str) -> Label {
    Label::new("label", text).unwrap()
}

fn segment(text: &str) -> Segment {
    Segment::new(text).unwrap()
}

/// The shipped kinds, an event `deploy` and a state `quota` that all nodes share.
fn kinds() -> EventKinds {
    let mut kinds = EventKinds::default();
    kinds.register(label("deploy"), KindRule::Event).unwrap();
    let shared = KindRule::State { of_node: false };
    kinds.register(label("quota"), shared).unwrap();
    kinds
}

fn event(kind: &str) -> OpenEvent {
    OpenEvent::new(
        &kinds(),
        kind,
        1_769_248_800_000,
        segment("premium"),
        "lasso@10.0.0.5".parse().unwrap(),
        segment("eth"),
        label("alchemy"),
    )
    .unwrap()
}

fn topics(event: OpenEvent) -> Vec<String> {
    let copies = publishes(&RoutingEvent::Open(event)).into_iter();
    copies.map(|(topic, _)| topic).collect()
}

#[test]
fn an_event_of_an_applications_kind_travels_with_its_fields_and_is_skipped_where_it_is_not_known() {
    let mut deploy = event("deploy");
    deploy.id = Some(label("d-7"));
    deploy.region = label("iad");
    deploy.set(label("version"), FieldValue::Int(7)).unwrap();
    deploy
        .set(label("by"), FieldValue::Text(label("ops")))
        .unwrap();
    deploy
        .set(label("dry_run"), FieldValue::Bool(false))
        .unwrap();
    let deploy = RoutingEvent::Open(deploy);
    let documented = serde_json::json!({
        "kind": "deploy", "id": "d-7", "unix_ms": 1_769_248_800_000_u64, "profile": "premium",
        "source": "lasso@10.0.0.5", "region": "iad", "chain": "eth", "provider": "alchemy",
        "part": null, "fields": { "version": 7, "by": "ops", "dry_run": false },
    });
    assert_eq!(serde_json::to_value(&deploy).unwrap(), documented);
    let bytes = deploy.encode();
    assert_eq!(
        RoutingEvent::decode_by(&bytes, &kinds()).unwrap(),
        Some(deploy.clone())
    );
    assert_eq!(RoutingEvent::decode(&bytes).unwrap(), None);
    assert_eq!((deploy.id(), deploy.kind()), (Some("d-7"), Kind::Event));
}

#[test]
fn the_rule_says_whether_an_event_or_a_state_goes_to_which_topic_under_which_key() {
    let mut deploy = event("deploy");
    deploy.account = Some(segment("acme"));
    let events = [
        "routing:decisions:premium",
        "routing:decisions:premium:account:acme",
    ];
    let copies = publishes(&RoutingEvent::Open(deploy.clone()));
    assert_eq!(
        copies[0].1.account(),
        None,
        "the profile's viewers do not see whose it is"
    );
    assert_eq!(copies[1].1.account(), Some(&segment("acme")));
    assert_eq!(topics(deploy), events);
    for (kind, topic, source) in [
        (
            PROVIDER_CONNECTION,
            "provider_pool:events:premium:eth",
            true,
        ),
        (SUBSCRIPTION, "provider_pool:events:premium:eth", true),
        (HEALTH_PROBE, "provider_pool:events:premium:eth", true),
        (BLOCK_SYNC, "block_sync:premium:eth", true),
        ("quota", "provider_pool:events:premium:eth", false),
    ] {
        let mut state = event(kind);
        state.part = Some(label("web_socket"));
        state.account = Some(segment("acme"));
        let Kind::State(key) = RoutingEvent::Open(state.clone()).kind() else {
            panic!("{kind} is a state");
        };
        assert_eq!(key.group, Group::Open(label(kind)));
        assert_eq!(
            (key.part, key.source.is_some()),
            (state.part.clone(), source)
        );
        let copies = publishes(&RoutingEvent::Open(state.clone()));
        assert_eq!(copies[0].1.account(), None, "a state names no account");
        assert_eq!(topics(state), [topic]);
    }
}

#[test]
fn a_state_with_an_account_and_too_many_fields_are_malformed() {
    let mut state = event("quota");
    state.account = Some(segment("acme"));
    let bytes = RoutingEvent::Open(state).encode();
    assert_eq!(RoutingEvent::decode_by(&bytes, &kinds()), Err(Malformed));
    let mut deploy = event("deploy");
    for field in 0..FIELDS_MAX {
        let field = label(&format!("f{field}"));
        deploy.set(field, FieldValue::Int(0)).unwrap();
    }
    let full = RoutingEvent::Open(deploy.clone());
    assert_eq!(
        RoutingEvent::decode_by(&full.encode(), &kinds()),
        Ok(Some(full))
    );
    let more = deploy.set(label("more"), FieldValue::Int(0));
    assert_eq!(more, Err(KindError::TooManyFields(label("more"))));
    deploy.fields.insert(label("more"), FieldValue::Int(0));
    let bytes = RoutingEvent::Open(deploy).encode();
    assert_eq!(RoutingEvent::decode_by(&bytes, &kinds()), Err(Malformed));
}

#[test]
fn a_change_of_a_state_matters_and_its_time_alone_does_not() {
    let told = RoutingEvent::Open(event(PROVIDER_CONNECTION));
    let mut later = event(PROVIDER_CONNECTION);
    later.unix_ms += 5_000;
    assert!(!RoutingEvent::Open(later.clone()).matters(&told));
    let down = FieldValue::Text(label("down"));
    later.set(label("state"), down).unwrap();
    assert!(RoutingEvent::Open(later).matters(&told));
}

#[test]
fn a_kind_is_taken_once_and_one_too_many_is_refused() {
    let mut kinds = kinds();
    for taken in ["deploy", "circuit", "block_height", BLOCK_SYNC] {
        let error = kinds.register(label(taken), KindRule::Event);
        assert_eq!(error, Err(KindError::Taken(label(taken))));
    }
    let made = OpenEvent::new(
        &EventKinds::default(),
        "deploy",
        0,
        segment("premium"),
        "lasso@10.0.0.5".parse().unwrap(),
        segment("eth"),
        label("alchemy"),
    );
    assert_eq!(made, Err(KindError::Unknown("deploy".to_owned())));
    for kind in kinds.0.len()..KINDS_MAX {
        let kind = label(&format!("kind-{kind}"));
        kinds.register(kind, KindRule::Event).unwrap();
    }
    let error = kinds.register(label("more"), KindRule::Event);
    assert_eq!(error, Err(KindError::TooMany(label("more"))));
}
