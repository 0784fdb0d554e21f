//! Members that hold the cookie and have more names than there is room for.

use super::members::{Room, hello};
use super::*;
use crate::codec::{self, kind};
use crate::link::LaneId;

fn with(change: impl FnOnce(&mut crate::config::LinkSettings)) -> Room {
    let mut config = config(0);
    change(&mut config.settings.link);
    Room::of(config)
}

#[test]
fn a_newcomer_beyond_the_bound_is_refused_and_links_that_stand_stay() {
    let mut room = with(|link| link.links_max = 2);
    room.join(1, 1);
    room.join(2, 1);
    let third = room.greet(3, 1);
    assert_eq!(room.reason(third), Some("full"));
    assert_eq!(room.node.links().count(), 2);
    assert_eq!(room.node.counters().closed.get("full"), Some(&1));
    let full = |notice: &&Notice| matches!(notice, Notice::Refused { reason, .. } if *reason == CloseReason::Full);
    assert_eq!(room.notices.iter().filter(full).count(), 1);
    // One whose name is linked is judged as ever: the standing link answers.
    let later = room.greet(2, 2);
    assert_eq!(room.reason(later), Some("name_taken"));
}

#[test]
fn a_name_that_agrees_on_a_link_takes_its_place_already() {
    let mut room = with(|link| link.links_max = 2);
    room.join(1, 1);
    let second = room.greet(2, 1);
    let third = room.greet(3, 1);
    assert_eq!(room.reason(third), Some("full"));
    room.say(second, &Frame::Offer);
    assert!(room.node.link(&name(2)).is_some());
}

#[test]
fn one_address_with_many_names_leaves_room_for_others() {
    let mut room = with(|link| link.links_per_address = 2);
    for n in 1..=4 {
        let member = room.connect_from(1, n);
        room.say(member, &Frame::Hello(hello(n, 1)));
        let refused = (n > 2).then_some("full");
        assert_eq!(room.reason(member), refused, "{n}");
    }
    room.join(5, 1);
}

#[test]
fn twenty_names_of_one_process_with_messages_that_never_end_hold_a_bounded_share() {
    const MIB: usize = 1 << 20;
    let mut room = with(|_| {});
    let attackers: Vec<usize> = (1..=20)
        .map(|n| {
            let member = room.connect_from(1, n);
            room.say(member, &Frame::Hello(hello(n, 1)));
            room.say(member, &Frame::Offer);
            member
        })
        .collect();
    assert_eq!(room.node.links().count(), 20);
    let healthy = room.join(21, 1);
    // Each begins one of 16 MiB on both lanes, for which room is made soon, and never ends it.
    for lane in [LaneId::Calls, LaneId::Data] {
        for &member in &attackers {
            begin(&mut room, member, lane, 4 * MIB);
        }
    }
    assert!(room.node.unfinished_bytes() <= 64 * MIB, "it was 640 MiB");
    assert!(room.node.unfinished().shed >= 36);
    // Another one's message finds its share, and is put together while the attack goes on.
    let shed = room.node.unfinished().shed;
    begin(&mut room, healthy, LaneId::Data, 8 * MIB);
    for &member in &attackers {
        begin(&mut room, member, LaneId::Data, MIB);
    }
    piece(&mut room, healthy, LaneId::Data, &vec![0; 8 * MIB], true);
    let counters = *room.node.plane().lock().counters().0;
    assert_eq!(
        (counters.unfinished, counters.unwanted),
        (0, 1),
        "it came, and nobody wants it"
    );
    assert!(room.node.unfinished().shed > shed);
    // What does not grow is given up after half a minute, and all links still stand.
    room.now += Duration::from_secs(31);
    room.node.handle(room.now, Input::Tick);
    assert_eq!(room.node.unfinished_bytes(), 0);
    assert_eq!(room.node.links().count(), 21);
}

/// Sends so many bytes of a message, or of a call, of 16 MiB.
fn begin(room: &mut Room, member: usize, lane: LaneId, bytes: usize) {
    let (kind, head) = match lane {
        LaneId::Calls => (kind::CALL, [1, 100, 3, b's', b'u', b'm']),
        _ => (kind::MESSAGE, [0, 1, 1, 0, 0, 0]),
    };
    let mut start = Vec::new();
    codec::put_header(kind, 16 << 20, &mut start);
    let heads = start.len();
    start.extend_from_slice(&head);
    start.resize(heads + bytes, 0);
    piece(room, member, lane, &start, false);
}

/// Sends these bytes in as many pieces as they need.
fn piece(room: &mut Room, member: usize, lane: LaneId, bytes: &[u8], ends: bool) {
    let pieces: Vec<&[u8]> = bytes.chunks(60_000).collect();
    for (at, part) in pieces.iter().enumerate() {
        let is_last = ends && at + 1 == pieces.len();
        let body = [&[lane as u8, u8::from(is_last)], *part].concat();
        let mut frame = Vec::new();
        codec::put(kind::PIECE, &body, &mut frame);
        room.push(member, lane, &frame);
    }
}

#[test]
fn authenticated_connections_that_are_no_links_are_bounded() {
    let mut room = with(|link| link.pending_max = 3);
    for n in 1..=4 {
        let member = room.greet(n, 1);
        let refused = (n > 3).then_some("too_many_handshakes");
        assert_eq!(room.reason(member), refused, "{n}");
    }
    let mut room = with(|link| link.handshakes_per_address = 1);
    room.greet(1, 1);
    let member = room.connect_from(1, 2);
    room.say(member, &Frame::Hello(hello(2, 1)));
    assert_eq!(room.reason(member), Some("too_many_handshakes"));
    room.join(3, 1);
}
