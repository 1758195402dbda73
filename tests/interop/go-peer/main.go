// SPDX-License-Identifier: MIT
// go-peer is xtaci/smux as an ordinary process: the far end of the interoperability tests.
// tests/interop/README.md has the command line and the conversation that all peers share.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/xtaci/smux"
)

// libraryVersion is set by the linker: the same source is built against several versions.
var libraryVersion = "unknown"

func main() {
	o := parseOptions()
	if o.about {
		fmt.Printf("xtaci/smux %s close-write=%v\n", libraryVersion, canCloseWrite())
		return
	}
	config := o.config()
	carrier, err := openCarrier(o)
	if err == nil && o.tls.on {
		carrier, err = secure(o.tls, o.listen != "", carrier)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "go-peer:", err)
		os.Exit(1)
	}
	start := smux.Server
	if o.role == "client" {
		start = smux.Client
	}
	session, err := start(carrier, config)
	if err != nil {
		fmt.Fprintln(os.Stderr, "go-peer:", err)
		os.Exit(1)
	}
	r := newResponder(session)
	if o.run != "" {
		go r.acceptLoop()
		os.Exit(drive(o, session))
	}
	if o.noAccept {
		select {} // until killed
	}
	var closing sync.Mutex
	go closeOnSignal(session, &closing)
	reason := r.acceptLoop()
	session.Close()
	closing.Lock() // whoever closes first says goodbye, which may take until after the loop's end
	r.report(reason)
}

// closeOnSignal ends the session in order, which ends the process.
func closeOnSignal(session *smux.Session, closing *sync.Mutex) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	<-c
	closing.Lock()
	defer closing.Unlock()
	session.Close()
}

func openCarrier(o options) (net.Conn, error) {
	if o.connect != "" {
		return net.Dial("tcp", o.connect)
	}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	fmt.Printf("listening %s\n", l.Addr())
	return l.Accept()
}

// halfCloser is what newer versions offer; older ones can only close both ways.
type halfCloser interface{ CloseWrite() error }

func canCloseWrite() bool {
	var s interface{} = (*smux.Stream)(nil)
	_, ok := s.(halfCloser)
	return ok
}

func closeWrite(s *smux.Stream) (supported bool, err error) {
	var any interface{} = s
	h, ok := any.(halfCloser)
	if !ok {
		return false, nil
	}
	return true, h.CloseWrite()
}
