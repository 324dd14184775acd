//! Writes a small MaxMind database from ranges of addresses, for demonstrations, benchmarks and tests.
//!
//! Format: <https://maxmind.github.io/MaxMind-DB/>, version 2.0, records of 32 bits. Each range's data is
//! `{"country": {"iso_code": "AU"}}`, as in MaxMind's own country databases.

use std::collections::HashMap;
use std::net::IpAddr;

/// Addresses of one country, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountryRange {
    /// The first address.
    pub first: IpAddr,
    /// The last address, of the same version.
    pub last: IpAddr,
    /// ISO code of two letters.
    pub country: String,
}

/// Ranges that make no database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The ends belong to different versions of the protocol.
    #[error("the range {0} to {1} mixes IPv4 and IPv6: write it as two ranges")]
    Mixed(IpAddr, IpAddr),
    /// The end lies before the start.
    #[error("the range {0} to {1} ends before it begins: exchange the two addresses")]
    Backwards(IpAddr, IpAddr),
    /// The code is no ISO code.
    #[error("`{0}` is not an ISO country code: expected two letters such as AU")]
    Country(String),
    /// The tree needs more than 32-bit records can address.
    #[error("the country database would have too many nodes: write fewer ranges")]
    TooLarge,
}

/// The bytes of a database. Where ranges overlap, the later one counts.
///
/// With IPv4 ranges only the tree is one of IPv4 addresses; else IPv4 lies at `::/96`, where readers look for it.
pub fn country_database(ranges: &[CountryRange]) -> Result<Vec<u8>, RangeError> {
    let bits: u32 = if ranges.iter().any(|range| range.first.is_ipv6() || range.last.is_ipv6()) { 128 } else { 32 };
    let mut tree = Tree { nodes: vec![[Slot::Empty; 2]] };
    let mut data = Vec::new();
    let mut offsets: HashMap<&str, u32> = HashMap::new();
    for range in ranges {
        if range.country.len() != 2 || !range.country.bytes().all(|letter| letter.is_ascii_alphabetic()) {
            return Err(RangeError::Country(range.country.clone()));
        }
        let (first, last) = match (range.first, range.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => (u128::from(first.to_bits()), u128::from(last.to_bits())),
            (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits(), last.to_bits()),
            (first, last) => return Err(RangeError::Mixed(first, last)),
        };
        if first > last {
            return Err(RangeError::Backwards(range.first, range.last));
        }
        let offset = match offsets.get(range.country.as_str()) {
            Some(offset) => *offset,
            None => {
                let offset = u32::try_from(data.len()).map_err(|_| RangeError::TooLarge)?;
                map(&mut data, 1);
                text(&mut data, "country");
                map(&mut data, 1);
                text(&mut data, "iso_code");
                text(&mut data, &range.country.to_ascii_uppercase());
                offsets.insert(&range.country, offset);
                offset
            }
        };
        for (prefix, length) in prefixes(first, last, bits) {
            tree.insert(prefix, length, bits, offset)?;
        }
    }
    tree.bytes(&data, bits)
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    Empty,
    Node(u32),
    Data(u32),
}

struct Tree {
    nodes: Vec<[Slot; 2]>,
}

impl Tree {
    fn insert(&mut self, prefix: u128, length: u32, bits: u32, data: u32) -> Result<(), RangeError> {
        if length == 0 {
            self.nodes = vec![[Slot::Data(data); 2]];
            return Ok(());
        }
        let bit = |depth: u32| usize::from(prefix >> (bits - 1 - depth) & 1 == 1);
        let mut node = 0;
        for depth in 0..length - 1 {
            let slot = self.nodes[node][bit(depth)];
            node = match slot {
                Slot::Node(next) => next as usize,
                // A shorter prefix becomes two longer ones.
                Slot::Empty | Slot::Data(_) => {
                    let next = self.nodes.len();
                    self.nodes.push([slot; 2]);
                    self.nodes[node][bit(depth)] = Slot::Node(u32::try_from(next).map_err(|_| RangeError::TooLarge)?);
                    next
                }
            };
        }
        self.nodes[node][bit(length - 1)] = Slot::Data(data);
        Ok(())
    }

