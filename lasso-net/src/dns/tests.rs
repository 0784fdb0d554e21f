//! Against the responder, and servers that lie, on loopback. Where a limit has to pass, the clock is
//! paused: it jumps as soon as nothing else can happen.

use super::*;
use crate::responder::{Answer, Responder, Service};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::A;
use tokio::net::UdpSocket;

async fn responder() -> (Responder, Resolver) {
    let responder = Responder::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let resolver = Resolver::new(Some(responder.local_addr()));
    (responder, resolver)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn found(addresses: &[&str]) -> DnsAnswer {
    DnsAnswer::Addresses {
        addresses: addresses.iter().map(|text| (ip(text), None)).collect(),
        truncated: false,
    }
}

fn service(target: &str, port: u16) -> Service {
    Service {
        target: target.into(),
        port,
    }
}

fn services(addresses: &[(&str, u16)], truncated: bool) -> DnsAnswer {
    DnsAnswer::Addresses {
        addresses: addresses
            .iter()
            .map(|(text, port)| (ip(text), Some(*port)))
            .collect(),
        truncated,
    }
}

fn many(count: u32) -> Vec<IpAddr> {
    let first = u32::from_be_bytes([10, 0, 0, 1]);
    (first..first + count)
        .map(|n| IpAddr::from(n.to_be_bytes()))
        .collect()
}

#[tokio::test]
async fn each_family_is_its_own_question() {
    let (responder, resolver) = responder().await;
    responder.set(
        "lasso.internal",
        vec![ip("10.0.0.2"), ip("fdaa::3"), ip("10.0.0.1")],
    );
    let v4 = resolver.resolve("lasso.internal", Family::A).await;
    assert_eq!(v4, found(&["10.0.0.2", "10.0.0.1"]));
    let v6 = resolver.resolve("Lasso.Internal.", Family::Aaaa).await;
    assert_eq!(v6, found(&["fdaa::3"]));
}

#[tokio::test]
async fn no_such_name_and_no_such_record_are_empty() {
    let (responder, resolver) = responder().await;
    responder.set_answer("empty.internal", Answer::Empty);
    responder.set("v4.internal", vec![ip("10.0.0.1")]);
    for (name, family) in [
        ("unknown.internal", Family::A),
        ("unknown.internal", Family::Srv),
        ("empty.internal", Family::Aaaa),
        ("v4.internal", Family::Aaaa),
        ("v4.internal", Family::Srv),
    ] {
        let answer = resolver.resolve(name, family).await;
        assert_eq!(answer, DnsAnswer::Empty, "{name} {family:?}");
    }
}

#[tokio::test]
async fn names_are_absolute_and_one_that_is_none_fails() {
    let (responder, resolver) = responder().await;
    responder.set("lasso", vec![ip("10.0.0.1")]);
    assert_eq!(
        resolver.resolve("lasso", Family::A).await,
        found(&["10.0.0.1"])
    );
    for name in ["a..b", &"x".repeat(64)] {
        let DnsAnswer::Failed(why) = resolver.resolve(name, Family::A).await else {
            panic!("{name} was resolved");
        };
        assert!(why.contains(name), "{why}");
    }
}

#[tokio::test]
async fn an_error_of_the_server_is_a_failure_that_names_both() {
    let (responder, resolver) = responder().await;
    responder.set_answer("broken.internal", Answer::ServerFailure);
    for family in [Family::A, Family::Aaaa, Family::Srv] {
        let DnsAnswer::Failed(why) = resolver.resolve("broken.internal", family).await else {
            panic!("{family:?} did not fail");
        };
        assert!(why.contains("127.0.0.1"), "{why}");
        assert!(why.contains("Server Failure"), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_fails_the_lookup_within_its_limit() {
    let (responder, resolver) = responder().await;
    responder.set_answer("silent.internal", Answer::Silence);
    for family in [Family::A, Family::Aaaa, Family::Srv] {
        let began = Instant::now();
        let answer = resolver.resolve("silent.internal", family).await;
        assert!(matches!(answer, DnsAnswer::Failed(_)), "{answer:?}");
        assert!(began.elapsed() <= LIMIT + Duration::from_millis(10));
    }
    let quick = resolver.clone().with_limit(Duration::from_millis(300));
    let began = Instant::now();
    let answer = quick.resolve("silent.internal", Family::A).await;
    assert!(matches!(answer, DnsAnswer::Failed(_)), "{answer:?}");
    assert!(began.elapsed() <= Duration::from_millis(310));
}

/// A server that answers every question so late: services with one target, addresses with 10.0.0.1.
async fn late(delay: Duration) -> Resolver {
    let socket = std::sync::Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let query = Message::from_vec(&buffer[..length]).unwrap();
            let socket = socket.clone();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                let reply = late_reply(&query).to_vec().unwrap();
                socket.send_to(&reply, from).await.unwrap();
            });
        }
    });
    Resolver::new(Some(address))
}

