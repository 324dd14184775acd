//! A connection as the code above drivers uses it.

use super::MysqlEngine;
use super::decode::Decoder;
use super::error::Trouble;
use super::session::Session;
use super::{boundaries, discover};
use crate::SourceError;
use crate::database::{Connection, DecodedRows, Read, Server, SourceColumn, Table, TableRef, Value};

/// A session, and where it leads.
pub(super) struct MysqlConnection {
    session: Session,
    place: String,
    /// `orders as reader`.
    database: String,
}

impl MysqlConnection {
    pub(super) fn new(session: Session, engine: &MysqlEngine) -> Self {
        let settings = &engine.settings;
        let database = match settings.database.as_str() {
            "" => format!("as {}", settings.user),
            database => format!("{database} as {}", settings.user),
        };
        Self { session, place: engine.place(), database }
    }

    fn failed(&self, doing: &str) -> impl Fn(Trouble) -> SourceError + use<> {
        let doing = format!("{doing} {}", self.place);
        move |trouble| trouble.while_doing(&doing)
    }
}

impl Connection for MysqlConnection {
    fn server(&mut self) -> Result<Server, SourceError> {
        let greeting = self.session.greeting();
        let number = greeting.version.split(['-', ' ']).next().unwrap_or_default();
        let product = if self.session.is_mariadb() { "MariaDB" } else { "MySQL" };
        Ok(Server {
            version: format!("{product} {number}"),
            database: self.database.clone(),
            protection: greeting.protection.clone(),
        })
    }

    fn describe(&mut self, tables: Option<&[TableRef]>) -> Result<Vec<Table>, SourceError> {
        discover::describe(&mut self.session, tables).map_err(self.failed("asking for the tables of"))
    }

    fn read(
        &mut self,
        read: &Read<'_>,
        take: &mut dyn FnMut(DecodedRows) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let failed = self.failed("reading from");
        let result = self.read_rows(read, take);
        result.map_err(failed)
    }

    fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, SourceError> {
        self.session.rows(sql).map_err(self.failed("asking"))
    }

    fn boundaries(&mut self, table: &Table, column: &SourceColumn, parts: usize) -> Result<Vec<Value>, SourceError> {
        boundaries::boundaries(&mut self.session, table, column, parts)
            .map_err(self.failed(&format!("dividing {} of", table.table)))
    }
}

impl MysqlConnection {
    fn read_rows(
        &mut self,
        read: &Read<'_>,
        take: &mut dyn FnMut(DecodedRows) -> Result<(), SourceError>,
    ) -> Result<(), Trouble> {
        let columns = self.session.read(read.sql)?;
        let mut decoder = Decoder::new(read.columns, &columns)?;
        while let Some(row) = self.session.next_row()? {
            decoder.append(row)?;
            if decoder.is_full()
                && let Some(rows) = decoder.take()?
            {
                take(rows)?;
            }
        }
        if let Some(rows) = decoder.take()? {
            take(rows)?;
        }
        self.session.close_statement()
    }
}
