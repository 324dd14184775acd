//! Databases for tests: each test has one of its own.

use thalweg_refresh_fuzz::database::Database;
use thalweg_testkit::PostgresServer;

pub fn duckdb() -> Database {
    Database::duckdb().unwrap()
}

/// In the server of this test binary.
pub fn postgres() -> Database {
    let server = PostgresServer::shared();
    Database::postgres(server.port(), server.database().name()).unwrap()
}
