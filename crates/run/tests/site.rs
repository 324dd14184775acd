//! A project on disk with its warehouse, and what can be asked of it.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arrow::array::Array;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use thalweg_run::{BuildOptions, Command, LargeTables, Observer, OpenOptions, RunError, RunOutcome, Silent, Workbench};
use thalweg_testkit::{PostgresDatabase, PostgresServer, TestProject, WrittenProject};
use thalweg_warehouse::{Access, Connection, Wait};

/// A project on disk.
pub struct Site {
    /// Its files.
    pub project: WrittenProject,
    /// The target that is built.
    pub target: Option<String>,
    /// The database that is its warehouse, where that is one of Postgres.
    database: Option<String>,
}

thread_local! {
    static ON_POSTGRES: Cell<bool> = const { Cell::new(false) };
}

/// Does something in which every new site has a warehouse in Postgres.
pub fn on_postgres<T>(act: impl FnOnce() -> T) -> T {
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            ON_POSTGRES.set(false);
        }
    }
    ON_POSTGRES.set(true);
    let _back = Back;
    act()
}

/// What a site was saved as.
pub struct Saved {
    files: TestProject,
    database: Option<String>,
}

impl Drop for Saved {
    fn drop(&mut self) {
        if let Some(database) = &self.database {
            PostgresServer::shared().forget(database);
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(database) = &self.database
            && !std::thread::panicking()
        {
            PostgresServer::shared().forget(database);
        }
    }
}

/// A project file that names its target, where it does not yet and the warehouse is a database.
fn placed(path: &str, text: &[u8], database: Option<&String>) -> Vec<u8> {
    let mut text = text.to_vec();
    let names_target = String::from_utf8_lossy(&text).contains("targets:");
    if let Some(database) = database.filter(|_| path == "thalweg.yml" && !names_target) {
        let url = PostgresServer::shared().database_named(database).url();
        let end = if text.ends_with(b"\n") { "" } else { "\n" };
        text.extend(format!("{end}targets: {{ dev: {{ type: postgres, url: \"{url}\" }} }}\n").bytes());
    }
    text
}

/// Rows as texts.
pub type Rows = Vec<Vec<Option<String>>>;

impl Site {
    /// A project with these files.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let database = ON_POSTGRES.get().then(|| PostgresServer::shared().database().name().to_owned());
        let project = files.iter().fold(TestProject::new(), |project, (path, text)| {
            project.file(*path, placed(path, text.as_bytes(), database.as_ref()))
        });
        Self { project: project.write(), target: None, database }
    }

    /// A project that is written as it is.
    pub fn of(project: TestProject) -> Self {
        Self { project: project.write(), target: None, database: None }
    }

