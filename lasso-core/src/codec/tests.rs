//! Frames go there and back, and no bytes do harm.

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use serde::Serialize;

use super::*;
use crate::frame::{Hello, MissedRange, PubSubFrame, StreamStart};
use crate::name::Identity;
use crate::plane::pubsub::Row;

fn name() -> impl Strategy<Value = NodeName> {
    ("[a-z0-9_.-]{1,64}", any::<std::net::IpAddr>(), 1u16..).prop_map(|(base, ip, port)| {
        NodeName::new(Basename::new(&base).unwrap(), (ip, port).into())
    })
}

fn label() -> impl Strategy<Value = Label> {
    "[a-zA-Z0-9 äß-]{1,60}".prop_map(|text| Label::new("label", &text).unwrap())
}

fn hello() -> impl Strategy<Value = Frame> {
    let features = btree_set("[a-z]{1,12}", 0..4);
    let numbers = (
        0..=Incarnation::MAX.0,
        any::<u16>(),
        any::<u16>(),
        any::<u64>(),
        any::<bool>(),
    );
    (label(), name(), features, numbers).prop_map(|(cluster, name, features, numbers)| {
        let (incarnation, version_min, version_max, tick_ms, probe) = numbers;
        let identity = Identity {
            cluster,
            name,
            incarnation: Incarnation(incarnation),
        };
        Frame::Hello(Hello {
            identity,
            version_min,
            version_max,
            features,
            tick_ms,
            probe,
        })
    })
}

fn reason() -> impl Strategy<Value = CloseReason> {
    prop_oneof![
        proptest::sample::select(PLAIN_REASONS.to_vec()),
        label().prop_map(|theirs| CloseReason::OtherCluster { theirs }),
        name().prop_map(|name| CloseReason::OtherBasename {
            theirs: name.basename().clone()
        }),
        (0..=Incarnation::MAX.0).prop_map(|known| CloseReason::StaleIncarnation {
            known: Incarnation(known)
        }),
    ]
}

/// One of each.
pub(crate) fn every_reason() -> Vec<CloseReason> {
    let theirs = || Label::new("cluster name", "other").unwrap();
    let parts = [
        CloseReason::OtherCluster { theirs: theirs() },
        CloseReason::OtherBasename {
            theirs: Basename::new("other").unwrap(),
        },
        CloseReason::StaleIncarnation {
            known: Incarnation(1),
        },
    ];
    PLAIN_REASONS.into_iter().chain(parts).collect()
}

fn topology() -> impl Strategy<Value = TopologyFrame> {
    let description = (label(), label(), btree_set(label(), 0..32), label()).prop_map(
        |(id, region, roles, version)| Description {
            id,
            region,
            roles,
            version,
        },
    );
    prop_oneof![
        any::<u64>().prop_map(|id| TopologyFrame::Describe { id }),
        (any::<u64>(), description, any::<bool>()).prop_map(|(id, description, ready)| {
            TopologyFrame::Description {
                id,
                description,
                ready,
            }
        }),
        any::<bool>().prop_map(TopologyFrame::Ready),
        (any::<u64>(), option::of(vec(any::<u64>(), 0..9)))
            .prop_map(|(id, known)| TopologyFrame::Check { id, known }),
        (
            any::<u64>(),
            any::<bool>(),
            any::<u64>(),
            option::of(vec(name(), 0..9))
        )
            .prop_map(|(id, ready, view_hash, view)| TopologyFrame::Health {
                id,
                ready,
                view_hash,
                view
            }),
    ]
}

fn pubsub() -> impl Strategy<Value = PubSubFrame> {
    let topic = || "[ -~ä]{0,40}";
    let start = (topic(), any::<u32>(), any::<u64>(), any::<u64>()).prop_map(
        |(topic, stream, last_all, last_directed)| StreamStart {
            topic,
            stream,
            last_all,
            last_directed,
        },
    );
    let row = prop_oneof![Just(Row::All), Just(Row::Directed)];
    let range =
        (any::<u32>(), row, any::<u64>(), any::<u64>()).prop_map(|(stream, row, from, to)| {
            MissedRange {
                stream,
                row,
                from,
                to,
            }
        });
    prop_oneof![
        (vec(topic(), 0..6), vec(topic(), 0..6))
            .prop_map(|(add, remove)| PubSubFrame::Interest { add, remove }),
        vec(start, 0..6).prop_map(PubSubFrame::Streams),
        vec(range, 0..6).prop_map(PubSubFrame::Missed),
        Just(PubSubFrame::InterestRefused),
    ]
}

pub(crate) fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        hello(),
        Just(Frame::Offer),
        Just(Frame::Adopt),
        reason().prop_map(Frame::Close),
        Just(Frame::Heartbeat),
        any::<u64>().prop_map(Frame::Ping),
        any::<u64>().prop_map(Frame::Pong),
        any::<u64>().prop_map(Frame::Taken),
        topology().prop_map(Frame::Topology),
        pubsub().prop_map(Frame::PubSub),
    ]
}

