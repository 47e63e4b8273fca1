//! Captures the traces of a test as text.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing::{Dispatch, Level};
use tracing_subscriber::fmt::MakeWriter;

/// Captures the traces of this thread until it is dropped.
pub struct Trace {
    text: Text,
    /// A second subscriber. With a single one, `tracing` caches for all threads whether a callsite is enabled, so a callsite that
    /// another test's thread reaches first would stay disabled here.
    _other: Dispatch,
    _guard: DefaultGuard,
}

impl Trace {
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

    pub fn text(&self) -> String {
        String::from_utf8(self.text.0.lock().unwrap().clone()).unwrap()
    }
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
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
