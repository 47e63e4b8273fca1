//! Captures the traces of a test as text.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing::{Dispatch, Level};
use tracing_subscriber::fmt::MakeWriter;

/// Captures the traces of this thread until it is dropped.
#[derive(Debug)]
pub struct Trace {
    text: Text,
    /// A second subscriber. With a single one, `tracing` caches for all threads whether a callsite is enabled, so a callsite that
    /// another test's thread reaches first would stay disabled here.
    _other: Dispatch,
    _guard: DefaultGuard,
}

impl Trace {
    /// Captures what has this level or a more severe one.
    pub fn of(level: Level) -> Self {
        let text = Text::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(text.clone())
            .with_ansi(false)
            .finish();
        let dispatch = Dispatch::new(subscriber);
        Self {
            text,
            _other: Dispatch::new(NoSubscriber::new()),
            _guard: tracing::dispatcher::set_default(&dispatch),
        }
    }

    /// What was captured so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.bytes()).into_owned()
    }
}

#[derive(Debug, Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Text {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Text {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
