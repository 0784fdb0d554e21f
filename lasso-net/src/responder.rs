//! A small DNS server, for clusters on one machine and for tests.
//!
//! It answers from a table that changes while it runs, over UDP and TCP at one address. Besides
//! addresses it can be told to misbehave in the ways that resolvers meet: no answer, an error, an
//! answer cut short. It is not meant for other machines: it knows no zones, no recursion and no
//! limits per client.
//!
//! 1. A name that it was not given does not exist.
//! 2. Every record has a lifetime of zero, so that no resolver keeps it.
//! 3. What clients can make it hold is bounded: one datagram of 4 KiB, and 64 TCP connections of
//!    5 s with a query of 4 KiB each. A connection beyond that waits in the system's backlog.
//! 4. A datagram or stream that is not a query gets no answer.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use lasso_net::responder::Responder;
//!
//! let responder = Responder::bind("127.0.0.1:0".parse().unwrap()).await?;
//! responder.set("lasso.internal", vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()]);
//! println!("CLUSTER_DNS_SERVER={}", responder.local_addr());
//! # Ok::<(), std::io::Error>(()) })?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::{BinEncodable, BinEncoder};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// What a name answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These addresses: IPv4 to a question for A, IPv6 to one for AAAA. What does not fit into the
    /// datagram that the client allows is cut off, and whole over TCP; there, some 4,000 fit.
    Addresses(Vec<IpAddr>),
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
    /// The name exists and has no record (NOERROR without an answer).
    Empty,
    /// The server failed (SERVFAIL).
    ServerFailure,
    /// Nothing at all; over TCP the connection stays open until its time is over.
    Silence,
    /// These addresses, said to be cut short (TC), over TCP too: nobody gets a whole answer.
    Truncated(Vec<IpAddr>),
    /// These services, to a question for SRV. The targets' addresses are answers of their own. A
    /// target that is no DNS name makes the answer SERVFAIL.
    Services(Vec<Service>),
}

/// One SRV record; priority and weight are 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// The name of the host.
    pub target: String,
    /// The port on it.
    pub port: u16,
}

/// A DNS server that answers until it is dropped.
#[derive(Debug)]
pub struct Responder {
    /// Where it listens, over UDP and TCP.
    address: SocketAddr,
    /// Shared with the tasks.
    table: Arc<Table>,
    /// Aborted by the drop.
    _tasks: JoinSet<()>,
}

/// Answers by name: lower case, without the last dot.
type Table = Mutex<BTreeMap<String, Answer>>;

impl Responder {
    /// Listens on `address`, over UDP and TCP; port 0 takes one that is free in both. Every name is
    /// unknown at first.
    ///
    /// # Errors
    /// What the system says: the port is taken, or the address is not of this machine.
    ///
    /// # Panics
    /// Outside a tokio runtime with IO and time.
    pub async fn bind(address: SocketAddr) -> io::Result<Responder> {
        let (udp, tcp) = bind_both(address).await?;
        let address = udp.local_addr()?;
        let table = Arc::new(Table::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(answer_datagrams(udp, table.clone()));
        tasks.spawn(answer_streams(tcp, table.clone()));
        Ok(Responder {
            address,
            table,
            _tasks: tasks,
        })
    }

    /// Where it listens, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// From now on `name` has these addresses. Case and a dot at the end do not matter.
    pub fn set(&self, name: &str, addresses: Vec<IpAddr>) {
        self.set_answer(name, Answer::Addresses(addresses));
    }

    /// From now on `name` answers so. Case and a dot at the end do not matter.
    pub fn set_answer(&self, name: &str, answer: Answer) {
        self.table.lock().insert(key(name), answer);
    }
}

/// Binds both transports to one port. A port that is free for TCP may be taken for UDP: with port
/// 0 another is tried.
async fn bind_both(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        let tcp = TcpListener::bind(address).await?;
        tries -= 1;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Err(error) if tries > 0 && error.kind() == io::ErrorKind::AddrInUse => continue,
            udp => return Ok((udp?, tcp)),
        }
    }
}

