// SPDX-License-Identifier: MIT
/// Word `i` of the byte pattern that belongs to `seed`: the step of splitmix64, so that any offset
/// can be produced without the ones before it. All peers compute the same.
fn pattern_word(seed: u64, i: u64) -> u64 {
    let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
    z ^ (z >> 31)
}

/// Writes the pattern's bytes from `offset` on; `offset` is a multiple of 8.
pub fn fill_pattern(b: &mut [u8], seed: u64, offset: u64) {
    for (i, chunk) in b.chunks_mut(8).enumerate() {
        let word = pattern_word(seed, offset / 8 + i as u64).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
}

pub fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut b = vec![0; len];
    fill_pattern(&mut b, seed, 0);
    b
}

/// A running pair of sums over little-endian words: sensitive to order, indifferent to how the
/// bytes were cut into reads.
#[derive(Default)]
pub struct Checksum {
    a: u64,
    b: u64,
    partial: [u8; 8],
    held: usize,
}

impl Checksum {
    fn word(&mut self, word: u64) {
        self.a = self.a.wrapping_add(word);
        self.b = self.b.wrapping_add(self.a);
    }

    pub fn add(&mut self, mut data: &[u8]) {
        if self.held > 0 {
            let n = data.len().min(8 - self.held);
            self.partial[self.held..self.held + n].copy_from_slice(&data[..n]);
            self.held += n;
            data = &data[n..];
            if self.held < 8 {
                return;
            }
            self.word(u64::from_le_bytes(self.partial));
            self.held = 0;
        }
        let mut words = data.chunks_exact(8);
        for word in words.by_ref() {
            self.word(u64::from_le_bytes(word.try_into().unwrap()));
        }
        let rest = words.remainder();
        self.partial[..rest.len()].copy_from_slice(rest);
        self.held = rest.len();
    }

    /// Closes the sum; a partial last word counts as if padded with zeros.
    pub fn text(mut self) -> String {
        if self.held > 0 {
            self.partial[self.held..].fill(0);
            self.word(u64::from_le_bytes(self.partial));
        }
        format!("{:016x}{:016x}", self.a, self.b)
    }

    pub fn of(data: &[u8]) -> String {
        let mut sum = Checksum::default();
        sum.add(data);
        sum.text()
    }
}
