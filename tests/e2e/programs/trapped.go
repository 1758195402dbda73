// SPDX-License-Identifier: MIT

// trapped is a Go client, linked statically: it fetches over HTTP from many goroutines, and prints
// how its connects end.
//
//	trapped URL COUNT   COUNT requests at once, each on a connection of its own
//	trapped get URL     one request: what the server answers
//	trapped ADDRESS     one connect: its two addresses, or its error
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
)

func fetch(url string, to io.Writer) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(to, answer.Body)
	return err
}

func many(url string, count int) {
	var group sync.WaitGroup
	failures := make([]error, count)
	for i := range failures {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			failures[i] = fetch(url, io.Discard)
		}(i)
	}
	group.Wait()
	good := 0
	for _, err := range failures {
		if err == nil {
			good++
		} else {
			fmt.Println(err)
		}
	}
	fmt.Println(good, "of", count)
}

func one(address string) {
	connection, err := net.Dial("tcp", address)
	var number syscall.Errno
	if errors.As(err, &number) {
		fmt.Println("error:", number)
		return
	}
	if err != nil {
		fmt.Println("other error:", err)
		return
	}
	defer connection.Close()
	host, _, _ := net.SplitHostPort(connection.LocalAddr().String())
	fmt.Println("from", host, "to", connection.RemoteAddr())
}

func main() {
	if len(os.Args) == 2 {
		one(os.Args[1])
		return
	}
	if os.Args[1] == "get" {
		if err := fetch(os.Args[2], os.Stdout); err != nil {
			fmt.Println(err)
		}
		return
	}
	count, _ := strconv.Atoi(os.Args[2])
	many(os.Args[1], count)
}