    fn bytes(&self, data: &[u8], bits: u32) -> Result<Vec<u8>, RangeError> {
        const SEPARATOR: u32 = 16;
        let count = u32::try_from(self.nodes.len()).map_err(|_| RangeError::TooLarge)?;
        let mut out = Vec::with_capacity(self.nodes.len() * 8 + data.len() + 256);
        for slot in self.nodes.iter().flatten() {
            let record = match *slot {
                Slot::Empty => count,
                Slot::Node(node) => node,
                Slot::Data(offset) => count.checked_add(SEPARATOR + offset).ok_or(RangeError::TooLarge)?,
            };
            out.extend(record.to_be_bytes());
        }
        out.extend([0; SEPARATOR as usize]);
        out.extend(data);
        out.extend(b"\xab\xcd\xefMaxMind.com");
        map(&mut out, 9);
        text(&mut out, "binary_format_major_version");
        unsigned(&mut out, UINT16, 2);
        text(&mut out, "binary_format_minor_version");
        unsigned(&mut out, UINT16, 0);
        text(&mut out, "build_epoch");
        unsigned(&mut out, UINT64, 0);
        text(&mut out, "database_type");
        text(&mut out, "Thalweg-Country");
        text(&mut out, "description");
        map(&mut out, 1);
        text(&mut out, "en");
        text(&mut out, "Countries made by Thalweg");
        text(&mut out, "ip_version");
        unsigned(&mut out, UINT16, if bits == 32 { 4 } else { 6 });
        text(&mut out, "languages");
        control(&mut out, ARRAY, 1);
        text(&mut out, "en");
        text(&mut out, "node_count");
        unsigned(&mut out, UINT32, u64::from(count));
        text(&mut out, "record_size");
        unsigned(&mut out, UINT16, 32);
        Ok(out)
    }
}

/// The fewest prefixes that cover a range: from the left, each as large as alignment and the end allow.
fn prefixes(first: u128, last: u128, bits: u32) -> Vec<(u128, u32)> {
    let mut found = Vec::new();
    let mut at = first;
    loop {
        let mut size = at.trailing_zeros().min(bits);
        // One bit less until the block ends within the range; `checked_shl` because a block may be all there is.
        while size > 0 && 1_u128.checked_shl(size).map_or(u128::MAX, |block| block - 1) > last - at {
            size -= 1;
        }
        found.push((at, bits - size));
        let block = 1_u128.checked_shl(size).map_or(u128::MAX, |block| block - 1);
        match at.checked_add(block).filter(|end| *end < last).map(|end| end + 1) {
            Some(next) => at = next,
            None => return found,
        }
    }
}

const TEXT: u8 = 2;
const UINT16: u8 = 5;
const UINT32: u8 = 6;
const MAP: u8 = 7;
const UINT64: u8 = 9;
const ARRAY: u8 = 11;

/// Type and size of a field; sizes here stay below 285.
fn control(out: &mut Vec<u8>, kind: u8, size: u8) {
    let short = size.min(29);
    if kind <= 7 {
        out.push(kind << 5 | short);
    } else {
        out.push(short);
        out.push(kind - 7);
    }
    if size >= 29 {
        out.push(size - 29);
    }
}

fn map(out: &mut Vec<u8>, pairs: u8) {
    control(out, MAP, pairs);
}

fn text(out: &mut Vec<u8>, text: &str) {
    // All texts are written in this file or two letters long.
    control(out, TEXT, u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend(text.as_bytes());
}

/// Unsigned numbers are written without leading zero bytes.
fn unsigned(out: &mut Vec<u8>, kind: u8, number: u64) {
    let bytes: Vec<u8> = number.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    control(out, kind, u8::try_from(bytes.len()).unwrap_or(8));
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_become_prefixes() {
        assert_eq!(prefixes(0, u128::from(u32::MAX), 32), vec![(0, 0)]);
        assert_eq!(prefixes(0, u128::MAX, 128), vec![(0, 0)]);
        assert_eq!(prefixes(5, 5, 32), vec![(5, 32)]);
        assert_eq!(prefixes(1, 6, 32), vec![(1, 32), (2, 31), (4, 31), (6, 32)]);
        assert_eq!(prefixes(u128::from(u32::MAX) - 1, u128::from(u32::MAX), 32), vec![(u128::from(u32::MAX) - 1, 31)]);
    }

    #[test]
    fn wrong_ranges_are_refused() {
        let range = |first: &str, last: &str, country: &str| {
            let (first, last) = (first.parse().expect("an address"), last.parse().expect("an address"));
            country_database(&[CountryRange { first, last, country: country.to_owned() }]).map(|bytes| bytes.len())
        };
        assert!(matches!(range("1.0.0.2", "1.0.0.1", "AU"), Err(RangeError::Backwards(..))));
        assert!(matches!(range("1.0.0.2", "::1", "AU"), Err(RangeError::Mixed(..))));
        assert_eq!(range("1.0.0.1", "1.0.0.2", "AUS"), Err(RangeError::Country("AUS".to_owned())));
        assert!(range("0.0.0.0", "255.255.255.255", "AU").is_ok());
    }
}
