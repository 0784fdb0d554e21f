//! Strangers, recordings and members that break the protocol: each ends one connection, with the
//! right reason.

use super::*;
use crate::codec::kind;
use crate::secure::{FIRST_BYTES, GO_ON, MESSAGE_BYTES, STATUS_LIMIT, refusal_reason};

/// Before it is authenticated, a peer can make a node hold this much.
const HELD_MAX: usize = 4_096;

fn acceptor(security: &Arc<Security>) -> Link {
    Link::new(
        at(0),
        Role::Acceptor,
        security,
        &LinkSettings::default(),
        [2; 32],
    )
}

fn dialer(security: &Arc<Security>) -> Link {
    Link::new(
        at(0),
        Role::Dialer,
        security,
        &LinkSettings::default(),
        [1; 32],
    )
}

/// All that a dialler sends to an acceptor in a good handshake: the first message, and a record.
fn recording(security: &Arc<Security>) -> (Bytes, Bytes) {
    let (mut from, mut to) = (dialer(security), acceptor(security));
    let (mut guard, mut events) = (ReplayGuard::new(), Vec::new());
    from.send(at(0), &hello("app@10.0.0.1")).unwrap();
    let first = from.poll_transmit(at(0)).unwrap();
    to.receive(at(0), &first, &mut guard, &mut events).unwrap();
    let second = to.poll_transmit(at(0)).unwrap();
    from.receive(at(0), &second, &mut guard, &mut events)
        .unwrap();
    (first, from.poll_transmit(at(0)).unwrap())
}

/// Feeds a stranger's bytes to a fresh acceptor, one by one and all at once.
fn judge(security: &Arc<Security>, bytes: &[u8]) -> Result<(), CloseReason> {
    let feed = |slice: usize| {
        let (mut link, mut guard, mut events) =
            (acceptor(security), ReplayGuard::new(), Vec::new());
        let fed = bytes.chunks(slice).try_for_each(|bytes| {
            let fed = link.receive(at(0), bytes, &mut guard, &mut events);
            assert!(
                link.held_bytes() <= HELD_MAX,
                "{} bytes held",
                link.held_bytes()
            );
            fed
        });
        assert_eq!(events, [], "no event of a peer that is not authenticated");
        assert!(!link.is_authenticated());
        fed
    };
    let fed = feed(1);
    assert_eq!(fed, feed(usize::MAX), "slicing makes no difference");
    fed
}

#[test]
fn the_first_bytes_of_a_stranger_are_judged_at_once() {
    let security = cookie("right");
    let lasso = |rest: &[u8]| [b"lasso", rest].concat();
    for (bytes, verdict) in [
        (
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            Err(CloseReason::Garbage),
        ),
        (
            b"\x16\x03\x01 a TLS hello".to_vec(),
            Err(CloseReason::Garbage),
        ),
        (vec![0; 1 << 20], Err(CloseReason::Garbage)),
        (b"lass".to_vec(), Ok(())),
        (b"lassi".to_vec(), Err(CloseReason::Garbage)),
        (lasso(&[1, 1]), Ok(())),
        (lasso(&[2]), Err(CloseReason::Version)),
        (lasso(&[0]), Err(CloseReason::Version)),
        (lasso(&[1, 0]), Err(CloseReason::Version)),
        (lasso(&[1, 9]), Err(CloseReason::Version)),
        ([lasso(&[1, 1, 0]), vec![7; 47]].concat(), Ok(())),
        (
            [lasso(&[1, 1, 0]), vec![7; 48]].concat(),
            Err(CloseReason::WrongCookie),
        ),
        (
            [lasso(&[1, 1, 0]), vec![7; 1 << 20]].concat(),
            Err(CloseReason::WrongCookie),
        ),
    ] {
        assert_eq!(
            judge(&security, &bytes),
            verdict,
            "{:?}",
            &bytes[..bytes.len().min(20)]
        );
    }
}

