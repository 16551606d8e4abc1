//! Tables.

/// A result that can be shown as a table.
pub trait Show {
    /// Adds headings and rows. Called for the result of each node in turn, with the same headings each time.
    fn show(&self, table: &mut Table);

    /// Describes the result in full; used instead of the table when one node is called.
    fn detail(&self) -> Option<String> {
        None
    }
}

/// Rows of cells below headings.
#[derive(Debug, Default)]
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    /// A first cell for every row that is added from now on.
    first: Option<String>,
}

impl Table {
    /// Sets the column headings. Only the first call counts.
    pub fn headings(&mut self, headings: &[&str]) -> &mut Self {
        if self.headings.is_empty() {
            let first = self.first.is_some().then_some("NODE").into_iter();
            self.headings = first.chain(headings.iter().copied()).map(str::to_owned).collect();
        }
        self
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) -> &mut Self {
        self.rows
            .push(self.first.clone().into_iter().chain(cells).collect());
        self
    }

    /// Puts a node's name before every row that is added from now on.
    pub fn for_node(&mut self, node: &str) {
        self.first = Some(node.to_owned());
    }

    /// Draws the table: columns two spaces apart, no trailing spaces.
    pub fn draw(&self) -> String {
        let lines: Vec<&Vec<String>> = std::iter::once(&self.headings).chain(&self.rows).collect();
        let columns = lines.iter().map(|line| line.len()).max().unwrap_or(0);
        let width = |column: usize| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| columns_of(cell))
                .max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for line in lines.iter().filter(|line| !line.is_empty()) {
            let mut drawn = String::new();
            for (cell, width) in line.iter().zip(&widths) {
                let cell = if cell.is_empty() { "-" } else { cell };
                drawn.push_str(&clean(cell));
                drawn.push_str(&" ".repeat(width.saturating_sub(columns_of(cell)) + 2));
            }
            text.push_str(drawn.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Returns the width of a cell. Wide characters are rare in what we show, and only cost alignment.
fn columns_of(cell: &str) -> usize {
    cell.chars().count().max(1)
}

/// Replaces control characters, so that a node's text cannot move the terminal's cursor or break a row.
pub fn clean(cell: &str) -> String {
    cell.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_empty_cells_are_seen() {
        let mut table = Table::default();
        table
            .headings(&["NAME", "STATE"])
            .row(["containerd".into(), "running".into()])
            .row(["x".into(), "".into()]);
        assert_eq!(
            table.draw(),
            "NAME        STATE\ncontainerd  running\nx           -\n"
        );
    }

    #[test]
    fn nodes_get_a_column_and_cannot_write_to_the_terminal() {
        let mut table = Table::default();
        for node in ["a", "b"] {
            table.for_node(node);
            table.headings(&["NAME"]).row(["\u{1b}[2Jx\ny".into()]);
        }
        assert_eq!(table.draw(), "NODE  NAME\na      [2Jx y\nb      [2Jx y\n");
    }
}
