//! Every type with its extremes: written by SQL, read by the driver, compared with what was written down by hand.

use std::fmt::Write;

use thalweg_project::DatabaseKind;
use thalweg_testkit::MariadbServer;

use crate::checksums::other_checksums;
use crate::{all_rows, connect, described, engine, settings};

/// A column, the type it becomes, and literals with what is read for each. What begins with `!` does not fit: the value as the server
/// has it, then the reason.
struct Case {
    definition: &'static str,
    column_type: &'static str,
    values: &'static [(&'static str, &'static str)],
}

const fn case(
    definition: &'static str,
    column_type: &'static str,
    values: &'static [(&'static str, &'static str)],
) -> Case {
    Case { definition, column_type, values }
}

const CASES: &[Case] = &[
    case("tinyint", "smallint", &[("-128", "-128"), ("127", "127"), ("0", "0"), ("null", "∅")]),
    case("boolean", "smallint", &[("true", "1"), ("false", "0"), ("2", "2"), ("-1", "-1")]),
    case("tinyint unsigned", "smallint", &[("255", "255"), ("0", "0"), ("128", "128")]),
    case("smallint", "smallint", &[("-32768", "-32768"), ("32767", "32767")]),
    case("smallint unsigned", "integer", &[("65535", "65535"), ("32768", "32768")]),
    case("mediumint", "integer", &[("-8388608", "-8388608"), ("8388607", "8388607")]),
    case("mediumint unsigned", "integer", &[("16777215", "16777215")]),
    case("int", "integer", &[("-2147483648", "-2147483648"), ("2147483647", "2147483647")]),
    case("int unsigned", "bigint", &[("4294967295", "4294967295")]),
    case("int(10) unsigned zerofill", "bigint", &[("42", "42"), ("4294967295", "4294967295")]),
    case(
        "bigint",
        "bigint",
        &[("-9223372036854775808", "-9223372036854775808"), ("9223372036854775807", "9223372036854775807")],
    ),
    case(
        "bigint unsigned",
        "decimal(20,0)",
        &[("18446744073709551615", "18446744073709551615"), ("9223372036854775808", "9223372036854775808"), ("0", "0")],
    ),
    case(
        "decimal(12,2)",
        "decimal(12,2)",
        &[("-9999999999.99", "-9999999999.99"), ("0.05", "0.05"), ("-0.5", "-0.50")],
    ),
    case("decimal(5,0)", "decimal(5,0)", &[("99999", "99999"), ("-1", "-1")]),
    case("decimal(6,2) zerofill", "decimal(6,2)", &[("1.5", "1.50"), ("9999.99", "9999.99")]),
    case(
        "decimal(38,0)",
        "decimal(38,0)",
        &[("99999999999999999999999999999999999999", "99999999999999999999999999999999999999")],
    ),
    case(
        "decimal(38,38)",
        "decimal(38,38)",
        &[("-0.99999999999999999999999999999999999999", "-0.99999999999999999999999999999999999999")],
    ),
    case(
        "decimal(38,30)",
        "decimal(38,30)",
        &[("12345678.000000000000000000000000000001", "12345678.000000000000000000000000000001")],
    ),
    case(
        "decimal(65,30)",
        "text",
        &[
            (
                "-99999999999999999999999999999999999.999999999999999999999999999999",
                "-99999999999999999999999999999999999.999999999999999999999999999999",
            ),
            ("1", "1.000000000000000000000000000000"),
        ],
    ),
    case(
        "decimal(65,0)",
        "text",
        &[(
            "99999999999999999999999999999999999999999999999999999999999999999",
            "99999999999999999999999999999999999999999999999999999999999999999",
        )],
    ),
    case(
        "float",
        "real",
        &[
            ("-3.40282e38", "-3.40282e38"),
            ("1.17549435e-38", "1.1754944e-38"),
            ("0.1", "0.1"),
            ("16777217", "16777216.0"),
        ],
    ),
    case(
        "double",
        "double",
        &[
            ("1.7976931348623157e308", "1.7976931348623157e308"),
            ("-2.2250738585072014e-308", "-2.2250738585072014e-308"),
            ("0.1", "0.1"),
            ("-0.0", "0.0"),
            ("123456789.123456789", "123456789.12345679"),
        ],
    ),
    case("double(10,3)", "double", &[("1.0006", "1.001"), ("-9999999.999", "-9999999.999")]),
    case("bit(1)", "boolean", &[("b'0'", "false"), ("b'1'", "true"), ("null", "∅")]),
    case("bit(9)", "bigint", &[("b'111111111'", "511"), ("b'100000000'", "256"), ("b'0'", "0")]),
    case("bit(63)", "bigint", &[("0x7fffffffffffffff", "9223372036854775807")]),
    case("bit(64)", "decimal(20,0)", &[("0xffffffffffffffff", "18446744073709551615"), ("1", "1")]),
    case("year", "smallint", &[("1901", "1901"), ("2155", "2155"), ("0", "0")]),
    case(
        "date",
        "date",
        &[
            ("'1000-01-01'", "1000-01-01"),
            ("'9999-12-31'", "9999-12-31"),
            ("'0001-01-01'", "0001-01-01"),
            ("'0000-01-01'", "0000-01-01"),
            ("'2024-02-29'", "2024-02-29"),
            ("'1970-01-01'", "1970-01-01"),
            ("'0000-00-00'", "!0000-00-00 is no date"),
            ("'2024-00-15'", "!2024-00-15 is no date"),
            ("'2024-05-00'", "!2024-05-00 is no date"),
            ("'2023-02-31'", "!2023-02-31 is no date"),
            ("null", "∅"),
        ],
    ),
    case(
        "datetime(6)",
        "timestamp",
        &[
            ("'1000-01-01 00:00:00'", "1000-01-01T00:00:00"),
            ("'9999-12-31 23:59:59.999999'", "9999-12-31T23:59:59.999999"),
            ("'2024-02-29 12:00:00.000001'", "2024-02-29T12:00:00.000001"),
            ("'1969-12-31 23:59:59.999999'", "1969-12-31T23:59:59.999999"),
            ("'0000-00-00 00:00:00'", "!0000-00-00 00:00:00.000000 is no date"),
            ("'2024-10-00 10:00:00'", "!2024-10-00 10:00:00.000000 is no date"),
        ],
    ),
    case(
        "datetime",
        "timestamp",
        &[("'2024-01-31 10:00:00'", "2024-01-31T10:00:00"), ("'0000-00-00'", "!0000-00-00 00:00:00 is no date")],
    ),
    case("datetime(3)", "timestamp", &[("'2024-01-31 10:00:00.123'", "2024-01-31T10:00:00.123")]),
    case(
        "timestamp(6) null",
        "timestamp",
        &[
            ("'1970-01-01 00:00:01'", "1970-01-01T00:00:01"),
            ("'2038-01-19 03:14:07.999999'", "2038-01-19T03:14:07.999999"),
            ("'0000-00-00 00:00:00'", "!0000-00-00 00:00:00.000000 is no date"),
            ("null", "∅"),
        ],
    ),
    case(
        "time(6)",
        "time",
        &[
            ("'00:00:00'", "00:00:00"),
            ("'23:59:59.999999'", "23:59:59.999999"),
            ("'24:00:00'", "!24:00:00.000000 is not a time"),
            ("'838:59:59.999999'", "!838:59:59.999999 is not a time"),
            ("'-838:59:59'", "!-838:59:59.000000 is not a time"),
            ("'-00:00:01'", "!-00:00:01.000000 is not a time"),
        ],
    ),
    case("time", "time", &[("'10:20:30'", "10:20:30"), ("'-01:00:00'", "!-01:00:00 is not a time")]),
    case("char(5)", "text", &[("'ab '", "ab"), ("''", ""), ("'😀é'", "😀é"), ("null", "∅")]),
    case("varchar(20)", "text", &[("'ab '", "ab "), ("'a\\0b'", "a\0b"), ("'日本語'", "日本語")]),
    case("varchar(20) character set latin1", "text", &[("'é€ß'", "é€ß"), ("''", "")]),
    case("varchar(20) character set utf16", "text", &[("'😀'", "😀")]),
    case("varchar(20) character set ucs2", "text", &[("'Ж'", "Ж")]),
    case("varchar(20) character set utf32", "text", &[("'😀a'", "😀a")]),
    case("varchar(20) character set sjis", "text", &[("'日本'", "日本")]),
    case("varchar(20) character set gbk", "text", &[("'汉字'", "汉字")]),
    case("varchar(20) character set cp1251", "text", &[("'Привет'", "Привет")]),
    case("varchar(20) character set koi8r", "text", &[("'Привет'", "Привет")]),
    case("varchar(20) character set greek", "text", &[("'αβγ'", "αβγ")]),
    case("varchar(20) character set ascii", "text", &[("'plain'", "plain")]),
    case("varchar(20) character set utf8mb3", "text", &[("'naïve'", "naïve")]),
    case("tinytext", "text", &[("'t'", "t")]),
    case("text", "text", &[("'x\\ty\\nz\\\\'", "x\ty\nz\\")]),
    case("longtext", "text", &[("'l'", "l")]),
    case("enum('a','B c','d''e','')", "text", &[("'B c'", "B c"), ("'d''e'", "d'e"), ("''", ""), ("3", "d'e")]),
    case("set('x','y','unsigned')", "text", &[("'x,unsigned'", "x,unsigned"), ("''", "")]),
    case("json", "json", &[("'{\"a\": [1, null]}'", "{\"a\": [1, null]}"), ("'1e400'", "1e400"), ("null", "∅")]),
    case("uuid", "text", &[("'123E4567-E89B-12D3-A456-426655440000'", "123e4567-e89b-12d3-a456-426655440000")]),
    case("inet6", "text", &[("'2001:db8::ff00:42:8329'", "2001:db8::ff00:42:8329"), ("'::'", "::")]),
    case("inet4", "text", &[("'192.168.0.1'", "192.168.0.1")]),
    case("binary(3)", "blob", &[("x'00ff'", "00ff00"), ("'abc'", "616263")]),
    case("varbinary(10)", "blob", &[("x'00ff10'", "00ff10"), ("''", "")]),
    case("blob", "blob", &[("x'deadbeef'", "deadbeef"), ("null", "∅")]),
    case("longblob", "blob", &[("x'00'", "00")]),
    case(
        "point",
        "blob",
        &[
            ("st_geomfromtext('POINT(1 2)')", "0101000000000000000000f03f0000000000000040"),
            ("st_geomfromtext('POINT(1 2)', 4326)", "0101000020e6100000000000000000f03f0000000000000040"),
        ],
    ),
    case(
        "geometry",
        "blob",
        &[(
            "st_geomfromtext('LINESTRING(0 0,1 1)')",
            "01020000000200000000000000000000000000000000000000000000000000f03f000000000000f03f",
        )],
    ),
];

