// SPDX-License-Identifier: MIT
//! Carriers over TLS 1.3, by the system's OpenSSL.
use std::io::{Error, Result};
use std::pin::Pin;

use openssl::base64::encode_block;
use openssl::error::ErrorStack;
use openssl::hash::{hash, MessageDigest};
use openssl::ssl::{
    select_next_proto, AlpnError, Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod,
    SslMode, SslRef, SslVerifyMode, SslVersion,
};
use openssl::x509::X509StoreContextRef;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// What TLS calls our protocol.
pub const ALPN: &str = "smux";

/// How the two sides know each other; README.md describes the options.
#[derive(Clone, Default)]
pub struct TlsOptions {
    pub on: bool,
    pub cert: String,
    pub key: String,
    pub ca: String,
    pub pin: String,
    pub psk: String,
    pub name: String,
    pub protocols: String,
    pub renew_keys: bool,
}

/// Shakes hands over the connection. The side that connected it is TLS's client.
pub async fn secure(o: &TlsOptions, server: bool, tcp: TcpStream) -> Result<SslStream<TcpStream>> {
    let told = |why: String| Error::other(format!("TLS: {why}"));
    let context = o.context(server)?;
    let mut ssl = Ssl::new(&context)?;
    if !server {
        ssl.set_hostname(&o.name)?;
        if !o.ca.is_empty() {
            ssl.param_mut().set_host(&o.name)?;
        }
    }
    let mut stream = SslStream::new(ssl, tcp)?;
    let pinned = Pin::new(&mut stream);
    let shaken = if server { pinned.accept().await } else { pinned.connect().await };
    shaken.map_err(|e| told(e.to_string()))?;
    let chosen = stream.ssl().selected_alpn_protocol().unwrap_or(b"");
    if o.protocols == ALPN && chosen != ALPN.as_bytes() {
        return Err(told(format!(
            "expected ALPN {ALPN:?}, got {:?}",
            String::from_utf8_lossy(chosen)
        )));
    }
    Ok(stream)
}

impl TlsOptions {
    fn context(&self, server: bool) -> Result<SslContext> {
        let method = if server { SslMethod::tls_server() } else { SslMethod::tls_client() };
        let mut c = SslContext::builder(method)?;
        c.set_min_proto_version(Some(SslVersion::TLS1_3))?;
        // What could not be written comes again, but perhaps from elsewhere.
        c.set_mode(SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::ENABLE_PARTIAL_WRITE);
        self.speak(&mut c, server)?;
        if !self.cert.is_empty() {
            c.set_certificate_chain_file(&self.cert)?;
            c.set_private_key_file(&self.key, SslFiletype::PEM)?;
        }
        if !self.psk.is_empty() {
            self.share_secret(&mut c, server)?;
        }
        let always = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
        if !self.ca.is_empty() {
            c.set_ca_file(&self.ca)?;
            c.set_verify(always);
        } else if !self.pin.is_empty() {
            let pin = self.pin.clone();
            c.set_verify_callback(always, move |_, chain| has_pin(chain, &pin));
        } else if !server && self.psk.is_empty() {
            let why = "--tls: expected --ca, --pin or --psk, by which the server is known";
            return Err(Error::other(why));
        }
        Ok(c.build())
    }

    fn speak(
        &self,
        c: &mut SslContextBuilder,
        server: bool,
    ) -> std::result::Result<(), ErrorStack> {
        if self.protocols.is_empty() {
            return Ok(());
        }
        let mut wire = vec![self.protocols.len() as u8];
        wire.extend(self.protocols.as_bytes());
        if !server {
            return c.set_alpn_protos(&wire);
        }
        let wire: &'static [u8] = wire.leak(); // it is needed until the end of the process
        c.set_alpn_select_callback(move |_, offered| {
            select_next_proto(wire, offered).ok_or(AlpnError::ALERT_FATAL)
        });
        Ok(())
    }

    /// `IDENTITY:HEX`, as a line of `psk = FILE` has it.
    fn share_secret(&self, c: &mut SslContextBuilder, server: bool) -> Result<()> {
        let (identity, hex) = self.psk.split_once(':').ok_or_else(|| bad_secret(&self.psk))?;
        let byte = |i: usize| hex.get(i..i + 2).and_then(|h| u8::from_str_radix(h, 16).ok());
        let secret: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
        let secret = secret.ok_or_else(|| bad_secret(&self.psk))?;
        let identity = identity.as_bytes().to_vec();
        let hand_over = move |out: &mut [u8]| {
            out[..secret.len()].copy_from_slice(&secret);
            Ok(secret.len())
        };
        if server {
            c.set_psk_server_callback(move |_: &mut SslRef, who, out| match who {
                Some(name) if name == identity => hand_over(out),
                _ => Ok(0),
            });
        } else {
            c.set_psk_client_callback(move |_: &mut SslRef, _, who, out| {
                who[..identity.len()].copy_from_slice(&identity);
                who[identity.len()] = 0;
                hand_over(out)
            });
        }
        Ok(())
    }
}

fn bad_secret(text: &str) -> Error {
    Error::other(format!("--psk: expected IDENTITY:HEX, got {text}"))
}

/// Accepts whoever has proved to have that key, whatever its certificate says.
fn has_pin(chain: &mut X509StoreContextRef, pin: &str) -> bool {
    let own = || -> std::result::Result<String, ErrorStack> {
        let mut key = Vec::new();
        if let Some(certificate) = chain.chain().and_then(|c| c.get(0)).or(chain.current_cert()) {
            key = certificate.public_key()?.public_key_to_der()?;
        }
        Ok(format!("sha256//{}", encode_block(&hash(MessageDigest::sha256(), &key)?)))
    };
    match own() {
        Ok(own) if own == pin => true,
        other => {
            eprintln!("rust-peer: wrong pin: expected {pin}, the other side has {other:?}");
            false
        }
    }
}
