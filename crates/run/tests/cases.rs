//! The cases as tests: one for each file in `cases/`.

use std::path::Path;

use crate::case::play;

macro_rules! cases {
    ($($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                play(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(concat!(stringify!($name), ".txt")));
            }
        )*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

cases! {
    merge_verdicts,
}

#[test]
fn every_case_is_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let name = name.strip_suffix(".txt").unwrap_or_else(|| panic!("{name} is no case"));
        assert!(NAMES.contains(&name), "cases/{name}.txt is not listed");
    }
}
