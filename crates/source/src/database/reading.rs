//! Reads that run at the same time, each on a connection of its own.

use super::Read;
use super::pool::{Lent, Pool};
use super::rows::{RowCounts, RowPlan, RowWriter};
use super::statement::Statement;
use crate::{Context, ExtractFile, Sink, SourceError};

/// What reads need of what is around them.
pub struct Reading<'a> {
    pub pool: &'a Pool,
    pub context: &'a Context,
    pub sink: &'a dyn Sink,
}

/// One read.
pub struct ReadTask {
    /// What it is called in the extract.
    pub name: String,
    /// Which rows of the statement's.
    pub condition: Option<String>,
    /// Its number in the extract's plan, if there is one.
    pub unit: Option<usize>,
    /// Index into [`crate::Extract::files`].
    pub file: i32,
}

/// What came of a read.
pub struct PartRead {
    /// As in [`ReadTask`].
    pub file: i32,
    /// As in [`ReadTask`].
    pub name: String,
    /// What was counted.
    pub counts: RowCounts,
}

impl PartRead {
    /// As the extract tells it.
    pub fn file(&self) -> ExtractFile {
        ExtractFile {
            name: self.name.clone(),
            read: self.counts.read,
            rejected: self.counts.rejected,
            ..ExtractFile::default()
        }
    }

    /// Everything together.
    pub fn total(parts: &[Self]) -> RowCounts {
        let mut total = RowCounts::default();
        for part in parts {
            total.read += part.counts.read;
            total.rejected += part.counts.rejected;
            total.left_out += part.counts.left_out;
            total.seen = total.seen.max(part.counts.seen);
        }
        total
    }
}

impl Reading<'_> {
    /// Runs the reads, as many at the same time as there are free connections. One that fails stops the others before their next.
    pub fn run(
        &self,
        statement: &Statement<'_>,
        plan: &RowPlan,
        tasks: &[ReadTask],
    ) -> Result<Vec<PartRead>, SourceError> {
        self.pool.each(self.context, tasks, |connection, task| self.one(connection, statement, plan, task))
    }

    fn one(
        &self,
        connection: &mut Lent<'_>,
        statement: &Statement<'_>,
        plan: &RowPlan,
        task: &ReadTask,
    ) -> Result<PartRead, SourceError> {
        let mut writer = RowWriter::new(plan, self.sink, task.file, task.unit);
        let sql = statement.sql(task.condition.as_deref());
        let read = Read { sql: &sql, columns: statement.columns() };
        let result = connection.read(&read, &mut |rows| {
            self.context.check_cancelled()?;
            writer.take(rows)
        });
        connection.watch(result)?;
        let counts = writer.finish()?;
        if let Some(unit) = task.unit {
            // Rejects are kept with the whole extract only.
            let outcome = if counts.rejected == 0 { serde_json::to_value(&counts).ok() } else { None };
            self.sink.finish_unit(unit, outcome.as_ref())?;
        }
        Ok(PartRead { file: task.file, name: task.name.clone(), counts })
    }
}
