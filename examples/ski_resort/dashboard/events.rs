//! Server-sent events: the pipeline and the report of a page, first at once and then when they change, and an event for the end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::views::ComputedReport;
use super::{Asked, Views, is_true};
use crate::live::Live;

/// The most streams at the same time.
const MOST: usize = 64;
/// In this time a stream sends at most two events, of which at most one is a report. A keep-alive event may be added.
const WINDOW: Duration = Duration::from_secs(1);
/// The shortest time between an event and the pipeline's next one.
const GAP: Duration = Duration::from_millis(500);
/// The pause between two reads of the pipeline, for all streams.
const READING: Duration = Duration::from_millis(100);
/// After this time without events a stream sends a keep-alive event, because the connection to a suspended program stays open.
/// `connection.js` defines how long the page waits for it.
const SILENCE: Duration = Duration::from_secs(3);
/// When a browser reconnects.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

type Texts = watch::Receiver<Arc<str>>;

/// All streams.
#[derive(Debug)]
pub(crate) struct Streams {
    places: Arc<Semaphore>,
    pipeline: Texts,
    stop: watch::Receiver<bool>,
}

impl Streams {
    /// Starts reading the pipeline, until `stop` becomes true.
    pub(crate) fn new(live: watch::Receiver<Live>, stop: watch::Receiver<bool>) -> Self {
        Self {
            places: Arc::new(Semaphore::new(MOST)),
            pipeline: read(live, stop.clone()),
            stop,
        }
    }

    /// Opens a stream, unless there are too many.
    pub(super) fn open(
        &self,
        views: &Arc<Views>,
        asked: &Asked,
    ) -> Option<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>> {
        let news = self.news(views, asked)?;
        let events = unfold(news, |mut news| async {
            let (name, text) = news.next().await?;
            let event = Event::default()
                .event(name)
                .retry(RECONNECT_AFTER)
                .data(text);
            Some((Ok(event), news))
        });
        // Browsers ignore events without data.
        let alive = Event::default().event("alive").data("{}");
        Some(Sse::new(events).keep_alive(KeepAlive::new().interval(SILENCE).event(alive)))
    }

    /// The pending events of a stream.
    pub(crate) fn news(&self, views: &Arc<Views>, asked: &Asked) -> Option<News> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let look = views.look(asked).ok()?;
        Some(News {
            pipeline: Unsent::new(self.pipeline.clone()),
            report: look.map(Unsent::new),
            stop: self.stop.clone(),
            said: [None; 2],
            reported: None,
            is_over: false,
            _place: place,
        })
    }
}

/// The pipeline as JSON, read once for all streams.
fn read(mut live: watch::Receiver<Live>, mut stop: watch::Receiver<bool>) -> Texts {
    let text = |live: &Live| Arc::from(serde_json::to_string(live).unwrap_or_default());
    let first = text(&live.borrow_and_update());
    let (texts, said) = watch::channel(first);
    tokio::spawn(async move {
        let reading = async {
            while live.changed().await.is_ok() {
                // Serialized outside the lock, which the pipeline needs as well.
                let now = live.borrow_and_update().clone();
                texts.send_replace(text(&now));
                sleep(READING).await;
            }
            // No further changes.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = is_true(&mut stop) => {}
            () = reading => {}
        }
        // Streams wait for the last text and for the end of the channel.
        let last = live.borrow();
        let unsaid = last.has_changed().then(|| last.clone());
        drop(last);
        if let Some(last) = unsaid {
            texts.send_replace(text(&last));
        }
    });
    said
}

/// Texts without consecutive repetitions.
#[derive(Debug)]
struct Unsent<T> {
    texts: watch::Receiver<T>,
    last: Option<Arc<str>>,
}

impl<T> Unsent<T> {
    fn new(mut texts: watch::Receiver<T>) -> Self {
        // The current text is new for a new reader.
        texts.mark_changed();
        Self { texts, last: None }
    }

    /// The next text, not before `earliest`; none after the last. Cancel safe.
    async fn next(
        &mut self,
        earliest: Option<Instant>,
        text: impl Fn(&T) -> Option<Arc<str>>,
    ) -> Option<Arc<str>> {
        if let Some(earliest) = earliest {
            sleep_until(earliest).await;
        }
        while self.texts.changed().await.is_ok() {
            let now = text(&self.texts.borrow_and_update());
            if let Some(now) = now.filter(|now| self.last.as_ref() != Some(now)) {
                self.last = Some(now.clone());
                return Some(now);
            }
        }
        None
    }
}

/// The events that a stream has yet to send.
#[derive(Debug)]
pub(crate) struct News {
    pipeline: Unsent<Arc<str>>,
    report: Option<Unsent<Option<ComputedReport>>>,
    stop: watch::Receiver<bool>,
    /// When the last two events were sent.
    said: [Option<Instant>; 2],
    /// When the last report was sent.
    reported: Option<Instant>,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl News {
    /// The name and text of the next event, as soon as it may be sent; none after the last.
    pub(crate) async fn next(&mut self) -> Option<(&'static str, Arc<str>)> {
        if self.is_over {
            return None;
        }
        let [last, before] = self.said;
        let window = before.map(|said| said + WINDOW);
        // The first pipeline and the first report form the snapshot.
        let gap = last.filter(|_| self.pipeline.last.is_some());
        let gap = gap.map(|said| said + GAP);
        let own_window = self.reported.map(|said| said + WINDOW);
        let report = async {
            match &mut self.report {
                Some(report) => {
                    report
                        .next(window.max(own_window), |report| {
                            Some(report.as_ref()?.text.clone())
                        })
                        .await
                }
                None => std::future::pending().await,
            }
        };
        let pipeline = self
            .pipeline
            .next(window.max(gap), |text| Some(text.clone()));
        let (name, text) = tokio::select! {
            biased;
            () = is_true(&mut self.stop) => return Some(self.last_words().await),
            text = report => match text {
                Some(text) => ("report", text),
                None if *self.stop.borrow() => return Some(self.last_words().await),
                // The report's task has ended: the browser reconnects, which starts a new one.
                None => {
                    self.is_over = true;
                    return None;
                }
            },
            Some(text) = pipeline => ("pipeline", text),
        };
        let now = Instant::now();
        self.said = [Some(now), last];
        if name == "report" {
            self.reported = Some(now);
        }
        Some((name, text))
    }

    /// The last events: the final state of the pipeline, if it is new, and the end.
    async fn last_words(&mut self) -> (&'static str, Arc<str>) {
        if let Some(text) = self.pipeline.next(None, |text| Some(text.clone())).await {
            return ("pipeline", text);
        }
        self.is_over = true;
        ("end", Arc::from("{}"))
    }
}
