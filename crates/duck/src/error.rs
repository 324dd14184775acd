//! Trouble of the engine, told apart and told clearly.

use std::fmt;

use serde_json::Value;

/// What kind of trouble the engine had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Another process (or this one, for reading) has the file open: [`EngineError::holder`] says who.
    Held,
    /// The file is no DuckDB file.
    NotADatabase,
    /// The file was written by another version of DuckDB than this one can read.
    OtherVersion,
    /// The disk is full.
    DiskFull,
    /// A file cannot be read or written, or is damaged.
    File,
    /// The statement was stopped by an [`crate::Interrupter`].
    Interrupted,
    /// The statement needs more memory than it may have.
    Memory,
    /// A row breaks a constraint.
    Constraint,
    /// A table, column or function does not exist.
    Missing,
    /// The statement is wrong or failed on its data.
    Statement,
    /// A statement failed before, and the transaction was not rolled back yet.
    DeadTransaction,
    /// The engine can no longer be trusted: close it and open it again.
    Fatal,
}

/// What the engine could not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineError {
    /// What kind of trouble.
    pub kind: ErrorKind,
    /// DuckDB's words, without the name of its exception, hints at its settings and links.
    pub message: String,
    /// Byte offset into the statement, where DuckDB knows it.
    pub position: Option<usize>,
    /// Names that were perhaps meant.
    pub candidates: Vec<String>,
    /// With [`ErrorKind::Held`]: number and, where known, program of the process that holds the file.
    pub holder: Option<(u32, Option<String>)>,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EngineError {}

impl EngineError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), position: None, candidates: Vec::new(), holder: None }
    }

    /// An error as the binding hands it on: `Catalog Error: {json}`, `{json}`, or `IO Error: words`.
    pub(crate) fn from_text(text: &str) -> Self {
        if let Some(error) = text.find("{\"exception_type\"").and_then(|start| Self::from_json(&text[start..])) {
            return error;
        }
        match text.split_once(" Error: ") {
            Some((class, message)) if class.split_whitespace().count() <= 3 => {
                Self::classify(class.trim(), message.split("\n\nLINE ").next().unwrap_or(message))
            }
            _ => Self::classify("", text),
        }
    }

    fn from_json(text: &str) -> Option<Self> {
        let value = serde_json::Deserializer::from_str(text).into_iter::<Value>().next()?.ok()?;
        let part = |name: &str| value.get(name).and_then(Value::as_str);
        let mut error = Self::classify(part("exception_type")?, part("exception_message")?);
        error.position = part("position").and_then(|position| position.parse().ok());
        if let Some(candidates) = part("candidates") {
            error.candidates =
                candidates.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        }
        if matches!(part("error_subtype"), Some("MISSING_ENTRY" | "COLUMN_NOT_FOUND")) {
            error.kind = ErrorKind::Missing;
        }
        Some(error)
    }

    fn classify(class: &str, message: &str) -> Self {
        let has = |part: &str| message.contains(part);
        let kind = match class {
            _ if has("Conflicting lock is held") || has("Could not set lock on file") => ErrorKind::Held,
            _ if has("not a valid DuckDB database file") => ErrorKind::NotADatabase,
            _ if has("storage version number") || has("storage version") && has("read a database file") => {
                ErrorKind::OtherVersion
            }
            _ if has("No space left on device") || has("max_temp_directory_size") => ErrorKind::DiskFull,
            _ if has("please ROLLBACK") => ErrorKind::DeadTransaction,
            "INTERRUPT" | "Interrupt" => ErrorKind::Interrupted,
            "FATAL" | "Fatal" | "INTERNAL" | "Internal" => ErrorKind::Fatal,
            _ if has("database has been invalidated") => ErrorKind::Fatal,
            "Out of Memory" => ErrorKind::Memory,
            "Constraint" => ErrorKind::Constraint,
            "Catalog" if has("does not exist") => ErrorKind::Missing,
            "IO" | "Serialization" => ErrorKind::File,
            _ => ErrorKind::Statement,
        };
        let mut error = Self::new(kind, clean(message));
        if kind == ErrorKind::Held {
            error.holder = holder(message);
        }
        error
    }
}

impl From<duckdb::Error> for EngineError {
    fn from(error: duckdb::Error) -> Self {
        match error {
            duckdb::Error::DuckDBFailure(_, Some(text)) => Self::from_text(&text),
            other => Self::new(ErrorKind::Statement, other.to_string()),
        }
    }
}

/// Hints that speak of DuckDB's settings and pages mean nothing to a user of this program.
fn clean(message: &str) -> String {
    if needs_icu(message) {
        return "this cannot be done here with a time with a time zone (`now()`, `current_timestamp`): make a UTC timestamp of it \
                first, `now() AT TIME ZONE 'UTC'`"
            .to_owned();
    }
    const NOISE: [&str; 7] = [
        "\n\nPossible solutions:",
        "\nPossible solutions:",
        "\n\nNewer DuckDB version might",
        "\nSee the storage page",
        " See also https://",
        "\nSee also https://",
        " However, you would be able",
    ];
    let end = NOISE.iter().filter_map(|noise| message.find(noise)).min().unwrap_or(message.len());
    message[..end].trim_end().to_owned()
}

/// What DuckDB does with `TIMESTAMP WITH TIME ZONE` lies in an extension that is not part of this program.
fn needs_icu(message: &str) -> bool {
    message.contains("extension 'icu")
        || message.contains("in the icu extension")
        || message.contains("Unimplemented type for cast (TIMESTAMP WITH TIME ZONE")
        || (message.starts_with("No function matches")
            && message.lines().next().is_some_and(|line| line.contains("(TIMESTAMP WITH TIME ZONE")))
}

/// `Conflicting lock is held in /usr/bin/python3.13 (PID 4711)`
fn holder(message: &str) -> Option<(u32, Option<String>)> {
    let (before, after) = message.split_once("(PID ")?;
    let process = after.split_once(')')?.0.trim().parse().ok()?;
    let program = before
        .rsplit_once("held in ")
        .map(|(_, path)| path.trim().rsplit('/').next().unwrap_or_default().to_owned())
        .filter(|name| !name.is_empty());
    Some((process, program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read() {
        let error = EngineError::from_text(
            r#"Binder Error: {"exception_type":"Binder","exception_message":"Referenced column \"colx\" not found in FROM clause!\nCandidate bindings: \"coly\"","name":"colx","location":"[7,4]","position":"7","candidates":"coly","error_subtype":"COLUMN_NOT_FOUND"}"#,
        );
        assert_eq!(error.kind, ErrorKind::Missing);
        assert_eq!(error.position, Some(7));
        assert_eq!(error.candidates, ["coly"]);
        assert_eq!(error.message, "Referenced column \"colx\" not found in FROM clause!\nCandidate bindings: \"coly\"");
    }

    #[test]
    fn words_are_read() {
        let error = EngineError::from_text(
            "IO Error: Could not set lock on file \"/d/w.duckdb\": Conflicting lock is held in /usr/bin/python3.13 (PID 4711). See also https://duckdb.org/docs",
        );
        assert_eq!(error.kind, ErrorKind::Held);
        assert_eq!(error.holder, Some((4711, Some("python3.13".to_owned()))));
        assert!(!error.message.contains("http"), "{}", error.message);
        let error = EngineError::from_text(
            "Conversion Error: Could not convert string 'abc' to INT32\n\nLINE 1: select 'abc'\n ^^^",
        );
        assert_eq!(error.kind, ErrorKind::Statement);
        assert_eq!(error.message, "Could not convert string 'abc' to INT32");
    }
}
