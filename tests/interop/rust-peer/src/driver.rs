// SPDX-License-Identifier: MIT
use std::future::Future;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::io::{split, AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::options::Options;
use crate::pattern::{pattern, Checksum};
use crate::responder::{read_line, receive, send, CHUNK_LEN};
use crate::socks::connect_by_socks;
use crate::{Connector, Stream};

const EXIT_SKIPPED: i32 = 77;
const POLL: Duration = Duration::from_millis(5);

struct Driver {
    o: Options,
    connector: Connector,
}

/// Runs the scenario, prints its one line and returns the exit status.
pub async fn drive(o: Options, connector: Connector) -> i32 {
    let name = o.run.clone();
    let limit = Duration::from_secs(o.watchdog_s);
    let driver = Driver { o, connector };
    let (status, line) = match timeout(limit, driver.run(&name)).await {
        Err(_) => (1, format!("FAIL {name} not finished after {} s", limit.as_secs())),
        Ok(Err(e)) if e.kind() == ErrorKind::Unsupported => {
            (EXIT_SKIPPED, format!("skip {name} {e}"))
        }
        Ok(Err(error)) => (1, format!("FAIL {name} {error}")),
        Ok(Ok(details)) => (0, format!("ok {name} {details}")),
    };
    println!("{line}");
    status
}

/// Sends `data` on a fresh stream to an `echo` and compares what comes back.
pub async fn exchange(s: &mut Stream, data: Vec<u8>) -> Result<()> {
    s.write_all(b"echo\n").await?;
    verify_echo(s, data).await
}

async fn verify_echo(s: &mut Stream, data: Vec<u8>) -> Result<()> {
    let mut back = vec![0; data.len()];
    let (mut reader, mut writer) = split(s);
    let sending = async { writer.write_all(&data).await };
    tokio::try_join!(sending, async { reader.read_exact(&mut back).await.map(|_| ()) })?;
    if back != data {
        return Err(Error::other(format!("echo: {} bytes came back changed", data.len())));
    }
    Ok(())
}

fn expect(got: &str, want: &str, what: &str) -> Result<()> {
    match got == want {
        true => Ok(()),
        false => Err(Error::other(format!("{what}: expected {want}, got {got}"))),
    }
}

/// Names how a transfer ended: a clean end of file, or an error with its text.
fn ending<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => "eof".into(),
        Err(error) => format!("error:{}", error.to_string().replace(' ', "-")),
    }
}

type Scenario<'a> = Pin<Box<dyn Future<Output = Result<String>> + 'a>>;

impl Driver {
    async fn run(&self, name: &str) -> Result<String> {
        let scenario: Scenario = match name {
            "echo" => Box::pin(self.echo()),
            "churn" => Box::pin(self.churn()),
            "bulk-up" => Box::pin(self.bulk_up()),
            "bulk-down" => Box::pin(self.bulk_down()),
            "parallel" => Box::pin(self.parallel()),
            "half-close" => Box::pin(self.half_close()),
            "early-close" => Box::pin(self.early_close()),
            "slow-reader" => Box::pin(self.slow_reader()),
            "keepalive" => Box::pin(self.keepalive()),
            "reverse" => Box::pin(self.reverse()),
            "carrier-loss" => return self.carrier_loss().await,
            "frozen" => return self.frozen().await,
            _ => return Err(Error::other("unknown scenario")),
        };
        let details = scenario.await?;
        self.settle().await?;
        self.connector.clone().close().await.map_err(Error::other)?;
        Ok(details)
    }

    fn streams(&self, otherwise: u64) -> u64 {
        if self.o.streams > 0 {
            self.o.streams
        } else {
            otherwise
        }
    }

    fn size(&self, otherwise: u64) -> u64 {
        if self.o.size > 0 {
            self.o.size
        } else {
            otherwise
        }
    }

    /// Opens a stream; with --socks, to the target behind the gateway.
    async fn open(&self) -> Result<Stream> {
        let mut s = self.connector.connect().map_err(Error::other)?;
        if let Some(target) = self.o.socks {
            connect_by_socks(&mut s, target).await?;
        }
        Ok(s)
    }

    /// Opens a stream and sends the line that says what the other side shall do with it.
    async fn request(&self, line: &str) -> Result<Stream> {
        let mut s = self.open().await?;
        s.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(s)
    }

    /// Makes a request whose whole answer is one line.
    async fn ask(&self, line: &str) -> Result<String> {
        let mut s = self.request(line).await?;
        read_line(&mut s).await
    }

