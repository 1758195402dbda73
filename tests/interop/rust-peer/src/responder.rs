// SPDX-License-Identifier: MIT
use std::future::Future;
use std::io::{Error, ErrorKind, Result};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_smux::MuxAcceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::carrier::Carrier;
use crate::driver::exchange;
use crate::pattern::{fill_pattern, pattern, Checksum};
use crate::{Connector, Stream};

pub const CHUNK_LEN: usize = 128 << 10;
const MAX_LINE_LEN: usize = 128;

#[derive(Default)]
struct Counters {
    accepted: AtomicU64,
    completed: AtomicU64,
    truncated: AtomicU64,
    failed: AtomicU64,
}

/// Answers the requests that arrive on accepted streams, one task per stream.
pub struct Responder {
    connector: Connector,
    counters: Counters,
    gate: Semaphore, // one permit per `release` request
    early: Mutex<String>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

pub async fn accept_loop(responder: Arc<Responder>, mut acceptor: MuxAcceptor<Carrier>) {
    while let Some(stream) = acceptor.accept().await {
        let task = serve(responder.clone(), stream);
        let mut tasks = responder.tasks.lock().await;
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
    responder.gate.close();
}

/// Answers one stream. What only serves the driver's bookkeeping is not counted: the session may
/// end while its last answer is being read.
async fn serve(responder: Arc<Responder>, mut stream: Stream) {
    let line = read_line(&mut stream).await;
    let request = line.as_deref().unwrap_or("").split(' ').next().unwrap_or("").to_string();
    let counted = request != "stats" && request != "release";
    let counters = &responder.counters;
    if counted {
        counters.accepted.fetch_add(1, SeqCst);
    }
    let id = stream.get_stream_id();
    let result = match line {
        Ok(line) => responder.answer(&mut stream, &line).await,
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()), // closed without a request
        Err(error) => Err(error),
    };
    drop(stream);
    if !counted {
        return;
    }
    match result {
        Ok(()) => counters.completed.fetch_add(1, SeqCst),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            counters.truncated.fetch_add(1, SeqCst)
        }
        Err(error) => {
            println!("stream {id} {request}: {error}");
            counters.failed.fetch_add(1, SeqCst)
        }
    };
}

/// The stream's first line. NotFound: it ended before the first byte.
pub async fn read_line(stream: &mut Stream) -> Result<String> {
    let mut line = Vec::new();
    while line.len() < MAX_LINE_LEN {
        match stream.read_u8().await {
            Ok(b'\n') => return String::from_utf8(line).map_err(Error::other),
            Ok(byte) => line.push(byte),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof && line.is_empty() => {
                return Err(ErrorKind::NotFound.into());
            }
            Err(e) => return Err(e),
        }
    }
    Err(Error::other("line too long"))
}

/// Reads `n` bytes and returns their checksum.
pub async fn receive(stream: &mut Stream, n: u64) -> Result<String> {
    let mut sum = Checksum::default();
    let mut b = vec![0; CHUNK_LEN];
    let mut left = n;
    while left > 0 {
        let want = left.min(CHUNK_LEN as u64) as usize;
        let got = stream.read(&mut b[..want]).await?;
        if got == 0 {
            let text = format!("end of stream with {left} of {n} bytes missing");
            return Err(Error::new(ErrorKind::UnexpectedEof, text));
        }
        sum.add(&b[..got]);
        left -= got as u64;
    }
    Ok(sum.text())
}

/// Hands `n` bytes of the seed's pattern to `write`, piece by piece, and returns their checksum.
pub async fn send(stream: &mut Stream, n: u64, seed: u64) -> Result<String> {
    let mut sum = Checksum::default();
    let mut b = vec![0; CHUNK_LEN];
    let mut done = 0;
    while done < n {
        let part = &mut b[..(n - done).min(CHUNK_LEN as u64) as usize];
        fill_pattern(part, seed, done);
        sum.add(part);
        stream.write_all(part).await?;
        done += part.len() as u64;
    }
    stream.flush().await?;
    Ok(sum.text())
}

/// Waits for the other side's end of file.
async fn drain(stream: &mut Stream) -> Result<()> {
    let mut extra = Vec::new();
    match stream.read_to_end(&mut extra).await? {
        0 => Ok(()),
        n => Err(Error::other(format!("{n} bytes after the end of the conversation"))),
    }
}