/// Every frame in the bytes; unknown ones are left out.
fn all(mut bytes: &[u8]) -> Result<Vec<Frame>, Malformed> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (raw, rest) = split(bytes)?;
        frames.extend(decode(raw)?);
        bytes = rest;
    }
    Ok(frames)
}

fn framed(kind: u8, body: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_map(kind, body, &mut bytes);
    bytes
}

proptest! {
    #[test]
    fn frames_come_back_as_they_were(frames in vec(frame(), 0..8)) {
        let mut bytes = Vec::new();
        for frame in &frames {
            encode(frame, &mut bytes);
        }
        prop_assert_eq!(all(&bytes), Ok(frames));
    }

    #[test]
    fn random_bytes_are_frames_or_an_error(bytes in vec(any::<u8>(), 0..300)) {
        let _ = all(&bytes);
        for kind in 0..=50 {
            let _ = decode(RawFrame { kind, body: &bytes });
        }
    }

    #[test]
    fn damaged_frames_are_frames_or_an_error(
        frame in frame(),
        damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = Vec::new();
        encode(&frame, &mut bytes);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = all(&bytes);
    }

    #[test]
    fn a_cut_off_frame_is_an_error(frame in frame(), keep in any::<proptest::sample::Index>()) {
        let mut bytes = Vec::new();
        encode(&frame, &mut bytes);
        prop_assert_eq!(split(&bytes[..keep.index(bytes.len())]), Err(Malformed));
    }
}

#[test]
fn an_unknown_kind_is_skipped() {
    let mut bytes = Vec::new();
    put(200, b"from a later release", &mut bytes);
    encode(&Frame::Offer, &mut bytes);
    assert_eq!(all(&bytes), Ok(vec![Frame::Offer]));
}

#[test]
fn an_unknown_field_is_skipped() {
    #[derive(Serialize)]
    struct Later {
        id: u64,
        nested: Vec<Option<(u8, String)>>,
        known: Option<u64>,
    }
    let later = Later {
        id: 4,
        nested: vec![None, Some((1, "x".into()))],
        known: None,
    };
    let check = Frame::Topology(TopologyFrame::Check { id: 4, known: None });
    assert_eq!(all(&framed(kind::CHECK, &later)), Ok(vec![check]));
}

#[test]
fn a_missing_optional_field_is_none() {
    let check = Frame::Topology(TopologyFrame::Check { id: 4, known: None });
    assert_eq!(
        all(&framed(kind::CHECK, &DescribeBody { id: 4 })),
        Ok(vec![check])
    );
}

#[test]
fn a_close_with_a_reason_of_a_later_release_is_still_a_close() {
    for (reason, theirs) in [
        ("moon_phase", None),
        ("other_cluster", None),
        ("other_cluster", Some("")),
        ("other_basename", Some("not a basename")),
        ("stale_incarnation", None),
    ] {
        let body = CloseBody {
            reason: reason.into(),
            theirs: theirs.map(str::to_owned),
            known: None,
        };
        let close = Frame::Close(CloseReason::Unknown);
        assert_eq!(
            all(&framed(kind::CLOSE, &body)),
            Ok(vec![close]),
            "{reason}"
        );
    }
}

#[test]
fn every_reason_reads_back_under_its_name() {
    let mut read = 0;
    for &name in CloseReason::NAMES {
        let body = CloseBody {
            reason: name.to_owned(),
            theirs: Some("other".into()),
            known: Some(1),
        };
        let Ok(frames) = all(&framed(kind::CLOSE, &body)) else {
            panic!("{name} does not read back");
        };
        assert!(
            matches!(&frames[..], [Frame::Close(reason)] if reason.name() == name),
            "{name} reads back as {frames:?}"
        );
        read += 1;
    }
    assert_eq!(read, every_reason().len());
}

#[test]
fn more_roles_than_allowed_are_refused() {
    let label = |text: String| Label::new("label", &text).unwrap();
    let description = |roles| Description {
        id: label("id".into()),
        region: Label::unknown(),
        roles: (0..roles)
            .map(|role| label(format!("role {role}")))
            .collect(),
        version: label("1".into()),
    };
    for (roles, good) in [(32, true), (33, false)] {
        let body = DescriptionBody {
            id: 1,
            description: description(roles),
            ready: true,
        };
        assert_eq!(
            all(&framed(kind::DESCRIPTION, &body)).is_ok(),
            good,
            "{roles}"
        );
    }
}

#[test]
fn what_nests_deeper_than_any_wire_type_is_refused_without_recursion_to_its_end() {
    // {"id": [[[[…]]]]} and {"x": [[[[…]]]], …}: a known field, and one that is skipped.
    for field in [b"\x81\xa2id".as_slice(), b"\x82\xa1x"] {
        for opening in [0x91, 0x81, 0xdc] {
            let mut body = field.to_vec();
            body.resize(200_000, opening);
            assert_eq!(
                decode(RawFrame {
                    kind: kind::DESCRIBE,
                    body: &body
                }),
                Err(Malformed)
            );
        }
    }
}

