//! Connecting, being refused, and what is said about it.

use std::time::Duration;

use thalweg_project::SslMode;
use thalweg_source::SourceErrorKind;
use thalweg_source::database::{Engine, Read, SourceColumn};
use thalweg_testkit::PostgresServer;

use crate::support::{as_role, engine, engine_of, settings};

fn trouble(settings: thalweg_project::DatabaseSettings) -> (SourceErrorKind, String) {
    match engine(settings).connect() {
        Ok(_) => panic!("connected"),
        Err(error) => (error.kind, error.message),
    }
}

#[test]
fn passwords_and_refusals() {
    let server = PostgresServer::shared();
    let database = server.database();
    let password = "p @:/?#[]%&='\"\\ä😀";
    database
        .run(&format!("create role keeper login password '{}' in role needs_password", password.replace('\'', "''")));
    let base = settings(server, &database);
    let mut connection = engine(as_role(&base, "keeper", Some(password))).connect().unwrap();
    let told = connection.server().unwrap();
    assert!(told.version.starts_with("PostgreSQL 1"), "{told:?}");
    assert_eq!((told.database, told.protection), (format!("{} as keeper", database.name()), "not encrypted".into()));

    let (kind, message) = trouble(as_role(&base, "keeper", Some("wrong secret")));
    assert_eq!(kind, SourceErrorKind::Denied);
    assert!(message.contains("check the password") && !message.contains("wrong secret"), "{message}");
    let (kind, message) = trouble(as_role(&base, "keeper", None));
    assert!(kind == SourceErrorKind::Denied && message.contains("password"), "{message}");
    let mut elsewhere = base.clone();
    elsewhere.database = "nowhere".to_owned();
    let (kind, message) = trouble(elsewhere);
    assert!(kind == SourceErrorKind::Denied && message.contains("\"nowhere\" does not exist"), "{message}");
    let mut closed = base.clone();
    closed.port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (kind, message) = trouble(closed);
    assert!(kind == SourceErrorKind::Unavailable && message.contains("nothing listens there"), "{message}");
    // Somebody listens and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut waiting = base.clone();
    (waiting.port, waiting.connect_timeout) = (silent.local_addr().unwrap().port(), Duration::from_millis(300));
    let (kind, message) = trouble(waiting);
    assert!(kind == SourceErrorKind::Unavailable && message.contains("connect_timeout"), "{message}");
    let mut encrypted = base;
    encrypted.sslmode = SslMode::Require;
    let (kind, message) = trouble(encrypted);
    assert!(kind == SourceErrorKind::Denied && message.contains("sslmode"), "{message}");
}

/// Runs `openssl` in a folder.
fn openssl(folder: &std::path::Path, arguments: &str) {
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
    let files = [("server.crt", "server.pem"), ("server.key", "server.key")]
        .map(|(name, file)| (name, std::fs::read(path.join(file)).unwrap()));
    let server = PostgresServer::start_with_files(&["ssl=on"], &files);
    let database = server.database();
    let base = settings(&server, &database);
    let with = |mode: SslMode, roots: Option<&str>, host: &str| {
        let mut settings = base.clone();
        settings.sslmode = mode;
        settings.sslrootcert = roots.map(|file| path.join(file).display().to_string());
        settings.host = host.to_owned();
        match engine(settings).connect() {
            Ok(mut connection) => connection.server().unwrap().protection,
            Err(error) => format!("{:?}: {}", error.kind, error.message),
        }
    };
    let (here, local) = ("127.0.0.1", "localhost");
    for (mode, roots, host, expected) in [
        (SslMode::Disable, None, here, "not encrypted"),
        (SslMode::Allow, None, here, "not encrypted"),
        (SslMode::Prefer, None, here, "TLS 1.3, certificate not verified"),
        (SslMode::Require, None, here, "TLS 1.3, certificate not verified"),
        (SslMode::Require, Some("ca.pem"), here, "TLS 1.3, certificate verified"),
        (SslMode::VerifyCa, Some("ca.pem"), here, "TLS 1.3, certificate verified"),
        (SslMode::VerifyFull, Some("ca.pem"), local, "TLS 1.3, certificate and host verified"),
    ] {
        assert_eq!(with(mode, roots, host), expected, "{mode:?} {roots:?} {host}");
    }
    for (mode, roots, host, expected) in [
        (SslMode::VerifyFull, Some("ca.pem"), here, "another host"),
        (SslMode::VerifyCa, Some("other.pem"), here, "signed by nobody trusted"),
        (SslMode::VerifyFull, None, local, "signed by nobody trusted"),
    ] {
        let told = with(mode, roots, host);
        assert!(told.starts_with("Denied") && told.contains(expected), "{mode:?} {roots:?} {host}: {told}");
    }
}

