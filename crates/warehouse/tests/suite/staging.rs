//! Landing files under a name.

use std::path::PathBuf;

use thalweg_project::ColumnType;
use thalweg_sql::dialect::Dialect;
use thalweg_sql::dialect::duckdb::DuckDb;
use thalweg_warehouse::{StagedColumn, WarehouseErrorKind};

use super::{Site, ask, kind, run};

fn column(name: &str, column_type: &str, in_files: &[usize]) -> StagedColumn {
    StagedColumn {
        name: name.to_owned(),
        column_type: column_type.parse::<ColumnType>().expect("a type"),
        in_files: in_files.to_vec(),
    }
}

pub fn files_of_different_columns_are_one_relation(site: &dyn Site) {
    let files = [
        site.landing("a.parquet", "select 1::bigint as id, '007' as code, 0::integer as _file, 1::bigint as _record"),
        site.landing("b.parquet", "select 7::smallint as code, 2.50::decimal(9,2) as price, 2::bigint as id, 1::integer as _file, 1::bigint as _record"),
        site.landing("c.parquet", "select 'x' as id_text, '3' as id, null::varchar as code, 2::integer as _file, 9::bigint as _record"),
    ];
    let mut connection = site.connect();
    let columns = [
        column("id", "bigint", &[0, 1, 2]),
        column("price", "decimal(38,10)", &[1]),
        column("code", "text", &[0, 1, 2]),
        column("gone", "list(text)", &[]),
    ];
    connection.stage("stage of it's \"own\"", &files, &columns).expect("staged");
    let relation = "\"stage of it's \"\"own\"\"\"";
    assert_eq!(
        ask(&mut *connection, &format!("select * from {relation} order by id")),
        ["1|∅|007|∅|0|1", "2|2.5000000000|7|∅|1|1", "3|∅|∅|∅|2|9"]
    );
    let types: Vec<_> = connection
        .describe(&format!("select * from {relation}"))
        .expect("columns")
        .into_iter()
        .map(|column| format!("{} {}", column.name, column.engine_type))
        .collect();
    assert_eq!(
        types,
        ["id bigint", "price decimal(38,10)", "code text", "gone list(text)", "_file integer", "_record bigint"].map(
            |column| {
                let (name, column_type) = column.split_once(' ').expect("a name and a type");
                format!("{name} {}", site.type_name(&column_type.parse().expect("a type")))
            }
        )
    );
    connection.stage("stage of it's \"own\"", &files[..1], &columns[..1]).expect("staged anew");
    assert_eq!(ask(&mut *connection, &format!("select * from {relation}")), ["1|0|1"]);
    connection.unstage("stage of it's \"own\"").expect("unstaged");
    assert_eq!(kind(connection.query(&format!("select * from {relation}"), &[])), WarehouseErrorKind::Statement);
    connection.unstage("stage of it's \"own\"").expect("twice does no harm");
}

pub fn no_files_are_an_empty_relation(site: &dyn Site) {
    let mut connection = site.connect();
    connection
        .stage("nothing", &[], &[column("id", "bigint", &[]), column("names", "list(text)", &[])])
        .expect("staged");
    assert_eq!(ask(&mut *connection, "select * from nothing"), Vec::<String>::new());
    let columns = connection.describe("select * from nothing").expect("columns");
    let types: Vec<_> = columns.iter().map(|column| column.engine_type.as_str()).collect();
    let expected = ["bigint", "list(text)", "integer", "bigint"]
        .map(|column_type| site.type_name(&column_type.parse().expect("a type")));
    assert_eq!(types, expected);
}

/// Names of files are values, whatever they hold, and never patterns.
pub fn file_names_cannot_speak(site: &dyn Site) {
    let names = [
        "it's.parquet",
        "a'); drop table w.t; --.parquet",
        "[ab]*?.parquet",
        "\"x\".parquet",
        "ü {1,2} $1.parquet",
        "run=7/part.parquet",
    ];
    std::fs::create_dir_all(site.folder().join("run=7")).expect("a folder");
    std::fs::create_dir_all(site.folder().join("glob")).expect("a folder");
    let mut connection = site.connect();
    run(&mut *connection, "create table w.t as select 1 as i");
    let files: Vec<PathBuf> = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            site.landing(name, &format!("select {index}::bigint as id, 0::integer as _file, 1::bigint as _record"))
        })
        .collect();
    // What a pattern would also have matched.
    site.landing("axy.parquet", "select 99::bigint as id, 0::integer as _file, 1::bigint as _record");
    for (index, file) in files.iter().enumerate() {
        connection.stage("one", std::slice::from_ref(file), &[column("id", "bigint", &[0])]).expect("staged");
        assert_eq!(ask(&mut *connection, "select * from one"), [format!("{index}|0|1")], "{}", file.display());
    }
    let all: Vec<usize> = (0..files.len()).collect();
    connection.stage("every", &files, &[column("id", "bigint", &all)]).expect("staged");
    assert_eq!(ask(&mut *connection, "select count(*), sum(id) from every"), ["6|15"]);
    assert_eq!(ask(&mut *connection, "select * from w.t"), ["1"]);
}

