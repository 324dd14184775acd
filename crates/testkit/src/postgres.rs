//! A real Postgres, from the machine's own package, for as long as a test runs.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::server::{DONE, Guardian, Session, Start, is_root, run};

/// A server with its data in a temporary folder, on a free port of the loopback address.
///
/// Everybody may connect from this machine without a password, except members of the role `needs_password`. It ends, and its folder
/// goes, when the value is dropped or when the process that started it ends in whatever way.
#[derive(Debug)]
pub struct PostgresServer {
    guardian: Guardian,
    binaries: PathBuf,
    databases: AtomicU32,
}

/// A database of its own for one test. It stays until the server ends.
#[derive(Debug)]
pub struct PostgresDatabase<'s> {
    server: &'s PostgresServer,
    name: String,
}

/// A session that is spoken to statement by statement: a second client beside the program under test.
#[derive(Debug)]
pub struct PostgresSession(Session);

/// Settings of every server. What it writes is thrown away, so that it need not reach the disk.
const SETTINGS: [&str; 9] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=100",
    "max_prepared_transactions=20",
    "wal_level=replica",
    "shared_buffers=64MB",
];

const WHO_MAY_CONNECT: &str = "host all +needs_password 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n";

impl PostgresServer {
    /// The server of this test binary, started when it is asked for the first time.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<PostgresServer> = OnceLock::new();
        SERVER.get_or_init(|| Self::start(&[]))
    }

    /// A server of its own, with settings (`name=value`) beside those of every test server.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_with_files(settings, &[])
    }

    /// The same with files laid into its data folder, readable by the server alone: certificates and keys, for instance.
    pub fn start_with_files(settings: &[&str], files: &[(&str, Vec<u8>)]) -> Self {
        let binaries = binaries();
        let account = Account::find();
        let folder = new_folder(account.as_ref());
        let data = folder.join("data");
        run_as(
            account.as_ref(),
            Command::new(binaries.join("initdb")).arg("-D").arg(&data).args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
                "--no-instructions",
            ]),
        );
        let put = |name: &str, content: &[u8], mode: u32| {
            let path = data.join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            if let Some(account) = &account {
                chown(&path, Some(account.user), Some(account.group)).unwrap();
            }
        };
        put("pg_hba.conf", WHO_MAY_CONNECT.as_bytes(), 0o600);
        for (name, content) in files {
            put(name, content, 0o600);
        }
        let server = Self::run_on(binaries, &folder, account.as_ref(), settings);
        server.database_named("postgres").run("create role needs_password");
        server
    }

    /// A replica of this server that follows it, with settings of its own.
    pub fn start_replica(&self, settings: &[&str]) -> Self {
        let account = Account::find();
        let folder = new_folder(account.as_ref());
        run_as(
            account.as_ref(),
            Command::new(self.binaries.join("pg_basebackup")).arg("-D").arg(folder.join("data")).args([
                "--host=127.0.0.1",
                &format!("--port={}", self.port()),
                "--username=postgres",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--wal-method=stream",
                "--no-sync",
            ]),
        );
        Self::run_on(self.binaries.clone(), &folder, account.as_ref(), settings)
    }

    /// Starts a server on a data folder that is ready.
    fn run_on(binaries: PathBuf, folder: &Path, account: Option<&Account>, settings: &[&str]) -> Self {
        let command = |port: u16| {
            let mut command = Command::new(binaries.join("postgres"));
            command.arg("-D").arg(folder.join("data")).arg("-p").arg(port.to_string());
            command.args(SETTINGS.iter().chain(settings).flat_map(|setting| ["-c", setting]));
            command
        };
        let answers = |port: u16| {
            let mut asked = Command::new(binaries.join("pg_isready"));
            asked.args(["--quiet", "--host=127.0.0.1", &format!("--port={port}"), "--timeout=1"]);
            asked.args(["--username=postgres", "--dbname=postgres"]);
            asked.status().unwrap().success()
        };
        // What it tells those who ask too early is no end of it.
        let is_end = |line: &str| line.contains("FATAL") && !line.contains("the database system is ");
        let start = Start {
            name: "Postgres",
            signal: "QUIT",
            folder,
            runs_in: Path::new("/"),
            account: account.map(|account| (account.user, account.group)),
            patience: Duration::from_secs(30),
        };
        let guardian = Guardian::start(&start, command, answers, |log| log.lines().any(is_end));
        Self { guardian, binaries, databases: AtomicU32::new(0) }
    }

    /// A new, empty database.
    pub fn database(&self) -> PostgresDatabase<'_> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("test_{number}");
        self.database_named("postgres").run(&format!("create database {name}"));
        PostgresDatabase { server: self, name }
    }

    /// A new database with what another one holds now, from which everybody is thrown out.
    pub fn copy_of(&self, name: &str) -> PostgresDatabase<'_> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed) + 1;
        let copy = format!("test_{number}");
        let all = self.database_named("postgres");
        all.run(&format!(
            "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where datname = '{name}' and pid <> pg_backend_pid()"
        ));
        all.run(&format!("create database {copy} template {name} strategy = file_copy"));
        PostgresDatabase { server: self, name: copy }
    }

    /// Puts what one database holds in the place of another.
    pub fn replace(&self, name: &str, by: &str) {
        let all = self.database_named("postgres");
        all.run(&format!("drop database if exists {name} with (force)"));
        all.run(&format!("create database {name} template {by} strategy = file_copy"));
    }

    /// Drops a database.
    pub fn forget(&self, name: &str) {
        self.database_named("postgres").run(&format!("drop database if exists {name} with (force)"));
    }

    /// A database that is there.
    pub fn database_named(&self, name: &str) -> PostgresDatabase<'_> {
        PostgresDatabase { server: self, name: name.to_owned() }
    }

    /// Where it listens, at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.guardian.port()
    }

    /// Stops it at once, as `pg_ctl stop -m immediate` does: what is committed only in its memory is lost, where `synchronous_commit` is off.
    pub fn stop_at_once(&self) {
        self.guardian.tell("stop");
        self.wait_until("it is gone", || TcpStream::connect(("127.0.0.1", self.port())).is_err());
    }

    /// Starts it again where it was stopped, and waits until it answers.
    pub fn start_again(&self) {
        self.guardian.tell("start");
        self.wait_until("it answers", || {
            let mut asked = Command::new(self.binaries.join("pg_isready"));
            asked.args(["--quiet", "--host=127.0.0.1", &format!("--port={}", self.port()), "--timeout=1"]);
            asked.args(["--username=postgres", "--dbname=postgres"]).status().unwrap().success()
        });
    }

    fn wait_until(&self, what: &str, come: impl Fn() -> bool) {
        let started = Instant::now();
        while !come() {
            assert!(started.elapsed() < Duration::from_secs(30), "waited in vain until {what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the server has written into its log.
    pub fn log(&self) -> String {
        self.guardian.log()
    }

    /// `psql` on a database, silent and without anybody's settings.
    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(self.binaries.join("psql"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").env("PGCLIENTENCODING", "UTF8");
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]);
        command.args(["--host=127.0.0.1", &format!("--port={}", self.port()), "--username=postgres"]);
        command.arg(format!("--dbname={database}"));
        command
    }
}

impl PostgresDatabase<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL of it, as the superuser `postgres`.
    pub fn url(&self) -> String {
        self.url_as("postgres")
    }

    /// The URL of it as another role, which may hold `:password`.
    pub fn url_as(&self, role: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{}", self.server.port(), self.name)
    }

    /// Runs statements, all of which must succeed, and hands back what they answer: a line a row, columns separated by `|`.
    pub fn run(&self, sql: &str) -> String {
        run(self.psql(), sql)
    }

    /// `psql` on it, for what else it can do.
    pub fn psql(&self) -> Command {
        self.server.psql(&self.name)
    }

    /// Opens a session.
    pub fn session(&self) -> PostgresSession {
        PostgresSession(Session::open(self.psql()))
    }
}