#[test]
fn sessions_only_read_and_metadata_is_quick() {
    let server = PostgresServer::shared();
    let database = server.database();
    database.run("create table t (a int)");
    let mut settings = settings(server, &database);
    settings.statement_timeout = Duration::from_millis(200);
    let mut connection = engine(settings).connect().unwrap();
    let error = connection.query("insert into t values (1)").unwrap_err();
    assert!(error.message.contains("read-only"), "{}", error.message);
    let error = connection.query("select pg_sleep(5)").unwrap_err();
    assert!(
        error.kind == SourceErrorKind::Unavailable && error.message.contains("statement_timeout"),
        "{}",
        error.message
    );
}

/// A certificate that a server made for itself, by which it is known.
#[test]
fn a_server_may_be_known_by_its_own_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    openssl(
        path,
        "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout own.key -out own.pem -subj /CN=x -addext subjectAltName=DNS:localhost",
    );
    openssl(path, "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout other.key -out other.pem -subj /CN=x");
    let files = [("server.crt", "own.pem"), ("server.key", "own.key")]
        .map(|(name, file)| (name, std::fs::read(path.join(file)).unwrap()));
    let server = PostgresServer::start_with_files(&["ssl=on"], &files);
    let mut settings = settings(&server, &server.database());
    let mut with = |mode: SslMode, roots: &str, host: &str| {
        (settings.sslmode, settings.host) = (mode, host.to_owned());
        settings.sslrootcert = Some(path.join(roots).display().to_string());
        engine(settings.clone()).connect().is_ok()
    };
    assert!(with(SslMode::VerifyCa, "own.pem", "127.0.0.1"));
    assert!(with(SslMode::VerifyFull, "own.pem", "localhost"));
    assert!(!with(SslMode::VerifyFull, "own.pem", "127.0.0.1"));
    assert!(!with(SslMode::VerifyCa, "other.pem", "localhost"));
}

/// A column of a read that is no table's.
fn bigint(name: &str) -> SourceColumn {
    SourceColumn {
        name: name.to_owned(),
        engine_type: "bigint".to_owned(),
        column_type: thalweg_project::ColumnType::BigInt,
        nullable: true,
        comment: None,
    }
}

#[test]
fn reads_are_bounded_and_can_be_left() {
    let server = PostgresServer::shared();
    let database = server.database();
    let engine = engine_of(server, &database);
    let columns = [bigint("n")];
    let mut connection = engine.connect().unwrap();
    let (mut rows, mut batches, mut sum) = (0, 0, 0i64);
    let read = Read { sql: "select n::int8 from generate_series(1, 100000) as s(n) -- a comment", columns: &columns };
    // The sum is that of the first number to the last.
    connection
        .read(&read, &mut |decoded| {
            assert!(decoded.batch.num_rows() <= Read::ROWS && decoded.misfits.is_empty());
            let numbers = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(decoded.batch.column(0));
            sum += numbers.iter().map(Option::unwrap).sum::<i64>();
            rows += decoded.batch.num_rows();
            batches += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!((rows, sum), (100_000, 5_000_050_000));
    assert!(batches >= 100_000 / Read::ROWS);

    // Whoever has seen enough ends it, and what the server still has is not waited for.
    let endless = Read { sql: "select generate_series(1, 1000000000)::int8", columns: &columns };
    let ended =
        connection.read(&endless, &mut |_| Err(thalweg_source::SourceError::new(SourceErrorKind::Cancelled, "enough")));
    assert_eq!(ended.unwrap_err().kind, SourceErrorKind::Cancelled);
    drop(connection);

    // An error in the middle is told with what the server says.
    let mut connection = engine.connect().unwrap();
    let faulty =
        Read { sql: "select (10 / (50000 - n))::int8 from generate_series(1, 100000) as s(n)", columns: &columns };
    let error = connection.read(&faulty, &mut |_| Ok(())).unwrap_err();
    assert!(error.kind == SourceErrorKind::Data && error.message.contains("division by zero"), "{}", error.message);
}

#[test]
fn a_connection_that_is_cut_is_told() {
    let server = PostgresServer::shared();
    let database = server.database();
    let engine = engine_of(server, &database);
    let mut connection = engine.connect().unwrap();
    let process = connection.query("select pg_backend_pid()").unwrap().remove(0).remove(0).unwrap();
    database.run(&format!("select pg_terminate_backend({process}, 5000)"));
    let error = connection.query("select 1").unwrap_err();
    assert_eq!(error.kind, SourceErrorKind::Unavailable, "{}", error.message);
}
