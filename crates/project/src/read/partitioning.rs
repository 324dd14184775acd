//! `partition_by:`, `partitions_ahead:` and `retention:` of a model.

use std::ops::Range;

use super::Reader;
use crate::forms::ModelConfig;
use crate::partitioning::{Age, DEFAULT_AHEAD, MOST_AHEAD, Misread, Partitioning, read_range};
use crate::{Index, Location, Materialized, TableName};

/// Where a setting of a model stands: file and place, by the setting's name.
pub type Places<'p> = dyn Fn(&str) -> (String, Range<usize>) + 'p;

impl Reader<'_> {
    /// What a model's settings say of partitions; mistakes are reported.
    pub(super) fn partitioning(
        &mut self,
        table: &TableName,
        config: &ModelConfig,
        indexes: &[Index],
        places: &Places<'_>,
    ) -> Option<Partitioning> {
        let Some(text) = &config.partition_by else {
            for (name, is_there) in
                [("partitions_ahead", config.partitions_ahead.is_some()), ("retention", config.retention.is_some())]
            {
                if is_there {
                    let why = "whose column says which row belongs where";
                    let message = format!("`{name}` of the model `{table}` needs `partition_by`, {why}");
                    self.partition_mistake(message, "add `partition_by: range(COLUMN, month)`", places(name));
                }
            }
            return None;
        };
        if config.materialized.is_some_and(|materialized| materialized != Materialized::Table) {
            let message = format!("`partition_by` of the model `{table}` has no table to cut into partitions");
            let help = "leave out `materialized`, or `partition_by`";
            self.partition_mistake(message, help, places("partition_by"));
            return None;
        }
        let (column, unit) = match read_range(text) {
            Ok(read) => read,
            Err(misread) => {
                self.misread(table, "partition_by", misread, places);
                return None;
            }
        };
        let retention = config.retention.as_ref().and_then(|text| match text.parse::<Age>() {
            Ok(age) => Some(age),
            Err(misread) => {
                self.misread(table, "retention", misread, places);
                None
            }
        });
        let ahead = config.partitions_ahead.unwrap_or(DEFAULT_AHEAD);
        if ahead > MOST_AHEAD {
            let message = format!("`partitions_ahead` of the model `{table}` is {ahead}, and at most {MOST_AHEAD}");
            self.partition_mistake(message, "write a smaller number, or a longer unit", places("partitions_ahead"));
        }
        let without =
            |index: &&Index| index.unique && !index.columns.iter().any(|one| one.eq_ignore_ascii_case(&column));
        if let Some(index) = indexes.iter().find(without) {
            let message = format!(
                "the unique index ({}) of the model `{table}` is without `{column}`, by which its table is partitioned",
                index.columns.join(", ")
            );
            let help = format!("add `{column}` to its columns, or leave `unique` to a test: `data_tests: [unique]`");
            self.partition_mistake(message, help, places("indexes"));
        }
        let (file, span) = places("partition_by");
        Some(Partitioning { column, unit, ahead, retention, location: Location::new(file, span) })
    }

    fn misread(&mut self, table: &TableName, name: &str, misread: Misread, places: &Places<'_>) {
        let message = format!("`{name}` of the model `{table}` {}", misread.message);
        self.partition_mistake(message, misread.help, places(name));
    }

    fn partition_mistake(&mut self, message: String, help: impl Into<String>, (file, span): (String, Range<usize>)) {
        self.report("bad-partitions", message, &file, span).help = Some(help.into());
    }
}
