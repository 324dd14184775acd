//! Statements with bound values, and their answers.

use std::error::Error;
use std::pin::pin;

use futures_util::StreamExt;
use tokio_postgres::Statement;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::error::PostgresError;
use crate::rows::Field;
use crate::session::Session;
use crate::value_type::ValueType;

/// A value to be bound, with its type; NULL takes the type that its place in the statement asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Parameter<'a> {
    /// NULL
    Null,
    /// `boolean`
    Boolean(bool),
    /// `bigint`
    BigInt(i64),
    /// `double precision`
    Double(f64),
    /// `text`
    Text(&'a str),
    /// `timestamp without time zone`: microseconds since 1970-01-01.
    Timestamp(i64),
}

/// A statement the server has understood.
pub struct Prepared {
    statement: Statement,
    columns: Vec<AnsweredColumn>,
}

impl Prepared {
    /// The columns of its answer; none where it answers nothing.
    pub fn columns(&self) -> &[AnsweredColumn] {
        &self.columns
    }
}

/// A column of an answer.
#[derive(Debug, Clone)]
pub struct AnsweredColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub value_type: ValueType,
}

/// Rows of an answer in binary form, in pieces of some megabytes.
#[derive(Debug, Default)]
pub struct Answer {
    /// The pieces, in order.
    pub chunks: Vec<Chunk>,
}

/// Some rows of an answer.
#[derive(Debug, Default)]
pub struct Chunk {
    /// What the fields lie in.
    pub bytes: Vec<u8>,
    /// The fields of each column.
    pub fields: Vec<Vec<Field>>,
    /// Number of rows.
    pub rows: usize,
}

/// Where a piece ends.
const CHUNK_ROWS: usize = 65_536;
const CHUNK_BYTES: usize = 16 << 20;

impl Session {
    /// Has the server read one statement, whose parameters are `$1`, `$2`...; these are the values that will be bound.
    pub fn prepare(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Prepared, PostgresError> {
        let types: Vec<Type> = parameters.iter().map(Parameter::declared).collect();
        let statement = self.with(|client| client.prepare_typed(sql, &types))?;
        let column = |column: &tokio_postgres::Column| AnsweredColumn {
            name: column.name().to_owned(),
            value_type: ValueType::new(column.type_().clone(), column.type_modifier()),
        };
        let columns = statement.columns().iter().map(column).collect();
        Ok(Prepared { statement, columns })
    }

    /// Runs a statement whose rows nobody wants; the number of rows it changed.
    pub fn execute(&mut self, prepared: &Prepared, parameters: &[Parameter<'_>]) -> Result<u64, PostgresError> {
        self.with(|client| {
            client.execute_raw(
                &prepared.statement,
                parameters.iter().map(|value| value as &(dyn ToSql + Sync)).collect::<Vec<_>>(),
            )
        })
    }

    /// Runs a statement and reads its answer.
    pub fn answer(&mut self, prepared: &Prepared, parameters: &[Parameter<'_>]) -> Result<Answer, PostgresError> {
        let columns = prepared.columns.len();
        self.with(|client| async move {
            let bound: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|value| value as _).collect();
            let mut rows = pin!(client.query_raw(&prepared.statement, bound).await?);
            let (mut answer, mut chunk) = (Answer::default(), Chunk::new(columns));
            while let Some(row) = rows.next().await {
                let row = row?;
                for (index, fields) in chunk.fields.iter_mut().enumerate() {
                    let value: Option<Raw<'_>> = row.try_get(index)?;
                    fields.push(Field::at(chunk.bytes.len(), value.as_ref().map(|value| value.0.len())));
                    chunk.bytes.extend_from_slice(value.map_or(&[], |value| value.0));
                }
                chunk.rows += 1;
                if chunk.rows >= CHUNK_ROWS || chunk.bytes.len() >= CHUNK_BYTES {
                    answer.chunks.push(std::mem::replace(&mut chunk, Chunk::new(columns)));
                }
            }
            if chunk.rows > 0 {
                answer.chunks.push(chunk);
            }
            Ok(answer)
        })
    }
}

impl Chunk {
    fn new(columns: usize) -> Self {
        Self { bytes: Vec::new(), fields: vec![Vec::new(); columns], rows: 0 }
    }
}

impl Parameter<'_> {
    fn declared(&self) -> Type {
        match self {
            // To the server this is a type that the place decides.
            Self::Null => Type::UNKNOWN,
            Self::Text(_) => Type::TEXT,
            Self::Boolean(_) => Type::BOOL,
            Self::BigInt(_) => Type::INT8,
            Self::Double(_) => Type::FLOAT8,
            Self::Timestamp(_) => Type::TIMESTAMP,
        }
    }
}

impl ToSql for Parameter<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Boolean(value) => out.extend_from_slice(&[u8::from(*value)]),
            Self::BigInt(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Double(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Text(value) => out.extend_from_slice(value.as_bytes()),
            Self::Timestamp(micros) => {
                let sent = crate::moment::to_postgres(*micros).ok_or("the timestamp is beyond those of Postgres")?;
                out.extend_from_slice(&sent.to_be_bytes());
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The bytes of a field.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
