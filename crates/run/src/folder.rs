//! Reading a project's folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thalweg_project::{InputFile, ProjectInput};

use crate::error::RunError;
use crate::options::OpenOptions;

/// The folders of a project that have a meaning, and the files in them that are read.
const ROOMS: [(&str, &[&str]); 6] = [
    ("sources", &["yml", "yaml"]),
    ("models", &["sql", "yml", "yaml"]),
    ("tests", &["sql", "yml", "yaml"]),
    ("macros", &["sql"]),
    ("reports", &["sql", "yml", "yaml"]),
    ("seeds", &["csv", "yml", "yaml"]),
];

/// Everything a project is read from, in order of path.
pub fn read(folder: &Path, options: &OpenOptions) -> Result<ProjectInput, RunError> {
    let mut files = Vec::new();
    let main = folder.join("thalweg.yml");
    match read_text(&main) {
        Ok(text) => files.push(InputFile::new("thalweg.yml", text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(&main, &error)),
    }
    for (room, extensions) in ROOMS {
        collect(folder, Path::new(room), extensions, &mut files)?;
    }
    let env_path = folder.join(".env");
    let env_file = match read_text(&env_path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(&env_path, &error)),
    };
    Ok(ProjectInput {
        files,
        env_file,
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect::<BTreeMap<_, _>>(),
        target: options.target.clone(),
        vars: options.vars.clone().into_iter().collect(),
        discovered: BTreeMap::new(),
    })
}

/// Adds the files below `folder/relative`; hidden ones are left out, links are not followed out of the project.
fn collect(folder: &Path, relative: &Path, extensions: &[&str], files: &mut Vec<InputFile>) -> Result<(), RunError> {
    let here = folder.join(relative);
    let entries = match fs::read_dir(&here) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(&here, &error)),
    };
    let mut names: Vec<(String, bool)> = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(&here, &error))?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(RunError::Folder(format!(
                "{}: the file name {} is not UTF-8: rename it",
                here.display(),
                Path::new(&entry.file_name()).display()
            )));
        };
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(|error| unreadable(&entry.path(), &error))?;
        let is_folder = if kind.is_symlink() { inside(folder, &entry.path())? } else { kind.is_dir() };
        names.push((name, is_folder));
    }
    names.sort();
    for (name, is_folder) in names {
        let relative = relative.join(&name);
        if is_folder {
            collect(folder, &relative, extensions, files)?;
            continue;
        }
        let extension = Path::new(&name).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if extensions.contains(&extension.to_ascii_lowercase().as_str()) {
            let path = folder.join(&relative);
            let text = read_text(&path).map_err(|error| unreadable(&path, &error))?;
            files.push(InputFile::new(with_slashes(&relative), text));
        }
    }
    Ok(())
}

/// The text of a file of the project, without a mark of the byte order, which editors write and nobody sees.
pub fn read_text(path: &Path) -> io::Result<String> {
    // Reading a pipe would wait for somebody to write to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = fs::read_to_string(path)?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// Whether a link leads to a folder; refused when it leads out of the project.
fn inside(folder: &Path, link: &Path) -> Result<bool, RunError> {
    let target = link.canonicalize().map_err(|error| unreadable(link, &error))?;
    let root = folder.canonicalize().map_err(|error| unreadable(folder, &error))?;
    if !target.starts_with(&root) {
        return Err(RunError::Folder(format!(
            "{} is a link that leads out of the project: copy the file into the project instead",
            link.display()
        )));
    }
    Ok(target.is_dir())
}

fn with_slashes(path: &Path) -> String {
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn unreadable(path: &Path, error: &io::Error) -> RunError {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "give this user the right to read it",
        io::ErrorKind::InvalidData => "save it as UTF-8",
        io::ErrorKind::Other => "put a file in its place",
        _ => "check the disk and the path",
    };
    RunError::Folder(format!("cannot read {}: {error}; {hint}", path.display()))
}

/// A path of the project's files: relative ones start at its folder.
pub fn resolve(folder: &Path, path: &str) -> PathBuf {
    folder.join(path)
}
