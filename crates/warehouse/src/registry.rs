//! The one place that knows all warehouses.

use std::path::{Path, PathBuf};

use thalweg_project::{Target, TargetConnection};

use crate::contract::{Connection, Warehouse, WarehouseError};
use crate::duckdb::DuckDbWarehouse;
use crate::postgres::PostgresWarehouse;

/// The warehouse of a target. Nothing is opened yet. Statements may read and write files below the project's folder only.
pub fn open(target: &Target, project_folder: &Path) -> Result<Box<dyn Warehouse>, WarehouseError> {
    open_with_folders(target, project_folder, &[])
}

/// As [`open`]; statements may also read and write files below these folders: a landing that lies outside of the project.
pub fn open_with_folders(
    target: &Target,
    project_folder: &Path,
    folders: &[PathBuf],
) -> Result<Box<dyn Warehouse>, WarehouseError> {
    match &target.connection {
        TargetConnection::Duckdb { path, memory_limit, threads, published_copy } => {
            let mut allowed = vec![project_folder.to_owned()];
            allowed.extend_from_slice(folders);
            Ok(Box::new(DuckDbWarehouse::new(
                project_folder.join(path),
                path.clone(),
                target.name.clone(),
                published_copy.as_ref().map(|path| project_folder.join(path)),
                thalweg_duck::Settings {
                    threads: *threads,
                    memory_limit: memory_limit.clone(),
                    files: thalweg_duck::Files::Below(allowed),
                    ..Default::default()
                },
            )))
        }
        TargetConnection::Postgres(postgres) => {
            let mut allowed = vec![project_folder.to_owned()];
            allowed.extend_from_slice(folders);
            Ok(Box::new(PostgresWarehouse::new((**postgres).clone(), target, project_folder, allowed)?))
        }
    }
}

/// A place where queries are tried out, without touching the warehouse.
pub struct Scratch {
    /// Whatever is made by it is gone when it is dropped. After an error it goes on.
    pub connection: Box<dyn Connection>,
    /// What names of schemas have to begin with in it, where others stand beside.
    pub schema_prefix: Option<String>,
}

/// An empty engine of the target's kind that can say what it thinks of queries.
pub fn scratch(target: &Target, project_folder: &Path) -> Result<Scratch, WarehouseError> {
    match &target.connection {
        TargetConnection::Duckdb { .. } => Ok(Scratch { connection: crate::duckdb::scratch()?, schema_prefix: None }),
        TargetConnection::Postgres(postgres) => {
            let warehouse = PostgresWarehouse::new((**postgres).clone(), target, project_folder, Vec::new())?;
            Ok(Scratch {
                connection: crate::postgres::scratch(&warehouse)?,
                schema_prefix: Some(format!("thalweg_check_{}_", std::process::id())),
            })
        }
    }
}
