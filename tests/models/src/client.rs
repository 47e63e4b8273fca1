//! The crate's registry of names.

#[path = "../../../src/client/names.rs"]
mod names;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use self::names::Slot;
use crate::error::Error;

#[derive(Debug, Default)]
pub(crate) struct ClientInner {
    channels: Mutex<BTreeMap<String, Slot>>,
    is_closed: AtomicBool,
}

impl ClientInner {
    /// The named channels' part of the crate's `end`, in `client/ending.rs`.
    pub(crate) fn end(&self, error: &Error) {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let slots =
            std::mem::take(&mut *self.channels.lock().unwrap_or_else(PoisonError::into_inner));
        for slot in slots.into_values() {
            if let Some(channel) = slot.channel() {
                channel.update_and_wake(|core, now| core.end(now, error.clone(), false));
            }
        }
    }
}
