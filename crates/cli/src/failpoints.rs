//! Failpoints for the tests that kill a run at every step. Empty in the released program.

/// Keeps the failpoints armed while it lives.
#[derive(Default)]
pub struct Armed {
    #[cfg(feature = "failpoints")]
    _scenario: Option<fail::FailScenario<'static>>,
}

/// Arms the failpoints that `FAILPOINTS` names, and the one of `THALWEG_KILL_AT=<name>[:<hit>]`, where the process kills itself
/// with SIGKILL (at the first hit, or the given one).
pub fn arm() -> Armed {
    #[cfg(feature = "failpoints")]
    {
        let scenario = fail::FailScenario::setup();
        if let Ok(place) = std::env::var("THALWEG_KILL_AT") {
            kill_at(&place);
        }
        Armed { _scenario: Some(scenario) }
    }
    #[cfg(not(feature = "failpoints"))]
    Armed::default()
}

#[cfg(feature = "failpoints")]
fn kill_at(place: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};

    let (name, hit) = match place.rsplit_once(':').map(|(name, hit)| (name, hit.parse::<u64>())) {
        Some((name, Ok(hit))) => (name, hit),
        _ => (place, 1),
    };
    let hits = AtomicU64::new(0);
    let armed = fail::cfg_callback(name, move || {
        if hits.fetch_add(1, Ordering::SeqCst) + 1 == hit {
            // `kill` of the system, because sending a signal from here would need unsafe code.
            let _ = std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
            // The signal is on its way; nothing more may happen in this thread.
            loop {
                std::thread::park();
            }
        }
    });
    if let Err(error) = armed {
        crate::output::talk(&format!("warning: THALWEG_KILL_AT is ignored: {error}"));
    }
}
