//! All or nothing.

use thalweg_warehouse::{Access, WarehouseErrorKind};

use super::{Site, ask, connect, kind, run};

pub fn a_transaction_commits_or_is_undone(site: &dyn Site) {
    let mut one = site.connect();
    run(&mut *one, "create table w.t (i bigint)");
    one.begin().expect("begin");
    assert_eq!(run(&mut *one, "insert into w.t values (1), (2)"), 2);
    let mut other = connect(&*site.warehouse(), Access::Write);
    assert_eq!(ask(&mut *other, "select count(*) from w.t"), ["0"], "nobody sees it before the commit");
    one.commit().expect("commit");
    assert_eq!(ask(&mut *other, "select count(*) from w.t"), ["2"]);
    one.begin().expect("begin");
    run(&mut *one, "delete from w.t");
    one.rollback().expect("rollback");
    assert_eq!(ask(&mut *one, "select count(*) from w.t"), ["2"]);
    one.rollback().expect("a rollback outside of a transaction does nothing");
    assert_eq!(kind(one.commit()), WarehouseErrorKind::Statement);
}

pub fn definitions_are_undone_too(site: &dyn Site) {
    let mut connection = site.connect();
    run(&mut *connection, "create table w.t as select 1 as i");
    run(&mut *connection, "create view w.v as select * from w.t");
    connection.begin().expect("begin");
    run(&mut *connection, "create schema s");
    run(&mut *connection, "create table s.u as select 2 as i");
    run(&mut *connection, "drop view w.v");
    run(&mut *connection, "create view w.v as select * from s.u");
    run(&mut *connection, "alter table w.t add column j bigint");
    assert_eq!(ask(&mut *connection, "select * from w.v"), ["2"]);
    connection.rollback().expect("rollback");
    assert_eq!(ask(&mut *connection, "select * from w.v"), ["1"]);
    assert!(!connection.has_table("s", "u").expect("an answer"));
}

/// DuckDB answers COMMIT with success after a SELECT that failed, and has thrown everything away.
pub fn a_failed_query_kills_the_transaction(site: &dyn Site) {
    for statement in ["select cast('abc' as bigint)", "select * from w.nowhere", "selec 1"] {
        let mut connection = site.connect();
        connection.begin().expect("begin");
        run(&mut *connection, "create table w.lost as select 1 as i");
        assert_eq!(kind(connection.query(statement, &[])), WarehouseErrorKind::Statement, "{statement}");
        assert_eq!(kind(connection.query("select 1", &[])), WarehouseErrorKind::DeadTransaction);
        assert_eq!(kind(connection.execute("insert into w.lost values (2)", &[])), WarehouseErrorKind::DeadTransaction);
        assert_eq!(kind(connection.begin()), WarehouseErrorKind::DeadTransaction);
        assert_eq!(kind(connection.commit()), WarehouseErrorKind::DeadTransaction);
        assert_eq!(kind(connection.commit()), WarehouseErrorKind::DeadTransaction, "a second time, too");
        connection.rollback().expect("rollback");
        assert_eq!(ask(&mut *connection, "select 1"), ["1"]);
        assert!(!connection.has_table("w", "lost").expect("an answer"));
    }
}

pub fn a_failed_change_kills_the_transaction(site: &dyn Site) {
    let mut connection = site.connect();
    run(&mut *connection, "create table w.t (i bigint not null)");
    connection.begin().expect("begin");
    run(&mut *connection, "insert into w.t values (1)");
    assert_eq!(kind(connection.execute("insert into w.t values (null)", &[])), WarehouseErrorKind::Statement);
    assert_eq!(kind(connection.commit()), WarehouseErrorKind::DeadTransaction);
    connection.rollback().expect("rollback");
    assert_eq!(ask(&mut *connection, "select count(*) from w.t"), ["0"]);
}

pub fn a_connection_lost_in_a_transaction_leaves_nothing(site: &dyn Site) {
    {
        let mut connection = site.connect();
        run(&mut *connection, "create table w.t (i bigint)");
        connection.begin().expect("begin");
        run(&mut *connection, "insert into w.t values (1)");
    }
    assert_eq!(ask(&mut *site.connect(), "select count(*) from w.t"), ["0"]);
}

pub fn a_reader_cannot_write(site: &dyn Site) {
    let mut writer = site.connect();
    run(&mut *writer, "create table w.t (i bigint)");
    let mut reader = connect(&*site.warehouse(), Access::Read);
    assert_eq!(kind(reader.execute("insert into w.t values (1)", &[])), WarehouseErrorKind::Statement);
    reader.begin().expect("begin");
    assert_eq!(kind(reader.execute("drop table w.t", &[])), WarehouseErrorKind::Statement);
    reader.rollback().expect("rollback");
    drop(writer);
    assert_eq!(ask(&mut *reader, "select count(*) from w.t"), ["0"]);
}

pub fn a_reader_sees_one_state(site: &dyn Site) {
    let mut writer = site.connect();
    run(&mut *writer, "create table w.t as select 1 as i");
    let mut reader = connect(&*site.warehouse(), Access::Read);
    reader.begin().expect("begin");
    assert_eq!(ask(&mut *reader, "select sum(i) from w.t"), ["1"]);
    writer.begin().expect("begin");
    run(&mut *writer, "insert into w.t values (10)");
    run(&mut *writer, "create table w.u as select 1 as i");
    writer.commit().expect("commit");
    writer.settle(true).expect("settle, although somebody reads");
    assert_eq!(ask(&mut *reader, "select sum(i) from w.t"), ["1"]);
    reader.commit().expect("commit");
    assert_eq!(ask(&mut *reader, "select sum(i) from w.t"), ["11"]);
}
