//! Testing tables before they are published.

use std::collections::BTreeMap;

use thalweg_project::diagnostic::nearest;
use thalweg_project::{DataTest, OnFailure, TableName, TestKind, TestSeverity};
use thalweg_sql::statement::condition::row_condition;
use thalweg_sql::statement::relation::{column_list, qualified};
use thalweg_warehouse::{Value, WarehouseError, WarehouseErrorKind};

use crate::change::Change;
use crate::error::RunError;
use crate::event::Event;
use crate::outcome::{TestOutcome, TestState, TextTable};
use crate::publish::Publication;

/// Failing rows shown and kept for a test.
const SHOWN_FAILURES: usize = 10;

/// How a test ended the last time it was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTest {
    /// What was tested.
    pub fingerprint: String,
    /// Whether everything satisfied it then.
    pub passed: bool,
}

/// How tests are run.
pub struct TestOptions<'a> {
    /// Whole tables, whatever is known.
    pub full: bool,
    /// What is known of earlier runs of each test.
    pub known: &'a BTreeMap<String, KnownTest>,
    /// Whether a test, by its index in the project, is wanted.
    pub wanted: &'a dyn Fn(usize) -> bool,
    /// The time freshness is measured against: microseconds since 1970 UTC.
    pub now: i64,
}

/// A query for the rows that fail, and what it looks at.
struct Failures {
    sql: String,
    parameters: Vec<Value>,
    scope: &'static str,
}

