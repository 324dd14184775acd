//! The embedded warehouse: one DuckDB file, open only while it is needed.

mod connect;
mod error;
mod export;
mod lock;
mod share;
mod stage;
mod transaction;

use std::path::PathBuf;

use arrow::record_batch::RecordBatch;

use crate::contract::{Access, Capabilities, Connection, RunLock, Wait, Warehouse, WarehouseError, WarehouseErrorKind};

/// A warehouse in a DuckDB file.
#[derive(Debug)]
pub(crate) struct DuckDbWarehouse {
    file: PathBuf,
    display: String,
    target: String,
    published_copy: Option<PathBuf>,
    settings: thalweg_duck::Settings,
}

impl DuckDbWarehouse {
    /// `display` is how the user wrote the path.
    pub(crate) fn new(
        file: PathBuf,
        display: String,
        target: String,
        published_copy: Option<PathBuf>,
        settings: thalweg_duck::Settings,
    ) -> Self {
        Self { file, display, target, published_copy, settings }
    }
}

impl Warehouse for DuckDbWarehouse {
    fn capabilities(&self) -> Capabilities {
        Capabilities { transactions: true, transactional_ddl: true, savepoints: false, stages_in_place: true }
    }

    fn display(&self) -> String {
        self.display.clone()
    }

    fn exists(&self) -> Result<bool, WarehouseError> {
        self.file.try_exists().map_err(|error| {
            WarehouseError::new(WarehouseErrorKind::Storage, format!("cannot look for `{}`: {error}", self.display))
        })
    }

    fn lock(&self, project: &str, holder: &str) -> Result<Box<dyn RunLock>, WarehouseError> {
        Ok(Box::new(lock::take(&self.file, &self.display, project, &self.target, holder)?))
    }

    fn share(&self, since: Option<i64>) -> Result<Option<String>, WarehouseError> {
        let Some(copy) = &self.published_copy else { return Ok(None) };
        if since.is_some_and(|since| share::is_younger(copy, since)) {
            return Ok(None);
        }
        share::copy(&self.file, &self.display, copy)?;
        Ok(Some(format!("copied to {}", copy.display())))
    }

    fn expect(&mut self, run: &[&str], within: &[&str]) {
        let within = within.iter().fold(Asked::default(), |all, sql| all.with(Asked::of(sql)));
        for asked in run.iter().map(|sql| Asked::of(sql).with(within)) {
            self.settings.distinct_on |= asked.distinct_on;
            self.settings.undercounted |= asked.is_undercounted();
        }
    }

    fn connect(&self, access: Access, wait: &Wait<'_>) -> Result<Box<dyn Connection>, WarehouseError> {
        Ok(Box::new(connect::connect(&self.file, &self.display, &self.settings, access, wait)?))
    }
}

/// What a text asks for that DuckDB may answer wrongly, wherever it stands there: rather once too often than not.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    distinct_on: bool,
    /// Outer joins, grouping sets, ranges: more rows than the engine may think.
    more_than_thought: bool,
    /// Sums and limits, which a wrong number of rows makes wrong. A mean may be kept as a sum and a count.
    by_number: bool,
}

impl Asked {
    fn of(sql: &str) -> Self {
        let lower = sql.to_lowercase();
        let any = |words: &[&str], by: &[&str]| words.iter().any(|word| followed(&lower, word, by));
        Self {
            distinct_on: any(&["distinct"], &["on"]),
            more_than_thought: any(&["left", "right", "full"], &["join", "outer"])
                || any(&["rollup", "cube", "range"], &["("])
                || any(&["grouping"], &["sets"]),
            by_number: any(&["sum", "avg", "mean"], &["("]) || any(&["limit", "fetch"], &[""]),
        }
    }

    fn with(self, other: Self) -> Self {
        Self {
            distinct_on: self.distinct_on || other.distinct_on,
            more_than_thought: self.more_than_thought || other.more_than_thought,
            by_number: self.by_number || other.by_number,
        }
    }

    fn is_undercounted(self) -> bool {
        self.more_than_thought && self.by_number
    }
}

/// Whether a word is followed by one of these, with nothing but blanks and comments in between.
fn followed(lower: &str, word: &str, by: &[&str]) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let goes_on = |text: &str| text.starts_with(in_word);
    lower.match_indices(word).any(|(at, _)| {
        let (before, behind) = (&lower[..at], &lower[at + word.len()..]);
        let inside = before.ends_with(in_word) || goes_on(behind);
        let next = after_blanks(behind);
        !inside
            && by.iter().any(|by| match next.strip_prefix(by) {
                Some(rest) => !by.ends_with(in_word) || !goes_on(rest),
                None => false,
            })
    })
}

