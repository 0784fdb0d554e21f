//! Connections to providers that are kept between requests.
//!
//! A provider closes a kept connection whenever it likes, and a request that is written to it meanwhile is
//! lost: nobody can tell whether it was carried out. So before a request is written, the connection is
//! looked at once more. What finds it closed, or finds an answer that no request has asked for, has sent
//! nothing, and says so: [`not_sent`].

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;
use tower_service::Service;

/// Makes connections that are looked at before each request.
#[derive(Clone)]
pub(crate) struct Connector(pub(crate) HttpConnector);

/// One of them.
pub(crate) struct Kept {
    io: TokioIo<TcpStream>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A request is being written, or nothing was yet.
    Asking,
    /// It has been written.
    Asked,
    /// Something of the answer has come; what is written next is another request.
    Answered,
}

/// Nothing of the request has been sent.
#[derive(Debug)]
struct NotSent;

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kept connection was closed before the request was sent")
    }
}

impl Error for NotSent {}

/// True when an error says that nothing of the request has been sent.
pub(crate) fn not_sent(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        let inner = io.and_then(io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<NotSent>()) {
            return true;
        }
        next = error.source();
    }
    false
}

impl Service<Uri> for Connector {
    type Response = Kept;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Kept, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Uri>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.0.call(to);
        Box::pin(async move {
            let io = connecting.await?;
            let state = State::Asking;
            Ok(Kept { io, state })
        })
    }
}

impl Connection for Kept {
    fn connected(&self) -> Connected {
        self.io.connected()
    }
}

impl Kept {
    /// Before something is written.
    fn look(&mut self) -> io::Result<()> {
        if self.state != State::Answered {
            return Ok(());
        }
        let mut one = [MaybeUninit::uninit()];
        match SockRef::from(self.io.inner()).peek(&mut one) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.state = State::Asking;
                Ok(())
            }
            _ => Err(io::Error::new(io::ErrorKind::ConnectionAborted, NotSent)),
        }
    }
}

impl Read for Kept {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_read(cx, into))?;
        if self.state == State::Asked {
            self.state = State::Answered;
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Kept {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look()?;
        Pin::new(&mut self.io).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        if self.state == State::Asking {
            self.state = State::Asked;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look()?;
        Pin::new(&mut self.io).poll_write_vectored(cx, from)
    }
}
