//! What a member can make a node do with one frame: work and memory are bounded, whatever is in it.
//!
//! Work is measured in allocations, so that the test does not depend on the machine: what a frame costs is
//! reading its bytes, which its length bounds, and what is made of them. All of it is counted on this thread by a
//! counting allocator.

use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use lasso_core::codec::{self, CONTROL_BYTES_MAX, RawFrame, kind};
use lasso_core::config::{LinkSettings, NodeConfig};
use lasso_core::event::CloseReason;
use lasso_core::events::routing::RoutingEvent;
use lasso_core::frame::{Frame, Hello};
use lasso_core::link::{LaneId, Link, LinkEvent, Role};
use lasso_core::metrics::queries::{CallsPartial, ROWS_MAX};
use lasso_core::name::{Identity, Incarnation};
use lasso_core::secure::{ReplayGuard, Security};
use lasso_core::time::Instant;
use lasso_core::topology::Topology;
use proptest::prelude::*;

/// Most allocations for one control frame, its effect on the topology included: a text for each of twice 10,000
/// topics, and little besides.
const ALLOCATIONS_MAX: u64 = 24_000;
/// Most memory at a time: some 40 times the longest control frame, as each of its shortest texts takes that much.
const MEMORY_MAX: u64 = 3 << 20;

/// Kinds that are decoded as frames.
const CONTROL: core::ops::Range<u8> = 0..kind::BULK_MIN;
/// The fields of all control frames.
const FIELDS: [&str; 26] = [
    "identity",
    "version_min",
    "version_max",
    "features",
    "tick_ms",
    "probe",
    "reason",
    "theirs",
    "known",
    "id",
    "description",
    "ready",
    "region",
    "roles",
    "version",
    "view_hash",
    "view",
    "add",
    "remove",
    "streams",
    "topic",
    "stream",
    "missed",
    "from",
    "to",
    "a key of a later release",
];

/// A value of a field, as MessagePack.
#[derive(Debug, Clone)]
enum Value {
    /// A list of so many of these bytes.
    List(u32, Vec<u8>),
    /// The same, nested so deep.
    Nested(usize, Box<Value>),
    /// A map of so many keys and values of these bytes.
    Map(u32, Vec<u8>),
    /// A text of so many bytes.
    Text(usize),
    /// A list that announces far more than comes.
    Announced(u32),
    /// Anything.
    Raw(Vec<u8>),
    /// A good value, so that the next field counts.
    Description,
}

impl Value {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::List(count, element) => {
                out.push(0xdd);
                out.extend(count.to_be_bytes());
                (0..*count).for_each(|_| out.extend(element));
            }
            Value::Nested(levels, inner) => {
                out.extend(std::iter::repeat_n(0x91, *levels));
                inner.write(out);
            }
            Value::Map(count, element) => {
                out.push(0xdf);
                out.extend(count.to_be_bytes());
                (0..*count).for_each(|_| {
                    out.extend(element);
                    out.extend(element);
                });
            }
            Value::Text(length) => {
                out.push(0xdb);
                out.extend((*length as u32).to_be_bytes());
                out.extend(std::iter::repeat_n(b'x', *length));
            }
            Value::Announced(count) => {
                out.push(0xdd);
                out.extend(count.to_be_bytes());
            }
            Value::Raw(bytes) => out.extend(bytes),
            Value::Description => {
                out.push(0x84);
                for field in ["id", "region", "version"] {
                    text(field, out);
                    text("x", out);
                }
                text("roles", out);
                Value::List(9_000, vec![0xa1, b'r']).write(out);
            }
        }
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend([0xd9, text.len() as u8]);
    out.extend(text.as_bytes());
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![0]),
        Just(vec![0xa0]),
        Just(vec![0xa1, b't']),
        Just(b"\xaca@10.0.0.100".to_vec()),
        Just(b"\xaba@[fdaa::3]".to_vec()),
        Just(vec![0xcf, 1, 2, 3, 4, 5, 6, 7, 8]),
        Just(vec![0x80]),
        Just(vec![0x90]),
        Just(b"\x84\xa5topic\xa1t\xa6stream\x01\xa8last_all\x01\xadlast_directed\x01".to_vec()),
        Just(b"\x83\xa6stream\x01\xa4from\x01\xa2to\x02".to_vec()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let counts = || prop_oneof![0..40_u32, 0..70_000_u32];
    let leaf = prop_oneof![
        (counts(), element()).prop_map(|(count, element)| Value::List(count, element)),
        (counts(), element()).prop_map(|(count, element)| Value::Map(count, element)),
        (0..70_000_usize).prop_map(Value::Text),
        any::<u32>().prop_map(Value::Announced),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Raw),
        Just(Value::Raw(vec![1])),
        Just(Value::Raw(vec![0xc3])),
        Just(Value::Description),
    ];
    (leaf, 0..40_usize).prop_map(|(leaf, levels)| match levels {
        0..30 => leaf,
        _ => Value::Nested(levels, Box::new(leaf)),
    })
}

