//! What runs did, table by table and test by test.

use super::rows::{KnownTestRow, StepRow, TestFailureRow, TestResultRow};
use super::{LEDGER_SCHEMA, Ledger};
use crate::contract::{Connection, Value, WarehouseError};

impl Ledger {
    /// Writes what a run did to its tables, in place of what it wrote before.
    pub fn put_steps(
        &self,
        connection: &mut dyn Connection,
        run: i64,
        steps: &[StepRow],
    ) -> Result<(), WarehouseError> {
        self.delete_of_run(connection, "steps", run)?;
        self.append(connection, steps)
    }

    /// What a run did, in the order it was done.
    pub fn steps(&self, connection: &mut dyn Connection, run: i64) -> Result<Vec<StepRow>, WarehouseError> {
        self.select(connection, "and run = ? order by position", &[Value::BigInt(run)])
    }

    /// Writes what the tests of a run found, in place of what it wrote before.
    pub fn put_tests(
        &self,
        connection: &mut dyn Connection,
        run: i64,
        results: &[TestResultRow],
        failures: &[TestFailureRow],
    ) -> Result<(), WarehouseError> {
        self.delete_of_run(connection, "test_results", run)?;
        self.delete_of_run(connection, "test_failures", run)?;
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

    fn delete_of_run(&self, connection: &mut dyn Connection, table: &str, run: i64) -> Result<(), WarehouseError> {
        connection.execute(
            &format!("delete from {LEDGER_SCHEMA}.{table} where project = ? and run = ?"),
            &[self.project_value(), Value::BigInt(run)],
        )?;
        Ok(())
    }
}
