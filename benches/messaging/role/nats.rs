//! NATS' text protocol, spoken by a small client that batches: lines, 64 KiB at a time.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::floor::dial;
use super::loops::{self, Caller, Publisher, Subscriber};
use super::{Job, Stage, unknown};

/// Plays the job's role beside a server of NATS.
pub(super) async fn play(job: Job) -> io::Result<()> {
    match job.role.as_str() {
        "publish" => {
            let (reader, writer) = connect(&job, "").await?;
            tokio::spawn(ignore(reader));
            loops::publish(job, vec![writer]).await
        }
        "watch" => {
            let (reader, writer) = connect(&job, "SUB bench 1\r\n").await?;
            let subscriber = Client { reader, writer };
            loops::watch(job, vec![subscriber]).await
        }
        "call" => {
            let (reader, writer) = connect(&job, "SUB inbox 1\r\n").await?;
            let caller = Client { reader, writer };
            let at_once = job.number("at_once") as usize;
            loops::call(job, vec![caller], at_once).await
        }
        "serve" => {
            let (mut reader, mut writer) = connect(&job, "SUB call 1\r\n").await?;
            let stage = Stage::enter(&job).await;
            let answer = async move {
                loop {
                    reader
                        .receive(|payload| writer.add(b"PUB inbox 64\r\n", payload))
                        .await?;
                    writer.write().await?;
                }
            };
            stage.measure(answer).await
        }
        role => Err(unknown(role)),
    }
}

/// Connects, subscribes, and waits until the server has taken note of it.
async fn connect(job: &Job, subscribe: &str) -> io::Result<(Reader, Writer)> {
    let (reader, writer) = dial(job.server()).await?.into_split();
    let mut reader = Reader {
        half: reader,
        buffer: vec![0; READ_BYTES],
        filled: 0,
        pongs: 0,
    };
    let mut writer = Writer {
        half: writer,
        lines: Vec::new(),
    };
    let hello = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";
    let lines = format!("{hello}{subscribe}PING\r\n");
    writer.lines.extend_from_slice(lines.as_bytes());
    writer.write().await?;
    while reader.pongs == 0 {
        reader.receive(|_| {}).await?;
    }
    Ok((reader, writer))
}

/// Reads what the server says to a publisher. Its pings stay unanswered: it minds that after
/// minutes only.
async fn ignore(mut reader: Reader) {
    while reader.receive(|_| {}).await.is_ok() {}
}

/// One connection that both reads and writes.
struct Client {
    reader: Reader,
    writer: Writer,
}

impl Subscriber for Client {
    async fn batch(&mut self, each: impl FnMut(&[u8]) + Send) -> io::Result<u64> {
        self.reader.receive(each).await?;
        Ok(0)
    }
}

impl Caller for Client {
    async fn ask(&mut self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            self.writer.add(b"PUB call inbox 64\r\n", &[0x5a; 64]);
        }
        self.writer.write().await
    }

    async fn answers(&mut self) -> io::Result<usize> {
        let mut count = 0;
        while count == 0 {
            self.reader.receive(|_| count += 1).await?;
        }
        Ok(count)
    }
}

struct Writer {
    half: OwnedWriteHalf,
    lines: Vec<u8>,
}

impl Writer {
    fn add(&mut self, head: &[u8], payload: &[u8]) {
        self.lines.extend_from_slice(head);
        self.lines.extend_from_slice(payload);
        self.lines.extend_from_slice(b"\r\n");
    }

    async fn write(&mut self) -> io::Result<()> {
        self.half.write_all(&self.lines).await?;
        self.lines.clear();
        Ok(())
    }
}

impl Publisher for Writer {
    async fn publish(&mut self, payload: &Bytes) -> io::Result<u64> {
        self.add(
            format!("PUB bench {}\r\n", payload.len()).as_bytes(),
            payload,
        );
        if self.lines.len() >= WRITE_BYTES {
            self.write().await?;
        }
        Ok(0)
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.write().await
    }
}

struct Reader {
    half: OwnedReadHalf,
    buffer: Vec<u8>,
    filled: usize,
    pongs: usize,
}

impl Reader {
    /// Waits for bytes and passes the payloads of all messages that are whole.
    async fn receive(&mut self, mut each: impl FnMut(&[u8]) + Send) -> io::Result<()> {
        let read = self.half.read(&mut self.buffer[self.filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += read;
        let mut rest = &self.buffer[..self.filled];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            if line.starts_with(b"MSG ") {
                let Some(payload) = after.get(..payload_bytes(line)) else {
                    break;
                };
                let Some(next) = after.get(payload.len() + 2..) else {
                    break;
                };
                each(payload);
                rest = next;
                continue;
            }
            if line.starts_with(b"-ERR") {
                return Err(io::Error::other(String::from_utf8_lossy(line).into_owned()));
            }
            self.pongs += usize::from(line.starts_with(b"PONG"));
            rest = after;
        }
        let left = rest.len();
        self.buffer.copy_within(self.filled - left..self.filled, 0);
        self.filled = left;
        Ok(())
    }
}

/// The last word of the line of a message: how long the payload is.
fn payload_bytes(line: &[u8]) -> usize {
    let digits = line.rsplit(|byte| *byte == b' ').next().unwrap_or(&[]);
    let digits = digits.iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

const READ_BYTES: usize = 256 << 10;
const WRITE_BYTES: usize = 64 << 10;
