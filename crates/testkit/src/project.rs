//! Projects in temporary folders.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The files of a project, not yet written.
#[derive(Debug, Clone, Default)]
pub struct TestProject {
    files: Vec<(String, Vec<u8>)>,
}

impl TestProject {
    /// A project without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, or gives one that was added before another content.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        let path = path.into();
        self.files.retain(|(known, _)| *known != path);
        self.files.push((path, content.into()));
        self
    }

    /// Adds all files of a folder, such as a case of a test.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        let mut left = vec![folder.to_owned()];
        while let Some(next) = left.pop() {
            let entries = fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display()));
            let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            for path in paths {
                if path.is_dir() {
                    left.push(path);
                } else {
                    let name = path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/");
                    self = self.file(name, fs::read(&path).unwrap());
                }
            }
        }
        self
    }

    /// Writes everything into a new temporary folder.
    pub fn write(self) -> WrittenProject {
        let folder = tempfile::Builder::new().prefix("thalweg-test-").tempdir().unwrap();
        // Programs may print the path with links resolved; so do we.
        let path = folder.path().canonicalize().unwrap();
        let project = WrittenProject { _folder: folder, path };
        for (path, content) in self.files {
            project.put(&path, content);
        }
        project
    }
}

/// A project on disk; deleted when it goes out of scope.
#[derive(Debug)]
pub struct WrittenProject {
    _folder: TempDir,
    path: PathBuf,
}

impl WrittenProject {
    /// The project folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes or replaces a file. It appears whole, as a delivery should.
    pub fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let part = path.with_file_name(format!(".{}.part", path.file_name().unwrap().to_str().unwrap()));
        fs::write(&part, content).unwrap();
        fs::rename(part, path).unwrap();
    }

    /// Adds to the end of a file.
    pub fn append(&self, path: &str, content: impl AsRef<[u8]>) {
        use std::io::Write;
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(content.as_ref()).unwrap();
    }

    /// The text of a file, which must exist.
    pub fn read(&self, path: &str) -> String {
        let path = self.path.join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Whether a file or folder exists.
    pub fn exists(&self, path: &str) -> bool {
        self.path.join(path).exists()
    }

    /// Deletes a file, which must exist.
    pub fn remove(&self, path: &str) {
        fs::remove_file(self.path.join(path)).unwrap();
    }

    /// All files below the project folder, with `/`, in order.
    ///
    /// A program may be at work there: what goes while it is looked at is left out.
    pub fn files(&self) -> Vec<String> {
        let (mut left, mut names) = (vec![self.path.clone()], Vec::new());
        while let Some(next) = left.pop() {
            let Ok(entries) = fs::read_dir(&next) else { continue };
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    left.push(path);
                } else {
                    names.push(path.strip_prefix(&self.path).unwrap().to_str().unwrap().replace('\\', "/"));
                }
            }
        }
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let project = TestProject::new().file("a/b.txt", "one").file("a/b.txt", "two").file("c", "three").write();
        assert_eq!(project.read("a/b.txt"), "two");
        project.append("c", " and four");
        assert_eq!(project.read("c"), "three and four");
        assert_eq!(project.files(), ["a/b.txt", "c"]);
        let copy = TestProject::new().folder(project.path()).write();
        project.remove("c");
        assert!(!project.exists("c") && copy.exists("c"));
    }
}
