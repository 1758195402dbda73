// SPDX-License-Identifier: MIT
package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/xtaci/smux"
)

const (
	chunkLen   = 128 << 10
	maxLineLen = 128
)

var errTruncated = errors.New("end of stream before the announced length")

// responder answers the requests that arrive on accepted streams, one goroutine per stream.
type responder struct {
	session                                *smux.Session
	accepted, completed, truncated, failed int64
	streams                                sync.WaitGroup
	gate                                   chan struct{} // one token per `release` request
	ended                                  chan struct{} // closed when nothing can be accepted any more

	lock  sync.Mutex
	early string // what the last `early` stream received
}

func newResponder(s *smux.Session) *responder {
	return &responder{session: s, gate: make(chan struct{}, 1024),
		ended: make(chan struct{}), early: "none"}
}

func (r *responder) acceptLoop() error {
	for {
		s, err := r.session.AcceptStream()
		if err != nil {
			close(r.ended)
			return err
		}
		r.streams.Add(1)
		go r.serve(s)
	}
}

func (r *responder) report(reason error) {
	r.streams.Wait()
	fmt.Printf("session ended: %v accepted=%d completed=%d truncated=%d failed=%d\n", reason,
		r.accepted, r.completed, r.truncated, r.failed)
}

// serve answers one stream. What only serves the driver's bookkeeping is not counted: the
// session may end while its last answer is being read.
func (r *responder) serve(s *smux.Stream) {
	defer r.streams.Done()
	defer s.Close()
	line, err := readLine(s)
	request := strings.Fields(line + " -")[0]
	if !bookkeeping[request] {
		atomic.AddInt64(&r.accepted, 1)
	}
	if err == io.EOF && line == "" {
		err = nil // opened and closed again without a request
	} else if err == nil {
		err = r.answer(s, line)
	}
	switch {
	case bookkeeping[request]:
	case err == nil:
		atomic.AddInt64(&r.completed, 1)
	case errors.Is(err, errTruncated):
		atomic.AddInt64(&r.truncated, 1)
	default:
		fmt.Printf("stream %d %s: %v\n", s.ID(), request, err)
		atomic.AddInt64(&r.failed, 1)
	}
}

var bookkeeping = map[string]bool{"stats": true, "release": true}

var handlers = map[string]func(r *responder, s *smux.Stream, args []uint64) error{
	"echo":    (*responder).echo,
	"sink":    (*responder).sink,
	"source":  (*responder).source,
	"hold":    (*responder).hold,
	"half":    (*responder).half,
	"early":   (*responder).earlyClose,
	"call":    (*responder).call,
	"release": (*responder).release,
	"stats":   (*responder).stats,
}

func (r *responder) answer(s *smux.Stream, line string) (err error) {
	words := strings.Fields(line)
	if len(words) == 0 || handlers[words[0]] == nil {
		return fmt.Errorf("unknown request %q", line)
	}
	args := make([]uint64, 2)
	for i, w := range words[1:] {
		if args[i], err = strconv.ParseUint(w, 10, 64); err != nil {
			return err
		}
	}
	return handlers[words[0]](r, s, args)
}

func readLine(s io.Reader) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for len(line) < maxLineLen {
		if _, err := io.ReadFull(s, one); err != nil {
			return string(line), err
		}
		if one[0] == '\n' {
			return string(line), nil
		}
		line = append(line, one[0])
	}
	return "", errors.New("line too long")
}

