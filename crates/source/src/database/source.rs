//! A database as a [`Source`].

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::Value as Json;
use thalweg_project::{DatabaseOptions, DatabaseSettings, Stream, Table, TableRef, WriteDisposition};

use super::columns::plan;
use super::cursor::CursorKind;
use super::extract::Extraction;
use super::pool::Pool;
use super::position::{Clock, DatabasePosition};
use super::{Connection, Engine, OpenSnapshot, Safety};
use crate::values::parse_timestamp;
use crate::{
    Capabilities, Column, Confirmed, Context, Extract, ExtractFile, Note, RejectedRecord, Sink, Snapshot, Source,
    SourceError, SourceErrorKind, StreamRequest,
};

/// How often a snapshot is opened again when a number that was just seen is not certain yet.
const PATIENCE: usize = 25;
/// How long is waited in between.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Tables of a database.
pub struct DatabaseSource {
    name: String,
    connections: usize,
    engine: Result<Box<dyn Engine>, (SourceErrorKind, String)>,
}

impl DatabaseSource {
    /// A source out of its settings. Files they name are relative to the project's folder. The server is not asked yet.
    pub fn new(name: &str, settings: &DatabaseSettings, project_folder: &Path) -> Self {
        let engine = super::engine(settings, project_folder).map_err(|error| (error.kind, error.message));
        Self { name: name.to_owned(), connections: settings.connections, engine }
    }

    /// A source with a driver of one's own.
    pub fn with_engine(name: &str, connections: usize, engine: Box<dyn Engine>) -> Self {
        Self { name: name.to_owned(), connections, engine: Ok(engine) }
    }

    /// The columns that a stream of a table lands with, by what the database said of the table. The database is not touched.
    pub fn columns(&self, table: &Table, stream: &Stream) -> Result<Vec<Column>, SourceError> {
        Ok(plan(table, stream, &[], self.engine()?.dialect())?.landing_columns())
    }

    /// Tables as the database describes them: these, each named once, or all that the user may read.
    pub fn describe(&self, tables: Option<&[TableRef]>) -> Result<Vec<Table>, SourceError> {
        let mut connection = self.engine()?.connect().map_err(|error| self.named(error))?;
        connection.describe(tables).map_err(|error| self.named(error))
    }

    fn engine(&self) -> Result<&dyn Engine, SourceError> {
        match &self.engine {
            Ok(engine) => Ok(engine.as_ref()),
            Err((kind, message)) => Err(self.named(SourceError::new(*kind, message.clone()))),
        }
    }

    fn named(&self, error: SourceError) -> SourceError {
        SourceError::new(error.kind, format!("source {}: {}", self.name, error.message))
    }

