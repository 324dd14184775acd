//! Failpoints for the tests that kill a run at every step. Empty in the released program.
//!
//! | variable | meaning |
//! |---|---|
//! | `FAILPOINTS` | what happens at a failpoint, in the words of the crate `fail`: `run::tested=1*off->sleep(500)` |
//! | `THALWEG_KILL_AT` | `<name>[:<hit>]`: there the process kills itself with SIGKILL (at the first hit, or the given one) |
//! | `THALWEG_HOLD_AT` | `<name>[:<hit>]`: there the process makes the file of `THALWEG_HELD` and waits until somebody removes it |
//! | `THALWEG_WATCH` | names, separated by commas, of failpoints whose hits are to be listed |
//! | `THALWEG_HITS` | the file they are listed in, one name a line |

/// Keeps the failpoints armed while it lives.
#[derive(Default)]
pub struct Armed {
    #[cfg(feature = "failpoints")]
    _scenario: Option<fail::FailScenario<'static>>,
}

/// Arms the failpoints that the environment names.
pub fn arm() -> Armed {
    #[cfg(feature = "failpoints")]
    {
        let scenario = fail::FailScenario::setup();
        let variable = |name: &str| std::env::var(name).ok();
        if let (Some(names), Some(file)) = (variable("THALWEG_WATCH"), variable("THALWEG_HITS")) {
            for name in names.split(',').filter(|name| !name.is_empty()) {
                list_hits(name, &file);
            }
        }
        if let Some(place) = variable("THALWEG_KILL_AT") {
            // Nothing can be done when even that fails, and the test sees a process that went on.
            at(&place, || drop(signal_hook::low_level::raise(signal_hook::consts::SIGKILL)));
        }
        if let (Some(place), Some(file)) = (variable("THALWEG_HOLD_AT"), variable("THALWEG_HELD")) {
            at(&place, move || hold(&file));
        }
        Armed { _scenario: Some(scenario) }
    }
    #[cfg(not(feature = "failpoints"))]
    Armed::default()
}

#[cfg(feature = "failpoints")]
fn at(place: &str, act: impl Fn() + Send + Sync + 'static) {
    use std::sync::atomic::{AtomicU64, Ordering};

    // A name has colons of its own: only a number after the last one is a hit.
    let (name, hit) = match place.rsplit_once(':').map(|(name, hit)| (name, hit.parse::<u64>())) {
        Some((name, Ok(hit))) => (name, hit),
        _ => (place, 1),
    };
    let hits = AtomicU64::new(0);
    callback(name, move || {
        if hits.fetch_add(1, Ordering::SeqCst) + 1 == hit {
            act();
        }
    });
}

#[cfg(feature = "failpoints")]
fn hold(file: &str) {
    if let Err(error) = std::fs::write(file, "") {
        crate::output::talk(&format!("warning: {file} cannot be written: {error}"));
    }
    while std::path::Path::new(file).exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[cfg(feature = "failpoints")]
fn list_hits(name: &str, file: &str) {
    use std::io::Write;

    let (line, file) = (format!("{name}\n"), file.to_owned());
    callback(name, move || {
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(&file);
        // One write of one line: several threads and processes may list in one file.
        if let Err(error) = opened.and_then(|mut file| file.write_all(line.as_bytes())) {
            crate::output::talk(&format!("warning: {file} cannot be written: {error}"));
        }
    });
}

#[cfg(feature = "failpoints")]
fn callback(name: &str, act: impl Fn() + Send + Sync + 'static) {
    if let Err(error) = fail::cfg_callback(name, act) {
        crate::output::talk(&format!("warning: failpoint {name} is not armed: {error}"));
    }
}
