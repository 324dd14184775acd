//! Finding the project's folder.

use thalweg_cli::folder;
use thalweg_cli::output::Paint;
use thalweg_testkit::TestProject;

#[test]
fn the_nearest_folder_upward() {
    let project =
        TestProject::new().file("thalweg.yml", "name: x\n").file("models/pres/a.sql", "select 1 as a\n").write();
    assert_eq!(folder::find(None, &project.path().join("models/pres")).unwrap(), project.path());
    assert_eq!(folder::find(None, project.path()).unwrap(), project.path());
}

#[test]
fn the_given_folder_or_file() {
    let project = TestProject::new().file("sub/thalweg.yml", "name: x\n").write();
    let sub = project.path().join("sub");
    assert_eq!(folder::find(Some(&sub), project.path()).unwrap(), sub);
    assert_eq!(folder::find(Some(&sub.join("thalweg.yml")), project.path()).unwrap(), sub);
}

#[test]
fn what_was_searched_is_told() {
    let project = TestProject::new().file("a/b.txt", "").write();
    let deep = project.path().join("a");
    let failure = folder::find(None, &deep).unwrap_err();
    let text = failure.human(Paint::Plain);
    assert!(text.contains(&format!("  {}\n  {}\n", deep.display(), project.path().display())), "{text}");
    assert!(text.contains("help: ") && text.contains("thalweg init DIR"), "{text}");
    assert_eq!(failure.exit_code(), 2);
    for (given, expected) in [
        (project.path().join("none"), "there is no folder"),
        (deep.clone(), "there is no thalweg.yml in"),
        (deep.join("b.txt"), "is not a folder"),
    ] {
        let text = folder::find(Some(&given), &deep).unwrap_err().human(Paint::Plain);
        assert!(text.contains(expected), "{text}");
    }
}
