//! Two links talk to each other over a wire that slices as it likes, and strangers talk to one.

use std::collections::BTreeSet;

mod detached;
mod hostile;
mod timing;
mod vectors;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::frame::{Hello, TopologyFrame, VERSION_MAX, VERSION_MIN};
use crate::name::{Identity, Incarnation, Label};
use crate::secure::Cookie;

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn cookie(secret: &str) -> Arc<Security> {
    Arc::new(Security::Cookie {
        current: Cookie::new(secret),
        previous: None,
    })
}

fn both() -> [Arc<Security>; 2] {
    [
        cookie("a secret of at least 32 characters"),
        Arc::new(Security::InsecureNull),
    ]
}

fn hello(name: &str) -> Frame {
    Frame::Hello(Hello {
        identity: Identity {
            cluster: Label::new("cluster name", "lasso").unwrap(),
            name: name.parse().unwrap(),
            incarnation: Incarnation(7),
        },
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        features: BTreeSet::new(),
        tick_ms: 60_000,
        probe: false,
    })
}

/// Two links and the wire between them.
struct Pair {
    dialer: Link,
    acceptor: Link,
    guard: ReplayGuard,
    at_dialer: Vec<LinkEvent>,
    at_acceptor: Vec<LinkEvent>,
}

impl Pair {
    fn new(dialer: &Arc<Security>, acceptor: &Arc<Security>) -> Self {
        Pair::with(dialer, acceptor, &LinkSettings::default())
    }

    fn with(dialer: &Arc<Security>, acceptor: &Arc<Security>, settings: &LinkSettings) -> Self {
        Pair {
            dialer: Link::new(at(0), Role::Dialer, dialer, settings, [1; 32]),
            acceptor: Link::new(at(0), Role::Acceptor, acceptor, settings, [2; 32]),
            guard: ReplayGuard::new(),
            at_dialer: Vec::new(),
            at_acceptor: Vec::new(),
        }
    }

    /// Carries bytes both ways, `slice` at a time, until nobody has any.
    fn carry(&mut self, now: Instant, slice: usize) -> Result<(), CloseReason> {
        loop {
            let mut idle = true;
            while let Some(bytes) = self.dialer.poll_transmit(now) {
                idle = false;
                self.dialer.written(now, bytes.len());
                for bytes in bytes.chunks(slice) {
                    self.acceptor
                        .receive(now, bytes, &mut self.guard, &mut self.at_acceptor)?;
                }
            }
            while let Some(bytes) = self.acceptor.poll_transmit(now) {
                idle = false;
                self.acceptor.written(now, bytes.len());
                for bytes in bytes.chunks(slice) {
                    self.dialer
                        .receive(now, bytes, &mut self.guard, &mut self.at_dialer)?;
                }
            }
            if idle {
                return Ok(());
            }
        }
    }

    /// A pair that has exchanged its `Hello`s and stands.
    fn standing(security: &Arc<Security>) -> Self {
        let mut pair = Pair::new(security, security);
        pair.dialer.send(at(0), &hello("app@10.0.0.1")).unwrap();
        pair.acceptor.send(at(0), &hello("app@10.0.0.2")).unwrap();
        pair.carry(at(0), usize::MAX).unwrap();
        pair.dialer.established(at(0));
        pair.acceptor.established(at(0));
        assert_eq!(pair.at_dialer, [LinkEvent::Frame(hello("app@10.0.0.2"))]);
        assert_eq!(pair.at_acceptor, [LinkEvent::Frame(hello("app@10.0.0.1"))]);
        pair.at_dialer.clear();
        pair.at_acceptor.clear();
        pair
    }
}

