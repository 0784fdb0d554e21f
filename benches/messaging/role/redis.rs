//! Redis' protocol, spoken by a small client that pipelines, 64 KiB at a time.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::floor::dial;
use super::loops::{self, Publisher, Subscriber};
use super::{Job, unknown};

/// Plays the job's role beside a server of Redis.
pub(super) async fn play(job: Job) -> io::Result<()> {
    let (half, writer) = dial(job.server()).await?.into_split();
    let mut reader = Reader {
        half,
        buffer: vec![0; READ_BYTES],
        filled: 0,
    };
    let mut writer = Writer {
        half: writer,
        commands: Vec::new(),
    };
    match job.role.as_str() {
        "publish" => {
            tokio::spawn(ignore(reader));
            loops::publish(job, vec![writer]).await
        }
        "watch" => {
            let subscribe = b"*2\r\n$9\r\nSUBSCRIBE\r\n$5\r\nbench\r\n";
            writer.commands.extend_from_slice(subscribe);
            writer.flush().await?;
            // Its confirmation.
            reader.batch(|_| {}).await?;
            loops::watch(job, vec![reader]).await
        }
        role => Err(unknown(role)),
    }
}

/// Reads the answers to publishes.
async fn ignore(mut reader: Reader) {
    let mut answers = vec![0; READ_BYTES];
    while matches!(reader.half.read(&mut answers).await, Ok(1..)) {}
}

struct Writer {
    half: OwnedWriteHalf,
    commands: Vec<u8>,
}

impl Publisher for Writer {
    async fn publish(&mut self, payload: &Bytes) -> io::Result<u64> {
        let head = format!(
            "*3\r\n$7\r\nPUBLISH\r\n$5\r\nbench\r\n${}\r\n",
            payload.len()
        );
        self.commands.extend_from_slice(head.as_bytes());
        self.commands.extend_from_slice(payload);
        self.commands.extend_from_slice(b"\r\n");
        if self.commands.len() >= WRITE_BYTES {
            self.flush().await?;
        }
        Ok(0)
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.half.write_all(&self.commands).await?;
        self.commands.clear();
        Ok(())
    }
}

struct Reader {
    half: OwnedReadHalf,
    buffer: Vec<u8>,
    filled: usize,
}

impl Subscriber for Reader {
    async fn batch(&mut self, mut each: impl FnMut(&[u8]) + Send) -> io::Result<u64> {
        let read = self.half.read(&mut self.buffer[self.filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += read;
        let mut rest = &self.buffer[..self.filled];
        while let Some((payload, after)) = message(rest) {
            if let Some(payload) = payload {
                each(payload);
            }
            rest = after;
        }
        let left = rest.len();
        self.buffer.copy_within(self.filled - left..self.filled, 0);
        self.filled = left;
        Ok(0)
    }
}

/// One array of three: a message with its payload, or something without one; and what comes after.
fn message(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (_three, rest) = line(bytes)?;
    let (_kind, rest) = part(rest)?;
    let (_topic, rest) = part(rest)?;
    part(rest)
}

/// A string, or a number, which is no payload.
fn part(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (head, rest) = line(bytes)?;
    if !head.starts_with(b"$") {
        return Some((None, rest));
    }
    let digits = head.iter().filter(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    let text = rest.get(..length)?;
    Some((Some(text), rest.get(length + 2..)?))
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

const READ_BYTES: usize = 256 << 10;
const WRITE_BYTES: usize = 64 << 10;
