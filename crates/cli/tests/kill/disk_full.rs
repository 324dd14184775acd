//! No room on the disk.

use std::fs::File;
use std::io::Write;
use std::process::Command;

use thalweg_testkit::{TestProject, WrittenProject};

use crate::each::assert_all_or_nothing;
use crate::folder::copy_into;
use crate::history::History;
use crate::parallel::for_each;
use crate::program::{BUILD, Build, build_well, finish, program};
use crate::state::{State, assert_same, read_by_people};

/// A project on a disk of its own, as large as the project and a little more. Where nobody may make one, there is none.
struct SmallDisk(WrittenProject);

impl SmallDisk {
    fn with(project: &WrittenProject) -> Option<Self> {
        let disk = TestProject::new().write();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=96m", "tmpfs"]).arg(disk.path()).output();
        if !mount.is_ok_and(|mount| mount.status.success()) {
            return None;
        }
        copy_into(project, disk.path());
        Some(Self(disk))
    }

    /// Leaves room for so many KiB.
    fn fill(&self, left: u64) {
        let mut ballast = File::create(self.0.path().join("ballast")).unwrap();
        let mut size = 0;
        while let Ok(written @ 1..) = ballast.write(&[0; 4096]) {
            size += written as u64;
        }
        ballast.set_len(size.saturating_sub(left * 1024)).unwrap();
    }

    fn make_room(&self) {
        self.0.remove("ballast");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(self.0.path()).output();
    }
}

fn assert_clear(failed: &Build) {
    assert!(matches!(failed.code, Some(1 | 2)), "{failed:#?}");
    let message = failed.error().to_lowercase();
    assert!(["full", "no space", "too large"].iter().any(|word| message.contains(word)), "{failed:#?}");
}

/// Everything is as after an undisturbed build; only the number of the run may be another, where a failed one was recorded.
fn assert_recovered(project: &WrittenProject) {
    let (expected, found) = (History::undisturbed().after(2), State::of(project));
    assert_same("what people read", &read_by_people(&expected.published), &read_by_people(&found.published));
    assert_eq!(expected.files_without_numbers(), found.files_without_numbers());
}

#[test]
fn a_full_disk_is_an_error_and_nothing_is_half_published() {
    let history = History::undisturbed();
    let room: Vec<u64> = vec![0, 32, 128, 256, 512, 1024, 2048, 4096];
    for_each(&room, |&room| {
        let Some(disk) = SmallDisk::with(&history.before(2)) else { return };
        disk.fill(room);
        let first = finish(program().start(&disk.0, BUILD));
        let published = assert_all_or_nothing(2, &disk.0);
        if first.code != Some(0) {
            assert_clear(&first);
        }
        disk.make_room();
        if !published {
            build_well(&disk.0);
        }
        build_well(&disk.0);
        let quiet = build_well(&disk.0);
        assert_eq!(quiet.state(), Some("nothing"));
        assert_recovered(&disk.0);
    });
}

/// Where no small disk can be had: files may not grow beyond a size.
#[test]
fn a_file_that_may_not_grow_is_an_error_and_nothing_is_half_published() {
    let history = History::undisturbed();
    let blocks: Vec<u64> = vec![0, 4, 2048, 4096];
    for_each(&blocks, |&blocks| {
        let project = history.before(2);
        let build = program().command(&project, BUILD);
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
        limited.arg(build.get_program()).args(build.get_args()).current_dir(project.path()).env_clear();
        limited.envs(build.get_envs().filter_map(|(name, value)| Some((name, value?))));
        limited.stdin(std::process::Stdio::null());
        let output = limited.output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let published = assert_all_or_nothing(2, &project);
        match output.status.code() {
            Some(0) => {}
            Some(1 | 2) => assert!(text.contains("\"event\":\"error\"") || text.contains("too large"), "{text}"),
            _ => panic!("{:?}: {text}", output.status),
        }
        if !published {
            build_well(&project);
        }
        build_well(&project);
        assert_recovered(&project);
    });
}
