//! Paths with a bandwidth.

use super::*;

/// 1,448 bytes a second: one packet in each.
const PACKET: u32 = 1_448;

/// Two hosts, 10 ms apart, with a connection on which host 0 dialled host 1 before the line grew thin.
fn thin() -> (Fabric, Conn) {
    let (mut fabric, conn) = connected();
    let shape = Shape {
        latency: Latency::Range(LATENCY, LATENCY),
        bandwidth: Some(u64::from(PACKET)),
        ..Shape::default()
    };
    fabric.shape(0, 1, &shape, Some(FAULT));
    (fabric, conn)
}

/// When how many bytes reach the acceptor of a connection.
fn arrivals(seen: &[(u64, Effect)], of: Conn) -> Vec<(u64, u32)> {
    let data = |(when, effect): &(u64, Effect)| match effect {
        Effect::Arrives {
            conn,
            end: End::Acceptor,
            chunk: Chunk::Data(bytes),
            ..
        } if *conn == of => Some((*when, *bytes)),
        _ => None,
    };
    seen.iter().filter_map(data).collect()
}

#[test]
fn a_long_write_arrives_packet_by_packet() {
    let (mut fabric, conn) = thin();
    let sent = fabric.write(at(1_000), conn, End::Dialler, 3 * PACKET + 724);
    assert_eq!((sent.bytes, sent.arrives), (3 * PACKET + 724, None));
    let seen = run(&mut fabric, at(60_000));
    let wanted = [
        (2_010, PACKET),
        (3_010, PACKET),
        (4_010, PACKET),
        (4_510, 724),
    ];
    assert_eq!(arrivals(&seen, conn), wanted);
    assert_eq!(fabric.effects_of(FAULT), 4);
}

#[test]
fn streams_on_one_line_take_turns_and_a_connect_waits_for_one_packet() {
    let (mut fabric, first) = thin();
    fabric.write(at(1_000), first, End::Dialler, 4 * PACKET);
    let second = fabric.connect(at(1_500), 0, 1, PORT);
    let seen = run(&mut fabric, at(2_300));
    let connected = (2_020, Effect::Connected { conn: second });
    assert!(seen.contains(&connected), "{seen:?}");
    fabric.write(at(2_300), second, End::Dialler, 2 * PACKET);
    let seen = run(&mut fabric, at(60_000));
    let of_first: Vec<_> = arrivals(&seen, first).iter().map(|(at, _)| *at).collect();
    let of_second: Vec<_> = arrivals(&seen, second).iter().map(|(at, _)| *at).collect();
    assert_eq!(of_second, [5_010, 7_010]);
    assert_eq!(of_first, [4_010, 6_010]);
}

#[test]
fn a_reset_does_not_wait_for_what_has_not_left() {
    let (mut fabric, conn) = thin();
    fabric.write(at(1_000), conn, End::Dialler, 10 * PACKET);
    let mut seen = run(&mut fabric, at(2_500));
    fabric.abort(at(2_500), conn, End::Dialler);
    seen.extend(run(&mut fabric, at(60_000)));
    assert_eq!(arrivals(&seen, conn), [(2_010, PACKET), (3_010, PACKET)]);
    let closed = Effect::Closed {
        conn,
        end: End::Acceptor,
        error: NetError::Reset,
        at: at(3_010),
    };
    assert_eq!(seen.last(), Some(&(3_010, closed)));
}

#[test]
fn an_end_of_stream_comes_after_what_waits() {
    let (mut fabric, conn) = thin();
    fabric.write(at(1_000), conn, End::Dialler, 2 * PACKET);
    assert_eq!(fabric.close(at(1_000), conn, End::Dialler), None);
    let seen = run(&mut fabric, at(60_000));
    let fin = Effect::Arrives {
        conn,
        end: End::Acceptor,
        chunk: Chunk::Fin,
        at: at(3_010),
    };
    assert_eq!(arrivals(&seen, conn), [(2_010, PACKET), (3_010, PACKET)]);
    assert_eq!(seen.last(), Some(&(3_010, fin)));
}

#[test]
fn what_waits_for_the_line_survives_a_cut_in_its_order() {
    let (mut fabric, conn) = thin();
    fabric.write(at(1_000), conn, End::Dialler, 3 * PACKET);
    let mut seen = run(&mut fabric, at(1_500));
    fabric.cut(at(1_500), &BOTH, Cut::Stall, FAULT);
    seen.extend(run(&mut fabric, at(5_000)));
    fabric.write(at(5_000), conn, End::Dialler, 100);
    fabric.heal(at(9_000), &BOTH);
    seen.extend(run(&mut fabric, at(120_000)));
    let arrived = arrivals(&seen, conn);
    let bytes: Vec<_> = arrived.iter().map(|(_, bytes)| *bytes).collect();
    assert_eq!(bytes, [PACKET, PACKET, PACKET, 100]);
    assert!(arrived[1].0 > 9_000, "{arrived:?}");
    let gaps = arrived[1..].windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert_eq!(gaps.collect::<Vec<_>>(), [1_000, 69]);
}

#[test]
fn a_line_that_grows_wide_sends_the_rest_at_once() {
    let (mut fabric, conn) = thin();
    fabric.write(at(1_000), conn, End::Dialler, 3 * PACKET);
    run(&mut fabric, at(1_500));
    let wide = Shape {
        latency: Latency::Range(LATENCY, LATENCY),
        ..Shape::default()
    };
    fabric.shape(0, 1, &wide, None);
    fabric.write(at(1_500), conn, End::Dialler, 100);
    let seen = run(&mut fabric, at(60_000));
    let arrived = arrivals(&seen, conn);
    assert_eq!(
        arrived.iter().map(|(_, bytes)| bytes).sum::<u32>(),
        2 * PACKET + 100
    );
    assert!(
        arrived.iter().all(|(when, _)| *when == 2_010),
        "{arrived:?}"
    );
}

#[test]
fn a_writer_that_fills_the_buffer_hears_of_room() {
    let (mut fabric, conn) = thin();
    let sent = fabric.write(at(1_000), conn, End::Dialler, BUFFER_BYTES + 1);
    assert_eq!(sent.bytes, BUFFER_BYTES);
    let seen = run(&mut fabric, at(10_000));
    let room = Effect::Room {
        conn,
        end: End::Dialler,
    };
    assert!(seen.iter().any(|(_, effect)| *effect == room), "{seen:?}");
}
