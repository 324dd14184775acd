//! A Postgres server.

use std::fmt::{self, Debug, Formatter};
use std::path::Path;

use thalweg_postgres::{Encryption, PostgresError, Session};
use thalweg_project::DatabaseSettings;
use thalweg_sql::dialect::Dialect;
use thalweg_sql::dialect::postgres::Postgres;
use thalweg_sql::refresh::split::STAGE_SCHEMA;

use super::{Engine, Refusal, image};
use crate::database::Rows;
use crate::schema::{Family, family};

/// As the sessions of runs are, but for tables without a schema, which runs do not have; and nothing may take for ever.
const SESSION: &str = "set search_path = public, pg_catalog; set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set extra_float_digits = 3; \
    set client_min_messages = error; set jit = off; set statement_timeout = '60s'";

/// A session remembers something of each table there was, and becomes slow by that.
const CASES_OF_A_SESSION: u32 = 200;

impl From<PostgresError> for Refusal {
    fn from(error: PostgresError) -> Self {
        Self { message: error.message }
    }
}

/// A session in a database that is there for nothing else.
pub struct PostgresEngine {
    session: Session,
    settings: DatabaseSettings,
    /// Cases of this session.
    cases: u32,
    /// Whether decimals have no scale, texts are `varchar` and moments have a time zone.
    loose: bool,
}

impl Debug for PostgresEngine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresEngine").field(&self.session.place()).finish()
    }
}

impl PostgresEngine {
    /// A session.
    pub fn open(settings: &DatabaseSettings) -> Result<Self, Refusal> {
        let encryption = Encryption::new(settings, Path::new("/"))?;
        let mut session = Session::open(settings, &encryption, "thalweg refresh-fuzz")?;
        session.run(SESSION)?;
        for schema in ["store", "changes", STAGE_SCHEMA] {
            session.run(&format!("create schema if not exists {schema}"))?;
        }
        Ok(Self { session, settings: settings.clone(), cases: 0, loose: false })
    }
}

impl Engine for PostgresEngine {
    fn dialect(&self) -> &'static dyn Dialect {
        &Postgres
    }

    fn run(&mut self, sql: &str) -> Result<(), Refusal> {
        Ok(self.session.run(sql)?)
    }

    fn ask(&mut self, query: &str) -> Result<Rows, Refusal> {
        let (names, types): (Vec<String>, Vec<String>) = self.describe(query)?.into_iter().unzip();
        let answer = self.session.ask(query)?;
        let read = |(value, type_name): (Option<String>, &String)| Some(text(&value?, type_name));
        let rows = answer.into_iter().map(|row| row.into_iter().zip(&types).map(read).collect()).collect();
        Ok(Rows { names, types, rows })
    }

    fn describe(&mut self, query: &str) -> Result<Vec<(String, String)>, Refusal> {
        let prepared = self.session.prepare(query, &[])?;
        let named = prepared.columns().iter().map(|column| {
            let kind = &column.value_type;
            let type_name = kind.name().unwrap_or_else(|| format!("type {} {}", kind.number(), kind.modifier()));
            (column.name.clone(), type_name)
        });
        Ok(named.collect())
    }

    fn begin(&mut self) -> Result<(), Refusal> {
        self.run("begin")
    }

    fn rollback(&mut self) -> Result<(), Refusal> {
        self.run("rollback")?;
        self.cases += 1;
        if self.cases >= CASES_OF_A_SESSION {
            *self = Self::open(&self.settings)?;
        }
        Ok(())
    }

    fn make(&mut self, name: &str, query: &str, temporary: bool) -> Result<(), Refusal> {
        let (place, word) = if temporary { ("pg_temp.", "temporary ") } else { ("", "") };
        self.run(&format!("drop table if exists {place}{name}; create {word}table {name} as {query}"))
    }

    fn vary(&mut self, number: usize) {
        self.loose = number.is_multiple_of(3);
    }

    fn type_name(&self, engine_type: &str) -> String {
        match family(engine_type) {
            Family::Decimal if self.loose => "numeric".to_owned(),
            Family::Text if self.loose => "character varying".to_owned(),
            Family::Timestamp if self.loose => "timestamp with time zone".to_owned(),
            Family::List => "integer[]".to_owned(),
            Family::Text => "text".to_owned(),
            Family::Double | Family::Inexact => "double precision".to_owned(),
            Family::Timestamp => "timestamp without time zone".to_owned(),
            Family::Decimal => engine_type.to_lowercase().replace("decimal", "numeric"),
            Family::Integer | Family::Date | Family::Boolean => engine_type.to_lowercase(),
        }
    }

    fn literal(&self, literal: &str, engine_type: &str, row: &str) -> String {
        match family(engine_type) {
            _ if literal == "null" => literal.to_owned(),
            // A number is a decimal here, which has no `-0.0`.
            Family::Double | Family::Inexact => format!("'{literal}'"),
            Family::Decimal if self.loose && row.ends_with(['1', '3', '5']) => {
                literal.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            Family::List => format!("array{literal}::integer[]"),
            _ => literal.to_owned(),
        }
    }

    fn is_stopped(&mut self) -> bool {
        self.session.is_closed()
    }

    fn another(&self) -> Result<Box<dyn Engine>, Refusal> {
        Ok(Box::new(Self::open(&self.settings)?))
    }
}

/// The text by which a value is compared. Of equal decimals a query may answer any, so that zeros at the end say nothing.
fn text(value: &str, type_name: &str) -> String {
    match type_name {
        "double precision" | "real" => value.parse().map_or_else(|_| value.to_owned(), image),
        _ if type_name.starts_with("numeric") && value.contains('.') => {
            value.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => value.to_owned(),
    }
}
