//! Every type with its extremes, read from a real server and compared with values written by hand.

use thalweg_project::DatabaseKind;
use thalweg_source::database::{Engine, SourceColumn, TableRef};
use thalweg_testkit::{PostgresDatabase, PostgresServer};

use crate::checksums::other_checksums;
use crate::support::{engine_of, read_all};

/// A type, what it becomes, and values: as SQL writes them, and as they arrive. `Unfit` is what the server writes, and why not.
struct Case {
    sql_type: &'static str,
    column_type: &'static str,
    values: Vec<(&'static str, Arrived)>,
}

enum Arrived {
    Value(&'static str),
    Unfit(&'static str, &'static str),
}
use Arrived::{Unfit, Value};

fn case<const N: usize>(
    sql_type: &'static str,
    column_type: &'static str,
    values: [(&'static str, &'static str); N],
) -> Case {
    Case { sql_type, column_type, values: values.map(|(sql, value)| (sql, Value(value))).into() }
}

impl Case {
    fn unfit<const N: usize>(mut self, values: [(&'static str, &'static str, &'static str); N]) -> Self {
        self.values.extend(values.map(|(sql, raw, reason)| (sql, Unfit(raw, reason))));
        self
    }
}

const SETUP: &str = r#"
create extension hstore;
create extension citext;
create extension ltree;
create type mood as enum ('sad', 'it''s "ok"', 'öde');
create schema "Odd ""schema";
create type "Odd ""schema"."order" as enum ('a');
create type address as (street text, number int, "since when" timestamptz);
create domain positive as numeric(10,2) check (value > 0);
create domain more_positive as positive not null default 1;
create domain tags as text[];
create domain code as char(3);
create type float_range as range (subtype = float8);
"#;

#[allow(clippy::too_many_lines)]
fn cases() -> Vec<Case> {
    vec![
        case("boolean", "boolean", [("true", "true"), ("false", "false")]),
        case("smallint", "smallint", [("-32768", "-32768"), ("32767", "32767")]),
        case("integer", "integer", [("-2147483648", "-2147483648"), ("2147483647", "2147483647")]),
        case(
            "bigint",
            "bigint",
            [("-9223372036854775808", "-9223372036854775808"), ("9223372036854775807", "9223372036854775807")],
        ),
        case("oid", "bigint", [("4294967295", "4294967295"), ("0", "0")]),
        case("xid", "bigint", [("'4294967295'", "4294967295")]),
        case("xid8", "decimal(20,0)", [("'18446744073709551615'", "18446744073709551615")]),
        case(
            "numeric(38,0)",
            "decimal(38,0)",
            [
                ("99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
                ("-99999999999999999999999999999999999999", "-99999999999999999999999999999999999999"),
            ],
        )
        .unfit([("'NaN'", "NaN", "is no decimal(38,0)")]),
        case(
            "numeric(38,38)",
            "decimal(38,38)",
            [
                ("0.99999999999999999999999999999999999999", "0.99999999999999999999999999999999999999"),
                ("-0.00000000000000000000000000000000000001", "-0.00000000000000000000000000000000000001"),
                ("0", "0.00000000000000000000000000000000000000"),
            ],
        ),
        case("numeric(12,2)", "decimal(12,2)", [("1234567890.12", "1234567890.12"), ("-0.01", "-0.01"), ("5", "5.00")]),
        case("numeric(3,-2)", "decimal(5,0)", [("99900", "99900"), ("-12345", "-12300")]),
        case("numeric(2,4)", "decimal(4,4)", [("0.0099", "0.0099")]),
        case(
            "numeric(65,30)",
            "text",
            [(
                "99999999999999999999999999999999999.999999999999999999999999999999",
                "99999999999999999999999999999999999.999999999999999999999999999999",
            )],
        ),
        case(
            "numeric",
            "text",
            [
                ("'NaN'", "NaN"),
                ("'Infinity'", "Infinity"),
                ("'-Infinity'", "-Infinity"),
                ("1e-40", "0.0000000000000000000000000000000000000001"),
                ("12.50", "12.50"),
                ("1e40", "10000000000000000000000000000000000000000"),
            ],
        ),
        case(
            "money",
            "decimal(19,2)",
            [("'-92233720368547758.08'", "-92233720368547758.08"), ("'92233720368547758.07'", "92233720368547758.07")],
        ),
        case(
            "real",
            "real",
            [
                ("'NaN'", "NaN"),
                ("'-Infinity'", "-inf"),
                ("3.4028235e38", "3.4028235e38"),
                ("1e-45", "1e-45"),
                ("'-0'", "-0.0"),
            ],
        ),
        case(
            "double precision",
            "double",
            [
                ("'NaN'", "NaN"),
                ("'Infinity'", "inf"),
                ("1.7976931348623157e308", "1.7976931348623157e308"),
                ("5e-324", "5e-324"),
                ("0.1", "0.1"),
            ],
        ),
        // 4714-11-24 BC is day 0 of Postgres, 5874897-12-31 its last; 0001-01-01 is 719162 days before 1970.
        case(
            "date",
            "date",
            [
                ("'4714-11-24 BC'", "-2440588"),
                ("'0001-12-31 BC'", "-719163"),
                ("'0001-01-01'", "-719162"),
                ("'5874897-12-31'", "2145042905"),
            ],
        )
        .unfit([("'infinity'", "infinity", "is no date"), ("'-infinity'", "-infinity", "is no date")]),
        case(
            "timestamp",
            "timestamp",
            [
                ("'4714-11-24 00:00:00 BC'", "-210866803200000000"),
                ("'0001-12-31 23:59:59.999999 BC'", "-62135596800000001"),
                ("'1969-12-31 23:59:59.999999'", "-1"),
                ("'2024-02-29 12:34:56.5'", "1709210096500000"),
                ("'294247-01-10 04:00:54.775806'", "9223372036854775806"),
            ],
        )
        .unfit([
            ("'infinity'", "infinity", "is no timestamp"),
            ("'-infinity'", "-infinity", "is no timestamp"),
            (
                "'294276-12-31 23:59:59.999999'",
                "294276-12-31 23:59:59.999999",
                "is later than the last timestamp, 294247-01-10 04:00:54.775806",
            ),
        ]),
        case("timestamp(0)", "timestamp", [("'2024-02-29 12:34:56.5'", "1709210097000000")]),
        // Through a change of daylight saving time: 02:30 happens twice in Berlin on that day.
        case(
            "timestamptz",
            "timestamp",
            [
                ("'2024-10-27 02:30:00+02'", "1729989000000000"),
                ("'2024-10-27 02:30:00+01'", "1729992600000000"),
                ("'2024-10-27 02:30:00 Europe/Berlin'", "1729992600000000"),
                ("'4714-11-24 00:00:00+00 BC'", "-210866803200000000"),
            ],
        )
        .unfit([("'infinity'", "infinity", "is no timestamp")]),
        case("time", "time", [("'00:00'", "0"), ("'23:59:59.999999'", "86399999999"), ("'24:00'", "86400000000")]),
        case("timetz", "text", [("'24:00:00-15:59'", "24:00:00-15:59"), ("'10:00:00.5+02'", "10:00:00.5+02")]),
        case(
            "interval",
            "text",
            [
                ("'1 year 2 months 3 days 04:05:06.7'", "1 year 2 mons 3 days 04:05:06.7"),
                ("'-178000000 years'", "-178000000 years"),
                ("'-1 day +02:03:04'", "-1 days +02:03:04"),
                ("'300 hours'", "300:00:00"),
                ("'0'", "00:00:00"),
            ],
        ),
        case(
            "text",
            "text",
            [
                ("''", ""),
                ("'a''b\"c'", "a'b\"c"),
                ("U&'\\+01F600 Ä'", "😀 Ä"),
                ("E'tab\\tline\\nend\\\\'", "tab\tline\nend\\"),
            ],
        ),
        case("varchar(5)", "text", [("'  x  '", "  x  ")]),
        case("char(5)", "text", [("'x'", "x"), ("'  x'", "  x"), ("'     '", ""), ("'ÄÖÜäö'", "ÄÖÜäö")]),
        case("code", "text", [("'a'", "a")]),
        case("\"char\"", "text", [("'a'", "a"), ("''", ""), ("'\\377'::bytea::text::\"char\"", "\\")]),
        case("name", "text", [("'a name'", "a name")]),
        case("citext", "text", [("'MiXed'", "MiXed")]),
        case("ltree", "text", [("'Top.Science'", "Top.Science")]),
        case("bytea", "blob", [("''", ""), ("'\\x00ff7f'", "00ff7f")]),
        case("uuid", "text", [("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")]),
        case(
            "inet",
            "text",
            [
                ("'192.168.0.1'", "192.168.0.1"),
                ("'192.168.0.1/24'", "192.168.0.1/24"),
                ("'::1'", "::1"),
                ("'::'", "::"),
                ("'::ffff:1.2.3.4'", "::ffff:1.2.3.4"),
                ("'::1.2.3.4'", "::1.2.3.4"),
                ("'2001:db8:0:0:1:0:0:1/64'", "2001:db8::1:0:0:1/64"),
                ("'1:0:2:3:4:5:6:7'", "1:0:2:3:4:5:6:7"),
                ("'1:2:3:4:5:6::'", "1:2:3:4:5:6::"),
            ],
        ),
        case(
            "cidr",
            "text",
            [("'10.0.0.0/8'", "10.0.0.0/8"), ("'1.2.3.4'", "1.2.3.4/32"), ("'2001:db8::/32'", "2001:db8::/32")],
        ),
        case("macaddr", "text", [("'08-00-2b-01-02-03'", "08:00:2b:01:02:03")]),
        case("macaddr8", "text", [("'08:00:2b:01:02:03:04:05'", "08:00:2b:01:02:03:04:05")]),
        case("bit(3)", "text", [("B'101'", "101")]),
        case(
            "bit varying",
            "text",
            [("B''", ""), ("B'0000000000000000000000000000000001'", "0000000000000000000000000000000001")],
        ),
        case(
            "xml",
            "text",
            [
                ("'<?xml version=\"1.0\"?><a>ä &lt;</a>'", "<?xml version=\"1.0\"?><a>ä &lt;</a>"),
                ("'just text'", "just text"),
            ],
        ),
        case(
            "json",
            "json",
            [
                ("'{\"b\": 1,  \"b\": 2}'", "{\"b\": 1,  \"b\": 2}"),
                ("'null'", "null"),
                ("'\"\\u0000\"'", "\"\\u0000\""),
            ],
        ),
        case(
            "jsonb",
            "json",
            [
                ("'{\"b\": 1, \"a\": 1.10}'", "{\"a\": 1.10, \"b\": 1}"),
                ("'12345678901234567890.12345'", "12345678901234567890.12345"),
            ],
        ),
        case(
            "hstore",
            "json",
            [("'a=>1, b=>NULL, \"c d\"=>\"x\\\"y\"'", "{\"a\": \"1\", \"b\": null, \"c d\": \"x\\\"y\"}")],
        ),
        case("mood", "text", [("'sad'", "sad"), ("'it''s \"ok\"'", "it's \"ok\""), ("'öde'", "öde")]),
        case("\"Odd \"\"schema\".\"order\"", "text", [("'a'", "a")]),
        case(
            "address",
            "json",
            [(
                "row('a \"b\"', null, '2024-01-01 00:00+02')",
                "{\"street\":\"a \\\"b\\\"\",\"number\":null,\"since when\":\"2023-12-31T22:00:00+00:00\"}",
            )],
        ),
        case("positive", "decimal(10,2)", [("0.01", "0.01")]),
        case("more_positive", "decimal(10,2)", [("99999999.99", "99999999.99")]),
        case("tags", "list(text)", [("array['a', null]", "[a, NULL]")]),
        case("int4range", "text", [("'[1,5]'", "[1,6)"), ("'empty'", "empty"), ("'(,)'", "(,)")]),
        case("tstzrange", "text", [("'[2024-01-01 00:00+02,infinity)'", "[\"2023-12-31 22:00:00+00\",infinity)")]),
        case("float_range", "text", [("'[0.1,0.2)'", "[0.1,0.2)")]),
        case("nummultirange", "text", [("'{[1,2),[3.5,4)}'", "{[1,2),[3.5,4)}")]),
        case("point", "text", [("'(0.1,-2)'", "(0.1,-2)")]),
        case("line", "text", [("'{1,-1,0}'", "{1,-1,0}")]),
        case("lseg", "text", [("'[(0,0),(1,1)]'", "[(0,0),(1,1)]")]),
        case("box", "text", [("'(1,1),(0,0)'", "(1,1),(0,0)")]),
        case("path", "text", [("'((0,0),(1,1))'", "((0,0),(1,1))")]),
        case("polygon", "text", [("'((0,0),(1,1),(1,0))'", "((0,0),(1,1),(1,0))")]),
        case("circle", "text", [("'<(0,0),1.5>'", "<(0,0),1.5>")]),
        case("tsvector", "text", [("'a:1 b:2A'", "'a':1 'b':2A")]),
        case("tsquery", "text", [("'a & !b'", "'a' & !'b'")]),
        case("pg_lsn", "text", [("'16/B374D848'", "16/B374D848")]),
        case("regclass", "text", [("'pg_class'", "pg_class")]),
        case("int2vector", "text", [("'1 2'", "1 2")]),
        case("integer[]", "list(integer)", [("'{}'", "[]"), ("'{1,NULL,-3}'", "[1, NULL, -3]")]).unfit([
            ("'{{1,2},{3,NULL}}'", "{{1,2},{3,NULL}}", "has 2 dimensions"),
            ("'[0:1]={1,2}'", "[0:1]={1,2}", "does not begin at 1"),
        ]),
        case("integer[][]", "json", [("'{{1,2},{3,NULL}}'", "[[1,2],[3,null]]"), ("'{1}'", "[1]")]),
        case("text[]", "list(text)", [("array['', 'NULL', null, 'ä,\"b']", "[, NULL, NULL, ä,\"b]")]).unfit([(
            "array[array['a b', ''], array['\"', 'null']]",
            "{{\"a b\",\"\"},{\"\\\"\",\"null\"}}",
            "has 2 dimensions",
        )]),
        case("timestamptz[]", "list(timestamp)", [("array['1970-01-01 00:00:01+00'::timestamptz]", "[1000000]")])
            .unfit([("array[now(), 'infinity', '-infinity']", "infinity", "in an array is no timestamp")]),
        case("numeric(5,2)[]", "list(decimal(5,2))", [("'{1.5,-999.99}'", "[1.50, -999.99]")]).unfit([(
            "'{1,NaN}'",
            "NaN",
            "in an array is no decimal(5,2)",
        )]),
        case("numeric[]", "list(text)", [("'{1.50,NaN}'", "[1.50, NaN]")]),
        case("boolean[]", "list(boolean)", [("'{t,f,NULL}'", "[true, false, NULL]")]),
        case("bytea[]", "list(blob)", [("array['\\x00'::bytea]", "[00]")]),
        case(
            "uuid[]",
            "list(text)",
            [("'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'", "[a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11]")],
        ),
        case("inet[]", "list(text)", [("'{1.2.3.4}'", "[1.2.3.4]")]),
        case("interval[]", "list(text)", [("'{1 day}'", "[1 day]")]),
        case("money[]", "list(decimal(19,2))", [("'{1.5}'", "[1.50]")]),
        case("mood[]", "list(text)", [("array['sad', null]::mood[]", "[sad, NULL]")]),
        case("positive[]", "list(decimal(10,2))", [("array[1.5]::positive[]", "[1.50]")]),
        case("int4range[]", "list(text)", [("array['[1,2)'::int4range]", "[[1,2)]")]),
        case("jsonb[]", "json", [("array['{\"a\": 1}'::jsonb, null]", "[{\"a\": 1},null]")]),
        case(
            "address[]",
            "json",
            [("array[row('a', 1, null)]::address[]", "[{\"street\":\"a\",\"number\":1,\"since when\":null}]")],
        ),
        case("hstore[]", "json", [("array['a=>1'::hstore]", "[{\"a\": \"1\"}]")]),
    ]
}

/// One table a type: `at` for the order, `v` for the value. NULL is tried with every type that has it.
fn create(database: &PostgresDatabase<'_>, cases: &[Case]) {
    let mut sql = SETUP.to_owned();
    for (index, case) in cases.iter().enumerate() {
        sql.push_str(&format!("create table t{index} (at int, v {});\n", case.sql_type));
        for (at, (value, _)) in case.values.iter().enumerate() {
            sql.push_str(&format!("insert into t{index} values ({at}, {value});\n"));
        }
        if case.sql_type != "more_positive" {
            sql.push_str(&format!("insert into t{index} values ({}, null);\n", case.values.len()));
        }
    }
    database.run(&sql);
}

#[test]
fn every_type_arrives_exactly() {
    let server = PostgresServer::shared();
    let database = server.database();
    let cases = cases();
    create(&database, &cases);
    // Defaults of a database that change how values are written: none of them may show.
    for setting in [
        "timezone = 'Australia/Sydney'",
        "datestyle = 'German'",
        "intervalstyle = 'iso_8601'",
        "extra_float_digits = 0",
        "bytea_output = 'escape'",
        "standard_conforming_strings = off",
        "xmloption = 'document'",
    ] {
        database.run(&format!("alter database {} set {setting}", database.name()));
    }
    let engine = engine_of(server, &database);
    let mut connection = engine.connect().unwrap();
    let mut faults = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let table = TableRef::new("public", format!("t{index}"));
        let described = connection.describe(Some(std::slice::from_ref(&table))).unwrap().remove(0);
        let column = &described.columns[1];
        if column.column_type.to_string() != case.column_type {
            faults.push(format!("{}: is {}, not {}", case.sql_type, column.column_type, case.column_type));
            continue;
        }
        let not_hashed = case.column_type.starts_with("list(") || case.sql_type.contains("[]");
        match other_checksums(DatabaseKind::Postgres, connection.as_mut(), &engine, &described) {
            Some(other) => faults.extend(other.iter().map(|other| format!("{}: checksum of {other:?}", case.sql_type))),
            None if not_hashed => {}
            None => faults.push(format!("{}: not hashed by the server", case.sql_type)),
        }
        let (mut rows, misfits) = read_all(&engine, connection.as_mut(), &table, &described.columns);
        rows.sort_by_key(|row| row[0].as_ref().unwrap().parse::<i64>().unwrap());
        for (at, (sql, arrived)) in case.values.iter().enumerate() {
            let got = rows[at][1].clone();
            let unfit = misfits.iter().find(|misfit| misfit.row == at);
            match arrived {
                Value(value) if got.as_deref() == Some(*value) && unfit.is_none() => {}
                Unfit(raw, reason)
                    if got.is_none() && unfit.is_some_and(|unfit| unfit.raw == *raw && unfit.reason == *reason) => {}
                Value(value) => faults.push(format!("{} {sql}: {got:?} {unfit:?}, not {value:?}", case.sql_type)),
                Unfit(raw, reason) => {
                    faults.push(format!("{} {sql}: {got:?} {unfit:?}, not unfit: {raw} {reason}", case.sql_type))
                }
            }
        }
        if let Some(row) = rows.get(case.values.len())
            && row[1].is_some()
        {
            faults.push(format!("{}: NULL became {row:?}", case.sql_type));
        }
        as_text(&engine, connection.as_mut(), &table, &described.columns, &mut faults);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Every type can be read as text, and then nothing is unfit.
fn as_text(
    engine: &thalweg_source::postgres::PostgresEngine,
    connection: &mut dyn thalweg_source::database::Connection,
    table: &TableRef,
    columns: &[SourceColumn],
    faults: &mut Vec<String>,
) {
    let mut columns = columns.to_vec();
    assert!(engine.dialect().can_read_as(&columns[1], &thalweg_project::ColumnType::Text));
    columns[1].column_type = thalweg_project::ColumnType::Text;
    let (_, misfits) = read_all(engine, connection, table, &columns);
    if !misfits.is_empty() {
        faults.push(format!("{} as text: {misfits:?}", columns[1].engine_type));
    }
}
