use core::time::Duration;

use lasso_core::events::changes::Table;
use lasso_core::events::topics::Segment;
use lasso_core::events::{Delivery, Pass, Scope};
use lasso_core::name::{Basename, Incarnation, Label, NodeName};
use lasso_core::plane::pubsub::{Row, Source};
use lasso_core::plane::{CallError, Content, Update};

use super::events::{Looked, View};
use super::*;

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn app() -> App {
    App::new([7; 32])
}

fn name(last: u8) -> NodeName {
    let basename = Basename::new("lasso").expect("a basename");
    NodeName::new(basename, ([10, 0, 0, last], 9155).into())
}

/// All that it wants and has seen at a moment.
fn drain(app: &mut App, now: Instant) -> Vec<Output> {
    core::iter::from_fn(|| app.poll_output(now)).collect()
}

fn asks(app: &mut App, now: Instant) -> Vec<Ask> {
    let outputs = drain(app, now).into_iter();
    outputs
        .filter_map(|output| match output {
            Output::Ask(ask) => Some(ask),
            Output::Saw(_) => None,
        })
        .collect()
}

fn load(pace: Pace, count: Option<u64>, lasts: Option<u64>) -> Load {
    Load {
        pace,
        count,
        lasts: lasts.map(Duration::from_millis),
    }
}

fn per_second(number: u64) -> Rate {
    Rate {
        number,
        unit: Duration::from_secs(1),
    }
}

fn publish(load: Load) -> Told {
    Told::Order(Order::Publish(Publish {
        topic: "t".into(),
        load,
        size: 64,
        audience: Audience::All,
    }))
}

fn call(load: Load) -> Told {
    Told::Order(Order::Call(Call {
        to: name(2),
        method: "m".into(),
        load,
        timeout: None,
        size: 64,
    }))
}

fn message(number: u64, tag: u64) -> Update {
    let content = Content {
        source: Arc::new(Source {
            topic: "t".into(),
            node: name(1),
            incarnation: Incarnation(1),
            region: Label::unknown(),
        }),
        row: Row::All,
        number,
        unix_ms: 0,
        payload: payload::make(tag, 100),
    };
    Update::Message(content.into())
}

fn subscribe(reads: Reads) -> Told {
    Told::Order(Order::Subscribe(Subscribe {
        name: "t".to_owned(),
        topic: "t".into(),
        queue: None,
        count: 1,
        reads,
    }))
}

/// How many messages it has seen, and how many reads it asks for.
fn seen_and_reads(app: &mut App, now: Instant) -> (usize, usize) {
    let outputs = drain(app, now);
    let seen = |output: &&Output| matches!(output, Output::Saw(Saw::Got { .. }));
    let reads = |output: &&Output| matches!(output, Output::Ask(Ask::Read { .. }));
    let outputs = outputs.iter();
    (
        outputs.clone().filter(seen).count(),
        outputs.filter(reads).count(),
    )
}

#[test]
fn a_burst_is_there_at_once_and_a_rate_keeps_its_time() {
    let mut app = app();
    app.handle(at(0), publish(load(Pace::Burst, Some(5), None)));
    assert_eq!(asks(&mut app, at(0)).len(), 5);
    app.handle(
        at(0),
        publish(load(Pace::Rate(per_second(100)), Some(3), None)),
    );
    assert_eq!(asks(&mut app, at(0)).len(), 1);
    assert_eq!(app.poll_timeout(), Some(at(10)));
    assert_eq!(asks(&mut app, at(9)).len(), 0);
    assert_eq!(asks(&mut app, at(25)).len(), 2, "the second was late");
    assert_eq!(app.poll_timeout(), None);
}

#[test]
fn what_lasts_begins_none_after_its_time() {
    let mut app = app();
    app.handle(
        at(0),
        publish(load(Pace::Rate(per_second(10)), None, Some(300))),
    );
    let begun: usize = (0..1000).map(|ms| asks(&mut app, at(ms)).len()).sum();
    assert_eq!(begun, 3);
}

#[test]
fn one_that_was_frozen_does_not_make_up_for_it() {
    let mut app = app();
    app.handle(
        at(0),
        publish(load(Pace::Rate(per_second(100)), None, Some(60_000))),
    );
    assert_eq!(asks(&mut app, at(0)).len(), 1);
    assert_eq!(asks(&mut app, at(30_000)).len(), 1);
    assert_eq!(app.poll_timeout(), Some(at(30_010)));
}

#[test]
fn so_many_calls_are_under_way_as_the_file_says() {
    let mut app = app();
    app.handle(at(0), call(load(Pace::InFlight(2), Some(3), None)));
    assert_eq!(asks(&mut app, at(0)).len(), 2);
    let answered = |tag| Told::Answered {
        tag,
        outcome: Err(CallError::Timeout(core::time::Duration::from_secs(1))),
    };
    app.handle(at(5), answered(1));
    assert_eq!(asks(&mut app, at(5)).len(), 1);
    app.handle(at(6), answered(2));
    app.handle(at(6), answered(3));
    assert_eq!((asks(&mut app, at(6)).len(), app.poll_timeout()), (0, None));
}

