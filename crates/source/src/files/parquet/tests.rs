//! Parquet files written here, and what becomes of them.

use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use ::parquet::file::properties::WriterProperties;
use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int8Array, ListArray, StringArray, StructArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use thalweg_project::{ColumnType, FileFormat, Stream, StreamColumn};

use crate::files::properties::{load_as, stream};
use crate::landing::{Manifest, read_rejects};

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    compressed(columns, Compression::UNCOMPRESSED)
}

fn compressed(columns: Vec<(&str, ArrayRef)>, compression: Compression) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).expect("a batch");
    let mut bytes = Vec::new();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    bytes
}

fn landed(bytes: &[u8], stream: &Stream) -> (Manifest, Vec<String>, Vec<String>) {
    let (folder, manifest) = load_as(bytes, stream, 4096).expect("readable");
    let run = folder.path().join("landing/dev/test/test/run=1");
    let mut rows = Vec::new();
    for part in &manifest.parts {
        let file = std::fs::File::open(run.join(&part.file)).expect("a part");
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("a reader") {
            let batch = batch.expect("a batch");
            for row in 0..batch.num_rows() {
                let value = |column: &ArrayRef| array_value_to_string(column, row).expect("a value");
                rows.push(batch.columns().iter().map(value).collect::<Vec<_>>().join(" | "));
            }
        }
    }
    let rejects = manifest.rejects.as_ref().map(|rejects| read_rejects(&run.join(&rejects.file)).expect("rejects"));
    let rejects = rejects.unwrap_or_default().into_iter();
    let rejects = rejects.map(|reject| format!("{}: {} <- {}", reject.record, reject.reason, reject.raw)).collect();
    (manifest, rows, rejects)
}

fn columns(manifest: &Manifest) -> String {
    let column = |column: &crate::Column| format!("{} {}", column.name, column.column_type);
    manifest.columns.iter().map(column).collect::<Vec<_>>().join(", ")
}

#[test]
fn every_compression_is_read() {
    let compressions = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ];
    for compression in compressions {
        let words = StringArray::from((0..1000).map(|n| format!("word {}", n % 7)).collect::<Vec<_>>());
        let bytes = compressed(vec![("word", Arc::new(words))], compression);
        let (manifest, rows, rejects) = landed(&bytes, &stream(FileFormat::Parquet));
        assert_eq!((manifest.extract.read, rows.len(), rejects.len()), (1000, 1000, 0), "{compression}");
    }
}

#[test]
fn types_are_taken_over() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
    let pair = StructArray::from(vec![(
        Arc::new(Field::new("a", DataType::Utf8, true)),
        Arc::new(StringArray::from(vec![Some("x\"y"), None])) as ArrayRef,
    )]);
    let words: DictionaryArray<Int32Type> = [Some("red"), None].into_iter().collect();
    let bytes = parquet(vec![
        ("Small Number", Arc::new(Int8Array::from(vec![1, -2]))),
        ("huge", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))),
        ("real", Arc::new(Float64Array::from(vec![0.5, f64::INFINITY]))),
        ("at", Arc::new(TimestampNanosecondArray::from(vec![1_000, 2_000]).with_timezone("+02:00"))),
        ("list", Arc::new(list)),
        ("pair", Arc::new(pair)),
        ("word", Arc::new(words)),
    ]);
    let (manifest, rows, rejects) = landed(&bytes, &stream(FileFormat::Parquet));
    assert_eq!(
        columns(&manifest),
        "small_number smallint, huge decimal(20,0), real double, at timestamp, list json, pair json, word text"
    );
    assert_eq!(
        rows,
        [
            r#"1 | 18446744073709551615 | 0.5 | 1970-01-01T00:00:00.000001 | [1,null] | {"a":"x\"y"} | red | 0 | 1"#,
            r#"-2 | 0 | inf | 1970-01-01T00:00:00.000002 |  | {"a":null} |  | 0 | 2"#
        ]
    );
    assert_eq!(rejects, Vec::<String>::new());
}

#[test]
fn nanoseconds_are_not_cut_off() {
    let bytes = parquet(vec![("at", Arc::new(TimestampNanosecondArray::from(vec![1_000, 1_001])))]);
    let (manifest, rows, rejects) = landed(&bytes, &stream(FileFormat::Parquet));
    assert_eq!(columns(&manifest), "at timestamp");
    assert_eq!(rows, ["1970-01-01T00:00:00.000001 | 0 | 1"]);
    assert_eq!(
        rejects,
        [
            "2: column at: \"1970-01-01T00:00:00.000001001\" is not a timestamp without loss; give the column the type text to keep \
          nanoseconds <- {\"at\":\"1970-01-01T00:00:00.000001001\"}"
        ]
    );
    let mut given = stream(FileFormat::Parquet);
    given.columns.push(given_type("at", ColumnType::Text));
    let (_, rows, rejects) = landed(&bytes, &given);
    assert_eq!((rows.len(), rejects.len()), (2, 0));
    assert_eq!(rows[1], "1970-01-01T00:00:00.000001001 | 0 | 2");
}

#[test]
fn given_types_are_kept_exactly() {
    let bytes = parquet(vec![
        ("amount", Arc::new(Float64Array::from(vec![2.0, 2.5]))),
        ("code", Arc::new(StringArray::from(vec!["007", "x"]))),
    ]);
    let mut given = stream(FileFormat::Parquet);
    given.columns.push(given_type("amount", ColumnType::Integer));
    given.columns.push(given_type("code", ColumnType::BigInt));
    let (manifest, rows, rejects) = landed(&bytes, &given);
    assert_eq!(columns(&manifest), "amount integer, code bigint");
    assert_eq!(rows, ["2 | 7 | 0 | 1"]);
    assert_eq!(rejects, ["2: column amount: 2.5 is not an integer <- {\"amount\":2.5,\"code\":\"x\"}"]);
}

#[test]
fn what_is_no_parquet_is_refused() {
    assert!(load_as(b"id,name\n1,a\n", &stream(FileFormat::Parquet), 4096).is_none());
    let bytes = parquet(vec![("a", Arc::new(Int8Array::from(vec![1])))]);
    assert!(load_as(&bytes[..bytes.len() - 9], &stream(FileFormat::Parquet), 4096).is_none());
}

fn given_type(name: &str, column_type: ColumnType) -> StreamColumn {
    StreamColumn {
        name: name.to_owned(),
        column_type: Some(column_type),
        description: None,
        personal: false,
        subject: None,
    }
}
