//! Reports that are being looked at. Each is computed once for all who look, when something has changed, and by a task of
//! its own that ends when nobody looks any more.

use std::collections::BTreeMap;
use std::mem::{Discriminant, discriminant};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::header::Header;
use super::source::{Source, Trouble};
use super::{Asked, Where, is_true, network, resort};

/// How many different reports are looked at: of resorts that nobody has there can be any number.
const MOST: usize = 128;
/// The pause between two looks at embedded reports.
const EMBEDDED_PAUSE: Duration = Duration::from_millis(500);
/// The same for an account, where a look costs money. What was seen is good for as long.
const ACCOUNT_PAUSE: Duration = Duration::from_secs(10);
/// The script that makes an account's reports.
const SCRIPT: &str = "examples/ski_resort/sql/dynamic_tables.sql";

/// A report as it was told.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// As of so many changes, at this kind of place.
    changes: u64,
    place: Discriminant<Where>,
    /// JSON, in one line.
    pub(crate) text: Arc<str>,
}

/// Sees a report; there is none before it has been computed.
pub(crate) type Look = watch::Receiver<Option<Told>>;

/// Why a report cannot be looked at.
#[derive(Debug)]
pub(crate) struct TooMany;

type Running = BTreeMap<Asked, watch::Sender<Option<Told>>>;

/// The reports that are being looked at.
#[derive(Debug)]
pub(crate) struct Views {
    places: watch::Receiver<Where>,
    changed: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    running: Mutex<Running>,
}

impl Views {
    pub(crate) fn new(
        places: watch::Receiver<Where>,
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

    /// Looks at a report; there is none of the pipeline.
    pub(crate) fn look(self: &Arc<Self>, asked: &Asked) -> Result<Option<Look>, TooMany> {
        if *asked == Asked::Pipeline {
            return Ok(None);
        }
        let mut running = self.running();
        if let Some(told) = running.get(asked) {
            return Ok(Some(told.subscribe()));
        }
        if running.len() >= MOST {
            return Err(TooMany);
        }
        let (told, look) = watch::channel(None);
        running.insert(asked.clone(), told.clone());
        tokio::spawn(self.clone().tell(asked.clone(), told));
        Ok(Some(look))
    }

    /// A report as it is now.
    pub(crate) async fn now(self: &Arc<Self>, asked: &Asked) -> Result<Option<Arc<str>>, TooMany> {
        let Some(mut look) = self.look(asked)? else {
            return Ok(None);
        };
        let changes = *self.changed.borrow();
        let place = discriminant(&*self.places.borrow());
        let is_now = |told: &Option<Told>| {
            told.as_ref()
                .is_some_and(|told| told.changes >= changes && told.place == place)
        };
        // It does not come once the dashboard ends.
        let told = look.wait_for(is_now).await;
        Ok(told.ok().and_then(|told| Some(told.as_ref()?.text.clone())))
    }

    /// Computes a report for as long as somebody looks at it.
    async fn tell(self: Arc<Self>, asked: Asked, told: watch::Sender<Option<Told>>) {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            () = is_true(&mut stop) => {
                // Who still looks sees that there is no more to come.
                self.running().remove(&asked);
            }
            () = self.keep_telling(&asked, &told) => {}
        }
    }

    async fn keep_telling(&self, asked: &Asked, told: &watch::Sender<Option<Told>>) {
        let (mut places, mut refreshed) = (self.places.clone(), self.changed.clone());
        loop {
            let changes = *refreshed.borrow_and_update();
            let place = places.borrow_and_update().clone();
            let text = report(&place, asked).await.to_string().into();
            told.send_replace(Some(Told {
                changes,
                place: discriminant(&place),
                text,
            }));
            let is_account = matches!(place, Where::Account(_));
            let pause = if is_account {
                ACCOUNT_PAUSE
            } else {
                EMBEDDED_PAUSE
            };
            tokio::time::sleep(pause).await;
            tokio::select! {
                biased;
                () = told.closed() => if self.retire(asked, told) { return },
                Ok(()) = places.changed() => {}
                Ok(()) = refreshed.changed() => {}
                () = std::future::ready(()), if is_account => {}
            }
        }
    }

    /// Ends a report's life, unless somebody has come to look just now.
    fn retire(&self, asked: &Asked, told: &watch::Sender<Option<Told>>) -> bool {
        let mut running = self.running();
        let is_over = told.receiver_count() == 0;
        if is_over {
            running.remove(asked);
        }
        is_over
    }
}

async fn report(place: &Where, asked: &Asked) -> Value {
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
        (Err(Trouble::Missing), Where::Account(_)) => {
            let message = "The account has no reports yet.".to_owned();
            (message, Some(SCRIPT))
        }
        (Err(Trouble::Missing), _) => return nothing(asked),
        (Err(Trouble::Failed(message)), _) => (message, None),
    };
    json!({ "view": asked.view(), "problem": { "message": message, "script": script } })
}

/// A report while there is nothing to report on.
fn nothing(asked: &Asked) -> Value {
    let header = Header::empty();
    match asked {
        Asked::Pipeline => Value::Null,
        Asked::Network { period } => network::empty(&header, *period),
        Asked::Resort { resort } => resort::empty(&header, resort.as_deref(), &[]),
    }
}
