mod line;

use core::time::Duration;

use super::*;
use crate::scenario::Latency;
use crate::world::Cut;

const FAULT: FaultId = FaultId(7);
const PORT: u16 = 9155;
const LATENCY: Duration = Duration::from_millis(10);
const BOTH: [(u32, u32); 2] = [(0, 1), (1, 0)];

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

/// Two hosts 10 ms apart; host 1 listens.
fn two() -> Fabric {
    let shape = Shape {
        latency: Latency::Range(LATENCY, LATENCY),
        ..Shape::default()
    };
    let mut fabric = Fabric::new(1, 2, shape);
    fabric.listen(1, PORT);
    fabric
}

/// Everything that happens until `until`, with the time at which it does.
fn run(fabric: &mut Fabric, until: Instant) -> Vec<(u64, Effect)> {
    let mut seen = Vec::new();
    loop {
        let due = fabric.poll_timeout().filter(|due| *due <= until);
        if let Some(due) = due {
            fabric.advance(due);
        }
        while let Some(effect) = fabric.poll_effect() {
            let when = match effect {
                Effect::Arrives { at, .. } | Effect::Closed { at, .. } => at,
                Effect::Connected { .. } | Effect::Room { .. } => due.unwrap_or(until),
            };
            seen.push((when.since_start().as_millis() as u64, effect));
        }
        if due.is_none() {
            seen.sort_by_key(|(when, _)| *when);
            return seen;
        }
    }
}

fn connected() -> (Fabric, Conn) {
    let mut fabric = two();
    let conn = fabric.connect(at(0), 0, 1, PORT);
    let seen = run(&mut fabric, at(100));
    let (end, chunk) = (End::Acceptor, Chunk::Accept);
    assert_eq!(
        seen,
        [
            (20, Effect::Connected { conn }),
            (
                30,
                Effect::Arrives {
                    conn,
                    end,
                    chunk,
                    at: at(30)
                }
            )
        ]
    );
    (fabric, conn)
}

#[test]
fn bytes_take_the_latency_of_their_path_and_keep_their_order() {
    let (mut fabric, conn) = connected();
    for n in 0..10 {
        let sent = fabric.write(at(200 + n), conn, End::Dialler, 100);
        assert_eq!(
            sent,
            Sent {
                bytes: 100,
                arrives: Some(at(210 + n))
            }
        );
    }
}

#[test]
fn nobody_listening_is_a_refusal_after_one_round_trip() {
    let mut fabric = two();
    let conn = fabric.connect(at(0), 0, 1, 80);
    let error = NetError::Refused;
    let closed = Effect::Closed {
        conn,
        end: End::Dialler,
        error,
        at: at(20),
    };
    assert_eq!(run(&mut fabric, at(100)), [(20, closed)]);
    fabric.finish(conn, End::Dialler);
    assert!(!fabric.is_live(conn));
}

#[test]
fn a_connect_through_a_cut_succeeds_at_the_next_try_after_the_heal() {
    for path in BOTH {
        let mut fabric = two();
        fabric.cut(at(0), &[path], Cut::Stall, FAULT);
        let conn = fabric.connect(at(0), 0, 1, PORT);
        assert_eq!(run(&mut fabric, at(3_500)), []);
        fabric.heal(at(3_500), &[path]);
        let seen = run(&mut fabric, at(8_000));
        assert_eq!(seen[0], (7_020, Effect::Connected { conn }));
        assert_eq!(
            fabric.effects_of(FAULT),
            3,
            "tries after 0, 1 and 3 seconds"
        );
    }
}

#[test]
fn a_stalled_stream_wakes_up_when_its_kernel_tries_again() {
    let (mut fabric, conn) = connected();
    fabric.cut(at(1_000), &BOTH, Cut::Stall, FAULT);
    let sent = fabric.write(at(1_000), conn, End::Dialler, 10);
    assert_eq!(
        sent,
        Sent {
            bytes: 10,
            arrives: None
        }
    );
    assert_eq!(run(&mut fabric, at(30_000)), []);
    fabric.heal(at(30_000), &BOTH);
    // Time-out 220 ms, doubling: tries 220 ms × (2ⁿ − 1) after the write.
    let wakes = at(1_000 + 220 * 255 + 10);
    let (end, chunk) = (End::Acceptor, Chunk::Data(10));
    let seen = run(&mut fabric, at(120_000));
    assert_eq!(seen.len(), 1);
    assert_eq!(
        seen[0].1,
        Effect::Arrives {
            conn,
            end,
            chunk,
            at: wakes
        }
    );
    assert_eq!(fabric.effects_of(FAULT), 1);
}

