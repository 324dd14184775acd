//! The same in Postgres. Both sides work in one database of one server, one after the other: the program on its store, the reference on
//! copies of the tables in a schema of its own, with the indexes that the program makes.
//!
//! Each repetition changes other rows, so that nothing is found as the repetition before left it; the median of them counts. In full
//! there are three sides: the program, the tables by hand with their indexes, and a bare `create table as` without any.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;
use thalweg_duck::{Engine, Settings};
use thalweg_testkit::PostgresDatabase;

use super::{REPORT, SUMS, TABLES, Which, change, delivered, generate, write_project};
use crate::Options;
use crate::comparison::Comparison;
use crate::measure::{Series, measure};
use crate::program::{command, program};
use crate::server;
use crate::statements::Statements;

/// Columns by which changed rows find others, as the program finds them.
const LOOKUPS: [(&str, &str); 4] = [
    ("order_headers", "customer_document_no"),
    ("order_headers", "company_id"),
    ("order_lines", "product_code, supplier_id"),
    ("product_prices", "company_id"),
];

/// At 4M lines: percent changed, how many times faster than in full a refresh has to be.
const FASTER: [(f64, f64); 3] = [(0.01, 30.0), (0.1, 10.0), (1.0, 4.0)];

/// Measures a first build, then refreshes for each of the percentages. `slowest` statements of one more refresh of each are shown.
pub fn run(lines: u64, percents: &[f64], which: Which, slowest: usize, options: &Options) -> anyhow::Result<()> {
    let program = program(options)?;
    let work = tempfile::tempdir()?;
    let talk = work.path().join("talk");
    let project = work.path().join("project");
    let server = server::postgres();
    let loaded = server.database();
    write_project(&project, &target(&loaded), &SUMS)?;
    generate(&project, lines)?;
    measure(&mut command(&program, &project, &["load"]), &talk)?;

    let title = format!("Report of {lines} order lines and two summaries in Postgres, computed in full");
    let full = Comparison::new(title);
    let (mut ours, mut anew, mut theirs, mut bare) =
        (Series::default(), Series::default(), Series::default(), Series::default());
    let scripts = Scripts::write(work.path())?;
    let mut database = server.copy_of(loaded.name());
    for repetition in 0..options.runs {
        if repetition > 0 {
            server.forget(database.name());
            database = server.copy_of(loaded.name());
        }
        fs::write(project.join("thalweg.yml"), project_file(&target(&database)))?;
        database.run(&copies());
        bare.add(measure(&mut scripts.run(&database, "bare"), &talk)?);
        theirs.add(measure(&mut scripts.run(&database, "full"), &talk)?);
        ours.add(measure(&mut command(&program, &project, &["run"]), &talk)?);
    }
    if options.runs > 0 {
        server.forget(loaded.name());
    }
    for _ in 0..options.runs {
        anew.add(measure(&mut command(&program, &project, &["run", "--full-refresh"]), &talk)?);
    }
    let (ours, anew, theirs, bare) = (ours.median()?, anew.median()?, theirs.median()?, bare.median()?);
    full.wall("thalweg run, first time", ours);
    full.wall("--full-refresh", anew);
    full.wall("by hand, with indexes", theirs);
    full.wall("create table as", bare);
    full.limit("of it by hand", ours.over(theirs), 1.3);
    full.limit("--full-refresh of bare", anew.over(bare), 2.2);
    compare(&database)?;
    println!("  indexes of the program:");
    for index in indexes(&database).lines() {
        println!("    {index}");
    }

    let whole = ours;
    let mut step = 0;
    for percent in percents {
        let title = format!("the same after {percent} % changed ({which:?})").to_lowercase();
        let comparison = Comparison::new(title);
        let (mut ours, mut theirs) = (Series::default(), Series::default());
        for _ in 0..options.runs {
            step += 1;
            arrive(&program, &project, &database, (lines, *percent, which, step), &talk)?;
            theirs.add(measure(&mut scripts.run(&database, "changed"), &talk)?);
            ours.add(measure(&mut command(&program, &project, &["run"]), &talk)?);
            compare(&database)?;
        }
        let (ours, theirs) = (ours.median()?, theirs.median()?);
        comparison.wall("thalweg run", ours);
        comparison.wall("by hand", theirs);
        comparison.limit("of it by hand", ours.over(theirs), 1.3);
        let faster = whole.over(ours);
        match FASTER.iter().find(|(of, _)| of == percent) {
            Some((_, times)) => comparison.at_least("times faster than full", faster, *times),
            None => println!("  {:<24} {faster:>8.1}", "times faster than full"),
        }
        println!("  {:<24} {:>8.1}", "by hand", whole.over(theirs));
        comparison.limit("of a full one + 20 ms", (ours.seconds() - 0.02).max(0.0) / whole.seconds(), 1.2);
        if slowest > 0 {
            step += 1;
            arrive(&program, &project, &database, (lines, *percent, which, step), &talk)?;
            for (side, mut run) in
                [("by hand", scripts.run(&database, "changed")), ("thalweg run", command(&program, &project, &["run"]))]
            {
                let (cost, statements) = Statements::of(&server, &database, || measure(&mut run, &talk))?;
                println!("  {side}, one more time: {:.3} s, {}", cost.wall.as_secs_f64(), statements.told(slowest));
            }
        }
    }
    Ok(())
}