async fn answer_datagrams(socket: UdpSocket, table: Arc<Table>) {
    let mut buffer = vec![0; MAX_QUERY];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) => {
                if let Some(reply) = reply(&table, &buffer[..length], Transport::Udp) {
                    // A client that has gone is no concern of ours.
                    let _ = socket.send_to(&reply, from).await;
                }
            }
            // Some systems report here that an earlier reply met a closed port.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn answer_streams(listener: TcpListener, table: Arc<Table>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let answering = answer_stream(stream, table.clone());
                connections.spawn(async {
                    // The end of its time and of the stream are the same to us.
                    let _ = tokio::time::timeout(CONNECTION_TIME, answering).await;
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Answers queries, each behind its length, until the client closes or sends something else.
async fn answer_stream(mut stream: TcpStream, table: Arc<Table>) -> io::Result<()> {
    let mut query = Vec::new();
    loop {
        let length = usize::from(stream.read_u16().await?);
        if length > MAX_QUERY {
            return Ok(());
        }
        query.resize(length, 0);
        stream.read_exact(&mut query).await?;
        let Some(reply) = reply(&table, &query, Transport::Tcp) else {
            continue;
        };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes()[..], &reply[..]].concat();
        stream.write_all(&framed).await?;
    }
}

/// How a query came, which says how long its reply may be.
#[derive(Clone, Copy)]
enum Transport {
    Udp,
    Tcp,
}

/// The reply to a message; none to what is not a query, and where silence was asked for.
fn reply(table: &Table, bytes: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let request = Message::from_vec(bytes).ok()?;
    if request.message_type != MessageType::Query {
        return None;
    }
    let mut reply = Message::response(request.id, request.op_code);
    reply.metadata.recursion_desired = request.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.add_queries(request.queries.iter().cloned());
    match (request.op_code, request.queries.as_slice()) {
        (OpCode::Query, [query]) => fill(table, query, &mut reply)?,
        (OpCode::Query, _) => reply.metadata.response_code = ResponseCode::FormErr,
        _ => reply.metadata.response_code = ResponseCode::NotImp,
    }
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_DATAGRAM);
        reply.set_edns(edns);
    }
    let limit = match transport {
        Transport::Udp => request.max_payload().min(MAX_DATAGRAM),
        Transport::Tcp => u16::MAX,
    };
    encode(&reply, limit)
}

/// Puts into `reply` what the table says; none where it asks for silence.
fn fill(table: &Table, query: &Query, reply: &mut Message) -> Option<()> {
    let answer = table.lock().get(&key(&query.name().to_ascii())).cloned();
    let records = match answer.unwrap_or(Answer::NoSuchName) {
        Answer::Addresses(addresses) => Ok(address_records(query, &addresses)),
        Answer::Truncated(addresses) => {
            reply.metadata.truncation = true;
            Ok(address_records(query, &addresses))
        }
        Answer::Services(services) => service_records(query, &services),
        Answer::Empty => Ok(Vec::new()),
        Answer::NoSuchName => Err(ResponseCode::NXDomain),
        Answer::ServerFailure => Err(ResponseCode::ServFail),
        Answer::Silence => return None,
    };
    match records {
        Ok(records) => {
            reply.add_answers(records);
        }
        Err(code) => reply.metadata.response_code = code,
    }
    Some(())
}

fn address_records(query: &Query, addresses: &[IpAddr]) -> Vec<Record> {
    let wanted = |address: &&IpAddr| match query.query_type() {
        RecordType::A => address.is_ipv4(),
        RecordType::AAAA => address.is_ipv6(),
        _ => false,
    };
    let addresses = addresses.iter().filter(wanted);
    addresses
        .map(|&address| record(query, RData::from(address)))
        .collect()
}

