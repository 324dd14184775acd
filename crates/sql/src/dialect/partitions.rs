//! Tables in partitions by ranges of time, where an engine has them.

use std::fmt::Debug;

use thalweg_project::CalendarUnit;

use super::InvalidName;

/// The table that is cut into partitions, and the partitions that are not of a range. Names of tables are quoted.
#[derive(Debug, Clone)]
pub struct PartitionedTable {
    /// The table.
    pub table: String,
    /// The column by which it is cut, unquoted.
    pub column: String,
    /// What holds the rows that are in no range.
    pub others: String,
    /// Of these, the rows without a value.
    pub without_value: String,
    /// Of these, the rows with a value that no range holds.
    pub rest: String,
}

/// A partition of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangePartition {
    /// Its name, quoted.
    pub name: String,
    /// The first day of it, as ISO 8601 writes it; without, everything before `until`.
    pub from: Option<String>,
    /// The first day that is not of it.
    pub until: String,
}

/// How an engine has tables in partitions. A row goes into the one that holds its value, or into those that hold the others; readers see
/// one table.
pub trait Partitions: Debug + Send + Sync {
    /// The hidden column that tells rows of different partitions apart where [`super::Dialect::row_identifier`] does not.
    fn partition_identifier(&self) -> &'static str;

    /// The quoted name of the partition that such a value is of, as a text.
    fn partition_name(&self, identifier: &str) -> String;

    /// A query for the first days of the units that hold a row of a relation, in order, as texts. Rows without a value, and those of years
    /// that have not four digits, are left out.
    fn first_days(&self, relation: &str, column: &str, unit: CalendarUnit) -> Result<String, InvalidName>;

    /// A query that has a row where so much lies in the rest of a table that [`Partitions::add_range`], which reads it, would keep readers
    /// waiting for more than a moment.
    fn find_too_large(&self, rest: &str) -> String;

    /// A query for the number of partitions that a transaction may make, with their indexes.
    fn room(&self) -> &'static str;

    /// Statements that make an empty table with the columns of another, with the partitions that hold what is in no range.
    fn create(&self, table: &PartitionedTable, like: &str) -> Result<Vec<String>, InvalidName>;

    /// A statement that makes a partition of a table that nobody reads yet.
    fn create_range(&self, table: &PartitionedTable, range: &RangePartition) -> String;

    /// Statements that make a partition of a table that is read, to be sent together: rows of its range are moved into it, and only the
    /// last statement keeps readers waiting.
    fn add_range(&self, table: &PartitionedTable, range: &RangePartition) -> Result<Vec<String>, InvalidName>;
}