impl Publication<'_> {
    /// Runs every wanted test that may have another answer than last time.
    pub fn test(&mut self, options: &TestOptions<'_>) -> Result<Vec<TestOutcome>, RunError> {
        let project = self.project;
        let mut outcomes = Vec::new();
        for (index, test) in project.tests.iter().enumerate() {
            if !(options.wanted)(index) {
                continue;
            }
            let inputs: Vec<TableName> =
                self.compiled.tests[index].inputs.iter().map(|&node| self.compiled.nodes[node].id.clone()).collect();
            if !self.testable(&inputs) {
                continue;
            }
            let known = options
                .known
                .get(&test.name)
                .filter(|known| known.passed && known.fingerprint == fingerprint(test, &self.compiled.tests[index]));
            let external = inputs.iter().any(|input| !self.tables.contains_key(input));
            let clock = reads_clock(test, &self.compiled.tests[index]);
            if !options.full && known.is_some() {
                let changed = inputs.iter().any(|input| self.effective_change(input).any());
                if test.on_failure == OnFailure::Quarantine || !(changed || external || clock) {
                    continue;
                }
            }
            // What a condition says of a row may change without the row: with the time, with another table it reads.
            let looks_elsewhere = inputs.len() > 1 && !matches!(test.kind, TestKind::Relationships { .. });
            let changes_only = known.is_some() && !options.full && !external && !clock && !looks_elsewhere;
            outcomes.push(self.run_test(index, test, changes_only, options.now)?);
        }
        Ok(outcomes)
    }

    /// Whether the tables of a test exist. External tables are taken to.
    fn testable(&self, inputs: &[TableName]) -> bool {
        inputs.iter().all(|input| {
            self.tables.contains_key(input) || self.project.external.iter().any(|(external, _)| external == input)
        })
    }

    fn run_test(
        &mut self,
        index: usize,
        test: &DataTest,
        changes_only: bool,
        now: i64,
    ) -> Result<TestOutcome, RunError> {
        self.database.about(format!("test {}", test.name));
        let started = std::time::Instant::now();
        self.check_columns(test)?;
        let mut failures = self.failures(index, test, changes_only, now)?;
        if let Some(failures) = &mut failures {
            failures.sql = self.as_to_come(&failures.sql);
        }
        let (mut number, mut first) = (0, TextTable::default());
        if let Some(failures) = &failures {
            let rows = self.database.first_rows(&failures.sql, &failures.parameters, SHOWN_FAILURES + 1)?;
            number = rows.len() as u64;
            if number > 0 {
                first =
                    crate::text::text_table(&rows, Some(SHOWN_FAILURES)).map_err(|error| self.database.error(error))?;
            }
            if rows.len() > SHOWN_FAILURES {
                let counted = self
                    .database
                    .query_with(&format!("select count(*) from ({}\n) f", failures.sql), &failures.parameters)?;
                let counted = crate::text::single_integer(&counted).map_err(|error| self.database.error(error))?;
                number = u64::try_from(counted).unwrap_or(number);
            }
        }
        let state = match (number, test.severity) {
            (0, _) => TestState::Pass,
            (_, TestSeverity::Warn) => TestState::Warn,
            (_, TestSeverity::Error) => TestState::Fail,
        };
        let outcome = TestOutcome {
            test: test.name.clone(),
            table: test.table.as_ref().map(ToString::to_string),
            severity: match test.severity {
                TestSeverity::Error => "error".into(),
                TestSeverity::Warn => "warn".into(),
            },
            state,
            failures: number,
            scope: failures.map_or("changes", |failures| failures.scope).into(),
            first_failures: first
                .rows
                .into_iter()
                .map(|row| first.columns.iter().cloned().zip(row).collect())
                .collect(),
            message: (number > 0).then(|| match test.on_failure {
                OnFailure::Fail => message(test, number),
                OnFailure::Quarantine => {
                    format!("{}; the next build rebuilds the table without them", message(test, number))
                }
            }),
            seconds: started.elapsed().as_secs_f64(),
        };
        self.observer.event(&Event::TestFinished(outcome.clone()));
        Ok(outcome)
    }

    /// Refuses a test of a column that is none of its table's, in better words than the engine's.
    fn check_columns(&self, test: &DataTest) -> Result<(), RunError> {
        let mut asked: Vec<(&TableName, &str)> = Vec::new();
        if let Some(table) = &test.table {
            asked.extend(test.kind.columns().into_iter().map(|column| (table, column)));
        }
        if let TestKind::Relationships { to, field, .. } = &test.kind {
            asked.push((to, field));
        }
        for (table, column) in asked {
            let Some(state) = self.tables.get(table) else { continue };
            let names: Vec<&str> = state.columns.iter().map(|column| column.name.as_str()).collect();
            if names.iter().any(|name| name.eq_ignore_ascii_case(column)) {
                continue;
            }
            let instead = match nearest(column, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its columns are {}", names.join(", ")),
            };
            let message = format!("{table} has no column `{column}`: {instead}");
            return Err(self.database.error(WarehouseError::new(WarehouseErrorKind::Statement, message)));
        }
        Ok(())
    }

    /// The failing rows of a test; `None` when nothing it looks at changed.
    fn failures(
        &mut self,
        index: usize,
        test: &DataTest,
        changes_only: bool,
        now: i64,
    ) -> Result<Option<Failures>, RunError> {
        let everything = |sql: String| Ok(Some(Failures { sql, parameters: Vec::new(), scope: "everything" }));
        if let TestKind::Sql { .. } = test.kind {
            let sql = self.compiled.tests[index].sql.clone().unwrap_or_default();
            return everything(sql);
        }
        let Some(table) = &test.table else { return Ok(None) };
        let published = self.published(table)?;
        let change = if changes_only { self.effective_change(table) } else { Change::Everything };
        let filter = self.compiled.tests[index].filter.clone().or_else(|| test.filter.clone());
        let and_filter = filter.as_ref().map(|filter| format!(" and ({filter})")).unwrap_or_default();
        let (rows, scope) = match &change {
            Change::Rows { after, .. } => (after.clone(), "changes"),
            _ => (published.clone(), "everything"),
        };
        let dialect = self.database.dialect;
        let bad_name = |error| self.database.bad_name(error);
        // Changed rows carry bookkeeping columns; a failing row is shown as readers see it.
        let columns = match self.tables.get(table) {
            Some(state) => {
                let names = state.columns.iter().map(|column| column.name.as_str());
                column_list(dialect, "t", names).map_err(bad_name)?
            }
            None => "t.*".to_owned(),
        };
        let parameters = Vec::new();
        let mut kind = test.kind.clone();
        if let (TestKind::ExpressionIsTrue { expression, .. }, Some(sql)) = (&mut kind, &self.compiled.tests[index].sql)
        {
            expression.clone_from(sql);
        }
        let typed = self.tables.get(table).map(|state| state.typed_columns(dialect)).unwrap_or_default();
        if let Some(condition) = row_condition(dialect, "t", &typed, &kind).map_err(bad_name)? {
            if change == Change::None {
                return Ok(None);
            }
            let sql = format!("select {columns} from {rows} t where not coalesce({condition}, false){and_filter}");
            return Ok(Some(Failures { sql, parameters, scope }));
        }
        match &test.kind {
            TestKind::Unique { columns } => {
                let keys = column_list(dialect, "t", columns.iter().map(String::as_str)).map_err(bad_name)?;
                let mut conditions = Vec::new();
                for column in columns {
                    conditions.push(format!("{} is not null", qualified(dialect, "t", column).map_err(bad_name)?));
                }
                if let Change::Rows { after, .. } = &change {
                    let pairs =
                        thalweg_sql::statement::relation::equal_keys(dialect, "a", "t", columns).map_err(bad_name)?;
                    conditions.push(format!("exists (select 1 from {after} a where {pairs})"));
                }
                if change == Change::None {
                    return Ok(None);
                }
                let sql = format!(
                    "select {keys}, count(*) as occurrences from {published} t where {}{and_filter} group by {keys} having count(*) > 1",
                    conditions.join(" and ")
                );
                Ok(Some(Failures { sql, parameters, scope }))
            }
            TestKind::Relationships { column, to, field } => {
                let parent = self.published(to)?;
                let (child, field) = (
                    qualified(dialect, "t", column).map_err(bad_name)?,
                    dialect.quote_identifier(field).map_err(bad_name)?,
                );
                let orphan = format!(
                    "{child} is not null and not exists (select 1 from {parent} p where p.{field} = {child}){and_filter}"
                );
                let parents = if changes_only { self.effective_change(to) } else { Change::Everything };
                let mut queries = Vec::new();
                let mut scope = "changes";
                match (&change, &parents) {
                    (_, Change::Everything) | (Change::Everything, _) => {
                        queries.push(format!("select {columns} from {published} t where {orphan}"));
                        scope = "everything";
                    }
                    _ => {
                        if let Change::Rows { after, .. } = &change {
                            queries.push(format!("select {columns} from {after} t where {orphan}"));
                        }
                        if let Change::Rows { before, .. } = &parents {
                            queries.push(format!(
                                "select {columns} from {published} t where exists (select 1 from {before} b where b.{field} = {child}) and {orphan}"
                            ));
                        }
                    }
                }
                if queries.is_empty() {
                    return Ok(None);
                }
                // A row may be found on both ways; it is one failure.
                Ok(Some(Failures { sql: queries.join(" union "), parameters, scope }))
            }
            TestKind::RowCount { min, max } => {
                let condition = filter.map(|filter| format!(" where ({filter})")).unwrap_or_default();
                let mut wrong = Vec::new();
                if let Some(min) = min {
                    wrong.push(format!("c.row_count < {min}"));
                }
                if let Some(max) = max {
                    wrong.push(format!("c.row_count > {max}"));
                }
                if wrong.is_empty() {
                    return Ok(None);
                }
                everything(format!(
                    "select c.row_count from (select count(*) as row_count from {published} t{condition}) c where {}",
                    wrong.join(" or ")
                ))
            }
            TestKind::Freshness { column, max_age } => {
                let column = qualified(dialect, "t", column).map_err(bad_name)?;
                let condition = filter.map(|filter| format!(" where ({filter})")).unwrap_or_default();
                let age = i64::try_from(max_age.as_micros()).unwrap_or(i64::MAX);
                Ok(Some(Failures {
                    sql: format!(
                        "select n.newest from (select max({column}) as newest from {published} t{condition}) n \
                         where n.newest is null or n.newest < ?"
                    ),
                    parameters: vec![Value::Timestamp(now.saturating_sub(age))],
                    scope: "everything",
                }))
            }
            _ => Ok(None),
        }
    }
}

