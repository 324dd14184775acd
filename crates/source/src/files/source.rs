//! The source itself.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use thalweg_project::{SourceConnection, Stream};

use super::confirm::confirm;
use super::discover::{discover, folder_error};
use super::extract::extract_stream;
use crate::{
    Capabilities, Confirmed, Context, Extract, ExtractFile, RejectedRecord, Sink, Snapshot, Source, SourceError,
    SourceErrorKind, StreamRequest,
};

/// Files in a folder.
#[derive(Debug)]
pub struct FilesSource {
    name: String,
    folder: PathBuf,
    country_database: Option<PathBuf>,
    streams: Vec<Stream>,
}

impl FilesSource {
    /// A source out of its definition. Relative paths start at the project's folder. Nothing is touched yet. A source of another kind
    /// has no folder of its own and no files.
    pub fn new(source: &thalweg_project::Source, project_folder: &Path) -> Self {
        let (path, country_database) = match &source.connection {
            SourceConnection::Files { path, country_database } => (path.as_str(), country_database.as_ref()),
            SourceConnection::Database(_) => ("", None),
        };
        Self {
            name: source.name.clone(),
            folder: project_folder.join(path),
            country_database: country_database.map(|path| project_folder.join(path)),
            streams: source.streams.clone(),
        }
    }

    /// The folder as it really lies, so that links can be told to lead out of it.
    fn root(&self) -> Result<PathBuf, SourceError> {
        if self.folder.to_string_lossy().contains("://") {
            let message = format!(
                "source {}: object storage is not supported yet: {}; give a folder as `path:`",
                self.name,
                self.folder.display()
            );
            return Err(SourceError::new(SourceErrorKind::Denied, message));
        }
        let root = fs::canonicalize(&self.folder).map_err(|error| self.named(folder_error(&self.folder, &error)))?;
        if root.is_dir() {
            return Ok(root);
        }
        Err(self.named(folder_error(&self.folder, &std::io::ErrorKind::NotADirectory.into())))
    }

    fn named(&self, error: SourceError) -> SourceError {
        SourceError::new(error.kind, format!("source {}: {}", self.name, error.message))
    }
}

impl Source for FilesSource {
    fn capabilities(&self) -> Capabilities {
        Capabilities { cursor: false, snapshot: false, log: false, key_listing: false }
    }

    fn check(&self) -> Result<String, SourceError> {
        let root = self.root()?;
        let mut parts = Vec::new();
        for stream in &self.streams {
            let found = discover(&root, &stream.files).map_err(|error| self.named(error))?.files.len();
            parts.push(format!("{}: {found} {}", stream.name, if found == 1 { "file" } else { "files" }));
        }
        Ok(format!("folder {}: {}", root.display(), parts.join(", ")))
    }

    fn open<'a>(
        &'a self,
        requests: &'a [StreamRequest<'a>],
        context: &'a Context,
    ) -> Result<Box<dyn Snapshot + 'a>, SourceError> {
        Ok(Box::new(FilesSnapshot { source: self, root: self.root()?, requests, context }))
    }

    fn confirm(&self, stream: &Stream, confirmations: &[Value]) -> Result<Confirmed, SourceError> {
        if confirmations.is_empty() {
            return Ok(Confirmed::default());
        }
        confirm(&self.root()?, stream, confirmations).map_err(|error| self.named(error))
    }

    fn replay(
        &self,
        request: &StreamRequest<'_>,
        files: &[ExtractFile],
        records: &[RejectedRecord],
        context: &Context,
        sink: &dyn Sink,
    ) -> Result<Extract, SourceError> {
        super::extract::replay_stream(
            &self.folder,
            self.country_database.as_deref(),
            request,
            files,
            records,
            context,
            sink,
        )
        .map_err(|error| self.named(error))
    }
}

struct FilesSnapshot<'a> {
    source: &'a FilesSource,
    root: PathBuf,
    requests: &'a [StreamRequest<'a>],
    context: &'a Context,
}

impl Snapshot for FilesSnapshot<'_> {
    fn extract(&self, stream: usize, sink: &dyn Sink) -> Result<Extract, SourceError> {
        let Some(request) = self.requests.get(stream) else {
            let message = format!("there is no stream {stream} in this group");
            return Err(self.source.named(SourceError::new(SourceErrorKind::Denied, message)));
        };
        extract_stream(&self.root, self.source.country_database.as_deref(), request, self.context, sink)
            .map_err(|error| self.source.named(error))
    }
}
