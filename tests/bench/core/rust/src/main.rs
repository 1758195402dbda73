// SPDX-License-Identifier: MIT
//! The benchmark's Rust side: async_smux over TCP. Same command line and modes as the C programs
//! (see bench.h). BENCH_RUST_THREADS chooses the number of worker threads; 0, the default, runs all on
//! the current thread, which is the fastest almost everywhere.

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use async_smux::{MuxAcceptor, MuxBuilder, MuxConnector, MuxStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const WRITE_LEN: usize = 128 << 10;
const PING_LEN: usize = 64;
const GREETING_LEN: usize = 64;
/// All streams write the same, as the peers do.
static DATA: [u8; WRITE_LEN] = [0; WRITE_LEN];

type Stream = MuxStream<TcpStream>;
type Connector = MuxConnector<TcpStream>;
type Acceptor = MuxAcceptor<TcpStream>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    if args.len() < 5 {
        return Err(Error::other("usage: see bench.h"));
    }
    let threads: usize =
        std::env::var("BENCH_RUST_THREADS").ok().and_then(|t| t.parse().ok()).unwrap_or(0);
    let mut builder = match threads {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()?.block_on(async {
        match args[1].as_str() {
            "server" => serve(&args[2], number(&args[4])).await,
            _ => {
                let duration = Duration::from_secs_f64(args[6].parse().unwrap());
                drive(&args[2], number(&args[4]), number(&args[5]), duration).await
            }
        }
    })
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

async fn serve(mode: &str, streams: usize) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("port {}", listener.local_addr()?.port());
    let carrier = listener.accept().await?.0;
    carrier.set_nodelay(true)?;
    let (_connector, mut acceptor, worker) = MuxBuilder::server().with_connection(carrier).build();
    tokio::spawn(worker);
    match mode {
        "throughput" => throughput_server(&mut acceptor, streams).await,
        "churn" => churn_server(&mut acceptor).await,
        "latency" => latency_server(&mut acceptor).await,
        _ => memory_server(&mut acceptor, streams).await,
    }
}

async fn drive(mode: &str, streams: usize, port: usize, duration: Duration) -> Result<()> {
    let carrier = TcpStream::connect(("127.0.0.1", port as u16)).await?;
    carrier.set_nodelay(true)?;
    let (connector, _acceptor, worker) = MuxBuilder::client().with_connection(carrier).build();
    tokio::spawn(worker);
    match mode {
        "throughput" => throughput_client(&connector, streams, duration).await,
        "churn" => churn_client(&connector, streams, duration).await,
        "latency" => latency_client(&connector, duration).await,
        _ => memory_client(&connector, streams).await,
    }
}

fn open(connector: &Connector) -> Result<Stream> {
    connector.connect().map_err(Error::other)
}

async fn accept(acceptor: &mut Acceptor) -> Result<Stream> {
    acceptor.accept().await.ok_or(Error::other("session ended"))
}

async fn throughput_client(c: &Connector, streams: usize, duration: Duration) -> Result<()> {
    let end = Instant::now() + duration;
    let mut tasks = JoinSet::new();
    for _ in 0..streams {
        let mut s = open(c)?;
        tasks.spawn(async move {
            let mut sent = 0;
            loop {
                s.write_all(&DATA).await.unwrap();
                sent += WRITE_LEN;
                if Instant::now() >= end {
                    return (s, sent);
                }
            }
        });
    }
    let mut done = Vec::new();
    while let Some(stream) = tasks.join_next().await {
        done.push(stream.map_err(Error::other)?);
    }
    println!("bytes_sent={}", done.iter().map(|(_, sent)| sent).sum::<usize>());
    for (s, _) in &mut done {
        let _ = s.shutdown().await; // the server may be faster in ending the session
    }
    std::future::pending().await // the server ends the pair
}

async fn throughput_server(acceptor: &mut Acceptor, streams: usize) -> Result<()> {
    let mut tasks = JoinSet::new();
    let mut first = None;
    for _ in 0..streams {
        let mut s = accept(acceptor).await?;
        first.get_or_insert_with(Instant::now);
        tasks.spawn(async move {
            let mut data = vec![0; WRITE_LEN];
            let mut bytes = 0;
            loop {
                match s.read(&mut data).await.unwrap() {
                    0 => return bytes,
                    n => bytes += n,
                }
            }
        });
    }
    let mut total = 0;
    while let Some(bytes) = tasks.join_next().await {
        total += bytes.map_err(Error::other)?;
    }
    println!("bytes_received={total}");
    println!("throughput_mb_s={:.1}", total as f64 / 1e6 / first.unwrap().elapsed().as_secs_f64());
    Ok(())
}

/// Opens and closes without end from `streams` tasks. Opening only queues a frame, so that each
/// task lets the session's worker run now and then; otherwise the queue would grow and nothing go.
async fn churn_client(c: &Connector, tasks: usize, duration: Duration) -> Result<()> {
    let end = Instant::now() + duration;
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        let c = c.clone();
        running.spawn(async move {
            loop {
                for _ in 0..8 {
                    drop(open(&c).unwrap());
                }
                tokio::task::yield_now().await;
                if Instant::now() >= end {
                    break;
                }
            }
        });
    }
    while running.join_next().await.is_some() {}
    c.clone().close().await.map_err(Error::other)
}

