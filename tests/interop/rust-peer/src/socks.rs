// SPDX-License-Identifier: MIT
use std::io::{Error, Result};
use std::net::SocketAddrV4;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Stream;

/// Asks smux-gateway, at the beginning of a stream, for a connection to the target: a SOCKS5 request
/// (RFC 1928, CONNECT, no authentication).
pub async fn connect_by_socks(s: &mut Stream, target: SocketAddrV4) -> Result<()> {
    s.write_all(&[5, 1, 0]).await?;
    let mut method = [0; 2];
    s.read_exact(&mut method).await?;
    if method != [5, 0] {
        return Err(Error::other(format!("SOCKS5 greeting: answered by {method:?}")));
    }
    let mut request = vec![5, 1, 0, 1];
    request.extend(target.ip().octets());
    request.extend(target.port().to_be_bytes());
    s.write_all(&request).await?;
    let mut reply = [0; 10]; // it has an IPv4 address as well
    s.read_exact(&mut reply).await?;
    if (reply[1], reply[3]) != (0, 1) {
        return Err(Error::other(format!("SOCKS5 request: answered by {reply:?}")));
    }
    Ok(())
}
