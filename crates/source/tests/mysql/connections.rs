//! Connecting, being refused, and what is said about it.

use std::path::Path;
use std::time::Duration;

use thalweg_project::{DatabaseSettings, SslMode};
use thalweg_source::SourceErrorKind;
use thalweg_source::database::{Engine, Read};
use thalweg_testkit::MariadbServer;

use crate::{described, engine, settings, with_user};

fn trouble(settings: &DatabaseSettings) -> (SourceErrorKind, String) {
    match engine(settings).connect() {
        Ok(_) => panic!("connected"),
        Err(error) => (error.kind, error.message),
    }
}

#[test]
fn passwords_and_refusals() {
    let server = MariadbServer::start(&["--plugin-load-add=auth_ed25519"]);
    let database = server.database();
    let password = "p @:/?#[]%&='\"\\ä😀";
    let quoted = password.replace('\\', "\\\\").replace('\'', "''");
    database.run(&format!(
        "create user native@'%' identified by '{quoted}'; create user edwards@'%' identified via ed25519 using password('{quoted}');
         grant select on *.* to native@'%'; grant select on *.* to edwards@'%'"
    ));
    let base = settings(&server, &database);
    for user in ["native", "edwards"] {
        let mut connection = engine(&with_user(&base, user, password)).connect().unwrap();
        let told = connection.server().unwrap();
        assert!(told.version.starts_with("MariaDB 1"), "{told:?}");
        assert_eq!(
            (told.database, told.protection),
            (format!("{} as {user}", database.name()), "not encrypted".into())
        );
        let (kind, message) = trouble(&with_user(&base, user, "wrong secret"));
        assert_eq!(kind, SourceErrorKind::Denied);
        assert!(message.contains("check `user` and `password`") && !message.contains("wrong secret"), "{message}");
    }
    let (kind, message) = trouble(&with_user(&base, "native", ""));
    assert!(kind == SourceErrorKind::Denied && message.contains("password"), "{message}");

    let mut elsewhere = base.clone();
    elsewhere.database = "nowhere".to_owned();
    let (kind, message) = trouble(&elsewhere);
    assert!(kind == SourceErrorKind::Denied && message.contains("check `database`"), "{message}");
    let mut closed = base.clone();
    closed.port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (kind, message) = trouble(&closed);
    assert!(kind == SourceErrorKind::Unavailable && message.contains("nobody listens there"), "{message}");
    // Somebody listens and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut waiting = base.clone();
    (waiting.port, waiting.connect_timeout) = (silent.local_addr().unwrap().port(), Duration::from_millis(300));
    let (kind, message) = trouble(&waiting);
    assert!(kind == SourceErrorKind::Unavailable && message.contains("connect_timeout"), "{message}");
    let mut encrypted = base.clone();
    encrypted.sslmode = SslMode::Require;
    let (kind, message) = trouble(&encrypted);
    assert!(kind == SourceErrorKind::Denied && message.contains("sslmode"), "{message}");

    let mut local = base;
    local.host = server.socket().display().to_string();
    assert_eq!(engine(&local).connect().unwrap().server().unwrap().protection, "local socket");
}

