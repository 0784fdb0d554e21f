//! The floor: what this machine's TCP gives to whoever does nothing but frame, seal, write, read,
//! open and look at the frames. Records and frames are laid out as lasso's; a message has an
//! envelope of the same size; the cipher is the same one, or none.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lasso_core::secure::{
    Cookie, Dialing, FIRST_BYTES, Listening, MESSAGE_BYTES, Opener, ReplayGuard, Sealer, Security,
    Session, TAG_BYTES,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::loops::{self, Caller, Publisher, Subscriber};
use super::tally::clock;
use super::{Job, Stage, unknown};

/// Plays the job's role over raw connections.
pub(super) async fn play(job: Job, sealed: bool) -> io::Result<()> {
    let security = if sealed {
        Security::Cookie {
            current: Cookie::new("a secret of at least 32 characters"),
            previous: None,
        }
    } else {
        Security::InsecureNull
    };
    let floor = Floor {
        security: Arc::new(security),
        port: job.port(),
    };
    match job.role.as_str() {
        "publish" => {
            let dialled = floor.dial_all(&job).await?;
            let writers = dialled.into_iter().map(|(_, writer)| writer);
            let writers = writers.collect();
            loops::publish(job, writers).await
        }
        "watch" => {
            let (reader, _) = floor.accept(1).await?.remove(0);
            loops::watch(job, vec![reader]).await
        }
        "call" => {
            let askers = askers(floor.dial_all(&job).await?);
            let at_once = job.number("at_once") as usize;
            loops::call(job, askers, at_once).await
        }
        "gather" => {
            let askers = askers(floor.dial_all(&job).await?);
            loops::gather(job, askers).await
        }
        "beside" => {
            let mut askers = askers(floor.dial_all(&job).await?);
            let (_, large) = floor.dial_all(&job).await?.remove(0);
            loops::beside(job, large, askers.remove(0)).await
        }
        "serve" => serve(job, &floor).await,
        role => Err(unknown(role)),
    }
}

/// Answers what comes on the first connection; counts what comes on the second one, if there is to
/// be one.
async fn serve(job: Job, floor: &Floor) -> io::Result<()> {
    let sink = job.number("sink") as usize;
    let mut accepted = floor.accept(1 + sink).await?;
    let (questions, answers) = accepted.remove(0);
    let stage = Stage::enter(&job).await;
    let tally = Arc::clone(&stage.tally);
    stage
        .measure(async move {
            for (large, _) in accepted {
                tokio::spawn(loops::count(large, Arc::clone(&tally)));
            }
            answer(questions, answers).await
        })
        .await
}

async fn answer(mut questions: Reader, mut answers: Writer) -> io::Result<()> {
    loop {
        questions
            .receive(|question| answers.frame(KIND_ANSWER, question))
            .await?;
        answers.flush().await?;
    }
}

/// How connections are made and secured.
struct Floor {
    security: Arc<Security>,
    port: u16,
}

impl Floor {
    /// One connection to each of the others.
    async fn dial_all(&self, job: &Job) -> io::Result<Vec<(Reader, Writer)>> {
        let mut connections = Vec::new();
        for port in job.peers() {
            let mut stream = dial(port).await?;
            let (dialing, first) = Dialing::start(&self.security, self.seed());
            stream.write_all(&first).await?;
            let mut second = [0; MESSAGE_BYTES];
            stream.read_exact(&mut second).await?;
            let session = dialing.finish(&second).map_err(refused)?;
            connections.push(split(stream, session));
        }
        Ok(connections)
    }

    /// So many connections, in the order in which they come.
    async fn accept(&self, count: usize) -> io::Result<Vec<(Reader, Writer)>> {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        let mut guard = ReplayGuard::new();
        let mut connections = Vec::new();
        for _ in 0..count {
            let (mut stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let mut first = [0; FIRST_BYTES];
            stream.read_exact(&mut first).await?;
            let listening = Listening::new(Arc::clone(&self.security), self.seed());
            let answered = listening.answer(&first, &mut guard);
            let (session, second) = answered.map_err(refused)?;
            stream.write_all(&second).await?;
            connections.push(split(stream, session));
        }
        Ok(connections)
    }

    /// Different for each handshake, which is all that a benchmark needs.
    fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&clock().to_be_bytes());
        seed[8..10].copy_from_slice(&self.port.to_be_bytes());
        seed
    }
}

