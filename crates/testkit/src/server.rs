//! What the test servers have in common: a guardian that ends each of them, clients, and sessions that stay open.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Starts the server as a child and ends it, by its process id, when the pipe to whoever asked for it is closed: that happens even
/// when a test is killed. Then the folder goes. Meanwhile it stops the server and starts it again when it is told so. Arguments: signal, folder to remove, program, its arguments.
const GUARDIAN: &str = r#"
signal=$1 folder=$2
shift 2
start() {
    "$@" >>"$folder/log" 2>&1 </dev/null &
    server=$!
}
stop() {
    kill "-$signal" "$server" 2>/dev/null
    wait "$server" 2>/dev/null
}
: >"$folder/log"
start "$@"
while read -r word; do
    case $word in
        stop) stop ;;
        start) start "$@" ;;
    esac
done
stop
rm -rf "$folder"
"#;

/// How a server is started.
pub(crate) struct Start<'a> {
    /// What it is called in messages.
    pub name: &'static str,
    /// The signal that ends it at once.
    pub signal: &'static str,
    /// Its own folder, which goes with it. Its output is in `log`.
    pub folder: &'a Path,
    /// Where it runs.
    pub runs_in: &'a Path,
    /// User and group it runs as, when not as this process.
    pub account: Option<(u32, u32)>,
    /// The longest time it may take to answer.
    pub patience: Duration,
}

/// A process that runs a server, ends it, and removes its folder, when this value or this process is gone.
#[derive(Debug)]
pub(crate) struct Guardian {
    shell: Child,
    port: u16,
    folder: PathBuf,
}

impl Guardian {
    /// Starts a server on a free port of the loopback address. The port was free a moment ago: when somebody was faster, another one
    /// is taken. `command` is the program and its arguments for a port, `answers` asks whether the server answers there,
    /// `has_ended` reads its log.
    pub(crate) fn start(
        start: &Start<'_>,
        command: impl Fn(u16) -> Command,
        answers: impl Fn(u16) -> bool,
        has_ended: impl Fn(&str) -> bool,
    ) -> Self {
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let server = command(port);
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", GUARDIAN, "guardian", start.signal]).arg(start.folder);
            shell.arg(server.get_program()).args(server.get_args());
            shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            shell.current_dir(start.runs_in).process_group(0);
            if let Some((user, group)) = start.account {
                shell.uid(user).gid(group);
            }
            let guardian = Self { shell: shell.spawn().unwrap(), port, folder: start.folder.to_owned() };
            let deadline = Instant::now() + start.patience;
            while Instant::now() < deadline && !has_ended(&guardian.log()) {
                if answers(port) {
                    return guardian;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let said = guardian.log();
            assert!(said.contains("Address already in use"), "{} did not start:\n{said}", start.name);
            guardian.abandon();
        }
        panic!("{} found no free port", start.name);
    }

    /// Ends without clearing up: the server has ended by itself, and its folder must stay for the next attempt.
    fn abandon(mut self) {
        self.shell.kill().unwrap();
        self.shell.wait().unwrap();
        std::mem::forget(self);
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Tells the guardian to stop the server at once, or to start it again.
    pub(crate) fn tell(&self, word: &str) {
        let mut stdin = self.shell.stdin.as_ref().unwrap();
        writeln!(stdin, "{word}").unwrap();
    }

    /// What the server has written into its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Its end is waited for, so that nothing of it is left when the test is over.
        let _ = self.shell.wait();
    }
}

/// Whether this process is root's, as whom servers refuse to run.
pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = |line: &str| line.strip_prefix("Uid:")?.split_whitespace().nth(1)?.parse::<u32>().ok();
    status.lines().find_map(effective) == Some(0)
}

/// Runs statements with a server's own client; all must succeed. What they answer, without the last end of line.
pub(crate) fn run(mut client: Command, sql: &str) -> String {
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut statements = client.stdin.take().unwrap();
    let told = std::thread::scope(|scope| {
        let sending = scope.spawn(move || statements.write_all(sql.as_bytes()));
        let told = client.wait_with_output().unwrap();
        // A statement that fails ends the client before it has read everything.
        let _ = sending.join().unwrap();
        told
    });
    let error = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "the server refused: {error}\n{}", sql.chars().take(2000).collect::<String>());
    String::from_utf8_lossy(&told.stdout).trim_end_matches('\n').to_owned()
}

/// What a client writes when everything sent before is done.
pub(crate) const DONE: &str = "-- done --";

/// A session that is spoken to statement by statement through a server's own client.
#[derive(Debug)]
pub(crate) struct Session {
    client: Child,
    statements: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Session {
    pub(crate) fn open(mut client: Command) -> Self {
        let client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut client = client.spawn().unwrap();
        let (statements, answers) = (client.stdin.take().unwrap(), BufReader::new(client.stdout.take().unwrap()));
        Self { client, statements, answers }
    }

    /// Sends what the client reads; it has to make it write [`DONE`] at the end.
    pub(crate) fn send(&mut self, text: &str) {
        writeln!(self.statements, "{text}").unwrap();
        self.statements.flush().unwrap();
    }

    /// What came up to the next [`DONE`].
    pub(crate) fn answer(&mut self) -> String {
        let mut answer = String::new();
        loop {
            let mut line = String::new();
            let read = self.answers.read_line(&mut line).unwrap();
            assert!(read > 0, "the session ended");
            if line.trim_end() == DONE {
                return answer.trim_end_matches('\n').to_owned();
            }
            answer.push_str(&line);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}