/// Runs `openssl` in a folder.
fn openssl(folder: &Path, arguments: &str) {
    let ran = std::process::Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn encryption_is_as_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    openssl(path, "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN=authority");
    openssl(path, "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout other.key -out other.pem -subj /CN=somebody");
    std::fs::write(path.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(path, "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost");
    openssl(
        path,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    );
    let files = ["server.pem", "server.key"].map(|name| (name, std::fs::read(path.join(name)).unwrap()));
    let server = MariadbServer::start_with_files(&["--ssl-cert=../server.pem", "--ssl-key=../server.key"], &files);
    let database = server.database();
    database.run("create user careful@'%' require ssl; grant select on *.* to careful@'%'");
    let base = settings(&server, &database);
    let with = |mode: SslMode, roots: Option<&str>, host: &str| {
        let roots = roots.map(|file| path.join(file).display().to_string());
        DatabaseSettings { sslmode: mode, sslrootcert: roots, host: host.to_owned(), ..base.clone() }
    };
    let protection = |settings: &DatabaseSettings| engine(settings).connect().unwrap().server().unwrap().protection;
    for (mode, roots, host, expected) in [
        (SslMode::Disable, None, "127.0.0.1", "not encrypted"),
        (SslMode::Allow, None, "127.0.0.1", "not encrypted"),
        (SslMode::Prefer, None, "127.0.0.1", "TLS 1.3, certificate not verified"),
        (SslMode::Require, None, "127.0.0.1", "TLS 1.3, certificate not verified"),
        (SslMode::Require, Some("ca.pem"), "127.0.0.1", "TLS 1.3, certificate verified"),
        (SslMode::VerifyCa, Some("ca.pem"), "127.0.0.1", "TLS 1.3, certificate verified"),
        (SslMode::VerifyFull, Some("ca.pem"), "localhost", "TLS 1.3, certificate and host verified"),
    ] {
        assert_eq!(protection(&with(mode, roots, host)), expected, "{mode:?}");
    }
    for (mode, roots, host, expected) in [
        (SslMode::VerifyFull, Some("ca.pem"), "127.0.0.1", "another host"),
        (SslMode::VerifyCa, Some("other.pem"), "127.0.0.1", "signed by nobody trusted"),
        (SslMode::VerifyCa, Some("missing.pem"), "127.0.0.1", "missing.pem cannot be read"),
    ] {
        let (kind, message) = trouble(&with(mode, roots, host));
        assert!(kind == SourceErrorKind::Denied && message.contains(expected), "{mode:?}: {message}");
    }
    // An account that insists.
    let careful = |mode| with_user(&with(mode, None, "127.0.0.1"), "careful", "");
    assert_eq!(trouble(&careful(SslMode::Disable)).0, SourceErrorKind::Denied);
    assert_eq!(protection(&careful(SslMode::Allow)), "TLS 1.3, certificate not verified");

    // Rows come through as well.
    database.run(
        "create table t (id int primary key, v longtext); insert into t values (1, repeat('x', 20000000)), (2, 'y')",
    );
    let engine = engine(&with(SslMode::VerifyCa, Some("ca.pem"), "127.0.0.1"));
    let mut connection = engine.connect().unwrap();
    let table = described(connection.as_mut(), &database, "t");
    let (rows, misfits) = crate::all_rows(connection.as_mut(), &engine, &table);
    assert!(misfits.is_empty());
    assert_eq!((rows.len(), rows[0][1].len(), rows[1][1].as_str()), (2, 20_000_000, "y"));
}

#[test]
fn statements_on_metadata_have_a_limit_and_reads_have_none() {
    let server = MariadbServer::shared();
    let database = server.database();
    database.run("create table t (id int)");
    let mut hasty = settings(server, &database);
    hasty.statement_timeout = Duration::from_millis(500);
    let engine = engine(&hasty);
    let error = engine.connect().unwrap().query("select sleep(5)").unwrap_err();
    assert!(
        error.kind == SourceErrorKind::Unavailable && error.message.contains("statement_timeout"),
        "{}",
        error.message
    );

    let mut opened = engine.open(1, &[]).unwrap();
    let connection = &mut opened.connections[0];
    assert_eq!(connection.query("select sleep(1)").unwrap(), [[Some("0".to_owned())]]);
    // Nothing can be written, and a lost connection says so.
    let error = connection.query(&format!("insert into {}.t values (1)", database.name())).unwrap_err();
    assert!(error.message.contains("READ ONLY"), "{}", error.message);
    let id = connection.query("select connection_id()").unwrap()[0][0].clone().unwrap();
    database.run(&format!("kill {id}"));
    let read = Read { sql: "select 1", columns: &[] };
    let error = connection.read(&read, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::Unavailable, "{}", error.message);
}
