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
        drop(running);
        let listed = Listed {
            views: self.clone(),
            asked: asked.clone(),
            told,
        };
        tokio::spawn(listed.tell());
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
        // It does not come once the dashboard ends, or its task.
        let told = look.wait_for(is_now).await;
        Ok(told.ok().and_then(|told| Some(told.as_ref()?.text.clone())))
    }
}

/// A report that can be looked at until this is gone, whatever becomes of the task that has it: who still looks then sees
/// that there is no more to come.
#[derive(Debug)]
struct Listed {
    views: Arc<Views>,
    asked: Asked,
    told: watch::Sender<Option<Told>>,
}

impl Listed {
    /// Computes the report for as long as somebody looks at it.
    async fn tell(self) {
        let mut stop = self.views.stop.clone();
        tokio::select! {
            biased;
            () = is_true(&mut stop) => {}
            () = self.keep_telling() => {}
        }
    }

    async fn keep_telling(&self) {
        let Self { views, asked, told } = self;
        let (mut places, mut refreshed) = (views.places.clone(), views.changed.clone());
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
                () = told.closed() => if self.retire() { return },
                Ok(()) = places.changed() => {}
                Ok(()) = refreshed.changed() => {}
                () = std::future::ready(()), if is_account => {}
            }
        }
    }

    /// Ends the report's life, unless somebody has come to look just now.
    fn retire(&self) -> bool {
        let mut running = self.views.running();
        let is_over = self.told.receiver_count() == 0;
        if is_over {
            running.remove(&self.asked);
        }
        is_over
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut running = self.views.running();
        // Somebody may have asked anew since it retired.
        let listed = running.get(&self.asked);
        if listed.is_some_and(|told| told.same_channel(&self.told)) {
            running.remove(&self.asked);
        }
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
