//! A real MariaDB, from the machine's own package, for as long as a test runs.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::server::{DONE, Guardian, Session, Start, is_root, run};

/// A server with its data in a temporary folder, on a free port of the loopback address and on a socket in that folder.
///
/// The user `tester` may do everything, from this machine, without a password. It ends, and its folder goes, when the value is dropped
/// or when the process that started it ends in whatever way.
#[derive(Debug)]
pub struct MariadbServer {
    guardian: Guardian,
    databases: AtomicU32,
}

/// A database of its own for one test. It stays until the server ends.
#[derive(Debug)]
pub struct MariadbDatabase<'s> {
    server: &'s MariadbServer,
    name: String,
}

/// A session that is spoken to statement by statement: a second client beside the program under test.
#[derive(Debug)]
pub struct MariadbSession(Session);

/// Settings of every server. What it writes is thrown away, so that it need not reach the disk.
const SETTINGS: [&str; 10] = [
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--debug-no-sync",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-log-file-size=8M",
    "--innodb-buffer-pool-size=96M",
    "--innodb-data-file-path=ibdata1:10M:autoextend",
    "--max-allowed-packet=64M",
    "--character-set-server=utf8mb4",
    "--local-infile=1",
];

const FIRST_STATEMENTS: &str = "create user if not exists tester@'%' identified by '';
grant all on *.* to tester@'%' with grant option;
";

impl MariadbServer {
    /// The server of this test binary, started when it is asked for the first time.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<MariadbServer> = OnceLock::new();
        SERVER.get_or_init(|| Self::start(&[]))
    }

    /// A server of its own, with settings (`--name=value`) beside those of every test server.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_with_files(settings, &[])
    }

    /// The same with files laid into its folder, which is where the server runs, so that settings can name them: certificates and
    /// keys, for instance.
    pub fn start_with_files(settings: &[&str], files: &[(&str, Vec<u8>)]) -> Self {
        let folder = tempfile::Builder::new().prefix("thalweg-mariadb-").tempdir().unwrap().keep();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
        fs::write(folder.join("first.sql"), FIRST_STATEMENTS).unwrap();
        let mut install = Command::new(program("mariadb-install-db"));
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.arg(format!("--datadir={}", folder.join("data").display()));
        install.arg(format!("--tmpdir={}", folder.display())).args(SETTINGS).args(account());
        let told = install.current_dir("/").stdin(Stdio::null()).output().unwrap();
        assert!(told.status.success(), "mariadb-install-db: {}", String::from_utf8_lossy(&told.stderr));
        Self::run_on(&folder, settings)
    }

    /// Starts a server on a folder that is ready.
    fn run_on(folder: &Path, settings: &[&str]) -> Self {
        let command = |port: u16| {
            let mut command = Command::new(program("mariadbd"));
            command.arg("--no-defaults");
            for (name, file) in [("datadir", "data"), ("socket", "socket"), ("init-file", "first.sql")] {
                command.arg(format!("--{name}={}", folder.join(file).display()));
            }
            command.arg(format!("--tmpdir={}", folder.display())).arg(format!("--port={port}"));
            command.args(SETTINGS).args(account()).args(settings);
            command
        };
        let answers = |_: u16| {
            let mut ping = client_on(folder, None);
            ping.args(["--execute", "do 1"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            ping.status().unwrap().success()
        };
        let start = Start {
            name: "MariaDB",
            signal: "KILL",
            folder,
            runs_in: folder,
            account: None,
            patience: Duration::from_secs(60),
        };
        let guardian = Guardian::start(&start, command, answers, |log| log.contains("[ERROR] Aborting"));
        Self { guardian, databases: AtomicU32::new(0) }
    }

    /// A new, empty database.
    pub fn database(&self) -> MariadbDatabase<'_> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        self.run(&format!("create database {name}"));
        MariadbDatabase { server: self, name }
    }

    /// A database that is there.
    pub fn database_named(&self, name: &str) -> MariadbDatabase<'_> {
        MariadbDatabase { server: self, name: name.to_owned() }
    }

    /// Runs statements outside any database; as [`MariadbDatabase::run`].
    pub fn run(&self, sql: &str) -> String {
        run(self.client(None), sql)
    }

    /// Where it listens, at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.guardian.port()
    }

    /// The socket it listens on.
    pub fn socket(&self) -> PathBuf {
        self.folder().join("socket")
    }

    /// The folder the server runs in.
    pub fn folder(&self) -> &Path {
        self.guardian.folder()
    }

    /// What the server has written into its log.
    pub fn log(&self) -> String {
        self.guardian.log()
    }

    fn client(&self, database: Option<&str>) -> Command {
        client_on(self.folder(), database)
    }
}

