//! What is particular to a DuckDB file: processes that want it at the same time, and files that are none.

mod suite;

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use suite::{DuckDbSite, Site, ask, connect, kind, run};
use thalweg_project::{Location, Target, TargetConnection};
use thalweg_warehouse::{Access, Connection, Wait, Warehouse, WarehouseError, WarehouseErrorKind};

/// Says to the child what to do: `write FOLDER`, `read FOLDER`, `lock FOLDER`, `torn FOLDER`, `fill FOLDER`.
const TASK: &str = "THALWEG_TEST_TASK";

/// Not a test: what the other process does.
#[test]
#[ignore = "run by the other tests in a process of its own"]
fn other_process() {
    let Ok(task) = std::env::var(TASK) else { return };
    let (verb, folder) = task.split_once(' ').expect("a task");
    let site = DuckDbSite::at(Path::new(folder));
    let mut connection = None;
    let mut lock = None;
    match verb {
        "lock" => {
            let mut held = site.warehouse().lock("orders", "run 12").expect("the lock");
            held.describe("extracting a long list of streams").expect("described");
            held.describe("extracting").expect("described");
            lock = Some(held);
        }
        "read" => connection = Some(connect(&*site.warehouse(), Access::Read)),
        "write" => connection = Some(site.connect()),
        "torn" => {
            let mut held = site.connect();
            run(&mut *held, "create or replace table t as select 1 as i");
            held.begin().expect("begin");
            run(&mut *held, "insert into t select 2 from range(100000)");
            run(&mut *held, "create table u as select 1 as i");
            connection = Some(held);
        }
        "fill" => return fill(&site),
        other => panic!("no such task: {other}"),
    }
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line");
    drop((connection, lock));
}

/// Writes more than there is room for, in a transaction, and without.
fn fill(site: &DuckDbSite) {
    let mut connection = site.connect();
    run(&mut *connection, "create table t as select 1 as i, '' as s");
    connection.settle(true).expect("settled");
    let much = "insert into t select range, md5(range::varchar) || md5((range + 1)::varchar) from range(1000000)";
    for round in 0..3 {
        let outcome = match round {
            0 => connection.execute(much, &[]).map(drop),
            _ => connection.begin().and_then(|()| connection.execute(much, &[])).and_then(|_| connection.commit()),
        };
        let failed = outcome.expect_err("no room");
        println!("failed as {:?}: {}", failed.kind, failed.message);
        connection.rollback().expect("rollback");
        // Where the engine gave up altogether, it is opened anew.
        drop(connection);
        connection = site.connect();
        println!("rows: {:?}", ask(&mut *connection, "select count(*) from t"));
    }
}

/// A limit on the size of files stands for a disk that is full: the error is another, what it breaks is the same.
#[test]
fn without_room_nothing_is_half_done() {
    let site = DuckDbSite::new();
    let script = "trap '' XFSZ; ulimit -f 8000; exec \"$0\" --exact other_process --ignored --nocapture";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().expect("this program"))
        .env(TASK, format!("fill {}", site.folder().display()))
        .output()
        .expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.matches("failed as Storage").count(), 3, "{text}");
    assert_eq!(text.matches("rows: [\"1\"]").count(), 3, "{text}");
    assert_eq!(ask(&mut *site.connect(), "select count(*) from t"), ["1"]);
}

