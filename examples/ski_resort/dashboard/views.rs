//! The reports that pages show. A task for each report computes it once for all its readers when something has changed, and
//! ends when the report has no more readers.

use std::collections::BTreeMap;
use std::mem::{Discriminant, discriminant};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::header::Header;
use super::source::{Source, Trouble};
use super::{Asked, ReportPlace, is_true, network, resort};

/// The most different reports at the same time. The limit is needed because a page can request any resort name.
const MOST: usize = 128;
/// The pause between two reads of embedded reports.
const EMBEDDED_PAUSE: Duration = Duration::from_millis(500);
/// The same for an account, where a read costs money. A report is reused for this time.
const ACCOUNT_PAUSE: Duration = Duration::from_secs(10);
/// The script that creates an account's reports.
const SCRIPT: &str = "examples/ski_resort/sql/dynamic_tables.sql";

/// A computed report.
#[derive(Debug, Clone)]
pub(crate) struct ComputedReport {
    /// The number of changes and the place it was computed from.
    changes: u64,
    place: Discriminant<ReportPlace>,
    /// JSON, in one line.
    pub(crate) text: Arc<str>,
}

/// Receives a report; none before it has been computed.
pub(crate) type Look = watch::Receiver<Option<ComputedReport>>;

/// Why a report cannot be shown.
#[derive(Debug)]
pub(crate) struct TooMany;

type Running = BTreeMap<Asked, watch::Sender<Option<ComputedReport>>>;

/// The reports that have readers.
#[derive(Debug)]
pub(crate) struct Views {
    places: watch::Receiver<ReportPlace>,
    changed: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    running: Mutex<Running>,
}

impl Views {
    pub(crate) fn new(
        places: watch::Receiver<ReportPlace>,
        changed: watch::Receiver<u64>,
        stop: watch::Receiver<bool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            places,
            changed,
            stop,
            running: Mutex::default(),
        })
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes to a report; the pipeline has none.
    pub(crate) fn look(self: &Arc<Self>, asked: &Asked) -> Result<Option<Look>, TooMany> {
        if *asked == Asked::Pipeline {
            return Ok(None);
        }
        let mut running = self.running();
        if let Some(published) = running.get(asked) {
            return Ok(Some(published.subscribe()));
        }
        if running.len() >= MOST {
            return Err(TooMany);
        }
        let (published, look) = watch::channel(None);
        running.insert(asked.clone(), published.clone());
        drop(running);
        let listed = Listed {
            views: self.clone(),
            asked: asked.clone(),
            published,
        };
        tokio::spawn(listed.publish());
        Ok(Some(look))
    }

    /// The current report.
    pub(crate) async fn now(self: &Arc<Self>, asked: &Asked) -> Result<Option<Arc<str>>, TooMany> {
        let Some(mut look) = self.look(asked)? else {
            return Ok(None);
        };
        let changes = *self.changed.borrow();
        let place = discriminant(&*self.places.borrow());
        let is_now = |published: &Option<ComputedReport>| {
            published
                .as_ref()
                .is_some_and(|published| published.changes >= changes && published.place == place)
        };
        // None comes after the end of the dashboard or of the report's task.
        let published = look.wait_for(is_now).await;
        Ok(published
            .ok()
            .and_then(|published| Some(published.as_ref()?.text.clone())))
    }
}

/// Publishes a report. Dropping it, even if the task panics, ends the channel of its readers.
#[derive(Debug)]
struct Listed {
    views: Arc<Views>,
    asked: Asked,
    published: watch::Sender<Option<ComputedReport>>,
}

impl Listed {
    /// Computes the report while it has readers.
    async fn publish(self) {
        let mut stop = self.views.stop.clone();
        tokio::select! {
            biased;
            () = is_true(&mut stop) => {}
            () = self.keep_publishing() => {}
        }
    }

    async fn keep_publishing(&self) {
        let Self {
            views,
            asked,
            published,
        } = self;
        let (mut places, mut refreshed) = (views.places.clone(), views.changed.clone());
        loop {
            let changes = *refreshed.borrow_and_update();
            let place = places.borrow_and_update().clone();
            let text = report(&place, asked).await.to_string().into();
            published.send_replace(Some(ComputedReport {
                changes,
                place: discriminant(&place),
                text,
            }));
            let is_account = matches!(place, ReportPlace::Account(_));
            let pause = if is_account {
                ACCOUNT_PAUSE
            } else {
                EMBEDDED_PAUSE
            };
            tokio::time::sleep(pause).await;
            tokio::select! {
                biased;
                () = published.closed() => if self.retire() { return },
                Ok(()) = places.changed() => {}
                Ok(()) = refreshed.changed() => {}
                () = std::future::ready(()), if is_account => {}
            }
        }
    }

    /// Removes the report, unless it has a new reader.
    fn retire(&self) -> bool {
        let mut running = self.views.running();
        let is_over = self.published.receiver_count() == 0;
        if is_over {
            running.remove(&self.asked);
        }
        is_over
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut running = self.views.running();
        // A new report may have been started since this one was removed.
        let listed = running.get(&self.asked);
        if listed.is_some_and(|published| published.same_channel(&self.published)) {
            running.remove(&self.asked);
        }
    }
}

async fn report(place: &ReportPlace, asked: &Asked) -> Value {
    let found = async {
        let source = Source::open(place).await?;
        match asked {
            Asked::Pipeline => Ok(Value::Null),
            Asked::Network { period } => network::report(&source, *period).await,
            Asked::Resort { resort } => resort::report(&source, resort.as_deref()).await,
        }
    };
    let (message, script) = match (found.await, place) {
        (Ok(report), _) => return report,
        (Err(Trouble::Missing), ReportPlace::Account(_)) => {
            let message = "The account has no reports yet.".to_owned();
            (message, Some(SCRIPT))
        }
        (Err(Trouble::Missing), _) => return nothing(asked),
        (Err(Trouble::Failed(message)), _) => (message, None),
    };
    json!({ "view": asked.view(), "problem": { "message": message, "script": script } })
}

/// A report without data.
fn nothing(asked: &Asked) -> Value {
    let header = Header::empty();
    match asked {
        Asked::Pipeline => Value::Null,
        Asked::Network { period } => network::empty(&header, *period),
        Asked::Resort { resort } => resort::empty(&header, resort.as_deref(), &[]),
    }
}
