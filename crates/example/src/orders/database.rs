//! The shop's tables in a database: statements that make, fill and change them.
//!
//! What is written is a script for the server's own client. [`fill`] writes what the first delivery of the `orders` example holds, row by
//! row as it is thought up, so that its size is bounded by the disk alone. [`change`] lets the server pick and change rows, so that it
//! needs to know nothing of what is there.

mod change;
mod fill;

use std::fmt;
use std::str::FromStr;

pub use change::{Change, change};
pub use fill::fill;

/// Whose SQL is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// MariaDB and MySQL.
    Mariadb,
    /// Postgres.
    Postgres,
}

impl Server {
    /// The type of a moment.
    fn moment(self) -> &'static str {
        match self {
            Self::Mariadb => "datetime(6)",
            Self::Postgres => "timestamptz",
        }
    }

    /// The present moment.
    fn now(self) -> &'static str {
        match self {
            Self::Mariadb => "now(6)",
            Self::Postgres => "now()",
        }
    }
}

/// There is no server of this kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownServer(String);

impl fmt::Display for UnknownServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no server `{}`: expected mariadb or postgres", self.0)
    }
}

impl std::error::Error for UnknownServer {}

impl FromStr for Server {
    type Err = UnknownServer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "mariadb" | "mysql" => Ok(Self::Mariadb),
            "postgres" => Ok(Self::Postgres),
            other => Err(UnknownServer(other.to_owned())),
        }
    }
}

/// A table in the database.
struct Definition {
    name: &'static str,
    key: &'static [&'static str],
    /// Name and type of each column, without the three that every table has.
    columns: &'static [(&'static str, &'static str)],
}

const TABLES: [Definition; 6] = [
    Definition {
        name: "companies",
        key: &["company_id"],
        columns: &[
            ("company_id", "integer not null"),
            ("tax_number", "varchar(20) not null"),
            ("company_name", "varchar(100) not null"),
            ("is_supplier", "boolean not null"),
        ],
    },
    Definition {
        name: "customers",
        key: &["document_number"],
        columns: &[
            ("document_number", "varchar(20) not null"),
            ("full_name", "varchar(120) not null"),
            ("date_of_birth", "date"),
            ("email", "varchar(120)"),
            ("user_name", "varchar(60) not null"),
            ("country_code", "varchar(2) not null"),
        ],
    },
    Definition {
        name: "products",
        key: &["product_code", "supplier_id"],
        columns: &[
            ("product_code", "varchar(20) not null"),
            ("supplier_id", "integer not null"),
            ("product_name", "varchar(120) not null"),
            ("default_price", "decimal(12,2) not null"),
        ],
    },
    Definition {
        name: "product_prices",
        key: &["product_code", "company_id"],
        columns: &[
            ("product_code", "varchar(20) not null"),
            ("company_id", "integer not null"),
            ("price", "decimal(12,2) not null"),
        ],
    },
    Definition {
        name: "order_headers",
        key: &["order_no"],
        columns: &[
            ("order_no", "bigint not null"),
            ("company_id", "integer not null"),
            ("customer_document_no", "varchar(20) not null"),
            ("order_date", "date not null"),
            ("status", "varchar(16) not null"),
        ],
    },
    Definition {
        name: "order_lines",
        key: &["order_no", "order_line_no"],
        columns: &[
            ("order_no", "bigint not null"),
            ("order_line_no", "integer not null"),
            ("product_code", "varchar(20) not null"),
            ("supplier_id", "integer not null"),
            ("quantity", "integer not null"),
            ("unit_price", "decimal(12,2) not null"),
        ],
    },
];
