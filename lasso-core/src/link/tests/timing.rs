//! Heartbeats, silence and the handshake's deadline.

use super::*;

const T: Duration = Duration::from_secs(60);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What a link did until it ended, with the times.
struct Silence {
    sent: Vec<Instant>,
    told: Vec<(Instant, LinkEvent)>,
    ended: (Instant, CloseReason),
}

/// Runs a link that hears nothing until it ends.
fn run_in_silence(link: &mut Link) -> Silence {
    let (mut events, mut told, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let now = link
            .deadline()
            .expect("a link that stands has something to wait for");
        if let Err(reason) = link.tick(now, &mut events) {
            return Silence {
                sent,
                told,
                ended: (now, reason),
            };
        }
        while let Some(bytes) = link.poll_transmit(now) {
            link.written(now, bytes.len());
            sent.push(now);
        }
        told.extend(events.drain(..).map(|event| (now, event)));
        assert!(
            link.deadline().unwrap() > now,
            "a deadline that was served has gone"
        );
    }
}

#[test]
fn silence_is_told_after_half_the_tick_time_and_ends_the_link_after_all_of_it() {
    for security in both() {
        let mut link = Pair::standing(&security).dialer;
        let Silence { sent, told, ended } = run_in_silence(&mut link);
        assert_eq!(told, [(at(30), LinkEvent::Silent)]);
        assert_eq!(ended, (at(60), CloseReason::Silent));
        assert_eq!(sent, [at(15), at(30), at(45)]);
        assert_eq!(link.deadline(), None);
    }
}

#[test]
fn heartbeats_go_out_for_the_smaller_tick_time_of_the_two_and_never_faster_than_four_a_second() {
    for (theirs, every) in [
        (seconds(600), 15_000),
        (seconds(20), 5_000),
        (seconds(0), 250),
    ] {
        let mut link = Pair::standing(&both()[1]).dialer;
        link.set_peer_tick(theirs);
        let Silence { sent, ended, .. } = run_in_silence(&mut link);
        let nth = |n: usize| Instant::ZERO + Duration::from_millis(every) * n as u32;
        assert!(
            sent.iter().enumerate().all(|(n, time)| *time == nth(n + 1)),
            "{sent:?}"
        );
        assert_eq!(sent.len() as u64, 60_000 / every - 1);
        assert_eq!(
            ended,
            (at(60), CloseReason::Silent),
            "each judges by its own tick time"
        );
    }
}

#[test]
fn whoever_sends_sends_no_heartbeat() {
    let mut pair = Pair::standing(&both()[1]);
    for now in (10..100).step_by(10).map(at) {
        pair.dialer.send(now, &Frame::Ping(1)).unwrap();
        pair.carry(now, usize::MAX).unwrap();
        assert_eq!(
            pair.dialer.tick(now + seconds(9), &mut pair.at_dialer),
            Ok(())
        );
        assert_eq!(pair.dialer.poll_transmit(now + seconds(9)), None);
    }
}

#[test]
fn heartbeats_do_not_pile_up_where_the_network_takes_nothing() {
    let mut link = Pair::standing(&both()[1]).dialer;
    let mut events = Vec::new();
    let bytes = link.poll_transmit(at(0));
    assert_eq!(bytes, None);
    link.in_flight = link.window_bytes;
    for now in (15..60).map(at) {
        link.tick(now, &mut events).unwrap();
        assert_eq!(link.poll_transmit(now), None);
    }
    assert_eq!(link.lanes.lock().held(LaneId::Control), 2, "one heartbeat");
}

#[test]
fn any_byte_ends_a_silence_and_the_next_one_is_told_again() {
    let mut pair = Pair::standing(&both()[0]);
    let (mut told, mut events) = (Vec::new(), Vec::new());
    for now in (0..200).map(at) {
        assert_eq!(pair.dialer.tick(now, &mut events), Ok(()));
        told.extend(events.drain(..).map(|_| now));
        if [at(59), at(118), at(150)].contains(&now) {
            // One byte of a record is as good as all of it.
            let (guard, events) = (&mut pair.guard, &mut pair.at_dialer);
            pair.dialer.receive(now, &[1], guard, events).unwrap();
        }
    }
    assert_eq!(told, [at(30), at(59 + 30), at(118 + 30), at(150 + 30)]);
}

#[test]
fn after_a_stall_silence_is_not_judged_before_its_grace_is_over() {
    let mut link = Pair::standing(&both()[1]).dialer;
    link.extend(at(100), seconds(5));
    let Silence { told, ended, .. } = run_in_silence(&mut link);
    assert_eq!(ended, (at(105), CloseReason::Silent));
    assert_eq!(told, []);
}

#[test]
fn a_handshake_that_is_not_finished_in_time_ends() {
    for security in both() {
        let mut pair = Pair::new(&security, &security);
        let settings = LinkSettings::default();
        let mut idle = Link::new(at(0), Role::Acceptor, &security, &settings, [9; 32]);
        pair.dialer.send(at(0), &hello("app@10.0.0.1")).unwrap();
        // A greeting does not count as the end of it; only being established does.
        pair.carry(at(2), usize::MAX).unwrap();
        for link in [&mut pair.dialer, &mut pair.acceptor, &mut idle] {
            assert_eq!(link.deadline(), Some(at(3)));
            let just_before = Instant::from_nanos(at(3).as_nanos() - 1);
            assert_eq!(link.tick(just_before, &mut Vec::new()), Ok(()));
            assert_eq!(
                link.tick(at(3), &mut Vec::new()),
                Err(CloseReason::HandshakeTimeout)
            );
        }
        let last_word = idle.close(at(3), &CloseReason::HandshakeTimeout).unwrap();
        assert_eq!(
            *last_word,
            [refusal(&CloseReason::HandshakeTimeout).unwrap()]
        );
    }
}

proptest! {
    /// Bytes at random times, and a driver that is up to a tenth of T late.
    #[test]
    fn a_silent_peer_is_down_between_three_and_five_quarters_of_the_tick_time(
        gaps in vec(1u64..60_000, 1..20),
        late in vec(0u64..6_000, 64),
    ) {
        let mut pair = Pair::standing(&both()[1]);
        let mut late = late.into_iter().cycle().map(Duration::from_millis);
        let (mut last, mut events) = (at(0), Vec::new());
        let mut arrivals = gaps.into_iter().scan(at(0), |time, gap| {
            *time += Duration::from_millis(gap);
            Some(*time)
        }).peekable();
        loop {
            let due = pair.dialer.deadline().unwrap() + late.next().unwrap();
            let now = match arrivals.peek() {
                Some(&arrival) if arrival <= due => arrival,
                _ => due,
            };
            if arrivals.next_if_eq(&now).is_some() {
                last = now;
                pair.acceptor.send(now, &Frame::Heartbeat).unwrap();
                let bytes = pair.acceptor.poll_transmit(now).unwrap();
                pair.acceptor.written(now, bytes.len());
                pair.dialer.receive(now, &bytes, &mut pair.guard, &mut events).unwrap();
            }
            let silence = now - last;
            if let Err(reason) = pair.dialer.tick(now, &mut events) {
                prop_assert_eq!(reason, CloseReason::Silent);
                prop_assert!(silence >= T * 3 / 4 && silence <= T * 5 / 4, "{:?}", silence);
                break;
            }
            prop_assert!(silence <= T * 5 / 4);
        }
    }
}
