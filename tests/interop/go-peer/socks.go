// SPDX-License-Identifier: MIT
package main

import (
	"fmt"
	"io"
	"net"

	"github.com/xtaci/smux"
)

// openTo opens a stream to the target, an IPv4 address and a port, behind smux-gateway: a SOCKS5
// request (RFC 1928, CONNECT, no authentication) at its beginning says which one.
func openTo(session *smux.Session, target string) (*smux.Stream, error) {
	address, err := net.ResolveTCPAddr("tcp4", target)
	if err != nil {
		return nil, err
	}
	s, err := session.OpenStream()
	if err != nil {
		return nil, err
	}
	if err := connectBySocks(s, address); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func connectBySocks(s io.ReadWriter, target *net.TCPAddr) error {
	ask := func(request []byte, answer []byte) error {
		if _, err := s.Write(request); err != nil {
			return err
		}
		_, err := io.ReadFull(s, answer)
		return err
	}
	method := make([]byte, 2)
	if err := ask([]byte{5, 1, 0}, method); err != nil {
		return fmt.Errorf("SOCKS5 greeting: %v", err)
	}
	if method[0] != 5 || method[1] != 0 {
		return fmt.Errorf("SOCKS5 greeting: answered by %v", method)
	}
	request := append([]byte{5, 1, 0, 1}, target.IP.To4()...)
	request = append(request, byte(target.Port>>8), byte(target.Port))
	reply := make([]byte, len(request)) // it has an IPv4 address as well
	if err := ask(request, reply); err != nil {
		return fmt.Errorf("SOCKS5 request: %v", err)
	}
	if reply[1] != 0 || reply[3] != 1 {
		return fmt.Errorf("SOCKS5 request: answered by %v", reply)
	}
	return nil
}