#[test]
fn what_follows_a_good_first_message_is_bounded_and_must_open() {
    for security in both() {
        let (first, record) = recording(&security);
        let after = |rest: &[u8]| judge(&security, &[&first, rest].concat());
        assert_eq!(after(&[]), Ok(()), "a first message and then silence");
        assert_eq!(after(&[0xff, 0xff]), Err(CloseReason::TooLarge));
        assert_eq!(after(&[0x06, 0x01, 0]), Err(CloseReason::TooLarge));
        assert_eq!(after(&[0x06, 0x00, 0]), Ok(()), "1,536 bytes may come");
        assert_eq!(
            after(&[&[0x06, 0x00], [1; 1_535].as_slice()].concat()),
            Ok(())
        );
        assert_eq!(
            after(&[&[0x06, 0x00], [1; 1_536].as_slice()].concat()),
            Err(CloseReason::BadRecord)
        );
        assert_eq!(after(&[0, 0]), Err(CloseReason::BadRecord));
        assert_eq!(
            after(&[0, 15, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
            Err(CloseReason::BadRecord)
        );
        let mut damaged = record.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(after(&damaged), Err(CloseReason::BadRecord));
    }
}

#[test]
fn an_acceptor_that_holds_its_own_greeting_still_holds_little() {
    for security in both() {
        let (first, _) = recording(&security);
        let (mut link, mut guard) = (acceptor(&security), ReplayGuard::new());
        link.send(at(0), &hello("app@10.0.0.2")).unwrap();
        let bytes = [&first, [0x06, 0x00].as_slice(), &[1; 1_535]].concat();
        link.receive(at(0), &bytes, &mut guard, &mut Vec::new())
            .unwrap();
        assert!(
            link.held_bytes() <= HELD_MAX,
            "{} bytes held",
            link.held_bytes()
        );
        let answer = link.poll_transmit(at(0)).unwrap();
        assert_eq!(answer.len(), 1 + MESSAGE_BYTES);
        assert_eq!(
            link.poll_transmit(at(0)),
            None,
            "nothing sealed goes to a stranger"
        );
    }
}

#[test]
fn a_dialer_holds_little_of_whoever_answers() {
    for security in both() {
        for (answer, verdict) in [
            (vec![GO_ON; 1 << 20], Err(CloseReason::NotLasso)),
            (vec![GO_ON; 49], Err(CloseReason::NotLasso)),
            (vec![GO_ON; 48], Ok(())),
            (vec![2; 1 << 20], Err(CloseReason::NotLasso)),
            (vec![2; 1], Ok(())),
        ] {
            let (mut link, mut guard, mut events) =
                (dialer(&security), ReplayGuard::new(), Vec::new());
            link.send(at(0), &hello("app@10.0.0.1")).unwrap();
            link.poll_transmit(at(0)).unwrap();
            for slice in [1, usize::MAX] {
                let fed = answer.chunks(slice).try_for_each(|bytes| {
                    let fed = link.receive(at(0), bytes, &mut guard, &mut events);
                    assert!(
                        link.held_bytes() <= HELD_MAX,
                        "{} bytes held",
                        link.held_bytes()
                    );
                    fed
                });
                if matches!(&*security, Security::Cookie { .. }) && slice == 1 {
                    assert_eq!(fed, verdict);
                }
            }
        }
    }
}

#[test]
fn a_replayed_first_message_is_refused_and_told_so() {
    for security in both() {
        let (first, record) = recording(&security);
        let (mut guard, mut events) = (ReplayGuard::new(), Vec::new());
        acceptor(&security)
            .receive(at(0), &first, &mut guard, &mut events)
            .unwrap();
        let mut link = acceptor(&security);
        let whole = [first, record].concat();
        let refused = link.receive(at(0), &whole, &mut guard, &mut events);
        assert_eq!(refused, Err(CloseReason::Replayed));
        assert_eq!(
            link.close(at(0), &CloseReason::Replayed).as_deref(),
            Some([5].as_slice())
        );
        assert_eq!(events, []);
    }
}

#[test]
fn a_recording_played_to_another_node_does_not_open() {
    let security = cookie("right");
    let (first, record) = recording(&security);
    let mut link = Link::new(
        at(0),
        Role::Acceptor,
        &security,
        &LinkSettings::default(),
        [3; 32],
    );
    let (mut guard, mut events) = (ReplayGuard::new(), Vec::new());
    let fed = link.receive(at(0), &[first, record].concat(), &mut guard, &mut events);
    assert_eq!(fed, Err(CloseReason::BadRecord));
    assert_eq!(events, []);
}

#[test]
fn a_refusal_is_one_byte_and_counts_once_nothing_has_followed_it() {
    for security in both() {
        for status in 1..STATUS_LIMIT {
            let (mut link, mut guard, mut events) =
                (dialer(&security), ReplayGuard::new(), Vec::new());
            link.receive(at(0), &[status], &mut guard, &mut events)
                .unwrap();
            assert_eq!(events, []);
            assert_eq!(link.last_word(), Some(refusal_reason(status)));
            assert_eq!(
                link.close(at(0), &CloseReason::Left),
                None,
                "there is nobody to tell"
            );
        }
    }
}

/// The first bytes of services that a node may find at an address, and whether they then close.
const OTHER_SERVICES: [(&str, &[u8]); 14] = [
    ("HTTP", b"HTTP/1.1 400 Bad Request\r\n"),
    ("TLS alert", &[0x15, 3, 1, 0, 2, 2, 70]),
    ("Redis", b"-ERR unknown command\r\n"),
    ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
    ("echo", b"lasso\x01\x01\x00"),
    ("HTTP/2", &[0, 0, 18, 4, 0, 0, 0, 0, 0]),
    ("zeros", &[0; 64]),
    ("one zero", &[0]),
    ("RDP", &[3, 0, 0, 19, 14, 208]),
    ("DNS", &[0, 12, 0, 0, 128, 1]),
    ("MySQL", &[74, 0, 0, 0, 10]),
    ("telnet", &[255, 253, 1]),
    ("a start like a wrong cookie's", &[3, 3]),
    ("text", b"220 mail\r\n"),
];

#[test]
fn another_service_is_named_for_what_it_is_however_its_bytes_are_sliced() {
    for security in both() {
        for (service, says) in OTHER_SERVICES {
            for slice in [1, usize::MAX] {
                let (mut link, mut guard, mut events) =
                    (dialer(&security), ReplayGuard::new(), Vec::new());
                let fed = says
                    .chunks(slice.min(says.len()))
                    .try_for_each(|bytes| link.receive(at(0), bytes, &mut guard, &mut events));
                let named = fed.err().or(link.last_word());
                let zeros_are_the_null_cipher =
                    service == "zeros" && matches!(&*security, Security::InsecureNull);
                if !zeros_are_the_null_cipher {
                    assert_eq!(named, Some(CloseReason::NotLasso), "{service}");
                }
                assert_eq!(events, [], "{service}");
            }
        }
    }
}

#[test]
fn a_service_that_begins_to_answer_and_waits_is_named_when_the_time_is_over() {
    for (says, named) in [
        (vec![], CloseReason::HandshakeTimeout),
        (vec![GO_ON; 9], CloseReason::NotLasso),
        (vec![3], CloseReason::NotLasso),
    ] {
        let (mut link, mut guard, mut events) =
            (dialer(&cookie("right")), ReplayGuard::new(), Vec::new());
        link.receive(at(0), &says, &mut guard, &mut events).unwrap();
        let late = link.deadline().expect("a handshake has an end");
        assert_eq!(link.tick(late, &mut events), Err(named));
    }
}

#[test]
fn a_wrong_cookie_is_refused_and_both_sides_know_it() {
    let mut pair = Pair::new(&cookie("one"), &cookie("another"));
    pair.dialer.send(at(0), &hello("app@10.0.0.1")).unwrap();
    assert_eq!(pair.carry(at(0), usize::MAX), Err(CloseReason::WrongCookie));
    let status = pair
        .acceptor
        .close(at(0), &CloseReason::WrongCookie)
        .unwrap();
    pair.dialer
        .receive(at(0), &status, &mut pair.guard, &mut pair.at_dialer)
        .unwrap();
    assert_eq!(pair.dialer.last_word(), Some(CloseReason::WrongCookie));
    assert_eq!(pair.at_acceptor, []);
}

#[test]
fn the_null_cipher_and_a_real_one_do_not_link_up() {
    let [noise, null] = both();
    for (dialer, acceptor) in [(&noise, &null), (&null, &noise)] {
        let mut pair = Pair::new(dialer, acceptor);
        assert_eq!(pair.carry(at(0), usize::MAX), Err(CloseReason::Version));
    }
}

/// What a member says that breaks the protocol, as the text of records.
#[test]
fn a_member_that_breaks_the_protocol_loses_its_link() {
    let encoded = |frames: &[Frame]| {
        let mut text = Vec::new();
        frames
            .iter()
            .for_each(|frame| codec::encode(frame, &mut text));
        text
    };
    let piece = |lane: u8, flags: u8, bytes: &[u8]| {
        let mut text = Vec::new();
        codec::put(kind::PIECE, &[&[lane, flags], bytes].concat(), &mut text);
        text
    };
    let greeting = encoded(&[hello("app@10.0.0.1")]);
    let greeted = |then: Vec<u8>| vec![greeting.clone(), then];
    let garbage = Err(CloseReason::Garbage);
    for (what, texts, verdict) in [
        ("greeting", greeted(vec![]), Ok(())),
        (
            "close first",
            vec![encoded(&[Frame::Close(CloseReason::Left)])],
            Ok(()),
        ),
        (
            "heartbeat first",
            vec![encoded(&[Frame::Heartbeat])],
            garbage.clone(),
        ),
        (
            "ping first",
            vec![encoded(&[Frame::Ping(1)])],
            garbage.clone(),
        ),
        ("unknown first", vec![vec![200, 0]], garbage.clone()),
        ("piece first", vec![piece(0, 1, &greeting)], garbage.clone()),
        ("two greetings", greeted(greeting.clone()), garbage.clone()),
        ("cut off", greeted(vec![5]), garbage.clone()),
        (
            "longer than its record",
            greeted(vec![5, 1]),
            garbage.clone(),
        ),
        (
            "not its kind's body",
            greeted(vec![kind::PING, 1, 0]),
            garbage.clone(),
        ),
        ("unknown kind", greeted(vec![200, 2, 1, 1, 5, 0]), Ok(())),
        (
            "empty piece",
            greeted(vec![kind::PIECE, 1, 0]),
            garbage.clone(),
        ),
        (
            "piece of an unknown lane",
            greeted(piece(9, 1, b"what?")),
            Ok(()),
        ),
        (
            "piece",
            greeted(piece(0, 1, &encoded(&[Frame::Offer]))),
            Ok(()),
        ),
        (
            "piece within a piece",
            greeted(piece(0, 1, &piece(0, 1, &[5, 0]))),
            garbage.clone(),
        ),
        (
            "a whole that is cut off",
            greeted(piece(0, 1, &[5, 1])),
            garbage.clone(),
        ),
        (
            "two frames in one whole",
            greeted(piece(0, 1, &[5, 0, 5, 0])),
            garbage.clone(),
        ),
        (
            "announced beyond 16 MiB",
            greeted(piece(1, 0, &[5, 0x81, 0x84, 0x80, 0x08])),
            Err(CloseReason::TooLarge),
        ),
    ] {
        for security in both() {
            let mut pair = Pair::new(&security, &security);
            pair.carry(at(0), usize::MAX).unwrap();
            let Stage::Sealed(session) = &mut pair.dialer.stage else {
                unreachable!()
            };
            let mut bytes = Vec::new();
            texts
                .iter()
                .for_each(|text| bytes.extend(session.outbound.seal(text)));
            let (guard, events) = (&mut pair.guard, &mut pair.at_acceptor);
            let fed = pair.acceptor.receive(at(0), &bytes, guard, events);
            assert_eq!(fed, verdict, "{what}");
            if let Err(reason) = verdict.clone() {
                assert_eq!(pair.acceptor.receive(at(0), &bytes, guard, events), Ok(()));
                let farewell = pair.acceptor.close(at(0), &reason).unwrap();
                pair.dialer
                    .receive(at(0), &farewell, guard, &mut pair.at_dialer)
                    .unwrap();
                assert_eq!(pair.at_dialer, [LinkEvent::Frame(Frame::Close(reason))]);
            }
        }
    }
}

#[test]
fn pieces_beyond_the_largest_message_end_the_link() {
    let settings = LinkSettings {
        message_bytes_max: 100_000,
        ..LinkSettings::default()
    };
    let security = &both()[1];
    let mut pair = Pair::standing(security);
    let Stage::Sealed(halves) = &mut pair.acceptor.stage else {
        unreachable!()
    };
    halves.inbound.message_bytes_max = settings.message_bytes_max;
    push_message(&pair.dialer, 90_000);
    pair.carry(at(1), usize::MAX).unwrap();
    assert_eq!(pair.at_acceptor.len(), 1);
    push_message(&pair.dialer, 150_000);
    assert_eq!(pair.carry(at(1), usize::MAX), Err(CloseReason::TooLarge));
    assert!(pair.acceptor.held_bytes() < 200_000);
}

/// Puts a piece into the lane for messages.
fn push_piece(link: &Link, flags: u8, bytes: &[u8]) {
    let body = [&[LaneId::Data as u8, flags], bytes].concat();
    let mut frame = Vec::new();
    codec::put(kind::PIECE, &body, &mut frame);
    let pushed = link
        .lanes()
        .lock()
        .push(LaneId::Data, &frame, &Bytes::new());
    assert!(pushed.is_ok());
}

/// The first piece of a message that says that it has 100,000 bytes.
fn first_piece() -> Vec<u8> {
    let mut piece = Vec::new();
    codec::put_header(kind::MESSAGE, 100_000, &mut piece);
    piece.resize(50_000, 7);
    piece
}

#[test]
fn a_message_that_is_never_ended_is_given_up_and_its_end_is_told() {
    let mut pair = Pair::standing(&both()[1]);
    let shared = Arc::new(Mutex::new(Unfinished::new(&LinkSettings::default())));
    let budget = Budget::of(&shared, [10, 0, 0, 1].into());
    push_piece(&pair.dialer, 0, &first_piece()[..20_000]);
    pair.carry(at(1), usize::MAX).unwrap();
    // What has come counts towards the node's budget from then on.
    pair.acceptor.share(at(1), budget.clone());
    assert_eq!(budget.shared.lock().held(), 20_000);
    push_piece(&pair.dialer, 0, &first_piece()[20_000..]);
    pair.carry(at(1), usize::MAX).unwrap();
    assert!(budget.shared.lock().held() >= 50_000);
    // Heartbeats keep the link, and not what it has begun.
    pair.dialer.send(at(20), &Frame::Heartbeat).unwrap();
    pair.carry(at(20), usize::MAX).unwrap();
    assert_eq!(budget.shared.lock().deadline(), Some(at(31)));
    expire(&budget.shared, at(31));
    assert_eq!(budget.shared.lock().held(), 0);
    assert!(pair.acceptor.held_bytes() < 200_000);
    assert_eq!(budget.shared.lock().counters().expired, 1);

    push_piece(&pair.dialer, 0, &[7; 30_000]);
    pair.carry(at(32), usize::MAX).unwrap();
    assert_eq!(
        (budget.shared.lock().held(), pair.at_acceptor.len()),
        (0, 0)
    );
    push_piece(&pair.dialer, 1, &[7; 20_004]);
    pair.carry(at(33), usize::MAX).unwrap();
    let start = Bytes::copy_from_slice(&first_piece()[..64]);
    assert_eq!(pair.at_acceptor, [LinkEvent::GivenUp(start)]);
    // The next one is whole again.
    pair.at_acceptor.clear();
    let message = push_message(&pair.dialer, 90_000);
    pair.carry(at(34), usize::MAX).unwrap();
    assert_eq!(pair.at_acceptor, [LinkEvent::Text(message)]);
}

#[test]
fn a_message_without_room_for_its_first_piece_is_told_by_its_start() {
    let settings = LinkSettings {
        unfinished_bytes_max: 60_000,
        ..LinkSettings::default()
    };
    let shared = Arc::new(Mutex::new(Unfinished::new(&settings)));
    let standing = |host: u8| {
        let mut pair = Pair::standing(&both()[1]);
        let budget = Budget::of(&shared, [10, 0, 0, host].into());
        pair.acceptor.share(at(0), budget);
        pair
    };
    let mut pairs: Vec<Pair> = (0..2).map(standing).collect();
    let mut head = first_piece();
    head.truncate(25_000);
    for (pair, bytes) in pairs.iter_mut().zip([25_000, 50_000]) {
        head.resize(bytes, 7);
        push_piece(&pair.dialer, 0, &head);
        pair.carry(at(1), usize::MAX).unwrap();
    }
    // The first one holds less than an even share, so the second one finds no room.
    assert_eq!(shared.lock().counters().shed, 1);
    assert_eq!(shared.lock().held(), 25_000);
    push_piece(&pairs[1].dialer, 1, &[7; 50_000]);
    pairs[1].carry(at(1), usize::MAX).unwrap();
    let start = Bytes::copy_from_slice(&first_piece()[..64]);
    assert_eq!(pairs[1].at_acceptor, [LinkEvent::GivenUp(start)]);
    drop(pairs);
    assert_eq!(shared.lock().held(), 0, "a link that is gone holds nothing");
    shared.lock().assert_invariants();
}

proptest! {
    #[test]
    fn no_bytes_of_a_stranger_do_harm(
        prefix in 0..=FIRST_BYTES,
        bytes in vec(any::<u8>(), 0..5_000),
        null in any::<bool>(),
    ) {
        let security = &both()[usize::from(null)];
        let (first, _) = recording(security);
        let verdict = judge(security, &[&first[..prefix], &bytes].concat());
        prop_assert!(bytes.len() < 5_000 || verdict.is_err() || prefix == FIRST_BYTES);
    }

    #[test]
    fn a_damaged_byte_anywhere_ends_the_handshake_without_an_event(
        at_byte in any::<proptest::sample::Index>(),
        damage in 1u8..,
    ) {
        let security = cookie("right");
        let (first, record) = recording(&security);
        let mut bytes = [first, record].concat();
        let at_byte = at_byte.index(bytes.len());
        bytes[at_byte] ^= damage;
        let verdict = judge(&security, &bytes);
        match at_byte {
            0..5 => prop_assert_eq!(verdict, Err(CloseReason::Garbage)),
            5..7 => prop_assert_eq!(verdict, Err(CloseReason::Version)),
            7..56 => prop_assert_eq!(verdict, Err(CloseReason::WrongCookie)),
            // A longer length waits for what never comes, and ends by time.
            56..58 => prop_assert!(verdict.is_ok() || verdict == Err(CloseReason::TooLarge)
                || verdict == Err(CloseReason::BadRecord)),
            _ => prop_assert_eq!(verdict, Err(CloseReason::BadRecord)),
        }
    }

    #[test]
    fn no_text_of_a_member_does_harm(texts in vec(vec(any::<u8>(), 0..200), 1..4)) {
        let mut pair = Pair::standing(&both()[1]);
        let Stage::Sealed(session) = &mut pair.dialer.stage else { unreachable!() };
        let mut bytes = Vec::new();
        texts.iter().for_each(|text| bytes.extend(session.outbound.seal(text)));
        let (guard, events) = (&mut pair.guard, &mut pair.at_acceptor);
        let _ = pair.acceptor.receive(at(0), &bytes, guard, events);
        prop_assert!(pair.acceptor.held_bytes() < 8_192);
    }

    /// Whoever sits on the wire can end a link; it cannot change what is said.
    #[test]
    fn a_wire_that_damages_drops_repeats_or_swaps_records_ends_the_link_and_forges_nothing(
        // Greater numbers are those of probes, whose answers the link takes for itself.
        numbers in vec(0..1u64 << 63, 3..20),
        fault in 0..4,
        place in any::<proptest::sample::Index>(),
        damage in 1u8..,
    ) {
        let mut pair = Pair::standing(&both()[0]);
        let (mut sent, mut records) = (Vec::new(), Vec::new());
        for number in numbers {
            pair.dialer.send(at(1), &Frame::Pong(number)).unwrap();
            sent.push(LinkEvent::Frame(Frame::Pong(number)));
            records.push(pair.dialer.poll_transmit(at(1)).unwrap().to_vec());
        }
        let hit = place.index(records.len() - 1);
        match fault {
            0 => {
                let byte = place.index(records[hit].len());
                records[hit][byte] ^= damage;
            }
            1 => drop(records.remove(hit)),
            2 => records.insert(hit, records[hit].clone()),
            _ => records.swap(hit, hit + 1),
        }
        let (guard, events) = (&mut pair.guard, &mut pair.at_acceptor);
        let fed = pair.acceptor.receive(at(1), &records.concat(), guard, events);
        // A longer length may wait for bytes that never come; time ends that.
        prop_assert!(fed == Err(CloseReason::BadRecord) || (fault == 0 && fed.is_ok()));
        let whole = if fault == 2 { hit + 1 } else { hit };
        prop_assert_eq!(&events[..], &sent[..whole]);
    }
}
