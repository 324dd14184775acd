//! Cases as data: each file in `tests/graph/` is a project and what is made of it.
//!
//! A line `--- PATH` begins a file of the project, a line `====` the answer. `UPDATE_CASES=1 cargo test -p thalweg-sql` writes the answers anew;
//! look at the difference before committing it.

use std::fmt::Write as _;
use std::path::Path;

use thalweg_project::{InputFile, ProjectInput};
use thalweg_sql::{Compiled, compile};

#[test]
fn graphs_of_projects() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graph");
    let mut wrong = Vec::new();
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("the folder of cases").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a case");
        let (project, expected) = text.split_once("\n====\n").unwrap_or((text.trim_end_matches('\n'), ""));
        let found = answer(project);
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(&file, format!("{project}\n====\n{found}")).expect("the case is written");
        } else if found != expected {
            wrong.push(format!("{}\n---- expected\n{expected}\n---- found\n{found}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

fn answer(text: &str) -> String {
    let mut files: Vec<InputFile> = Vec::new();
    for line in text.split_inclusive('\n') {
        match (line.strip_prefix("--- "), files.last_mut()) {
            (Some(path), _) => files.push(InputFile::new(path.trim_end(), "")),
            (None, Some(file)) => file.text += line,
            (None, None) => {}
        }
    }
    let (project, diagnostics) =
        thalweg_project::read(&ProjectInput { files: files.clone(), ..ProjectInput::default() });
    let mut out = String::new();
    for diagnostic in &diagnostics {
        let _ = writeln!(out, "the reader says: {} {}", diagnostic.code, diagnostic.message);
    }
    let Some(project) = project else { return out };
    let (compiled, diagnostics) = compile(&project);
    for diagnostic in &diagnostics {
        let file = files.iter().find(|file| file.path == diagnostic.location.file).map(|file| file.text.as_str());
        let place = diagnostic.rendered.as_deref().or(file).and_then(|text| text.get(diagnostic.location.span.clone()));
        let _ = writeln!(
            out,
            "{} {} `{}`\n  {}",
            diagnostic.code,
            diagnostic.location.file,
            place.unwrap_or("?"),
            diagnostic.message
        );
        if let Some(help) = &diagnostic.help {
            let _ = writeln!(out, "  help: {help}");
        }
    }
    if diagnostics.is_empty() {
        show(&project, &compiled, &mut out);
    }
    out
}

fn show(project: &thalweg_project::Project, compiled: &Compiled, out: &mut String) {
    let names =
        |nodes: &[usize]| nodes.iter().map(|node| compiled.nodes[*node].id.to_string()).collect::<Vec<_>>().join(", ");
    let _ = writeln!(out, "order: {}", names(&compiled.order));
    for (index, node) in compiled.nodes.iter().enumerate() {
        let _ = writeln!(out, "{} {:?}", node.id, node.kind);
        if !compiled.readers[index].is_empty() {
            let _ = writeln!(out, "  read by: {}", names(&compiled.readers[index]));
        }
        if !node.inputs.is_empty() {
            let _ = writeln!(out, "  reads: {}", names(&node.inputs));
            let _ = writeln!(out, "  stored: {}", names(&compiled.stored_inputs(project, index)));
        }
        if let Some(sql) = compiled.compiled_sql(index) {
            let _ = writeln!(out, "  sql: {}", sql.replace('\n', "\n  "));
        }
        // Where views stand between, the text for refreshes is another.
        if let Some(sql) = compiled.refresh_sql(index).filter(|sql| compiled.compiled_sql(index) != Some(sql)) {
            let _ = writeln!(out, "  refresh: {}", sql.replace('\n', "\n  "));
            let _ = writeln!(out, "  of: {}", names(&compiled.refresh_inputs(project, index)));
        }
    }
    for (test, compiled_test) in project.tests.iter().zip(&compiled.tests) {
        let _ = writeln!(out, "test {} reads {}", test.name, names(&compiled_test.inputs));
        for sql in compiled_test.sql.iter().chain(&compiled_test.filter) {
            let _ = writeln!(out, "  sql: {}", sql.replace('\n', "\n  "));
        }
    }
    for (index, report) in project.reports.iter().enumerate() {
        let _ = writeln!(out, "report {} reads {}", report.name, names(&compiled.report_inputs[index]));
        let _ = writeln!(out, "  sql: {}", compiled.report_sql(index).unwrap_or("none").replace('\n', "\n  "));
    }
}
