//! The program on real projects, as told in `tests/cases/*.md`.
//!
//! A case is Markdown. A block ```` ```yaml thalweg.yml ```` is a file, written when the story reaches it. A block ```` ```console ````
//! holds commands (`$ thalweg ...`, `$ rm FILE`) and what came of them. Everything else is prose. `UPDATE_EXPECT=1` rewrites what
//! came; times, places and hashes are filtered.

use std::fs;
use std::path::Path;

use thalweg_testkit::{Program, TestProject, WrittenProject, expect};

use crate::PROGRAM;

#[test]
fn all() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "md"));
    files.sort();
    let wanted = std::env::var("CASE").unwrap_or_default();
    let mut failed = Vec::new();
    for file in files.iter().filter(|file| file.to_string_lossy().contains(&wanted)) {
        let story = fs::read_to_string(file).unwrap();
        let told = std::panic::catch_unwind(|| expect(file, &tell(&story)));
        if told.is_err() {
            failed.push(file.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    assert!(failed.is_empty(), "not as told: {}", failed.join(", "));
}

/// The story with what really came of its commands.
fn tell(story: &str) -> String {
    let project = TestProject::new().write();
    let program = Program::new(PROGRAM);
    let mut told = String::new();
    let mut lines = story.lines();
    while let Some(line) = lines.next() {
        told.push_str(&format!("{line}\n"));
        let Some(head) = line.strip_prefix("```") else { continue };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        match head.split_once(' ') {
            Some((_, path)) => {
                project.put(path, block.iter().map(|line| format!("{line}\n")).collect::<String>());
                told.extend(block.iter().map(|line| format!("{line}\n")));
            }
            None => {
                for command in block.iter().filter_map(|line| line.strip_prefix("$ ")) {
                    told.push_str(&format!("$ {command}\n{}", run(&program, &project, command)));
                }
            }
        }
        told.push_str("```\n");
    }
    told
}

fn run(program: &Program, project: &WrittenProject, command: &str) -> String {
    let words = words(command);
    match words.split_first() {
        Some((first, rest)) if first == "thalweg" => {
            let answer = program.run(project, rest).to_string();
            // A project that is made in the temporary folder takes its name.
            let folder = project.path().file_name().unwrap().to_string_lossy().to_lowercase().replace('-', "_");
            let answer = answer.replace(&folder, "[name]");
            let mut lines: Vec<&str> = answer.lines().map(unruled).collect();
            // Streams are read at the same time: which is done first is not told.
            let begins = lines.iter().position(|line| line.starts_with("run ") && line.contains(" begins: "));
            if let Some(first) = begins.map(|at| at + 1) {
                let read = lines[first..].iter().take_while(|line| is_about_reading(line)).count();
                lines[first..first + read].sort_unstable();
            }
            lines.into_iter().map(|line| format!("{line}\n")).collect()
        }
        Some((first, [path])) if first == "rm" => {
            project.remove(path);
            String::new()
        }
        _ => panic!("`{command}`: expected `thalweg ...` or `rm FILE`"),
    }
}

/// Whether a line of a run says what became of reading a stream.
fn is_about_reading(line: &str) -> bool {
    let about = line
        .strip_prefix("failed: ")
        .or_else(|| line.strip_prefix("note: "))
        .or_else(|| line.strip_prefix("warning: "));
    let about = about.unwrap_or(line).split(':').next().unwrap_or_default();
    about.contains('.') && !about.contains(' ') && !about.starts_with("store.") && !about.starts_with("seeds.")
}

/// The line under a table's header is as long as the table is wide, which depends on how long things took.
fn unruled(line: &str) -> &str {
    if line.len() > 10 && line.trim_start().chars().all(|letter| letter == '-') { "----------" } else { line }
}

/// A command line as a shell would split it, as far as stories need it.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (Some(_), letter) => word.get_or_insert_default().push(letter),
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}