#[test]
fn an_announced_length_costs_nothing_until_it_comes() {
    // An array of 2^32 - 1 numbers, a string of as many bytes, and nothing behind them.
    for body in [
        b"\x82\xa2id\x01\xa5known\xdd\xff\xff\xff\xff".as_slice(),
        b"\x82\xa2id\x01\xa5known\xdb\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
    ] {
        assert_eq!(
            decode(RawFrame {
                kind: kind::CHECK,
                body
            }),
            Err(Malformed)
        );
    }
}

#[test]
fn interest_without_one_of_its_lists_has_it_empty() {
    #[derive(Serialize)]
    struct OnlyAdd {
        add: [&'static str; 1],
    }
    let interest = Frame::PubSub(PubSubFrame::Interest {
        add: vec!["t".into()],
        remove: vec![],
    });
    assert_eq!(
        all(&framed(kind::INTEREST, &OnlyAdd { add: ["t"] })),
        Ok(vec![interest])
    );
}

#[test]
fn a_dropped_range_without_a_row_is_of_the_row_of_all() {
    // {"missed": [{"to": 2, "from": 1, "stream": 3, "x": nil}]}
    let body = b"\x81\xa6missed\x91\x84\xa2to\x02\xa4from\x01\xa6stream\x03\xa1x\xc0";
    let range = MissedRange {
        stream: 3,
        row: Row::All,
        from: 1,
        to: 2,
    };
    let frame = RawFrame {
        kind: kind::MISSED,
        body,
    };
    let missed = Frame::PubSub(PubSubFrame::Missed(vec![range]));
    assert_eq!(decode(frame), Ok(Some(missed)));
}

#[test]
fn a_list_that_is_longer_than_its_bound_is_refused() {
    let interest = |topics| {
        Frame::PubSub(PubSubFrame::Interest {
            add: vec![String::new(); topics],
            remove: vec![],
        })
    };
    let check = |hashes| {
        Frame::Topology(TopologyFrame::Check {
            id: 1,
            known: Some(vec![7; hashes]),
        })
    };
    let health = |names| {
        Frame::Topology(TopologyFrame::Health {
            id: 1,
            ready: true,
            view_hash: 0,
            view: Some(vec!["a@10.0.0.1".parse().unwrap(); names]),
        })
    };
    for (frame, good) in [
        (interest(10_000), true),
        (interest(10_001), false),
        (check(16), true),
        (check(17), false),
        (health(4_096), true),
        (health(4_097), false),
    ] {
        let mut bytes = Vec::new();
        encode(&frame, &mut bytes);
        assert_eq!(all(&bytes).is_ok(), good, "{} bytes", bytes.len());
    }
}

#[test]
fn a_control_frame_longer_than_its_bound_is_refused_whatever_is_in_it() {
    for kind in 0..kind::BULK_MIN {
        let body = vec![0; CONTROL_BYTES_MAX + 1];
        let frame = RawFrame { kind, body: &body };
        assert_eq!(decode(frame), Err(Malformed), "{kind}");
    }
}

#[test]
fn a_length_of_more_than_four_bytes_is_refused() {
    assert_eq!(split(&[5, 0x80, 0x80, 0x80, 0x80, 0]), Err(Malformed));
    // Not the shortest form, but one that says what it means.
    let frame = RawFrame { kind: 5, body: &[] };
    assert_eq!(split(&[5, 0x80, 0x80, 0x80, 0]), Ok((frame, [].as_slice())));
}

#[test]
fn an_incarnation_beyond_the_year_2500_is_refused() {
    let hello = |incarnation| {
        let mut bytes = Vec::new();
        let identity = Identity {
            cluster: Label::new("cluster name", "lasso").unwrap(),
            name: "lasso@10.0.0.1".parse().unwrap(),
            incarnation,
        };
        let hello = Hello {
            identity,
            version_min: 1,
            version_max: 1,
            features: Default::default(),
            tick_ms: 60_000,
            probe: false,
        };
        encode(&Frame::Hello(hello), &mut bytes);
        decode(split(&bytes).unwrap().0).map(|frame| frame.is_some())
    };
    assert_eq!(hello(Incarnation::MAX), Ok(true));
    assert_eq!(hello(Incarnation(Incarnation::MAX.0 + 1)), Err(Malformed));
    assert_eq!(hello(Incarnation(u64::MAX)), Err(Malformed));
}

#[test]
fn nobody_is_told_that_an_implausible_life_is_known() {
    let told = |known| {
        let mut bytes = Vec::new();
        let stale = CloseReason::StaleIncarnation { known };
        encode(&Frame::Close(stale), &mut bytes);
        decode(split(&bytes).unwrap().0).unwrap()
    };
    let known = Incarnation::MAX;
    let plausible = CloseReason::StaleIncarnation { known };
    assert_eq!(told(known), Some(Frame::Close(plausible)));
    let unknown = Frame::Close(CloseReason::Unknown);
    let beyond = Incarnation(Incarnation::MAX.0 + 1);
    assert_eq!(told(beyond), Some(unknown.clone()));
    assert_eq!(told(Incarnation(u64::MAX)), Some(unknown));
}
