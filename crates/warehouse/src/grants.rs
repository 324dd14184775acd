//! The roles of a Postgres warehouse, as a script for the administrator of the database.

use thalweg_sql::dialect::postgres::Postgres;
use thalweg_sql::dialect::{Dialect, InvalidName};

use crate::ledger::{DATA_SCHEMA, LEDGER_SCHEMA};

/// A script that makes what a project needs and no more, and that does no harm when it is run again: the schemas, a role `<project>_loader` that
/// owns them, and for each published schema a role `<schema>_reader` that may read it. People's own roles are granted these.
///
/// `schemas` are the published ones, with the prefix of the target. Readers need nothing on the physical tables: views read with the
/// rights of their owner.
pub fn grants(project: &str, database: &str, schemas: &[String]) -> Result<String, InvalidName> {
    let quote = |name: &str| Postgres.quote_identifier(name);
    let loader = format!("{project}_loader");
    let (owner, database) = (quote(&loader)?, quote(database)?);
    let mut script = format!(
        "-- Roles of project {}. Run it in the database, as its administrator; it may be run again.\n\
         -- Then: grant {owner} to the user who runs thalweg, and name it as `role` of the target.\n",
        project.replace(['\n', '\r'], " ")
    );
    script.push_str(&role(&loader, &owner));
    script.push_str(&format!("grant connect, temporary on database {database} to {owner};\n"));
    for schema in [LEDGER_SCHEMA, DATA_SCHEMA] {
        script.push_str(&owned(&quote(schema)?, &owner));
    }
    // One ledger is kept by all projects of a database: another may have made its tables.
    let ledger = quote(LEDGER_SCHEMA)?;
    script.push_str(&format!("grant select, insert, update, delete on all tables in schema {ledger} to {owner};\n"));
    for schema in schemas {
        let (name, reader) = (quote(schema)?, format!("{schema}_reader"));
        let reads = quote(&reader)?;
        script.push_str(&format!("\n{}{}", role(&reader, &reads), owned(&name, &owner)));
        script.push_str(&format!(
            "grant connect on database {database} to {reads};\n\
             grant usage on schema {name} to {reads};\n\
             grant select on all tables in schema {name} to {reads};\n\
             alter default privileges for role {owner} in schema {name} grant select on tables to {reads};\n"
        ));
    }
    Ok(script)
}

/// Makes a role where there is none of the name.
fn role(name: &str, quoted: &str) -> String {
    let text = Postgres.literal_text(name);
    let make = Postgres.literal_text(&format!("create role {quoted} nologin"));
    format!(
        "do language plpgsql {};\n",
        Postgres.literal_text(&format!(
            "begin if not exists (select from pg_catalog.pg_roles where rolname = {text}) then execute {make}; end if; end"
        ))
    )
}

/// Makes a schema that belongs to the loader, or lets the loader work in the one that is there.
fn owned(schema: &str, owner: &str) -> String {
    format!(
        "create schema if not exists {schema} authorization {owner};\ngrant usage, create on schema {schema} to {owner};\n"
    )
}
