//! Parquet files written here, and what becomes of them.

use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use ::parquet::data_type::{FixedLenByteArray, FixedLenByteArrayType, Int32Type as PlainInt32, Int96, Int96Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, DictionaryArray, FixedSizeBinaryArray, Float32Array,
    Float64Array, Int8Array, Int64Array, ListArray, NullArray, StringArray, StructArray, TimestampMillisecondArray,
    TimestampNanosecondArray, UInt64Array,
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
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("a batch");
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
    assert_eq!(rows, ["1970-01-01 00:00:00.000001 | 0 | 1", "1970-01-01 00:00:00.000001001 | 0 | 2"]);
}

/// The rows of one column that is given a type, and what is rejected of it.
fn read_as(array: ArrayRef, given: Option<&str>) -> (Vec<String>, Vec<String>) {
    let mut stream = stream(FileFormat::Parquet);
    stream.columns.extend(given.map(|given| given_type("v", given.parse().expect("a type"))));
    let (manifest, rows, rejects) = landed(&parquet(vec![("v", array)]), &stream);
    assert_eq!(manifest.rows(), rows.len() as u64);
    (rows.iter().map(|row| row.split(" | ").next().unwrap_or_default().to_owned()).collect(), rejects)
}

#[test]
fn a_column_without_values_has_no_type_yet() {
    let bytes = parquet(vec![
        ("id", Arc::new(Int8Array::from(vec![1, 2]))),
        ("nothing", Arc::new(NullArray::new(2))),
        ("given", Arc::new(NullArray::new(2))),
    ]);
    let mut stream = stream(FileFormat::Parquet);
    stream.columns.push(given_type("given", ColumnType::Date));
    let (manifest, rows, _) = landed(&bytes, &stream);
    assert_eq!(columns(&manifest), "id smallint, nothing text, given date");
    assert!(manifest.columns[1].undecided);
    assert_eq!(rows, ["1 |  |  | 0 | 1", "2 |  |  | 0 | 2"]);
}

#[test]
fn what_a_column_cannot_hold_is_rejected() {
    let bytes: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"\xff", b"ok"]));
    let (rows, rejects) = read_as(bytes, Some("text"));
    assert_eq!(rows, ["ok"]);
    assert_eq!(rejects, ["1: column v: \"ff\" is not a text <- {\"v\":\"ff\"}"]);
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1 << 62, 0]));
    for (given, kept) in [(None, "1970-01-01T00:00:00"), (Some("text"), "1970-01-01 00:00:00")] {
        let (rows, rejects) = read_as(Arc::clone(&times), given);
        assert_eq!((rows.as_slice(), rejects.len()), ([kept.to_owned()].as_slice(), 1), "{given:?}");
        assert!(rejects[0].starts_with("1: column v: \"4611686018427387904\" is not a t"), "{rejects:?}");
    }
    let (rows, rejects) = read_as(Arc::new(Date32Array::from(vec![i32::MAX, 1])), Some("timestamp"));
    assert_eq!((rows, rejects.len()), (vec!["1970-01-02T00:00:00".to_owned()], 1));
}

#[test]
fn numbers_are_not_taken_for_times_nor_times_for_numbers() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![20_240_131]));
    let moments: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1_600_000_000_000]));
    let truths: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let bytes: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter([b"\xff\xfe"].into_iter()).expect("bytes"));
    for (array, types) in [
        (&numbers, &["date", "timestamp", "time", "list(text)", "blob"][..]),
        (&moments, &["integer", "bigint", "double", "decimal(20,0)", "time", "boolean"]),
        (&truths, &["date", "time", "decimal(10,2)"]),
        (&bytes, &["text", "integer", "date", "json"]),
    ] {
        for given in types {
            let (rows, rejects) = read_as(Arc::clone(array), Some(given));
            assert_eq!((rows.len(), rejects.len()), (0, 1), "{:?} as {given}", array.data_type());
        }
    }
    let read = |array: &ArrayRef, given| read_as(Arc::clone(array), Some(given)).0;
    assert_eq!(read(&truths, "integer"), ["1"]);
    assert_eq!(read(&truths, "text"), ["true"]);
    assert_eq!(read(&numbers, "text"), ["20240131"]);
    assert_eq!(read(&moments, "text"), ["2020-09-13 12:26:40"]);
    let written: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b" 7 "]));
    assert_eq!(read(&written, "integer"), ["7"]);
}