#[test]
fn a_subscriber_reads_at_its_pace() {
    for (reads, first, later) in [
        (Reads::AtOnce, (3, 1), (0, 0)),
        (Reads::Paced(per_second(10)), (1, 0), (2, 1)),
    ] {
        let mut app = app();
        app.handle(at(0), subscribe(reads));
        drain(&mut app, at(0));
        app.handle(
            at(0),
            Told::Subscribed {
                sub: 0,
                error: None,
            },
        );
        assert_eq!(seen_and_reads(&mut app, at(0)), (0, 1));
        let updates = (1..=3).map(|number| message(number, number)).collect();
        app.handle(at(0), Told::Updates { sub: 0, updates });
        assert_eq!(seen_and_reads(&mut app, at(0)), first, "{reads:?}");
        let mut sum = (0, 0);
        for ms in 1..=300 {
            let (seen, reads) = seen_and_reads(&mut app, at(ms));
            sum = (sum.0 + seen, sum.1 + reads);
        }
        assert_eq!(sum, later, "{reads:?}");
    }
}

#[test]
fn one_that_never_reads_never_reads() {
    let mut app = app();
    app.handle(at(0), subscribe(Reads::Never));
    drain(&mut app, at(0));
    app.handle(
        at(0),
        Told::Subscribed {
            sub: 0,
            error: None,
        },
    );
    assert_eq!(
        (drain(&mut app, at(0)).len(), app.poll_timeout()),
        (0, None)
    );
}

#[test]
fn a_spoilt_payload_is_noticed_and_a_whole_one_has_its_tag() {
    let whole = payload::make(9, 100_000);
    assert_eq!((whole.len(), payload::read(&whole)), (100_000, Some(9)));
    let mut spoilt = whole.to_vec();
    spoilt.drain(4_096..8_192);
    assert_eq!(payload::read(&spoilt), None);
    assert_eq!(payload::read(&whole[..7]), None);
}

#[test]
fn a_handler_answers_as_its_manners_are() {
    let serve = |panics_ppm, rejects_ppm| {
        Told::Order(Order::Serve(Serve {
            method: "m".into(),
            takes: (Duration::from_millis(5), Duration::from_millis(5)),
            panics_ppm,
            rejects_ppm,
            size: 64,
        }))
    };
    let request = |id| Told::Request {
        id,
        method: "m".into(),
        payload: payload::make(3, 64),
        deadline: at(1000),
    };
    let mut app = app();
    for (id, (panics, rejects)) in [(0, 0), (1_000_000, 0), (0, 1_000_000)]
        .into_iter()
        .enumerate()
    {
        app.handle(at(0), serve(panics, rejects));
        drain(&mut app, at(0));
        app.handle(at(0), request(id as u64));
        assert_eq!(asks(&mut app, at(4)), []);
        let [Ask::Reply { reply, .. }] = &asks(&mut app, at(5))[..] else {
            panic!("one reply is wanted");
        };
        match id {
            0 => assert_eq!(*reply, Reply::Done(payload::make(3, 64))),
            1 => assert_eq!(*reply, Reply::Panics("m".into())),
            _ => assert!(matches!(reply, Reply::Rejected(_))),
        }
    }
}

/// A viewer that reads once a second, after it was let in.
fn viewing(app: &mut App) {
    let profile = Segment::new("premium").expect("a segment");
    let what = Looked {
        pass: Pass::operator(profile.clone()),
        profile,
        scope: Scope::Profile,
        chains: Vec::new(),
    };
    let view = View {
        name: "desk".to_owned(),
        what,
        count: 1,
        reads: Reads::Paced(per_second(1)),
    };
    app.handle(at(0), Told::Order(Order::View(view)));
    drain(app, at(0));
    let told = EventTold::Viewing {
        viewer: 0,
        error: None,
    };
    app.handle(at(0), Told::Events(told));
}

fn sees_nothing(app: &mut App, now: Instant) {
    let delivery = Delivery {
        lost: 0,
        events: Vec::new(),
        states: Table::new(1).since(0),
        figures: Table::new(1).since(0),
        coverage: None,
    };
    let sight = events::Sight::new(false, &delivery);
    app.handle(now, Told::Events(EventTold::Seen { viewer: 0, sight }));
}

#[test]
fn a_viewer_with_a_pace_looks_no_sooner() {
    let mut app = app();
    viewing(&mut app);
    let look = Ask::Events(EventAsk::Look { viewer: 0 });
    assert_eq!(asks(&mut app, at(0)), core::slice::from_ref(&look));
    assert_eq!(app.poll_timeout(), None, "it waits for what it asked for");
    sees_nothing(&mut app, at(300));
    assert_eq!(app.poll_timeout(), Some(at(1_300)));
    assert!(asks(&mut app, at(1_299)).is_empty());
    assert_eq!(asks(&mut app, at(1_300)), [look]);
}

#[test]
fn a_viewer_that_has_looked_away_sees_nothing_more() {
    let mut app = app();
    viewing(&mut app);
    let name = "desk".to_owned();
    app.handle(at(1), Told::Order(Order::LookAway { name }));
    drain(&mut app, at(1));
    sees_nothing(&mut app, at(2));
    assert!(drain(&mut app, at(5_000)).is_empty());
}
