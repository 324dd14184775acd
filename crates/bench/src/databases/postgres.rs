//! The same into Postgres. The reference is one session of `psql` that copies what the server's own client prints, and then makes the
//! key of each table and an index for the stamp. After a change it copies rows above the highest stamp it holds and all keys, replaces
//! rows by key and deletes those whose key is gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;
use thalweg_testkit::{MariadbDatabase, PostgresDatabase};

use super::{STAMPS, Sides, TABLES, Table, change_rows, filled, selected, write_project};
use crate::Options;
use crate::comparison::Comparison;
use crate::measure::measure;
use crate::program::{command, program};
use crate::server;

/// What stands for the highest stamp in a query.
const TOP: &str = "@top@";

/// Measures all of it at a scale of 100,000 order lines.
pub fn run(scale: f64, options: &Options) -> anyhow::Result<()> {
    let program = program(options)?;
    let work = tempfile::tempdir()?;
    let talk = work.path().join("talk");
    let (source, warehouse) = (server::mariadb(), server::postgres());
    let database = source.database();
    let rows = filled(&database, scale, work.path())?;
    let reference = Reference::write(work.path(), &source.socket(), &database)?;
    let load = |project: &Path| command(&program, project, &["load"]);

    let first = Comparison::new(format!("MariaDB into Postgres, first load of six tables with {rows} rows"));
    let mut sides = Sides::default();
    let mut project = PathBuf::new();
    let mut target = warehouse.database();
    for run in 0..options.runs {
        if run > 0 {
            warehouse.forget(target.name());
            target = warehouse.database();
        }
        sides.theirs(measure(&mut reference.run(&target, "first"), &talk)?);
        project = work.path().join(format!("project{run}"));
        write_project(
            &project,
            &database,
            "compare_keys",
            &format!("{{ type: postgres, url: \"{}\" }}", target.url()),
        )?;
        sides.ours(measure(&mut load(&project), &talk)?);
        compare(&target)?;
    }
    sides.print_walls(&first, "thalweg load", "client and COPY", 1.6)?;

    let changed = Comparison::new("the same after 1 % of every table changed, deleted rows found");
    let mut sides = Sides::default();
    for step in 1..=options.runs {
        change_rows(&database, step, work.path())?;
        sides.theirs(measure(&mut reference.run(&target, "changed"), &talk)?);
        sides.ours(measure(&mut load(&project), &talk)?);
        compare(&target)?;
    }
    sides.print_walls(&changed, "thalweg load", "client and COPY", 1.6)
}

/// Scripts of the reference and the queries they ask the source, as files.
struct Reference {
    folder: PathBuf,
}

impl Reference {
    fn write(folder: &Path, socket: &Path, database: &MariadbDatabase<'_>) -> anyhow::Result<Self> {
        let client = format!(
            "mariadb --no-defaults --batch --raw --skip-column-names --quick --user=tester --default-character-set=utf8mb4 \
             --socket={} {}",
            socket.display(),
            database.name()
        );
        let ask = |file: &Path| format!("sed \"s/{TOP}/$TOP/\" {} | {client}", file.display());
        let copy = |table: &str, file: &Path| {
            format!("\\copy {table} from program '{}' csv delimiter E'\\t' quote E'\\x01' null '\\N'\n", ask(file))
        };
        let mut first = String::from("create schema raw;\n");
        let mut changed = String::new();
        for Table { name, key, columns } in TABLES {
            let query = |what: &str, text: String| -> anyhow::Result<PathBuf> {
                let file = folder.join(format!("{name}.{what}.sql"));
                fs::write(&file, text)?;
                Ok(file)
            };
            let columns: Vec<(&str, &str)> = key.iter().chain(*columns).chain(STAMPS).copied().collect();
            let all = query("all", selected(&columns, name, ""))?;
            let newer = query("newer", selected(&columns, name, &format!(" where updated_datetime > '{TOP}'")))?;
            let listed = query("keys", selected(key, name, ""))?;
            let typed: Vec<String> = columns
                .iter()
                .map(|(column, kind)| format!("{column} {}", kind.replace("tinyint", "smallint")))
                .collect();
            let keys: Vec<&str> = key.iter().map(|(column, _)| *column).collect();
            let same: Vec<String> = keys.iter().map(|column| format!("r.{column} = n.{column}")).collect();
            let set: Vec<String> =
                columns[keys.len()..].iter().map(|(column, _)| format!("{column} = excluded.{column}")).collect();
            let (keys, same) = (keys.join(", "), same.join(" and "));
            first.push_str(&format!(
                "create table raw.{name} ({});\n{}alter table raw.{name} add primary key ({keys});\n\
                 create index on raw.{name} (updated_datetime);\n",
                typed.join(", "),
                copy(&format!("raw.{name}"), &all)
            ));
            changed.push_str(&format!(
                "select max(updated_datetime) as top from raw.{name} \\gset\n\\setenv TOP :top\n\
                 create temp table n (like raw.{name});\n{}\
                 insert into raw.{name} select * from n on conflict ({keys}) do update set {};\ndrop table n;\n\
                 create temp table n as select {keys} from raw.{name} limit 0;\n{}analyze n;\n\
                 delete from raw.{name} r where not exists (select from n where {same});\ndrop table n;\n",
                copy("n", &newer),
                set.join(", "),
                copy("n", &listed)
            ));
        }
        fs::write(folder.join("first.sql"), first)?;
        fs::write(folder.join("changed.sql"), changed)?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn run(&self, target: &PostgresDatabase<'_>, what: &str) -> Command {
        let mut command = target.psql();
        command.arg("--single-transaction").arg("--file").arg(self.folder.join(format!("{what}.sql")));
        command
    }
}

/// Both sides must hold the same rows; the reference keeps those that are marked as deleted.
fn compare(target: &PostgresDatabase<'_>) -> anyhow::Result<()> {
    for Table { name, .. } in TABLES {
        let answer = target.run(&format!(
            "select count(*), max(updated_datetime) from store.{name};\n\
             select count(*), max(updated_datetime) from raw.{name} where is_deleted = 0"
        ));
        let sides: Vec<&str> = answer.lines().collect();
        ensure!(
            sides.len() == 2 && sides[0] == sides[1],
            "{name}: the program and the reference have {}",
            sides.join(" and ")
        );
    }
    Ok(())
}
