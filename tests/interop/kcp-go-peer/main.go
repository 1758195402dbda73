// SPDX-License-Identifier: MIT
// kcp-go-peer is one end of a KCP connection by xtaci/kcp-go, without encryption and FEC. It sends
// SIZE bytes while it compares as many from the other end; tests/interop/README.md has the rest.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/xtaci/kcp-go/v5"
)

// limit is the time for all of it, against hangs.
const limit = 200 * time.Second

type options struct {
	listen, connect string
	size            int
	mtu, window     int
	careful         bool
}

func parseOptions() options {
	var o options
	flag.StringVar(&o.listen, "listen", "", "HOST:PORT to be the server at")
	flag.StringVar(&o.connect, "connect", "", "HOST:PORT of the server")
	flag.IntVar(&o.size, "size", 10<<20, "bytes each way")
	flag.IntVar(&o.mtu, "mtu", 1400, "the most bytes of a packet")
	flag.IntVar(&o.window, "window", 128, "segments in flight, and held")
	flag.BoolVar(&o.careful, "careful", false, "with the congestion window, delayed acknowledgements and plain timeouts")
	flag.Parse()
	if (o.listen == "") == (o.connect == "") || flag.NArg() > 0 {
		fail("expected --listen or --connect HOST:PORT")
	}
	return o
}

func fail(what ...any) {
	fmt.Fprintln(os.Stderr, append([]any{"kcp-go-peer:"}, what...)...)
	os.Exit(1)
}

// open returns the connection; a server waits for a client's first packet.
func open(o options) (*kcp.UDPSession, error) {
	if o.connect != "" {
		return kcp.DialWithOptions(o.connect, nil, 0, 0)
	}
	listener, err := kcp.ListenWithOptions(o.listen, nil, 0, 0)
	if err != nil {
		return nil, err
	}
	fmt.Println("listening", listener.Addr())
	return listener.AcceptKCP()
}

func configure(s *kcp.UDPSession, o options) {
	s.SetStreamMode(true)
	s.SetWindowSize(o.window, o.window)
	s.SetMtu(o.mtu)
	s.SetACKNoDelay(!o.careful)
	if o.careful {
		s.SetNoDelay(0, 40, 0, 0)
	} else {
		s.SetNoDelay(1, 10, 2, 1)
	}
}

// byteAt is byte i of what the side sends; the period of 65521 hides no lost or doubled packet.
func byteAt(client bool, i int) byte {
	i %= 65521
	b := byte(i*31 + i>>8*7)
	if client {
		return b
	}
	return ^b
}

func send(s *kcp.UDPSession, o options) {
	piece := make([]byte, 5000)
	for put := 0; put < o.size; {
		n := min(len(piece), o.size-put)
		for i := range n {
			piece[i] = byteAt(o.connect != "", put+i)
		}
		if _, err := s.Write(piece[:n]); err != nil {
			fail("cannot write after", put, "bytes:", err)
		}
		put += n
	}
}

func receive(s *kcp.UDPSession, o options) {
	piece := make([]byte, 7000)
	for got := 0; got < o.size; {
		n, err := s.Read(piece)
		if err != nil {
			fail("cannot read after", got, "bytes:", err)
		}
		for i := range n {
			if got+i >= o.size || piece[i] != byteAt(o.connect == "", got+i) {
				fail("byte", got+i, "differs")
			}
		}
		got += n
	}
}

func main() {
	o := parseOptions()
	time.AfterFunc(limit, func() { fail("it takes too long") })
	s, err := open(o)
	if err != nil {
		fail(err)
	}
	configure(s, o)
	sent := make(chan bool)
	go func() {
		send(s, o)
		close(sent)
	}()
	receive(s, o)
	<-sent
	fmt.Println("ok", o.size, "bytes")
	select {} // what the other end still needs is acknowledged until somebody ends this process
}