#[test]
fn what_waits_arrives_in_order_with_the_end_last() {
    let (mut fabric, conn) = connected();
    fabric.cut(at(1_000), &BOTH, Cut::Stall, FAULT);
    for bytes in [1, 2, 3] {
        assert_eq!(
            fabric.write(at(1_000), conn, End::Acceptor, bytes).arrives,
            None
        );
    }
    assert_eq!(fabric.close(at(1_100), conn, End::Acceptor), None);
    fabric.heal(at(2_000), &BOTH);
    let chunks: Vec<_> = run(&mut fabric, at(5_000))
        .into_iter()
        .map(|(when, effect)| match effect {
            Effect::Arrives {
                chunk,
                end: End::Dialler,
                ..
            } => (when, chunk),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [Chunk::Data(1), Chunk::Data(2), Chunk::Data(3), Chunk::Fin];
    assert_eq!(chunks, expected.map(|chunk| (2_550, chunk)));
}

#[test]
fn with_one_direction_cut_a_burst_gets_through_the_other_and_then_nothing() {
    let (mut fabric, conn) = connected();
    fabric.cut(at(1_000), &[(1, 0)], Cut::Stall, FAULT);
    assert_eq!(
        fabric.write(at(1_000), conn, End::Dialler, 10).arrives,
        Some(at(1_010))
    );
    assert_eq!(
        fabric.write(at(1_100), conn, End::Dialler, 10).arrives,
        Some(at(1_110))
    );
    assert_eq!(
        fabric.write(at(2_000), conn, End::Dialler, 10).arrives,
        None
    );
    // The kernel tries the first piece again and again, which the other side has.
    assert_eq!(run(&mut fabric, at(60_000)), []);
    assert_eq!(
        fabric.write(at(60_000), conn, End::Dialler, 10).arrives,
        None
    );
    assert_eq!(run(&mut fabric, at(100_000)), []);
}

#[test]
fn held_bytes_go_on_the_moment_they_are_released() {
    let (mut fabric, conn) = connected();
    fabric.hold(at(1_000), &BOTH, FAULT);
    assert_eq!(
        fabric.write(at(1_000), conn, End::Dialler, 10).arrives,
        None
    );
    let late = fabric.connect(at(1_000), 0, 1, PORT);
    assert_eq!(run(&mut fabric, at(9_000)), []);
    fabric.let_go(at(9_000), &BOTH);
    let seen = run(&mut fabric, at(9_500));
    let (end, chunk) = (End::Acceptor, Chunk::Data(10));
    assert_eq!(
        seen[0].1,
        Effect::Arrives {
            conn,
            end,
            chunk,
            at: at(9_010)
        }
    );
    assert_eq!(seen[1], (9_020, Effect::Connected { conn: late }));
    assert!(fabric.effects_of(FAULT) >= 2);
}

#[test]
fn a_resetting_cut_resets_what_stands_and_refuses_what_comes() {
    let (mut fabric, conn) = connected();
    fabric.cut(at(1_000), &BOTH, Cut::Reset, FAULT);
    let error = NetError::Reset;
    let closed = |end| {
        (
            1_000,
            Effect::Closed {
                conn,
                end,
                error,
                at: at(1_000),
            },
        )
    };
    assert_eq!(
        run(&mut fabric, at(1_000)),
        [closed(End::Dialler), closed(End::Acceptor)]
    );
    fabric.finish(conn, End::Dialler);
    fabric.finish(conn, End::Acceptor);
    assert!(!fabric.is_live(conn));
    let again = fabric.connect(at(2_000), 0, 1, PORT);
    let (end, error) = (End::Dialler, NetError::Refused);
    let seen = run(&mut fabric, at(2_500));
    assert_eq!(
        seen,
        [(
            2_020,
            Effect::Closed {
                conn: again,
                end,
                error,
                at: at(2_020)
            }
        )]
    );
}

#[test]
fn a_dropping_cut_kills_what_stands_for_good_without_a_word() {
    let (mut fabric, conn) = connected();
    fabric.cut(at(1_000), &BOTH, Cut::Drop, FAULT);
    fabric.write(at(1_100), conn, End::Dialler, 10);
    fabric.heal(at(2_000), &BOTH);
    assert_eq!(run(&mut fabric, at(900_000)), []);
    let error = NetError::Reset;
    let closed = Effect::Closed {
        conn,
        end: End::Dialler,
        error,
        at: at(925_700),
    };
    assert_eq!(
        run(&mut fabric, at(1_000_000)),
        [(925_700, closed)],
        "the kernel gives up"
    );
    let again = fabric.connect(at(1_000_000), 0, 1, PORT);
    let seen = run(&mut fabric, at(1_001_000));
    assert_eq!(seen[0].1, Effect::Connected { conn: again });
}

#[test]
fn a_frozen_reader_fills_the_buffer_and_the_writer_goes_on_after_the_thaw() {
    let (mut fabric, conn) = connected();
    fabric.freeze(at(1_000), 1);
    let sent = fabric.write(at(1_000), conn, End::Dialler, BUFFER_BYTES + 5);
    assert_eq!(
        sent,
        Sent {
            bytes: BUFFER_BYTES,
            arrives: Some(at(1_010))
        }
    );
    assert_eq!(
        fabric.write(at(2_000), conn, End::Dialler, 5),
        Sent {
            bytes: 0,
            arrives: None
        }
    );
    assert_eq!(run(&mut fabric, at(60_000)), []);
    fabric.thaw(at(60_000), 1);
    let room = Effect::Room {
        conn,
        end: End::Dialler,
    };
    assert_eq!(run(&mut fabric, at(61_000)), [(60_010, room)]);
    assert_eq!(fabric.write(at(61_000), conn, End::Dialler, 5).bytes, 5);
}

#[test]
fn a_machine_that_is_off_says_nothing_and_one_that_is_back_resets() {
    let (mut fabric, conn) = connected();
    fabric.power_off(at(1_000), 1, FAULT);
    assert_eq!(
        fabric.write(at(1_000), conn, End::Dialler, 10).arrives,
        None
    );
    let hanging = fabric.connect(at(1_000), 0, 1, PORT);
    assert_eq!(run(&mut fabric, at(10_000)), []);
    fabric.power_on(at(10_000), 1);
    let (end, error) = (End::Dialler, NetError::Reset);
    let seen = run(&mut fabric, at(40_000));
    assert!(seen.iter().any(|(_, effect)| matches!(
        effect,
        Effect::Closed { conn: c, end: e, error: r, .. } if (*c, *e, *r) == (conn, end, error)
    )));
    let error = NetError::Refused;
    assert!(seen.iter().any(|(_, effect)| matches!(
        effect,
        Effect::Closed { conn: c, error: r, .. } if (*c, *r) == (hanging, error)
    )));
}

#[test]
fn a_closed_connection_ends_at_the_other_side_and_is_forgotten_by_both() {
    let (mut fabric, conn) = connected();
    assert_eq!(fabric.close(at(1_000), conn, End::Dialler), Some(at(1_010)));
    fabric.finish(conn, End::Acceptor);
    assert!(!fabric.is_live(conn));
}

#[test]
fn writing_to_a_closed_socket_is_answered_by_a_reset() {
    let (mut fabric, conn) = connected();
    fabric.close(at(1_000), conn, End::Acceptor);
    fabric.write(at(1_001), conn, End::Dialler, 10);
    let (end, error) = (End::Dialler, NetError::Reset);
    let seen = run(&mut fabric, at(2_000));
    assert_eq!(
        seen,
        [(
            1_021,
            Effect::Closed {
                conn,
                end,
                error,
                at: at(1_021)
            }
        )]
    );
}

#[test]
fn a_fault_on_one_link_changes_no_other() {
    let shape = Shape::default();
    let arrivals = |cut: bool| {
        let mut fabric = Fabric::new(9, 3, shape.clone());
        fabric.listen(1, PORT);
        fabric.listen(2, PORT);
        let first = fabric.connect(at(0), 0, 1, PORT);
        let second = fabric.connect(at(0), 0, 2, PORT);
        run(&mut fabric, at(100));
        if cut {
            fabric.cut(at(100), &BOTH, Cut::Stall, FAULT);
        }
        (0..50)
            .map(|n| {
                fabric.write(at(200 + n), first, End::Dialler, 10);
                fabric.write(at(200 + n), second, End::Dialler, 10).arrives
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(arrivals(false), arrivals(true));
}
