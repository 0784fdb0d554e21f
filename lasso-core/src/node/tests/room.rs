//! Members that hold the cookie and have more names than there is room for.

use super::members::{Room, hello};
use super::*;

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
