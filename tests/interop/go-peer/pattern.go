// SPDX-License-Identifier: MIT
package main

import (
	"encoding/binary"
	"fmt"
)

// patternWord is word i of the byte pattern that belongs to seed: the step of splitmix64, so
// that any offset can be produced without the ones before it. All peers compute the same.
func patternWord(seed, i uint64) uint64 {
	z := seed + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// fillPattern writes the pattern's bytes from offset on into b; offset is a multiple of 8.
func fillPattern(b []byte, seed, offset uint64) {
	i := offset / 8
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, patternWord(seed, i))
		b = b[8:]
		i++
	}
	if len(b) > 0 {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], patternWord(seed, i))
		copy(b, last[:])
	}
}

func pattern(n int, seed uint64) []byte {
	b := make([]byte, n)
	fillPattern(b, seed, 0)
	return b
}

// checksum is a running pair of sums over little-endian words: sensitive to order, indifferent
// to how the bytes were cut into reads.
type checksum struct {
	a, b    uint64
	partial [8]byte
	held    int
}

func (c *checksum) word(w uint64) {
	c.a += w
	c.b += c.a
}

func (c *checksum) add(p []byte) {
	if c.held > 0 {
		n := copy(c.partial[c.held:], p)
		c.held += n
		p = p[n:]
		if c.held < 8 {
			return
		}
		c.word(binary.LittleEndian.Uint64(c.partial[:]))
		c.held = 0
	}
	for len(p) >= 8 {
		c.word(binary.LittleEndian.Uint64(p))
		p = p[8:]
	}
	c.held = copy(c.partial[:], p)
}

// text closes the sum; a partial last word counts as if padded with zeros.
func (c checksum) text() string {
	if c.held > 0 {
		for i := c.held; i < 8; i++ {
			c.partial[i] = 0
		}
		c.word(binary.LittleEndian.Uint64(c.partial[:]))
	}
	return fmt.Sprintf("%016x%016x", c.a, c.b)
}

func checksumOf(p []byte) string {
	var c checksum
	c.add(p)
	return c.text()
}
