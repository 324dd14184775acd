//! The tables of the ledger, one struct each.

use serde_json::Value as Json;

use super::cell::{Builder, Cell, Columns, LedgerColumn, Record, Wrong};

/// Microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Microseconds(pub i64);

/// Declares a table and the struct of its rows.
macro_rules! record {
    (
        $(#[$meta:meta])*
        $name:ident in $table:literal {
            $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl Record for $name {
            const TABLE: &'static str = $table;

            fn columns() -> Vec<LedgerColumn> {
                vec![$(LedgerColumn {
                    name: stringify!($field),
                    column_type: <$type as Cell>::TYPE,
                    nullable: <$type as Cell>::NULLABLE,
                },)*]
            }

            fn write(&self, columns: &mut [Builder]) {
                let mut columns = columns.iter_mut();
                $(if let Some(column) = columns.next() {
                    self.$field.push(column);
                })*
            }

            fn read(columns: &mut Columns<'_>) -> Result<Self, Wrong> {
                Ok(Self { $($field: columns.take()?,)* })
            }
        }
    };
}

/// Declares an enum that is written as a word.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
        }

        impl $name {
            /// As written in the ledger.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// The meaning of a word of the ledger.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl Cell for $name {
            const TYPE: thalweg_project::ColumnType = thalweg_project::ColumnType::Text;

            fn push(&self, builder: &mut Builder) {
                if let Builder::Text(builder) = builder {
                    builder.append_value(self.word());
                }
            }

            fn pull(column: &dyn arrow::array::Array, row: usize) -> Option<Self> {
                Self::from_word(&String::pull(column, row)?)
            }
        }
    };
}

words! {
    /// How a run stands.
    RunState {
        /// It is going on, or was interrupted.
        Running = "running",
        /// Its changes are published.
        Published = "published",
        /// There was nothing to publish.
        Nothing = "nothing",
        /// Nothing was published: a test or a statement failed.
        Failed = "failed",
        /// It was interrupted and not taken up again.
        Abandoned = "abandoned",
    }
}

words! {
    /// What a table of the warehouse is.
    TableKind {
        /// Rows of a stream.
        Store = "store",
        /// Rows of a seed.
        Seed = "seed",
        /// A model's rows.
        Table = "table",
        /// A model's `SELECT`.
        View = "view",
        /// A part of a model's query that is kept for its refreshes.
        Stage = "stage",
    }
}

words! {
    /// Where a record was rejected.
    RejectKind {
        /// It could not be read.
        Read = "read",
        /// It could not be merged: a NULL in the key.
        Merge = "merge",
        /// A test diverted it.
        Quarantine = "quarantine",
    }
}

words! {
    /// What became of a reject.
    RejectState {
        /// It waits for somebody.
        Open = "open",
        /// It was read again and is loaded.
        Replayed = "replayed",
        /// It does not count any more: its extract was loaded anew.
        Gone = "gone",
    }
}

words! {
    /// How a test ended.
    TestState {
        /// The condition holds.
        Pass = "pass",
        /// It does not, and that is only a warning.
        Warn = "warn",
        /// It does not.
        Fail = "fail",
    }
}

record! {
    /// A run.
    RunRow in "runs" {
        /// Its number.
        run: i64,
        /// The lease it works under.
        epoch: i64,
        /// The verb that started it.
        command: String,
        /// How it stands.
        state: RunState,
        /// When it began.
        started_at: Microseconds,
        /// When it ended.
        finished_at: Option<Microseconds>,
        /// What it did, in numbers of the run's own choice.
        summary: Option<Json>,
        /// Why it failed, if it did.
        message: Option<String>,
    }
}

record! {
    /// Who may write. The epoch grows by one with every holder.
    LeaseRow in "lease" {
        /// Number of the lease.
        epoch: i64,
        /// Who holds it, for people.
        holder: String,
        /// Since when.
        acquired_at: Microseconds,
        /// How often it was made sure of.
        checks: i64,
    }
}

