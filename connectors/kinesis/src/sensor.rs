//! What a sensor sends, and the row that it becomes.

use bytes::Bytes;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// The first bytes of a record in which the Kinesis Producer Library has put several.
const AGGREGATED: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const STATUSES: [&str; 3] = ["OK", "FAIL", "WARN"];

/// The value of a record. Fields can be missing or null; other fields are ignored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// The sensor.
    pub sensor_id: Option<i64>,
    /// The temperature that it measured.
    pub current_temperature: Option<i64>,
    /// The status that it reported.
    pub status: Option<String>,
}

/// A measurement with the columns of the tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub struct Row {
    /// The sensor.
    pub sensorid: Option<i64>,
    /// The temperature that it measured.
    pub currenttemperature: Option<i64>,
    /// The status that it reported.
    pub status: Option<String>,
}

impl From<Measurement> for Row {
    fn from(measurement: Measurement) -> Self {
        Self {
            sensorid: measurement.sensor_id,
            currenttemperature: measurement.current_temperature,
            status: measurement.status,
        }
    }
}

impl Measurement {
    /// Decodes the value of a record.
    ///
    /// # Errors
    /// Why it is malformed.
    pub fn decode(data: &[u8]) -> Result<Self, String> {
        if data.starts_with(&AGGREGATED) {
            return Err(
                "several records in one, by the Kinesis Producer Library: turn its aggregation off"
                    .to_owned(),
            );
        }
        // An array would be read as the fields in their order.
        if data.trim_ascii_start().first() != Some(&b'{') {
            return Err("not a JSON object".to_owned());
        }
        serde_json::from_slice(data).map_err(|error| error.to_string())
    }

    /// What the seed's template of the Kinesis Data Generator produces.
    pub fn random(rng: &mut Rng) -> Self {
        Self {
            sensor_id: Some(rng.i64(0..=50)),
            current_temperature: Some(rng.i64(10..=150)),
            status: rng.choice(STATUSES).map(str::to_owned),
        }
    }

    /// The value of a record, and the key that chooses its shard.
    pub fn encode(&self) -> (String, Bytes) {
        let key = self.sensor_id.unwrap_or_default().to_string();
        // Numbers and texts can always be written.
        let data = serde_json::to_vec(self).unwrap_or_default();
        (key, data.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<Measurement, String> {
        Measurement::decode(text.as_bytes())
    }

    #[test]
    fn fields_can_be_missing_null_or_too_many() {
        let all = decode(r#"{"sensorId": 6,"currentTemperature": 64,"status": "it's \"OK\""}"#);
        let expected = Measurement {
            sensor_id: Some(6),
            current_temperature: Some(64),
            status: Some("it's \"OK\"".to_owned()),
        };
        assert_eq!(all, Ok(expected));
        let none = Measurement {
            sensor_id: None,
            current_temperature: None,
            status: None,
        };
        assert_eq!(decode("{}"), Ok(none.clone()));
        assert_eq!(
            decode(r#" {"status":null,"sensorid":1,"more":[2]}"#),
            Ok(none)
        );
    }

    #[test]
    fn what_is_malformed_is_no_measurement() {
        for wrong in [
            "",
            "null",
            "[1,2,\"OK\"]",
            "{",
            r#"{"sensorId":"6"}"#,
            r#"{"sensorId":1.5}"#,
            r#"{"status":6}"#,
            r#"{"sensorId":9223372036854775808}"#,
            r#"{"sensorId":6}{"sensorId":7}"#,
        ] {
            assert!(decode(wrong).is_err(), "{wrong}");
        }
        assert!(Measurement::decode(b"{\"status\":\"\xff\"}").is_err());
        let aggregated = Measurement::decode(&[0xf3, 0x89, 0x9a, 0xc2, 0x0a]);
        assert!(aggregated.is_err_and(|why| why.contains("aggregation")));
    }

    #[test]
    fn generated_measurements_follow_the_template() {
        let mut rng = Rng::with_seed(1);
        let all: Vec<_> = (0..20_000).map(|_| Measurement::random(&mut rng)).collect();
        let sensors: Vec<_> = all.iter().filter_map(|one| one.sensor_id).collect();
        let temperatures: Vec<_> = all.iter().filter_map(|m| m.current_temperature).collect();
        let bounds =
            |numbers: &[i64]| (numbers.iter().min().copied(), numbers.iter().max().copied());
        assert_eq!((sensors.len(), temperatures.len()), (all.len(), all.len()));
        assert_eq!(bounds(&sensors), (Some(0), Some(50)));
        assert_eq!(bounds(&temperatures), (Some(10), Some(150)));
        for status in STATUSES {
            let count = all
                .iter()
                .filter(|m| m.status.as_deref() == Some(status))
                .count();
            assert!((6_300..7_050).contains(&count), "{count} {status}");
        }
        assert!(
            all.iter()
                .all(|m| Measurement::decode(&m.encode().1).as_ref() == Ok(m))
        );
    }
}