/// Whether the answer of a test depends on the time.
fn reads_clock(test: &DataTest, compiled: &thalweg_sql::graph::CompiledTest) -> bool {
    if matches!(test.kind, TestKind::Freshness { .. }) {
        return true;
    }
    let mut text = format!("{} {}", compiled.sql.as_deref().unwrap_or(""), compiled.filter.as_deref().unwrap_or(""));
    if let TestKind::AcceptedRange { min, max, .. } = &test.kind {
        text.push_str(&format!(" {min:?} {max:?}"));
    }
    // Too much is found rather than too little: a test that is run needlessly does no harm.
    let text = text.to_lowercase();
    ["now(", "current_", "today(", "localtime", "transaction_timestamp"].iter().any(|word| text.contains(word))
}

/// What a test demands, as a text that changes when it does.
pub fn fingerprint(test: &DataTest, compiled: &thalweg_sql::graph::CompiledTest) -> String {
    let text = format!("{:?}\0{:?}\0{:?}\0{:?}", test.table, test.kind, compiled.sql, compiled.filter);
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}

/// What is wrong, in words.
fn message(test: &DataTest, failures: u64) -> String {
    let rows = if failures == 1 { "1 row".to_owned() } else { format!("{failures} rows") };
    let table = test.table.as_ref().map(ToString::to_string).unwrap_or_default();
    match &test.kind {
        TestKind::NotNull { column } => format!("{rows} of {table} with NULL in {column}"),
        TestKind::Unique { columns } => {
            let values = if failures == 1 { "1 value".to_owned() } else { format!("{failures} values") };
            format!("{values} of {} more than once in {table}", columns.join(", "))
        }
        TestKind::AcceptedValues { column, .. } => format!("{rows} of {table} with an unexpected value in {column}"),
        TestKind::Relationships { column, to, field } => {
            format!("{rows} of {table} whose {column} is not in {to}.{field}")
        }
        TestKind::AcceptedRange { column, .. } => format!("{rows} of {table} with {column} out of range"),
        TestKind::ExpressionIsTrue { expression, column } => {
            format!("{rows} of {table} for which {} {expression} is not true", column.as_deref().unwrap_or(""))
                .replace("  ", " ")
        }
        TestKind::RowCount { min, max } => match (min, max) {
            (Some(min), Some(max)) => format!("{table} does not have between {min} and {max} rows"),
            (Some(min), None) => format!("{table} has fewer than {min} rows"),
            (None, Some(max)) => format!("{table} has more than {max} rows"),
            (None, None) => format!("{table} has the wrong number of rows"),
        },
        TestKind::Freshness { column, max_age } => {
            format!("the newest {column} of {table} is older than {} s, or there is none", max_age.as_secs())
        }
        TestKind::Sql { .. } => format!("the query returned {rows}"),
    }
}
