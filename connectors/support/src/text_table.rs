//! Tables of text with aligned columns.

/// The alignment of a column.
#[derive(Debug, Clone, Copy)]
pub enum Align {
    /// To the left, as texts.
    Left,
    /// To the right, as numbers.
    Right,
}

/// One line for each row. Columns are as wide as their widest cells, with two spaces between them.
pub fn aligned<const N: usize>(columns: [Align; N], rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(columns).zip(widths);
        let cells: Vec<_> = cells
            .map(|((cell, align), width)| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