struct Other {
    process: Child,
    stdin: Option<ChildStdin>,
    /// Kept open: a test program that cannot print fails.
    _stdout: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Other {
    /// Starts the other process and waits until it holds what it is to hold.
    fn start(verb: &str, folder: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "other_process", "--ignored", "--nocapture"])
            .env(TASK, format!("{verb} {}", folder.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut output = BufReader::new(process.stdout.take().expect("its output")).lines();
        assert!(output.by_ref().map_while(Result::ok).any(|line| line.ends_with("ready")), "the other process failed");
        let stdin = process.stdin.take();
        Self { process, stdin, _stdout: output }
    }

    fn id(&self) -> u32 {
        self.process.id()
    }

    fn kill(mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("gone");
    }

    fn end(mut self) {
        self.stdin.take().expect("its input").write_all(b"\n").expect("told");
        self.process.wait().expect("gone");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Connects, waiting so long; what was told meanwhile.
fn wait(
    site: &DuckDbSite,
    access: Access,
    timeout: Duration,
) -> (Result<Box<dyn Connection>, WarehouseError>, Vec<String>) {
    let told = RefCell::new(Vec::new());
    let tell = |sentence: &str| told.borrow_mut().push(sentence.to_owned());
    let connection = site.warehouse().connect(access, &Wait { timeout, tell: &tell });
    (connection, told.into_inner())
}

fn error<T>(outcome: Result<T, WarehouseError>) -> WarehouseError {
    match outcome {
        Ok(_) => panic!("an error was expected"),
        Err(error) => error,
    }
}

#[test]
fn a_held_file_is_waited_for() {
    let site = DuckDbSite::new();
    run(&mut *site.connect(), "create table t as select 1 as i");
    let other = Other::start("write", site.folder());
    for access in [Access::Write, Access::Read] {
        let (outcome, told) = wait(&site, access, Duration::ZERO);
        let error = error(outcome);
        assert_eq!(error.kind, WarehouseErrorKind::Locked);
        assert!(error.message.contains(&format!("process {}", other.id())), "{}", error.message);
        assert!(error.message.contains("--lock-timeout"), "{}", error.message);
        assert!(told.is_empty(), "nothing is told when nobody waits: {told:?}");
    }
    let (outcome, told) = wait(&site, Access::Write, Duration::from_millis(400));
    assert_eq!(error(outcome).kind, WarehouseErrorKind::Locked);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains(&format!("process {}", other.id())) && told[0].contains("warehouse.duckdb"),
        "{}",
        told[0]
    );
    let helper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        other.end();
    });
    let (outcome, told) = wait(&site, Access::Write, Duration::from_secs(20));
    assert_eq!(ask(&mut *outcome.expect("a connection"), "select * from t"), ["1"]);
    assert_eq!(told.len(), 1);
    helper.join().expect("the helper");
}

#[test]
fn readers_share_and_keep_writers_out() {
    let site = DuckDbSite::new();
    run(&mut *site.connect(), "create table t as select 1 as i");
    let other = Other::start("read", site.folder());
    let mut reader = connect(&*site.warehouse(), Access::Read);
    assert_eq!(ask(&mut *reader, "select * from t"), ["1"]);
    drop(reader);
    let (outcome, _) = wait(&site, Access::Write, Duration::ZERO);
    assert_eq!(error(outcome).kind, WarehouseErrorKind::Locked);
    other.end();
    let reader = connect(&*site.warehouse(), Access::Read);
    let (outcome, _) = wait(&site, Access::Write, Duration::ZERO);
    let refused = error(outcome);
    assert_eq!(refused.kind, WarehouseErrorKind::Locked);
    assert!(refused.message.contains("another part of this program"), "{}", refused.message);
    drop(reader);
    site.connect();
}

#[test]
fn a_second_run_is_told_who_is_first() {
    let site = DuckDbSite::new();
    let other = Other::start("lock", site.folder());
    let refused = error(site.warehouse().lock("orders", "run 13"));
    assert_eq!(refused.kind, WarehouseErrorKind::Busy);
    for part in
        ["run 12 of project orders", "target dev", &format!("process {}", other.id()), "since 20", "(extracting)"]
    {
        assert!(refused.message.contains(part), "{part} is not in: {}", refused.message);
    }
    run(&mut *site.connect(), "create table t as select 1 as i");
    other.end();
    let lock = site.warehouse().lock("orders", "run 13").expect("free again");
    assert_eq!(error(site.warehouse().lock("other", "run 1")).kind, WarehouseErrorKind::Busy, "in one process, too");
    drop(lock);
    drop(site.warehouse().lock("orders", "run 14").expect("free again"));
}

#[test]
fn the_dead_hold_nothing() {
    let site = DuckDbSite::new();
    Other::start("lock", site.folder()).kill();
    drop(site.warehouse().lock("orders", "run 13").expect("given up by death"));
    Other::start("write", site.folder()).kill();
    site.connect();
}

