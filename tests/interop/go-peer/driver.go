// SPDX-License-Identifier: MIT
package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xtaci/smux"
)

const exitSkipped = 77

// skipped is a scenario's answer when the library lacks what the scenario needs.
type skipped string

func (s skipped) Error() string { return string(s) }

type driver struct {
	o         options
	session   *smux.Session
	listening sync.WaitGroup
	unheard   int64
}

var scenarios = map[string]func(d *driver) (string, error){
	"echo":         (*driver).echo,
	"churn":        (*driver).churn,
	"bulk-up":      (*driver).bulkUp,
	"bulk-down":    (*driver).bulkDown,
	"parallel":     (*driver).parallel,
	"half-close":   (*driver).halfClose,
	"early-close":  (*driver).earlyClose,
	"slow-reader":  (*driver).slowReader,
	"keepalive":    (*driver).keepalive,
	"reverse":      (*driver).reverse,
	"carrier-loss": (*driver).carrierLoss,
	"frozen":       (*driver).frozen,
	"spoken-to":    (*driver).spokenTo,
}

// endsWithCarrier are the scenarios after which nobody is left to talk to, or nobody who answers.
var endsWithCarrier = map[string]bool{"carrier-loss": true, "frozen": true, "spoken-to": true}

// drive runs the scenario, prints its one line and returns the exit status.
func drive(o options, session *smux.Session) int {
	run := scenarios[o.run]
	if run == nil {
		usage("--run: unknown scenario " + o.run)
	}
	time.AfterFunc(time.Duration(o.watchdogS)*time.Second, func() {
		fmt.Printf("FAIL %s not finished after %d s\n", o.run, o.watchdogS)
		os.Exit(1)
	})
	d := &driver{o: o, session: session}
	details, err := run(d)
	if err == nil && !session.IsClosed() && !endsWithCarrier[o.run] {
		err = d.settle()
	}
	session.Close()
	if why, ok := err.(skipped); ok {
		fmt.Printf("skip %s %s\n", o.run, string(why))
		return exitSkipped
	}
	if err != nil {
		fmt.Printf("FAIL %s %v\n", o.run, err)
		return 1
	}
	fmt.Printf("ok %s %s\n", o.run, details)
	return 0
}

func (d *driver) streams(otherwise int) int {
	if d.o.streams > 0 {
		return d.o.streams
	}
	return otherwise
}

func (d *driver) size(otherwise int64) int64 {
	if d.o.size > 0 {
		return d.o.size
	}
	return otherwise
}

// open opens a stream; with --socks, to the target behind the gateway.
func (d *driver) open() (*smux.Stream, error) {
	if d.o.socks != "" {
		return openTo(d.session, d.o.socks)
	}
	return d.session.OpenStream()
}

// request opens a stream and sends the line that says what the other side shall do with it.
func (d *driver) request(format string, args ...interface{}) (*smux.Stream, error) {
	s, err := d.open()
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(s, format+"\n", args...); err != nil {
		return nil, err
	}
	return s, nil
}

// ask makes a request whose whole answer is one line.
func (d *driver) ask(format string, args ...interface{}) (string, error) {
	s, err := d.request(format, args...)
	if err != nil {
		return "", err
	}
	defer s.Close()
	return readLine(s)
}

// exchange sends data on a fresh stream to an `echo` and compares what comes back.
func exchange(s *smux.Stream, data []byte) error {
	if _, err := s.Write([]byte("echo\n")); err != nil {
		return err
	}
	return verifyEcho(s, data)
}

func verifyEcho(s *smux.Stream, data []byte) error {
	written := make(chan error, 1)
	go func() {
		_, err := s.Write(data)
		written <- err
	}()
	back := make([]byte, len(data))
	if n, err := io.ReadFull(s, back); err != nil {
		return fmt.Errorf("echo: %v after %d of %d bytes", err, n, len(data))
	}
	if err := <-written; err != nil {
		return err
	}
	if !bytes.Equal(data, back) {
		return fmt.Errorf("echo: %d bytes came back changed", len(data))
	}
	return nil
}

