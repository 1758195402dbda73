// SPDX-License-Identifier: MIT
// The benchmark's Go side: github.com/xtaci/smux over TCP.  Same command line and modes as the C
// programs (see bench.h).
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xtaci/smux"
)

const (
	writeLen = 128 << 10
	pingLen  = 64
	// What a stream carries in memory mode before it idles.
	greetingLen = 64
)

type bench struct {
	mode    string
	version int
	streams int
	seconds time.Duration
	session *smux.Session
}

// gathered lets smux hand header and payload to one writev instead of copying them together: a
// seventh faster than without.
type gathered struct{ *net.TCPConn }

func (g gathered) WriteBuffers(v [][]byte) (int, error) {
	buffers := net.Buffers(append([][]byte(nil), v...))
	n, err := buffers.WriteTo(g.TCPConn)
	return int(n), err
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-go:", err)
		os.Exit(1)
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	check(err)
	return n
}

func (b *bench) config() *smux.Config {
	c := smux.DefaultConfig()
	c.Version = b.version
	c.KeepAliveDisabled = true
	c.MaxFrameSize = 65535
	c.MaxReceiveBuffer = 16 << 20
	c.MaxStreamBuffer = 4 << 20
	return c
}

func carrier(conn net.Conn) io.ReadWriteCloser {
	return gathered{conn.(*net.TCPConn)}
}

func main() {
	if len(os.Args) < 5 {
		fmt.Fprintln(os.Stderr, "usage: see bench.h")
		os.Exit(2)
	}
	b := &bench{mode: os.Args[2], version: number(os.Args[3]), streams: number(os.Args[4])}
	var err error
	if os.Args[1] == "server" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(err)
		fmt.Printf("port %d\n", l.Addr().(*net.TCPAddr).Port)
		conn, err := l.Accept()
		check(err)
		b.session, err = smux.Server(carrier(conn), b.config())
		check(err)
		map[string]func(){"throughput": b.throughputServer, "churn": b.churnServer,
			"latency": b.latencyServer, "memory": b.memoryServer}[b.mode]()
		return
	}
	seconds, err := strconv.ParseFloat(os.Args[6], 64)
	check(err)
	b.seconds = time.Duration(seconds * float64(time.Second))
	conn, err := net.Dial("tcp", "127.0.0.1:"+os.Args[5])
	check(err)
	b.session, err = smux.Client(carrier(conn), b.config())
	check(err)
	map[string]func(){"throughput": b.throughputClient, "churn": b.churnClient,
		"latency": b.latencyClient, "memory": b.memoryClient}[b.mode]()
}

func (b *bench) throughputClient() {
	var wg sync.WaitGroup
	end := time.Now().Add(b.seconds)
	data := make([]byte, writeLen) // all write the same, as the peers do
	streams := make([]*smux.Stream, b.streams)
	var sent atomic.Int64
	for i := range streams {
		s, err := b.session.OpenStream()
		check(err)
		streams[i] = s
		wg.Add(1)
		go func() {
			defer wg.Done()
			for written := false; !written || time.Now().Before(end); written = true {
				n, err := s.Write(data)
				check(err)
				sent.Add(int64(n))
			}
		}()
	}
	wg.Wait()
	fmt.Printf("bytes_sent=%d\n", sent.Load())
	for _, s := range streams {
		s.Close()
	}
	<-make(chan struct{}) // the server ends the pair
}

// counter lets Stream.WriteTo, which does not copy, do the reading.
type counter struct{ bytes int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	return len(p), nil
}

func (b *bench) throughputServer() {
	var wg sync.WaitGroup
	counts := make([]counter, b.streams)
	var first time.Time
	for i := range counts {
		s, err := b.session.AcceptStream()
		check(err)
		if i == 0 {
			first = time.Now()
		}
		wg.Add(1)
		go func(c *counter) {
			defer wg.Done()
			if _, err := s.WriteTo(c); err != io.EOF {
				check(err)
			}
			runtime.KeepAlive(s) // an accepted stream that is garbage is closed, even while in use
		}(&counts[i])
	}
	wg.Wait()
	total := int64(0)
	for i := range counts {
		total += counts[i].bytes
	}
	fmt.Printf("bytes_received=%d\n", total)
	fmt.Printf("throughput_mb_s=%.1f\n", float64(total)/1e6/time.Since(first).Seconds())
}

func (b *bench) churnClient() {
	var wg sync.WaitGroup
	end := time.Now().Add(b.seconds)
	for i := 0; i < b.streams; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for opened := false; !opened || time.Now().Before(end); opened = true {
				s, err := b.session.OpenStream()
				check(err)
				s.Close()
			}
		}()
	}
	wg.Wait()
	b.session.Close()
}

func (b *bench) churnServer() {
	var first, last time.Time
	count := 0
	for {
		s, err := b.session.AcceptStream()
		if err != nil {
			break
		}
		if count == 0 {
			first = time.Now()
		}
		s.Close()
		last = time.Now()
		count++
	}
	fmt.Printf("churn_per_s=%.0f\n", float64(count)/last.Sub(first).Seconds())
}

func (b *bench) latencyClient() {
	s, err := b.session.OpenStream()
	check(err)
	data := make([]byte, pingLen)
	begin := time.Now()
	rounds := 0
	for ; rounds == 0 || time.Since(begin) < b.seconds; rounds++ {
		_, err := s.Write(data)
		check(err)
		_, err = io.ReadFull(s, data)
		check(err)
	}
	fmt.Printf("latency_us=%.2f\n", time.Since(begin).Seconds()*1e6/float64(rounds))
}

func (b *bench) latencyServer() {
	s, err := b.session.AcceptStream()
	check(err)
	data := make([]byte, pingLen)
	for {
		if _, err := io.ReadFull(s, data); err != nil {
			return
		}
		if _, err := s.Write(data); err != nil {
			return
		}
	}
}

// residentBytes is what remains after the garbage has been collected and given back.
func residentBytes() int {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	check(err)
	return number(strings.Fields(string(text))[1]) * os.Getpagesize()
}

func (b *bench) memoryClient() {
	before := residentBytes()
	streams := make([]*smux.Stream, b.streams)
	for i := range streams {
		s, err := b.session.OpenStream()
		check(err)
		_, err = s.Write(make([]byte, greetingLen))
		check(err)
		streams[i] = s
	}
	// The last one is answered when the server has read all.
	_, err := io.ReadFull(streams[len(streams)-1], make([]byte, 1))
	check(err)
	b.reportMemory(before)
	runtime.KeepAlive(streams)
}

func (b *bench) memoryServer() {
	before := residentBytes()
	streams := make([]*smux.Stream, b.streams)
	for i := range streams {
		s, err := b.session.AcceptStream()
		check(err)
		_, err = io.ReadFull(s, make([]byte, greetingLen))
		check(err)
		streams[i] = s
	}
	b.reportMemory(before)
	streams[len(streams)-1].Write([]byte("x"))
	b.session.AcceptStream() // fails when the client is gone; CloseChan would not tell
	runtime.KeepAlive(streams)
}

func (b *bench) reportMemory(before int) {
	fmt.Printf("memory_per_stream=%d\n", (residentBytes()-before)/b.streams)
}
