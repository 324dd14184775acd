//! How a database is reached: the settings that sources and targets have alike.

use std::time::Duration;

use serde_json::json;

use super::database_url::{self, UrlParts};
use super::{Reader, settings};
use crate::diagnostic::nearest;
use crate::duration::Span;
use crate::yaml::{Content, Node};
use crate::{DatabaseKind, DatabaseSettings, Secret, SslMode};

/// Words that a URL may have behind `?`.
const PARAMETERS: &[&str] = &["sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout"];

/// Where a connection is written, and what it belongs to.
pub(super) struct ConnectionPlace<'p> {
    /// For messages: "source `shop`".
    pub(super) what: &'p str,
    pub(super) file: &'p str,
    /// The node of its keys.
    pub(super) node: &'p Node,
    /// Where a mistake is shown whose key is not there, if not at the node.
    pub(super) above: Option<std::ops::Range<usize>>,
}

impl ConnectionPlace<'_> {
    fn span(&self, key: &str) -> std::ops::Range<usize> {
        match (self.node.get(key), &self.above) {
            (None, Some(above)) => above.clone(),
            _ => settings::place(self.node, &[key]),
        }
    }
}

/// The settings as written.
pub(super) struct ConnectionForm {
    pub(super) url: Option<String>,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: Option<String>,
    pub(super) sslmode: Option<SslMode>,
    pub(super) sslrootcert: Option<String>,
    pub(super) sslcert: Option<String>,
    pub(super) sslkey: Option<String>,
    pub(super) connections: Option<usize>,
    pub(super) connect_timeout: Option<Span>,
    pub(super) statement_timeout: Option<Span>,
}

impl Reader<'_> {
    /// How a database is reached, from its form; a URL is taken apart.
    pub(super) fn database_settings(
        &mut self,
        at: &ConnectionPlace<'_>,
        kind: DatabaseKind,
        form: ConnectionForm,
    ) -> DatabaseSettings {
        let file = at.file;
        let parts_given =
            ["host", "port", "user", "password", "database"].into_iter().find(|key| is_given(at.node, key));
        let url = form.url.as_deref().filter(|_| !is_unknown(at.node.get("url")));
        let mut parts = UrlParts::default();
        if let (Some(_), Some(key)) = (&form.url, parts_given) {
            let message = format!("the {} has both `url` and `{key}`", at.what);
            self.report("conflicting-keys", message, file, at.span("url")).help =
                Some("keep either `url`, or `host`, `port`, `user`, `password` and `database`".to_owned());
        } else if let Some(url) = url {
            parts = self.database_url(at, kind, url);
        }
        let mut sslmode = form.sslmode;
        let mut connect_timeout = form.connect_timeout.map(|span| span.0);
        let mut files = [form.sslrootcert, form.sslcert, form.sslkey];
        for (name, value) in std::mem::take(&mut parts.parameters) {
            let number = ["sslrootcert", "sslcert", "sslkey"].iter().position(|known| *known == name);
            match name.as_str() {
                "sslmode" => match serde_json::from_value::<SslMode>(json!(value.to_lowercase())) {
                    Ok(mode) => sslmode = sslmode.or(Some(mode)),
                    Err(_) => {
                        let message = format!("`sslmode` in the `url` of the {} is none of its words", at.what);
                        self.report("bad-url", message, file, at.span("url")).help = Some(
                            "write `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`".to_owned(),
                        );
                    }
                },
                "connect_timeout" => {
                    connect_timeout = connect_timeout.or(value.parse().ok().map(Duration::from_secs));
                }
                _ => {
                    if let Some(number) = number {
                        files[number] = files[number].take().or(Some(value));
                    }
                }
            }
        }
        let [sslrootcert, sslcert, sslkey] = files;
        let host = form.host.or(parts.host).unwrap_or_else(|| "localhost".to_owned());
        let user = form.user.or(parts.user);
        let database = form.database.or(parts.database);
        let told = form.url.is_some() && url.is_none();
        for (key, value) in [("user", &user), ("database", &database)] {
            if value.is_none() && !told && !self.has_error_at(at, "url") {
                let message = format!("the {} needs `{key}`", at.what);
                let span = at.span(if form.url.is_some() { "url" } else { "type" });
                self.report("missing-key", message, file, span).help = Some(match form.url {
                    Some(_) => format!("write the URL like `{}://user:password@host/database`", kind.word()),
                    None => "add `url: ${DATABASE_URL}`, or `host`, `user`, `password` and `database`".to_owned(),
                });
            }
        }
        DatabaseSettings {
            kind,
            host,
            port: form.port.or(parts.port).unwrap_or_else(|| kind.default_port()),
            user: user.unwrap_or_default(),
            password: form.password.or(parts.password).map(Secret::new),
            database: database.unwrap_or_default(),
            sslmode: sslmode.unwrap_or_default(),
            sslrootcert,
            sslcert,
            sslkey,
            connections: form.connections.unwrap_or(DatabaseSettings::CONNECTIONS),
            connect_timeout: connect_timeout.unwrap_or(DatabaseSettings::CONNECT_TIMEOUT),
            statement_timeout: form.statement_timeout.map_or(DatabaseSettings::STATEMENT_TIMEOUT, |span| span.0),
        }
    }

    /// Whether something was reported at a key already.
    fn has_error_at(&self, at: &ConnectionPlace<'_>, key: &str) -> bool {
        let span = at.span(key);
        !span.is_empty()
            && self
                .diagnostics
                .iter()
                .any(|diagnostic| diagnostic.location.file == at.file && diagnostic.location.span.start == span.start)
    }

    fn database_url(&mut self, at: &ConnectionPlace<'_>, kind: DatabaseKind, url: &str) -> UrlParts {
        let span = at.span("url");
        let file = at.file;
        let parts = match database_url::parse(url) {
            Ok(parts) => parts,
            Err(complaint) => {
                let message = format!("`url` of the {} is no connection URL: {complaint}", at.what);
                self.report("bad-url", message, file, span).help =
                    Some(format!("write it like `{}://user:password@host/database`", kind.word()));
                return UrlParts::default();
            }
        };
        let (schemes, word): (&[&str], _) = match kind {
            DatabaseKind::Postgres => (&["postgres", "postgresql"], "postgres"),
            DatabaseKind::Mysql | DatabaseKind::Mariadb => (&["mysql", "mariadb"], "mysql"),
        };
        if !schemes.contains(&parts.scheme.as_str()) {
            let message = format!("`url` of the {} does not begin with `{word}://`, as its type says", at.what);
            self.report("bad-url", message, file, span.clone()).help = Some("change `url` or `type`".to_owned());
        }
        if let Some((name, _)) = parts.parameters.iter().find(|(name, _)| !PARAMETERS.contains(&name.as_str())) {
            let help = match nearest(name, PARAMETERS.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are `{}`", PARAMETERS.join("`, `")),
            };
            // The name stands in the URL, which may come from the environment.
            let message = format!("`url` of the {} has a setting behind `?` that is not known", at.what);
            self.report("bad-url", message, file, span).help = Some(help);
        }
        parts
    }
}

fn is_given(node: &Node, key: &str) -> bool {
    node.get(key).is_some_and(|value| !value.is_null())
}

/// Whether a value is not known because its variable is not set.
fn is_unknown(node: Option<&Node>) -> bool {
    matches!(node.map(|node| &node.content), Some(Content::Scalar(scalar)) if scalar.unknown)
}
