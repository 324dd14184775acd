//! What the server says of its tables, and what the spelled parts of a read yield.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use thalweg_project::ColumnType;
use thalweg_source::database::{
    Connection, DecodedRows, Engine, Read, SourceColumn, Table, TableKind, TableRef, Value,
};
use thalweg_source::{SourceError, SourceErrorKind};
use thalweg_testkit::MariadbServer;

use crate::{all_rows, connect, described, engine, settings};

#[test]
fn tables_are_described_as_they_are() {
    let server = MariadbServer::shared();
    let database = server.database();
    database.run(
        "create table `Odd \"name` (`select` int unsigned not null comment 'a \\'key\\'', `two words` varchar(10) character set latin1 not null,
             `back``tick` json, hidden int invisible default 1, twice int as (`select` * 2) virtual, stored int as (`select` * 3) stored,
             u1 int not null, u2 int, primary key (`two words`, `select`), unique (u1, `select`), unique (u2), key (twice),
             unique prefixed (`two words`(3)), fulltext (`two words`));
         create view seen as select `select` as id, 'x' as c from `Odd \"name`;
         create sequence numbers;
         create table empty_name (a int)",
    );
    let mut connection = connect(server, &database);
    let odd = described(connection.as_mut(), &database, "Odd \"name");
    let column = |name: &str, engine_type: &str, column_type: &str, nullable: bool| SourceColumn {
        name: name.to_owned(),
        engine_type: engine_type.to_owned(),
        column_type: column_type.parse().unwrap(),
        nullable,
        comment: None,
    };
    let mut first = column("select", "int(10) unsigned", "bigint", false);
    first.comment = Some("a 'key'".to_owned());
    assert_eq!(
        odd.columns,
        [
            first,
            column("two words", "varchar(10) character set latin1", "text", false),
            column("back`tick", "json", "json", true),
            column("twice", "int(11)", "integer", true),
            column("stored", "int(11)", "integer", true),
            column("u1", "int(11)", "integer", false),
            column("u2", "int(11)", "integer", true),
        ]
    );
    assert_eq!((odd.kind, odd.primary_key), (TableKind::Table, vec!["two words".to_owned(), "select".to_owned()]));
    assert_eq!(odd.unique_keys, [["u1", "select"]]);
    let mut indexed = odd.indexed_columns;
    indexed.sort();
    assert_eq!(indexed, ["twice", "two words", "u1", "u2"]);
    let view = described(connection.as_mut(), &database, "seen");
    assert_eq!((view.kind, view.columns.len(), view.estimated_rows), (TableKind::View, 2, None));

    let all = connection.describe(None).unwrap();
    let ours: Vec<&str> = all
        .iter()
        .filter(|table| table.table.schema == database.name())
        .map(|table| table.table.name.as_str())
        .collect();
    assert_eq!(ours, ["Odd \"name", "empty_name", "seen"]);
    assert!(all.iter().all(|table| !["mysql", "sys", "information_schema"].contains(&table.table.schema.as_str())));
    let missing = TableRef::new(database.name(), "missing");
    assert_eq!(connection.describe(Some(&[missing])).unwrap(), []);
}

/// One column of a query, as numbers.
fn numbers(connection: &mut dyn Connection, sql: &str, column: SourceColumn) -> Vec<Option<i64>> {
    let mut found = Vec::new();
    let take = &mut |rows: DecodedRows| {
        let column = rows.batch.column(0);
        match column.data_type() {
            arrow::datatypes::DataType::Boolean => found.extend(column.as_boolean().iter().map(|v| v.map(i64::from))),
            _ => found.extend(column.as_primitive::<Int64Type>().iter()),
        }
        Ok(())
    };
    connection.read(&Read { sql, columns: &[column] }, take).unwrap();
    found
}

