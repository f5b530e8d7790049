//! A small generator, so that a seed means the same run everywhere and for ever. Source: Marsaglia, xorshift64*.

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// True `n` times out of 1000.
    pub fn chance(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }

    /// Milliseconds of very different sizes: 0 to about 2^`bits`.
    pub fn span(&mut self, bits: u64) -> u64 {
        let size = self.below(bits);
        self.below(1 << size)
    }
}