fn after_blanks(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        let behind = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, behind)| behind)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, behind)| behind)
        } else {
            return rest;
        };
        rest = behind.trim_start();
    }
}

/// An empty engine in memory, gone when the connection is dropped; statements reach no file.
pub(crate) fn scratch() -> Result<Box<dyn Connection>, WarehouseError> {
    // Queries over empty tables are nothing to share among threads.
    let files = thalweg_duck::Files::Below(Vec::new());
    let settings = thalweg_duck::Settings { files, threads: Some(1), ..Default::default() };
    let opened = thalweg_duck::Engine::open_in_memory(&settings).and_then(|engine| engine.connect());
    let inner = opened.map_err(|error| error::of_opening(&error, "memory"))?;
    Ok(Box::new(transaction::DuckDbConnection::new(inner, "memory".to_owned())))
}

/// An engine in memory that reads files below these folders, for warehouses that cannot read Parquet themselves.
pub(crate) fn file_reader(folders: &[PathBuf]) -> Result<thalweg_duck::Connection, WarehouseError> {
    let files = thalweg_duck::Files::Below(folders.to_vec());
    let settings = thalweg_duck::Settings { files, ..Default::default() };
    let opened = thalweg_duck::Engine::open_in_memory(&settings).and_then(|engine| engine.connect());
    opened.map_err(|error| error::of_opening(&error, "memory"))
}

/// Makes landing files readable for [`read_staged`], exactly as they are staged in this warehouse.
pub(crate) use stage::{stage as stage_files, unstage as unstage_files};

/// Hands the rows of a staged relation over; `documents` are columns that are written as JSON.
pub(crate) fn read_staged(
    reader: &mut thalweg_duck::Connection,
    name: &str,
    documents: &[&str],
    take: &mut dyn FnMut(&RecordBatch) -> Result<(), WarehouseError>,
) -> Result<(), WarehouseError> {
    let mut replaced = Vec::with_capacity(documents.len());
    for column in documents {
        let column = stage::quote(column)?;
        replaced.push(format!("to_json({column}) as {column}"));
    }
    let replaced = if replaced.is_empty() { String::new() } else { format!(" replace ({})", replaced.join(", ")) };
    let sql = format!("select *{replaced} from {}", stage::quote(name)?);
    reader.read(&sql, take).map_err(|failed| error::of_statement(failed, Some(&sql)))?
}

#[cfg(test)]
mod tests {
    use super::Asked;

    fn asks_distinct_on(sql: &str) -> bool {
        Asked::of(sql).distinct_on
    }

    fn is_undercounted(sql: &str) -> bool {
        Asked::of(sql).is_undercounted()
    }

    #[test]
    fn distinct_on_is_seen() {
        assert!(asks_distinct_on("select distinct on (a) a, b from t"));
        assert!(asks_distinct_on("select DISTINCT -- each\n /* once */ On(a) a from t"));
        assert!(!asks_distinct_on("select distinct online, only from t"));
        assert!(!asks_distinct_on("select distinct -- on"));
        assert!(!asks_distinct_on("select count(distinct a) from t join u on t.a = u.a"));
    }

    #[test]
    fn sums_and_limits_over_what_is_undercounted_are_seen() {
        assert!(is_undercounted("select sum(a) from t left join u on t.a = u.a"));
        assert!(is_undercounted(
            "with j as (from t FULL -- all\n Outer join u using (a)) select Sum /* of */ (a) from j"
        ));
        assert!(is_undercounted("select a, avg (b) from t left join u using (a) group by a"));
        assert!(is_undercounted("select a from t natural right join u limit 3"));
        assert!(is_undercounted("select '--', a from t asof left join u using (a) fetch first 3 rows only"));
        assert!(is_undercounted("select sum(k) from (select k from t group by rollup (k, b))"));
        assert!(is_undercounted("select k from t group by grouping /* two */ sets ((k), ()) limit 2"));
        assert!(is_undercounted(
            "select sum(1) from range(timestamp '2024-01-01', timestamp '2024-01-02', interval 5 hour)"
        ));
        assert!(!is_undercounted("select sum(a) over (order by b range between 1 preceding and current row) from t"));
        assert!(!is_undercounted("select sum(a) from t join u on left(t.a, 1) = u.a"));
        assert!(!is_undercounted("select checksum(a), sum_of from t left join u using (a) where off_limits"));
        assert!(!is_undercounted("select \"left\".a from \"left\" join u using (a) limit 1"));
    }
}
