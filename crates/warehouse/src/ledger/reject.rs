//! Records that could not be loaded.

use arrow::array::{Array, Int64Array, StringArray};

use super::cell::{self, Record};
use super::rows::{RejectKind, RejectRow, RejectState};
use super::table::PARAMETERS;
use super::{LEDGER_SCHEMA, Ledger, one_number};
use crate::contract::{Connection, FILE_COLUMN, RECORD_COLUMN, Value, WarehouseError, WarehouseErrorKind};

/// What all rejects of one extract have in common.
#[derive(Debug, Clone)]
pub struct RejectSource<'a> {
    /// The run.
    pub run: i64,
    /// The source.
    pub source: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// The store table.
    pub table_name: &'a str,
    /// The `_origin` of file 0.
    pub origin_base: i64,
    /// Where they were rejected.
    pub kind: RejectKind,
}

/// Which rejects are meant; everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct RejectFilter {
    /// `source.stream`, or the store table.
    pub stream: Option<String>,
    /// The run that rejected them.
    pub run: Option<i64>,
    /// These; empty means all.
    pub ids: Vec<i64>,
    /// In this state.
    pub state: Option<RejectState>,
    /// At most so many, the oldest.
    pub limit: Option<u64>,
}

/// A reject and the name of the file it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct RejectWithFile {
    /// The reject.
    pub reject: RejectRow,
    /// Its file, where its extract is in the ledger.
    pub file: Option<String>,
}

impl Ledger {
    /// Keeps rejects; their `id` is set here, counting on from the highest.
    pub fn add_rejects(
        &self,
        connection: &mut dyn Connection,
        rejects: &mut [RejectRow],
    ) -> Result<(), WarehouseError> {
        let mut id = self.last_reject(connection)?;
        for reject in rejects.iter_mut() {
            id += 1;
            reject.id = id;
        }
        self.append(connection, rejects)
    }

    /// Keeps the rows of a relation (a quoted name, or a query in parentheses) with the columns `_file`, `_record`, `byte_offset`,
    /// `reason` and `raw`. Their number.
    pub fn add_rejects_from(
        &self,
        connection: &mut dyn Connection,
        relation: &str,
        source: &RejectSource<'_>,
    ) -> Result<u64, WarehouseError> {
        let last = self.last_reject(connection)?;
        let names =
            RejectRow::columns().iter().map(|column| self.quoted(column.name)).collect::<Result<Vec<_>, _>>()?;
        let sql = format!(
            "insert into {LEDGER_SCHEMA}.rejects (project, {}) \
             select ?, ? + row_number() over (order by r.{FILE_COLUMN}, r.{RECORD_COLUMN}), ?, ?, ?, ?, \
             ? + r.{FILE_COLUMN}, r.{RECORD_COLUMN}, r.byte_offset, ?, r.reason, r.raw, ?, null from {relation} r",
            names.join(", ")
        );
        let text = |text: &str| Value::Text(text.to_owned());
        connection.execute(
            &sql,
            &[
                self.project_value(),
                Value::BigInt(last),
                Value::BigInt(source.run),
                text(source.source),
                text(source.stream),
                text(source.table_name),
                Value::BigInt(source.origin_base),
                text(source.kind.word()),
                text(RejectState::Open.word()),
            ],
        )
    }

    /// Rejects by number, each with its file.
    pub fn rejects(
        &self,
        connection: &mut dyn Connection,
        filter: &RejectFilter,
    ) -> Result<Vec<RejectWithFile>, WarehouseError> {
        let names = RejectRow::columns()
            .iter()
            .map(|column| Ok(format!("r.{}", self.quoted(column.name)?)))
            .collect::<Result<Vec<_>, WarehouseError>>()?;
        let (condition, parameters) = self.condition(filter);
        let limit = filter.limit.map_or_else(String::new, |limit| format!(" limit {limit}"));
        let sql = format!(
            "select {}, e.file from {LEDGER_SCHEMA}.rejects r \
             left join {LEDGER_SCHEMA}.extracts e on e.project = r.project and e.id = r.origin \
             where r.project = ?{condition} order by r.id{limit}",
            names.join(", ")
        );
        let rows = connection.query(&sql, &parameters)?;
        let mut files = Vec::new();
        for batch in &rows.batches {
            let Some(column) = batch.columns().last().and_then(|column| column.as_any().downcast_ref::<StringArray>())
            else {
                return Err(WarehouseError::new(WarehouseErrorKind::Incompatible, "thalweg.extracts.file is no text"));
            };
            files.extend(column.iter().map(|file| file.map(str::to_owned)));
        }
        Ok(cell::records::<RejectRow>(&rows)?
            .into_iter()
            .zip(files)
            .map(|(reject, file)| RejectWithFile { reject, file })
            .collect())
    }