async fn churn_server(acceptor: &mut Acceptor) -> Result<()> {
    let mut count = 0;
    let mut first = None;
    let mut last = Instant::now();
    while let Some(s) = acceptor.accept().await {
        first.get_or_insert_with(Instant::now);
        drop(s);
        last = Instant::now();
        count += 1;
    }
    println!("churn_per_s={:.0}", count as f64 / (last - first.unwrap()).as_secs_f64());
    Ok(())
}

async fn latency_client(c: &Connector, duration: Duration) -> Result<()> {
    let mut s = open(c)?;
    let mut data = [0; PING_LEN];
    let begin = Instant::now();
    let mut rounds = 0;
    while rounds == 0 || begin.elapsed() < duration {
        s.write_all(&data).await?;
        s.read_exact(&mut data).await?;
        rounds += 1;
    }
    println!("latency_us={:.2}", begin.elapsed().as_secs_f64() * 1e6 / rounds as f64);
    Ok(())
}

async fn latency_server(acceptor: &mut Acceptor) -> Result<()> {
    let mut s = accept(acceptor).await?;
    let mut data = [0; PING_LEN];
    while s.read_exact(&mut data).await.is_ok() {
        s.write_all(&data).await?;
    }
    Ok(())
}

fn resident_bytes() -> i64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<i64>().unwrap() * 4096
}

fn report_memory(before: i64, streams: usize) {
    println!("memory_per_stream={}", (resident_bytes() - before) / streams as i64);
}

async fn memory_client(c: &Connector, streams: usize) -> Result<()> {
    let before = resident_bytes();
    let mut all = Vec::new();
    for _ in 0..streams {
        let mut s = open(c)?;
        s.write_all(&[0; GREETING_LEN]).await?;
        s.flush().await?;
        all.push(s);
    }
    // The last one is answered when the server has read all.
    all.last_mut().unwrap().read_u8().await?;
    report_memory(before, streams);
    Ok(())
}

async fn memory_server(acceptor: &mut Acceptor, streams: usize) -> Result<()> {
    let before = resident_bytes();
    let mut all = Vec::new();
    for _ in 0..streams {
        let mut s = accept(acceptor).await?;
        s.read_exact(&mut [0; GREETING_LEN]).await?;
        all.push(s);
    }
    report_memory(before, streams);
    all.last_mut().unwrap().write_all(b"x").await?;
    let _ = acceptor.accept().await;
    Ok(())
}
