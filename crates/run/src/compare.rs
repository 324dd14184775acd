//! What store tables hold, for comparison with their sources.
//!
//! A source never sees the warehouse, and the warehouse is closed while sources are read. So rows are counted and hashed before, in ranges of
//! the key, for each stream whose comparison is due; the lock of the run keeps the tables as they are until its extracts are merged.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use thalweg_project::{DatabaseKind, Project, SourceConnection, Stream};
use thalweg_source::database::{Boundaries, Counted, Sampler, Summary, due};
use thalweg_source::{Column, Comparison, Position, Purpose, SourceError};
use thalweg_sql::{Dialect, NodeKind};
use thalweg_warehouse::{Connection, WarehouseError, WarehouseErrorKind};

use crate::error::RunError;
use crate::known::Known;
use crate::options::BuildOptions;
use crate::publish::physical::physical_table;
use crate::publish::stream::store_fingerprint;
use crate::table_state::TableState;

/// Comparisons by source and stream.
pub type Comparisons = BTreeMap<(String, String), Arc<Comparison>>;

/// Computes what is due for these streams.
pub fn comparisons<'a>(
    project: &Project,
    streams: impl Iterator<Item = &'a NodeKind>,
    known: &Known,
    options: &BuildOptions,
    now: i64,
    reading: &mut StoreReading<'_>,
) -> Result<Comparisons, RunError> {
    let mut comparisons = Comparisons::new();
    for kind in streams {
        let NodeKind::Stream(source, stream) = *kind else { continue };
        let SourceConnection::Database(database) = &project.sources[source].connection else { continue };
        let stream = &project.sources[source].streams[stream];
        let name = (stream.source.clone(), stream.name.clone());
        let (Some(state), Some(position)) = (known.tables.get(&stream.table), known.positions.get(&name)) else {
            continue;
        };
        // A table that is read in full needs no comparison.
        if options.full_refresh || state.fingerprint != store_fingerprint(stream) {
            continue;
        }
        if let Some(comparison) = comparison(stream, database.settings.kind, state, position, options, now, reading)? {
            comparisons.insert(name, Arc::new(comparison));
        }
    }
    Ok(comparisons)
}

fn comparison(
    stream: &Stream,
    kind: DatabaseKind,
    state: &TableState,
    position: &Position,
    options: &BuildOptions,
    now: i64,
    reading: &mut StoreReading<'_>,
) -> Result<Option<Comparison>, RunError> {
    let Some(purpose) = due(stream, position, options.reconcile, now) else { return Ok(None) };
    let columns = state.source_columns();
    let key: Option<Vec<Column>> =
        stream.primary_key.iter().map(|name| columns.iter().find(|column| column.name == *name).cloned()).collect();
    let Some(key) = key else { return Ok(None) };
    let boundaries = match Sampler::new(&key[0].column_type, state.rows) {
        Some(mut sampler) => {
            reading.read(state, &key[..1], |batch| sampler.take(batch.column(0)))?;
            sampler.boundaries()
        }
        None => Boundaries::None,
    };
    let keys = Summary::new(kind, key.clone(), boundaries);
    if purpose != Purpose::ReconcileRows {
        let [keys] = reading.count(state, &key, [keys])?;
        return Ok(Some(Comparison { purpose, keys, rows: None }));
    }
    let others = columns.into_iter().filter(|column| !stream.primary_key.contains(&column.name));
    let all: Vec<Column> = key.iter().cloned().chain(others).collect();
    let rows = Summary::new(kind, all.clone(), keys.boundaries().clone());
    let [keys, rows] = reading.count(state, &all, [keys, rows])?;
    Ok(Some(Comparison { purpose, keys, rows: Some(rows) }))
}

/// A connection by which store tables are read.
pub struct StoreReading<'a> {
    /// The connection.
    pub connection: &'a mut dyn Connection,
    /// How many threads may count what is read.
    pub threads: usize,
    /// How the engine spells things.
    pub dialect: &'static dyn Dialect,
}

impl StoreReading<'_> {
    /// Counts the rows of a store table. Each summary is about the first of the columns. The engine reads while others hash, which takes
    /// longer.
    fn count<const N: usize>(
        &mut self,
        state: &TableState,
        columns: &[Column],
        mut summaries: [Summary; N],
    ) -> Result<[Summary; N], RunError> {
        let (sender, receiver) = crossbeam_channel::bounded::<RecordBatch>(2 * self.threads);
        let work = || {
            let mut counted = summaries.each_ref().map(Summary::uncounted);
            for batch in receiver {
                for (summary, counted) in summaries.iter().zip(&mut counted) {
                    summary.count(counted, &batch.columns()[..summary.columns().len()])?;
                }
            }
            Ok(counted)
        };
        let counted = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads).map(|_| scope.spawn(work.clone())).collect();
            drop(work);
            let read = self.read(state, columns, |batch| {
                // Nobody listens when all have failed, which they tell below.
                let _ = sender.send(batch.clone());
                Ok(())
            });
            drop(sender);
            let counted: Result<Vec<[Counted; N]>, SourceError> = workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect();
            read.and(
                counted
                    .map_err(|error| RunError::from(WarehouseError::new(WarehouseErrorKind::Statement, error.message))),
            )
        })?;
        for counted in &counted {
            summaries.iter_mut().zip(counted).for_each(|(summary, counted)| summary.add(counted));
        }
        Ok(summaries)
    }

    /// Reads columns of a store table.
    fn read(
        &mut self,
        state: &TableState,
        columns: &[Column],
        mut take: impl FnMut(&RecordBatch) -> Result<(), SourceError>,
    ) -> Result<(), RunError> {
        let names: Result<Vec<String>, _> =
            columns.iter().map(|column| self.dialect.quote_identifier(&column.name)).collect();
        let names = names.and_then(|names| Ok((names.join(", "), physical_table(self.dialect, &state.physical)?)));
        let (names, table) =
            names.map_err(|error| WarehouseError::new(WarehouseErrorKind::Statement, error.to_string()))?;
        self.connection.read(&format!("select {names} from {table}"), &mut |batch| {
            take(batch).map_err(|error| WarehouseError::new(WarehouseErrorKind::Statement, error.message))
        })?;
        Ok(())
    }
}