func (r *responder) echo(s *smux.Stream, _ []uint64) error {
	b := make([]byte, chunkLen)
	for {
		n, err := s.Read(b)
		if n > 0 {
			if _, werr := s.Write(b[:n]); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// receive reads n bytes and returns their checksum.
func receive(s io.Reader, n uint64) (string, error) {
	var sum checksum
	b := make([]byte, chunkLen)
	for left := n; left > 0; {
		want := uint64(len(b))
		if want > left {
			want = left
		}
		got, err := s.Read(b[:want])
		sum.add(b[:got])
		left -= uint64(got)
		if err == io.EOF && left > 0 {
			return "", fmt.Errorf("%w: %d of %d bytes missing", errTruncated, left, n)
		}
		if err != nil && left > 0 {
			return "", err
		}
	}
	return sum.text(), nil
}

// send writes n bytes of the seed's pattern and returns their checksum.
func send(s io.Writer, n, seed uint64) (string, error) {
	var sum checksum
	b := make([]byte, chunkLen)
	for done := uint64(0); done < n; {
		part := b
		if n-done < uint64(len(part)) {
			part = part[:n-done]
		}
		fillPattern(part, seed, done)
		sum.add(part)
		if _, err := s.Write(part); err != nil {
			return "", err
		}
		done += uint64(len(part))
	}
	return sum.text(), nil
}

func (r *responder) sink(s *smux.Stream, args []uint64) error {
	sum, err := receive(s, args[0])
	if err != nil {
		return err
	}
	if _, err = fmt.Fprintf(s, "%d %s\n", args[0], sum); err != nil {
		return err
	}
	return drain(s)
}

// drain waits for the other side's end of file, so that our Close discards nothing.
func drain(s *smux.Stream) error {
	extra, err := io.ReadAll(s)
	if err == nil && len(extra) > 0 {
		return fmt.Errorf("%d bytes after the end of the conversation", len(extra))
	}
	return err
}

func (r *responder) source(s *smux.Stream, args []uint64) error {
	if _, err := send(s, args[0], args[1]); err != nil {
		return err
	}
	return drain(s)
}

func (r *responder) hold(s *smux.Stream, args []uint64) error {
	if !r.waitGate() {
		return io.ErrClosedPipe
	}
	return r.sink(s, args)
}

func (r *responder) waitGate() bool {
	select {
	case <-r.gate:
		return true
	case <-r.ended:
		return false
	}
}

// half reads to the end of file, replies, and closes; with a first argument of 1 it closes only
// after a `release`, because some versions throw away what their user has not read yet when the
// second of the two FINs arrives.
func (r *responder) half(s *smux.Stream, args []uint64) error {
	b, err := io.ReadAll(s)
	if err != nil {
		return err
	}
	if _, err = fmt.Fprintf(s, "%d %s\n", len(b), checksumOf(b)); err != nil {
		return err
	}
	if _, err = s.Write(b); err != nil {
		return err
	}
	if args[0] == 1 && !r.waitGate() {
		return io.ErrClosedPipe
	}
	return nil
}

// earlyClose ends its own direction first and then goes on reading; what it received is told
// on request by `stats`.
func (r *responder) earlyClose(s *smux.Stream, args []uint64) error {
	if !canCloseWrite() {
		_, err := s.Write([]byte("unsupported\n"))
		return err
	}
	if _, err := s.Write([]byte("bye\n")); err != nil {
		return err
	}
	if _, err := closeWrite(s); err != nil {
		return err
	}
	sum, err := receive(s, args[0])
	if err != nil {
		return err
	}
	r.lock.Lock()
	r.early = fmt.Sprintf("%d:%s", args[0], sum)
	r.lock.Unlock()
	return drain(s)
}

func (r *responder) call(s *smux.Stream, args []uint64) error {
	for i := uint64(0); i < args[0]; i++ {
		if err := callBack(r.session, int(args[1]), i); err != nil {
			fmt.Fprintf(s, "stream %d: %v\n", i, err)
			return err
		}
	}
	if _, err := fmt.Fprintf(s, "called %d\n", args[0]); err != nil {
		return err
	}
	return drain(s)
}

func callBack(session *smux.Session, n int, seed uint64) error {
	s, err := session.OpenStream()
	if err != nil {
		return err
	}
	defer s.Close()
	return exchange(s, pattern(n, seed))
}

func (r *responder) release(s *smux.Stream, _ []uint64) error {
	r.gate <- struct{}{}
	_, err := s.Write([]byte("released\n"))
	if err != nil {
		return err
	}
	return drain(s)
}

func (r *responder) stats(s *smux.Stream, _ []uint64) error {
	r.lock.Lock()
	early := r.early
	r.lock.Unlock()
	_, err := fmt.Fprintf(s, "accepted=%d active=%d early=%s\n", atomic.LoadInt64(&r.accepted),
		r.session.NumStreams(), early)
	if err != nil {
		return err
	}
	return drain(s)
}