/// A process killed in a transaction leaves what it committed, and nothing else; its log is read by whoever comes next.
#[test]
fn a_killed_writer_leaves_what_it_committed() {
    let site = DuckDbSite::new();
    Other::start("torn", site.folder()).kill();
    let log = site.file().with_extension("duckdb.wal");
    assert!(log.exists(), "what was committed lies in the log");
    let mut connection = connect(&*site.warehouse(), Access::Read);
    assert_eq!(ask(&mut *connection, "select count(*) from t"), ["1"], "by a reader");
    drop(connection);
    let mut connection = site.connect();
    assert_eq!(ask(&mut *connection, "select count(*) from t"), ["1"]);
    assert!(!connection.has_table("main", "u").expect("an answer"));
}

#[test]
fn definitions_are_checkpointed() {
    let site = DuckDbSite::new();
    let mut connection = site.connect();
    let log = site.file().with_extension("duckdb.wal");
    run(&mut *connection, "create table t as select 1 as i");
    assert!(log.metadata().is_ok_and(|log| log.len() > 0));
    connection.settle(false).expect("settled");
    assert!(log.metadata().is_ok_and(|log| log.len() > 0));
    connection.settle(true).expect("settled");
    assert!(!log.metadata().is_ok_and(|log| log.len() > 0));
    assert_eq!(ask(&mut *connection, "select * from t"), ["1"]);
}

#[test]
fn no_warehouse_is_created_by_looking() {
    let site = DuckDbSite::new();
    assert!(!site.warehouse().exists().expect("an answer"));
    let (outcome, _) = wait(&site, Access::Read, Duration::ZERO);
    let missing = error(outcome);
    assert_eq!(missing.kind, WarehouseErrorKind::Storage);
    assert!(missing.message.contains("thalweg build"), "{}", missing.message);
    assert!(!site.file().exists() && !site.file().parent().expect("a folder").exists());
    site.connect();
    assert!(site.warehouse().exists().expect("an answer"));
    assert_eq!(site.warehouse().display(), "data/warehouse.duckdb");
}

#[test]
fn files_that_are_no_warehouse_are_refused() {
    for content in [&b""[..], b"hello", &[b'x'; 100_000]] {
        let site = DuckDbSite::new();
        std::fs::create_dir_all(site.file().parent().expect("a folder")).expect("a folder");
        std::fs::write(site.file(), content).expect("a file");
        for access in [Access::Read, Access::Write] {
            let (outcome, _) = wait(&site, access, Duration::ZERO);
            let refused = error(outcome);
            assert_eq!(refused.kind, WarehouseErrorKind::Incompatible, "{}", refused.message);
            assert!(refused.message.contains("data/warehouse.duckdb"), "{}", refused.message);
        }
        assert_eq!(std::fs::read(site.file()).expect("the file"), content, "it is left alone");
    }
}

/// Storage version in both database headers, with the checksum that DuckDB expects: the exclusive or of all words times a constant.
#[test]
fn a_file_of_a_newer_duckdb_is_refused() {
    let site = DuckDbSite::new();
    run(&mut *site.connect(), "create table t as select 1 as i");
    let mut bytes = std::fs::read(site.file()).expect("the file");
    for header in [4096, 8192] {
        let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let version = header + 7 * 8;
        let (old, new) = (word(&bytes, version), 9_999_u64);
        let factor = 0xbf58_476d_1ce4_e5b9_u64;
        let checksum = word(&bytes, header) ^ old.wrapping_mul(factor) ^ new.wrapping_mul(factor);
        bytes[version..version + 8].copy_from_slice(&new.to_le_bytes());
        bytes[header..header + 8].copy_from_slice(&checksum.to_le_bytes());
    }
    std::fs::write(site.file(), bytes).expect("written");
    let (outcome, _) = wait(&site, Access::Write, Duration::ZERO);
    let refused = error(outcome);
    assert_eq!(refused.kind, WarehouseErrorKind::Incompatible, "{}", refused.message);
    assert!(refused.message.contains("version") && !refused.message.contains("http"), "{}", refused.message);
}

#[test]
fn a_damaged_file_is_an_error() {
    let site = DuckDbSite::new();
    run(&mut *site.connect(), "create table t as select range as i, 'text ' || range as s from range(200000)");
    let mut bytes = std::fs::read(site.file()).expect("the file");
    let middle = bytes.len() / 2;
    bytes[12_288..].iter_mut().skip(100).step_by(997).for_each(|byte| *byte ^= 0x55);
    bytes[middle] ^= 0xff;
    std::fs::write(site.file(), bytes).expect("written");
    let (outcome, _) = wait(&site, Access::Write, Duration::ZERO);
    let broken = match outcome {
        Ok(mut connection) => error(connection.query("select sum(i), max(s) from t", &[])),
        Err(error) => error,
    };
    assert_eq!(broken.kind, WarehouseErrorKind::Storage, "{}", broken.message);
}