#[test]
fn both_sides_get_each_others_frames_in_order_however_they_are_sliced() {
    for security in both() {
        for slice in [1, 2, 7, 100, usize::MAX] {
            let mut pair = Pair::new(&security, &security);
            let frames = [
                hello("app@10.0.0.1"),
                Frame::Offer,
                Frame::Topology(TopologyFrame::Check {
                    id: 3,
                    known: Some(vec![1, u64::MAX]),
                }),
                Frame::Close(CloseReason::Left),
            ];
            for frame in &frames {
                pair.dialer.send(at(0), frame).unwrap();
            }
            pair.carry(at(0), slice).unwrap();
            let expected: Vec<_> = frames.into_iter().map(LinkEvent::Frame).collect();
            assert_eq!(pair.at_acceptor, expected, "slice {slice}");
            assert_ne!(pair.dialer.session(), 0);
            assert_eq!(pair.dialer.session(), pair.acceptor.session());
            assert!(pair.acceptor.is_authenticated());
        }
    }
}

#[test]
fn a_ping_is_answered_by_the_link_itself() {
    for security in both() {
        let mut pair = Pair::standing(&security);
        pair.dialer.send(at(1), &Frame::Ping(9)).unwrap();
        pair.carry(at(1), usize::MAX).unwrap();
        assert_eq!(pair.at_acceptor, []);
        assert_eq!(pair.at_dialer, [LinkEvent::Frame(Frame::Pong(9))]);
    }
}

/// Puts a message of so many bytes into the lane for data; the whole frame.
fn push_message(link: &Link, length: usize) -> Bytes {
    let (mut head, body) = (Vec::new(), Bytes::from(vec![7; length]));
    codec::put_header(codec::kind::MESSAGE, length, &mut head);
    let pushed = link.lanes().lock().push(LaneId::Data, &head, &body);
    assert!(pushed.is_ok());
    [head, body.to_vec()].concat().into()
}

#[test]
fn a_frame_larger_than_a_record_arrives_whole() {
    for security in both() {
        let mut pair = Pair::standing(&security);
        let frames = [Frame::Offer, view(1_000), Frame::Adopt, Frame::Pong(1)];
        let message = push_message(&pair.dialer, 200_000);
        for frame in &frames {
            pair.dialer.send(at(1), frame).unwrap();
        }
        pair.carry(at(1), 1_000).unwrap();
        let expected = frames.into_iter().map(LinkEvent::Frame);
        let expected: Vec<_> = expected.chain([LinkEvent::Text(message)]).collect();
        assert!(pair.at_acceptor == expected);
        assert!(
            pair.acceptor.held_bytes() < 4_096,
            "the pieces' memory is given back"
        );
    }
}

#[test]
fn a_control_frame_that_is_too_long_is_not_taken() {
    let mut pair = Pair::standing(&both()[0]);
    assert_eq!(
        pair.dialer.send(at(1), &view(9_000)),
        Err(CloseReason::TooLarge)
    );
    pair.dialer.send(at(1), &view(4_000)).unwrap();
    pair.carry(at(1), usize::MAX).unwrap();
    assert_eq!(pair.at_acceptor.len(), 1);
}

#[test]
fn frames_that_wait_share_a_record() {
    let mut pair = Pair::standing(&both()[0]);
    for number in 0..100 {
        pair.dialer.send(at(1), &Frame::Pong(number)).unwrap();
    }
    let record = pair.dialer.poll_transmit(at(1)).unwrap();
    assert_eq!(record.len(), 2 + 100 * 10 + 16);
    assert_eq!(pair.dialer.poll_transmit(at(1)), None);
}

#[test]
fn what_the_network_has_not_taken_stays_within_the_window() {
    for window_bytes in [1, 100, 4_096, 40_000] {
        let settings = LinkSettings {
            window_bytes,
            ..LinkSettings::default()
        };
        let security = &both()[1];
        let mut pair = Pair::with(security, security, &settings);
        pair.dialer.send(at(0), &hello("app@10.0.0.1")).unwrap();
        pair.carry(at(0), usize::MAX).unwrap();
        pair.at_acceptor.clear();
        let mut expected = Vec::new();
        for number in 0..300 {
            let frame = if number % 30 == 29 {
                view(700)
            } else {
                Frame::Pong(number)
            };
            pair.dialer.send(at(1), &frame).unwrap();
            expected.push(LinkEvent::Frame(frame));
        }
        let mut taken = Vec::new();
        loop {
            let mut records: Vec<_> =
                core::iter::from_fn(|| pair.dialer.poll_transmit(at(1))).collect();
            let flying: usize = records.iter().map(Bytes::len).sum();
            assert!(
                records.len() <= 1 || flying <= window_bytes,
                "{flying} > {window_bytes}"
            );
            if records.is_empty() {
                break;
            }
            pair.dialer.written(at(1), flying);
            taken.append(&mut records);
        }
        for record in taken {
            let (guard, events) = (&mut pair.guard, &mut pair.at_acceptor);
            pair.acceptor
                .receive(at(1), &record, guard, events)
                .unwrap();
        }
        assert!(pair.at_acceptor == expected, "window {window_bytes}");
    }
}

