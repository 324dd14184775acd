//! Cases as text: commands, what is given to them, and what is expected of them.
//!
//! ```text
//! # Why.
//! $ put incoming/a.csv
//! | id,name
//! | 1,one
//! $ build
//! run 1 published
//! ```
//!
//! Lines behind `|` are given to the command above them, `#` begins a remark, everything else is what the command answered.

/// One command of a case.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// Remarks before it.
    pub remarks: Vec<String>,
    /// The command without `$`.
    pub line: String,
    /// What is given to it.
    pub given: Vec<String>,
}

/// Reads a case. Expected answers are left out: the whole text is compared after it was written anew.
pub fn read(text: &str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    let mut remarks = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push(Command {
                remarks: std::mem::take(&mut remarks),
                line: command.to_owned(),
                given: Vec::new(),
            });
        } else if line.starts_with('#') {
            remarks.push(line.to_owned());
        } else if let (Some(given), Some(command)) = (line.strip_prefix('|'), commands.last_mut()) {
            command.given.push(given.strip_prefix(' ').unwrap_or(given).to_owned());
        }
    }
    commands
}

impl Command {
    /// What is given to it, as a file.
    pub fn file(&self) -> String {
        self.given.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Its words.
    pub fn words(&self) -> Vec<&str> {
        self.line.split_whitespace().collect()
    }

    /// The value of `name=value`, up to the next blank; `~` stands for a blank.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.words().iter().find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.replace('~', " ")))
    }

    /// Whether a word stands behind the command.
    pub fn flag(&self, name: &str) -> bool {
        self.words().iter().skip(1).any(|word| *word == name)
    }

    /// The command as it stands in a case, with an answer.
    pub fn written(&self, answer: &str) -> String {
        let mut text = String::new();
        for remark in &self.remarks {
            text.push_str(&format!("{remark}\n"));
        }
        text.push_str(&format!("$ {}\n", self.line));
        for line in &self.given {
            text.push_str(format!("| {line}").trim_end());
            text.push('\n');
        }
        for line in answer.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}
