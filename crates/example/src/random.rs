//! Pseudo-random numbers that are the same on every machine and in every version.

/// The splitmix64 generator of Steele, Lea and Flood (2014). Not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator of its own for each purpose, so that more numbers drawn for one do not change another.
    pub fn new(seed: u64, purpose: &str, number: u32) -> Self {
        // FNV-1a over the purpose; its only task is to start in different places.
        let mut state = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
        for byte in purpose.bytes().chain(number.to_le_bytes()) {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self(state)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A fraction from 0 up to, not including, 1.
    pub fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number below `limit`, which must not be 0.
    pub fn below(&mut self, limit: usize) -> usize {
        // Multiply and shift; the bias is far below what sample data could show.
        ((u128::from(self.bits()) * limit as u128) >> 64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }

    /// A number below `limit`, small ones more often than great ones.
    pub fn skewed(&mut self, limit: usize) -> usize {
        let fraction = self.fraction();
        (fraction * fraction * limit as f64) as usize
    }

    /// True in `percent` of a hundred cases.
    pub fn percent(&mut self, percent: f64) -> bool {
        self.fraction() * 100.0 < percent
    }

    /// One of the items, all equally likely.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// One of the items, each as likely as its weight says.
    pub fn weighted<T: Copy>(&mut self, items: &[(u32, T)]) -> T {
        let total: u32 = items.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(total as usize) as u32;
        for (weight, item) in items {
            if left < *weight {
                return *item;
            }
            left -= weight;
        }
        items[items.len() - 1].1
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn same_seed_same_numbers() {
        let draw = |seed, purpose| {
            let mut random = Random::new(seed, purpose, 1);
            [random.bits(), random.bits(), random.bits()]
        };
        assert_eq!(draw(7, "a"), draw(7, "a"));
        assert_ne!(draw(7, "a"), draw(7, "b"));
        assert_ne!(draw(7, "a"), draw(8, "a"));
    }

    #[test]
    fn weights_and_limits_are_kept() {
        let mut random = Random::new(1, "weights", 0);
        let mut seen = [0; 3];
        for _ in 0..10_000 {
            seen[random.weighted(&[(1, 0), (3, 1), (6, 2)])] += 1;
            assert!(random.below(7) < 7);
            assert!((3..=5).contains(&random.between(3, 5)));
        }
        assert!(seen[0] > 800 && seen[0] < 1200, "{seen:?}");
        assert!(seen[2] > 5700 && seen[2] < 6300, "{seen:?}");
    }
}
