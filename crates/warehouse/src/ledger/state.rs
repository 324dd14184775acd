//! What a run must know before it begins.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::rows::{
    ChangeLogRow, ClockRow, ConsumedRow, KnownTestRow, LandingRow, LeaseRow, PositionRow, RunRow, TableRow, TroubleRow,
};
use super::{FORMAT, LEDGER_SCHEMA, Ledger, number_in};
use crate::contract::{Connection, Value, WarehouseError};

/// The ledger of a project as it stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LedgerState {
    /// The run with the highest number, whatever became of it.
    pub last_run: Option<RunRow>,
    /// The run that readers see.
    pub published_run: Option<i64>,
    /// Epoch of the last lease; 0 before the first.
    pub epoch: i64,
    /// Every table that readers see, by logical name.
    pub tables: BTreeMap<String, TableRow>,
    /// By reader and input: the run of the input that the reader last consumed.
    pub consumed: BTreeMap<(String, String), i64>,
    /// The change logs, by logical name of the table.
    pub change_logs: BTreeMap<String, ChangeLogRow>,
    /// What models read of the time when they were last refreshed: (model, expression) → a literal.
    pub clocks: BTreeMap<(String, String), String>,
    /// By source and stream: the position published last.
    pub positions: BTreeMap<(String, String), BTreeMap<String, Json>>,
    /// How each test ended the last time.
    pub tests: BTreeMap<String, KnownTestRow>,
    /// Store tables that could not be brought up to date when that was last tried.
    pub troubles: BTreeMap<String, TroubleRow>,
    /// Published landings that their sources were not told of.
    pub unconfirmed: Vec<LandingRow>,
}

impl Ledger {
    /// Reads it. Where no ledger stands, it is empty. To be called inside a transaction where others may be writing meanwhile.
    pub fn load(&self, connection: &mut dyn Connection) -> Result<LedgerState, WarehouseError> {
        match self.format(connection)? {
            None => Ok(LedgerState::default()),
            Some(format) => self.load_of_format(connection, format),
        }
    }

    /// The same of a ledger that was prepared by this version of the program ([`Ledger::prepare`]).
    pub fn load_prepared(&self, connection: &mut dyn Connection) -> Result<LedgerState, WarehouseError> {
        self.load_of_format(connection, FORMAT)
    }

    fn load_of_format(&self, connection: &mut dyn Connection, format: i64) -> Result<LedgerState, WarehouseError> {
        let troubles: Vec<TroubleRow> = if format < 2 { Vec::new() } else { self.select(connection, "", &[])? };
        let newest = connection.query(
            &format!(
                "select max(run), max(case when state = 'published' then run end) from {LEDGER_SCHEMA}.runs where project = ?"
            ),
            &self.with_project(&[]),
        )?;
        let last_run: Vec<RunRow> = match number_in(&newest, 0)? {
            Some(run) => self.select(connection, "and run = ?", &[Value::BigInt(run)])?,
            None => Vec::new(),
        };
        let lease: Vec<LeaseRow> = self.select(connection, "", &[])?;
        let tables: Vec<TableRow> = self.select(connection, "", &[])?;
        let consumed: Vec<ConsumedRow> = self.select(connection, "", &[])?;
        let tests: Vec<KnownTestRow> = self.select(connection, "", &[])?;
        let mut positions: BTreeMap<(String, String), BTreeMap<String, Json>> = BTreeMap::new();
        for row in self.select::<PositionRow>(connection, "", &[])? {
            positions.entry((row.source, row.stream)).or_default().insert(row.entry, row.value);
        }
        let (change_logs, clocks): (Vec<ChangeLogRow>, Vec<ClockRow>) = match format {
            FORMAT => (self.select(connection, "", &[])?, self.select(connection, "", &[])?),
            _ => (self.change_logs(connection)?, self.clocks(connection)?),
        };
        Ok(LedgerState {
            last_run: last_run.into_iter().next(),
            published_run: number_in(&newest, 1)?,
            epoch: lease.iter().map(|lease| lease.epoch).max().unwrap_or(0),
            tables: tables.into_iter().map(|table| (table.table_name.clone(), table)).collect(),
            consumed: consumed.into_iter().map(|row| ((row.reader, row.input), row.run)).collect(),
            change_logs: change_logs.into_iter().map(|log| (log.table_name.clone(), log)).collect(),
            clocks: clocks.into_iter().map(|row| ((row.table_name, row.expression), row.value)).collect(),
            positions,
            tests: tests.into_iter().map(|test| (test.test.clone(), test)).collect(),
            troubles: troubles.into_iter().map(|trouble| (trouble.table_name.clone(), trouble)).collect(),
            unconfirmed: self.unconfirmed(connection)?,
        })
    }
}
