//! Server-sent events: the pipeline and the report of a page, at once and then when they have changed; and that it is over.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::views::Told;
use super::{Asked, Views, is_true};
use crate::live::Live;

/// How many streams there may be.
const MOST: usize = 64;
/// In so much time a stream has two events at most, and one report; after a silence there may be one more, which says nothing.
const WINDOW: Duration = Duration::from_secs(1);
/// The least time between an event and the pipeline's next one.
const GAP: Duration = Duration::from_millis(500);
/// The pause between two readings of the pipeline, for all streams.
const READING: Duration = Duration::from_millis(100);
/// After so much silence a stream says that it is alive, in an event that the page hears: a connection to a program that was
/// stopped stays open. `connection.js` knows how long a page waits for it.
const SILENCE: Duration = Duration::from_secs(3);
/// How soon a browser is to come back.
const COME_BACK: Duration = Duration::from_secs(1);

type Texts = watch::Receiver<Arc<str>>;

/// All streams.
#[derive(Debug)]
pub(crate) struct Streams {
    places: Arc<Semaphore>,
    pipeline: Texts,
    stop: watch::Receiver<bool>,
}

impl Streams {
    /// Reads the pipeline from now on, until `stop` turns true.
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
            let event = Event::default().event(name).retry(COME_BACK).data(text);
            Some((Ok(event), news))
        });
        // An event without data is none to a browser.
        let alive = Event::default().event("alive").data("{}");
        Some(Sse::new(events).keep_alive(KeepAlive::new().interval(SILENCE).event(alive)))
    }

    /// What a stream is about to say.
    pub(crate) fn news(&self, views: &Arc<Views>, asked: &Asked) -> Option<News> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let look = views.look(asked).ok()?;
        Some(News {
            pipeline: Unsaid::new(self.pipeline.clone()),
            report: look.map(Unsaid::new),
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
                // The text is made outside the lock, which the pipeline needs too.
                let now = live.borrow_and_update().clone();
                texts.send_replace(text(&now));
                sleep(READING).await;
            }
            // Nothing changes any more.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = is_true(&mut stop) => {}
            () = reading => {}
        }
        // Streams wait for this one, and for the end of the channel behind it.
        let last = live.borrow();
        let unsaid = last.has_changed().then(|| last.clone());
        drop(last);
        if let Some(last) = unsaid {
            texts.send_replace(text(&last));
        }
    });
    said
}

/// Texts of which no one is said twice in a row.
#[derive(Debug)]
struct Unsaid<T> {
    texts: watch::Receiver<T>,
    last: Option<Arc<str>>,
}

impl<T> Unsaid<T> {
    fn new(mut texts: watch::Receiver<T>) -> Self {
        // What is there already is news to whoever comes now.
        texts.mark_changed();
        Self { texts, last: None }
    }

    /// The next text, not before `earliest`; none if there is none to come. Cancel safe.
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

/// What a stream has yet to say.
#[derive(Debug)]
pub(crate) struct News {
    pipeline: Unsaid<Arc<str>>,
    report: Option<Unsaid<Option<Told>>>,
    stop: watch::Receiver<bool>,
    /// When the last event was said, and the one before it.
    said: [Option<Instant>; 2],
    /// When the last report was said.
    reported: Option<Instant>,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl News {
    /// The next event's name and text, when there is one and it may be said; none after the last.
    pub(crate) async fn next(&mut self) -> Option<(&'static str, Arc<str>)> {
        if self.is_over {
            return None;
        }
        let [last, before] = self.said;
        let window = before.map(|said| said + WINDOW);
        // The first of each is part of the snapshot.
        let gap = last.filter(|_| self.pipeline.last.is_some());
        let gap = gap.map(|said| said + GAP);
        let own_window = self.reported.map(|said| said + WINDOW);
        let report = async {
            match &mut self.report {
                Some(report) => {
                    report
                        .next(window.max(own_window), |told| {
                            Some(told.as_ref()?.text.clone())
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
                // Its task is gone: the browser comes back, and with that there is another.
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

    /// What is left to say once no more is to come: how the pipeline ended, if that is news, and that this is the end.
    async fn last_words(&mut self) -> (&'static str, Arc<str>) {
        if let Some(text) = self.pipeline.next(None, |text| Some(text.clone())).await {
            return ("pipeline", text);
        }
        self.is_over = true;
        ("end", Arc::from("{}"))
    }
}
