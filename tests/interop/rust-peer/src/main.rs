// SPDX-License-Identifier: MIT
//! rust-peer is async_smux as an ordinary process: the far end of the interoperability tests.
//! tests/interop/README.md has the command line and the conversation that all peers share.

mod carrier;
mod driver;
mod options;
mod pattern;
mod responder;
mod socks;
mod tls;

use std::process::exit;
use std::sync::Arc;

use async_smux::MuxBuilder;
use carrier::Carrier;
use options::Options;
use tokio::net::{TcpListener, TcpStream};

pub type Stream = async_smux::MuxStream<Carrier>;
pub type Connector = async_smux::MuxConnector<Carrier>;

#[tokio::main]
async fn main() {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("rust-peer: {why}");
            exit(2);
        }
    };
    if options.about {
        println!("async_smux {} close-write=true", env!("ASYNC_SMUX_VERSION"));
        return;
    }
    match run(options).await {
        Ok(status) => exit(status),
        Err(error) => {
            eprintln!("rust-peer: {error}");
            exit(1);
        }
    }
}

async fn run(options: Options) -> std::io::Result<i32> {
    let carrier = open_carrier(&options).await?;
    let mut builder = match options.client {
        true => MuxBuilder::client(),
        false => MuxBuilder::server(),
    };
    if let Some((interval, timeout)) = options.keepalive_s() {
        builder.with_keep_alive_interval(interval);
        builder.with_keep_alive_timeout(timeout);
    }
    let (connector, acceptor, worker) = builder.with_connection(carrier).build();
    let worker = tokio::spawn(worker);
    let responder = Arc::new(responder::Responder::new(connector.clone()));
    if options.no_accept {
        std::future::pending::<()>().await; // until killed
    }
    let accepting = tokio::spawn(responder::accept_loop(responder.clone(), acceptor));
    if !options.run.is_empty() {
        return Ok(driver::drive(options, connector).await);
    }
    let _ = accepting.await;
    let reason = match worker.await {
        Ok(Ok(())) => "closed".to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    responder.report(&reason).await;
    Ok(0)
}

async fn open_carrier(options: &Options) -> std::io::Result<Carrier> {
    let tcp = open_tcp(options).await?;
    tcp.set_nodelay(true)?;
    if !options.tls.on {
        return Ok(Carrier::Plain(tcp));
    }
    let secured = tls::secure(&options.tls, options.listen.is_some(), tcp).await?;
    Ok(match options.tls.renew_keys {
        true => Carrier::Renewing(secured, 0),
        false => Carrier::Tls(secured),
    })
}

async fn open_tcp(options: &Options) -> std::io::Result<TcpStream> {
    if let Some(address) = &options.connect {
        return TcpStream::connect(address).await;
    }
    let listener = TcpListener::bind(options.listen.as_ref().unwrap()).await?;
    println!("listening {}", listener.local_addr()?);
    Ok(listener.accept().await?.0)
}