#[test]
fn flags_are_never_null_and_may_end_in_a_comment() {
    let server = MariadbServer::shared();
    let database = server.database();
    database.run(
        "create table t (id int primary key, price decimal(5,2)); insert into t values (1, 5), (2, -1), (3, null)",
    );
    let engine = engine(&settings(server, &database));
    let mut connection = engine.connect().unwrap();
    for condition in
        ["price > 0", "price > 0 -- only what costs", "price > 0 or price = 'x'", "if(price > 0, 'a1', 0) or price > 0"]
    {
        let (expression, column) = engine.dialect().flag(condition, "kept");
        let sql = format!("select {expression} from t order by id");
        assert_eq!(numbers(connection.as_mut(), &sql, column)[..2], [Some(1), Some(0)], "{condition}");
    }
    let (expression, column) = engine.dialect().bigint("count(*) + 9223372036854775804", "n");
    assert_eq!(numbers(connection.as_mut(), &format!("select {expression} from t"), column), [Some(i64::MAX)]);
}

fn counted(connection: &mut dyn Connection, sql: &str) -> u64 {
    connection.query(sql).unwrap()[0][0].as_ref().unwrap().parse().unwrap()
}

/// Rows of the parts that boundaries make, which together must be all rows.
fn parts(connection: &mut dyn Connection, engine: &dyn Engine, table: &Table, column: &str, wanted: usize) -> Vec<u64> {
    let column = table.column(column).unwrap();
    let boundaries = connection.boundaries(table, column, wanted).unwrap();
    let name = engine.dialect().select(column, "");
    let literals: Vec<String> = boundaries.iter().map(|value| engine.dialect().literal(value, column)).collect();
    let mut counts = Vec::new();
    for part in 0..=literals.len() {
        let mut conditions = Vec::new();
        if let Some(low) = part.checked_sub(1).map(|at| &literals[at]) {
            conditions.push(format!("{name} >= {low}"));
        }
        match literals.get(part) {
            Some(high) if part == 0 => conditions.push(format!("({name} < {high} or {name} is null)")),
            Some(high) => conditions.push(format!("{name} < {high}")),
            None => {}
        }
        let condition = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" and ") };
        let from = engine.dialect().table(&table.table);
        counts.push(counted(connection, &format!("select count(*) from {from} where {condition}")));
    }
    counts
}

#[test]
fn boundaries_divide_a_table_into_equal_parts() {
    let server = MariadbServer::shared();
    let database = server.database();
    database.run(
        "create table n (id bigint primary key, code varchar(20) not null, day date, at datetime(6), amount decimal(10,2),
             kind enum('a','b'), key (code), key (day), key (at), key (amount), key (kind));
         insert into n select if(seq <= 30000, seq, seq * 1000000), concat('P', lpad(seq * 7, 6, '0')), '2020-01-01' + interval seq day,
             '2020-01-01' + interval seq * 1000001 microsecond, seq / 3, 'a' from seq_1_to_40000;
         create table few (id int primary key); insert into few values (1), (2);
         create table none (id int primary key);
         analyze table n, few, none",
    );
    let engine = engine(&settings(server, &database));
    let mut connection = engine.connect().unwrap();
    let table = described(connection.as_mut(), &database, "n");
    for column in ["id", "code", "day", "at", "amount"] {
        let counts = parts(connection.as_mut(), &engine, &table, column, 4);
        assert_eq!(counts.iter().sum::<u64>(), 40_000, "{column}");
        assert!(
            counts.len() == 4 && counts.iter().all(|count| (4_000..=20_000).contains(count)),
            "{column}: {counts:?}"
        );
    }
    assert_eq!(parts(connection.as_mut(), &engine, &table, "kind", 4), [40_000], "an order of its own");
    let few = described(connection.as_mut(), &database, "few");
    assert_eq!(parts(connection.as_mut(), &engine, &few, "id", 4).iter().sum::<u64>(), 2);
    let none = described(connection.as_mut(), &database, "none");
    assert_eq!(connection.boundaries(&none, &none.columns[0], 4).unwrap(), Vec::<Value>::new());
}

