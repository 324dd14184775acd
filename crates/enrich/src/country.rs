//! Country of an address, from a MaxMind database (`GeoLite2-Country.mmdb` and its like).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use maxminddb::{PathElement, Reader};

/// An ISO 3166 country code of two letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Country([u8; 2]);

impl Country {
    fn new(code: &str) -> Option<Self> {
        let code: [u8; 2] = code.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_alphabetic).then_some(Self(code.map(|letter| letter.to_ascii_uppercase())))
    }

    /// The code: `AU`.
    pub fn as_str(&self) -> &str {
        // Two ASCII letters, as `new` made sure.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The file is no MaxMind database that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CountryError {
    /// It cannot be read.
    #[error("the country database {path} cannot be read ({source}): check the path and the permissions")]
    Read {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It can be read and is something else.
    #[error("{name} is not a MaxMind database ({source}): expected a file such as GeoLite2-Country.mmdb")]
    Format {
        /// The file.
        name: String,
        /// The reader's reason.
        source: maxminddb::MaxMindDbError,
    },
}

/// Countries of addresses, each distinct address looked up once.
///
/// A clone shares the database and remembers for itself: one for each thread.
pub struct Countries {
    database: Arc<Reader<Vec<u8>>>,
    known: HashMap<u32, Option<Country>>,
    known_v6: HashMap<u128, Option<Country>>,
}

impl std::fmt::Debug for Countries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Countries").field("known", &(self.known.len() + self.known_v6.len())).finish_non_exhaustive()
    }
}

impl Clone for Countries {
    fn clone(&self) -> Self {
        Self { database: self.database.clone(), known: HashMap::new(), known_v6: HashMap::new() }
    }
}

impl Countries {
    /// Addresses that are remembered; beyond it, the memory starts anew. About 20 MB.
    const REMEMBERED: usize = 1_000_000;
    const REMEMBERED_V6: usize = 200_000;

    /// Reads a database file into memory.
    pub fn open(path: &Path) -> Result<Self, CountryError> {
        let name = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => Self::from_bytes(bytes, &name),
            Err(source) => Err(CountryError::Read { path: name, source }),
        }
    }

    /// Takes a database that is in memory already. `name` is for the error.
    pub fn from_bytes(bytes: Vec<u8>, name: &str) -> Result<Self, CountryError> {
        let database =
            Reader::from_source(bytes).map_err(|source| CountryError::Format { name: name.to_owned(), source })?;
        Ok(Self { database: Arc::new(database), known: HashMap::new(), known_v6: HashMap::new() })
    }

    /// The country of an address as text. `None` for what is no address (a host name), and for addresses the database does not know.
    pub fn country(&mut self, address: &str) -> Option<Country> {
        if let Ok(v4) = address.parse::<Ipv4Addr>() {
            return self.country_v4(v4);
        }
        // A zone (`fe80::1%eth0`) is no part of the address.
        let v6: Ipv6Addr = address.split('%').next()?.parse().ok()?;
        if let Some(v4) = v6.to_ipv4_mapped() {
            return self.country_v4(v4);
        }
        let database = &self.database;
        remembered(&mut self.known_v6, Self::REMEMBERED_V6, v6.to_bits(), || look_up(database, v6.into()))
    }

    fn country_v4(&mut self, address: Ipv4Addr) -> Option<Country> {
        let database = &self.database;
        remembered(&mut self.known, Self::REMEMBERED, address.to_bits(), || look_up(database, address.into()))
    }
}

fn remembered<K: std::hash::Hash + Eq>(
    known: &mut HashMap<K, Option<Country>>,
    limit: usize,
    key: K,
    look_up: impl FnOnce() -> Option<Country>,
) -> Option<Country> {
    if let Some(country) = known.get(&key) {
        return *country;
    }
    if known.len() >= limit {
        known.clear();
    }
    let country = look_up();
    known.insert(key, country);
    country
}

/// MaxMind's own layout first, then those of other makers: the country of the network, of its registration, a plain code.
fn look_up(database: &Reader<Vec<u8>>, address: IpAddr) -> Option<Country> {
    let found = database.lookup(address).ok()?;
    let paths: [&[PathElement<'_>]; 4] = [
        &[PathElement::Key("country"), PathElement::Key("iso_code")],
        &[PathElement::Key("registered_country"), PathElement::Key("iso_code")],
        &[PathElement::Key("country_code")],
        &[PathElement::Key("country")],
    ];
    paths.iter().find_map(|path| found.decode_path::<&str>(path).ok().flatten().and_then(Country::new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmdb_writer::{CountryRange, country_database};

    fn countries(ranges: &[(&str, &str, &str)]) -> Countries {
        let range = |(first, last, country): &(&str, &str, &str)| CountryRange {
            first: first.parse().expect("an address"),
            last: last.parse().expect("an address"),
            country: (*country).to_owned(),
        };
        let bytes = country_database(&ranges.iter().map(range).collect::<Vec<_>>()).expect("a database");
        Countries::from_bytes(bytes, "test.mmdb").expect("a database that can be read")
    }

    #[test]
    fn addresses_of_both_versions() {
        let mut countries = countries(&[
            ("1.0.0.0", "1.0.0.255", "AU"),
            ("1.0.1.3", "1.0.3.77", "CN"),
            ("2001:db8::", "2001:db8::ffff", "de"),
        ]);
        let mut check = |address: &str, country: Option<&str>| {
            assert_eq!(countries.country(address).as_ref().map(Country::as_str), country, "{address}");
            assert_eq!(countries.country(address).as_ref().map(Country::as_str), country, "{address}, remembered");
        };
        check("1.0.0.0", Some("AU"));
        check("1.0.0.255", Some("AU"));
        check("1.0.1.2", None);
        check("1.0.1.3", Some("CN"));
        check("1.0.3.77", Some("CN"));
        check("1.0.3.78", None);
        check("::ffff:1.0.0.7", Some("AU"));
        check("2001:db8::17", Some("DE"));
        check("2001:db8::17%eth0", Some("DE"));
        check("2001:db8::1:0", None);
        check("example.org", None);
        check("", None);
    }

    #[test]
    fn what_is_no_database_is_said_so() {
        let error = Countries::from_bytes(b"id,name\n1,a\n".to_vec(), "geo.mmdb").expect_err("no database");
        assert!(error.to_string().starts_with("geo.mmdb is not a MaxMind database ("), "{error}");
        let error = Countries::open(Path::new("/nowhere/geo.mmdb")).expect_err("no file");
        assert!(error.to_string().starts_with("the country database /nowhere/geo.mmdb cannot be read ("), "{error}");
    }
}
