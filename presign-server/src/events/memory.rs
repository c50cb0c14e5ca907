//! Events within one process.

use std::sync::Arc;

use async_trait::async_trait;

use super::log::Log;
use super::{Audience, EventBus, EventLimits, News, Subscription};

/// Tells those in this process alone: right where one server has its session store to itself.
#[derive(Debug)]
pub struct MemoryEventBus {
    log: Arc<Log>,
}

impl MemoryEventBus {
    /// A bus that has heard nothing.
    pub fn new(limits: EventLimits) -> Self {
        Self {
            log: Arc::new(Log::new(limits)),
        }
    }
}

impl Default for MemoryEventBus {
    fn default() -> Self {
        Self::new(EventLimits::default())
    }
}

#[async_trait]
impl EventBus for MemoryEventBus {
    fn publish(&self, news: News) {
        self.log.append(news);
    }

    fn subscribe(&self, audience: Audience) -> Subscription {
        Subscription::new(self.log.clone(), audience)
    }

    /// There are no other processes.
    async fn flush(&self) {}
}
