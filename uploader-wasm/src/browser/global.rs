//! Globals that windows and workers share, each with what to do where it is missing.

use crate::view::size_from_js;
use js_sys::Reflect;
use uuid::Uuid;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DedicatedWorkerGlobalScope, EventTarget, SharedWorkerGlobalScope, StorageManager, WorkerGlobalScope,
};

// `navigator.storage` is undefined outside secure contexts and `locks` is behind web-sys' unstable flag:
// declared here, as what they are.
#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(thread_local_v2, js_namespace = globalThis, js_name = navigator)]
    static NAVIGATOR: Navigator;

    pub(super) type Navigator;

    #[wasm_bindgen(method, getter, js_name = storage)]
    fn storage(this: &Navigator) -> Option<StorageManager>;

    #[wasm_bindgen(method, getter, js_name = locks)]
    pub(super) fn locks(this: &Navigator) -> Option<super::locks::LockManager>;

    #[wasm_bindgen(method, getter, js_name = onLine)]
    fn on_line(this: &Navigator) -> Option<bool>;

    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;

    #[wasm_bindgen(catch, js_namespace = crypto, js_name = getRandomValues)]
    fn random_values(bytes: &mut [u8]) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

/// The kind of worker this code runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerKind {
    /// Shared by the pages of the origin.
    Shared,
    /// Of one page.
    Dedicated,
    /// No worker: a page.
    None,
}

/// The kind of worker this code runs in.
pub fn worker_kind() -> WorkerKind {
    let global = js_sys::global();
    if global.has_type::<SharedWorkerGlobalScope>() {
        WorkerKind::Shared
    } else if global.has_type::<DedicatedWorkerGlobalScope>() {
        WorkerKind::Dedicated
    } else {
        WorkerKind::None
    }
}

/// The worker's global, for `fetch`. `None` in a page.
pub fn worker_scope() -> Option<WorkerGlobalScope> {
    js_sys::global().dyn_into().ok()
}

/// `navigator.storage`, in secure contexts.
pub fn storage_manager() -> Option<StorageManager> {
    NAVIGATOR.with(Navigator::storage)
}

/// How many bytes this origin can still store, as far as the browser says.
pub async fn estimate_room() -> Option<u64> {
    let estimating = storage_manager()?.estimate().ok()?;
    let estimate = JsFuture::from(estimating).await.ok()?;
    let number = |name: &str| Reflect::get(&estimate, &name.into()).ok()?.as_f64();
    let room = number("quota")? - number("usage")?;
    size_from_js(room.max(0.0).trunc())
}

pub(super) fn lock_manager() -> Option<super::locks::LockManager> {
    NAVIGATOR.with(Navigator::locks)
}

/// What the browser believes of the network; `true` where it says nothing.
pub fn is_online() -> bool {
    NAVIGATOR.with(Navigator::on_line).unwrap_or(true)
}

/// Milliseconds since this context started; never goes back. May stand still while the machine sleeps.
pub fn monotonic_ms() -> f64 {
    performance_now()
}

/// Milliseconds since 1970 by the machine's clock.
pub fn wall_clock_ms() -> f64 {
    js_sys::Date::now()
}

/// A random number. Falls back to `Math.random` where there is no `crypto`: it seeds jitter, no secret.
pub fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    fill_random(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A random UUID. `crypto.randomUUID` itself is missing outside secure contexts.
pub fn crypto_uuid() -> Uuid {
    let mut bytes = [0; 16];
    fill_random(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Writes to the console: for bugs, which must be seen even when no page listens.
pub fn report(text: &str) {
    console_error(text);
}

/// Calls back on an event of this context's global, for as long as the context lives.
pub fn on_window(event: &str, callback: impl FnMut() + 'static) {
    let closure = Closure::<dyn FnMut()>::new(callback);
    let global: EventTarget = js_sys::global().unchecked_into();
    if global
        .add_event_listener_with_callback(event, closure.as_ref().unchecked_ref())
        .is_ok()
    {
        closure.forget();
    }
}

fn fill_random(bytes: &mut [u8]) {
    let has_crypto = Reflect::get(&js_sys::global(), &"crypto".into()).is_ok_and(|crypto| crypto.is_object());
    if has_crypto && random_values(bytes).is_ok() {
        return;
    }
    for byte in bytes {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
        {
            *byte = (js_sys::Math::random() * 256.0) as u8;
        }
    }
}
