//! Views in front of tables, defined anew without taking them away from those who use them.
//!
//! `create or replace view` keeps privileges and the views of others that read this one, but takes no other columns than more of them at the
//! end. Where it refuses, the view is dropped with the views that read it, and all of them are made again, each with its privileges, owner,
//! comment and options: those that a run defines as it defines them, when their turn comes, and the others as they were, at the end. Whatever
//! cannot be made again is named, and the transaction is to be rolled back.

use std::time::{Duration, Instant};

use super::transaction::{PostgresConnection, quote};
use crate::contract::{Connection, ViewDefinition, WarehouseError, WarehouseErrorKind};

const SAVEPOINT: &str = "thalweg_view";
/// Around all definitions of a run.
const ALL: &str = "thalweg_views";
/// Whoever comes while a definition waits for a reader waits behind it: no longer than this, and then for a while not at all.
pub(super) const SHORT_PATIENCE: &str = "set local lock_timeout = '100ms'";
const PAUSE: Duration = Duration::from_millis(200);

/// A view that was dropped because it reads one that is defined anew, and what it had.
struct Dropped {
    schema: String,
    view: String,
    /// Both, quoted.
    name: String,
    /// The view that it reads.
    because_of: String,
    definition: String,
    owner: String,
    options: Option<String>,
    comment: Option<String>,
    privileges: Vec<String>,
    owned_by_us: bool,
}

/// Defines several views, and drops those that are to go. Readers that are there are waited for as long as any lock is, in short
/// attempts, between which others come through.
pub(super) fn define_all(connection: &mut PostgresConnection, views: &[ViewDefinition]) -> Result<(), WarehouseError> {
    let each = |connection: &mut PostgresConnection| {
        let mut dropped = Vec::new();
        for view in views {
            if let Some(sql) = &view.sql {
                define(connection, &view.schema, &view.view, sql, &mut dropped)?;
            }
        }
        for view in views.iter().filter(|view| view.sql.is_none()) {
            let name = format!("{}.{}", quote(&view.schema), quote(&view.view));
            connection.execute(&format!("drop view if exists {name}"), &[])?;
            dropped.retain(|reader: &Dropped| !reader.is(&view.schema, &view.view));
        }
        make_again(connection, dropped)
    };
    if views.is_empty() || !connection.is_in_transaction() {
        return each(connection);
    }
    let setting = "select setting from pg_catalog.pg_settings where name = 'lock_timeout'";
    let limit: u64 = single(connection, setting)?.and_then(|text| text.parse().ok()).unwrap_or(0);
    let began = Instant::now();
    loop {
        connection.savepoint(ALL)?;
        connection.run(SHORT_PATIENCE)?;
        let error = match each(connection) {
            Ok(()) => {
                connection.run(&format!("set local lock_timeout = {limit}"))?;
                return connection.release(ALL);
            }
            Err(error) => error,
        };
        let is_over = limit > 0 && began.elapsed() >= Duration::from_millis(limit);
        if error.kind != WarehouseErrorKind::Conflict || is_over {
            return Err(error);
        }
        connection.rollback_to(ALL)?;
        connection.release(ALL)?;
        std::thread::sleep(PAUSE);
    }
}

/// Defines a view, or defines it anew.
pub(super) fn define_one(
    connection: &mut PostgresConnection,
    schema: &str,
    view: &str,
    sql: &str,
) -> Result<(), WarehouseError> {
    let mut dropped = Vec::new();
    define(connection, schema, view, sql, &mut dropped)?;
    make_again(connection, dropped)
}