fn service_records(query: &Query, services: &[Service]) -> Result<Vec<Record>, ResponseCode> {
    if query.query_type() != RecordType::SRV {
        return Ok(Vec::new());
    }
    let service = |service: &Service| {
        let mut target = Name::from_ascii(&service.target).map_err(|_| ResponseCode::ServFail)?;
        target.set_fqdn(true);
        let data = SRV::new(0, 0, service.port, target);
        Ok(record(query, RData::SRV(data)))
    };
    services.iter().map(service).collect()
}

fn record(query: &Query, data: RData) -> Record {
    Record::from_rdata(query.name().clone(), 0, data)
}

/// The message in at most `limit` bytes; records that do not fit are left out, and TC says so.
fn encode(message: &Message, limit: u16) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(limit);
    message.emit(&mut encoder).ok()?;
    Some(bytes)
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The longest query read. Real ones have some 60 bytes.
const MAX_QUERY: usize = 4096;
/// The longest reply over UDP, whatever the client allows: as public resolvers have it.
const MAX_DATAGRAM: u16 = 4096;
/// TCP connections at a time: more than the nodes that one machine runs.
const MAX_CONNECTIONS: usize = 64;
/// How long a TCP connection may last: longer than any resolver waits for one answer.
const CONNECTION_TIME: Duration = Duration::from_secs(5);
/// After an error of a socket, so that a lasting one does not spin.
const PAUSE: Duration = Duration::from_millis(10);
/// How many ports are tried for port 0.
const PORT_TRIES: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    async fn responder() -> Responder {
        Responder::bind("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap()
    }

    fn query(name: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    async fn client(responder: &Responder) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(responder.local_addr()).await.unwrap();
        socket
    }

    async fn ask(client: &UdpSocket, query: &Message) -> Message {
        client.send(&query.to_vec().unwrap()).await.unwrap();
        let mut buffer = [0; 4096];
        let length = client.recv(&mut buffer).await.unwrap();
        let reply = Message::from_vec(&buffer[..length]).unwrap();
        assert_eq!(reply.id, query.id);
        assert_eq!(reply.queries, query.queries);
        reply
    }

    async fn ask_tcp(responder: &Responder, query: &Message) -> Message {
        let mut stream = TcpStream::connect(responder.local_addr()).await.unwrap();
        let bytes = query.to_vec().unwrap();
        stream.write_u16(bytes.len() as u16).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut buffer = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut buffer).await.unwrap();
        Message::from_vec(&buffer).unwrap()
    }

    fn addresses(reply: &Message) -> Vec<IpAddr> {
        let records = reply.answers.iter();
        records.filter_map(|record| record.data.ip_addr()).collect()
    }

    #[tokio::test]
    async fn each_family_gets_its_addresses_and_no_others() {
        let responder = responder().await;
        responder.set(
            "Lasso.internal.",
            vec![ip("10.0.0.1"), ip("fdaa::3"), ip("10.0.0.2")],
        );
        let client = client(&responder).await;
        let reply = ask(&client, &query("lasso.Internal.", RecordType::A)).await;
        assert_eq!(addresses(&reply), [ip("10.0.0.1"), ip("10.0.0.2")]);
        assert!(reply.answers.iter().all(|record| record.ttl == 0));
        let reply = ask(&client, &query("lasso.internal.", RecordType::AAAA)).await;
        assert_eq!(addresses(&reply), [ip("fdaa::3")]);
        let reply = ask(&client, &query("lasso.internal.", RecordType::SRV)).await;
        assert_eq!(reply.response_code, ResponseCode::NoError);
        assert!(reply.answers.is_empty());
    }

    #[tokio::test]
    async fn a_name_answers_what_it_was_last_told() {
        let responder = responder().await;
        let client = client(&responder).await;
        let question = query("a.internal.", RecordType::A);
        for (answer, code) in [
            (None, ResponseCode::NXDomain),
            (Some(Answer::ServerFailure), ResponseCode::ServFail),
            (Some(Answer::Empty), ResponseCode::NoError),
            (Some(Answer::NoSuchName), ResponseCode::NXDomain),
        ] {
            if let Some(answer) = answer {
                responder.set_answer("a.internal", answer);
            }
            let reply = ask(&client, &question).await;
            assert_eq!(reply.response_code, code);
            assert!(reply.answers.is_empty());
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_a_datagram_is_cut_and_whole_over_tcp() {
        let responder = responder().await;
        let many: Vec<IpAddr> = (0..300)
            .map(|n| IpAddr::from([10, 0, (n / 256) as u8, (n % 256) as u8]))
            .collect();
        responder.set("many.internal", many.clone());
        let question = query("many.internal.", RecordType::A);
        let cut = ask(&client(&responder).await, &question).await;
        assert!(cut.truncation);
        assert!(many.starts_with(&addresses(&cut)));
        assert_eq!(addresses(&cut).len(), (512 - 12 - 19) / 16);
        let whole = ask_tcp(&responder, &question).await;
        assert!(!whole.truncation);
        assert_eq!(addresses(&whole), many);
    }

    #[tokio::test]
    async fn a_truncated_answer_is_cut_short_on_every_transport() {
        let responder = responder().await;
        responder.set_answer("t.internal", Answer::Truncated(vec![ip("10.0.0.1")]));
        let question = query("t.internal.", RecordType::A);
        let replies = [
            ask(&client(&responder).await, &question).await,
            ask_tcp(&responder, &question).await,
        ];
        for reply in replies {
            assert!(reply.truncation);
            assert_eq!(addresses(&reply), [ip("10.0.0.1")]);
        }
    }

    #[tokio::test]
    async fn services_come_with_target_and_port() {
        let responder = responder().await;
        let service = |target: &str, port| Service {
            target: target.into(),
            port,
        };
        let services = vec![service("a.internal", 9155), service("b.internal.", 9156)];
        responder.set_answer("_lasso._tcp.internal", Answer::Services(services));
        let client = client(&responder).await;
        let reply = ask(&client, &query("_lasso._tcp.internal.", RecordType::SRV)).await;
        let found: Vec<(String, u16)> = reply
            .answers
            .iter()
            .map(|record| match &record.data {
                RData::SRV(srv) => (srv.target.to_ascii(), srv.port),
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(
            found,
            [
                ("a.internal.".to_owned(), 9155),
                ("b.internal.".to_owned(), 9156)
            ]
        );
    }

    #[tokio::test]
    async fn garbage_and_silence_get_no_answer_and_hold_up_nobody() {
        let responder = responder().await;
        responder.set_answer("silent.internal", Answer::Silence);
        responder.set("a.internal", vec![ip("10.0.0.1")]);
        let client = client(&responder).await;
        let silent = query("silent.internal.", RecordType::A).to_vec().unwrap();
        let question = query("a.internal.", RecordType::A);
        let response = question.clone().into_response().to_vec().unwrap();
        for bytes in [&b""[..], b"\x00", &[0xff; 600], &silent, &response] {
            client.send(bytes).await.unwrap();
        }
        // `ask` wants its own id: an answer to anything above would not have it.
        let reply = ask(&client, &question).await;
        assert_eq!(addresses(&reply), [ip("10.0.0.1")]);
    }

    #[tokio::test]
    async fn tcp_clients_that_say_nothing_hold_up_nobody() {
        let responder = responder().await;
        responder.set("a.internal", vec![ip("10.0.0.1")]);
        let mut idle = Vec::new();
        for _ in 0..MAX_CONNECTIONS - 1 {
            idle.push(TcpStream::connect(responder.local_addr()).await.unwrap());
        }
        let reply = ask_tcp(&responder, &query("a.internal.", RecordType::A)).await;
        assert_eq!(addresses(&reply), [ip("10.0.0.1")]);
    }

    #[tokio::test]
    async fn the_address_is_free_again_after_the_drop() {
        let first = responder().await;
        let address = first.local_addr();
        drop(first);
        // The tasks end when the runtime next comes to them.
        tokio::task::yield_now().await;
        assert_eq!(
            Responder::bind(address).await.unwrap().local_addr(),
            address
        );
    }
}