func (d *driver) echo() (string, error) {
	rng := rand.New(rand.NewSource(int64(d.o.seed)))
	total := 0
	for i := 0; i < d.streams(40); i++ {
		s, err := d.open()
		if err != nil {
			return "", err
		}
		n := 1 + rng.Intn(int(d.size(256<<10)))
		if err := exchange(s, pattern(n, d.o.seed+uint64(i))); err != nil {
			return "", fmt.Errorf("stream %d: %v", i, err)
		}
		s.Close()
		total += n
	}
	return fmt.Sprintf("streams=%d bytes=%d", d.streams(40), total), nil
}

// churn opens and closes: every other stream without a byte.
func (d *driver) churn() (string, error) {
	n := d.streams(5000)
	for i := 0; i < n; i++ {
		s, err := d.open()
		if err != nil {
			return "", fmt.Errorf("stream %d: %v", i, err)
		}
		if i%2 == 0 {
			if err := exchange(s, pattern(32, uint64(i))); err != nil {
				return "", fmt.Errorf("stream %d: %v", i, err)
			}
		}
		s.Close()
	}
	// Streams without a byte are counted in their own time.
	return fmt.Sprintf("streams=%d", n), d.awaitStats(fmt.Sprintf("accepted=%d ", n))
}

// awaitStats asks until the other side's answer contains the text; the watchdog bounds it.
func (d *driver) awaitStats(text string) error {
	for {
		line, err := d.ask("stats")
		if err != nil {
			return fmt.Errorf("stats: %v", err)
		}
		if strings.Contains(line+" ", text) {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// settle waits until neither side has a stream left but the one that asks. Without it the end
// of the carrier could overtake, in the other side's eyes, the end of the last streams.
func (d *driver) settle() error {
	for {
		if err := d.awaitStats(" active=1 "); err != nil {
			return err
		}
		if d.session.NumStreams() == 0 {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (d *driver) bulkUp() (string, error) {
	n := uint64(d.size(1 << 30))
	begin := time.Now()
	s, err := d.request("sink %d", n)
	if err != nil {
		return "", err
	}
	sum, err := send(s, n, d.o.seed)
	if err != nil {
		return "", err
	}
	line, err := readLine(s)
	if err != nil {
		return "", err
	}
	if want := fmt.Sprintf("%d %s", n, sum); line != want {
		return "", fmt.Errorf("sent %s, the other side received %s", want, line)
	}
	return bulkDetails(n, sum, begin), s.Close()
}

func bulkDetails(n uint64, sum string, begin time.Time) string {
	return fmt.Sprintf("bytes=%d checksum=%s MB/s=%.0f", n, sum,
		float64(n)/1e6/time.Since(begin).Seconds())
}

func (d *driver) bulkDown() (string, error) {
	n := uint64(d.size(1 << 30))
	begin := time.Now()
	s, err := d.request("source %d %d", n, d.o.seed)
	if err != nil {
		return "", err
	}
	got, err := receive(s, n)
	if err != nil {
		return "", err
	}
	want, _ := send(io.Discard, n, d.o.seed)
	if got != want {
		return "", fmt.Errorf("received %s, expected %s", got, want)
	}
	return bulkDetails(n, got, begin), s.Close()
}

// parallel opens all streams before the first byte flows, then uses all of them at once.
func (d *driver) parallel() (string, error) {
	n, size := d.streams(200), int(d.size(256<<10))
	var streams []*smux.Stream
	for i := 0; i < n; i++ {
		s, err := d.request("echo")
		if err != nil {
			return "", err
		}
		streams = append(streams, s)
	}
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for i, s := range streams {
		wg.Add(1)
		go func(i int, s *smux.Stream) {
			defer wg.Done()
			defer s.Close()
			if err := verifyEcho(s, pattern(size, uint64(i))); err != nil {
				errs <- fmt.Errorf("stream %d: %v", i, err)
			}
		}(i, s)
	}
	wg.Wait()
	select {
	case err := <-errs:
		return "", err
	default:
		return fmt.Sprintf("streams=%d bytes=%d", n, n*size), nil
	}
}

func (d *driver) halfClose() (string, error) {
	if !canCloseWrite() {
		return "", skipped("this version has no CloseWrite")
	}
	data := pattern(int(d.size(48<<10)), d.o.seed)
	careful := map[bool]int{true: 1}[d.o.careful]
	s, err := d.request("half %d", careful)
	if err != nil {
		return "", err
	}
	if _, err := s.Write(data); err != nil {
		return "", err
	}
	if _, err := closeWrite(s); err != nil {
		return "", err
	}
	if n, err := s.Write([]byte("x")); err == nil {
		return "", fmt.Errorf("%d bytes written after close_write", n)
	}
	line, err := readLine(s)
	if err != nil {
		return "", fmt.Errorf("reply: %v", err)
	}
	if want := fmt.Sprintf("%d %s", len(data), checksumOf(data)); line != want {
		return "", fmt.Errorf("sent %s, the other side received %s", want, line)
	}
	back := make([]byte, len(data))
	if n, err := io.ReadFull(s, back); err != nil {
		return "", fmt.Errorf("%v after %d of %d bytes of the reply", err, n, len(data))
	}
	if !bytes.Equal(back, data) {
		return "", fmt.Errorf("the reply came back changed")
	}
	if d.o.careful {
		if line, err := d.ask("release"); err != nil || line != "released" {
			return "", fmt.Errorf("release: %q %v", line, err)
		}
	}
	if n, err := s.Read(back); err != io.EOF {
		return "", fmt.Errorf("expected the end of file, got %d bytes, %v", n, err)
	}
	s.Close()
	return fmt.Sprintf("bytes=%d careful=%v", len(data), d.o.careful), nil
}

// earlyClose: the other side ends its direction first, ours stays usable.
func (d *driver) earlyClose() (string, error) {
	data := pattern(int(d.size(48<<10)), d.o.seed)
	s, err := d.request("early %d", len(data))
	if err != nil {
		return "", err
	}
	line, err := readLine(s)
	if err != nil {
		return "", err
	}
	if line == "unsupported" {
		return "", skipped("the other side has no close_write")
	}
	if n, err := s.Read(make([]byte, 1)); line != "bye" || err != io.EOF {
		return "", fmt.Errorf("expected bye and the end of file, got %q, %d bytes, %v", line, n, err)
	}
	if _, err := s.Write(data); err != nil {
		return "", fmt.Errorf("write after the other side's FIN: %v", err)
	}
	if !d.o.careful {
		s.Close()
	}
	err = d.awaitStats(fmt.Sprintf(" early=%d:%s ", len(data), checksumOf(data)))
	if err != nil {
		return "", err
	}
	s.Close()
	return fmt.Sprintf("bytes=%d careful=%v", len(data), d.o.careful), nil
}

// slowReader leaves one stream unread in each direction while others exchange more than any
// window, and only then drains the two.
func (d *driver) slowReader() (string, error) {
	n := uint64(d.size(map[int]int64{1: 512 << 10, 2: 2 << 20}[d.o.version]))
	held, err := d.request("hold %d", n)
	if err != nil {
		return "", err
	}
	type result struct {
		sum string
		err error
	}
	sent := make(chan result, 1)
	go func() {
		sum, err := send(held, n, d.o.seed)
		sent <- result{sum, err}
	}()
	unread, err := d.request("source %d %d", n, d.o.seed)
	if err != nil {
		return "", err
	}
	for i := 0; i < 8; i++ {
		s, err := d.open()
		if err != nil {
			return "", err
		}
		if err := exchange(s, pattern(1<<20, uint64(i))); err != nil {
			return "", fmt.Errorf("beside a held stream: %v", err)
		}
		s.Close()
	}
	if line, err := d.ask("release"); err != nil || line != "released" {
		return "", fmt.Errorf("release: %q %v", line, err)
	}
	up := <-sent
	if up.err != nil {
		return "", fmt.Errorf("held stream: %v", up.err)
	}
	if line, err := readLine(held); line != fmt.Sprintf("%d %s", n, up.sum) {
		return "", fmt.Errorf("held stream: sent %d %s, received %s, %v", n, up.sum, line, err)
	}
	down, err := receive(unread, n)
	if err != nil || down != up.sum {
		return "", fmt.Errorf("unread stream: expected %s, received %s, %v", up.sum, down, err)
	}
	held.Close()
	unread.Close()
	return fmt.Sprintf("held=%d beside=%d", 2*n, 8<<20), nil
}

func (d *driver) keepalive() (string, error) {
	s, err := d.request("echo")
	if err != nil {
		return "", err
	}
	if err := verifyEcho(s, pattern(1000, 1)); err != nil {
		return "", err
	}
	time.Sleep(time.Duration(d.o.idleMs) * time.Millisecond)
	if err := verifyEcho(s, pattern(1000, 2)); err != nil {
		return "", fmt.Errorf("after %d ms of silence: %v", d.o.idleMs, err)
	}
	s.Close()
	return fmt.Sprintf("idle-ms=%d interval-ms=%d timeout-ms=%d", d.o.idleMs, d.o.intervalMs,
		d.o.timeoutMs), nil
}

// reverse lets the other side open the streams.
func (d *driver) reverse() (string, error) {
	n, size := d.streams(50), d.size(100000)
	line, err := d.ask("call %d %d", n, size)
	if err != nil {
		return "", err
	}
	if line != fmt.Sprintf("called %d", n) {
		return "", fmt.Errorf("%s", line)
	}
	return fmt.Sprintf("streams=%d bytes=%d", n, int64(n)*size), nil
}

// carrierLoss transfers without end both ways and says `ready` when bytes flow; the test then
// kills the other side. How reading and writing ended is the result; the test judges it.
func (d *driver) carrierLoss() (string, error) {
	const endless = 1 << 60
	// In this order: the answer to a second request could wait behind data that is not read yet.
	up, err := d.request("sink %d", uint64(endless))
	if err != nil {
		return "", err
	}
	down, err := d.request("source %d 1", uint64(endless))
	if err != nil {
		return "", err
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := send(up, endless, 2)
		wrote <- err
	}()
	if _, err := receive(down, 8<<20); err != nil {
		return "", err
	}
	fmt.Println("ready")
	b := make([]byte, chunkLen)
	for err == nil {
		_, err = down.Read(b)
	}
	return fmt.Sprintf("read=%s write=%s", ending(err), ending(<-wrote)), nil
}

// ending names how a transfer ended: a clean end of file, or an error with its text.
func ending(err error) string {
	if err == io.EOF {
		return "eof"
	}
	return "error:" + strings.ReplaceAll(err.Error(), " ", "-")
}

// frozen says `ready` and then waits for keepalive to find out that the other side is stopped.
// The pause before lets the other side's keepalives be seen: some arm their timeout only then.
func (d *driver) frozen() (string, error) {
	s, err := d.request("echo")
	if err != nil {
		return "", err
	}
	time.Sleep(time.Duration(d.o.idleMs) * time.Millisecond)
	if err := verifyEcho(s, pattern(1000, 1)); err != nil {
		return "", err
	}
	fmt.Println("ready")
	_, err = s.Read(make([]byte, 1))
	return "read=" + ending(err), nil
}

// spokenTo opens streams to a server that speaks first: it sends --size bytes of the seed's pattern
// and ends, while we send nothing.
func (d *driver) spokenTo() (string, error) {
	n, size := d.streams(40), uint64(d.size(100000))
	want, _ := send(io.Discard, size, d.o.seed)
	for i := 0; i < n; i++ {
		s, err := d.open()
		if err != nil {
			return "", err
		}
		d.listening.Add(1)
		go func(i int) {
			defer d.listening.Done()
			defer s.Close()
			got, err := receive(s, size)
			if err == nil && got != want {
				err = fmt.Errorf("received %s, expected %s", got, want)
			}
			if err == nil {
				_, err = s.Read(make([]byte, 1))
			}
			if err != io.EOF {
				fmt.Printf("stream %d: %v\n", i, err)
				atomic.AddInt64(&d.unheard, 1)
			}
		}(i)
	}
	d.listening.Wait()
	if d.unheard > 0 {
		return "", fmt.Errorf("%d of %d streams did not hear the server", d.unheard, n)
	}
	return fmt.Sprintf("streams=%d bytes=%d", n, uint64(n)*size), nil
}