/// Defines a view, or defines it anew. What had to be dropped for it is added to `dropped`, and what this view had when it was dropped
/// itself is given back to it.
fn define(
    connection: &mut PostgresConnection,
    schema: &str,
    view: &str,
    sql: &str,
    dropped: &mut Vec<Dropped>,
) -> Result<(), WarehouseError> {
    let name = format!("{}.{}", quote(schema), quote(view));
    let statement = format!("create or replace view {name} as {sql}");
    if !connection.has_table(schema, view)? {
        connection.execute(&statement, &[])?;
        return match dropped.iter().position(|reader| reader.is(schema, view)) {
            Some(place) => dropped.remove(place).restore(connection),
            None => Ok(()),
        };
    }
    let in_transaction = connection.is_in_transaction();
    if !in_transaction {
        return connection.execute(&statement, &[]).map(drop);
    }
    connection.savepoint(SAVEPOINT)?;
    match connection.execute(&statement, &[]) {
        Ok(_) => return connection.release(SAVEPOINT),
        Err(error) if !connection.is_in_dead_transaction() || is_of_others(&error) => return Err(error),
        Err(error) => {
            connection.rollback_to(SAVEPOINT)?;
            connection.release(SAVEPOINT)?;
            // Everything else than other columns fails again, and is told then.
            tracing::debug!(view = name, error = error.message, "the view is made anew");
        }
    }
    let readers = readers(connection, &name)?;
    let privileges = privileges(connection, &name)?;
    let comment = single(
        connection,
        &format!("select pg_catalog.obj_description({}::pg_catalog.regclass, 'pg_class')", literal(&name)),
    )?;
    for reader in readers.iter().rev() {
        connection
            .execute(&format!("drop view {}", reader.name), &[])
            .map_err(|error| lost(&name, &reader.name, &error))?;
    }
    connection.execute(&format!("drop view {name}"), &[]).map_err(|error| lost(&name, &name, &error))?;
    connection.execute(&format!("create view {name} as {sql}"), &[])?;
    restore(connection, &name, &privileges, comment.as_deref())?;
    dropped.extend(readers);
    Ok(())
}

/// Makes views again that were dropped, each after those that it reads.
fn make_again(connection: &mut PostgresConnection, mut dropped: Vec<Dropped>) -> Result<(), WarehouseError> {
    while !dropped.is_empty() {
        let (before, mut failed) = (dropped.len(), None);
        let mut left = Vec::new();
        for reader in dropped {
            connection.savepoint(SAVEPOINT)?;
            match reader.make(connection) {
                Ok(()) => connection.release(SAVEPOINT)?,
                Err(error) if !connection.is_in_dead_transaction() || is_of_others(&error) => return Err(error),
                // Perhaps it reads one that comes later.
                Err(error) => {
                    connection.rollback_to(SAVEPOINT)?;
                    connection.release(SAVEPOINT)?;
                    failed.get_or_insert(error);
                    left.push(reader);
                }
            }
        }
        match failed {
            Some(error) if left.len() == before => return Err(error),
            _ => dropped = left,
        }
    }
    Ok(())
}

impl Dropped {
    fn is(&self, schema: &str, view: &str) -> bool {
        self.schema == schema && self.view == view
    }

    fn make(&self, connection: &mut PostgresConnection) -> Result<(), WarehouseError> {
        let options = self.options.as_ref().map(|options| format!(" with ({options})")).unwrap_or_default();
        let statement = format!("create view {}{options} as {}", self.name, self.definition);
        connection.execute(&statement, &[]).map_err(|error| lost(&self.because_of, &self.name, &error))?;
        self.restore(connection)
    }

    fn restore(&self, connection: &mut PostgresConnection) -> Result<(), WarehouseError> {
        restore(connection, &self.name, &self.privileges, self.comment.as_deref())?;
        if !self.owned_by_us {
            let statement = format!("alter view {} owner to {}", self.name, self.owner);
            connection.execute(&statement, &[]).map_err(|error| lost(&self.because_of, &self.name, &error))?;
        }
        Ok(())
    }
}