    /// Opens a snapshot for some of the streams.
    fn open_snapshot(&self, requests: &[StreamRequest<'_>], connections: usize) -> Result<Opened, SourceError> {
        let engine = self.engine()?;
        let wanted: Vec<TableRef> =
            requests.iter().filter_map(|request| Some(options(request.stream)?.table.clone())).collect();
        let tables = distinct(&wanted);
        let mut tries = PATIENCE;
        let marks = self.marks(engine, requests)?;
        loop {
            let snapshot = engine.open(connections, &tables).map_err(|error| self.named(error))?;
            let waits =
                requests.iter().zip(&marks).any(|(request, mark)| is_uncertain(request, mark.as_ref(), &snapshot));
            if tries == 0 || !waits {
                return Ok(Opened::new(snapshot, marks, &tables, &wanted));
            }
            tries -= 1;
            drop(snapshot);
            std::thread::sleep(PAUSE);
        }
    }

    /// For each stream whose position needs it, the greatest value of the cursor, and the time after it was read.
    fn marks(&self, engine: &dyn Engine, requests: &[StreamRequest<'_>]) -> Result<Vec<Option<Mark>>, SourceError> {
        let mut marks: Vec<Option<Mark>> = vec![None; requests.len()];
        let cursors: Vec<(usize, &DatabaseOptions, bool)> = requests
            .iter()
            .enumerate()
            .filter_map(|(index, request)| {
                let options = options(request.stream).filter(|options| options.cursor.is_some())?;
                Some((index, options, request.stream.write_disposition == WriteDisposition::Append))
            })
            .collect();
        // Whether a cursor is a number is known from the last run, or else must be asked; a stamp needs no mark unless rows are appended.
        let asked = cursors.into_iter().filter(|(index, _, appends)| {
            let position = DatabasePosition::read(&requests[*index].position);
            *appends || position.cursor.is_none_or(|cursor| cursor.number)
        });
        let asked: Vec<_> = asked.collect();
        if asked.is_empty() {
            return Ok(marks);
        }
        let mut connection = engine.connect().map_err(|error| self.named(error))?;
        let tables: Vec<TableRef> = asked.iter().map(|(_, options, _)| options.table.clone()).collect();
        let tables = distinct(&tables);
        let described = connection.describe(Some(&tables)).map_err(|error| self.named(error))?;
        for (index, options, appends) in asked {
            let Some(table) = described.iter().find(|table| table.table == options.table) else { continue };
            let Some(column) = cursor_column(table, options) else { continue };
            let Some(kind) = CursorKind::of(column) else { continue };
            if kind.is_time() && !appends {
                continue;
            }
            marks[index] = self.mark(engine, connection.as_mut(), table, column, kind)?;
        }
        Ok(marks)
    }

    fn mark(
        &self,
        engine: &dyn Engine,
        connection: &mut dyn Connection,
        table: &Table,
        column: &thalweg_project::SourceColumn,
        kind: CursorKind,
    ) -> Result<Option<Mark>, SourceError> {
        let dialect = engine.dialect();
        let name = dialect.quote_identifier(&column.name);
        let mut sql = format!("select max({name}) from {}", dialect.table(&table.table));
        if kind.is_time() {
            let now = self.clock(connection)?;
            let last = dialect.literal(&kind.value(kind.last_trusted(now)), column);
            sql.push_str(&format!(" where {name} <= {last}"));
        }
        let rows = connection.query(&sql).map_err(|error| self.named(error))?;
        let text = rows.first().and_then(|row| row.first()).cloned().flatten();
        let time = self.clock(connection)?;
        Ok(text.and_then(|text| kind.parse(&text)).map(|value| (time, value)))
    }

    /// The server's clock, microseconds UTC.
    fn clock(&self, connection: &mut dyn Connection) -> Result<i64, SourceError> {
        let rows = connection.query("select current_timestamp(6)").map_err(|error| self.named(error))?;
        let text = rows.first().and_then(|row| row.first()).cloned().flatten().unwrap_or_default();
        let plain = text.trim_end_matches("+00:00").trim_end_matches("+00");
        parse_timestamp(plain).ok_or_else(|| {
            self.named(SourceError::new(
                SourceErrorKind::Data,
                format!("the server's clock says {text}, which is no time"),
            ))
        })
    }
}

/// The greatest value of a cursor, and the time (microseconds UTC) after it was read.
type Mark = (i64, i128);

/// Each table once.
fn distinct(tables: &[TableRef]) -> Vec<TableRef> {
    let mut distinct: Vec<TableRef> = Vec::new();
    for table in tables {
        if !distinct.contains(table) {
            distinct.push(table.clone());
        }
    }
    distinct
}

fn options(stream: &Stream) -> Option<&DatabaseOptions> {
    stream.database.as_ref()
}

/// The column a stream's cursor names, which is written as in the store.
fn cursor_column<'t>(table: &'t Table, options: &DatabaseOptions) -> Option<&'t thalweg_project::SourceColumn> {
    let name = options.cursor.as_ref()?;
    let mut columns = table.columns.iter().zip(1..);
    columns
        .find(|(column, place)| thalweg_project::column_name::store_name(&column.name, *place) == *name)
        .map(|(column, _)| column)
}

/// Whether nothing of a stream that is appended to would be certain in this snapshot.
fn is_uncertain(request: &StreamRequest<'_>, mark: Option<&Mark>, snapshot: &OpenSnapshot) -> bool {
    let Some((time, _)) = mark else { return false };
    let known = DatabasePosition::read(&request.position).cursor;
    let certain = known.is_some_and(|cursor| {
        cursor.value.is_some() || cursor.marks.iter().any(|(time, _)| *time <= snapshot.oldest_open)
    });
    *time > snapshot.oldest_open && !certain
}

/// A snapshot with everything that reads of it need.
struct Opened {
    pool: Pool,
    tables: Vec<Result<Table, (SourceErrorKind, String)>>,
    safety: Safety,
    clock: Clock,
    oldest_open: i64,
    offset: i32,
    marks: Vec<Option<Mark>>,
    versions: Vec<Option<i64>>,
}

