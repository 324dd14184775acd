//! Opening and closing databases.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cast::{self, Database};
use crate::connection::Connection;
use crate::error::{EngineError, ErrorKind};
use crate::function;

/// What a database is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading; several processes may read a file at the same time.
    Read,
    /// Reading and writing; one process at a time. The file is created when it does not exist, its folder is not.
    Write,
}

/// How a database works.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Threads of the engine, or one per core.
    pub threads: Option<usize>,
    /// DuckDB's memory limit (`400MB`), or 80 % of the machine's.
    pub memory_limit: Option<String>,
    /// The files that statements may read and write.
    pub files: Files,
    /// `DISTINCT ON` will be asked for. DuckDB 2.0 lets the filter that one side of a join makes for the other fall through it when
    /// there is a join below, and then takes another row for the first: such filters are switched off, for all statements.
    pub distinct_on: bool,
    /// A sum or a LIMIT will be asked for over what DuckDB 2.0 may take to have fewer rows than it has: an outer join of which no row of
    /// one side passes a filter (as statistics say), grouping sets, a range of times. Such sums are compared, grouped and joined as if they
    /// were smaller, such a LIMIT is dropped. The step that carries statistics through a query is switched off, for all statements.
    pub undercounted: bool,
    /// Plans are carried out as they are written: for tests which hold the engine's answers against each other.
    pub unoptimized: bool,
}

/// The files that statements may read and write (`read_parquet`, `COPY`), apart from the database's own.
#[derive(Debug, Clone, Default)]
pub enum Files {
    /// All that the process may.
    #[default]
    Everywhere,
    /// Those below these folders. Nothing else can be read, written or attached, whatever the statement says.
    Below(Vec<PathBuf>),
}

/// One open database. Closed when it and all of its connections are dropped.
///
/// DuckDB guards a file by a lock that holds between processes, not within one, so this crate keeps at most one engine per
/// file: opening it again gives the same one, with the settings it was first opened with.
#[derive(Debug, Clone)]
pub struct Engine {
    handle: Arc<Handle>,
    access: Access,
}

/// Dropping it closes the database when it was the last one for its file.
#[derive(Debug)]
pub(crate) struct Handle {
    place: Place,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    /// The connection goes before the database it is of.
    Memory(Mutex<duckdb::Connection>, #[expect(dead_code, reason = "held until it is dropped")] Database),
}

struct Open {
    root: duckdb::Connection,
    #[expect(dead_code, reason = "held until it is dropped, after the connection")]
    database: Database,
    access: Access,
    handles: usize,
}

/// The files this process has open. Closing happens under the lock too, so that nobody opens a file that is just being closed.
static OPEN: Mutex<Option<HashMap<PathBuf, Open>>> = Mutex::new(None);

fn open_files() -> MutexGuard<'static, Option<HashMap<PathBuf, Open>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Opens a file. Errors: [`ErrorKind::Held`], [`ErrorKind::NotADatabase`], [`ErrorKind::OtherVersion`], [`ErrorKind::File`].
    pub fn open(path: &Path, access: Access, settings: &Settings) -> Result<Self, EngineError> {
        let path = absolute(path)?;
        let mut files = open_files();
        let files = files.get_or_insert_default();
        match files.get_mut(&path) {
            Some(open) if open.access == Access::Read && access == Access::Write => {
                let mut error = EngineError::new(ErrorKind::Held, "this process has the file open for reading");
                error.holder = Some((std::process::id(), None));
                return Err(error);
            }
            Some(open) => open.handles += 1,
            None => {
                let (database, root) = cast::open(Some(&path), &configuration(access))?;
                configure(&root, settings, Some(&path))?;
                files.insert(path.clone(), Open { root, database, access, handles: 1 });
            }
        }
        Ok(Self { handle: Arc::new(Handle { place: Place::File(path) }), access })
    }

    /// A database in memory, gone when it is closed.
    pub fn open_in_memory(settings: &Settings) -> Result<Self, EngineError> {
        let (database, root) = cast::open(None, &configuration(Access::Write))?;
        configure(&root, settings, None)?;
        Ok(Self {
            handle: Arc::new(Handle { place: Place::Memory(Mutex::new(root), database) }),
            access: Access::Write,
        })
    }

    /// Does something with a file that this process does not have open, and keeps it from being opened here meanwhile.
    ///
    /// For everything that reads the file by other means than the engine: closing *any* handle of a file gives up the locks that the
    /// process holds on it (POSIX), so that another process could write beside this one. Errors with [`ErrorKind::Held`].
    pub fn while_closed<T>(path: &Path, run: impl FnOnce() -> T) -> Result<T, EngineError> {
        let path = absolute(path)?;
        let files = open_files();
        if files.as_ref().is_some_and(|files| files.contains_key(&path)) {
            let mut error = EngineError::new(ErrorKind::Held, "this process has the file open");
            error.holder = Some((std::process::id(), None));
            return Err(error);
        }
        Ok(run())
    }