fn target(database: &PostgresDatabase<'_>) -> String {
    format!("{{ type: postgres, url: \"{}\" }}", database.url())
}

fn project_file(target: &str) -> String {
    format!("name: bench\ntargets: {{ dev: {target} }}\n")
}

/// Changes rows and brings both stores to the same state, which is not measured.
fn arrive(
    program: &Path,
    project: &Path,
    database: &PostgresDatabase<'_>,
    (lines, percent, which, step): (u64, f64, Which, u64),
    talk: &Path,
) -> anyhow::Result<()> {
    change(project, lines, percent, which, step)?;
    measure(&mut command(program, project, &["load"]), talk)?;
    let engine = Engine::open_in_memory(&Settings::default())?;
    let mut connection = engine.connect()?;
    let mut script = String::from("begin;\n");
    for (table, key) in TABLES {
        script.push_str(&format!("truncate by_hand.changed_{table};\n"));
        let file = delivered(project, table, step);
        if !file.exists() {
            continue;
        }
        let rows = project.join(format!("{table}.csv"));
        let keys = key.join(", ");
        connection.execute(
            &format!(
                "copy (select * from read_parquet('{}') qualify row_number() over (partition by {keys} order by is_deleted) = 1) \
                 to '{}' (header)",
                file.display(),
                rows.display()
            ),
            &[],
        )?;
        let text = fs::read_to_string(&rows)?;
        let columns = text.lines().next().unwrap_or_default();
        let same: Vec<String> = key.iter().map(|column| format!("r.{column} = n.{column}")).collect();
        script.push_str(&format!(
            "create temp table n (like by_hand.{table});\n\
             \\copy n ({columns}) from '{}' csv header\n\
             insert into by_hand.changed_{table} select {keys} from n;\n\
             analyze n; analyze by_hand.changed_{table};\n\
             delete from by_hand.{table} r using n where {};\n\
             insert into by_hand.{table} select * from n where not is_deleted;\ndrop table n;\n",
            rows.display(),
            same.join(" and ")
        ));
    }
    script.push_str("commit;\n");
    database.run(&script);
    Ok(())
}

/// The reference's copies of the store tables.
fn copies() -> String {
    let mut script = String::from("create schema by_hand;\n");
    for (table, key) in TABLES {
        let keys = key.join(", ");
        script.push_str(&format!(
            "create table by_hand.{table} as select * from store.{table};\n\
             alter table by_hand.{table} add primary key ({keys});\n\
             create table by_hand.changed_{table} as select {keys} from store.{table} limit 0;\n"
        ));
    }
    for (table, columns) in LOOKUPS {
        script.push_str(&format!("create index on by_hand.{table} ({columns});\n"));
    }
    script.push_str("analyze;\n");
    script
}

/// What somebody writes by hand, one file for each task.
struct Scripts {
    folder: PathBuf,
}

