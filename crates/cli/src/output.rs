//! Where text goes, and whether it may be coloured.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

/// Writes data to stdout, with a line end if there is none. When the reader has gone, the text is dropped: a run must not fail
/// because `head` has seen enough.
pub fn answer(text: &str) {
    if let Err(error) = write_to(&mut std::io::stdout().lock(), text)
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        UNWRITTEN.get_or_init(|| error.to_string());
    }
}

/// What the first answer died of that could not be written: a full disk, for one. It is told at the end.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

/// Why an answer could not be written, if one could not.
pub fn unwritten() -> Option<&'static str> {
    UNWRITTEN.get().map(String::as_str)
}

/// Writes talk to stderr, with a line end if there is none.
pub fn talk(text: &str) {
    let _ = write_to(&mut std::io::stderr().lock(), text);
}

fn write_to(stream: &mut impl Write, text: &str) -> std::io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let end = if text.ends_with('\n') { "" } else { "\n" };
    write!(stream, "{text}{end}").and_then(|()| stream.flush())
}

/// How text is set off. Everything is readable without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// As it is.
    Plain,
    /// With the terminal's colours.
    Coloured,
}

impl Paint {
    /// For stdout: coloured on a terminal, unless `NO_COLOR` is set.
    pub fn stdout() -> Self {
        Self::choose(std::io::stdout().is_terminal())
    }

    /// For stderr, likewise.
    pub fn stderr() -> Self {
        Self::choose(std::io::stderr().is_terminal())
    }

    fn choose(terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if terminal && !refused { Self::Coloured } else { Self::Plain }
    }

    /// Whether there are colours.
    pub fn is_coloured(self) -> bool {
        self == Self::Coloured
    }

    fn wrap(self, code: &str, text: impl Display) -> String {
        match self {
            Self::Plain => text.to_string(),
            Self::Coloured => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }

    /// For headings.
    pub fn bold(self, text: impl Display) -> String {
        self.wrap("1", text)
    }

    /// For what the eye may skip.
    pub fn faint(self, text: impl Display) -> String {
        self.wrap("2", text)
    }

    /// For what failed.
    pub fn red(self, text: impl Display) -> String {
        self.wrap("1;31", text)
    }

    /// For what deserves attention.
    pub fn yellow(self, text: impl Display) -> String {
        self.wrap("1;33", text)
    }

    /// For what went well.
    pub fn green(self, text: impl Display) -> String {
        self.wrap("1;32", text)
    }

    /// For hints.
    pub fn cyan(self, text: impl Display) -> String {
        self.wrap("1;36", text)
    }
}
