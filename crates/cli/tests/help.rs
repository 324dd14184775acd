//! What `--help` says, and that it is said at once.

use std::process::Command;
use std::time::{Duration, Instant};

use clap::CommandFactory;
use thalweg_cli::arguments::Arguments;

use crate::{PROGRAM, check};

fn draw(command: &mut clap::Command, path: &str, text: &mut String) {
    // The width of a terminal must not matter.
    let mut shown = command.clone().term_width(100).bin_name(path);
    text.push_str(&format!("===== {path} --help\n{}\n", shown.render_long_help()));
    for verb in command.get_subcommands_mut() {
        let path = format!("{path} {}", verb.get_name());
        draw(verb, &path, text);
    }
}

#[test]
fn of_every_verb() {
    let mut text = String::new();
    let mut command = Arguments::command();
    command.build();
    draw(&mut command, "thalweg", &mut text);
    let text: Vec<_> = text.lines().map(str::trim_end).collect();
    check("help", &format!("{}\n", text.join("\n")));
}

#[test]
fn it_is_said_at_once() {
    let fastest = (0..20)
        .map(|_| {
            let start = Instant::now();
            Command::new(PROGRAM).arg("--help").output().unwrap();
            start.elapsed()
        })
        .min();
    let most = Duration::from_millis(if cfg!(debug_assertions) { 100 } else { 20 });
    assert!(fastest.unwrap() < most, "{fastest:?}");
}

#[test]
fn alone_it_prints_help() {
    let alone = Command::new(PROGRAM).output().unwrap();
    let asked = Command::new(PROGRAM).arg("-h").output().unwrap();
    assert_eq!(alone.status.code(), Some(0));
    assert_eq!(String::from_utf8(alone.stdout).unwrap(), String::from_utf8(asked.stdout).unwrap());
}

#[test]
fn mistakes_in_arguments_exit_with_2() {
    let answer = Command::new(PROGRAM).arg("biuld").output().unwrap();
    assert_eq!(answer.status.code(), Some(2));
    assert!(answer.stdout.is_empty());
}

#[test]
fn completions_name_every_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let answer = Command::new(PROGRAM).args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(answer.stdout).unwrap();
        assert_eq!(answer.status.code(), Some(0));
        for verb in Arguments::command().get_subcommands() {
            assert!(script.contains(verb.get_name()), "{shell}: {}", verb.get_name());
        }
    }
}
