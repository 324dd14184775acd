//! The drivers.

use std::path::Path;

use thalweg_project::{DatabaseKind, DatabaseSettings};

use super::Engine;
use crate::SourceError;
use crate::mysql::MysqlEngine;
use crate::postgres::PostgresEngine;

/// The driver for a database. Files that the settings name are relative to the project's folder. The server is not asked yet.
pub fn engine(settings: &DatabaseSettings, project_folder: &Path) -> Result<Box<dyn Engine>, SourceError> {
    match settings.kind {
        DatabaseKind::Postgres => Ok(Box::new(PostgresEngine::new(settings.clone(), project_folder)?)),
        DatabaseKind::Mysql | DatabaseKind::Mariadb => Ok(Box::new(MysqlEngine::new(settings.clone(), project_folder))),
    }
}
