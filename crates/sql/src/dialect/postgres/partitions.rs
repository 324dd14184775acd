//! Partitions in Postgres: declarative ones by range.
//!
//! `attach partition` keeps writers and readers of the table going, and has those of the default partition wait, which it reads to see
//! that no row there belongs to the new one. So what has no value, which may be many rows, lies in a part of the default partition that
//! provably holds nothing else and is not read then; nor is it read for a query that asks for a range.

use thalweg_project::CalendarUnit;

use super::Postgres;
use crate::dialect::partitions::{PartitionedTable, Partitions, RangePartition};
use crate::dialect::{Dialect, InvalidName};

/// Years have four digits in between.
const FIRST_DAY: &str = "0001-01-01";
const LAST_DAY: &str = "9999-01-01";

/// Bytes that are read in about a tenth of a second.
const READ_IN_A_MOMENT: u64 = 64 << 20;

fn bounds(range: &RangePartition) -> String {
    let from = range.from.as_ref().map_or_else(|| "minvalue".to_owned(), |day| format!("'{day}'"));
    format!("for values from ({from}) to ('{}')", range.until)
}

impl Partitions for Postgres {
    fn partition_identifier(&self) -> &'static str {
        "tableoid"
    }

    fn partition_name(&self, identifier: &str) -> String {
        format!("cast(cast({identifier} as pg_catalog.regclass) as text)")
    }

    fn first_days(&self, relation: &str, column: &str, unit: CalendarUnit) -> Result<String, InvalidName> {
        let column = self.quote_identifier(column)?;
        Ok(format!(
            "select distinct cast(cast(date_trunc('{}', r.{column}) as date) as text) as first_day from {relation} r \
             where r.{column} >= date '{FIRST_DAY}' and r.{column} < date '{LAST_DAY}' order by 1",
            unit.word()
        ))
    }

    fn find_too_large(&self, rest: &str) -> String {
        format!(
            "select 'too large' as answer where pg_catalog.pg_relation_size({}) > {READ_IN_A_MOMENT}",
            self.literal_text(rest)
        )
    }

    /// The server has so many locks for all its transactions; a partition takes one, and one for each of its indexes and of what holds its
    /// long values: about eight.
    fn room(&self) -> &'static str {
        "select cast(current_setting('max_locks_per_transaction') as bigint) \
         * (cast(current_setting('max_connections') as bigint) + cast(current_setting('max_prepared_transactions') as bigint)) / 16 as room"
    }

    fn create(&self, table: &PartitionedTable, like: &str) -> Result<Vec<String>, InvalidName> {
        let PartitionedTable { table, column, others, without_value, rest } = table;
        let column = self.quote_identifier(column)?;
        Ok(vec![
            format!("create table {table} (like {like}) partition by range ({column})"),
            format!("create table {others} partition of {table} default partition by list ({column})"),
            // The condition says nothing new; it is what the server takes for a proof.
            format!(
                "create table {without_value} partition of {others} (check ({column} is null)) for values in (null)"
            ),
            format!("create table {rest} partition of {others} default"),
        ])
    }

    fn create_range(&self, table: &PartitionedTable, range: &RangePartition) -> String {
        format!("create table {} partition of {} {}", range.name, table.table, bounds(range))
    }

    fn add_range(&self, table: &PartitionedTable, range: &RangePartition) -> Result<Vec<String>, InvalidName> {
        let PartitionedTable { table, column, rest, .. } = table;
        let column = self.quote_identifier(column)?;
        let mut held = format!("r.{column} < date '{}'", range.until);
        if let Some(from) = &range.from {
            held.push_str(&format!(" and r.{column} >= date '{from}'"));
        }
        Ok(vec![
            // With the indexes, so that none is made while readers wait.
            format!("create table {} (like {table} including indexes)", range.name),
            format!(
                "with moved as (delete from {rest} r where {held} returning *) insert into {} select * from moved",
                range.name
            ),
            format!("alter table {table} attach partition {} {}", range.name, bounds(range)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements() {
        let table = PartitionedTable {
            table: "d.\"t\"".into(),
            column: "a \"b".into(),
            others: "d.o".into(),
            without_value: "d.n".into(),
            rest: "d.r".into(),
        };
        let range = RangePartition { name: "d.p".into(), from: Some("2026-01-01".into()), until: "2026-02-01".into() };
        assert_eq!(
            Postgres.create_range(&table, &range),
            "create table d.p partition of d.\"t\" for values from ('2026-01-01') to ('2026-02-01')"
        );
        let past = RangePartition { from: None, ..range.clone() };
        assert!(Postgres.create_range(&table, &past).ends_with("for values from (minvalue) to ('2026-02-01')"));
        let created = Postgres.create(&table, "n").expect("good names");
        assert_eq!(created[0], "create table d.\"t\" (like n) partition by range (\"a \"\"b\")");
        let added = Postgres.add_range(&table, &range).expect("good names");
        assert_eq!(
            added[1],
            "with moved as (delete from d.r r where r.\"a \"\"b\" < date '2026-02-01' and r.\"a \"\"b\" >= date '2026-01-01' returning *) \
             insert into d.p select * from moved"
        );
    }
}