#[test]
fn places_that_cannot_be_written_are_named() {
    let site = DuckDbSite::new();
    std::fs::write(site.folder().join("data"), "a file where a folder ought to be").expect("a file");
    let (outcome, _) = wait(&site, Access::Write, Duration::ZERO);
    let refused = error(outcome);
    assert_eq!(refused.kind, WarehouseErrorKind::Storage);
    assert!(refused.message.contains("data"), "{}", refused.message);
    assert_eq!(error(site.warehouse().lock("p", "run 1")).kind, WarehouseErrorKind::Storage);
    let site = DuckDbSite::new();
    std::fs::create_dir_all(site.file()).expect("a folder where the file ought to be");
    let (outcome, _) = wait(&site, Access::Write, Duration::ZERO);
    assert_eq!(error(outcome).kind, WarehouseErrorKind::Storage);
}

/// Many parts of one program open and close the same file at once.
#[test]
fn one_process_shares_one_engine() {
    let site = DuckDbSite::new();
    run(&mut *site.connect(), "create table t (i bigint)");
    let started = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let site = &site;
            scope.spawn(move || {
                for round in 0..10 {
                    let mut connection = site.connect();
                    run(&mut *connection, &format!("insert into t values ({})", thread * 100 + round));
                }
            });
        }
    });
    assert_eq!(ask(&mut *site.connect(), "select count(*), count(distinct i) from t"), ["40|40"]);
    println!("40 openings in {:?}", started.elapsed());
}

/// DuckDB 2.0 answers `3|0`: it looks among the rows with `g = 3` alone for the first one of each `k`.
#[test]
fn the_first_of_each_is_chosen_before_a_join_looks_at_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = plain_target();
    let question = "select f.id, coalesce(t.id::varchar, 'none') from f left join \
        (select distinct on (o.k) o.id, o.g from e join o on o.k = e.g order by o.k, o.v desc) t on t.g = f.id";
    let mut warehouse = thalweg_warehouse::open(&target, folder.path()).expect("a warehouse");
    warehouse.expect(&[question], &[]);
    let mut connection = connect(&*warehouse, Access::Write);
    run(&mut *connection, "create table o as select * from (values (1, 1, 0, 1), (0, 1, 3, 0)) o(id, k, g, v)");
    run(&mut *connection, "create table e as select * from (values (0), (1)) e(g)");
    run(&mut *connection, "create table f as select 3 as id");
    assert_eq!(ask(&mut *connection, question), ["3|none"]);
}

/// DuckDB 2.0 answers `a|false` and both rows: of what is sold, it says, nothing can be more than the most times no row.
#[test]
fn an_outer_join_keeps_its_rows_where_no_row_of_the_other_side_can_pass() {
    let folder = tempfile::tempdir().expect("a folder");
    let sums = "select item, sold > 0 from (select s.item, sum(s.quantity) as sold from sales s \
        left join returns r on r.item = s.item and r.state = 'refunded' group by s.item) order by item";
    let first = "select count(*) from (select s.item from sales s left join returns r on r.item = s.item and r.state = 'refunded' limit 1)";
    let mut warehouse = thalweg_warehouse::open(&plain_target(), folder.path()).expect("a warehouse");
    warehouse.expect(&[sums], &[]);
    let mut connection = connect(&*warehouse, Access::Write);
    run(&mut *connection, "create table sales as select * from (values ('a', 3), ('b', 0)) s(item, quantity)");
    run(&mut *connection, "create table returns as select 'a' as item, 'asked' as state");
    assert_eq!(ask(&mut *connection, sums), ["a|true", "b|false"]);
    assert_eq!(ask(&mut *connection, first), ["1"]);
}