/// The body of a map with these fields, each perhaps several times.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let field = (proptest::sample::select(FIELDS.to_vec()), value());
    let map = proptest::collection::vec(field, 0..6).prop_map(|fields| {
        let mut body = vec![0x80 | fields.len() as u8];
        for (name, value) in fields {
            text(name, &mut body);
            value.write(&mut body);
        }
        body
    });
    prop_oneof![
        8 => map,
        1 => proptest::collection::vec(any::<u8>(), 0..2_000),
        1 => (any::<u8>(), 0..70_000_usize).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

fn topology() -> Topology {
    let name = "a@10.0.0.1".parse().unwrap();
    let mut topology = Topology::new(&NodeConfig::new(name, Security::InsecureNull));
    topology.link_up(Instant::ZERO, &identity("a@10.0.0.2"));
    topology
}

fn identity(name: &str) -> Identity {
    let name: lasso_core::name::NodeName = name.parse().unwrap();
    let cluster = NodeConfig::new(name.clone(), Security::InsecureNull).cluster;
    Identity {
        cluster,
        name,
        incarnation: Incarnation(1),
    }
}

/// Decodes a frame and hands it to the topology, as a node does.
fn take(frame: RawFrame<'_>, topology: &mut Topology) -> AllocationInfo {
    let from = "a@10.0.0.2".parse().unwrap();
    measure(|| {
        if let Ok(Some(Frame::Topology(frame))) = codec::decode(frame) {
            topology.receive(Instant::ZERO, &from, frame);
        }
    })
}

fn assert_cheap(spent: &AllocationInfo, what: &dyn core::fmt::Debug) {
    assert!(spent.count_total <= ALLOCATIONS_MAX, "{what:?}: {spent:?}");
    assert!(spent.bytes_max <= MEMORY_MAX, "{what:?}: {spent:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_control_frame_costs_more_than_the_bound(kind in CONTROL, body in body()) {
        let spent = take(RawFrame { kind, body: &body }, &mut topology());
        assert_cheap(&spent, &(kind, body.len()));
        if body.len() > CONTROL_BYTES_MAX {
            prop_assert!(spent.count_total <= 8, "looked into: {:?}", spent);
        }
    }

    #[test]
    fn no_event_costs_more_than_the_bound(body in body()) {
        let spent = measure(|| drop(RoutingEvent::decode(&body)));
        assert_cheap(&spent, &body.len());
    }
}

/// The lists that members have sent to stop a node, each as long as a frame can be: not even their first elements are
/// made.
#[test]
fn the_longest_list_of_each_kind_costs_little() {
    let list = |kind, before: &[(&str, &[u8])], field: &str, element: &[u8]| {
        let mut body = vec![0x81 + before.len() as u8];
        for (name, value) in before {
            text(name, &mut body);
            body.extend(*value);
        }
        text(field, &mut body);
        let room = CONTROL_BYTES_MAX - body.len() - 5;
        Value::List((room / element.len()) as u32, element.to_vec()).write(&mut body);
        (kind, field.to_owned(), body)
    };
    let health: [(&str, &[u8]); 3] = [("id", &[1]), ("ready", &[0xc3]), ("view_hash", &[0])];
    let frames = [
        list(kind::CHECK, &[("id", &[1])], "known", &[1]),
        list(kind::HEALTH, &health, "view", b"\xa8a@1.1.1.1"),
        list(kind::DESCRIBE, &[("id", &[1])], "later", &[0]),
        list(kind::DESCRIBE, &[("id", &[1])], "later", &[0x80]),
        list(kind::INTEREST, &[], "add", &[0xa0]),
        list(kind::INTEREST, &[], "remove", &[0xa1, b't']),
        list(kind::MISSED, &[], "missed", &[0x80]),
        list(kind::HELLO, &[], "features", &[0xa0]),
    ];
    for (kind, field, body) in frames {
        let spent = take(RawFrame { kind, body: &body }, &mut topology());
        // None is within the bound of its list, so that not even the first element is made.
        assert!(spent.count_total <= 64, "{kind} {field}: {spent:?}");
        assert!(spent.bytes_max <= 4 << 10, "{kind} {field}: {spent:?}");
    }
}

/// The largest view that is taken.
#[test]
fn the_largest_view_costs_a_few_allocations_for_each_name() {
    let mut body = vec![0x84];
    for (name, value) in [("id", 1), ("ready", 0xc3), ("view_hash", 0)] {
        text(name, &mut body);
        body.push(value);
    }
    text("view", &mut body);
    body.extend([0xdd, 0, 0, 0x10, 0]);
    for n in 0..4_096_u32 {
        let name = format!("a@9.9.{}.{}", n / 256, n % 256);
        body.push(0xa0 | name.len() as u8);
        body.extend(name.as_bytes());
    }
    let frame = RawFrame {
        kind: kind::HEALTH,
        body: &body,
    };
    assert!(
        matches!(codec::decode(frame), Ok(Some(_))),
        "{}",
        body.len()
    );
    assert_cheap(&take(frame, &mut topology()), &body.len());
}

/// Two links that have greeted each other; what is sent on the first one comes on the second.
fn pair() -> (Link, Link, ReplayGuard) {
    let (now, settings) = (Instant::ZERO, LinkSettings::default());
    let security = Arc::new(Security::InsecureNull);
    let mut from = Link::new(now, Role::Dialer, &security, &settings, [1; 32]);
    let mut to = Link::new(now, Role::Acceptor, &security, &settings, [2; 32]);
    let mut guard = ReplayGuard::new();
    let hello = Hello {
        identity: identity("a@10.0.0.2"),
        version_min: 1,
        version_max: 1,
        features: Default::default(),
        tick_ms: 60_000,
        probe: false,
    };
    from.send(now, &Frame::Hello(hello)).unwrap();
    let mut events = Vec::new();
    for _ in 0..2 {
        while let Some(bytes) = from.poll_transmit(now) {
            from.written(now, bytes.len());
            to.receive(now, &bytes, &mut guard, &mut events).unwrap();
        }
        while let Some(bytes) = to.poll_transmit(now) {
            from.receive(now, &bytes, &mut guard, &mut events).unwrap();
        }
    }
    assert!(matches!(events[..], [LinkEvent::Frame(Frame::Hello(_))]));
    (from, to, guard)
}

#[test]
fn a_control_frame_in_pieces_is_given_up_at_its_head_by_whichever_lane_it_comes() {
    let now = Instant::ZERO;
    for lane in [LaneId::Control, LaneId::Calls, LaneId::Data] {
        for kind in CONTROL.filter(|kind| *kind != kind::PIECE) {
            let (mut from, mut to, mut guard) = pair();
            let length = 16 << 20_u32;
            let mut head = vec![kind];
            let mut left = length;
            while left >= 0x80 {
                head.push(0x80 | (left & 0x7f) as u8);
                left >>= 7;
            }
            head.push(left as u8);
            let body = Bytes::from(vec![0; length as usize]);
            assert!(from.lanes().lock().push(lane, &head, &body).is_ok());
            let mut refused = Ok(());
            while refused.is_ok() {
                let bytes = from.poll_transmit(now).expect("more is to come");
                from.written(now, bytes.len());
                let mut events = Vec::with_capacity(4);
                let spent = measure(|| refused = to.receive(now, &bytes, &mut guard, &mut events));
                assert!(spent.bytes_max <= 256 << 10, "{kind}: {spent:?}");
                assert_eq!(events, []);
            }
            assert_eq!(refused, Err(CloseReason::TooLarge), "{kind}");
        }
    }
}

#[test]
fn hostile_rows_of_metrics_cost_what_the_bound_says() {
    // Eight MiB, the longest part that is read: rows of names, names beside one row, and rows beyond the bound.
    let names = |names: u32| {
        let mut row = vec![0x84];
        for field in ["name", "region"] {
            text(field, &mut row);
            text("x", &mut row);
        }
        text("tally", &mut row);
        row.push(0x80);
        text("others", &mut row);
        Value::List(names, vec![0xa1, b'm']).write(&mut row);
        row
    };
    for (rows, of) in [
        (2_000, names(2_000)),
        (1, names(4_000_000)),
        (100_000, names(0)),
    ] {
        let mut part = vec![0x81];
        text("rows", &mut part);
        Value::List(rows, of).write(&mut part);
        let mut read = None;
        let spent = measure(|| read = rmp_serde::from_slice::<CallsPartial>(&part).ok());
        assert!(read.is_some());
        // Two texts and a name or two for each row.
        let most = 8 * ROWS_MAX as u64;
        assert!(spent.count_total <= most, "{rows}: {spent:?}");
        assert!(spent.bytes_max <= 4 << 20, "{rows}: {spent:?}");
    }
}
