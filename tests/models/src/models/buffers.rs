//! The idle buffers.

use std::sync::Arc;

use super::{joined, parallel};
use crate::base::buffers::Buffers;

/// More than a channel keeps to itself, less than a batch.
const PIECE: usize = 8 << 10;
const BATCH: usize = 1 << 20;
/// As in the crate's `buffers.rs`.
const PIECES: usize = 4;

/// A buffer that is used again is empty, and no more are kept than may be.
pub(crate) async fn buffers_are_empty_and_few() {
    let buffers = Arc::new(Buffers::default());
    let pieces = (0..PIECES + 2).map(|_| {
        let buffers = Arc::clone(&buffers);
        async move {
            let mut piece = buffers.piece();
            assert!(piece.is_empty());
            piece.resize(PIECE, 1);
            buffers.keep_piece(&mut piece);
            assert!(piece.capacity() == 0);
        }
    });
    let batches = (0..2).map(|_| {
        let buffers = Arc::clone(&buffers);
        async move {
            let mut batch = buffers.batch(BATCH);
            assert!(batch.is_empty());
            batch.resize(BATCH, 1);
            buffers.keep_batch(batch);
        }
    });
    let (pieces, batches) = (parallel(pieces), parallel(batches));
    joined(pieces).await;
    joined(batches).await;
    assert!(buffers.batch(BATCH).is_empty());
    let kept = (0..).take_while(|_| buffers.piece().capacity() > 0).count();
    assert!((1..=PIECES).contains(&kept), "{kept} pieces are kept");
}
