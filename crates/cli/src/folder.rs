//! Finding the project's folder.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The file that makes a folder a project.
pub const PROJECT_FILE: &str = "thalweg.yml";

/// The project's folder: the given one, or the nearest with a `thalweg.yml` from `current` upward.
pub fn find(given: Option<&Path>, current: &Path) -> Result<PathBuf, Failure> {
    if let Some(folder) = given {
        // People complete the path to the file by habit.
        if folder.file_name().is_some_and(|name| name == PROJECT_FILE) && folder.is_file() {
            return Ok(folder
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
                .unwrap_or(Path::new("."))
                .into());
        }
        if folder.join(PROJECT_FILE).is_file() {
            return Ok(folder.to_owned());
        }
        let what = if folder.is_dir() {
            format!("there is no {PROJECT_FILE} in {}", folder.display())
        } else if folder.exists() {
            format!("{} is not a folder", folder.display())
        } else {
            format!("there is no folder {}", folder.display())
        };
        return Err(Failure::message(what)
            .with_help("give the folder that holds thalweg.yml, or make a project there with `thalweg init DIR`"));
    }
    current.ancestors().find(|folder| folder.join(PROJECT_FILE).is_file()).map(Path::to_owned).ok_or_else(|| {
        let searched: Vec<_> = current.ancestors().map(|folder| format!("  {}", folder.display())).collect();
        Failure::message(format!(
            "this is not a Thalweg project: no {PROJECT_FILE} was found in any of\n{}",
            searched.join("\n")
        ))
        .with_help("go to a project's folder, give one with `--project DIR`, or make one with `thalweg init DIR`")
    })
}
