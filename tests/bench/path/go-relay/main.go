// SPDX-License-Identifier: MIT
// A relay as one writes it with Go smux: local ports, each for one server, over one carrier.
//
//	go-relay server CARRIER-PORT
//	go-relay client CARRIER-PORT LISTEN-PORT:SERVER-PORT...
//
// The first two bytes of a stream are the server's port. Version 2, with windows as large as ours; all
// else as the library has it. It has no half-close: a stream ends when one direction does.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"github.com/xtaci/smux"
)

func config() *smux.Config {
	c := smux.DefaultConfig()
	c.Version = 2
	c.MaxReceiveBuffer = 64 << 20
	c.MaxStreamBuffer = 4 << 20
	return c
}

func local(port string) string { return "127.0.0.1:" + port }

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func join(a, b io.ReadWriteCloser) {
	done := make(chan struct{}, 2)
	move := func(to, from io.ReadWriteCloser) {
		io.Copy(to, from)
		done <- struct{}{}
	}
	go move(a, b)
	go move(b, a)
	<-done
	a.Close()
	b.Close()
	<-done
}

func serve(carrier net.Conn) {
	session := must(smux.Server(carrier, config()))
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return
		}
		go func() {
			var port uint16
			if binary.Read(stream, binary.BigEndian, &port) != nil {
				stream.Close()
				return
			}
			server, err := net.Dial("tcp", local(fmt.Sprint(port)))
			if err != nil {
				stream.Close()
				return
			}
			join(server, stream)
		}()
	}
}

func forward(session *smux.Session, listener net.Listener, port uint16) {
	for {
		client := must(listener.Accept())
		stream := must(session.OpenStream())
		go func() {
			if binary.Write(stream, binary.BigEndian, port) != nil {
				client.Close()
				stream.Close()
				return
			}
			join(client, stream)
		}()
	}
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: go-relay server|client CARRIER-PORT [LISTEN-PORT:SERVER-PORT...]")
	}
	if os.Args[1] == "server" {
		listener := must(net.Listen("tcp", local(os.Args[2])))
		for {
			go serve(must(listener.Accept()))
		}
	}
	session := must(smux.Client(must(net.Dial("tcp", local(os.Args[2]))), config()))
	for _, pair := range os.Args[3:] {
		var listen, port uint16
		must(fmt.Sscanf(pair, "%d:%d", &listen, &port))
		go forward(session, must(net.Listen("tcp", local(fmt.Sprint(listen)))), port)
	}
	<-session.CloseChan()
}
