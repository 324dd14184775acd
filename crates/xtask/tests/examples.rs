//! The example projects have no mistakes that can be found without an engine.

#![allow(clippy::unwrap_used)]

use thalweg_example::Example;
use thalweg_project::{Diagnostic, InputFile, Project, ProjectInput};

fn read(example: Example) -> (Project, Vec<Diagnostic>) {
    let files = example.files().iter().map(|(path, text)| InputFile::new(*path, *text)).collect();
    let environment = [("ORDER_DB_URL".to_owned(), "mysql://reader@127.0.0.1/shop".to_owned())].into();
    let input = ProjectInput { files, environment, ..ProjectInput::default() };
    let (project, mut diagnostics) = thalweg_project::read(&input);
    let project = project.unwrap();
    diagnostics.extend(thalweg_sql::compile(&project).1);
    // There is no database here to ask.
    diagnostics.retain(|found| !found.message.contains("was not asked for its tables yet"));
    (project, diagnostics)
}

#[test]
fn examples_have_no_mistakes() {
    for example in Example::ALL {
        let (_, diagnostics) = read(example);
        let found: Vec<String> =
            diagnostics.iter().map(|found| format!("{}: {}", found.location.file, found.message)).collect();
        assert!(found.is_empty(), "{example}:\n{}", found.join("\n"));
    }
}

#[test]
fn the_orders_example_shows_every_kind_of_test() {
    use thalweg_project::TestKind as Kind;
    let (project, _) = read(Example::Orders);
    let shown = |is: fn(&Kind) -> bool| project.tests.iter().any(|test| is(&test.kind));
    assert!(shown(|kind| matches!(kind, Kind::NotNull { .. })));
    assert!(shown(|kind| matches!(kind, Kind::Unique { .. })));
    assert!(shown(|kind| matches!(kind, Kind::AcceptedValues { .. })));
    assert!(shown(|kind| matches!(kind, Kind::Relationships { .. })));
    assert!(shown(|kind| matches!(kind, Kind::AcceptedRange { .. })));
    assert!(shown(|kind| matches!(kind, Kind::ExpressionIsTrue { .. })));
    assert!(shown(|kind| matches!(kind, Kind::RowCount { .. })));
    assert!(shown(|kind| matches!(kind, Kind::Freshness { .. })));
    assert!(shown(|kind| matches!(kind, Kind::Sql { .. })));
}
