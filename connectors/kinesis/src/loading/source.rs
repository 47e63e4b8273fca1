//! The objects of the bucket as a source of rows, in the order in which they were taken.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use snowpipe_connector_support::lines::Lines;
use snowpipe_streaming::ingest::{Batch, Pair, Rejected, Source};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::history::{History, Taken};
use super::list;
use crate::bucket::{Bucket, TooLong};
use crate::csv;
use crate::letters::DeadLetter;
use crate::sensor::Row;

/// The number of an object, and of a row in it, both counted from 1.
pub(super) type Place = Pair<u64, u64>;

/// After all rows of an object.
const COMPLETE: u64 = i64::MAX.cast_unsigned();

pub(super) struct Objects {
    pub(super) bucket: Bucket,
    pub(super) history: History,
    pub(super) letters: Lines,
    pub(super) poll: Duration,
    /// Ends with the objects that are there now.
    pub(super) once: bool,
    pub(super) next_list: Instant,
    /// The object that was read last.
    pub(super) current: Option<(u64, Vec<Row>)>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ObjectsError {
    #[error("{0:#}")]
    Failed(anyhow::Error),
    #[error(
        "{key} was changed or deleted while it was loaded, and {rows} of the rows that it had are in the table: put back what it was"
    )]
    Changed { key: String, rows: u64 },
    #[error(
        "the channel has taken {taken} objects, and the history {} only knows {known}: use the history of the run that has loaded \
         them, or an empty table with another --source-id",
        history.display()
    )]
    Foreign {
        taken: u64,
        known: u64,
        history: PathBuf,
    },
}

impl From<anyhow::Error> for ObjectsError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl Objects {
    /// The object with rows after this place.
    async fn find(&mut self, after: &Place) -> Result<Option<Taken>, ObjectsError> {
        if after.1 < COMPLETE
            && let Some(taken) = self.history.get(after.0).await?
            && taken.rows.is_none_or(|rows| after.1 < rows)
        {
            return Ok(Some(taken));
        }
        if let Some(taken) = self.history.next(after.0).await? {
            return Ok(Some(taken));
        }
        if Instant::now() < self.next_list {
            return Ok(None);
        }
        list(&self.bucket, &self.history).await?;
        self.next_list = Instant::now() + self.poll;
        Ok(self.history.next(after.0).await?)
    }

    /// The rows of an object, or `None` if it is refused. `rows` of it are in the table.
    async fn read(&mut self, taken: &Taken, rows: u64) -> Result<Option<Vec<Row>>, ObjectsError> {
        if let Some((_, rows)) = self.current.take_if(|current| current.0 == taken.number) {
            return Ok(Some(rows));
        }
        let Taken {
            number, key, etag, ..
        } = taken;
        let object = match self.bucket.get(key).await {
            Err(error) if error.is::<TooLong>() && rows == 0 => {
                return self.refuse(taken, error.to_string()).await;
            }
            Err(error) if error.is::<TooLong>() => None,
            object => object?,
        };
        let Some(object) = object else {
            if rows > 0 {
                let key = key.clone();
                return Err(ObjectsError::Changed { key, rows });
            }
            // A bucket that is gone for a moment has not lost its objects.
            let listed = self.bucket.list(key, None).await?;
            if listed.objects.iter().any(|object| object.key == *key) {
                return Err(anyhow!("{key} is listed, and cannot be read").into());
            }
            return self
                .refuse(taken, "it was deleted before it was loaded".to_owned())
                .await;
        };
        if object.etag != *etag && rows > 0 {
            let key = key.clone();
            return Err(ObjectsError::Changed { key, rows });
        }
        let measurements = match csv::read(&object.bytes) {
            Ok(measurements) => measurements,
            // As Snowpipe, which skips a file with an error by default.
            Err(reason) => return self.refuse(taken, reason).await,
        };
        let count = measurements.len() as u64;
        self.history.read(*number, object.etag, count).await?;
        Ok(Some(measurements.into_iter().map(Row::from).collect()))
    }

    async fn refuse(
        &self,
        taken: &Taken,
        reason: String,
    ) -> Result<Option<Vec<Row>>, ObjectsError> {
        warn!(key = taken.key, reason, "an object is not loaded");
        self.history.refuse(taken.number, reason).await?;
        Ok(None)
    }
}

impl Source for Objects {
    type Offset = Place;
    type Row = Row;
    type Error = ObjectsError;

    async fn read_after(
        &mut self,
        after: Option<&Place>,
        max: usize,
    ) -> Result<Batch<Place, Row>, ObjectsError> {
        let begin = after.copied().unwrap_or(Pair(0, 0));
        let mut after = begin;
        let mut batch = Vec::new();
        // Objects are short: a batch has several.
        while batch.len() < max {
            let Some(taken) = self.find(&after).await? else {
                let is_end = self.once && batch.is_empty();
                let batch = if is_end {
                    Batch::end()
                } else {
                    Batch::new(batch)
                };
                return Ok(if after.1 == COMPLETE && after > begin {
                    // Objects without rows are not read again.
                    batch.with_through(after)
                } else {
                    batch
                });
            };
            let before = if taken.number == after.0 { after.1 } else { 0 };
            let Some(rows) = self.read(&taken, before).await? else {
                after = Pair(taken.number, COMPLETE);
                continue;
            };
            let skipped = usize::try_from(before).unwrap_or(usize::MAX);
            let part = rows.iter().zip(1..).skip(skipped).take(max - batch.len());
            batch.extend(part.map(|(row, number)| (Pair(taken.number, number), row.clone())));
            after = match batch.last() {
                Some((last, _)) if last.0 == taken.number => *last,
                // It has no rows.
                _ => Pair(taken.number, COMPLETE),
            };
            self.current = Some((taken.number, rows));
        }
        Ok(Batch::new(batch))
    }

