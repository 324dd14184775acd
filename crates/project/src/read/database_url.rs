//! A connection URL, taken apart.

/// The parts of a URL, as far as it gives them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UrlParts {
    /// What stands before `://`.
    pub scheme: String,
    /// User name.
    pub user: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// Host name, address, or path of a socket.
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// Database.
    pub database: Option<String>,
    /// What stands behind `?`, in order.
    pub parameters: Vec<(String, String)>,
}

/// Takes a URL apart. `%XX` stands for a byte; a password may also hold any character as it is, `@`, `:`, `/` and `?` among them, because
/// what stands before the last `@` is user and password. The complaint never quotes the URL.
pub fn parse(url: &str) -> Result<UrlParts, &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("it does not begin with `mysql://` or `postgres://`")?;
    let (credentials, place) = match rest.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials), place),
        None => (None, rest),
    };
    let (user, password) = match credentials.map(|text| text.split_once(':').unwrap_or((text, ""))) {
        Some((user, password)) => (decoded(user), decoded(password)),
        None => (None, None),
    };
    let (place, query) = place.split_once('?').unwrap_or((place, ""));
    let (address, database) = place.split_once('/').unwrap_or((place, ""));
    let (host, port) = match address.strip_prefix('[') {
        Some(address) => {
            let (host, behind) = address.split_once(']').ok_or("the address in `[` has no `]`")?;
            (host, behind.strip_prefix(':').unwrap_or(behind))
        }
        None => address.split_once(':').unwrap_or((address, "")),
    };
    let port = match port {
        "" => None,
        port => Some(port.parse().ok().filter(|port| *port > 0).ok_or("the port is not a number from 1 to 65535")?),
    };
    let parameters = query.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(name).unwrap_or_default(), decoded(value).unwrap_or_default())
    });
    Ok(UrlParts {
        scheme: scheme.to_ascii_lowercase(),
        user,
        password,
        host: decoded(host),
        port,
        database: decoded(database),
        parameters: parameters.collect(),
    })
}

/// A part with its `%XX` replaced; `None` when it is empty. What is no `%XX` stays as it is.
fn decoded(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let byte = behind.get(..2).filter(|_| *first == b'%').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
            u8::from_str_radix(digits, 16).ok()
        });
        match byte {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    Some(String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts() {
        let parts = parse("mysql://ana:p%40ss@db.example:3307/orders?sslmode=require&connect_timeout=5").unwrap();
        assert_eq!(
            parts,
            UrlParts {
                scheme: "mysql".into(),
                user: Some("ana".into()),
                password: Some("p@ss".into()),
                host: Some("db.example".into()),
                port: Some(3307),
                database: Some("orders".into()),
                parameters: vec![("sslmode".into(), "require".into()), ("connect_timeout".into(), "5".into())],
            }
        );
        let parts = parse("postgres://ana:a:b/c?d@e%@[::1]/dw").unwrap();
        assert_eq!(parts.password.as_deref(), Some("a:b/c?d@e%"));
        assert_eq!((parts.host.as_deref(), parts.port, parts.database.as_deref()), (Some("::1"), None, Some("dw")));
        let parts = parse("postgres://ana@%2Frun%2Fpostgresql/dw").unwrap();
        assert_eq!((parts.host.as_deref(), parts.password), (Some("/run/postgresql"), None));
        assert_eq!(parse("postgres://").unwrap(), UrlParts { scheme: "postgres".into(), ..UrlParts::default() });
    }

    #[test]
    fn complaints() {
        for url in ["", "db:3306/orders", "mysql://db:0/x", "mysql://db:99999/x", "mysql://db:abc/x", "mysql://[::1/x"]
        {
            assert!(parse(url).is_err(), "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_or_refused(text in ".{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn an_encoded_password_comes_back(password in "\\PC{1,20}") {
            let encoded: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let parts = parse(&format!("mysql://u:{encoded}@h/d")).unwrap();
            prop_assert_eq!(parts.password, Some(password));
        }
    }
}
