//! A database of a real server, of either kind, and a project that reads it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use thalweg_run::{
    AskSources, BuildOptions, Command, OpenOptions, RunError, RunOutcome, Silent, StepOutcome, Workbench,
};
use thalweg_testkit::{
    MariadbDatabase, MariadbServer, MariadbSession, PostgresDatabase, PostgresServer, PostgresSession,
};

use crate::laws;
use crate::site::{Site, options};

/// A new, empty database.
pub enum Database {
    Mariadb(MariadbDatabase<'static>),
    Postgres(PostgresDatabase<'static>),
}

/// A session of a second client.
pub enum Session {
    Mariadb(MariadbSession),
    Postgres(PostgresSession),
}

impl Session {
    /// Runs a statement.
    pub fn run(&mut self, sql: &str) -> String {
        match self {
            Self::Mariadb(session) => session.run(sql),
            Self::Postgres(session) => session.run(sql),
        }
    }
}

/// Runs a test on both kinds. `THALWEG_TEST_DATABASE` chooses one of them.
pub fn on_both(test: impl Fn(Database)) {
    let chosen = std::env::var("THALWEG_TEST_DATABASE").ok();
    let is_chosen = |kind: &str| chosen.as_deref().is_none_or(|chosen| chosen == kind);
    if is_chosen("postgres") {
        test(Database::Postgres(PostgresServer::shared().database()));
    }
    if is_chosen("mariadb") {
        test(Database::Mariadb(MariadbServer::shared().database()));
    }
}

impl Database {
    /// `type:` of the source.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Mariadb(_) => "mariadb",
            Self::Postgres(_) => "postgres",
        }
    }

    pub fn url(&self) -> String {
        match self {
            Self::Mariadb(database) => database.url(),
            Self::Postgres(database) => database.url(),
        }
    }

    /// Runs statements. `MOMENT` stands for the type of a moment, `NOW` for the present one.
    pub fn run(&self, sql: &str) -> String {
        match self {
            Self::Mariadb(database) => database.run(&self.spelled(sql)).replace('\t', "|"),
            Self::Postgres(database) => database.run(&self.spelled(sql)),
        }
    }

    pub fn session(&self) -> Session {
        match self {
            Self::Mariadb(database) => Session::Mariadb(database.session()),
            Self::Postgres(database) => Session::Postgres(database.session()),
        }
    }

    /// The engine's words in a statement.
    pub fn spelled(&self, sql: &str) -> String {
        let (moment, now) = match self {
            Self::Mariadb(_) => ("timestamp(6) null default null", "now(6)"),
            Self::Postgres(_) => ("timestamptz", "now()"),
        };
        sql.replace("MOMENT", moment).replace("NOW", now)
    }

    /// A project with these streams.
    pub fn project(&self, streams: &str) -> Reader<'_> {
        self.project_at(&self.url(), streams)
    }

    /// A project that reads as a user who may read the tables and nothing else.
    pub fn project_without_privileges(&self, streams: &str) -> Reader<'_> {
        match self {
            Self::Mariadb(database) => {
                self.run("create or replace user plain@'%' identified by ''");
                self.run(&format!("grant select on {}.* to plain@'%'", database.name()));
                self.project_at(&database.url_as("plain"), streams)
            }
            Self::Postgres(database) => {
                let role = format!("plain_{}", database.name());
                self.run(&format!("create role {role} login; grant select on all tables in schema public to {role}"));
                self.project_at(&database.url_as(&role), streams)
            }
        }
    }

    fn project_at(&self, url: &str, streams: &str) -> Reader<'_> {
        let source = format!("type: {}\nurl: {url}\n{streams}", self.kind());
        let site = Site::new(&[("thalweg.yml", "name: shop\n"), ("sources/db.yml", &source)]);
        Reader { database: self, site }
    }
}

/// A project that reads a database.
pub struct Reader<'d> {
    pub database: &'d Database,
    pub site: Site,
}

impl Reader<'_> {
    pub fn open(&self) -> Result<Workbench, RunError> {
        let options = OpenOptions { ask: AskSources::Now, ..OpenOptions::default() };
        let opened = Workbench::open(self.site.project.path(), &options, Arc::new(AtomicBool::new(false)));
        opened.map(|(bench, _)| bench)
    }

    pub fn try_load(&self, options: &BuildOptions) -> Result<RunOutcome, RunError> {
        self.open()?.build(options, &Silent)
    }

    /// Loads, and asserts the laws.
    pub fn load(&self) -> RunOutcome {
        self.load_with(&options(Command::Build))
    }

    pub fn load_with(&self, options: &BuildOptions) -> RunOutcome {
        let result = self.try_load(options);
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(RunError::Project(diagnostics)) => panic!("{diagnostics:#?}"),
            Err(error) => panic!("{error}"),
        };
        println!("run {}: {:?}", outcome.run, outcome.failed_streams);
        laws::assert_balance(&outcome);
        laws::assert_verified(&self.site);
        outcome
    }

    /// The rows of a store table as the source would write them.
    pub fn stored(&self, table: &str, columns: &str) -> Vec<String> {
        let sql = format!("select {} from store.{table}", concatenated(columns));
        let mut rows: Vec<String> =
            self.site.ask(&sql).into_iter().map(|row| row[0].clone().unwrap_or_default()).collect();
        rows.sort();
        rows
    }

    /// The rows of a table at the source.
    pub fn at_source(&self, table: &str, columns: &str, condition: &str) -> Vec<String> {
        let sql = format!("select {} from {table} where {condition}", concatenated(columns));
        let answer = self.database.run(&sql);
        let mut rows: Vec<String> = answer.lines().map(str::to_owned).collect();
        rows.sort();
        rows
    }

    /// Asserts that the store has what the source has.
    pub fn assert_same(&self, table: &str, columns: &str, condition: &str) {
        assert_eq!(
            self.stored(table, columns),
            self.at_source(table, columns, condition),
            "{table} on {}",
            self.database.kind()
        );
    }
}

fn concatenated(columns: &str) -> String {
    let parts: Vec<String> = columns
        .split(',')
        .map(|column| format!("case when {0} is null then '~' else concat({0}, '') end", column.trim()))
        .collect();
    format!("concat_ws(';', {})", parts.join(", "))
}

/// What a run did to a table.
pub fn step<'o>(outcome: &'o RunOutcome, table: &str) -> &'o StepOutcome {
    let found = outcome.steps.iter().find(|step| step.table == table);
    found.unwrap_or_else(|| panic!("{table} is not among {:?}", outcome.steps))
}
