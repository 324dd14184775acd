//! The JSON schemas of the project's YAML files, for editors.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// The files of `schemas/` as they should be: name and text.
pub fn current() -> BTreeMap<String, String> {
    thalweg_project::json_schemas()
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), format!("{schema:#}\n")))
        .collect()
}

/// The files of `schemas/` as they are.
pub fn written(root: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for path in crate::files_below(&root.join("schemas"), ".json")? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.insert(name, fs::read_to_string(&path)?);
    }
    Ok(files)
}

/// Writes `schemas/` and answers with the names of the files.
pub fn write(root: &Path) -> io::Result<Vec<String>> {
    let folder = root.join("schemas");
    fs::create_dir_all(&folder)?;
    let current = current();
    for (name, text) in &current {
        fs::write(folder.join(name), text)?;
    }
    for old in written(root)?.into_keys().filter(|name| !current.contains_key(name)) {
        fs::remove_file(folder.join(old))?;
    }
    Ok(current.into_keys().collect())
}
