//! The queries of TPC-H as models over staging models: orders and lines come and go, and the chain is refreshed, beside
//! `--full-refresh` of the same chain by the same program.
//!
//! Of a thousand orders one comes or goes with its lines. Before anything is computed in full, `verify` compares what the refreshes
//! made with the queries.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use thalweg_duck::{Access, Connection, Engine, Settings};
use thalweg_testkit::{PostgresDatabase, TpchTable, tpch_queries, tpch_tables};

use crate::comparison::Comparison;
use crate::measure::{Cost, Series, measure};
use crate::program::{command, program};
use crate::{Options, Warehouse, server};

/// Lines of one file: what is generated as text and then written as Parquet.
const LINES_OF_FILE: f64 = 3_000_000.0;

/// Of so many orders one comes, and one goes.
const ONE_OF: u64 = 2_000;

/// How a model was refreshed.
struct Step {
    strategy: String,
    reason: String,
    seconds: f64,
}

/// Measures a first build, refreshes after changes, and a build in full. The project is left behind in a `folder`, where one is given.
pub fn run(scale: f64, warehouse: Warehouse, folder: Option<&Path>, options: &Options) -> anyhow::Result<()> {
    let program = program(options)?;
    let work = tempfile::tempdir()?;
    let talk = work.path().join("talk");
    let project = folder.map_or_else(|| work.path().join("project"), Path::to_owned);
    match warehouse {
        Warehouse::Duckdb => {
            let database = Database::File(project.join("warehouse.duckdb"));
            chain(&Bench { program, project, talk, scale, database }, "DuckDB", options.runs)
        }
        Warehouse::Postgres => {
            let server = server::postgres();
            let database = Database::Server(server.database());
            chain(&Bench { program, project, talk, scale, database }, "Postgres", options.runs)
        }
    }
}

/// Where the tables are.
enum Database<'s> {
    File(PathBuf),
    Server(PostgresDatabase<'s>),
}

struct Bench<'s> {
    program: PathBuf,
    project: PathBuf,
    talk: PathBuf,
    scale: f64,
    database: Database<'s>,
}

fn chain(bench: &Bench<'_>, name: &str, rounds: u32) -> anyhow::Result<()> {
    let comparison =
        Comparison::new(format!("TPC-H at scale {} in {name}: staging models and 22 queries", bench.scale));
    bench.write_project()?;
    let orders = bench.generate()?;
    bench.do_it(&["load"])?;
    bench.remove_deliveries()?;
    let first = bench.do_it(&["run"])?;
    comparison.wall("thalweg run, first time", first);
    let mut refreshed = Series::default();
    let mut steps: BTreeMap<String, Vec<Step>> = BTreeMap::new();
    for round in 1..=u64::from(rounds) {
        bench.change(&orders, round)?;
        bench.do_it(&["load"])?;
        let cost = bench.do_it(&["run"])?;
        println!("  {:<24} {:>8.3} s", format!("round {round}"), cost.seconds());
        refreshed.add(cost);
        for (model, step) in bench.steps()? {
            steps.entry(model).or_default().push(step);
        }
    }
    bench.do_it(&["verify"]).context("`verify` compares the refreshed models with their queries")?;
    let whole = bench.do_it(&["run", "--full-refresh"])?;
    let full = bench.steps()?;
    let refreshed = refreshed.median()?;
    comparison.wall("thalweg run, 0.1 %", refreshed);
    comparison.wall("--full-refresh", whole);
    comparison.at_least("times faster than full", whole.over(refreshed), 5.0);

    println!("  {:<24} {:>9} {:>9} {:>8}  how", "model", "refresh", "in full", "faster");
    let (mut faster, mut slower, mut incremental) = (Vec::new(), Vec::new(), 0);
    for (model, mut rounds) in steps {
        let in_full = full.get(&model).with_context(|| format!("{model} was not computed in full"))?.seconds;
        rounds.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
        let seconds = rounds[rounds.len() / 2].seconds;
        let otherwise = rounds.iter().find(|step| step.strategy != "incremental" && step.strategy != "unchanged");
        let how =
            otherwise.map_or_else(|| "incremental".to_owned(), |step| format!("{}: {}", step.strategy, step.reason));
        println!("  {model:<24} {seconds:>9.3} {in_full:>9.3} {:>8.1}  {how}", in_full / seconds.max(0.0005));
        if seconds > in_full * 1.2 + 0.02 {
            slower.push(model.clone());
        }
        if model.starts_with("mart.") {
            faster.push(in_full / seconds.max(0.0005));
            incremental += usize::from(otherwise.is_none());
        }
    }
    faster.sort_by(f64::total_cmp);
    println!("  {:<24} {:>8.1}", "median of the queries", faster[faster.len() / 2]);
    let left_alone = tpch_queries().len() - faster.len();
    println!("  {:<24} {incremental:>8}", "queries incremental");
    println!("  {:<24} {left_alone:>8}", "queries left alone");
    comparison.at_least("both", (incremental + left_alone) as f64, 19.0);
    comparison.limit("slower than 1.2 full", slower.len() as f64, 0.0);
    if !slower.is_empty() {
        println!("    {}", slower.join(", "));
    }
    Ok(())
}