    /// Says what became of rejects: `replayed_run` with [`RejectState::Replayed`]. Their number.
    pub fn set_reject_state(
        &self,
        connection: &mut dyn Connection,
        ids: &[i64],
        state: RejectState,
        replayed_run: Option<i64>,
    ) -> Result<u64, WarehouseError> {
        let mut changed = 0;
        for part in ids.chunks(PARAMETERS) {
            let marks = vec!["?"; part.len()].join(", ");
            let mut parameters = vec![
                Value::Text(state.word().to_owned()),
                replayed_run.map_or(Value::Null, Value::BigInt),
                self.project_value(),
            ];
            parameters.extend(part.iter().copied().map(Value::BigInt));
            changed += connection.execute(
                &format!("update {LEDGER_SCHEMA}.rejects set state = ?, replayed_run = ? where project = ? and id in ({marks})"),
                &parameters,
            )?;
        }
        Ok(changed)
    }

    /// Forgets rejects of one kind that came from a range of extracts: these are about to be loaded anew.
    pub fn forget_rejects(
        &self,
        connection: &mut dyn Connection,
        origins: std::ops::Range<i64>,
        kind: RejectKind,
    ) -> Result<u64, WarehouseError> {
        connection.execute(
            &format!(
                "delete from {LEDGER_SCHEMA}.rejects where project = ? and kind = ? and origin >= ? and origin < ?"
            ),
            &[
                self.project_value(),
                Value::Text(kind.word().to_owned()),
                Value::BigInt(origins.start),
                Value::BigInt(origins.end),
            ],
        )
    }

    /// Number of open rejects by store table.
    pub fn open_rejects(&self, connection: &mut dyn Connection) -> Result<Vec<(String, u64)>, WarehouseError> {
        let rows = connection.query(
            &format!(
                "select table_name, count(*) from {LEDGER_SCHEMA}.rejects where project = ? and state = 'open' group by 1 order by 1"
            ),
            &self.with_project(&[]),
        )?;
        let mut counts = Vec::new();
        for batch in &rows.batches {
            let names = batch.column(0).as_any().downcast_ref::<StringArray>();
            let numbers = batch.column(1).as_any().downcast_ref::<Int64Array>();
            let (Some(names), Some(numbers)) = (names, numbers) else {
                return Err(WarehouseError::new(
                    WarehouseErrorKind::Incompatible,
                    "thalweg.rejects has other types than expected",
                ));
            };
            counts.extend(
                (0..batch.num_rows())
                    .map(|row| (names.value(row).to_owned(), u64::try_from(numbers.value(row)).unwrap_or(0))),
            );
        }
        Ok(counts)
    }

    fn last_reject(&self, connection: &mut dyn Connection) -> Result<i64, WarehouseError> {
        let rows = connection.query(
            &format!("select max(id) from {LEDGER_SCHEMA}.rejects where project = ?"),
            &self.with_project(&[]),
        )?;
        Ok(one_number(&rows)?.unwrap_or(0))
    }

    fn condition(&self, filter: &RejectFilter) -> (String, Vec<Value>) {
        let mut condition = String::new();
        let mut parameters = vec![self.project_value()];
        if let Some(stream) = &filter.stream {
            condition.push_str(" and (r.table_name = ? or r.source || '.' || r.stream = ?)");
            parameters.extend([Value::Text(stream.clone()), Value::Text(stream.clone())]);
        }
        if let Some(run) = filter.run {
            condition.push_str(" and r.run = ?");
            parameters.push(Value::BigInt(run));
        }
        if let Some(state) = filter.state {
            condition.push_str(" and r.state = ?");
            parameters.push(Value::Text(state.word().to_owned()));
        }
        if !filter.ids.is_empty() {
            condition.push_str(&format!(" and r.id in ({})", vec!["?"; filter.ids.len()].join(", ")));
            parameters.extend(filter.ids.iter().copied().map(Value::BigInt));
        }
        (condition, parameters)
    }
}