impl Responder {
    pub fn new(connector: Connector) -> Self {
        Responder {
            connector,
            counters: Counters::default(),
            gate: Semaphore::new(0),
            early: Mutex::new("none".into()),
            tasks: tokio::sync::Mutex::new(JoinSet::new()),
        }
    }

    pub async fn report(&self, reason: &str) {
        while self.tasks.lock().await.join_next().await.is_some() {}
        let c = &self.counters;
        println!(
            "session ended: {reason} accepted={} completed={} truncated={} failed={}",
            c.accepted.load(SeqCst),
            c.completed.load(SeqCst),
            c.truncated.load(SeqCst),
            c.failed.load(SeqCst)
        );
    }

    fn answer<'a>(
        &'a self,
        s: &'a mut Stream,
        line: &'a str,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>> {
        let mut words = line.split(' ');
        let request = words.next().unwrap_or("");
        let mut number = || words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
        let (a, b): (u64, u64) = (number(), number());
        match request {
            "echo" => Box::pin(self.echo(s)),
            "sink" => Box::pin(self.sink(s, a)),
            "source" => Box::pin(self.source(s, a, b)),
            "hold" => Box::pin(self.hold(s, a)),
            "half" => Box::pin(self.half(s, a)),
            "early" => Box::pin(self.early_close(s, a)),
            "call" => Box::pin(self.call(s, a, b)),
            "release" => Box::pin(self.release(s)),
            "stats" => Box::pin(self.stats(s)),
            _ => Box::pin(async move { Err(Error::other(format!("unknown request {line:?}"))) }),
        }
    }

    async fn echo(&self, s: &mut Stream) -> Result<()> {
        let mut b = vec![0; CHUNK_LEN];
        loop {
            match s.read(&mut b).await? {
                0 => return Ok(()),
                n => s.write_all(&b[..n]).await?,
            }
        }
    }

    async fn sink(&self, s: &mut Stream, n: u64) -> Result<()> {
        let sum = receive(s, n).await?;
        s.write_all(format!("{n} {sum}\n").as_bytes()).await?;
        drain(s).await
    }

    async fn source(&self, s: &mut Stream, n: u64, seed: u64) -> Result<()> {
        send(s, n, seed).await?;
        drain(s).await
    }

    async fn wait_gate(&self) -> Result<()> {
        self.gate.acquire().await.map_err(Error::other)?.forget();
        Ok(())
    }

    async fn hold(&self, s: &mut Stream, n: u64) -> Result<()> {
        self.wait_gate().await?;
        self.sink(s, n).await
    }

    /// Reads to the end of file, replies, and closes; when careful, only after a `release`. Closing
    /// is dropping: shutdown() can fail with the session's end although its FIN has arrived.
    async fn half(&self, s: &mut Stream, careful: u64) -> Result<()> {
        let mut b = Vec::new();
        s.read_to_end(&mut b).await?;
        s.write_all(format!("{} {}\n", b.len(), Checksum::of(&b)).as_bytes()).await?;
        s.write_all(&b).await?;
        if careful == 1 {
            self.wait_gate().await?;
        }
        Ok(())
    }

    /// Ends its own direction first and then goes on reading; what it received is told on request
    /// by `stats`.
    async fn early_close(&self, s: &mut Stream, n: u64) -> Result<()> {
        s.write_all(b"bye\n").await?;
        s.shutdown().await?;
        let sum = receive(s, n).await?;
        *self.early.lock().unwrap() = format!("{n}:{sum}");
        drain(s).await
    }

    async fn call(&self, s: &mut Stream, streams: u64, len: u64) -> Result<()> {
        for i in 0..streams {
            let mut back = self.connector.connect().map_err(Error::other)?;
            if let Err(error) = exchange(&mut back, pattern(len as usize, i)).await {
                s.write_all(format!("stream {i}: {error}\n").as_bytes()).await?;
                return Err(error);
            }
        }
        s.write_all(format!("called {streams}\n").as_bytes()).await?;
        drain(s).await
    }

    async fn release(&self, s: &mut Stream) -> Result<()> {
        self.gate.add_permits(1);
        s.write_all(b"released\n").await?;
        drain(s).await
    }

    async fn stats(&self, s: &mut Stream) -> Result<()> {
        let early = self.early.lock().unwrap().clone();
        let accepted = self.counters.accepted.load(SeqCst);
        let active = self.connector.get_num_streams();
        let line = format!("accepted={accepted} active={active} early={early}\n");
        s.write_all(line.as_bytes()).await?;
        drain(s).await
    }
}
