//! Reading what is new at the sources.

use thalweg_project::{OnSourceError, Source as SourceDefinition, Stream, WriteDisposition};
use thalweg_source::landing::{Manifest, unify};
use thalweg_source::{Position, Source, SourceError, StreamRequest, Wanted};
use thalweg_sql::NodeKind;

use super::{Landed, Run};
use crate::error::RunError;
use crate::extract::{Extracted, Extraction, Job, stream_name};
use crate::outcome::{FailedStream, OutcomeNote};
use crate::publish::stream::store_fingerprint;
use crate::seeds;

impl Run<'_> {
    /// Reads what is new at the sources into the landing.
    pub(super) fn extract(
        &mut self,
        sources: &[Box<dyn Source>],
        seed_source: Option<&SourceDefinition>,
    ) -> Result<Vec<Landed>, RunError> {
        if !self.loads() {
            return Ok(Vec::new());
        }
        self.reads = true;
        let project = self.bench.project();
        let compiled = self.bench.compiled();
        let seed_reader =
            seed_source.map(|source| thalweg_source::files::FilesSource::new(source, self.bench.folder()));
        let unreached = self.unreached_streams();
        let mut groups: Vec<(&dyn Source, Vec<Job<'_>>)> = Vec::new();
        let mut nodes: Vec<Vec<usize>> = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let (mut jobs, mut of) = (Vec::new(), Vec::new());
            for (node, definition) in compiled.nodes.iter().enumerate() {
                let NodeKind::Stream(at, stream) = definition.kind else { continue };
                if at == index && self.choice.nodes[node] {
                    jobs.push(self.job(&project.sources[at].streams[stream]));
                    of.push(node);
                }
            }
            if !jobs.is_empty() {
                groups.push((source.as_ref(), jobs));
                nodes.push(of);
            }
        }
        if let (Some(definition), Some(reader)) = (seed_source, &seed_reader) {
            let (mut jobs, mut of) = (Vec::new(), Vec::new());
            for (node, graph_node) in compiled.nodes.iter().enumerate() {
                let NodeKind::Seed(index) = graph_node.kind else { continue };
                let current = self.known.tables.get(&graph_node.id).is_some_and(|state| {
                    state.fingerprint == seeds::fingerprint(&project.seeds[index]) && !self.options.full_refresh
                });
                if self.choice.nodes[node] && !current {
                    let mut job = self.job(&definition.streams[index]);
                    job.request.known_columns.clear();
                    job.fingerprint.push_str(&seeds::fingerprint(&project.seeds[index]));
                    jobs.push(job);
                    of.push(node);
                }
            }
            if !jobs.is_empty() {
                groups.push((reader, jobs));
                nodes.push(of);
            }
        }
        let landing = self.bench.landing();
        let context = self.context();
        let extraction = Extraction {
            landing: &landing,
            run: self.number,
            epoch: self.epoch,
            resumed: self.resumed,
            context: &context,
            observer: self.observer,
        };
        let results = extraction.extract(&groups);
        let mut landed = Vec::new();
        let mut failures: Vec<(usize, SourceError)> = unreached;
        for (group, results) in results.into_iter().enumerate() {
            for (index, result) in results.into_iter().enumerate() {
                let node = nodes[group][index];
                match result {
                    Extracted::Landed(manifest)
                        if let Some(error) = self.lacks_column(groups[group].1[index].request.stream, &manifest) =>
                    {
                        failures.push((node, error));
                    }
                    Extracted::Landed(manifest) => {
                        let place = landing.stream(&manifest.source, &manifest.stream).run(self.number);
                        landed.push(Landed {
                            node,
                            folder: place.folder().to_owned(),
                            landing: manifest.stream.clone(),
                            manifest: *manifest,
                            again: None,
                        });
                    }
                    Extracted::Failed(error) => failures.push((node, error)),
                }
            }
        }
        for entry in &landed {
            let about = format!("{}.{}", entry.manifest.source, entry.manifest.stream);
            for note in &entry.manifest.extract.notes {
                self.notes.push(OutcomeNote::of_source(&about, note));
            }
            for file in &entry.manifest.extract.failed {
                self.failed.push(FailedStream {
                    stream: about.clone(),
                    table: compiled.nodes[entry.node].id.to_string(),
                    message: file.message.clone(),
                });
            }
        }
        for (node, error) in failures {
            use thalweg_source::SourceErrorKind as Kind;
            if error.kind == Kind::Cancelled {
                return Err(RunError::Cancelled);
            }
            let is_seed = matches!(compiled.nodes[node].kind, NodeKind::Seed(_));
            let stops = project.on_source_error == OnSourceError::Stop
                || is_seed
                || matches!(error.kind, Kind::Landing | Kind::TooManyRejects);
            let stream = self.stream_of(seed_source, node).map(stream_name).unwrap_or_default();
            self.failed.push(FailedStream {
                stream: stream.clone(),
                table: compiled.nodes[node].id.to_string(),
                message: error.message.clone(),
            });
            if stops {
                let message = format!("{stream}: {}", error.message);
                self.record_failure(&message, &[], &[])?;
                return Err(RunError::Stopped(message));
            }
        }
        fail::fail_point!("run::extracted");
        Ok(landed)
    }

    /// The streams of sources that could not be reached and of which not even the keys are known: they are left out, with the errors.
    fn unreached_streams(&mut self) -> Vec<(usize, SourceError)> {
        let mut left_out = Vec::new();
        for (node, definition) in self.bench.compiled().nodes.iter().enumerate() {
            let NodeKind::Stream(source, _) = definition.kind else { continue };
            let error = self.bench.unreached().get(&self.bench.project().sources[source].name);
            if let Some(error) = error.filter(|_| self.choice.nodes[node]) {
                self.choice.nodes[node] = false;
                left_out.push((node, SourceError::new(error.kind, error.message.clone())));
            }
        }
        left_out
    }

    /// An error when neither the table nor what was read now has a column that the stream is merged by.
    fn lacks_column(&self, stream: &Stream, manifest: &Manifest) -> Option<SourceError> {
        let known = self.known.tables.get(&stream.table).map(|state| state.source_columns()).unwrap_or_default();
        let columns = unify([&known[..], &manifest.columns[..]]);
        if columns.is_empty() || stream.write_disposition == WriteDisposition::Append {
            return None;
        }
        let named = stream.primary_key.iter().map(|name| ("primary_key", name));
        let (setting, name) = named
            .chain(stream.sequence_by.iter().map(|name| ("sequence_by", name)))
            .chain(stream.soft_delete.iter().map(|name| ("soft_delete", name)))
            .find(|(_, name)| columns.iter().all(|column| column.name != **name))?;
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let near = thalweg_project::diagnostic::nearest(name, names.iter().copied());
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let message = format!(
            "source {}: stream {}: no column is called {name}, as `{setting}` says; there are {}{near}",
            stream.source,
            stream.name,
            names.join(", ")
        );
        Some(SourceError::new(thalweg_source::SourceErrorKind::Data, message))
    }

    pub(super) fn job<'b>(&self, stream: &'b Stream) -> Job<'b> {
        let position: Position =
            self.known.positions.get(&(stream.source.clone(), stream.name.clone())).cloned().unwrap_or_default();
        let known_columns =
            self.known.tables.get(&stream.table).map(|state| state.source_columns()).unwrap_or_default();
        let mut hash = blake3::Hasher::new();
        hash.update(stream.fingerprint().as_bytes());
        for (entry, value) in &position {
            hash.update(entry.as_bytes());
            hash.update(value.to_string().as_bytes());
        }
        hash.update(format!("{known_columns:?}").as_bytes());
        let wanted = self.wanted(stream);
        let comparison = self.comparisons.get(&(stream.source.clone(), stream.name.clone()));
        let comparison = comparison.filter(|_| wanted != Wanted::Everything).cloned();
        if wanted != Wanted::Changes {
            hash.update(format!("{wanted:?}").as_bytes());
        }
        if let Some(comparison) = &comparison {
            hash.update(format!("{:?}", comparison.purpose).as_bytes());
        }
        let fingerprint = hash.finalize().to_hex()[..32].to_owned();
        let confirm_deletes = self.options.confirm_deletes;
        let request = StreamRequest { stream, position, known_columns, wanted, comparison, confirm_deletes };
        Job { request, fingerprint }
    }

    /// What is wanted of a stream. A database is asked for everything where files would be taken from the landing.
    fn wanted(&self, stream: &Stream) -> Wanted {
        if stream.database.is_none() {
            return Wanted::Changes;
        }
        let state = self.known.tables.get(&stream.table);
        let is_other = state.is_some_and(|state| state.fingerprint != store_fingerprint(stream));
        let is_loaded = self.known.positions.contains_key(&(stream.source.clone(), stream.name.clone()));
        if self.options.full_refresh || is_other || (state.is_none() && is_loaded) {
            return Wanted::Everything;
        }
        match &self.options.from {
            Some(from) => Wanted::From(from.clone()),
            None => Wanted::Changes,
        }
    }
}
