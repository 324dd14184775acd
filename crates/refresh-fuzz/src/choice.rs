//! Where randomness comes from: a stream of small numbers that can be recorded, cut down and played again.
//!
//! A generator that draws everything from here is shrunk without knowing how: numbers are taken out or set to zero, and what comes out
//! is again something the generator could have made. So zero must always mean the simplest choice.

/// A stream of choices.
#[derive(Debug, Clone)]
pub struct Choices {
    state: u64,
    replay: Option<Vec<u32>>,
    taken: Vec<u32>,
}

impl Choices {
    /// Choices that follow from a number.
    pub fn from_seed(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66, replay: None, taken: Vec::new() }
    }

    /// Choices taken before; zeros after the last.
    pub fn replayed(choices: Vec<u32>) -> Self {
        Self { state: 0, replay: Some(choices), taken: Vec::new() }
    }

    /// What was drawn so far.
    pub fn taken(&self) -> &[u32] {
        &self.taken
    }

    fn draw(&mut self) -> u32 {
        let value = match &self.replay {
            Some(choices) => choices.get(self.taken.len()).copied().unwrap_or(0),
            None => {
                // SplitMix64: small, good enough, and the same everywhere.
                self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut mixed = self.state;
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                ((mixed ^ (mixed >> 31)) >> 40) as u32
            }
        };
        self.taken.push(value);
        value
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        self.draw() as usize % end.max(1)
    }

    /// Whether something rare happens: in `percent` of all cases. Zero means no.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.draw() % 100 >= 100 - percent.min(100)
    }

    /// One of a list that is not empty; the first is the simplest.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// One of several, by weight; the first is the simplest.
    pub fn weighted<T: Copy>(&mut self, options: &[(usize, T)]) -> T {
        let total = options.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(total);
        for (weight, option) in options {
            if left < *weight {
                return *option;
            }
            left -= weight;
        }
        options[0].1
    }

    /// `count` different members of a list, in random order.
    pub fn sample<T: Clone>(&mut self, list: &[T], count: usize) -> Vec<T> {
        let mut left = list.to_vec();
        let mut taken = Vec::new();
        while taken.len() < count && !left.is_empty() {
            let at = self.below(left.len());
            taken.push(left.remove(at));
        }
        taken
    }
}