#[test]
fn other_types_are_read_where_a_stream_asks_for_them() {
    let server = MariadbServer::shared();
    let database = server.database();
    database.run(
        "set sql_mode = ''; create table t (id int primary key, flag tinyint, amount decimal(6,2), at datetime(3), span time(1), day date,
             note varchar(20), raw varbinary(5), number double);
         insert into t values (1, 1, 12.00, '2024-01-31 10:00:00.120', '-100:00:00.5', '2024-01-31', '[1]', 'ab', 1e300),
             (2, 2, 12.50, '0000-00-00', '00:00:00', '0000-00-00', 'no', x'ff', 0.1)",
    );
    let engine = engine(&settings(server, &database));
    let mut connection = engine.connect().unwrap();
    let mut table = described(connection.as_mut(), &database, "t");
    for (name, wanted) in [
        ("flag", "boolean"),
        ("amount", "integer"),
        ("at", "text"),
        ("span", "text"),
        ("day", "timestamp"),
        ("note", "json"),
        ("raw", "text"),
        ("number", "text"),
    ] {
        let wanted: ColumnType = wanted.parse().unwrap();
        let column = table.columns.iter_mut().find(|column| column.name == name).unwrap();
        assert!(engine.dialect().can_read_as(column, &wanted), "{name}");
        column.column_type = wanted;
    }
    let (rows, misfits) = all_rows(connection.as_mut(), &engine, &table);
    assert_eq!(
        rows[0],
        ["1", "true", "12", "2024-01-31 10:00:00.120", "-100:00:00.5", "2024-01-31T00:00:00", "[1]", "ab", "1e300"]
    );
    assert_eq!(rows[1], ["2", "∅", "∅", "0000-00-00 00:00:00.000", "00:00:00.0", "∅", "∅", "∅", "0.1"]);
    let told: Vec<String> = misfits
        .iter()
        .map(|(row, misfit)| format!("{row} {} {} {}", misfit.column, misfit.raw, misfit.reason))
        .collect();
    assert_eq!(
        told,
        [
            "1 1 2 is not a boolean",
            "1 2 12.50 is not an integer",
            "1 5 0000-00-00 is no date",
            "1 6 no is not a json",
            "1 7 \\xFF is no text in UTF-8",
        ]
    );
}

#[test]
fn a_column_of_another_type_ends_the_read() {
    let server = MariadbServer::shared();
    let database = server.database();
    database.run("create table t (id int primary key, v int); insert into t values (1, 2)");
    let engine = engine(&settings(server, &database));
    let mut connection = engine.connect().unwrap();
    let table = described(connection.as_mut(), &database, "t");
    database.run("alter table t modify v varchar(10)");
    let read =
        Read { sql: &format!("select id, v from {}", engine.dialect().table(&table.table)), columns: &table.columns };
    let error = connection.read(&read, &mut |_| Ok(())).unwrap_err();
    assert!(error.kind == SourceErrorKind::Unavailable && error.message.contains("column v"), "{}", error.message);
}

#[test]
fn batches_are_bounded_whatever_the_width() {
    let server = MariadbServer::shared();
    let database = server.database();
    database.run(
        "create table wide (id int primary key, v mediumtext); insert into wide select seq, repeat('x', 100000) from seq_1_to_400;
         create table narrow (id int primary key); insert into narrow select seq from seq_1_to_40000",
    );
    let engine = engine(&settings(server, &database));
    let mut connection = engine.connect().unwrap();
    for (name, rows) in [("wide", 400), ("narrow", 40_000)] {
        let table = described(connection.as_mut(), &database, name);
        let columns: Vec<String> = table.columns.iter().map(|column| engine.dialect().select(column, "")).collect();
        let sql = format!("select {} from {}", columns.join(", "), engine.dialect().table(&table.table));
        let (mut seen, mut batches) = (0, 0);
        let take = &mut |decoded: DecodedRows| {
            assert!(decoded.batch.num_rows() <= Read::ROWS);
            assert!(decoded.batch.get_array_memory_size() < 3 * Read::BYTES);
            seen += decoded.batch.num_rows();
            batches += 1;
            Ok(())
        };
        connection.read(&Read { sql: &sql, columns: &table.columns }, take).unwrap();
        assert!(seen == rows && batches > 2, "{name}: {seen} rows in {batches} batches");
        // What takes the rows may end the read; the connection is not usable then and says so.
    }
    let table = described(connection.as_mut(), &database, "wide");
    let stop = |_| Err(SourceError::new(SourceErrorKind::Cancelled, "stop"));
    let read =
        Read { sql: &format!("select id, v from {}", engine.dialect().table(&table.table)), columns: &table.columns };
    assert_eq!(connection.read(&read, &mut { stop }).unwrap_err().kind, SourceErrorKind::Cancelled);
    assert_eq!(connection.query("select 1").unwrap_err().kind, SourceErrorKind::Unavailable);
}