/// DuckDB 2.0 answers 4 and `null`: grouping sets, it says, have no more rows than what they group, so that three is no limit and no sum
/// is above three times the largest.
#[test]
fn grouping_sets_are_more_rows_than_there_are_below() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = "select count(*) from (select store, target from shops group by cube (store, target) limit 3)";
    let sums = "select max(s) from (select sum(k) as s from (select amount as k from sales group by rollup (amount, store))) where s > 300";
    let mut warehouse = thalweg_warehouse::open(&plain_target(), folder.path()).expect("a warehouse");
    warehouse.expect(&[first], &[]);
    let mut connection = connect(&*warehouse, Access::Write);
    run(&mut *connection, "create table shops as select 1 as store, 100 as target");
    run(&mut *connection, "create table sales as select * from (values (1, 100), (2, 100), (3, 100)) s(store, amount)");
    assert_eq!(ask(&mut *connection, first), ["3"]);
    assert_eq!(ask(&mut *connection, sums), ["400"]);
}

/// DuckDB 2.0 answers nothing: it counts nine days of which one begins in each of ten.
#[test]
fn a_range_of_times_has_its_last_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let sums = "select sum(target) as s from shops, \
        range(timestamp '2024-03-01', timestamp '2024-03-10 23:59:59', interval 1 day) d group by store having sum(target) >= 1000";
    let mut warehouse = thalweg_warehouse::open(&plain_target(), folder.path()).expect("a warehouse");
    warehouse.expect(&[sums], &[]);
    let mut connection = connect(&*warehouse, Access::Write);
    run(&mut *connection, "create table shops as select 1 as store, 100 as target");
    assert_eq!(ask(&mut *connection, sums), ["1000"]);
}

/// DuckDB 2.0 answers `a|8`: what stands twice is computed once, and `c` and `d` are one table to it.
#[test]
fn a_join_of_a_table_with_itself_may_stand_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let warehouse = thalweg_warehouse::open(&plain_target(), folder.path()).expect("a warehouse");
    let mut connection = connect(&*warehouse, Access::Write);
    run(&mut *connection, "create table t as select * from (values (1, 3, null), (2, 8, 'c')) t(id, v, s)");
    let twice = "select 'a' as k, sum(c.v) from t c left join t d on d.id = c.id and c.s > 'b' \
        union all select 'b', sum(d.v) from t c left join t d on d.id = c.id and c.s > 'b' order by k";
    assert_eq!(ask(&mut *connection, twice), ["a|11", "b|8"]);
}

fn plain_target() -> Target {
    Target {
        name: "dev".to_owned(),
        schema_prefix: String::new(),
        connection: TargetConnection::Duckdb {
            path: "warehouse.duckdb".to_owned(),
            memory_limit: None,
            threads: None,
            published_copy: None,
        },
        location: Location::file("thalweg.yml"),
    }
}

#[test]
fn settings_reach_the_engine() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = Target {
        name: "dev".to_owned(),
        schema_prefix: String::new(),
        connection: TargetConnection::Duckdb {
            path: folder.path().join("elsewhere.duckdb").to_string_lossy().into_owned(),
            memory_limit: Some("100MB".to_owned()),
            threads: Some(1),
            published_copy: None,
        },
        location: Location::file("thalweg.yml"),
    };
    let warehouse: Box<dyn Warehouse> = thalweg_warehouse::open(&target, Path::new("/nowhere")).expect("a warehouse");
    let mut connection = connect(&*warehouse, Access::Write);
    assert_eq!(
        ask(&mut *connection, "select current_setting('threads'), current_setting('memory_limit')"),
        ["1|95.3 MiB"]
    );
    let sql = "create table big as select range as i, md5(range::varchar) || md5(range::varchar) as s from range(3000000) order by s";
    assert_eq!(run(&mut *connection, sql), 3_000_000, "what does not fit into memory goes to disk");
    let wrong = Target {
        connection: TargetConnection::Duckdb {
            path: folder.path().join("other.duckdb").to_string_lossy().into_owned(),
            memory_limit: Some("much".to_owned()),
            threads: None,
            published_copy: None,
        },
        ..target
    };
    let warehouse = thalweg_warehouse::open(&wrong, folder.path()).expect("a warehouse");
    let refused = error(warehouse.connect(Access::Write, &Wait { timeout: Duration::ZERO, tell: &|_| {} }));
    assert!(refused.message.contains("much"), "{}", refused.message);
    assert_eq!(kind(Err::<(), _>(refused)), WarehouseErrorKind::Storage);
}
