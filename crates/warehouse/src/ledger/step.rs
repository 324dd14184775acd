//! What runs did, table by table and test by test.

use super::Ledger;
use super::rows::{KnownTestRow, StepRow, TestFailureRow, TestResultRow};
use crate::contract::{Connection, Value, WarehouseError};

impl Ledger {
    /// Writes what a run did to its tables, in the transaction in which it ends.
    pub fn add_steps(&self, connection: &mut dyn Connection, steps: &[StepRow]) -> Result<(), WarehouseError> {
        self.append(connection, steps)
    }

    /// What a run did, in the order it was done.
    pub fn steps(&self, connection: &mut dyn Connection, run: i64) -> Result<Vec<StepRow>, WarehouseError> {
        self.select(connection, "and run = ? order by position", &[Value::BigInt(run)])
    }

    /// Writes what the tests of a run found, in the transaction in which it ends.
    pub fn add_tests(
        &self,
        connection: &mut dyn Connection,
        results: &[TestResultRow],
        failures: &[TestFailureRow],
    ) -> Result<(), WarehouseError> {
        self.append(connection, results)?;
        self.append(connection, failures)
    }

    /// Writes how tests ended on what is being published, in place of what was known of them.
    pub fn put_known_tests(
        &self,
        connection: &mut dyn Connection,
        tests: &[KnownTestRow],
    ) -> Result<(), WarehouseError> {
        self.delete_listed(connection, "tests", "test", tests.iter().map(|test| test.test.as_str()))?;
        self.append(connection, tests)
    }
}
