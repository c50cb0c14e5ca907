//! What the servers of the tests log: kept in the folder `HOLDFAST_TEST_LOGS` where that is set, so that
//! the logs of a whole run can be looked through for secrets.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once};

use tracing_subscriber::EnvFilter;
use uuid::Uuid;

/// Everything of our own, since a secret may hide in the finest detail.
const FILTER: &str = "info,presign_server=trace,upload_storage=trace,tower_http=debug";

/// Keeps the log of a process that has ended.
pub fn keep(log: &Path) {
    if let Some(folder) = folder() {
        std::fs::copy(log, folder.join(format!("presign-server-{}.log", Uuid::new_v4()))).unwrap();
    }
}

/// Logs what happens in this process from now on.
pub fn record_this_process() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let Some(folder) = folder() else { return };
        let file = File::create(folder.join(format!("in-process-{}.log", std::process::id()))).unwrap();
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(FILTER))
            .with_ansi(false)
            .with_writer(Mutex::new(file))
            .init();
    });
}

fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("HOLDFAST_TEST_LOGS")?);
    std::fs::create_dir_all(&folder).unwrap();
    Some(folder)
}