#[test]
fn json_in_a_string_is_json_where_that_is_given() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("{\"a\":1}"), Some("oops"), None, Some("[\"x\"]")]));
    let (rows, rejects) = read_as(Arc::clone(&texts), Some("json"));
    assert_eq!(rows, ["{\"a\":1}", "", "[\"x\"]"]);
    assert_eq!(rejects, ["2: column v: \"oops\" is not a json <- {\"v\":\"oops\"}"]);
    let (rows, rejects) = read_as(texts, Some("list(text)"));
    assert_eq!((rows, rejects.len()), (vec![String::new(), "[x]".to_owned()], 2));
}

#[test]
fn halves_and_dictionaries_within_are_written_as_they_are() {
    let halves = Float32Array::from(vec![1.5]);
    let halves = arrow::compute::cast(&halves, &DataType::Float16).expect("halves");
    let numbers: DictionaryArray<Int32Type> = DictionaryArray::new(vec![0].into(), Arc::new(Int64Array::from(vec![7])));
    let field = |name, array: &dyn Array| Arc::new(Field::new(name, array.data_type().clone(), true));
    let pair = StructArray::from(vec![
        (field("half", &halves), halves),
        (field("number", &numbers), Arc::new(numbers) as ArrayRef),
    ]);
    assert_eq!(read_as(Arc::new(pair), None).0, ["{\"half\":1.5,\"number\":7}"]);
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

/// Timestamps of 96 bits, as Spark and Hive write them: nanoseconds of the day, and the Julian day.
#[test]
fn timestamps_of_96_bits_reach_the_year_9999() {
    let schema = parse_message_type("message m { optional int96 at; }").expect("a schema");
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::default()).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    let mut column = group.next_column().expect("a column").expect("a column");
    let at = |day: u32, nanoseconds: u32| {
        let mut value = Int96::new();
        value.set_data(nanoseconds, 0, day);
        value
    };
    let values = [at(5_373_484, 1_000), at(2_440_588, 0), at(1_721_426, 0)];
    column.typed::<Int96Type>().write_batch(&values, Some(&[1, 1, 1]), None).expect("written");
    column.close().expect("closed");
    group.close().expect("closed");
    writer.close().expect("closed");
    let (manifest, rows, rejects) = landed(&bytes, &stream(FileFormat::Parquet));
    assert_eq!(columns(&manifest), "at timestamp");
    assert_eq!(rejects, Vec::<String>::new());
    assert_eq!(
        rows,
        ["9999-12-31T00:00:00.000001 | 0 | 1", "1970-01-01T00:00:00 | 0 | 2", "0001-01-01T00:00:00 | 0 | 3"]
    );
}

/// What DuckDB and others write: twelve bytes of months, days and milliseconds, without a word of Arrow.
#[test]
fn intervals_that_may_have_months_are_refused() {
    let message = "message m { optional fixed_len_byte_array(12) i (INTERVAL); optional int32 id; }";
    let schema = parse_message_type(message).expect("a schema");
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::default()).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    let mut column = group.next_column().expect("a column").expect("a column");
    let month = FixedLenByteArray::from(vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    column.typed::<FixedLenByteArrayType>().write_batch(&[month], Some(&[1]), None).expect("written");
    column.close().expect("closed");
    let mut column = group.next_column().expect("a column").expect("a column");
    column.typed::<PlainInt32>().write_batch(&[7], Some(&[1]), None).expect("written");
    column.close().expect("closed");
    group.close().expect("closed");
    writer.close().expect("closed");
    assert!(load_as(&bytes, &stream(FileFormat::Parquet), 4096).is_none());
    let mut without = stream(FileFormat::Parquet);
    without.select.push("-i".to_owned());
    assert_eq!(landed(&bytes, &without).1, ["7 | 0 | 1"]);
}

#[test]
fn null_is_null_in_what_has_no_other_values() {
    let list = ListArray::new(
        Arc::new(Field::new("item", DataType::Null, true)),
        arrow::buffer::OffsetBuffer::from_lengths([1]),
        Arc::new(NullArray::new(1)),
        None,
    );
    assert_eq!(read_as(Arc::new(list), None).0, ["[null]"]);
}
