//! The calls of the protocol.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::shards::{Shards, number, seconds, sequence};
use super::{Refusal, Shared};

/// Shards in an answer: few, so that clients have to ask for the rest.
const SHARDS: usize = 2;
const MAX_RECORDS: usize = 10_000;
const MAX_PUT: usize = 500;

/// Answers a call.
pub(super) fn answer(state: &Shared, action: &str, request: &Value) -> Result<Value, Refusal> {
    let mut shards = state.shards();
    if let Some(stream) = request.get("StreamName").and_then(Value::as_str)
        && stream != shards.stream
    {
        let message = format!("Stream {stream} not found.");
        return Err(Refusal::new("ResourceNotFoundException", message));
    }
    match action {
        "DescribeStreamSummary" => Ok(json!({ "StreamDescriptionSummary": {
            "StreamName": shards.stream,
            "StreamARN": format!("arn:aws:kinesis:us-east-1:000000000000:stream/{}", shards.stream),
            "StreamStatus": "ACTIVE",
            "RetentionPeriodHours": shards.retention_hours,
            "StreamCreationTimestamp": seconds(shards.created),
            "EnhancedMonitoring": [],
            "OpenShardCount": shards.all.iter().filter(|shard| shard.closed_at.is_none()).count(),
        } })),
        "ListShards" => list(&shards, request),
        "GetShardIterator" => iterator(&mut shards, request),
        "GetRecords" => records(&mut shards, request),
        "PutRecords" => put(state, &mut shards, request),
        "SplitShard" => {
            let at = text(request, "NewStartingHashKey")?;
            let at = at.parse().map_err(|_| Refusal::invalid("not a hash"))?;
            shards
                .split(text(request, "ShardToSplit")?, at)
                .map(|()| json!({}))
        }
        "MergeShards" => shards
            .merge(
                text(request, "ShardToMerge")?,
                text(request, "AdjacentShardToMerge")?,
            )
            .map(|()| json!({})),
        _ => Err(Refusal::new("UnknownOperationException", action)),
    }
}

fn text<'a>(request: &'a Value, field: &str) -> Result<&'a str, Refusal> {
    let text = request.get(field).and_then(Value::as_str);
    text.ok_or_else(|| Refusal::invalid(format!("no {field}")))
}

fn list(shards: &Shards, request: &Value) -> Result<Value, Refusal> {
    let token = request.get("NextToken").and_then(Value::as_str);
    let begin = token.map_or(Ok(0), str::parse::<usize>);
    let begin = begin.map_err(|_| Refusal::invalid("no such token"))?;
    let page = shards.all.iter().skip(begin).take(SHARDS).map(|shard| {
        json!({
            "ShardId": shard.id,
            "HashKeyRange": {
                "StartingHashKey": shard.begin.to_string(),
                "EndingHashKey": shard.end.to_string(),
            },
            "SequenceNumberRange": {
                "StartingSequenceNumber": sequence(0),
                "EndingSequenceNumber": shard.closed_at.map(sequence),
            },
            "ParentShardId": shard.parents.first(),
            "AdjacentParentShardId": shard.parents.get(1),
        })
    });
    let next = begin + SHARDS;
    let next = (next < shards.all.len()).then(|| next.to_string());
    Ok(json!({ "Shards": page.collect::<Vec<_>>(), "NextToken": next }))
}

/// An iterator is the shard, the number of the record before it, how many answers without records come first, and when it was made.
fn iterator(shards: &mut Shards, request: &Value) -> Result<Value, Refusal> {
    let id = shards.get(text(request, "ShardId")?)?.id.clone();
    let after = match text(request, "ShardIteratorType")? {
        "TRIM_HORIZON" => 0,
        "AFTER_SEQUENCE_NUMBER" => {
            let given = text(request, "StartingSequenceNumber")?;
            number(given)
                .ok_or_else(|| Refusal::invalid(format!("{given} is not of this stream")))?
        }
        other => return Err(Refusal::invalid(format!("{other} is not supported"))),
    };
    Ok(json!({ "ShardIterator": made(&id, after, shards.hollow) }))
}

fn made(shard: &str, after: u64, hollow: usize) -> String {
    format!("{shard} {after} {hollow} {}", seconds(SystemTime::now()))
}

fn records(shards: &mut Shards, request: &Value) -> Result<Value, Refusal> {
    let iterator = text(request, "ShardIterator")?;
    let parts: Vec<_> = iterator.split(' ').collect();
    let [shard, after, hollow, made_at] = parts.as_slice() else {
        return Err(Refusal::invalid("not an iterator"));
    };
    let (Ok(after), Ok(hollow), Ok(made_at)) = (
        after.parse::<u64>(),
        hollow.parse::<usize>(),
        made_at.parse::<f64>(),
    ) else {
        return Err(Refusal::invalid("not an iterator"));
    };
    if seconds(SystemTime::now()) - made_at > shards.iterator_life.as_secs_f64() {
        shards.expired += 1;
        return Err(Refusal::new(
            "ExpiredIteratorException",
            "Iterator expired.",
        ));
    }
    let limit = request.get("Limit").and_then(Value::as_u64);
    let limit = limit.map_or(MAX_RECORDS, |limit| {
        usize::try_from(limit).unwrap_or(MAX_RECORDS)
    });
    if !(1..=MAX_RECORDS).contains(&limit) {
        return Err(Refusal::invalid("the limit is 1 to 10,000 records"));
    }
    let (mut records, mut is_end) = shards.read(shard, after, limit)?;
    let is_newest = records.is_empty();
    if hollow > 0 {
        records.clear();
        is_end = false;
    }
    let last = records.last().map_or(after, |record| record.number);
    let records = records.iter().map(|record| {
        json!({
            "SequenceNumber": sequence(record.number),
            "ApproximateArrivalTimestamp": record.arrived,
            "Data": STANDARD.encode(&record.data),
            "PartitionKey": record.key,
        })
    });
    Ok(json!({
        "Records": records.collect::<Vec<_>>(),
        "MillisBehindLatest": if is_newest { 0 } else { 1_000 },
        "NextShardIterator": (!is_end).then(|| made(shard, last, hollow.saturating_sub(1))),
    }))
}

fn put(state: &Shared, shards: &mut Shards, request: &Value) -> Result<Value, Refusal> {
    let records = request.get("Records").and_then(Value::as_array);
    let records = records.ok_or_else(|| Refusal::invalid("no records"))?;
    if records.len() > MAX_PUT {
        return Err(Refusal::invalid("more than 500 records"));
    }
    let mut failed = 0;
    let mut results = Vec::with_capacity(records.len());
    for record in records {
        let data = STANDARD.decode(text(record, "Data")?);
        let data = data.map_err(|_| Refusal::invalid("not base64"))?;
        let key = text(record, "PartitionKey")?.to_owned();
        let outcome = if state.drops_record() {
            Err(Refusal::new("InternalFailure", "Internal service failure."))
        } else {
            shards.put(key, data.into())
        };
        results.push(match outcome {
            Ok((shard, sequence)) => json!({ "ShardId": shard, "SequenceNumber": sequence }),
            Err(Refusal(kind, message, _)) => {
                failed += 1;
                json!({ "ErrorCode": kind, "ErrorMessage": message })
            }
        });
    }
    if let Some((shard, count)) = shards.trim_after_put.take() {
        shards.trim(&shard, count);
    }
    if shards.silent_puts > 0 {
        shards.silent_puts -= 1;
        return Err(Refusal::failure());
    }
    Ok(json!({ "FailedRecordCount": failed, "Records": results }))
}