impl Opened {
    /// `tables` are those of the snapshot, `wanted` those of the streams, of which several may read one.
    fn new(snapshot: OpenSnapshot, marks: Vec<Option<Mark>>, tables: &[TableRef], wanted: &[TableRef]) -> Self {
        let safety = match &snapshot.safety {
            Safety::Certain => "certain".to_owned(),
            Safety::LagOnly(why) => why.clone(),
        };
        let described: Vec<Result<Table, (SourceErrorKind, String)>> =
            snapshot.tables.into_iter().map(|table| table.map_err(|error| (error.kind, error.message))).collect();
        let places: Vec<usize> =
            wanted.iter().filter_map(|table| tables.iter().position(|other| other == table)).collect();
        Self {
            pool: Pool::new(snapshot.connections),
            tables: places.iter().filter_map(|place| described.get(*place).cloned()).collect(),
            versions: places.iter().map(|place| snapshot.versions.get(*place).copied().flatten()).collect(),
            clock: Clock::now(snapshot.now, safety),
            safety: snapshot.safety,
            oldest_open: snapshot.oldest_open,
            offset: snapshot.server_offset,
            marks,
        }
    }
}

impl Source for DatabaseSource {
    fn capabilities(&self) -> Capabilities {
        Capabilities { cursor: true, snapshot: true, log: false, key_listing: true }
    }

    fn check(&self) -> Result<String, SourceError> {
        let mut connection = self.engine()?.connect().map_err(|error| self.named(error))?;
        let server = connection.server().map_err(|error| self.named(error))?;
        Ok(format!("{}, {}, {}", server.version, server.database, server.protection))
    }

    fn open<'a>(
        &'a self,
        requests: &'a [StreamRequest<'a>],
        context: &'a Context,
    ) -> Result<Box<dyn Snapshot + 'a>, SourceError> {
        let opened = self.open_snapshot(requests, self.connections.min(context.threads).max(1))?;
        Ok(Box::new(DatabaseSnapshot {
            source: self,
            requests,
            context,
            opened,
            again: Mutex::new(vec![false; requests.len()]),
        }))
    }

    fn confirm(&self, _stream: &Stream, _confirmations: &[Json]) -> Result<Confirmed, SourceError> {
        // A database is not told what was read.
        Ok(Confirmed::default())
    }

    fn replay(
        &self,
        request: &StreamRequest<'_>,
        _files: &[ExtractFile],
        _records: &[RejectedRecord],
        _context: &Context,
        _sink: &dyn Sink,
    ) -> Result<Extract, SourceError> {
        let message = format!(
            "rows of {} are not read again one by one: correct the value at the source, or give its column the type text, and run \
             `thalweg load --full-refresh --select {}`",
            request.stream.name, request.stream.table
        );
        Err(self.named(SourceError::new(SourceErrorKind::Denied, message)))
    }
}

struct DatabaseSnapshot<'a> {
    source: &'a DatabaseSource,
    requests: &'a [StreamRequest<'a>],
    context: &'a Context,
    opened: Opened,
    /// Streams that were tried and lost their connection: they are read in a snapshot of their own.
    again: Mutex<Vec<bool>>,
}

impl DatabaseSnapshot<'_> {
    fn extract_from(
        &self,
        opened: &Opened,
        place: usize,
        index: usize,
        sink: &dyn Sink,
    ) -> Result<Extract, SourceError> {
        let request = &self.requests[index];
        let Some(options) = options(request.stream) else {
            let message = format!("the stream {} is not one of a database", request.stream.name);
            return Err(SourceError::new(SourceErrorKind::Denied, message));
        };
        let table = match &opened.tables[place] {
            Ok(table) => table,
            Err((kind, message)) => return Err(SourceError::new(*kind, message.clone())),
        };
        let extraction = Extraction {
            request,
            options,
            table,
            dialect: self.source.engine()?.dialect(),
            pool: &opened.pool,
            context: self.context,
            sink,
            safety: &opened.safety,
            clock: &opened.clock,
            oldest_open: opened.oldest_open,
            offset: opened.offset,
            mark: opened.marks[place],
            version: opened.versions[place],
        };
        extraction.extract()
    }
}

impl Snapshot for DatabaseSnapshot<'_> {
    fn extract(&self, stream: usize, sink: &dyn Sink) -> Result<Extract, SourceError> {
        let lost = self.again.lock().unwrap_or_else(PoisonError::into_inner)[stream];
        let result = if lost {
            let requests = std::slice::from_ref(&self.requests[stream]);
            self.source.open_snapshot(requests, 1).and_then(|opened| {
                let mut extract = self.extract_from(&opened, 0, stream, sink)?;
                extract.notes.push(Note::warning(
                    "a connection was lost: the stream was read again, in a snapshot of its own, later than the others",
                ));
                Ok(extract)
            })
        } else {
            self.extract_from(&self.opened, stream, stream, sink)
        };
        result.map_err(|error| {
            self.again.lock().unwrap_or_else(PoisonError::into_inner)[stream] = true;
            let stream = &self.requests[stream].stream.name;
            let named = if error.message.starts_with("source ") { error } else { self.source.named(error) };
            SourceError::new(named.kind, format!("{} (stream {stream})", named.message))
        })
    }
}
