//! What a server of Postgres was asked while something ran, and how long each answer took.

use std::fmt::Write;

use thalweg_testkit::{PostgresDatabase, PostgresServer};

/// How long a statement took.
#[derive(Debug, PartialEq)]
struct Statement {
    milliseconds: f64,
    text: String,
}

/// Statements in the order in which they came.
#[derive(Debug)]
pub struct Statements(Vec<Statement>);

impl Statements {
    /// What a database was asked by connections opened while something was done.
    pub fn of<T>(
        server: &PostgresServer,
        database: &PostgresDatabase<'_>,
        act: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Self)> {
        let name = database.name();
        let before = server.log().len();
        database.run(&format!("alter database {name} set log_min_duration_statement = 0"));
        let done = act();
        database.run(&format!("alter database {name} reset log_min_duration_statement"));
        let log = server.log();
        Ok((done?, Self(read(log.get(before..).unwrap_or_default()))))
    }

    /// How many there were, how long they took together, and the slowest of them.
    pub fn told(&self, slowest: usize) -> String {
        let sum: f64 = self.0.iter().map(|statement| statement.milliseconds).sum();
        let small: Vec<f64> = self.0.iter().map(|one| one.milliseconds).filter(|time| *time < 1.0).collect();
        let mut told = format!(
            "{} messages, {sum:.1} ms in all, of which {} below 1 ms take {:.1} ms; the slowest:\n",
            self.0.len(),
            small.len(),
            small.iter().sum::<f64>()
        );
        let mut order: Vec<(usize, &Statement)> = self.0.iter().enumerate().collect();
        order.sort_by(|one, other| other.1.milliseconds.total_cmp(&one.1.milliseconds));
        for (place, statement) in order.into_iter().take(slowest) {
            let text: String = statement.text.split_whitespace().collect::<Vec<_>>().join(" ");
            let text: String = text.chars().take(1500).collect();
            let _ = writeln!(told, "    {:>9.2} ms  no. {place:<4} {text}", statement.milliseconds);
        }
        told
    }
}

/// Reads a server's log: a message begins a line, and goes on in lines that begin with a tab.
fn read(log: &str) -> Vec<Statement> {
    let mut statements: Vec<Statement> = Vec::new();
    let mut goes_on = false;
    for line in log.lines() {
        if let Some(rest) = line.strip_prefix('\t') {
            if let Some(last) = statements.last_mut().filter(|_| goes_on) {
                last.text.push('\n');
                last.text.push_str(rest);
            }
            continue;
        }
        let found = line.split_once("LOG:  duration: ").and_then(|(_, rest)| rest.split_once(" ms  "));
        goes_on = found.is_some();
        if let Some((time, text)) = found
            && let Ok(milliseconds) = time.parse()
        {
            statements.push(Statement { milliseconds, text: text.to_owned() });
        }
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read_from_a_log() {
        let log = "2026-01-01 10:00:00.000 UTC [12] LOG:  duration: 0.250 ms  parse s0: select 1\n\
                   2026-01-01 10:00:00.001 UTC [12] DETAIL:  parameters: $1 = 'x\n\ty'\n\
                   2026-01-01 10:00:00.001 UTC [12] LOG:  duration: 12.5 ms  statement: select 2,\n\t  3\n\
                   2026-01-01 10:00:00.002 UTC [12] LOG:  checkpoint starting: time\n";
        let statement = |milliseconds, text: &str| Statement { milliseconds, text: text.to_owned() };
        assert_eq!(read(log), [statement(0.25, "parse s0: select 1"), statement(12.5, "statement: select 2,\n  3")]);
    }
}