    /// Asks until the other side's answer contains the text; the watchdog bounds it.
    async fn await_stats(&self, text: &str) -> Result<()> {
        while !format!("{} ", self.ask("stats").await?).contains(text) {
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until neither side has a stream left but the one that asks.
    async fn settle(&self) -> Result<()> {
        self.await_stats(" active=1 ").await?;
        while self.connector.get_num_streams() > 0 {
            sleep(POLL).await;
        }
        Ok(())
    }

    async fn echo(&self) -> Result<String> {
        let mut total = 0;
        let limit = self.size(256 << 10);
        for i in 0..self.streams(40) {
            let random = u64::from_le_bytes(pattern(8, self.o.seed + i).try_into().unwrap());
            let len = 1 + random % limit;
            exchange(&mut self.open().await?, pattern(len as usize, self.o.seed + i)).await?;
            total += len;
        }
        Ok(format!("streams={} bytes={total}", self.streams(40)))
    }

    /// Opens and closes: every other stream without a byte.
    async fn churn(&self) -> Result<String> {
        let n = self.streams(5000);
        for i in 0..n {
            let mut s = self.open().await?;
            if i % 2 == 0 {
                exchange(&mut s, pattern(32, i)).await?;
            }
        }
        // Streams without a byte are counted in their own time.
        self.await_stats(&format!("accepted={n} ")).await?;
        Ok(format!("streams={n}"))
    }

    async fn bulk_up(&self) -> Result<String> {
        let n = self.size(1 << 30);
        let begin = Instant::now();
        let mut s = self.request(&format!("sink {n}")).await?;
        let sum = send(&mut s, n, self.o.seed).await?;
        expect(&read_line(&mut s).await?, &format!("{n} {sum}"), "the other side received")?;
        Ok(bulk_details(n, &sum, begin))
    }

    async fn bulk_down(&self) -> Result<String> {
        let n = self.size(1 << 30);
        let begin = Instant::now();
        let mut s = self.request(&format!("source {n} {}", self.o.seed)).await?;
        let got = receive(&mut s, n).await?;
        let elapsed = bulk_details(n, &got, begin);
        expect(&got, &checksum_of_pattern(n, self.o.seed), "received")?;
        Ok(elapsed)
    }

    /// Opens all streams before the first byte flows, then uses all of them at once.
    async fn parallel(&self) -> Result<String> {
        let (n, len) = (self.streams(200), self.size(256 << 10));
        let mut opened = Vec::new();
        for _ in 0..n {
            opened.push(self.request("echo").await?);
        }
        let mut tasks = tokio::task::JoinSet::new();
        for (i, mut s) in opened.into_iter().enumerate() {
            tasks.spawn(async move { verify_echo(&mut s, pattern(len as usize, i as u64)).await });
        }
        while let Some(done) = tasks.join_next().await {
            done.map_err(Error::other)??;
        }
        Ok(format!("streams={n} bytes={}", n * len))
    }

    async fn half_close(&self) -> Result<String> {
        let data = pattern(self.size(48 << 10) as usize, self.o.seed);
        let mut s = self.request(&format!("half {}", self.o.careful as u64)).await?;
        s.write_all(&data).await?;
        s.shutdown().await?;
        if s.write(b"x").await.is_ok() {
            return Err(Error::other("a byte was written after close_write"));
        }
        let want = format!("{} {}", data.len(), Checksum::of(&data));
        expect(&read_line(&mut s).await?, &want, "the other side received")?;
        let mut back = vec![0; data.len()];
        s.read_exact(&mut back).await?;
        if back != data {
            return Err(Error::other("the reply came back changed"));
        }
        if self.o.careful {
            expect(&self.ask("release").await?, "released", "release")?;
        }
        match s.read(&mut back).await? {
            0 => Ok(format!("bytes={} careful={}", data.len(), self.o.careful)),
            n => Err(Error::other(format!("expected the end of file, got {n} bytes"))),
        }
    }

    /// The other side ends its direction first, ours stays usable.
    async fn early_close(&self) -> Result<String> {
        let data = pattern(self.size(48 << 10) as usize, self.o.seed);
        let mut s = self.request(&format!("early {}", data.len())).await?;
        let line = read_line(&mut s).await?;
        if line == "unsupported" {
            let why = "the other side has no close_write";
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
        expect(&line, "bye", "greeting")?;
        if s.read(&mut [0]).await? != 0 {
            return Err(Error::other("expected the end of file after bye"));
        }
        s.write_all(&data).await?;
        if !self.o.careful {
            s.shutdown().await?;
        }
        let want = format!(" early={}:{} ", data.len(), Checksum::of(&data));
        self.await_stats(&want).await?;
        Ok(format!("bytes={} careful={}", data.len(), self.o.careful))
    }

    /// Leaves one stream unread in each direction while others exchange more than any window, and
    /// only then drains the two.
    async fn slow_reader(&self) -> Result<String> {
        let n = self.size(512 << 10);
        let held = self.request(&format!("hold {n}")).await?;
        let seed = self.o.seed;
        let sending = tokio::spawn(async move {
            let mut held = held;
            let sum = send(&mut held, n, seed).await;
            (held, sum)
        });
        let mut unread = self.request(&format!("source {n} {seed}")).await?;
        for i in 0..8 {
            exchange(&mut self.open().await?, pattern(1 << 20, i)).await?;
        }
        expect(&self.ask("release").await?, "released", "release")?;
        let (mut held, sum) = sending.await.map_err(Error::other)?;
        let sum = sum?;
        expect(&read_line(&mut held).await?, &format!("{n} {sum}"), "held stream")?;
        expect(&receive(&mut unread, n).await?, &sum, "unread stream")?;
        Ok(format!("held={} beside={}", 2 * n, 8 << 20))
    }

    async fn keepalive(&self) -> Result<String> {
        let mut s = self.request("echo").await?;
        verify_echo(&mut s, pattern(1000, 1)).await?;
        sleep(Duration::from_millis(self.o.idle_ms)).await;
        verify_echo(&mut s, pattern(1000, 2)).await?;
        let o = &self.o;
        Ok(format!(
            "idle-ms={} interval-ms={} timeout-ms={}",
            o.idle_ms, o.interval_ms, o.timeout_ms
        ))
    }

    /// Lets the other side open the streams.
    async fn reverse(&self) -> Result<String> {
        let (n, len) = (self.streams(50), self.size(100000));
        let line = self.ask(&format!("call {n} {len}")).await?;
        expect(&line, &format!("called {n}"), "call")?;
        Ok(format!("streams={n} bytes={}", n * len))
    }

    /// Transfers without end both ways and says `ready` when bytes flow; the test then kills the
    /// other side. How reading and writing ended is the result; the test judges it.
    async fn carrier_loss(&self) -> Result<String> {
        const ENDLESS: u64 = 1 << 60;
        // In this order: this library takes 64 MiB of a stream that is not read, and then nothing
        // more of any, so the answer to a second request could wait behind the first one's data.
        let mut up = self.request(&format!("sink {ENDLESS}")).await?;
        let mut down = self.request(&format!("source {ENDLESS} 1")).await?;
        let writing = tokio::spawn(async move { send(&mut up, ENDLESS, 2).await });
        receive(&mut down, 8 << 20).await?;
        println!("ready");
        let mut b = vec![0; CHUNK_LEN];
        let read = loop {
            match down.read(&mut b).await {
                Ok(n) if n > 0 => {}
                other => break other,
            }
        };
        let wrote = writing.await.map_err(Error::other)?;
        Ok(format!("read={} write={}", ending(read), ending(wrote)))
    }

    /// Says `ready` and then waits for keepalive to find out that the other side is stopped. The
    /// pause before lets the other side's keepalives be seen: some arm their timeout only then.
    async fn frozen(&self) -> Result<String> {
        let mut s = self.request("echo").await?;
        sleep(Duration::from_millis(self.o.idle_ms)).await;
        verify_echo(&mut s, pattern(1000, 1)).await?;
        println!("ready");
        Ok(format!("read={}", ending(s.read(&mut [0]).await)))
    }
}

fn bulk_details(n: u64, sum: &str, begin: Instant) -> String {
    let rate = n as f64 / 1e6 / begin.elapsed().as_secs_f64();
    format!("bytes={n} checksum={sum} MB/s={rate:.0}")
}

fn checksum_of_pattern(n: u64, seed: u64) -> String {
    let mut sum = Checksum::default();
    let mut b = vec![0; CHUNK_LEN];
    let mut done = 0;
    while done < n {
        let part = &mut b[..(n - done).min(CHUNK_LEN as u64) as usize];
        crate::pattern::fill_pattern(part, seed, done);
        sum.add(part);
        done += part.len() as u64;
    }
    sum.text()
}
