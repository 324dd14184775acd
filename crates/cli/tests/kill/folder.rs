//! Project folders: written, copied, changed by deliveries, listed.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use thalweg_testkit::{TestProject, WrittenProject};

use crate::project::Change;

/// A copy in a folder of its own. Files keep their times, since deliveries are read in the order of these.
pub fn copy(project: &WrittenProject) -> WrittenProject {
    let copy = TestProject::new().write();
    copy_into(project, copy.path());
    copy
}

/// The same into a folder that is there.
pub fn copy_into(project: &WrittenProject, folder: &Path) {
    copy_folder(project.path(), folder);
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
            let modified = entry.metadata().unwrap().modified().unwrap();
            File::options().write(true).open(&target).unwrap().set_modified(modified).unwrap();
        }
    }
}

/// Lets a delivery arrive. Each file is a second younger than the one before.
pub fn deliver(project: &WrittenProject, number: usize, changes: Vec<Change>) {
    let day = Duration::from_secs(86_400);
    let start = SystemTime::UNIX_EPOCH + day * 20_000 + day * u32::try_from(number).unwrap();
    for (change, second) in changes.into_iter().zip(0..) {
        let path = match change {
            Change::Put(path, text) => {
                project.put(path, text);
                path
            }
            Change::Append(path, text) => {
                project.append(path, text);
                path
            }
            Change::Rename(from, to) => {
                fs::rename(project.path().join(from), project.path().join(to)).unwrap();
                continue;
            }
        };
        let file = File::options().write(true).open(project.path().join(path)).unwrap();
        file.set_modified(start + Duration::from_secs(second)).unwrap();
    }
}