#[test]
fn a_full_control_lane_is_an_error_and_an_empty_one_takes_any_legal_frame() {
    let settings = LinkSettings {
        control_lane_bytes: 1_000,
        message_bytes_max: 100_000,
        ..LinkSettings::default()
    };
    let security = &both()[1];
    let mut pair = Pair::with(security, security, &settings);
    pair.dialer.send(at(0), &hello("app@10.0.0.1")).unwrap();
    pair.carry(at(0), usize::MAX).unwrap();

    pair.dialer.send(at(1), &view(4_000)).unwrap();
    assert_eq!(
        pair.dialer.send(at(1), &Frame::Offer),
        Err(CloseReason::ControlLaneFull)
    );
    pair.carry(at(1), usize::MAX).unwrap();
    for _ in 0..100 {
        pair.dialer.send(at(1), &Frame::Pong(1)).unwrap();
    }
    assert_eq!(
        pair.dialer.send(at(1), &Frame::Pong(1)),
        Err(CloseReason::ControlLaneFull)
    );
    pair.carry(at(1), usize::MAX).unwrap();

    assert_eq!(
        pair.dialer.send(at(1), &view(9_000)),
        Err(CloseReason::TooLarge)
    );
    assert_eq!(
        pair.dialer.poll_transmit(at(1)),
        None,
        "what was refused is not sent"
    );
}

#[test]
fn pings_to_a_peer_that_does_not_read_end_the_link() {
    let mut pair = Pair::standing(&both()[1]);
    let mut flood = || -> Result<(), CloseReason> {
        for number in 0..1_000_000 {
            pair.dialer.send(at(1), &Frame::Ping(number))?;
            let bytes = pair.dialer.poll_transmit(at(1)).unwrap();
            pair.dialer.written(at(1), bytes.len());
            pair.acceptor
                .receive(at(1), &bytes, &mut pair.guard, &mut pair.at_acceptor)?;
        }
        Ok(())
    };
    assert_eq!(flood(), Err(CloseReason::ControlLaneFull));
    assert!(pair.acceptor.held_bytes() < 4 << 20);
}

#[test]
fn a_cookie_that_is_being_replaced_is_accepted_and_not_offered() {
    let side = |current: &str, previous: Option<&str>| {
        let previous = previous.map(Cookie::new);
        Arc::new(Security::Cookie {
            current: Cookie::new(current),
            previous,
        })
    };
    for (dialer, acceptor, good) in [
        (side("old", None), side("old", Some("new")), true),
        (side("old", Some("new")), side("old", Some("new")), true),
        (side("new", Some("old")), side("old", Some("new")), true),
        (side("old", Some("new")), side("new", Some("old")), true),
        (side("new", None), side("new", Some("old")), true),
        (side("new", Some("old")), side("old", None), false),
        (side("old", None), side("new", None), false),
    ] {
        let mut pair = Pair::new(&dialer, &acceptor);
        pair.dialer.send(at(0), &hello("app@10.0.0.1")).unwrap();
        let carried = pair.carry(at(0), usize::MAX);
        assert_eq!(
            carried,
            if good {
                Ok(())
            } else {
                Err(CloseReason::WrongCookie)
            }
        );
        assert_eq!(pair.acceptor.is_authenticated(), good);
    }
}