/// Connects as soon as somebody listens there.
pub(super) async fn dial(port: u16) -> io::Result<TcpStream> {
    let deadline = Instant::now() + DIAL_FOR;
    loop {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

fn refused(reason: impl std::fmt::Debug) -> io::Error {
    io::Error::other(format!("the handshake failed: {reason:?}"))
}

fn split(stream: TcpStream, session: Session) -> (Reader, Writer) {
    let (reader, writer) = stream.into_split();
    let reader = Reader {
        half: reader,
        opener: session.opener,
        buffer: vec![0; READ_BYTES],
        filled: 0,
        scratch: Vec::new(),
        partial: Vec::new(),
    };
    let writer = Writer {
        half: writer,
        sealer: session.sealer,
        text: Vec::with_capacity(TEXT_BYTES_MAX),
        sealed: Vec::new(),
        number: 0,
    };
    (reader, writer)
}

fn askers(connections: Vec<(Reader, Writer)>) -> Vec<Asker> {
    let asker = |(answers, questions)| Asker { questions, answers };
    connections.into_iter().map(asker).collect()
}

/// Frames and seals what is sent.
struct Writer {
    half: OwnedWriteHalf,
    sealer: Sealer,
    text: Vec<u8>,
    sealed: Vec<u8>,
    number: u64,
}

impl Writer {
    /// Adds a frame to those that wait.
    fn frame(&mut self, kind: u8, payload: &[u8]) {
        self.text.push(kind);
        let mut length = ENVELOPE_BYTES + payload.len();
        while length > 0x7f {
            self.text.push(length as u8 | 0x80);
            length >>= 7;
        }
        self.text.push(length as u8);
        let mut envelope = [0; ENVELOPE_BYTES];
        envelope[4..].copy_from_slice(&self.number.to_be_bytes());
        self.number += 1;
        self.text.extend_from_slice(&envelope);
        self.text.extend_from_slice(payload);
    }

    /// Seals and writes all that waits, in records as long as they can be.
    async fn flush(&mut self) -> io::Result<()> {
        for text in self.text.chunks(TEXT_BYTES_MAX) {
            self.sealed.clear();
            self.sealer.seal(text, &mut self.sealed);
            self.half.write_all(&self.sealed).await?;
        }
        self.text.clear();
        Ok(())
    }
}

impl Publisher for Writer {
    async fn publish(&mut self, payload: &Bytes) -> io::Result<u64> {
        if self.text.len() + FRAME_BYTES + payload.len() > TEXT_BYTES_MAX {
            self.flush().await?;
        }
        self.frame(KIND_MESSAGE, payload);
        Ok(0)
    }

    async fn flush(&mut self) -> io::Result<()> {
        Writer::flush(self).await
    }
}

/// Opens what comes, and takes it apart.
struct Reader {
    half: OwnedReadHalf,
    opener: Opener,
    buffer: Vec<u8>,
    filled: usize,
    scratch: Vec<u8>,
    /// The beginning of a frame that goes on in the next record.
    partial: Vec<u8>,
}

impl Reader {
    /// Waits for bytes and passes the payloads of all frames that are whole.
    async fn receive(&mut self, mut each: impl FnMut(&[u8]) + Send) -> io::Result<()> {
        let read = self.half.read(&mut self.buffer[self.filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += read;
        let mut rest = &self.buffer[..self.filled];
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some((record, after)) = after.split_at_checked(length) else {
                break;
            };
            let opened = self.opener.open(record, &mut self.scratch);
            let text = opened.map_err(io::Error::other)?;
            if self.partial.is_empty() {
                let left = frames(text, &mut each);
                self.partial.extend_from_slice(left);
            } else {
                self.partial.extend_from_slice(text);
                let left = frames(&self.partial, &mut each).len();
                self.partial.drain(..self.partial.len() - left);
            }
            rest = after;
        }
        let left = rest.len();
        self.buffer.copy_within(self.filled - left..self.filled, 0);
        self.filled = left;
        Ok(())
    }
}

impl Subscriber for Reader {
    async fn batch(&mut self, each: impl FnMut(&[u8]) + Send) -> io::Result<u64> {
        self.receive(each).await?;
        Ok(0)
    }
}

/// Passes the payloads of the whole frames, and returns what is left.
fn frames<'a>(mut text: &'a [u8], each: &mut impl FnMut(&[u8])) -> &'a [u8] {
    while let Some((body, rest)) = frame(text) {
        each(&body[ENVELOPE_BYTES..]);
        text = rest;
    }
    text
}

/// The body of the first frame and what comes after it, if the frame is whole.
fn frame(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_kind, mut rest) = text.split_first()?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return rest.split_at_checked(length);
        }
    }
}

/// One end that asks.
struct Asker {
    questions: Writer,
    answers: Reader,
}

impl Caller for Asker {
    async fn ask(&mut self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            self.questions.frame(KIND_CALL, &[0x5a; 64]);
        }
        self.questions.flush().await
    }

    async fn answers(&mut self) -> io::Result<usize> {
        let mut count = 0;
        while count == 0 {
            self.answers.receive(|_| count += 1).await?;
        }
        Ok(count)
    }
}

/// As in lasso: flags, stream, number and time of a message, and about as much around a call.
const ENVELOPE_BYTES: usize = 12;
/// Kind, length and envelope.
const FRAME_BYTES: usize = 5 + ENVELOPE_BYTES;
/// What a record holds at most.
const TEXT_BYTES_MAX: usize = 65_535 - TAG_BYTES;
/// What is read at a time.
const READ_BYTES: usize = 256 << 10;
/// How long the other side may take until it listens.
const DIAL_FOR: Duration = Duration::from_secs(10);
const KIND_MESSAGE: u8 = 40;
const KIND_CALL: u8 = 48;
const KIND_ANSWER: u8 = 49;
