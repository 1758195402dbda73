// SPDX-License-Identifier: MIT
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
)

// What TLS calls our protocol.
const alpn = "smux"

// tlsOptions say how the two sides know each other; README.md describes them.
type tlsOptions struct {
	on, cut                             bool
	cert, key, ca, pin, name, protocols string
}

// secure shakes hands over the connection. The side that connected it is TLS's client.
func secure(o tlsOptions, server bool, conn net.Conn) (net.Conn, error) {
	config, err := o.config(server)
	if err != nil {
		return nil, err
	}
	start := tls.Client
	if server {
		start = tls.Server
	}
	secured := start(conn, config)
	if err := secured.Handshake(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS: %v", err)
	}
	if got := secured.ConnectionState().NegotiatedProtocol; o.protocols == alpn && got != alpn {
		secured.Close()
		return nil, fmt.Errorf("TLS: expected ALPN %q, got %q", alpn, got)
	}
	if o.cut {
		return cutConn{secured, conn}, nil
	}
	return secured, nil
}

// cutConn ends without close_notify, as a connection does that somebody cuts.
type cutConn struct {
	*tls.Conn
	beneath net.Conn
}

func (c cutConn) Close() error { return c.beneath.Close() }

func (o tlsOptions) config(server bool) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: o.name}
	if o.protocols != "" {
		c.NextProtos = []string{o.protocols}
	}
	if o.cert != "" {
		own, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{own}
	}
	if o.ca != "" {
		return c, o.trustAuthority(c)
	}
	if o.pin != "" {
		o.trustPin(c)
	} else if !server {
		return nil, errors.New("--tls: expected --ca or --pin, by which the server is known")
	}
	return c, nil
}

func (o tlsOptions) trustAuthority(c *tls.Config) error {
	pem, err := os.ReadFile(o.ca)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s: expected certificates (PEM)", o.ca)
	}
	c.RootCAs, c.ClientCAs, c.ClientAuth = pool, pool, tls.RequireAndVerifyClientCert
	return nil
}

// trustPin accepts whoever has proved to have that key, whatever its certificate says.
func (o tlsOptions) trustPin(c *tls.Config) {
	c.InsecureSkipVerify = true
	c.ClientAuth = tls.RequireAnyClientCert
	c.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
		peer, err := x509.ParseCertificate(raw[0])
		if err != nil {
			return err
		}
		sum := sha256.Sum256(peer.RawSubjectPublicKeyInfo)
		pin := "sha256//" + base64.StdEncoding.EncodeToString(sum[:])
		if pin != o.pin {
			return fmt.Errorf("wrong pin: expected %s, the other side has %s", o.pin, pin)
		}
		return nil
	}
}