impl PostgresSession {
    /// Runs a statement to its end and hands back what it answers.
    pub fn run(&mut self, sql: &str) -> String {
        self.0.send(&format!("{sql}\n;\n\\echo {DONE}"));
        self.0.answer()
    }
}

/// The folder of the newest Postgres that is installed. What the PATH says is not looked at: it may be anything.
fn binaries() -> PathBuf {
    if let Some(folder) = std::env::var_os("THALWEG_POSTGRES_BIN") {
        return PathBuf::from(folder);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let found = versions.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.join("bin/initdb").exists());
    let newest = found.max_by_key(version);
    newest.expect("no Postgres below /usr/lib/postgresql: run scripts/setup, or set THALWEG_POSTGRES_BIN").join("bin")
}

/// The account a server runs under when we are root, which it refuses.
struct Account {
    user: u32,
    group: u32,
}

impl Account {
    fn find() -> Option<Self> {
        if !is_root() {
            return None;
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap();
        let read = |name: &str| {
            let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some(Self { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
        };
        Some(read("postgres").or_else(|| read("nobody")).expect("an account `postgres` or `nobody`"))
    }
}

/// A new folder that belongs to the server's account.
fn new_folder(account: Option<&Account>) -> PathBuf {
    let folder = tempfile::Builder::new().prefix("thalweg-postgres-").tempdir().unwrap().keep();
    if let Some(account) = account {
        chown(&folder, Some(account.user), Some(account.group)).unwrap();
    }
    folder
}

/// Runs a command under the server's account; it must succeed.
fn run_as(account: Option<&Account>, command: &mut Command) {
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    if let Some(account) = account {
        command.uid(account.user).gid(account.group);
    }
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(child.wait().unwrap().success(), "{command:?}: {told}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_separate_and_sessions_stay_open() {
        let server = PostgresServer::start(&[]);
        let (one, two) = (server.database(), server.database());
        one.run("create table t (x int); insert into t values (1), (2)");
        assert_eq!(one.run("select x, 'é' from t order by x"), "1|é\n2|é");
        assert_eq!(two.run("select count(*) from pg_tables where tablename = 't'"), "0");
        let mut session = one.session();
        session.run("begin; insert into t values (3)");
        assert_eq!(
            (session.run("select count(*) from t"), one.run("select count(*) from t")),
            ("3".into(), "2".into())
        );
        session.run("commit");
        assert_eq!(one.run("select count(*) from t"), "3");

        let replica = server.start_replica(&[]);
        assert_eq!(replica.database_named(one.name()).run("select pg_is_in_recovery(), count(*) from t"), "t|3");

        let folder = server.guardian.folder().to_owned();
        assert!(folder.exists());
        drop(replica);
        drop(server);
        assert!(!folder.exists());
    }
}
