//! Generated files are current.

#![allow(clippy::unwrap_used)]

use thalweg_xtask::{schemas, workspace_root};

#[test]
fn schemas_are_current() {
    let written = schemas::written(&workspace_root()).unwrap_or_default();
    let current = schemas::current();
    let stale: Vec<_> =
        current.iter().filter(|(name, text)| written.get(*name) != Some(text)).map(|(name, _)| name).collect();
    assert!(stale.is_empty(), "run `cargo xtask schemas`; not current: {stale:?}");
    let old: Vec<_> = written.keys().filter(|name| !current.contains_key(*name)).collect();
    assert!(old.is_empty(), "run `cargo xtask schemas`; left over: {old:?}");
}