record! {
    /// A table or view that readers see.
    TableRow in "tables" {
        /// Its logical name: `store.order_lines`.
        table_name: String,
        /// What it is.
        kind: TableKind,
        /// Name of the physical table in `thalweg_data`; empty for views.
        physical: String,
        /// Grows with each new physical table.
        version: i64,
        /// What it was made by; when that changes it is made anew.
        fingerprint: String,
        /// Its declared columns: `[{name, type, source_name}]`, in the run's own form.
        columns: Json,
        /// Its rows; 0 for views.
        rows: u64,
        /// The run that last changed it.
        changed_run: i64,
        /// The run that last brought it up to date.
        refreshed_run: i64,
        /// The run that made the physical table.
        created_run: i64,
    }
}

record! {
    /// How far a model has consumed an input.
    ConsumedRow in "consumed" {
        /// The model.
        reader: String,
        /// The table it reads.
        input: String,
        /// The last run of the input whose changes it has seen.
        run: i64,
    }
}

record! {
    /// An entry of a stream's position.
    PositionRow in "positions" {
        /// The source.
        source: String,
        /// The stream.
        stream: String,
        /// The source's own key.
        entry: String,
        /// The source's own value.
        value: Json,
        /// The run that set it.
        run: i64,
    }
}

record! {
    /// A file (or other unit) that was loaded.
    ExtractRow in "extracts" {
        /// The `_origin` of its rows.
        id: i64,
        /// The run that loaded it.
        run: i64,
        /// The source.
        source: String,
        /// The stream.
        stream: String,
        /// Its name at the source.
        file: String,
        /// Hash of its content.
        hash: Option<String>,
        /// Records read.
        read: u64,
        /// Of these, rejected while reading.
        rejected: u64,
        /// Its landing: the manifest's folder, relative to the landing of the target.
        landing: String,
        /// Its index in the manifest.
        file_index: i64,
    }
}

record! {
    /// A landing whose rows are published.
    LandingRow in "landings" {
        /// The run that landed and published it.
        run: i64,
        /// The source.
        source: String,
        /// The stream.
        stream: String,
        /// The manifest's folder, relative to the landing of the target.
        manifest: String,
        /// The `_origin` of its first file.
        origin_base: i64,
        /// How it stands; `published`.
        state: String,
        /// Whether the source was told.
        confirmed: bool,
        /// What the source is to be told: a list.
        confirmations: Json,
    }
}

record! {
    /// A record that could not be loaded.
    RejectRow in "rejects" {
        /// Its number.
        id: i64,
        /// The run that rejected it.
        run: i64,
        /// The source.
        source: String,
        /// The stream.
        stream: String,
        /// The store table it was meant for.
        table_name: String,
        /// The extract it came from.
        origin: i64,
        /// Its place in the file: line or ordinal.
        record: i64,
        /// Where it starts in the file.
        byte_offset: Option<i64>,
        /// Where it was rejected.
        kind: RejectKind,
        /// Why.
        reason: String,
        /// The record as it was.
        raw: String,
        /// What became of it.
        state: RejectState,
        /// The run that replayed it.
        replayed_run: Option<i64>,
    }
}

record! {
    /// What a run did to a table.
    StepRow in "steps" {
        /// The run.
        run: i64,
        /// Its place among the steps of the run.
        position: i64,
        /// The table.
        step: String,
        /// What it is.
        kind: String,
        /// How it was brought up to date.
        strategy: String,
        /// Why so.
        reason: String,
        /// Records read.
        read: u64,
        /// Rows that are new.
        inserted: u64,
        /// Rows that replaced another of the same key.
        updated: u64,
        /// Rows that the table had already.
        unchanged: u64,
        /// Rows deleted because the source marked them so.
        deleted: u64,
        /// Rows deleted because they are no longer there.
        deleted_missing: u64,
        /// Records kept in the rejects.
        rejected: u64,
        /// Records of a key of which a newer one is known.
        duplicate: u64,
        /// Rows before.
        rows_before: u64,
        /// Rows after.
        rows_after: u64,
        /// Time taken.
        seconds: f64,
    }
}