    /// A new connection. One that was opened for reading cannot write, even where the engine is shared with one that can.
    pub fn connect(&self) -> Result<Connection, EngineError> {
        let (inner, shared_with_writer) = match &self.handle.place {
            Place::Memory(root, _) => (root.lock().unwrap_or_else(PoisonError::into_inner).try_clone()?, false),
            Place::File(path) => {
                let files = open_files();
                let open = files.as_ref().and_then(|files| files.get(path));
                let open = open.ok_or_else(|| EngineError::new(ErrorKind::File, "the database is closed"))?;
                (open.root.try_clone()?, self.access == Access::Read && open.access == Access::Write)
            }
        };
        Connection::new(inner, self.handle.clone(), shared_with_writer)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let Place::File(path) = &self.place else { return };
        let mut files = open_files();
        let Some(files) = files.as_mut() else { return };
        if let Some(open) = files.get_mut(path) {
            open.handles -= 1;
            if open.handles == 0 {
                files.remove(path);
            }
        }
    }
}

/// One name per file, also before it exists.
fn absolute(path: &Path) -> Result<PathBuf, EngineError> {
    let wrong = |error: std::io::Error| EngineError::new(ErrorKind::File, format!("{}: {error}", path.display()));
    let absolute = std::path::absolute(path).map_err(wrong)?;
    if let Ok(real) = absolute.canonicalize() {
        return Ok(real);
    }
    match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.canonicalize().map_err(wrong)?.join(name)),
        _ => Ok(absolute),
    }
}

fn configuration(access: Access) -> [(&'static str, &'static str); 7] {
    let mode = match access {
        Access::Read => "READ_ONLY",
        Access::Write => "READ_WRITE",
    };
    [
        ("access_mode", mode),
        ("autoinstall_known_extensions", "0"),
        ("autoload_known_extensions", "0"),
        ("errors_as_json", "true"),
        ("allow_persistent_secrets", "false"),
        // 64 rows and fewer on the left make DuckDB answer ASOF joins by another plan with another answer among equals.
        ("asof_loop_join_threshold", "0"),
        ("duckdb_api", "rust"),
    ]
}

fn configure(root: &duckdb::Connection, settings: &Settings, path: Option<&Path>) -> Result<(), EngineError> {
    let mut statements = Vec::new();
    // `preserve_insertion_order` stays on although nothing relies on it: switched off, writing a million log lines took 410 MB
    // instead of 240 and was no quicker, because each thread keeps row groups of its own open.
    if let Some(threads) = settings.threads {
        statements.push(format!("set threads = {}", threads.max(1)));
    }
    if let Some(limit) = &settings.memory_limit {
        root.execute_batch(&format!("set memory_limit = {}", literal(limit))).map_err(|error| {
            let error = EngineError::from(error);
            EngineError::new(error.kind, format!("`memory_limit: {limit}` is no amount of memory: {}", error.message))
        })?;
    }
    // A commit of more than this goes straight to the file, instead of to the log now and to the file when it is closed.
    statements.push("set checkpoint_threshold = '1MiB'".to_owned());
    match path {
        Some(path) => statements.push(format!("set temp_directory = {}", literal(&format!("{}.tmp", path.display())))),
        None => statements.push(format!(
            "set temp_directory = {}",
            literal(&std::env::temp_dir().join("thalweg.tmp").to_string_lossy())
        )),
    }
    if let Files::Below(folders) = &settings.files {
        let mut list = Vec::new();
        for folder in folders {
            let folder = std::path::absolute(folder)
                .map_err(|error| EngineError::new(ErrorKind::File, format!("{}: {error}", folder.display())))?;
            // DuckDB compares names, not places: a folder reached through a symbolic link is allowed under both names.
            if let Some(real) = folder.canonicalize().ok().filter(|real| *real != folder) {
                list.push(literal(&real.to_string_lossy()));
            }
            list.push(literal(&folder.to_string_lossy()));
        }
        statements.push(format!("set allowed_directories = [{}]", list.join(", ")));
        statements.push("set enable_external_access = false".to_owned());
    }
    let switched_off = switched_off(root, settings)?;
    if !switched_off.is_empty() {
        statements.push(format!("set disabled_optimizers = {}", literal(&switched_off.join(","))));
    }
    statements.push("set lock_configuration = true".to_owned());
    root.execute_batch(&statements.join(";\n"))?;
    function::register(root)
}

/// The steps of the optimizer that are left out.
fn switched_off(root: &duckdb::Connection, settings: &Settings) -> Result<Vec<String>, EngineError> {
    if settings.unoptimized {
        let mut all = root.prepare("select name from duckdb_optimizers()")?;
        let names = all.query_map([], |row| row.get(0))?;
        return Ok(names.collect::<Result<_, _>>()?);
    }
    let faulty = [
        // Where a join of a table with itself stands twice in a text, 2.0 gives columns of the one side for those of the other.
        (true, "common_subplan"),
        // The rows that come first, of which some were written by this very transaction: 2.0 looks them up where they are not, and dies of it.
        (true, "late_materialization"),
        (settings.distinct_on, "join_filter_pushdown"),
        (settings.undercounted, "statistics_propagation"),
    ];
    Ok(faulty.into_iter().filter(|(wanted, _)| *wanted).map(|(_, step)| step.to_owned()).collect())
}

/// Settings take no bound parameters.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
