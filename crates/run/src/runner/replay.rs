//! Reading rejects again.

use thalweg_source::{RejectedRecord, Source};
use thalweg_sql::NodeKind;
use thalweg_warehouse::ledger::RejectKind;
use thalweg_warehouse::{Access, Wait};

use super::{Landed, Replay, Run, begin, tell_waiting};
use crate::error::RunError;
use crate::event::{Event, Observer};
use crate::known;
use crate::options::BuildOptions;
use crate::outcome::{OutcomeNote, RunOutcome};
use crate::workbench::Workbench;

/// See [`Workbench::replay`].
pub fn replay(
    bench: &Workbench,
    filter: &crate::answer::RejectFilter,
    options: &BuildOptions,
    observer: &dyn Observer,
) -> Result<RunOutcome, RunError> {
    if let Some(stream) = &filter.stream {
        crate::look::known_stream(bench, stream)?;
    }
    let mut run = begin(bench, options, observer)?;
    let sources = bench.sources();
    let replay = run.replay(&sources, filter)?;
    run.publish_and_finish(&sources, None, replay.landed, &replay.ids)
}

impl Run<'_> {
    /// Reads open rejects again: those that could not be read, from their raw text, into the landing; those that were diverted
    /// when merging lie in their old landing still.
    pub(super) fn replay(
        &mut self,
        sources: &[Box<dyn Source>],
        filter: &crate::answer::RejectFilter,
    ) -> Result<Replay, RunError> {
        let ledger = self.bench.ledger();
        let observer = self.observer;
        let wait = Wait { timeout: self.options.lock_timeout, tell: &|message: &str| tell_waiting(observer, message) };
        let mut connection = self.warehouse.connect(Access::Read, &wait)?;
        let open = crate::answer::RejectFilter { all: false, ..filter.clone() };
        let rejects = known::reject_rows(&ledger, connection.as_mut(), &open)?;
        let landings = known::landings(&ledger, connection.as_mut())?;
        drop(connection);
        let mut replay = Replay { ids: Vec::new(), landed: Vec::new() };
        for landing in &landings {
            let next = landings
                .iter()
                .filter(|other| other.origin_base > landing.origin_base)
                .map(|other| other.origin_base)
                .min()
                .unwrap_or(i64::MAX);
            let of_landing: Vec<_> = rejects
                .iter()
                .map(|row| &row.reject)
                .filter(|reject| {
                    (landing.origin_base..next).contains(&reject.origin) && reject.stream == landing.stream
                })
                .collect();
            if of_landing.is_empty() {
                continue;
            }
            let about = format!("{}.{}", landing.source, landing.stream);
            let found = self.bench.compiled().nodes.iter().enumerate().find_map(|(node, entry)| match entry.kind {
                NodeKind::Stream(source, stream) => {
                    let stream = &self.bench.project().sources[source].streams[stream];
                    (stream.source == landing.source && stream.name == landing.stream).then_some((node, source, stream))
                }
                _ => None,
            });
            let Some((node, source, stream)) = found else {
                self.warn(&about, "its rejects cannot be replayed: the stream is no longer in the project");
                continue;
            };
            let place = self.bench.landing().stream(&landing.source, &landing.folder).run(landing.run);
            let Some(manifest) = place.find()? else {
                self.warn(&about, &format!("rejects of run {} cannot be replayed: its landing is gone", landing.run));
                continue;
            };
            let (unread, diverted): (Vec<_>, Vec<_>) =
                of_landing.into_iter().partition(|reject| reject.kind == RejectKind::Read);
            if !unread.is_empty() {
                let records: Vec<RejectedRecord> = unread
                    .iter()
                    .map(|reject| RejectedRecord {
                        file: i32::try_from(reject.origin - landing.origin_base).unwrap_or(i32::MAX),
                        record: reject.record,
                        byte_offset: reject.byte_offset,
                        reason: reject.reason.clone(),
                        raw: reject.raw.clone(),
                    })
                    .collect();
                let folder = format!("{} replay of run {}", landing.stream, landing.run);
                let target = self.bench.landing().stream(&landing.source, &folder).run(self.number);
                target.begin()?;
                let job = self.job(stream);
                let extract = sources[source].replay(
                    &job.request,
                    &manifest.extract.files,
                    &records,
                    &self.context(),
                    &target,
                )?;
                let manifest = target.finish(extract, &job.fingerprint, self.epoch)?;
                replay.ids.extend(unread.iter().map(|reject| reject.id));
                replay.landed.push(Landed {
                    node,
                    manifest,
                    folder: target.folder().to_owned(),
                    landing: folder,
                    again: None,
                });
            }
            if !diverted.is_empty() {
                let mut manifest = manifest;
                manifest.rejects = None;
                manifest.extract.read = diverted.len() as u64;
                manifest.extract.rejected = 0;
                let ids: Vec<String> = diverted.iter().map(|reject| reject.id.to_string()).collect();
                let dialect = thalweg_sql::dialect_of(&self.bench.project().target.connection);
                let filter = format!(
                    "exists (select 1 from thalweg.rejects j where j.project = {} and j.id in ({}) and j.origin = {} + s._file \
                     and j.record = s._record)",
                    dialect.literal_text(ledger.project()),
                    ids.join(", "),
                    landing.origin_base
                );
                replay.ids.extend(diverted.iter().map(|reject| reject.id));
                replay.landed.push(Landed {
                    node,
                    manifest,
                    folder: place.folder().to_owned(),
                    landing: landing.folder.clone(),
                    again: Some((landing.origin_base, filter)),
                });
            }
        }
        if replay.ids.is_empty() {
            self.warn("rejects", "there is nothing to replay");
        }
        Ok(replay)
    }

    pub(super) fn warn(&mut self, about: &str, message: &str) {
        self.observer.event(&Event::Note { about: about.to_owned(), warning: true, message: message.to_owned() });
        self.notes.push(OutcomeNote { about: about.to_owned(), warning: true, message: message.to_owned() });
    }
}
