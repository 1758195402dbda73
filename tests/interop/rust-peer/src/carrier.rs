// SPDX-License-Identifier: MIT
//! What a session runs on: a TCP connection, plain or under TLS.
use std::ffi::c_int;
use std::io::Result;
use std::pin::Pin;
use std::task::{Context, Poll};

use foreign_types_shared::ForeignTypeRef;
use openssl::error::ErrorStack;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// Written bytes from one request for new keys to the next.
const KEYS_FOR: usize = 1 << 20;
const SSL_KEY_UPDATE_REQUESTED: c_int = 1;
const SSL_RECEIVED_SHUTDOWN: c_int = 2;

extern "C" {
    fn SSL_key_update(ssl: *mut openssl_sys::SSL, update_type: c_int) -> c_int;
}

pub enum Carrier {
    Plain(TcpStream),
    Tls(SslStream<TcpStream>),
    /// Over and over asks the other side for new keys, and changes its own.
    Renewing(SslStream<TcpStream>, usize),
}

impl Carrier {
    /// Says how a carrier over TLS has ended, as far as is known when its bytes end.
    fn tell_end(&mut self, read: &Poll<Result<()>>, got: usize) {
        let (Carrier::Tls(tls) | Carrier::Renewing(tls, _)) = self else { return };
        if got > 0 || read.is_pending() {
            return;
        }
        // An alert counts as an end for OpenSSL, too, but is an error here.
        // SAFETY: as in renew_keys.
        let seen = unsafe { openssl_sys::SSL_get_shutdown(tls.ssl().as_ptr()) };
        let told = matches!(read, Poll::Ready(Ok(()))) && seen & SSL_RECEIVED_SHUTDOWN != 0;
        println!("TLS ended {} close_notify", if told { "by" } else { "without" });
    }

    fn under(&mut self) -> Pin<&mut dyn Both> {
        match self {
            Carrier::Plain(tcp) => Pin::new(tcp),
            Carrier::Tls(tls) | Carrier::Renewing(tls, _) => Pin::new(tls),
        }
    }

    fn renew_keys(&mut self) {
        if let Carrier::Renewing(tls, left) = self {
            if *left == 0 {
                // SAFETY: the object lives as long as the stream, which nobody else uses now.
                let asked = unsafe { SSL_key_update(tls.ssl().as_ptr(), SSL_KEY_UPDATE_REQUESTED) };
                // Refused while a record is half written: then at the next write.
                let _ = ErrorStack::get();
                *left = if asked == 1 { KEYS_FOR } else { 0 };
            }
        }
    }

    fn count(&mut self, written: &Poll<Result<usize>>) {
        if let (Carrier::Renewing(_, left), Poll::Ready(Ok(n))) = (self, written) {
            *left = left.saturating_sub(*n);
        }
    }
}

trait Both: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Both for T {}

impl AsyncRead for Carrier {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context,
        buf: &mut ReadBuf,
    ) -> Poll<Result<()>> {
        let before = buf.filled().len();
        let read = self.under().poll_read(cx, buf);
        self.tell_end(&read, buf.filled().len() - before);
        read
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context, buf: &[u8]) -> Poll<Result<usize>> {
        self.renew_keys();
        let written = self.under().poll_write(cx, buf);
        self.count(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<Result<()>> {
        self.under().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<Result<()>> {
        self.under().poll_shutdown(cx)
    }
}
