//! Reading rejects again.

use thalweg_project::WriteDisposition;
use thalweg_source::landing::{PartFile, unify};
use thalweg_source::{RejectedRecord, Source};
use thalweg_sql::NodeKind;
use thalweg_warehouse::ledger::{RejectKind, RejectRow};
use thalweg_warehouse::{Access, Wait};

use super::{Landed, Replay, Run, begin, tell_waiting};
use crate::error::RunError;
use crate::event::{Event, Observer};
use crate::known::{self, PublishedLanding};
use crate::landed::landed_extract;
use crate::options::BuildOptions;
use crate::outcome::{OutcomeNote, RunOutcome};
use crate::publish::store::Again;
use crate::publish::stream::in_place;
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
            // What was read again has the place of what was read first; the landing of a record is that of the run that refused it.
            let first = landings.iter().find(|other| other.origin_base == landing.origin_base) == Some(landing);
            let of_landing: Vec<&RejectRow> = rejects
                .iter()
                .map(|row| &row.reject)
                .filter(|reject| (landing.origin_base..next).contains(&reject.origin))
                .filter(|reject| match reject.kind {
                    RejectKind::Read => reject.run == landing.run,
                    RejectKind::Merge | RejectKind::Quarantine => first,
                })
                .collect();
            if !of_landing.is_empty() {
                self.replay_landing(sources, &landings, landing, &of_landing, &mut replay)?;
            }
        }
        if replay.ids.is_empty() {
            self.warn("rejects", "there is nothing to replay");
        }
        Ok(replay)
    }

    fn replay_landing(
        &mut self,
        sources: &[Box<dyn Source>],
        landings: &[PublishedLanding],
        landing: &PublishedLanding,
        rejects: &[&RejectRow],
        replay: &mut Replay,
    ) -> Result<(), RunError> {
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
            return Ok(());
        };
        let place = self.bench.landing().stream(&landing.source, &landing.folder).run(landing.run);
        let Some(manifest) = place.find()? else {
            self.warn(&about, &format!("rejects of run {} cannot be replayed: its landing is gone", landing.run));
            return Ok(());
        };
        let mut later = Vec::new();
        let same_stream = |row: &&PublishedLanding| row.source == landing.source && row.stream == landing.stream;
        for row in landings.iter().filter(same_stream).filter(|row| row.origin_base >= landing.origin_base) {
            later.extend(landed_extract(self.bench, row)?);
        }
        let later = in_place(later);
        let replaced = later.iter().any(|(files, _)| files.origin_base > landing.origin_base && files.complete);
        if stream.write_disposition == WriteDisposition::Replace && replaced {
            self.warn(
                &about,
                &format!("rejects of run {} are not replayed: its rows were replaced since", landing.run),
            );
            return Ok(());
        }
        let again = |filter| Some(Again { origin_base: landing.origin_base, filter, later: later.clone() });
        let (unread, diverted): (Vec<&RejectRow>, Vec<&RejectRow>) =
            rejects.iter().copied().partition(|reject| reject.kind == RejectKind::Read);
        replay.ids.extend(rejects.iter().map(|reject| reject.id));
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
            // Several extracts may have been read again in one run.
            let folder = format!("{} replay of run {} from {}", landing.stream, landing.run, landing.origin_base);
            let target = self.bench.landing().stream(&landing.source, &folder).run(self.number).under(self.epoch);
            target.begin()?;
            let job = self.job(stream);
            let extract =
                sources[source].replay(&job.request, &manifest.extract.files, &records, &self.context(), &target)?;
            self.notes.extend(extract.notes.iter().map(|note| OutcomeNote::of_source(&about, note)));
            let manifest = target.finish(extract, &job.fingerprint, self.epoch)?;
            let place = target.folder().to_owned();
            replay.landed.push(Landed { node, manifest, folder: place, landing: folder, again: again(None) });
        }
        if diverted.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = diverted.iter().map(|reject| reject.id.to_string()).collect();
        let filter = format!(
            "exists (select 1 from thalweg.rejects j where j.project = {} and j.id in ({}) and j.origin = {} + s._file \
             and j.record = s._record)",
            thalweg_sql::dialect_of(&self.bench.project().target.connection)
                .literal_text(self.bench.ledger().project()),
            ids.join(", "),
            landing.origin_base
        );
        // They may lie in what was read again of their extract, too.
        let mut manifest = manifest;
        for row in landings.iter().filter(same_stream).filter(|row| row.origin_base == landing.origin_base) {
            let other = self.bench.landing().stream(&row.source, &row.folder).run(row.run);
            let Some(more) = other.find()?.filter(|_| row != landing) else { continue };
            let folder = other.folder().display().to_string();
            manifest.columns = unify([&manifest.columns[..], &more.columns[..]]);
            manifest.parts.extend(
                more.parts.into_iter().map(|part| PartFile { file: format!("{folder}/{}", part.file), ..part }),
            );
        }
        manifest.rejects = None;
        manifest.extract.read = diverted.len() as u64;
        manifest.extract.rejected = 0;
        replay.landed.push(Landed {
            node,
            manifest,
            folder: place.folder().to_owned(),
            landing: landing.folder.clone(),
            again: again(Some(filter)),
        });
        Ok(())
    }

    pub(super) fn warn(&mut self, about: &str, message: &str) {
        self.observer.event(&Event::Note { about: about.to_owned(), warning: true, message: message.to_owned() });
        self.notes.push(OutcomeNote { about: about.to_owned(), warning: true, message: message.to_owned() });
    }
}
