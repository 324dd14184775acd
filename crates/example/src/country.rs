//! The countries of the sample data and the addresses that belong to them.
//!
//! All addresses lie in 198.18.0.0/15, which RFC 2544 keeps for benchmarks, so that no real visitor is ever shown.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use thalweg_enrich::mmdb_writer::{CountryRange, country_database};

use crate::delivery::write_whole;
use crate::random::Random;

/// Weight and ISO 3166 code of each country; the order is also the order of the networks.
pub(crate) const COUNTRIES: [(u32, &str); 12] = [
    (24, "AU"),
    (17, "NZ"),
    (14, "SG"),
    (11, "ID"),
    (9, "IN"),
    (7, "JP"),
    (5, "GB"),
    (4, "DE"),
    (3, "US"),
    (3, "FJ"),
    (2, "PG"),
    (1, "VU"),
];

/// First address of 198.18.0.0/15.
const FIRST: u32 = 0xC612_0000;
/// Each country has four networks of this prefix length; the addresses behind the last country belong to nobody.
pub(crate) const PREFIX: u8 = 21;
const NETWORK: u32 = 1 << (32 - PREFIX);
const NETWORKS: u32 = 4;

/// Index of a country in [`COUNTRIES`], by its weight.
pub(crate) fn pick_country(random: &mut Random) -> usize {
    let weights = COUNTRIES.map(|(weight, _)| weight);
    let indexed: Vec<(u32, usize)> = weights.into_iter().enumerate().map(|(index, weight)| (weight, index)).collect();
    random.weighted(&indexed)
}

/// An address in one of the country's networks.
pub(crate) fn address(random: &mut Random, country: usize) -> Ipv4Addr {
    let network = country as u32 * NETWORKS + random.below(NETWORKS as usize) as u32;
    Ipv4Addr::from(FIRST + network * NETWORK + random.below(NETWORK as usize) as u32)
}

/// An address that belongs to no country.
pub(crate) fn unknown_address(random: &mut Random) -> Ipv4Addr {
    let taken = COUNTRIES.len() as u32 * NETWORKS * NETWORK;
    Ipv4Addr::from(FIRST + taken + random.below(((1 << 17) - taken) as usize) as u32)
}

/// Every network with its country: what the country database is made of.
pub fn networks() -> impl Iterator<Item = (Ipv4Addr, u8, &'static str)> {
    COUNTRIES.iter().enumerate().flat_map(|(country, (_, code))| {
        (0..NETWORKS).map(move |network| {
            let first = FIRST + (country as u32 * NETWORKS + network) * NETWORK;
            (Ipv4Addr::from(first), PREFIX, *code)
        })
    })
}

/// Writes the country database as `countries.mmdb` of a project.
pub(crate) fn write_database(folder: &Path) -> io::Result<()> {
    let ranges: Vec<CountryRange> = networks()
        .map(|(first, prefix, country)| CountryRange {
            first: IpAddr::V4(first),
            last: IpAddr::V4(Ipv4Addr::from(u32::from(first) | (u32::MAX >> prefix))),
            country: country.to_owned(),
        })
        .collect();
    let database = country_database(&ranges).map_err(io::Error::other)?;
    write_whole(&folder.join("countries.mmdb"), |out| out.write_all(&database))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn country_of(address: Ipv4Addr) -> Option<&'static str> {
        let mask = u32::MAX << (32 - PREFIX);
        networks().find(|(first, _, _)| u32::from(address) & mask == u32::from(*first)).map(|(_, _, code)| code)
    }

    #[test]
    fn addresses_belong_to_their_country() {
        let mut random = Random::new(3, "country", 0);
        for _ in 0..1000 {
            let country = pick_country(&mut random);
            assert_eq!(country_of(address(&mut random, country)), Some(COUNTRIES[country].1));
            let unknown = unknown_address(&mut random);
            assert_eq!(country_of(unknown), None);
            assert_eq!(u32::from(unknown) >> 17, FIRST >> 17);
        }
    }

    #[test]
    fn the_database_knows_the_addresses() {
        let folder = tempfile::tempdir().unwrap();
        write_database(folder.path()).unwrap();
        let mut countries = thalweg_enrich::Countries::open(&folder.path().join("countries.mmdb")).unwrap();
        let random = &mut Random::new(4, "database", 0);
        for (country, (_, code)) in COUNTRIES.iter().enumerate() {
            let found = countries.country(&address(random, country).to_string());
            assert_eq!(found.as_ref().map(|country| country.as_str()), Some(*code));
        }
        assert!(countries.country(&unknown_address(random).to_string()).is_none());
    }
}