#[test]
fn a_close_tells_the_peer_why_and_is_the_last_word() {
    for security in both() {
        let mut pair = Pair::standing(&security);
        let reason = CloseReason::StaleIncarnation {
            known: Incarnation(9),
        };
        pair.dialer.send(at(1), &Frame::Offer).unwrap();
        let farewell = pair.dialer.close(at(1), &reason).unwrap();
        assert_eq!(pair.dialer.poll_transmit(at(1)), None);
        assert_eq!(pair.dialer.deadline(), None);
        assert_eq!(pair.dialer.send(at(1), &Frame::Offer), Ok(()));
        let (guard, events) = (&mut pair.guard, &mut pair.at_acceptor);
        pair.acceptor
            .receive(at(1), &farewell, guard, events)
            .unwrap();
        pair.acceptor
            .receive(at(1), b"and then garbage", guard, events)
            .unwrap();
        // What was taken before goes before it, and nothing after it.
        let said = [Frame::Offer, Frame::Close(reason)].map(LinkEvent::Frame);
        assert_eq!(pair.at_acceptor, said);
        assert_eq!(pair.acceptor.deadline(), None);
    }
}

#[test]
fn a_frame_too_large_for_the_first_record_is_refused_at_the_sender() {
    let security = &both()[1];
    let mut link = Link::new(
        at(0),
        Role::Dialer,
        security,
        &LinkSettings::default(),
        [1; 32],
    );
    assert_eq!(link.send(at(0), &view(200)), Err(CloseReason::TooLarge));
    assert_eq!(link.send(at(0), &hello("app@10.0.0.1")), Ok(()));
    assert_eq!(link.send(at(0), &view(200)), Ok(()));
}

#[test]
fn sessions_differ_and_depend_on_both_seeds() {
    let session = |security: &Arc<Security>, dialer: u8, acceptor: u8| {
        let mut pair = Pair::new(security, security);
        let settings = LinkSettings::default();
        pair.dialer = Link::new(at(0), Role::Dialer, security, &settings, [dialer; 32]);
        pair.acceptor = Link::new(at(0), Role::Acceptor, security, &settings, [acceptor; 32]);
        pair.carry(at(0), usize::MAX).unwrap();
        pair.dialer.session()
    };
    for security in both() {
        let all = [(1, 2), (1, 3), (2, 1), (4, 2)].map(|(a, b)| session(&security, a, b));
        assert_eq!(BTreeSet::from(all).len(), all.len());
        assert_eq!(
            session(&security, 1, 2),
            all[0],
            "the same seeds give the same session"
        );
    }
}

#[test]
fn nothing_shows_a_secret() {
    let security = cookie("hunter2 hunter2 hunter2 hunter2 hunter2");
    let pair = Pair::standing(&security);
    let dialing = Link::new(
        at(0),
        Role::Dialer,
        &security,
        &LinkSettings::default(),
        [1; 32],
    );
    let shown = format!(
        "{security:?} {:?} {:?} {dialing:?}",
        pair.dialer, pair.acceptor
    );
    assert!(!shown.contains("hunter2"));
    assert_eq!(shown.matches("Cookie(..)").count(), 1);
    assert!(!shown.contains(['[', ']']), "no arrays of bytes: {shown}");
}

/// A frame of about 20 bytes per node.
fn view(nodes: u16) -> Frame {
    let node = |n: u16| format!("app@10.9.{}.{}", n >> 8, n & 0xff).parse().unwrap();
    Frame::Topology(TopologyFrame::Health {
        id: 1,
        ready: true,
        view_hash: 2,
        view: Some((0..nodes).map(node).collect()),
    })
}

