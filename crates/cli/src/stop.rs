//! Ctrl-C and SIGTERM: first stop cleanly, then at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::output;

/// Sets `cancelled` at the first signal and says so; leaves with 128 + signal at the second.
pub fn listen(cancelled: Arc<AtomicBool>) {
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