    async fn ready(&mut self) -> Result<(), ObjectsError> {
        sleep_until(self.next_list).await;
        Ok(())
    }

    async fn release_through(&mut self, through: &Place) -> Result<(), ObjectsError> {
        Ok(self.history.release(through.0, through.1).await?)
    }

    async fn released(&mut self) -> Result<Option<Place>, ObjectsError> {
        let released = self.history.released().await?;
        Ok(released.map(|(object, row)| Pair(object, row)))
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<Place>,
        rows: Vec<(Place, Row)>,
    ) -> Result<(), ObjectsError> {
        let reason = format!(
            "the table rejected {} of the rows through {}: {}",
            rejected.count,
            rejected.through,
            rejected.message.as_deref().unwrap_or("no message"),
        );
        warn!(reason, "rows are not in the table");
        let mut letters = Vec::with_capacity(rows.len());
        for (place, row) in rows {
            let taken = self.history.get(place.0).await?;
            let key = taken.map_or_else(|| place.0.to_string(), |taken| taken.key);
            letters.push(DeadLetter::rejected(
                &key,
                place.1.to_string(),
                reason.clone(),
                row,
            ));
        }
        Ok(self.letters.append(letters).await?)
    }

    async fn check(&mut self, _: &str, committed: Option<&Place>) -> Result<(), ObjectsError> {
        let Some(Pair(taken, _)) = committed.copied() else {
            return Ok(());
        };
        if self.history.get(taken).await?.is_some() {
            return Ok(());
        }
        Err(ObjectsError::Foreign {
            taken,
            known: self.history.counts().await?.taken,
            history: self.history.path().to_owned(),
        })
    }

    fn is_fatal(&self, error: &ObjectsError) -> bool {
        !matches!(error, ObjectsError::Failed(_))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use tempfile::TempDir;

    use super::*;
    use crate::bucket::BucketName;

    #[tokio::test]
    async fn objects_are_refused_if_they_are_too_long_and_not_while_the_bucket_is_away() {
        let place = TempDir::new().unwrap();
        let (root, away) = (place.path().join("bucket"), place.path().join("away"));
        let bucket = Bucket::open(&BucketName::Folder(root.clone()))
            .await
            .unwrap();
        let text = "sensorId,currentTemperature,status\n1,2,OK\n";
        bucket.put("kinesiscsv/1.csv", text.into()).await.unwrap();
        let long = File::create(root.join("kinesiscsv/2.csv")).unwrap();
        long.set_len((64 << 20) + 1).unwrap();
        let path = place.path().join("loads.db");
        let history = History::open(&path, "bucket", "table").await.unwrap();
        list(&bucket, &history).await.unwrap();
        let mut objects = Objects {
            bucket,
            history: history.clone(),
            letters: Lines::open(&place.path().join("letters")).unwrap(),
            poll: Duration::from_secs(1),
            once: true,
            next_list: Instant::now(),
            current: None,
        };
        let [first, second] = [
            history.get(1).await.unwrap().unwrap(),
            history.get(2).await.unwrap().unwrap(),
        ];
        fs::rename(&root, &away).unwrap();
        let error = objects.read(&first, 0).await.unwrap_err();
        assert!(!objects.is_fatal(&error), "{error}");
        fs::rename(&away, &root).unwrap();
        assert_eq!(objects.read(&first, 0).await.unwrap().unwrap().len(), 1);
        assert_eq!(
            objects
                .read(&second, 0)
                .await
                .unwrap()
                .map(|rows| rows.len()),
            None
        );
        assert_eq!(history.counts().await.unwrap().refused, 1);
        fs::remove_file(root.join("kinesiscsv/1.csv")).unwrap();
        assert_eq!(
            objects
                .read(&first, 0)
                .await
                .unwrap()
                .map(|rows| rows.len()),
            None
        );
        assert_eq!(history.counts().await.unwrap().refused, 2);
    }

    #[tokio::test]
    async fn objects_without_rows_are_read_once() {
        let place = TempDir::new().unwrap();
        let name = BucketName::Folder(place.path().join("bucket"));
        let bucket = Bucket::open(&name).await.unwrap();
        let text = "sensorId,currentTemperature,status\n";
        bucket.put("kinesiscsv/1.csv", text.into()).await.unwrap();
        let path = place.path().join("loads.db");
        let history = History::open(&path, "bucket", "table").await.unwrap();
        let mut objects = Objects {
            bucket,
            history,
            letters: Lines::open(&place.path().join("letters")).unwrap(),
            poll: Duration::from_hours(1),
            once: false,
            next_list: Instant::now(),
            current: None,
        };
        let through = objects.read_after(None, 10).await.unwrap().through.unwrap();
        assert_eq!(through, Pair(1, COMPLETE));
        let next = objects.read_after(Some(&through), 10).await.unwrap();
        assert_eq!((next.rows.len(), next.through), (0, None));
        objects.release_through(&through).await.unwrap();
        assert_eq!(objects.released().await.unwrap(), Some(through));
    }
}
