// SPDX-License-Identifier: MIT
//! A relay as one writes it with async_smux: local ports, each for one server, over one carrier.
//!
//!     rust-relay server CARRIER-PORT
//!     rust-relay client CARRIER-PORT LISTEN-PORT:SERVER-PORT...
//!
//! The first two bytes of a stream are the server's port. All settings as the library has them.

use std::io::{Error, Result};
use std::sync::Arc;

use async_smux::{MuxBuilder, MuxConnector};
use tokio::io::{copy_bidirectional, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Connector = MuxConnector<TcpStream>;

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("server") if args.len() == 3 => serve(number(&args[2])?).await,
        Some("client") if args.len() > 3 => drive(number(&args[2])?, &args[3..]).await,
        _ => Err(Error::other("usage: server|client CARRIER-PORT [LISTEN-PORT:SERVER-PORT...]")),
    }
}

fn number(text: &str) -> Result<u16> {
    text.parse().map_err(|_| Error::other(format!("expected a port, got {text}")))
}

async fn serve(port: u16) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let carrier = listener.accept().await?.0;
        carrier.set_nodelay(true)?;
        tokio::spawn(async move {
            let (_connector, mut acceptor, worker) =
                MuxBuilder::server().with_connection(carrier).build();
            tokio::spawn(worker);
            while let Some(mut stream) = acceptor.accept().await {
                tokio::spawn(async move {
                    let port = stream.read_u16().await?;
                    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
                    server.set_nodelay(true)?;
                    copy_bidirectional(&mut stream, &mut server).await
                });
            }
        });
    }
}

async fn drive(port: u16, pairs: &[String]) -> Result<()> {
    let carrier = TcpStream::connect(("127.0.0.1", port)).await?;
    carrier.set_nodelay(true)?;
    let (connector, _acceptor, worker) = MuxBuilder::client().with_connection(carrier).build();
    let connector = Arc::new(connector);
    for pair in pairs {
        let (listen, server) =
            pair.split_once(':').ok_or(Error::other("expected LISTEN:SERVER"))?;
        let listener = TcpListener::bind(("127.0.0.1", number(listen)?)).await?;
        tokio::spawn(forward(connector.clone(), listener, number(server)?));
    }
    worker.await.map_err(Error::other)
}

async fn forward(connector: Arc<Connector>, listener: TcpListener, port: u16) -> Result<()> {
    loop {
        let mut client = listener.accept().await?.0;
        client.set_nodelay(true)?;
        let mut stream = connector.connect().map_err(Error::other)?;
        tokio::spawn(async move {
            stream.write_u16(port).await?;
            stream.flush().await?;
            copy_bidirectional(&mut client, &mut stream).await
        });
    }
}