/// Views that read a view, each after those it reads itself.
fn readers(connection: &mut PostgresConnection, name: &str) -> Result<Vec<Dropped>, WarehouseError> {
    let found = connection.ask(&format!(
        "with recursive found(view, depth) as (
           select {}::pg_catalog.regclass::pg_catalog.oid, 0
           union
           select r.ev_class, f.depth + 1 from found f
             join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = f.view
               and d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
             join pg_catalog.pg_rewrite r on r.oid = d.objid and r.ev_class <> f.view
         )
         select pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), c.relkind,
           case when c.relkind = 'v' then pg_catalog.pg_get_viewdef(c.oid) end,
           pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner)), c.relowner = current_user::pg_catalog.regrole::pg_catalog.oid,
           pg_catalog.array_to_string(c.reloptions, ', '), pg_catalog.obj_description(c.oid, 'pg_class'), n.nspname, c.relname
         from (select view, max(depth) as depth from found where depth > 0 group by view) f
           join pg_catalog.pg_class c on c.oid = f.view join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         order by f.depth, 1",
        literal(name)
    ))?;
    let mut readers = Vec::with_capacity(found.len());
    for row in found {
        let mut cells = row.into_iter();
        let mut next = || cells.next().flatten();
        let (reader, kind, definition) = (next().unwrap_or_default(), next().unwrap_or_default(), next());
        let (owner, owned_by_us, options, comment) = (next().unwrap_or_default(), next(), next(), next());
        let (schema, view) = (next().unwrap_or_default(), next().unwrap_or_default());
        let Some(definition) = definition.filter(|_| kind == "v") else {
            return Err(WarehouseError::new(
                WarehouseErrorKind::Statement,
                format!(
                    "{reader} reads {name}, whose columns change, and is no view that could be defined again: drop it first"
                ),
            ));
        };
        let privileges = privileges(connection, &reader)?;
        let owned_by_us = owned_by_us.as_deref() == Some("t");
        readers.push(Dropped {
            schema,
            view,
            name: reader,
            because_of: name.to_owned(),
            definition,
            owner,
            options,
            comment,
            privileges,
            owned_by_us,
        });
    }
    Ok(readers)
}

/// Statements that grant again what is granted on a view and its columns, to others than its owner.
fn privileges(connection: &mut PostgresConnection, name: &str) -> Result<Vec<String>, WarehouseError> {
    let answer = connection.ask(&format!(
        "select pg_catalog.format('grant %s on %s to %s%s', a.privilege_type || coalesce(' (' || pg_catalog.quote_ident(a.attname) || ')', ''),
           {name}, case a.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) end,
           case when a.is_grantable then ' with grant option' else '' end)
         from (
           select x.grantee, x.privilege_type, x.is_grantable, null::pg_catalog.name as attname, c.relowner
             from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) x where c.oid = {name}::pg_catalog.regclass
           union all
           select x.grantee, x.privilege_type, x.is_grantable, t.attname, c.relowner
             from pg_catalog.pg_class c join pg_catalog.pg_attribute t on t.attrelid = c.oid, pg_catalog.aclexplode(t.attacl) x
             where c.oid = {name}::pg_catalog.regclass and not t.attisdropped
         ) a where a.grantee <> a.relowner",
        name = literal(name)
    ))?;
    Ok(answer.into_iter().flatten().flatten().collect())
}

/// Gives a view what it had. A column that is gone takes its privileges with it.
fn restore(
    connection: &mut PostgresConnection,
    name: &str,
    privileges: &[String],
    comment: Option<&str>,
) -> Result<(), WarehouseError> {
    for statement in privileges {
        connection.execute(statement, &[]).map_err(|mut error| {
            error.message = format!(
                "`{statement}` cannot be said again of {name}, whose columns change: revoke it first ({})",
                error.message
            );
            error
        })?;
    }
    if let Some(comment) = comment {
        connection.execute(&format!("comment on view {name} is {}", literal(comment)), &[])?;
    }
    Ok(())
}

fn single(connection: &mut PostgresConnection, sql: &str) -> Result<Option<String>, WarehouseError> {
    Ok(connection.ask(sql)?.into_iter().flatten().next().flatten())
}

/// Whether nothing is wrong with the statement itself.
fn is_of_others(error: &WarehouseError) -> bool {
    !error.kind.is_of_statement() && error.kind != WarehouseErrorKind::DeadTransaction
}

fn lost(name: &str, reader: &str, error: &WarehouseError) -> WarehouseError {
    if is_of_others(error) {
        return WarehouseError::new(error.kind, &error.message);
    }
    WarehouseError::new(
        WarehouseErrorKind::Statement,
        format!(
            "the columns of {name} change, and {reader}, which reads it, cannot be defined again: change it or drop it first ({})",
            error.message
        ),
    )
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