fn late_reply(query: &Message) -> Message {
    let mut reply = query.clone().into_response();
    let question = &query.queries[0];
    let data = match question.query_type() {
        RecordType::SRV => RData::SRV(SRV::new(0, 0, 9156, absolute("t.internal").unwrap())),
        RecordType::A => RData::A(A::new(10, 0, 0, 1)),
        _ => return reply,
    };
    reply.add_answer(Record::from_rdata(question.name().clone(), 60, data));
    reply
}

#[tokio::test(start_paused = true)]
async fn an_answer_counts_until_the_limit_however_late_it_is() {
    for ms in [1_500, 2_500, 3_900] {
        let delay = Duration::from_millis(ms);
        let resolver = late(delay).await;
        let resolve = |family| resolver.resolve("lasso.internal", family);
        assert_eq!(resolve(Family::A).await, found(&["10.0.0.1"]), "{ms}");
        assert_eq!(resolve(Family::Aaaa).await, DnsAnswer::Empty, "{ms}");
        let services = services(&[("10.0.0.1", 9156)], false);
        assert_eq!(resolve(Family::Srv).await, services, "{ms}");
    }
    let resolver = late(LIMIT + Duration::from_millis(100)).await;
    let answer = resolver.resolve("lasso.internal", Family::A).await;
    assert!(matches!(answer, DnsAnswer::Failed(_)), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_of_several_servers_may_answer_after_the_others_were_asked() {
    let slow = late(Duration::from_millis(3_500)).await;
    let (silent, _) = responder().await;
    silent.set_answer("lasso.internal", Answer::Silence);
    let servers = vec![only(slow.server.unwrap()), only(silent.local_addr())];
    let name = absolute("lasso.internal").unwrap();
    let answer = ask_in_turn(servers, name, RecordType::A, LIMIT).await;
    assert_eq!(answer.unwrap().records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_link_local_server_is_refused_with_its_reason_and_the_next_one_is_asked() {
    let (good, _) = responder().await;
    good.set("lasso.internal", vec![ip("10.0.0.1")]);
    let local = || only("[fe80::1]:53".parse().unwrap());
    let name = || absolute("lasso.internal").unwrap();
    let why = ask_in_turn(vec![local()], name(), RecordType::A, LIMIT).await;
    let why = why.err().unwrap();
    assert!(why.contains("fe80::1") && why.contains("zone"), "{why}");
    let servers = vec![local(), only(good.local_addr())];
    let answer = ask_in_turn(servers, name(), RecordType::A, LIMIT).await;
    assert_eq!(answer.unwrap().records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_name_holds_up_no_other() {
    let (responder, resolver) = responder().await;
    responder.set_answer("silent.internal", Answer::Silence);
    responder.set("lasso.internal", vec![ip("10.0.0.1")]);
    let began = Instant::now();
    tokio::select! {
        answer = resolver.resolve("silent.internal", Family::A) => panic!("{answer:?}"),
        answer = resolver.resolve("lasso.internal", Family::A) => {
            assert_eq!(answer, found(&["10.0.0.1"]));
        }
    }
    assert!(began.elapsed() < Duration::from_millis(10));
}

#[tokio::test]
async fn what_does_not_fit_a_datagram_comes_whole_over_tcp() {
    let (responder, resolver) = responder().await;
    responder.set("many.internal", many(300));
    let answer = resolver.resolve("many.internal", Family::A).await;
    let addresses = many(300).into_iter().map(|ip| (ip, None)).collect();
    let whole = DnsAnswer::Addresses {
        addresses,
        truncated: false,
    };
    assert_eq!(answer, whole);
}

#[tokio::test]
async fn a_part_counts_and_says_that_it_is_one() {
    let (responder, resolver) = responder().await;
    let part = vec![ip("10.0.0.1"), ip("fdaa::3")];
    responder.set_answer("cut.internal", Answer::Truncated(part));
    responder.set_answer("bare.internal", Answer::Truncated(vec![]));
    for (name, family, addresses) in [
        ("cut.internal", Family::A, vec![(ip("10.0.0.1"), None)]),
        ("cut.internal", Family::Aaaa, vec![(ip("fdaa::3"), None)]),
        ("bare.internal", Family::A, vec![]),
    ] {
        let part = DnsAnswer::Addresses {
            addresses,
            truncated: true,
        };
        assert_eq!(resolver.resolve(name, family).await, part, "{name}");
    }
}

/// A server without TCP that answers each query with what `replies` makes of it.
async fn server<F>(mut replies: F) -> SocketAddr
where
    F: FnMut(Message) -> Vec<Vec<u8>> + Send + 'static,
{
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            for reply in replies(Message::from_vec(&buffer[..length]).unwrap()) {
                socket.send_to(&reply, from).await.unwrap();
            }
        }
    });
    address
}

/// The true answer to `query`: 10.0.0.1.
fn truth(query: &Message) -> Message {
    let mut reply = query.clone().into_response();
    let name = query.queries[0].name().clone();
    reply.add_answer(Record::from_rdata(name, 60, RData::A(A::new(10, 0, 0, 1))));
    reply
}

#[tokio::test(start_paused = true)]
async fn a_part_counts_where_tcp_is_refused() {
    let server = server(|query| {
        let mut reply = truth(&query);
        reply.metadata.truncation = true;
        vec![reply.to_vec().unwrap()]
    });
    let resolver = Resolver::new(Some(server.await));
    let part = DnsAnswer::Addresses {
        addresses: vec![(ip("10.0.0.1"), None)],
        truncated: true,
    };
    assert_eq!(resolver.resolve("lasso.internal", Family::A).await, part);
}

#[tokio::test(start_paused = true)]
async fn forged_and_broken_datagrams_are_ignored() {
    let server = server(|query| {
        let lie = |change: fn(&mut Message)| {
            let mut reply = truth(&query);
            reply.answers[0].data = RData::A(A::new(6, 6, 6, 6));
            change(&mut reply);
            reply.to_vec().unwrap()
        };
        let other_id = lie(|reply| reply.metadata.id ^= 1);
        let other_name = lie(|reply| {
            reply.queries[0].set_name(Name::from_ascii("evil.").unwrap());
        });
        let other_kind = lie(|reply| {
            reply.queries[0].set_query_type(RecordType::AAAA);
        });
        let no_question = lie(|reply| reply.queries.clear());
        let short = vec![0];
        let true_one = truth(&query).to_vec().unwrap();
        vec![
            vec![],
            short,
            other_id,
            other_name,
            other_kind,
            no_question,
            true_one,
        ]
    });
    let resolver = Resolver::new(Some(server.await));
    let answer = resolver.resolve("lasso.internal", Family::A).await;
    assert_eq!(answer, found(&["10.0.0.1"]));
}

#[tokio::test(start_paused = true)]
async fn a_stranger_who_guesses_the_id_is_ignored() {
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = Resolver::new(Some(socket.local_addr().unwrap()));
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let query = Message::from_vec(&buffer[..length]).unwrap();
        let mut lie = truth(&query);
        lie.answers[0].data = RData::A(A::new(6, 6, 6, 6));
        stranger.send_to(&lie.to_vec().unwrap(), from).unwrap();
        let truth = truth(&query).to_vec().unwrap();
        socket.send_to(&truth, from).await.unwrap();
    });
    let answer = resolver.resolve("lasso.internal", Family::A).await;
    assert_eq!(answer, found(&["10.0.0.1"]));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_makes_no_sense_is_asked_for_again_and_never_believed() {
    let mut asked = 0;
    let server = server(move |query| {
        asked += 1;
        let mut reply = truth(&query).to_vec().unwrap();
        if asked == 1 {
            let end = reply.len() - 2;
            reply.truncate(end);
        }
        vec![reply]
    });
    let resolver = Resolver::new(Some(server.await));
    let answer = resolver.resolve("lasso.internal", Family::A).await;
    assert_eq!(answer, found(&["10.0.0.1"]));
}

#[tokio::test]
async fn refused_is_a_failure() {
    let server = server(|query| {
        let mut reply = query.into_response();
        reply.metadata.response_code = ResponseCode::Refused;
        vec![reply.to_vec().unwrap()]
    });
    let resolver = Resolver::new(Some(server.await));
    let answer = resolver.resolve("lasso.internal", Family::A).await;
    let DnsAnswer::Failed(why) = answer else {
        panic!("{answer:?}");
    };
    assert!(why.contains("Refused"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_back_answers_at_once_and_nothing_is_remembered() {
    let (responder, resolver) = responder().await;
    let address = responder.local_addr();
    responder.set("lasso.internal", vec![ip("10.0.0.1")]);
    let lookup = || resolver.resolve("lasso.internal", Family::A);
    assert_eq!(lookup().await, found(&["10.0.0.1"]));
    responder.set("lasso.internal", vec![ip("10.0.0.2")]);
    assert_eq!(lookup().await, found(&["10.0.0.2"]));

    drop(responder);
    assert!(matches!(lookup().await, DnsAnswer::Failed(_)));

    let responder = Responder::bind(address).await.unwrap();
    let began = Instant::now();
    assert_eq!(lookup().await, DnsAnswer::Empty);
    responder.set("lasso.internal", vec![ip("10.0.0.3")]);
    assert_eq!(lookup().await, found(&["10.0.0.3"]));
    assert!(began.elapsed() < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn records_that_live_long_are_still_asked_for_each_time() {
    let mut asked = 0;
    let server = server(move |query| {
        asked += 1;
        let mut reply = truth(&query);
        reply.answers[0].data = RData::A(A::new(10, 0, 0, asked));
        vec![reply.to_vec().unwrap()]
    });
    let resolver = Resolver::new(Some(server.await));
    for address in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        let answer = resolver.resolve("lasso.internal", Family::A).await;
        assert_eq!(answer, found(&[address]));
    }
}

#[tokio::test]
async fn an_address_that_comes_twice_counts_once() {
    let (responder, resolver) = responder().await;
    let twice = vec![ip("10.0.0.2"), ip("10.0.0.1"), ip("10.0.0.2")];
    responder.set("lasso.internal", twice);
    let answer = resolver.resolve("lasso.internal", Family::A).await;
    assert_eq!(answer, found(&["10.0.0.2", "10.0.0.1"]));
}

#[tokio::test]
async fn services_become_addresses_with_their_ports() {
    let (responder, resolver) = responder().await;
    let targets = vec![
        service("b.internal", 9156),
        service("a.internal", 9155),
        service("b.internal", 9156),
        service("gone.internal", 9157),
        service("a.internal", 0),
        service(".", 0),
    ];
    responder.set_answer("_lasso._tcp.internal", Answer::Services(targets));
    responder.set("a.internal", vec![ip("fdaa::1"), ip("10.0.0.1")]);
    responder.set("b.internal", vec![ip("10.0.0.2")]);
    let answer = resolver.resolve("_lasso._tcp.internal", Family::Srv).await;
    let expected = [("10.0.0.2", 9156), ("10.0.0.1", 9155), ("fdaa::1", 9155)];
    assert_eq!(answer, services(&expected, false));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_leaves_the_others_and_marks_the_answer() {
    let (responder, resolver) = responder().await;
    let targets = vec![service("bad.internal", 1), service("a.internal", 9155)];
    responder.set_answer("_lasso._tcp.internal", Answer::Services(targets));
    responder.set("a.internal", vec![ip("10.0.0.1")]);
    for bad in [Answer::ServerFailure, Answer::Silence] {
        responder.set_answer("bad.internal", bad);
        let answer = resolver.resolve("_lasso._tcp.internal", Family::Srv).await;
        assert_eq!(answer, services(&[("10.0.0.1", 9155)], true));
    }
    responder.set_answer("a.internal", Answer::ServerFailure);
    let answer = resolver.resolve("_lasso._tcp.internal", Family::Srv).await;
    assert!(matches!(answer, DnsAnswer::Failed(_)), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn more_silent_targets_than_are_asked_at_once_end_within_the_limit() {
    let (responder, resolver) = responder().await;
    let targets = (0..100).map(|n| format!("t{n}.internal"));
    for target in targets.clone() {
        responder.set_answer(&target, Answer::Silence);
    }
    let targets = targets.map(|target| service(&target, 9155)).collect();
    responder.set_answer("_lasso._tcp.internal", Answer::Services(targets));
    let began = Instant::now();
    let answer = resolver.resolve("_lasso._tcp.internal", Family::Srv).await;
    assert!(matches!(answer, DnsAnswer::Failed(_)), "{answer:?}");
    assert!(began.elapsed() <= LIMIT + Duration::from_millis(10));
}

#[tokio::test]
async fn targets_beyond_the_bound_are_left_out_and_mark_the_answer() {
    let (responder, resolver) = responder().await;
    let count = MAX_TARGETS as u32 + 1;
    let targets = many(count).into_iter().enumerate();
    let targets = targets.map(|(n, address)| {
        responder.set(&format!("t{n}.internal"), vec![address]);
        service(&format!("t{n}.internal"), 9155)
    });
    let targets = targets.collect();
    responder.set_answer("_lasso._tcp.internal", Answer::Services(targets));
    let answer = resolver.resolve("_lasso._tcp.internal", Family::Srv).await;
    let addresses = many(count - 1).into_iter().map(|ip| (ip, Some(9155)));
    let expected = DnsAnswer::Addresses {
        addresses: addresses.collect(),
        truncated: true,
    };
    assert_eq!(answer, expected);
}

#[tokio::test(start_paused = true)]
async fn the_next_server_is_asked_when_one_fails_or_is_silent_but_not_when_it_says_no() {
    let (first, resolver) = responder().await;
    let (second, _) = responder().await;
    second.set("lasso.internal", vec![ip("10.0.0.1")]);
    for (answer, records) in [
        (Answer::ServerFailure, 1),
        (Answer::Silence, 1),
        (Answer::NoSuchName, 0),
        (Answer::Empty, 0),
    ] {
        first.set_answer("lasso.internal", answer.clone());
        let servers = vec![only(first.local_addr()), only(second.local_addr())];
        let name = absolute("lasso.internal").unwrap();
        let began = Instant::now();
        let found = ask_in_turn(servers, name, RecordType::A, resolver.limit).await;
        assert_eq!(found.unwrap().records.len(), records, "{answer:?}");
        assert!(began.elapsed() <= resolver.limit / 2 + Duration::from_millis(10));
    }
}

#[test]
fn without_a_server_of_its_own_it_takes_what_the_system_says_or_fails() {
    let system = system_conf::read_system_conf();
    match Resolver::new(None).servers() {
        Ok(servers) => assert!((1..=MAX_SERVERS).contains(&servers.len())),
        Err(why) => assert!(system.is_err(), "{why}"),
    }
}
