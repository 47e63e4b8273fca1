//! How far a shard is in the bucket: an object for each shard, which is replaced before each batch is written.
//!
//! The checkpoint says which records the next objects will have. A program that is killed before it has written them leaves
//! the decision behind, and the next program writes the same objects. Two programs at the same shard are safe as well: only one
//! of them can replace the checkpoint, and both write the same objects.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::bucket::{Bucket, Changed};
use crate::sequence::Sequence;

const FOLDER: &str = "kinesischeckpoints";

/// The batches that were decided last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decided {
    /// They have the records after this one.
    #[serde(with = "text")]
    pub(crate) after: Option<Sequence>,
    /// Their last record. `None`: there is no batch yet.
    #[serde(with = "text")]
    pub(crate) through: Option<Sequence>,
    pub(crate) batches: Vec<Batch>,
    /// The shard is closed, and its last record is in an object.
    pub(crate) is_done: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// How many records it has, malformed ones included.
    pub(crate) records: usize,
    /// Its object. `None`: all of its records are malformed.
    pub(crate) object: Option<String>,
}

/// The checkpoint of one shard.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    bucket: Bucket,
    key: String,
    etag: Option<String>,
    pub(crate) decided: Decided,
}

impl Checkpoint {
    pub(crate) fn key(stream: &str, shard: &str) -> String {
        format!("{FOLDER}/{stream}/{shard}.json")
    }

    /// # Errors
    /// If the bucket cannot be read, or the object is not a checkpoint.
    pub(crate) async fn load(bucket: Bucket, key: String) -> Result<Self> {
        let object = bucket.get(&key).await?;
        let (decided, etag) = match object {
            Some(object) => {
                let decided = serde_json::from_slice(&object.bytes)
                    .with_context(|| format!("{key} is not a checkpoint of this program"))?;
                (decided, Some(object.etag))
            }
            None => (Decided::default(), None),
        };
        Ok(Self {
            bucket,
            key,
            etag,
            decided,
        })
    }

    /// Decides on the next batches, unless another program has decided since this checkpoint was loaded.
    ///
    /// # Errors
    /// If the bucket cannot be written. The decision may be there nevertheless: load the checkpoint again.
    pub(crate) async fn decide(&mut self, decided: Decided) -> Result<Result<(), Changed>> {
        let bytes = serde_json::to_vec(&decided)?;
        let etag = self.etag.as_deref();
        let replaced = self.bucket.replace(&self.key, etag, bytes.into()).await?;
        Ok(replaced.map(|etag| {
            self.etag = Some(etag);
            self.decided = decided;
        }))
    }
}

/// A sequence number as its text.
mod text {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::sequence::Sequence;

    #[allow(clippy::ref_option, reason = "serde passes the field")]
    pub(super) fn serialize<S: Serializer>(
        sequence: &Option<Sequence>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match sequence {
            Some(sequence) => serializer.serialize_some(sequence.as_str()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Sequence>, D::Error> {
        let text: Option<String> = Option::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::bucket::BucketName;

    #[tokio::test]
    async fn one_of_two_programs_decides() {
        let folder = TempDir::new().unwrap();
        let bucket = Bucket::open(&BucketName::Folder(folder.path().to_owned()))
            .await
            .unwrap();
        let load = || Checkpoint::load(bucket.clone(), Checkpoint::key("sensors@1", "shardId-0"));
        let (mut first, mut second) = (load().await.unwrap(), load().await.unwrap());
        assert_eq!(first.decided, Decided::default());
        let decided = Decided {
            through: Some(
                "49590338271490256608559692538361571095921575989136588898"
                    .parse()
                    .unwrap(),
            ),
            batches: vec![Batch {
                records: 3,
                object: Some("kinesiscsv/sensor-1/a.csv".to_owned()),
            }],
            ..Decided::default()
        };
        assert_eq!(first.decide(decided.clone()).await.unwrap(), Ok(()));
        assert_eq!(
            second.decide(Decided::default()).await.unwrap(),
            Err(Changed)
        );
        let mut again = load().await.unwrap();
        assert_eq!(again.decided, decided);
        let done = Decided {
            is_done: true,
            ..decided
        };
        assert_eq!(again.decide(done).await.unwrap(), Ok(()));
        assert_eq!(
            first.decide(Decided::default()).await.unwrap(),
            Err(Changed)
        );
    }
}
