//! What identifies a row of a table within a transaction.

use crate::dialect::Dialect;
use crate::dialect::partitions::Partitions;

/// Column of temporary tables with the identifiers of a table's rows.
pub const ROW_COLUMN: &str = "_row";

/// Column of temporary tables with the partitions of these rows, where the table has partitions.
pub const PARTITION_COLUMN: &str = "_partition";

/// The columns by which a row of a relation is told from all others: hidden ones of a table, or those of a temporary table that holds them.
#[derive(Debug, Clone, Copy)]
pub struct RowIdentifier {
    row: &'static str,
    partition: Option<(&'static str, &'static dyn Partitions)>,
}

impl RowIdentifier {
    /// Of a table, which may have partitions: the engine's identifiers are unique in each of them only.
    pub fn of_table(dialect: &dyn Dialect, in_partitions: bool) -> Self {
        let partitions = dialect.partitions().filter(|_| in_partitions);
        let partition = partitions.map(|partitions| (partitions.partition_identifier(), partitions));
        Self { row: dialect.row_identifier(), partition }
    }

    /// Of the same rows in a temporary table that was made with [`RowIdentifier::selected`].
    pub fn kept(self) -> Self {
        let partition = self.partition.map(|(_, partitions)| (PARTITION_COLUMN, partitions));
        Self { row: ROW_COLUMN, partition }
    }

    /// Whether the table has partitions, and how the engine has them.
    pub fn partitions(self) -> Option<&'static dyn Partitions> {
        self.partition.map(|(_, partitions)| partitions)
    }

    fn columns(self) -> impl Iterator<Item = &'static str> {
        self.partition.map(|(partition, _)| partition).into_iter().chain([self.row])
    }

    /// That of a row behind an alias, as a list to select: with the names that [`RowIdentifier::kept`] asks for.
    pub fn selected(self, alias: &str) -> String {
        let kept = self.kept();
        let pairs = self.columns().zip(kept.columns());
        pairs.map(|(own, name)| format!("{alias}.{own} as {name}")).collect::<Vec<_>>().join(", ")
    }

    /// The columns behind an alias, as a list.
    pub fn list(self, alias: &str) -> String {
        self.columns().map(|column| format!("{alias}.{column}")).collect::<Vec<_>>().join(", ")
    }

    /// A condition that holds for a row whose identifier is among those that a temporary table holds.
    pub fn is_in(self, alias: &str, temporary: &str) -> String {
        let kept = self.kept();
        let chosen = format!("select {} from {temporary} i where i.{ROW_COLUMN} is not null", kept.list("i"));
        match self.partition {
            Some(_) => format!("({}) in ({chosen})", self.list(alias)),
            None => format!("{} in ({chosen})", self.list(alias)),
        }
    }

    /// That of a row behind an alias as one text.
    pub fn as_text(self, alias: &str) -> String {
        let texts: Vec<String> = self.columns().map(|column| format!("cast({alias}.{column} as varchar)")).collect();
        texts.join(" || ' ' || ")
    }

    /// A condition that holds for the row with such a text.
    pub fn is_text(self, dialect: &dyn Dialect, alias: &str, text: &str) -> String {
        let row = |text: &str| format!("{alias}.{} = {}", self.row, dialect.row_literal(text));
        match (self.partition, text.split_once(' ')) {
            (Some((partition, _)), Some((of, rest))) => {
                format!("{alias}.{partition} = {} and {}", dialect.literal_text(of), row(rest))
            }
            _ => row(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::postgres::Postgres;

    #[test]
    fn rows_in_partitions_have_two() {
        let rows = RowIdentifier::of_table(&Postgres, true);
        assert_eq!(rows.selected("t"), "t.tableoid as _partition, t.ctid as _row");
        assert_eq!(
            rows.is_in("t", "p"),
            "(t.tableoid, t.ctid) in (select i._partition, i._row from p i where i._row is not null)"
        );
        assert_eq!(
            rows.kept().is_in("o", "p"),
            "(o._partition, o._row) in (select i._partition, i._row from p i where i._row is not null)"
        );
        assert_eq!(rows.as_text("t"), "cast(t.tableoid as varchar) || ' ' || cast(t.ctid as varchar)");
        assert_eq!(
            rows.is_text(&Postgres, "t", "16384 (0,1)"),
            "t.tableoid = '16384' and t.ctid = cast('(0,1)' as tid)"
        );
        let plain = RowIdentifier::of_table(&Postgres, false);
        assert_eq!(plain.is_in("t", "p"), "t.ctid in (select i._row from p i where i._row is not null)");
        assert_eq!(plain.is_text(&Postgres, "t", "(0,1)"), "t.ctid = cast('(0,1)' as tid)");
        assert_eq!(RowIdentifier::of_table(&crate::DuckDb, true).selected("t"), "t.rowid as _row");
    }
}
