//! The rows of a table as they are at one moment, shared and not copied.

use std::sync::Arc;

use crate::catalog::cell::Cell;
use crate::catalog::columns::Column;

/// How many rows a piece has that grows by small commits.
const PIECE: usize = 1024;

/// The rows of a table as they were at one moment, in the order they landed. To take one takes no copy of a row: the pieces are
/// shared, and never change while they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowSnapshot {
    pieces: Vec<Arc<Vec<Vec<Cell>>>>,
    count: usize,
    bytes: usize,
}

impl RowSnapshot {
    /// The rows in their order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[Cell]> {
        let pieces = self.pieces.iter();
        pieces.flat_map(|piece| piece.iter()).map(Vec::as_slice)
    }

    /// At most `most` rows after the first `skip`.
    pub(crate) fn page(&self, mut skip: usize, most: usize) -> Vec<Vec<Cell>> {
        let mut page = Vec::new();
        for piece in &self.pieces {
            let rest = piece.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(piece.len());
            page.extend(rest.iter().take(most - page.len()).cloned());
            if page.len() == most {
                break;
            }
        }
        page
    }

    /// How many rows there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// How many bytes their values have.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows with a cell for each column: the columns behind their own have their constant defaults.
    pub(crate) fn with_columns(&self, columns: &[Column]) -> Self {
        let wider = |row: &[Cell]| {
            let added = columns.iter().skip(row.len()).map(Column::constant_default);
            row.iter().cloned().chain(added).collect()
        };
        self.rows().map(wider).collect::<Vec<Vec<Cell>>>().into()
    }

    /// Adds rows to the end. Snapshots that were taken before do not have them.
    pub(crate) fn extend(&mut self, rows: &[Vec<Cell>]) {
        if rows.is_empty() {
            return;
        }
        self.count += rows.len();
        self.bytes += rows.iter().flatten().map(Cell::bytes).sum::<usize>();
        // Nothing is added to a piece that a snapshot shares.
        let own = self.pieces.last_mut().and_then(Arc::get_mut);
        match own.filter(|piece| piece.len() + rows.len() <= PIECE) {
            Some(piece) => piece.extend_from_slice(rows),
            None => self.pieces.push(Arc::new(rows.to_vec())),
        }
    }
}

impl From<Vec<Vec<Cell>>> for RowSnapshot {
    fn from(rows: Vec<Vec<Cell>>) -> Self {
        Self {
            count: rows.len(),
            bytes: rows.iter().flatten().map(Cell::bytes).sum(),
            pieces: vec![Arc::new(rows)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: i64) -> Vec<Cell> {
        vec![Cell::Integer(number), Cell::Text("four".to_owned())]
    }

    fn numbers(rows: &RowSnapshot) -> Vec<Cell> {
        rows.rows().map(|row| row[0].clone()).collect()
    }

    #[test]
    fn a_snapshot_stays_as_it_was_and_copies_nothing() {
        let mut rows = RowSnapshot::default();
        for number in 0..3 {
            rows.extend(&[row(number)]);
        }
        let snapshot = rows.clone();
        rows.extend(&[row(3)]);
        rows.extend(&[row(4)]);
        assert_eq!(numbers(&snapshot), [0, 1, 2].map(Cell::Integer));
        assert_eq!(numbers(&rows), [0, 1, 2, 3, 4].map(Cell::Integer));
        assert_eq!((snapshot.count(), snapshot.bytes()), (3, 3 * 12));
        assert_eq!((rows.count(), rows.bytes()), (5, 5 * 12));
        let same = snapshot.rows().zip(rows.rows());
        assert!(
            same.into_iter()
                .all(|(one, other)| std::ptr::eq(one, other))
        );
    }

    #[test]
    fn many_small_commits_make_few_pieces() {
        let mut rows = RowSnapshot::default();
        for number in 0..10_000 {
            rows.extend(&[row(number)]);
            rows.extend(&[]);
        }
        assert_eq!(rows.pieces.len(), 10);
        assert_eq!(rows.rows().count(), 10_000);
        for (skip, most, wanted) in [
            (0, 0, 0..0),
            (0, 3, 0..3),
            (1023, 2, 1023..1025),
            (1024, 2048, 1024..3072),
            (9_999, 10, 9_999..10_000),
            (10_000, 1, 0..0),
            (usize::MAX, usize::MAX, 0..0),
        ] {
            let wanted: Vec<_> = wanted.map(row).collect();
            assert_eq!(rows.page(skip, most), wanted, "{skip} {most}");
        }
    }
}
