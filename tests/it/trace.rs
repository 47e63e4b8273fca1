//! Captures the traces of a test as text.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing::{Dispatch, Level};
use tracing_subscriber::fmt::MakeWriter;

/// Everything traced on this thread, for as long as it lives.
pub struct Trace {
    text: Text,
    /// A single subscriber is believed to be every thread's: a place in the code that another test's thread comes by first
    /// would stay silent here too.
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
