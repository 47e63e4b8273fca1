//! A bucket of Amazon S3, or of a server with the same protocol.

use std::env;

use anyhow::{Context as _, Result, anyhow};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use bytes::{Bytes, BytesMut};

use super::{Changed, Listed, MAX_OBJECT, Object, Page, TooLong};
use crate::stream;

#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
    bucket: String,
}

impl S3 {
    pub(super) async fn open(bucket: &str) -> Self {
        let config = stream::config().await;
        // Servers other than Amazon's have no names for their buckets.
        let is_other = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
            .iter()
            .any(|name| env::var_os(name).is_some());
        let config = Builder::from(&config).force_path_style(is_other).build();
        Self {
            client: Client::from_conf(config),
            bucket: bucket.to_owned(),
        }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Object>> {
        let call = self.client.get_object().bucket(&self.bucket).key(key);
        let output = match call.send().await {
            Ok(output) => output,
            Err(error) if is(&error, &["NoSuchKey"]) => return Ok(None),
            Err(error) => return Err(self.failed("read", key, &error)),
        };
        let etag = output
            .e_tag()
            .context("an object without a tag")?
            .to_owned();
        let mut body = output.body;
        let mut bytes = BytesMut::new();
        while let Some(part) = body
            .try_next()
            .await
            .context("the object was not sent completely")?
        {
            if (bytes.len() + part.len()) as u64 > MAX_OBJECT {
                return Err(TooLong(key.to_owned()).into());
            }
            bytes.extend_from_slice(&part);
        }
        Ok(Some(Object {
            bytes: bytes.freeze(),
            etag,
        }))
    }

    pub(super) async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        let call = self.client.put_object().bucket(&self.bucket).key(key);
        let written = call.body(bytes.into()).send().await;
        written.map_err(|error| self.failed("write", key, &error))?;
        Ok(())
    }

    pub(super) async fn replace(
        &self,
        key: &str,
        etag: Option<&str>,
        bytes: Bytes,
    ) -> Result<Result<String, Changed>> {
        let call = self.client.put_object().bucket(&self.bucket).key(key);
        let call = match etag {
            Some(etag) => call.if_match(etag),
            None => call.if_none_match("*"),
        };
        match call.body(bytes.into()).send().await {
            Ok(output) => {
                let etag = output.e_tag().context("an object without a tag")?;
                Ok(Ok(etag.to_owned()))
            }
            // The last one: another program writes it at the same time.
            Err(error)
                if is(
                    &error,
                    &[
                        "PreconditionFailed",
                        "NoSuchKey",
                        "ConditionalRequestConflict",
                    ],
                ) =>
            {
                Ok(Err(Changed))
            }
            Err(error) => Err(self.failed("write", key, &error)),
        }
    }

    pub(super) async fn list(&self, prefix: &str, next: Option<String>) -> Result<Page> {
        let call = self.client.list_objects_v2().bucket(&self.bucket);
        let call = call.prefix(prefix).set_continuation_token(next);
        let output = call
            .send()
            .await
            .map_err(|error| self.failed("list", prefix, &error))?;
        let listed = |object: &aws_sdk_s3::types::Object| {
            Some(Listed {
                key: object.key()?.to_owned(),
                etag: object.e_tag()?.to_owned(),
                size: object.size().and_then(|size| u64::try_from(size).ok())?,
            })
        };
        let objects = output.contents().iter().map(listed).collect::<Option<_>>();
        Ok(Page {
            objects: objects.context("the list of the bucket is not complete")?,
            next: output.next_continuation_token().map(str::to_owned),
        })
    }

    fn failed<E>(&self, verb: &str, key: &str, error: &SdkError<E>) -> anyhow::Error
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let why = stream::brief(error);
        anyhow!("cannot {verb} {key} in the bucket {}: {why}", self.bucket)
    }
}

fn is<E: ProvideErrorMetadata>(error: &SdkError<E>, codes: &[&str]) -> bool {
    let code = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code);
    code.is_some_and(|code| codes.contains(&code))
}
