// SPDX-License-Identifier: MIT
use std::net::SocketAddrV4;
use std::num::NonZeroU64;

use crate::tls::{TlsOptions, ALPN};

#[derive(Clone)]
pub struct Options {
    pub listen: Option<String>,
    pub connect: Option<String>,
    pub client: bool,
    pub run: String,
    pub socks: Option<SocketAddrV4>,
    pub tls: TlsOptions,
    pub streams: u64,
    pub size: u64,
    pub seed: u64,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    pub idle_ms: u64,
    pub watchdog_s: u64,
    pub careful: bool,
    pub no_accept: bool,
    pub about: bool,
}

impl Options {
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut o = Options {
            listen: None,
            connect: None,
            client: false,
            run: String::new(),
            socks: None,
            tls: TlsOptions {
                name: "localhost".into(),
                protocols: ALPN.into(),
                ..TlsOptions::default()
            },
            streams: 0,
            size: 0,
            seed: 1,
            interval_ms: 10000,
            timeout_ms: 30000,
            idle_ms: 4000,
            watchdog_s: 60,
            careful: false,
            no_accept: false,
            about: false,
        };
        let mut role = None;
        while let Some(name) = args.next() {
            match name.as_str() {
                "--careful-close" => o.careful = true,
                "--no-accept" => o.no_accept = true,
                "--tls" => o.tls.on = true,
                "--renew-keys" => o.tls.renew_keys = true,
                "--about" => o.about = true,
                _ => {
                    let value = args.next().ok_or(format!("{name}: expected a value"))?;
                    o.set(&name, value, &mut role)?;
                }
            }
        }
        if !o.about && o.listen.is_some() == o.connect.is_some() {
            return Err("expected exactly one of --listen and --connect".into());
        }
        o.client = match role.as_deref() {
            None => o.connect.is_some(),
            Some("client") => true,
            Some("server") => false,
            Some(other) => return Err(format!("--role: expected client or server, got {other}")),
        };
        Ok(o)
    }

    fn set(&mut self, name: &str, value: String, role: &mut Option<String>) -> Result<(), String> {
        let parsed = value.parse::<u64>();
        let number = || match &parsed {
            Ok(number) => Ok(*number),
            Err(_) => Err(format!("{name}: expected a number")),
        };
        match name {
            "--listen" => self.listen = Some(value),
            "--connect" => self.connect = Some(value),
            "--role" => *role = Some(value),
            "--run" => self.run = value,
            "--socks" => match value.parse() {
                Ok(target) => self.socks = Some(target),
                Err(_) => return Err(format!("{name}: expected an IPv4 address and a port")),
            },
            "--cert" => self.tls.cert = value,
            "--key" => self.tls.key = value,
            "--ca" => self.tls.ca = value,
            "--pin" => self.tls.pin = value,
            "--psk" => self.tls.psk = value,
            "--server-name" => self.tls.name = value,
            "--alpn" => self.tls.protocols = value,
            "--version" if number()? != 1 => return Err("async_smux speaks version 1 only".into()),
            // What this library has no setting for is accepted, so that one command fits all.
            "--version" | "--max-frame" | "--receive-buffer" | "--stream-buffer" => {}
            "--streams" => self.streams = number()?,
            "--size" => self.size = number()?,
            "--seed" => self.seed = number()?,
            "--keepalive-interval-ms" => self.interval_ms = number()?,
            "--keepalive-timeout-ms" => self.timeout_ms = number()?,
            "--idle-ms" => self.idle_ms = number()?,
            "--timeout-s" => self.watchdog_s = number()?,
            _ => return Err(format!("unknown option {name}")),
        }
        Ok(())
    }

    /// The library counts in whole seconds; anything shorter is rounded up.
    pub fn keepalive_s(&self) -> Option<(NonZeroU64, NonZeroU64)> {
        let interval = NonZeroU64::new(self.interval_ms.div_ceil(1000))?;
        let timeout = NonZeroU64::new(self.timeout_ms.div_ceil(1000)).unwrap_or(interval);
        Some((interval, timeout))
    }
}