    /// Writes a file of the project.
    pub fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        self.project.put(path, placed(path, content.as_ref(), self.database.as_ref()));
    }

    /// The database of Postgres that is its warehouse.
    pub fn database(&self) -> PostgresDatabase<'static> {
        PostgresServer::shared().database_named(self.database.as_ref().expect("a site in Postgres"))
    }

    /// Whether its warehouse is a database of Postgres.
    pub fn is_on_postgres(&self) -> bool {
        self.database.is_some()
    }

    /// The same project, warehouse and landing in another folder.
    pub fn copy(&self) -> Self {
        let project = TestProject::new().folder(self.project.path()).write();
        let mut copy = Self { project, target: self.target.clone(), database: None };
        if let Some(database) = &self.database {
            let server = PostgresServer::shared();
            let other = server.copy_of(database).name().to_owned();
            let text = copy.project.read("thalweg.yml");
            let url = |name: &str| format!("{}\"", server.database_named(name).url());
            copy.project.put("thalweg.yml", text.replace(&url(database), &url(&other)));
            copy.database = Some(other);
        }
        copy
    }

    /// Warehouse, landing and caches as they are now.
    pub fn save(&self) -> Saved {
        let files = self.project.files().into_iter().filter(|file| is_inner(file));
        let files = files.fold(TestProject::new(), |saved, file| {
            let content = std::fs::read(self.project.path().join(&file)).unwrap();
            saved.file(file, content)
        });
        let copy = |name: &String| PostgresServer::shared().copy_of(name).name().to_owned();
        Saved { files, database: self.database.as_ref().map(copy) }
    }

    /// Puts them back.
    pub fn restore(&self, saved: &Saved) {
        for file in self.project.files().iter().filter(|file| is_inner(file)) {
            self.project.remove(file);
        }
        if let (Some(own), Some(other)) = (&self.database, &saved.database) {
            PostgresServer::shared().replace(own, other);
        }
        let saved = saved.files.clone().write();
        for file in saved.files() {
            self.project.put(&file, std::fs::read(saved.path().join(&file)).unwrap());
        }
    }

    /// Opens the project.
    pub fn open(&self) -> Workbench {
        self.try_open().unwrap_or_else(|error| panic!("{}", described(&error)))
    }

    /// Opens the project, if it is one.
    pub fn try_open(&self) -> Result<Workbench, RunError> {
        self.open_cancellable(&Arc::new(AtomicBool::new(false)))
    }

    /// Opens the project; setting the flag stops what is done with it.
    pub fn open_cancellable(&self, cancelled: &Arc<AtomicBool>) -> Result<Workbench, RunError> {
        let options = OpenOptions { target: self.target.clone(), ..OpenOptions::default() };
        Workbench::open(self.project.path(), &options, Arc::clone(cancelled)).map(|(bench, _)| bench)
    }

    /// Builds everything.
    pub fn build(&self) -> Result<RunOutcome, RunError> {
        self.build_with(&options(Command::Build), &Silent)
    }

    /// Does a run.
    pub fn build_with(&self, options: &BuildOptions, observer: &dyn Observer) -> Result<RunOutcome, RunError> {
        self.try_open()?.build(options, observer)
    }

    /// A connection to the warehouse; `None` before the first build.
    pub fn connect(&self, access: Access) -> Option<Box<dyn Connection>> {
        let bench = self.open();
        let folders = [self.project.path().to_owned()];
        let warehouse =
            thalweg_warehouse::open_with_folders(&bench.project().target, self.project.path(), &folders).unwrap();
        if !warehouse.exists().unwrap() {
            return None;
        }
        Some(warehouse.connect(access, &Wait { timeout: Duration::from_secs(20), tell: &|_| {} }).unwrap())
    }

    /// The answer of a query, in the order it came.
    pub fn ask(&self, sql: &str) -> Rows {
        let mut connection = self.connect(Access::Read).expect("something was built");
        ask(connection.as_mut(), sql)
    }
}

/// Options of a run, with one thread less patience than a person has.
pub fn options(command: Command) -> BuildOptions {
    // Few rows are read in part as many are.
    let large = LargeTables { read_in_part: 0, ..LargeTables::default() };
    BuildOptions { lock_timeout: Duration::from_secs(20), threads: Some(2), large, ..BuildOptions::new(command) }
}

/// The answer of a query, in the order it came.
pub fn ask(connection: &mut dyn Connection, sql: &str) -> Rows {
    try_ask(connection, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The answer of a query or why there is none.
pub fn try_ask(connection: &mut dyn Connection, sql: &str) -> Result<Rows, String> {
    let answer = connection.query(sql, &[]).map_err(|error| error.to_string())?;
    let format = FormatOptions::new().with_display_error(true);
    let mut rows = Vec::new();
    for batch in &answer.batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| (column, ArrayFormatter::try_new(column.as_ref(), &format).unwrap()))
            .collect();
        for row in 0..batch.num_rows() {
            rows.push(
                columns
                    .iter()
                    .map(|(column, format)| (!column.is_null(row)).then(|| format.value(row).to_string()))
                    .collect(),
            );
        }
    }
    Ok(rows)
}

/// An error with everything it says.
pub fn described(error: &RunError) -> String {
    match error {
        RunError::Project(diagnostics) => {
            let mut text = String::from("the project has mistakes:\n");
            for diagnostic in diagnostics {
                text.push_str(&format!("  {diagnostic:?}\n"));
            }
            text
        }
        error => error.to_string(),
    }
}

/// Whether a path lies in a folder that tests must not look at.
pub fn is_inner(path: &str) -> bool {
    let first = Path::new(path).components().next().and_then(|part| part.as_os_str().to_str()).unwrap_or_default();
    ["landing", ".thalweg"].contains(&first) || first.contains(".duckdb")
}
