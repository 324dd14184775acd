//! Making and filling the tables.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::{Definition, Server, TABLES};
use crate::Settings;
use crate::orders::table::{Row, Table};
use crate::orders::world::World;

/// A statement is ended when it holds so many bytes: servers refuse what is larger than a few megabytes.
const STATEMENT: usize = 512 * 1024;

/// Writes a script that makes the six tables anew and fills them with what the first delivery of the same settings holds. Answers with
/// the number of rows of each table.
///
/// The same settings write the same script.
pub fn fill(settings: &Settings, server: Server, out: &mut dyn Write) -> io::Result<Vec<(&'static str, u64)>> {
    write_head(server, out)?;
    let mut inserts = TABLES.each_ref().map(Insert::new);
    let world = World::opened(settings, |orders, lines| {
        // What was written is forgotten.
        inserts[4].rows(orders, out)?;
        inserts[5].rows(lines, out)
    })?;
    for (insert, table) in inserts.iter_mut().zip(world.tables()) {
        for row in &table.rows {
            insert.row(row, out)?;
        }
        insert.end(out)?;
    }
    for definition in &TABLES {
        writeln!(out, "create index {0}_updated on {0} (updated_datetime);", definition.name)?;
    }
    out.write_all(b"commit;\n")?;
    let analyze = if server == Server::Mariadb { "analyze table" } else { "analyze" };
    writeln!(out, "{analyze} {};", TABLES.each_ref().map(|definition| definition.name).join(", "))?;
    Ok(inserts.iter().map(|insert| (insert.definition.name, insert.written)).collect())
}

fn write_head(server: Server, out: &mut dyn Write) -> io::Result<()> {
    match server {
        Server::Mariadb => out.write_all(b"set names utf8mb4;\nset unique_checks = 0;\nset autocommit = 0;\n")?,
        Server::Postgres => out.write_all(b"set client_min_messages = warning;\nset client_encoding = 'UTF8';\n")?,
    }
    for definition in &TABLES {
        writeln!(out, "drop table if exists {};", definition.name)?;
        writeln!(out, "create table {} (", definition.name)?;
        for (column, of_type) in definition.columns {
            writeln!(out, "  {column} {of_type},")?;
        }
        let moment = server.moment();
        writeln!(out, "  created_datetime {moment} not null,\n  updated_datetime {moment} not null,")?;
        writeln!(out, "  is_deleted smallint not null default 0,\n  primary key ({})\n);", definition.key.join(", "))?;
    }
    let begin = if server == Server::Mariadb { "start transaction" } else { "begin" };
    writeln!(out, "{begin};")
}

/// The statement that is being written for one table.
struct Insert<'d> {
    definition: &'d Definition,
    statement: String,
    written: u64,
}

impl<'d> Insert<'d> {
    fn new(definition: &'d Definition) -> Self {
        Self { definition, statement: String::new(), written: 0 }
    }

    /// Writes all rows of a table and takes them out of it.
    fn rows(&mut self, table: &mut Table, out: &mut dyn Write) -> io::Result<()> {
        table.rows.drain(..).try_for_each(|row| self.row(&row, out))
    }

    fn row(&mut self, row: &Row, out: &mut dyn Write) -> io::Result<()> {
        let text = &mut self.statement;
        if text.is_empty() {
            let names: Vec<&str> = self.definition.columns.iter().map(|(name, _)| *name).collect();
            let columns = names.join(", ");
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "insert into {} ({columns}, created_datetime, updated_datetime, is_deleted) values",
                self.definition.name
            );
        } else {
            text.push(',');
        }
        text.push_str("\n(");
        for ((_, of_type), value) in self.definition.columns.iter().zip(&row.values) {
            if value.is_empty() {
                text.push_str("null");
            } else if of_type.starts_with("varchar") || of_type.starts_with("date") {
                push_quoted(text, value);
            } else {
                text.push_str(value);
            }
            text.push_str(", ");
        }
        let _ = write!(
            text,
            "'{} {}', '{} {}', {})",
            row.created.date(),
            row.created.time(),
            row.updated.date(),
            row.updated.time(),
            i32::from(row.deleted)
        );
        self.written += 1;
        if text.len() >= STATEMENT { self.end(out) } else { Ok(()) }
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if !self.statement.is_empty() {
            self.statement.push_str(";\n");
            out.write_all(self.statement.as_bytes())?;
            self.statement.clear();
        }
        Ok(())
    }
}

/// A text as a literal. No word of the vocabulary holds a backslash, which servers understand in different ways.
fn push_quoted(into: &mut String, text: &str) {
    into.push('\'');
    for letter in text.chars() {
        if letter == '\'' {
            into.push('\'');
        }
        into.push(letter);
    }
    into.push('\'');
}
