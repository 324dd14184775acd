//! The database servers of benchmarks: in temporary folders, with settings of somebody who means them to be used.

use thalweg_testkit::{MariadbServer, PostgresServer};

/// A Postgres that writes to disk as one does that has to keep what it is given.
pub fn postgres() -> PostgresServer {
    PostgresServer::start(&[
        "fsync=on",
        "synchronous_commit=on",
        "full_page_writes=on",
        "shared_buffers=1GB",
        "work_mem=64MB",
        "maintenance_work_mem=512MB",
        "effective_cache_size=8GB",
        "random_page_cost=1.1",
        "max_wal_size=4GB",
        "checkpoint_timeout=30min",
        "timezone=UTC",
    ])
}

/// A MariaDB with room for what it holds.
pub fn mariadb() -> MariadbServer {
    MariadbServer::start(&["--innodb-buffer-pool-size=2G", "--innodb-log-file-size=512M"])
}