/// The server's own client, silent and without anybody's settings.
fn client_on(folder: &Path, database: Option<&str>) -> Command {
    let mut command = Command::new(program("mariadb"));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
    command.args(["--no-defaults", "--batch", "--raw", "--skip-column-names", "--default-character-set=utf8mb4"]);
    command.args(["--local-infile=1", "--max-allowed-packet=64M", "--binary-mode", "--user=tester"]);
    command.arg(format!("--socket={}", folder.join("socket").display())).args(database);
    command
}

impl MariadbDatabase<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL of it, as the user `tester`.
    pub fn url(&self) -> String {
        self.url_as("tester")
    }

    /// The URL of it as another user, which may hold `:password`.
    pub fn url_as(&self, user: &str) -> String {
        format!("mysql://{user}@127.0.0.1:{}/{}", self.server.port(), self.name)
    }

    /// Runs statements, all of which must succeed, and hands back what they answer: a line a row, columns separated by tabs.
    pub fn run(&self, sql: &str) -> String {
        run(self.client(), sql)
    }

    /// Runs statements, also those behind one that fails, and hands back what the server complains of.
    pub fn run_all(&self, sql: &str) -> Vec<String> {
        let mut client = self.client();
        client.arg("--force").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut client = client.spawn().unwrap();
        client.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let told = client.wait_with_output().unwrap();
        let complaints = String::from_utf8_lossy(&told.stderr).into_owned();
        complaints.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// The server's own client on it, for what else it can do.
    pub fn client(&self) -> Command {
        self.server.client(Some(&self.name))
    }

    /// Opens a session.
    pub fn session(&self) -> MariadbSession {
        let mut client = self.client();
        client.args(["--unbuffered", "--quick"]);
        MariadbSession(Session::open(client))
    }
}

impl MariadbSession {
    /// Runs a statement to its end and hands back what it answers.
    pub fn run(&mut self, sql: &str) -> String {
        self.send(sql);
        self.answer()
    }

    /// Sends a statement whose end is not waited for; [`MariadbSession::answer`] takes what it answers.
    pub fn send(&mut self, sql: &str) {
        self.0.send(&format!("{sql};\nselect '{DONE}';"));
    }

    /// What a statement answers that was sent.
    pub fn answer(&mut self) -> String {
        self.0.answer()
    }
}

/// A program of MariaDB. Servers lie where a shell of an ordinary account does not look.
fn program(name: &str) -> PathBuf {
    let folders =
        ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/local/mysql/bin"].map(PathBuf::from);
    let own = std::env::var_os("THALWEG_MARIADB_BIN").map(PathBuf::from);
    let found = own.into_iter().chain(folders).map(|folder| folder.join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("no {name}: run scripts/setup, or set THALWEG_MARIADB_BIN"))
}

/// The server refuses to run as root unless it is told to.
fn account() -> Option<&'static str> {
    is_root().then_some("--user=root")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_separate_and_sessions_stay_open() {
        let server = MariadbServer::start(&[]);
        let (one, two) = (server.database(), server.database());
        one.run("create table t (x int); insert into t values (1), (2)");
        assert_eq!(one.run("select x, 'é' from t order by x"), "1\té\n2\té");
        assert_eq!(two.run("show tables"), "");
        let mut session = one.session();
        session.run("begin; insert into t values (3)");
        let counts = (session.run("select count(*) from t"), one.run("select count(*) from t"));
        assert_eq!(counts, ("3".to_owned(), "2".to_owned()));
        session.run("commit");
        assert_eq!(one.run("select count(*) from t"), "3");

        let folder = server.folder().to_owned();
        assert!(folder.exists());
        drop(server);
        assert!(!folder.exists());
    }
}
