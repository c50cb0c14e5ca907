//! Web Locks: one holder of a name in the whole origin, released by the browser when the holder dies.

use futures::channel::oneshot;
use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;

use super::global::lock_manager;

// Declared here because web-sys keeps Web Locks behind its unstable flag.
// <https://w3c.github.io/web-locks/>
#[wasm_bindgen]
extern "C" {
    pub(super) type LockManager;

    #[wasm_bindgen(method)]
    fn request(this: &LockManager, name: &str, callback: &Function) -> Promise;
}

/// A lock that is held until this is dropped or its context ends.
#[derive(Debug)]
pub struct HeldLock {
    release: Function,
}

/// Whether this context has Web Locks: only secure ones do.
pub fn locks_available() -> bool {
    lock_manager().is_some()
}

impl HeldLock {
    /// Waits for the lock, however long; forever where there are no locks or the browser refuses.
    pub async fn acquire(name: &str) -> Self {
        match Self::request(name).await {
            Some(held) => held,
            None => futures::future::pending().await,
        }
    }

    async fn request(name: &str) -> Option<Self> {
        let locks = lock_manager()?;
        let (granted, waits) = oneshot::channel();
        let callback = Closure::once_into_js(move || {
            let mut release = None;
            let held = Promise::new(&mut |resolve, _| release = Some(resolve));
            if let Some(release) = release {
                let lock = Self { release };
                // Nobody waits any more: dropping the lock releases it at once.
                drop(granted.send(lock));
            }
            JsValue::from(held)
        });
        let promise = locks.request(name, callback.unchecked_ref());
        // A refused request (an opaque origin) rejects; without a handler it would be reported as uncaught.
        wasm_bindgen_futures::spawn_local(async move {
            drop(wasm_bindgen_futures::JsFuture::from(promise).await);
        });
        waits.await.ok()
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        drop(self.release.call0(&JsValue::UNDEFINED));
    }
}
