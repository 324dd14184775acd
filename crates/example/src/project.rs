//! The files of the example projects.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;

/// An example project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Example {
    /// Orders between companies as files that keep arriving, with a web server's access log.
    Orders,
    /// The same, with the shop's tables in a MariaDB.
    OrdersDatabase,
    /// One file of job titles with a list in numbered columns, from a watched folder.
    Titles,
    /// An access log on its way through bronze, silver and gold.
    Weblog,
}

impl Example {
    /// All examples.
    pub const ALL: [Self; 4] = [Self::Orders, Self::OrdersDatabase, Self::Titles, Self::Weblog];

    /// Its name on the command line and of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::OrdersDatabase => "orders_database",
            Self::Titles => "titles",
            Self::Weblog => "weblog",
        }
    }

    /// What it shows, in one line.
    pub fn description(self) -> &'static str {
        match self {
            Self::Orders => "orders between companies as files that keep arriving, and a web access log",
            Self::OrdersDatabase => "the same orders from the tables of a MariaDB, and a web access log",
            Self::Titles => "job titles from a watched folder, with a list in numbered columns",
            Self::Weblog => "a web access log through bronze, silver and gold",
        }
    }

    /// Its files: path below the project folder, with `/`, and text.
    ///
    /// What the database form of the orders does not have of its own is that of the orders.
    pub fn files(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Orders => ORDERS.to_vec(),
            Self::OrdersDatabase => {
                let own = ORDERS_DATABASE.iter();
                let is_own = |path: &str| ORDERS_DATABASE.iter().any(|(own, _)| *own == path);
                own.chain(ORDERS.iter().filter(|(path, _)| !is_own(path))).copied().collect()
            }
            Self::Titles => TITLES.to_vec(),
            Self::Weblog => WEBLOG.to_vec(),
        }
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no example of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownExample(pub String);

impl fmt::Display for UnknownExample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no example `{}`: expected orders, orders_database, titles or weblog", self.0)
    }
}

impl std::error::Error for UnknownExample {}

impl FromStr for Example {
    type Err = UnknownExample;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|example| example.name() == text).ok_or_else(|| UnknownExample(text.to_owned()))
    }
}

/// Writes the files of an example into a folder, which is made when missing.
///
/// When one of the files exists, nothing is written and the error names it.
pub fn write(example: Example, folder: &Path) -> io::Result<()> {
    for (path, _) in example.files() {
        let path = folder.join(path);
        if path.exists() {
            let message = format!("{} exists already; an example does not overwrite files", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
    }
    for (path, text) in example.files() {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}

macro_rules! embed {
    ($folder:literal: $($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../examples/", $folder, "/", $path)))),*]
    };
}

const ORDERS: &[(&str, &str)] = embed!("orders":
    "README.md",
    ".gitignore",
    "thalweg.yml",
    "sources/shop.yml",
    "sources/web.yml",
    "macros/calendar.sql",
    "models/staging/staging.yml",
    "models/staging/customers.sql",
    "models/staging/order_lines.sql",
    "models/staging/products.sql",
    "models/staging/requests.sql",
    "models/pres/pres.yml",
    "models/pres/report_order_lines.sql",
    "models/pres/monthly_sales_by_company.sql",
    "models/pres/product_popularity.sql",
    "models/pres/web_visits.sql",
    "reports/monthly_sales.sql",
    "reports/popular_products.sql",
    "reports/devices.sql",
    "seeds/country.csv",
    "tests/no_orphan_lines.sql",
);

const ORDERS_DATABASE: &[(&str, &str)] = embed!("orders_database":
    "README.md",
    "sources/shop.yml",
);

const TITLES: &[(&str, &str)] = embed!("titles":
    "README.md",
    ".gitignore",
    "thalweg.yml",
    "sources/titles.yml",
    "models/pres/pres.yml",
    "models/pres/title.sql",
    "models/pres/related_title.sql",
    "reports/most_related.sql",
);

const WEBLOG: &[(&str, &str)] = embed!("weblog":
    "README.md",
    ".gitignore",
    "thalweg.yml",
    "sources/web.yml",
    "models/silver/silver.yml",
    "models/silver/requests.sql",
    "models/silver/sessions.sql",
    "models/gold/gold.yml",
    "models/gold/devices_by_day.sql",
    "models/gold/top_pages.sql",
    "reports/top_pages.sql",
    "tests/every_request_has_a_session.sql",
);

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(folder: &Path, below: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                listed(&path, below, into);
            } else {
                into.push(path.strip_prefix(below).unwrap().to_str().unwrap().replace('\\', "/"));
            }
        }
    }

    #[test]
    fn every_file_of_the_examples_is_embedded() {
        for example in Example::ALL {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example.name());
            let mut found = Vec::new();
            listed(&root, &root, &mut found);
            found.sort();
            let mut embedded: Vec<_> = example.files().iter().map(|(path, _)| (*path).to_owned()).collect();
            embedded.sort();
            if example == Example::OrdersDatabase {
                let orders: Vec<_> = Example::Orders.files().iter().map(|(path, _)| (*path).to_owned()).collect();
                found.extend(orders.into_iter().filter(|path| !found.contains(path)).collect::<Vec<_>>());
                found.sort();
            }
            assert_eq!(embedded, found, "{example}");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thalweg.yml"), "name: mine\n").unwrap();
        let error = write(Example::Orders, folder.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(folder.path().join("thalweg.yml")).unwrap(), "name: mine\n");
        assert!(!folder.path().join("models").exists());
    }

    #[test]
    fn names_go_both_ways() {
        for example in Example::ALL {
            assert_eq!(example.name().parse(), Ok(example));
        }
        assert!("order".parse::<Example>().is_err());
    }
}