/// What was landed is what is read, to the last digit.
pub fn values_survive_the_landing(site: &dyn Site) {
    let cases = [
        ("boolean", "true", "true"),
        ("smallint", "-32768", "-32768"),
        ("integer", "2147483647", "2147483647"),
        ("bigint", "-9223372036854775808", "-9223372036854775808"),
        ("bigint", "9223372036854775807", "9223372036854775807"),
        ("decimal(38,10)", "9999999999999999999999999999.9999999999", "9999999999999999999999999999.9999999999"),
        ("decimal(38,10)", "-9999999999999999999999999999.9999999999", "-9999999999999999999999999999.9999999999"),
        ("decimal(38,0)", "99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
        ("decimal(4,2)", "-0.01", "-0.01"),
        ("real", "3.4028235e38", "3.4028235e38"),
        ("double", "1.7976931348623157e308", "1.7976931348623157e308"),
        ("double", "-0.0", "-0.0"),
        ("double", "NaN", "nan"),
        ("double", "5e-324", "5e-324"),
        ("date", "0001-01-01", "0001-01-01"),
        ("date", "9999-12-31", "9999-12-31"),
        ("time", "23:59:59.999999", "23:59:59.999999"),
        ("timestamp", "0001-01-01 00:00:00.000001", "0001-01-01 00:00:00.000001"),
        ("timestamp", "9999-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999"),
        ("text", "", ""),
        ("text", "  ü 🦀 \u{feff}\n\t'\"\\ ", "  ü 🦀 \u{feff}\n\t'\"\\ "),
        ("json", "{\"a\": [1.10, null]}", "{\"a\": [1.10, null]}"),
    ];
    for (column_type, value, expected) in cases {
        let mut connection = kept(site, column_type, &literal(value));
        let shown = match column_type {
            // Engines write floating-point numbers differently.
            "real" | "double" => "v",
            _ => "cast(v as varchar)",
        };
        let got = ask(&mut *connection, &format!("select {shown} from w.kept order by _record"));
        let got: Vec<String> = got.into_iter().map(|value| value.to_lowercase()).collect();
        assert_eq!(got, [expected.to_lowercase(), "∅".to_owned()], "{column_type} {value}");
        let described = connection.describe("select v from w.kept").expect("columns");
        assert_eq!(described[0].engine_type, site.type_name(&column_type.parse().expect("a type")));
    }
    for (column_type, value, items) in [
        ("list(text)", "['', NULL, 'a,b']", &["", "∅", "a,b", "∅"][..]),
        ("list(decimal(9,2))", "[1.10, NULL]", &["1.10", "∅", "∅"]),
        ("list(timestamp)", "[]", &["∅"]),
    ] {
        let mut connection = kept(site, column_type, value);
        let selected: Vec<String> = (1..=items.len()).map(|index| format!("v[{index}]")).collect();
        let sql = format!("select {} from w.kept where _record = 1", selected.join(", "));
        assert_eq!(ask(&mut *connection, &sql), [items.join("|")], "{column_type} {value}");
        let sql = "select v is null from w.kept order by _record";
        assert_eq!(ask(&mut *connection, sql), ["false", "true"], "{column_type} {value}");
    }
}

/// Lands a value and a NULL, and keeps what is staged of them.
fn kept(site: &dyn Site, column_type: &str, value: &str) -> Box<dyn thalweg_warehouse::Connection> {
    let parsed: ColumnType = column_type.parse().expect("a type");
    let engine_type = DuckDb.type_name(&parsed);
    let file = site.landing(
        "value.parquet",
        &format!(
            "select cast({value} as {engine_type}) as v, 0::integer as _file, 1::bigint as _record \
             union all select null, 0, 2"
        ),
    );
    let mut connection = site.connect();
    connection.stage("value", &[file], &[column("v", column_type, &[0])]).expect("staged");
    run(&mut *connection, "drop table if exists w.kept");
    run(&mut *connection, "create table w.kept as select * from value");
    connection
}

fn literal(value: &str) -> String {
    DuckDb.literal_text(value)
}

/// Not every engine keeps these.
pub fn values_of_duckdb_survive_the_landing(site: &dyn Site) {
    for (column_type, value, expected) in [
        ("text", literal("a\u{0}b"), "a\u{0}b"),
        ("list(list(bigint))", "[[1], [], NULL]".to_owned(), "[[1], [], NULL]"),
        ("json", literal("{\"b\": 1.10, \"a\":  [null,1e400]}"), "{\"b\": 1.10, \"a\":  [null,1e400]}"),
    ] {
        let mut connection = kept(site, column_type, &value);
        assert_eq!(ask(&mut *connection, "select v::varchar from w.kept order by _record"), [expected, "∅"]);
    }
}

/// Documents keep their meaning, not their text; lists of lists are documents.
pub fn values_of_postgres_survive_the_landing(site: &dyn Site) {
    for (column_type, value, expected) in [
        ("json", literal("{\"b\": 1.10, \"a\":  [null,\"\\\\u0000\"]}"), "{\"a\": [null, \"\\\\u0000\"], \"b\": 1.10}"),
        ("list(list(text))", "[['a\"b'], [], NULL]".to_owned(), "[[\"a\\\"b\"], [], null]"),
        ("timestamp", "timestamp 'infinity'".to_owned(), "infinity"),
        ("date", "date '-infinity'".to_owned(), "-infinity"),
    ] {
        let mut connection = kept(site, column_type, &value);
        assert_eq!(ask(&mut *connection, "select v::varchar from w.kept order by _record"), [expected, "∅"]);
    }
}

/// What Postgres cannot hold is handed back with its place, and everything else is staged.
pub fn values_that_cannot_be_stored_are_named(site: &dyn Site) {
    for (column_type, value, word) in [
        ("text", literal("a\u{0}b"), "NUL"),
        ("json", literal("[\"a\\u0000\"]"), "NUL"),
        ("timestamp", "timestamp '5000-01-01 (BC) 00:00:00'".to_owned(), "timestamp"),
    ] {
        let engine_type = DuckDb.type_name(&column_type.parse().expect("a type"));
        let rows = format!(
            "select cast(null as {engine_type}) as v, 0::integer as _file, 6::bigint as _record union all \
             select {value}, 0, 7 union all select null, 0, 8"
        );
        let file = site.landing("value.parquet", &rows);
        let mut connection = site.connect();
        let left_out = connection.stage("value", &[file], &[column("v", column_type, &[0])]).expect("staged");
        let [left] = left_out.as_slice() else { panic!("{left_out:?}") };
        assert_eq!((left.file, left.record, left.row.num_rows(), left.row.num_columns()), (0, 7, 1, 1));
        assert!(left.reason.contains("`v`") && left.reason.contains(word), "{}", left.reason);
        assert_eq!(ask(&mut *connection, "select _record from value order by 1"), ["6", "8"]);
        assert_eq!(ask(&mut *connection, "select 1"), ["1"], "the connection is of use");
    }
}

/// A landing that is damaged is said to be, with its name.
pub fn a_damaged_file_is_named(site: &dyn Site) {
    let mut connection = site.connect();
    let missing = site.folder().join("missing.parquet");
    let error = connection.stage("s", &[missing], &[column("id", "bigint", &[0])]).expect_err("no such file");
    assert!(error.message.contains("missing.parquet"), "{}", error.message);
    let cut = site.folder().join("cut.parquet");
    std::fs::write(&cut, b"PAR1 but no more").expect("a file");
    let error = connection.stage("s", &[cut], &[column("id", "bigint", &[0])]).expect_err("not a Parquet file");
    assert!(error.message.contains("cut.parquet"), "{}", error.message);
    let good = site.landing("good.parquet", "select 1 as id, 0::integer as _file, 1::bigint as _record");
    let error = connection.stage("s", &[good], &[column("other", "bigint", &[0])]).expect_err("no such column");
    assert!(error.message.contains("other"), "{}", error.message);
}

pub fn metadata_goes_into_the_file(site: &dyn Site) {
    let mut connection = site.connect();
    let file = site.folder().join("out").join("report.parquet");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    let metadata = [("run".to_owned(), "12".to_owned()), ("it's".to_owned(), "{\"a\": 'ü'}".to_owned())];
    let written = connection.export_parquet("select * from range(10) -- the end", &file, &metadata).expect("written");
    assert_eq!(written, 10);
    let text = file.to_string_lossy().replace('\'', "''");
    assert_eq!(
        ask(&mut *connection, &format!("select key::varchar, value::varchar from parquet_kv_metadata('{text}') where key::varchar <> 'DUCKDB:schema' order by 1")).len(),
        2
    );
}