impl Bench<'_> {
    fn do_it(&self, arguments: &[&str]) -> anyhow::Result<Cost> {
        measure(&mut command(&self.program, &self.project, arguments), &self.talk)
    }

    fn write_project(&self) -> anyhow::Result<()> {
        for folder in ["incoming", "sources", "models/staging", "models/mart"] {
            fs::create_dir_all(self.project.join(folder))?;
        }
        let target = match &self.database {
            Database::File(_) => "{ type: duckdb, path: warehouse.duckdb }".to_owned(),
            Database::Server(database) => format!("{{ type: postgres, url: \"{}\" }}", database.url()),
        };
        fs::write(self.project.join("thalweg.yml"), format!("name: tpch\ntargets: {{ dev: {target} }}\n"))?;
        let mut source = String::from("type: files\npath: incoming\nstreams:\n");
        for table in tpch_tables() {
            let TpchTable { name, key, .. } = &table;
            source.push_str(&format!(
                "  {name}: {{ files: \"{name}-*.parquet\", ready: renamed, primary_key: [{key}], soft_delete: gone }}\n"
            ));
            fs::write(self.project.join(format!("models/staging/{name}.sql")), table.staging())?;
        }
        fs::write(self.project.join("sources/erp.yml"), source)?;
        for (name, sql) in tpch_queries() {
            fs::write(self.project.join(format!("models/mart/{name}.sql")), format!("{sql}\n"))?;
        }
        Ok(())
    }

    /// Writes the first delivery. Orders and lines are kept beside it, for changes to be made of them.
    fn generate(&self) -> anyhow::Result<PathBuf> {
        let kept = self.project.join("kept");
        fs::create_dir_all(&kept)?;
        let engine = Engine::open_in_memory(&Settings::default())?;
        let mut connection = engine.connect()?;
        for table in tpch_tables() {
            let lines = match table.name {
                "lineitem" => 6_000_000.0,
                "orders" => 1_500_000.0,
                "partsupp" => 800_000.0,
                _ => 0.0,
            } * self.scale;
            let parts = (lines / LINES_OF_FILE).ceil().max(1.0) as i32;
            let columns: Vec<String> = table.columns.iter().map(|(name, kind)| format!("'{name}': '{kind}'")).collect();
            for part in 1..=parts {
                let text = self.project.join("rows.tbl");
                let mut out = BufWriter::with_capacity(1 << 20, File::create(&text)?);
                let mut failed = Ok(());
                table.rows(self.scale, part, parts, |row| {
                    if failed.is_ok() {
                        failed = writeln!(out, "{row}");
                    }
                });
                failed?;
                out.flush()?;
                let rows = format!(
                    "select *, false as gone from read_csv('{}', header = false, auto_detect = false, delim = '|', quote = '', \
                     escape = '', columns = {{{}}})",
                    text.display(),
                    columns.join(", ")
                );
                let file = format!("{}-000-{part:03}.parquet", table.name);
                self.copy(&mut connection, &rows, &self.project.join("incoming").join(&file))?;
                if matches!(table.name, "orders" | "lineitem") {
                    fs::hard_link(self.project.join("incoming").join(&file), kept.join(&file))?;
                }
                fs::remove_file(&text)?;
            }
        }
        Ok(kept)
    }

    /// Orders come with their lines, as copies of others with numbers that the generator leaves out, and others go.
    fn change(&self, kept: &Path, round: u64) -> anyhow::Result<()> {
        let engine = Engine::open_in_memory(&Settings::default())?;
        let mut connection = engine.connect()?;
        for (table, key) in [("orders", "o_orderkey"), ("lineitem", "l_orderkey")] {
            let rows = format!("read_parquet('{}')", kept.join(format!("{table}-*.parquet")).display());
            let query = format!(
                "select * replace ({key} + 8 * {round} as {key}) from {rows} where hash({key}, {round}, 'new') % {ONE_OF} = 0 \
                 union all select * replace (true as gone) from {rows} where hash({key}, {round}, 'gone') % {ONE_OF} = 0"
            );
            self.copy(&mut connection, &query, &self.project.join(format!("incoming/{table}-{round:03}.parquet")))?;
        }
        Ok(())
    }

    fn copy(&self, connection: &mut Connection, query: &str, to: &Path) -> anyhow::Result<()> {
        connection.execute(&format!("copy ({query}) to '{}' (format parquet)", to.display()), &[])?;
        Ok(())
    }

    /// What was read is in the warehouse, and the disk may be small.
    fn remove_deliveries(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(self.project.join("incoming"))? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    /// The models of the last run.
    fn steps(&self) -> anyhow::Result<BTreeMap<String, Step>> {
        let query = "select step, strategy, seconds::varchar, replace(reason, chr(10), ' ') from thalweg.steps \
                     where run = (select max(run) from thalweg.steps) and (step like 'staging.%' or step like 'mart.%') \
                     and kind <> 'stage'";
        let rows: Vec<Vec<String>> = match &self.database {
            Database::File(file) => {
                let engine = Engine::open(file, Access::Read, &Settings::default())?;
                let answer = engine.connect()?.query(query, &[])?;
                let mut rows = Vec::new();
                for batch in &answer.batches {
                    let format = FormatOptions::default();
                    let columns: Vec<ArrayFormatter<'_>> = batch
                        .columns()
                        .iter()
                        .map(|column| ArrayFormatter::try_new(column.as_ref(), &format))
                        .collect::<Result<_, _>>()?;
                    rows.extend((0..batch.num_rows()).map(|row| {
                        columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<String>>()
                    }));
                }
                rows
            }
            Database::Server(database) => {
                let split = |line: &str| line.splitn(4, '|').map(str::to_owned).collect();
                database.run(query).lines().map(split).collect()
            }
        };
        let mut steps = BTreeMap::new();
        for row in rows {
            ensure!(row.len() == 4, "{row:?} is no step");
            let step = Step { strategy: row[1].clone(), seconds: row[2].parse()?, reason: row[3].clone() };
            steps.insert(row[0].clone(), step);
        }
        Ok(steps)
    }
}