/// What can happen at one end of a standing pair.
#[derive(Debug, Clone)]
enum Step {
    Send(bool, u16),
    Drain(bool),
    Deliver(bool, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (any::<bool>(), prop_oneof![0u16..5, 800u16..2_000]).prop_map(|(a, b)| Step::Send(a, b)),
        any::<bool>().prop_map(Step::Drain),
        (any::<bool>(), 1usize..20_000).prop_map(|(a, b)| Step::Deliver(a, b)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn late_draining_and_any_slicing_change_nothing_in_what_arrives(
        steps in vec(step(), 0..60),
        null in any::<bool>(),
    ) {
        let mut pair = Pair::standing(&both()[usize::from(null)]);
        let (mut sent, mut wire) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        let ends = [Step::Drain(false), Step::Drain(true), Step::Deliver(false, usize::MAX)];
        let last = [Step::Deliver(true, usize::MAX)];
        for step in steps.into_iter().chain(ends).chain(last) {
            match step {
                Step::Send(side, nodes) => {
                    let frame = if nodes == 0 { Frame::Offer } else { view(nodes) };
                    let link = if side { &mut pair.dialer } else { &mut pair.acceptor };
                    link.send(at(1), &frame).unwrap();
                    sent[usize::from(side)].push(LinkEvent::Frame(frame));
                }
                Step::Drain(side) => {
                    let link = if side { &mut pair.dialer } else { &mut pair.acceptor };
                    while let Some(bytes) = link.poll_transmit(at(1)) {
                        link.written(at(1), bytes.len());
                        wire[usize::from(side)].extend_from_slice(&bytes);
                    }
                }
                Step::Deliver(side, bytes) => {
                    let wire = &mut wire[usize::from(side)];
                    let bytes: Vec<_> = wire.drain(..wire.len().min(bytes)).collect();
                    if side {
                        let (guard, events) = (&mut pair.guard, &mut pair.at_acceptor);
                        pair.acceptor.receive(at(1), &bytes, guard, events).unwrap();
                    } else {
                        let (guard, events) = (&mut pair.guard, &mut pair.at_dialer);
                        pair.dialer.receive(at(1), &bytes, guard, events).unwrap();
                    }
                }
            }
        }
        prop_assert!(pair.at_acceptor == sent[1]);
        prop_assert!(pair.at_dialer == sent[0]);
    }
}

/// What goes out of a lane, put together again as a receiver does.
fn frames_of(lane: &mut lane::Lane, rooms: &[usize]) -> Vec<u8> {
    let (mut frames, mut pieces) = (Vec::new(), pieces::Pieces::new(Budget::alone()));
    let mut scratch = Vec::new();
    for room in rooms.iter().cycle() {
        if lane.is_empty() {
            return frames;
        }
        let Some(taken) = lane.take(2, *room, TEXT_BYTES_MAX.min(*room * 2), &mut scratch) else {
            continue;
        };
        assert!(taken.text.len() <= *room, "a record has room for it");
        let mut text = taken.text;
        while !text.is_empty() {
            let (frame, rest) = codec::split(text).expect("whole frames");
            if frame.kind == codec::kind::PIECE {
                let ended = pieces.take(at(1), frame.body, usize::MAX / 2);
                match ended.expect("a piece") {
                    Some(pieces::Ended::Whole(whole)) => frames.extend(whole),
                    Some(pieces::Ended::GivenUp(_)) => panic!("there is room"),
                    None => {}
                }
            } else {
                codec::put(frame.kind, frame.body, &mut frames);
            }
            text = rest;
        }
    }
    frames
}

proptest! {
    #[test]
    fn frames_leave_a_lane_whole_and_in_order_whether_copied_or_shared(
        sizes in vec(prop_oneof![0..300usize, 4_000..4_200usize, 60_000..140_000usize], 0..12),
        rooms in vec(1_000..TEXT_BYTES_MAX + 1, 1..6),
    ) {
        let (mut lane, mut expected) = (lane::Lane::default(), Vec::new());
        for (number, size) in sizes.into_iter().enumerate() {
            let body = Bytes::from(vec![number as u8; size]);
            let mut head = Vec::new();
            codec::put_header(codec::kind::MESSAGE, size + 3, &mut head);
            head.extend_from_slice(b"abc");
            lane.emptied_or_not().push(&head, &body);
            expected.extend_from_slice(&head);
            expected.extend_from_slice(&body);
        }
        let mut rooms = rooms;
        rooms.push(TEXT_BYTES_MAX);
        prop_assert!(frames_of(&mut lane, &rooms) == expected);
    }
}