#[test]
fn every_type_with_its_extremes() {
    let server = MariadbServer::shared();
    let database = server.database();
    let engine = engine(&settings(server, &database));
    let mut connection = connect(server, &database);
    let mut statements = "set time_zone = '+00:00';\n".to_owned();
    for (number, Case { definition, values, .. }) in CASES.iter().enumerate() {
        writeln!(statements, "set sql_mode = ''; create table t{number} (n int primary key, v {definition});").unwrap();
        statements.push_str("set sql_mode = 'ALLOW_INVALID_DATES,STRICT_ALL_TABLES';\n");
        for (n, (literal, _)) in values.iter().enumerate() {
            writeln!(statements, "insert into t{number} values ({n}, {literal});").unwrap();
        }
    }
    // All that is wrong is told, not only the first.
    let mut wrong = database.run_all(&statements);
    for (number, Case { definition, column_type, values }) in CASES.iter().enumerate() {
        let table = format!("t{number}");
        let table = described(connection.as_mut(), &database, &table);
        if table.columns[1].column_type.to_string() != *column_type {
            wrong.push(format!("{definition}: became {}", table.columns[1].column_type));
        }
        let not_hashed = ["real", "double"].contains(column_type) || matches!(*definition, "point" | "geometry");
        match other_checksums(DatabaseKind::Mariadb, connection.as_mut(), &engine, &table) {
            Some(other) if !not_hashed => {
                wrong.extend(other.iter().map(|other| format!("{definition}: checksum of {other:?}")));
            }
            found => {
                if found.is_some() == not_hashed {
                    wrong.push(format!("{definition}: hashed by the server: {}", found.is_some()));
                }
            }
        }
        let (rows, misfits) = all_rows(connection.as_mut(), &engine, &table);
        for (n, (literal, expected)) in values.iter().enumerate() {
            let misfit = misfits.iter().find(|(row, _)| *row == n).map(|(_, misfit)| misfit);
            let found = match misfit {
                Some(misfit) => format!("!{} {}", misfit.raw, misfit.reason),
                None => rows.get(n).map_or_else(|| "no row".to_owned(), |row| row[1].clone()),
            };
            if found != *expected || (misfit.is_some() && rows[n][1] != "∅") {
                wrong.push(format!("{definition} {literal}: {found:?} instead of {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
