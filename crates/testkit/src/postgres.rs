//! A real Postgres, from the machine's own package, for as long as a test runs.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A server with its data in a temporary folder, on a free port of the loopback address.
///
/// Everybody may connect from this machine without a password, except members of the role `needs_password`. It ends, and its folder
/// goes, when the value is dropped or when the process that started it ends in whatever way.
#[derive(Debug)]
pub struct PostgresServer {
    guardian: Child,
    port: u16,
    folder: PathBuf,
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
pub struct PostgresSession {
    psql: Child,
    statements: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Starts the server as a child and ends it, by its process id, when the pipe to whoever asked for it is closed: that happens even
/// when a test is killed. Then the folder goes. Arguments: program, data folder, port, log file, folder to remove, settings.
const GUARDIAN: &str = r#"
program=$1 data=$2 port=$3 log=$4 folder=$5
shift 5
"$program" -D "$data" -p "$port" "$@" >"$log" 2>&1 </dev/null &
server=$!
read -r _
kill -QUIT "$server" 2>/dev/null
wait "$server"
rm -rf "$folder"
"#;

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
        run(
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
        let server = Self::run_on(binaries, folder, account.as_ref(), settings);
        server.database_named("postgres").run("create role needs_password");
        server
    }

    /// A replica of this server that follows it, with settings of its own.
    pub fn start_replica(&self, settings: &[&str]) -> Self {
        let account = Account::find();
        let folder = new_folder(account.as_ref());
        run(
            account.as_ref(),
            Command::new(self.binaries.join("pg_basebackup")).arg("-D").arg(folder.join("data")).args([
                "--host=127.0.0.1",
                &format!("--port={}", self.port),
                "--username=postgres",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--wal-method=stream",
                "--no-sync",
            ]),
        );
        Self::run_on(self.binaries.clone(), folder, account.as_ref(), settings)
    }

    /// Starts a server on a data folder that is ready. The port was free a moment ago: when somebody was faster, another one is taken.
    fn run_on(binaries: PathBuf, folder: PathBuf, account: Option<&Account>, settings: &[&str]) -> Self {
        let log = folder.join("log");
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = Command::new("/bin/sh");
            command.args(["-c", GUARDIAN, "guardian"]);
            command
                .arg(binaries.join("postgres"))
                .arg(folder.join("data"))
                .arg(port.to_string())
                .arg(&log)
                .arg(&folder);
            command.args(SETTINGS.iter().chain(settings).flat_map(|setting| ["-c", setting]));
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/").process_group(0);
            if let Some(account) = account {
                command.uid(account.user).gid(account.group);
            }
            let guardian = command.spawn().unwrap();
            let server = Self {
                guardian,
                port,
                folder: folder.clone(),
                binaries: binaries.clone(),
                databases: AtomicU32::new(0),
            };
            if server.is_ready(&log) {
                return server;
            }
            let said = fs::read_to_string(&log).unwrap_or_default();
            assert!(said.contains("Address already in use"), "postgres did not start:\n{said}");
            // Its folder must stay for the next attempt.
            server.abandon();
        }
        panic!("postgres found no free port");
    }

    /// Whether the server answers within half a minute; `false` as soon as it has ended.
    fn is_ready(&self, log: &Path) -> bool {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            let mut asked = Command::new(self.binaries.join("pg_isready"));
            asked.args(["--quiet", "--host=127.0.0.1", &format!("--port={}", self.port), "--timeout=1"]);
            asked.args(["--username=postgres", "--dbname=postgres"]);
            if asked.status().unwrap().success() {
                return true;
            }
            let is_end = |line: &str| line.contains("FATAL") && !line.contains("starting up");
            if fs::read_to_string(log).is_ok_and(|said| said.lines().any(is_end)) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Ends the guardian without letting it clear up: its server has ended by itself.
    fn abandon(mut self) {
        self.guardian.kill().unwrap();
        self.guardian.wait().unwrap();
        std::mem::forget(self);
    }

    /// A new, empty database.
    pub fn database(&self) -> PostgresDatabase<'_> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("test_{number}");
        self.database_named("postgres").run(&format!("create database {name}"));
        PostgresDatabase { server: self, name }
    }

    /// A database that is there.
    pub fn database_named(&self, name: &str) -> PostgresDatabase<'_> {
        PostgresDatabase { server: self, name: name.to_owned() }
    }

    /// Where it listens, at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the server has written into its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// `psql` on a database, silent and without anybody's settings.
    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(self.binaries.join("psql"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").env("PGCLIENTENCODING", "UTF8");
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]);
        command.args(["--host=127.0.0.1", &format!("--port={}", self.port), "--username=postgres"]);
        command.arg(format!("--dbname={database}"));
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        drop(self.guardian.stdin.take());
        // Its end is waited for, so that nothing of it is left when the test is over.
        let _ = self.guardian.wait();
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
        format!("postgres://{role}@127.0.0.1:{}/{}", self.server.port, self.name)
    }

    /// Runs statements, all of which must succeed, and hands back what they answer: a line a row, columns separated by `|`.
    pub fn run(&self, sql: &str) -> String {
        let mut psql = self.server.psql(&self.name);
        let psql = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut psql = psql.spawn().unwrap();
        let mut statements = psql.stdin.take().unwrap();
        let sent = std::thread::scope(|scope| {
            let sending = scope.spawn(move || statements.write_all(sql.as_bytes()));
            let output = psql.wait_with_output().unwrap();
            // A statement that fails ends psql before it has read everything.
            let _ = sending.join().unwrap();
            output
        });
        let told = String::from_utf8_lossy(&sent.stderr);
        assert!(sent.status.success(), "postgres refused: {told}\n{}", sql.chars().take(2000).collect::<String>());
        String::from_utf8(sent.stdout).unwrap().trim_end_matches('\n').to_owned()
    }

    /// `psql` on it, for what else it can do.
    pub fn psql(&self) -> Command {
        self.server.psql(&self.name)
    }

    /// Opens a session.
    pub fn session(&self) -> PostgresSession {
        let mut psql = self.server.psql(&self.name);
        let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let (statements, answers) = (psql.stdin.take().unwrap(), BufReader::new(psql.stdout.take().unwrap()));
        PostgresSession { psql, statements, answers }
    }
}

impl PostgresSession {
    /// Runs a statement to its end and hands back what it answers.
    pub fn run(&mut self, sql: &str) -> String {
        const DONE: &str = "-- done --";
        writeln!(self.statements, "{sql}\n;\n\\echo {DONE}").unwrap();
        self.statements.flush().unwrap();
        let mut answer = String::new();
        loop {
            let mut line = String::new();
            let read = self.answers.read_line(&mut line).unwrap();
            assert!(read > 0, "the session ended: {sql}");
            if line.trim_end() == DONE {
                return answer.trim_end_matches('\n').to_owned();
            }
            answer.push_str(&line);
        }
    }
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        let _ = writeln!(self.statements, "\\q");
        let _ = self.psql.kill();
        let _ = self.psql.wait();
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
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let effective = |line: &str| line.strip_prefix("Uid:")?.split_whitespace().nth(1)?.parse::<u32>().ok();
        if status.lines().find_map(effective) != Some(0) {
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
fn run(account: Option<&Account>, command: &mut Command) {
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

        let folder = server.folder.clone();
        assert!(folder.exists());
        drop(replica);
        drop(server);
        assert!(!folder.exists());
    }
}