record! {
    /// What a test found.
    TestResultRow in "test_results" {
        /// The run.
        run: i64,
        /// Its name.
        test: String,
        /// The table it is about.
        table_name: Option<String>,
        /// `error` or `warn`.
        severity: String,
        /// How it ended.
        state: TestState,
        /// Rows that failed.
        failures: u64,
        /// `changes` or `everything`.
        scope: String,
        /// Time taken.
        seconds: f64,
        /// What is wrong, in words.
        message: Option<String>,
    }
}

record! {
    /// A row that failed a test.
    TestFailureRow in "test_failures" {
        /// The run.
        run: i64,
        /// The test.
        test: String,
        /// Its place among the failures, from 1.
        row_number: i64,
        /// The row.
        row: Json,
    }
}

record! {
    /// How a test ended when it was last run on published data.
    KnownTestRow in "tests" {
        /// Its name.
        test: String,
        /// What was tested.
        fingerprint: String,
        /// Whether everything satisfied it.
        passed: bool,
        /// The run.
        run: i64,
    }
}

record! {
    /// A store table that could not be brought up to date when that was last tried.
    TroubleRow in "troubles" {
        /// The table.
        table_name: String,
        /// The run that tried.
        run: i64,
        /// Why it could not.
        message: String,
    }
}

record! {
    /// How far back a table's change log reaches.
    ChangeLogRow in "change_logs" {
        /// The table.
        table_name: String,
        /// The physical table the log stands beside.
        physical: String,
        /// Who has seen this run of the table, or a later one, finds in the log everything that changed since.
        since: i64,
    }
}

record! {
    /// What a model read of the time when it was last refreshed.
    ClockRow in "clocks" {
        /// The model.
        table_name: String,
        /// What it reads: `current_date`.
        expression: String,
        /// What that answered, as a literal of the engine.
        value: String,
    }
}

record! {
    /// How a model was refreshed in a run.
    RefreshRow in "refreshes" {
        /// The run.
        run: i64,
        /// The model.
        table_name: String,
        /// How: `incremental`, `full`, `full_difference`.
        strategy: String,
        /// Why so, in words.
        reason: String,
        /// Hash of the query and the types it read: figures of another query say nothing of this one.
        shape: String,
        /// Keys the changes could touch; NULL where they were not counted.
        keys: Option<i64>,
        /// Changed rows of its inputs; NULL where that is not known.
        upstream: Option<i64>,
        /// Rows of the table that were compared, and rows computed.
        rows_read: i64,
        /// Rows deleted and rows inserted.
        rows_written: i64,
        /// Rows of the table afterwards.
        rows_after: i64,
        /// Time taken.
        seconds: f64,
        /// Time an incremental refresh was expected to take; NULL where nothing was known.
        expected_incremental: Option<f64>,
        /// Time a full refresh was expected to take; NULL where nothing was known.
        expected_full: Option<f64>,
    }
}

/// Every table with its columns after `project`.
pub(super) fn tables() -> Vec<(&'static str, Vec<LedgerColumn>)> {
    fn table<R: Record>() -> (&'static str, Vec<LedgerColumn>) {
        (R::TABLE, R::columns())
    }
    vec![
        table::<RunRow>(),
        table::<LeaseRow>(),
        table::<TableRow>(),
        table::<ConsumedRow>(),
        table::<PositionRow>(),
        table::<ExtractRow>(),
        table::<LandingRow>(),
        table::<RejectRow>(),
        table::<StepRow>(),
        table::<TestResultRow>(),
        table::<TestFailureRow>(),
        table::<KnownTestRow>(),
        table::<TroubleRow>(),
        table::<ChangeLogRow>(),
        table::<ClockRow>(),
        table::<RefreshRow>(),
    ]
}
