// SPDX-License-Identifier: MIT
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/xtaci/smux"
)

type options struct {
	listen, connect, role, run, socks     string
	version, streams                      int
	intervalMs, timeoutMs, idleMs         int
	maxFrame, receiveBuffer, streamBuffer int
	size                                  int64
	seed                                  uint64
	watchdogS                             int
	noAccept, careful, about              bool
	tls                                   tlsOptions
}

func parseOptions() options {
	var o options
	flag.StringVar(&o.listen, "listen", "", "")
	flag.StringVar(&o.connect, "connect", "", "")
	flag.StringVar(&o.role, "role", "", "")
	flag.StringVar(&o.run, "run", "", "")
	flag.StringVar(&o.socks, "socks", "", "")
	flag.BoolVar(&o.tls.on, "tls", false, "")
	flag.StringVar(&o.tls.cert, "cert", "", "")
	flag.StringVar(&o.tls.key, "key", "", "")
	flag.StringVar(&o.tls.ca, "ca", "", "")
	flag.StringVar(&o.tls.pin, "pin", "", "")
	flag.StringVar(&o.tls.name, "server-name", "localhost", "")
	flag.StringVar(&o.tls.protocols, "alpn", alpn, "")
	flag.BoolVar(&o.tls.cut, "cut", false, "")
	flag.IntVar(&o.version, "version", 1, "")
	flag.IntVar(&o.streams, "streams", 0, "")
	flag.IntVar(&o.intervalMs, "keepalive-interval-ms", 10000, "")
	flag.IntVar(&o.timeoutMs, "keepalive-timeout-ms", 30000, "")
	flag.IntVar(&o.idleMs, "idle-ms", 4000, "")
	flag.IntVar(&o.maxFrame, "max-frame", 32768, "")
	flag.IntVar(&o.receiveBuffer, "receive-buffer", 4194304, "")
	flag.IntVar(&o.streamBuffer, "stream-buffer", 65536, "")
	flag.Int64Var(&o.size, "size", 0, "")
	flag.Uint64Var(&o.seed, "seed", 1, "")
	flag.IntVar(&o.watchdogS, "timeout-s", 60, "")
	flag.BoolVar(&o.noAccept, "no-accept", false, "")
	flag.BoolVar(&o.careful, "careful-close", false, "")
	flag.BoolVar(&o.about, "about", false, "")
	flag.Parse()
	if o.about {
		return o
	}
	if flag.NArg() > 0 {
		usage("unexpected argument " + flag.Arg(0))
	}
	if (o.listen == "") == (o.connect == "") {
		usage("expected exactly one of --listen and --connect")
	}
	if o.role == "" {
		o.role = map[bool]string{true: "client", false: "server"}[o.connect != ""]
	}
	if o.role != "client" && o.role != "server" {
		usage("--role: expected client or server, got " + o.role)
	}
	return o
}

func usage(why string) {
	fmt.Fprintln(os.Stderr, "go-peer: "+why)
	os.Exit(2)
}

func (o options) config() *smux.Config {
	c := smux.DefaultConfig()
	c.Version = o.version
	c.KeepAliveDisabled = o.intervalMs == 0
	c.KeepAliveInterval = time.Duration(o.intervalMs) * time.Millisecond
	c.KeepAliveTimeout = time.Duration(o.timeoutMs) * time.Millisecond
	c.MaxFrameSize = o.maxFrame
	c.MaxReceiveBuffer = o.receiveBuffer
	c.MaxStreamBuffer = o.streamBuffer
	if err := smux.VerifyConfig(c); err != nil {
		usage(err.Error())
	}
	return c
}
