//! Ctrl-C and SIGTERM: first stop cleanly, then at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::output;

/// Listens once for the whole process, however often a project is opened.
static LISTENING: Once = Once::new();

/// Sets `cancelled` at the first signal and says so; leaves with 128 + signal at the second.
pub fn listen(cancelled: Arc<AtomicBool>) {
    LISTENING.call_once(|| start(cancelled));
}

fn start(cancelled: Arc<AtomicBool>) {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else {
        // Without a handler the signal ends the process, which a run survives as well.
        return;
    };
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if cancelled.swap(true, Ordering::SeqCst) {
                std::process::exit(128 + signal);
            }
            output::talk("\nstopping cleanly; once more to stop at once (nothing is lost either way)");
        }
    });
}
