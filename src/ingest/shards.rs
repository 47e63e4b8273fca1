//! The channels of a run: their names, and which rows go where.

/// A hash that never changes, for [`Run::shards`](super::Run::shards): FNV-1a with 64 bits over the bytes of a key.
///
/// ```
/// use snowpipe_streaming::ingest::stable_hash;
/// assert_eq!(stable_hash(b"rider 7"), stable_hash("rider 7".as_bytes()));
/// ```
pub fn stable_hash(key: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    key.iter().fold(BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}
