//! A link whose halves were taken out: its last words, and what it costs while nobody reads.

use super::*;
use crate::codec::kind;

/// A standing pair whose dialler sends through the half that was taken out.
fn detached() -> (Pair, Outbound) {
    let mut pair = Pair::standing(&both()[1]);
    let halves = pair.dialer.detach().expect("it stands");
    (pair, halves.outbound)
}

fn push_message(pair: &Pair, bytes: usize) -> Result<(), LaneFull> {
    let (mut head, body) = (Vec::new(), Bytes::from(vec![7; bytes]));
    codec::put_header(kind::MESSAGE, bytes, &mut head);
    let mut lanes = pair.dialer.lanes().lock();
    lanes.push(LaneId::Data, &head, &body).map(drop)
}

/// Carries all that is left to the acceptor, until the half has said all.
fn carry_last_words(pair: &mut Pair, outbound: &mut Outbound) {
    loop {
        let mut record = Vec::new();
        match outbound.poll(at(1), None, &mut record) {
            Outflow::Record => {}
            Outflow::Idle => panic!("it is closed, and there is an end to what it says"),
            Outflow::Finished => return,
        }
        let (guard, events) = (&mut pair.guard, &mut pair.at_acceptor);
        let received = pair.acceptor.receive(at(1), &record, guard, events);
        received.expect("what it says is in order to its end");
    }
}

#[test]
fn a_close_comes_through_while_a_message_is_cut_and_the_rest_of_it_is_given_up() {
    let (mut pair, mut outbound) = detached();
    push_message(&pair, 1_000_000).unwrap();
    let mut piece = Vec::new();
    let first = outbound.poll(at(1), None, &mut piece);
    assert_eq!(first, Outflow::Record);
    let (guard, events) = (&mut pair.guard, &mut pair.at_acceptor);
    pair.acceptor.receive(at(1), &piece, guard, events).unwrap();

    assert_eq!(pair.dialer.close(at(1), &CloseReason::Duplicate), None);
    carry_last_words(&mut pair, &mut outbound);
    let close = LinkEvent::Frame(Frame::Close(CloseReason::Duplicate));
    assert_eq!(pair.at_acceptor, [close]);
    assert_eq!(pair.acceptor.deadline(), None);
}

#[test]
fn a_close_comes_behind_a_full_control_lane_and_before_all_messages() {
    let (mut pair, mut outbound) = detached();
    push_message(&pair, 1_000).unwrap();
    let mut sent = 0;
    while pair.dialer.send(at(1), &Frame::Pong(sent)).is_ok() {
        sent += 1;
    }
    assert_eq!(
        pair.dialer.close(at(1), &CloseReason::ControlLaneFull),
        None
    );
    assert!(push_message(&pair, 1_000).is_ok(), "taken, and never sent");
    carry_last_words(&mut pair, &mut outbound);
    let close = LinkEvent::Frame(Frame::Close(CloseReason::ControlLaneFull));
    assert_eq!(pair.at_acceptor.pop(), Some(close));
    let pongs = (0..sent).map(|number| LinkEvent::Frame(Frame::Pong(number)));
    assert!(pair.at_acceptor.iter().cloned().eq(pongs));
}

#[test]
fn a_peer_that_does_not_read_costs_its_lane_and_little_more() {
    let (pair, mut outbound) = detached();
    let most = LinkSettings::default().data_lane_bytes + (2 << 20);
    // What waits is fetched at the first record, and room for more is made anew.
    for _ in 0..3 {
        while push_message(&pair, 64).is_ok() {}
        let held = pair.dialer.lanes().lock().held_bytes() + outbound.held_bytes();
        assert!(held <= most, "{held} > {most}");
        let mut record = Vec::new();
        assert_eq!(outbound.poll(at(1), None, &mut record), Outflow::Record);
    }
}