impl Scripts {
    fn write(folder: &Path) -> anyhow::Result<Self> {
        fs::write(folder.join("bare.sql"), bare())?;
        fs::write(folder.join("full.sql"), full())?;
        fs::write(folder.join("changed.sql"), changed())?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// A script as one transaction.
    fn run(&self, database: &PostgresDatabase<'_>, what: &str) -> Command {
        let mut command = database.psql();
        command.arg("--single-transaction").arg("--file").arg(self.folder.join(format!("{what}.sql")));
        command
    }
}

fn report(lines: &str) -> String {
    REPORT.replace("{lines}", lines).replace("store.", "by_hand.")
}

fn bare() -> String {
    let mut script = format!("create table by_hand.bare as {};\n", report("by_hand.order_lines"));
    for (name, _, sql) in SUMS {
        script.push_str(&format!("create table by_hand.bare_{name} as {};\n", sql.replace("{report}", "by_hand.bare")));
    }
    for name in SUMS.iter().map(|(name, ..)| format!("bare_{name}")).chain(["bare".to_owned()]) {
        script.push_str(&format!("drop table by_hand.{name};\n"));
    }
    script
}

fn full() -> String {
    let mut script = format!(
        "create table by_hand.report as {};\nalter table by_hand.report add primary key (order_no, line_no);\n",
        report("by_hand.order_lines")
    );
    for (name, key, sql) in SUMS {
        script.push_str(&format!(
            "create index on by_hand.report ({key});\n\
             create table by_hand.{name} as {};\n\
             alter table by_hand.{name} add primary key ({key});\nanalyze by_hand.{name};\n",
            sql.replace("{report}", "by_hand.report")
        ));
    }
    script.push_str("analyze by_hand.report;\n");
    script
}

fn changed() -> String {
    let touched =
        "(select l.* from touched t join by_hand.order_lines l on l.order_no = t.order_no and l.line_no = t.line_no)";
    let mut script = format!(
        "create temp table touched_orders as select order_no from by_hand.changed_order_headers \
         union select h.order_no from by_hand.changed_customers c join by_hand.order_headers h \
         on h.customer_document_no = c.document_number \
         union select h.order_no from by_hand.changed_companies c join by_hand.order_headers h on h.company_id = c.company_id;\n\
         analyze touched_orders;\n\
         create temp table touched as select order_no, line_no from by_hand.changed_order_lines \
         union select l.order_no, l.line_no from touched_orders o join by_hand.order_lines l on l.order_no = o.order_no \
         union select r.order_no, r.line_no from touched_orders o join by_hand.report r on r.order_no = o.order_no \
         union select l.order_no, l.line_no from by_hand.changed_products p join by_hand.order_lines l \
         on l.product_code = p.product_code and l.supplier_id = p.supplier_id \
         union select l.order_no, l.line_no from by_hand.changed_product_prices p \
         join by_hand.order_headers h on h.company_id = p.company_id \
         join by_hand.order_lines l on l.order_no = h.order_no and l.product_code = p.product_code;\n\
         analyze touched;\n\
         create temp table fresh as {};\n\
         create temp table gone as with d as (delete from by_hand.report r using touched t \
         where r.order_no = t.order_no and r.line_no = t.line_no returning r.*) select * from d;\n\
         insert into by_hand.report select * from fresh;\n",
        report(touched)
    );
    for (name, key, sql) in SUMS {
        let whole = sql.replace("{report}", "by_hand.report");
        let same: Vec<String> = key.split(", ").map(|column| format!("r.{column} = g.{column}")).collect();
        let same = same.join(" and ");
        let some = sql.replace(
            "{report}",
            &format!("(select * from by_hand.report r where exists (select from groups g where {same})) r"),
        );
        // Where most groups are touched, one look through the report costs less than many into its index.
        script.push_str(&format!(
            "create temp table groups as select {key} from fresh union select {key} from gone;\nanalyze groups;\n\
             do $$ begin\n\
             if (select count(*) from groups) * 5 > (select count(*) from by_hand.{name}) then\n\
             delete from by_hand.{name}; insert into by_hand.{name} {whole};\n\
             else\n\
             delete from by_hand.{name} r using groups g where {same}; insert into by_hand.{name} {some};\n\
             end if; end $$;\ndrop table groups;\n"
        ));
    }
    script
}

/// Both sides must hold the same rows.
fn compare(database: &PostgresDatabase<'_>) -> anyhow::Result<()> {
    for table in ["report", "monthly_sales", "product_sales"] {
        let sum = |schema: &str| {
            format!("select count(*), coalesce(sum(hashtextextended(r::text, 0)::numeric), 0) from {schema}.{table} r")
        };
        let answer = database.run(&format!("{};\n{};", sum("mart"), sum("by_hand")));
        let sides: Vec<&str> = answer.lines().collect();
        ensure!(sides.len() == 2 && sides[0] == sides[1], "{table} differs: rows and hash {}", sides.join(" and "));
    }
    Ok(())
}

fn indexes(database: &PostgresDatabase<'_>) -> String {
    database.run(
        "select regexp_replace(indexdef, '^.* ON ', '') from pg_indexes where schemaname = 'thalweg_data' order by tablename, indexdef",
    )
}
