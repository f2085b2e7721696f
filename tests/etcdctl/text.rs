//! Output made comparable: ids, addresses, terms, sizes and durations lose their values.
//!
//! **Invariants**: whether a value is there is kept, only which one is not.

/// What differs between two servers with one history.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// Texts to replace, longest first, each with its stand-in.
    pub(crate) replace: Vec<(String, &'static str)>,
}

/// Numbers behind these are each server's own.
const NUMBERS: [&str; 21] = [
    "\"raft_term\":",
    "\"raftTerm\":",
    "\"raftIndex\":",
    "\"raftAppliedIndex\":",
    "\"dbSize\":",
    "\"dbSizeInUse\":",
    "\"raft_index\":",
    "\"raft_applied_index\":",
    "\"raftTermStr\":",
    "\"db_size\":",
    "\"db_size_in_use\":",
    "\"RaftTerm\" : ",
    "\"RaftIndex\" : ",
    "\"RaftAppliedIndex\" : ",
    "\"DBSize\" : ",
    "\"DBSizeInUse\" : ",
    "took = ",
    "\"took\":\"",
    "\"Took\" : \"",
    "\"Took\":\"",
    "\"ts\":\"",
];

impl Names {
    /// Replaces names and numbers.
    pub(crate) fn level(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (from, to) in &self.replace {
            text = text.replace(from, to);
        }
        for prefix in NUMBERS {
            text = mask(&text, prefix);
        }
        // An etcd that has just started calls its store 3.5.0 or unknown for some seconds.
        text.replace("3.5.0", "3.7.0").replace("\"storage\":\"unknown\"", "\"storage\":\"3.7.0\"")
    }
}

/// Replaces what follows each `prefix`, up to the end of the word.
fn mask(text: &str, prefix: &str) -> String {
    let mut pieces = text.split(prefix);
    let mut masked = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find([',', '"', '}', '\n', ' ']).unwrap_or(piece.len());
        masked.push_str(prefix);
        masked.push('N');
        masked.push_str(&piece[end..]);
    }
    masked
}

/// The cells of a table's or a list's rows, numbers that are each server's own masked by column.
pub(crate) fn mask_columns(text: &str, separator: &str, columns: &[usize]) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with(['┌', '├', '└', '+']) {
            // Rulers are as long as the cells.
            continue;
        }
        let cells: Vec<String> = line
            .split(separator)
            .enumerate()
            .map(|(index, cell)| {
                let digits = cell.contains(|letter: char| letter.is_ascii_digit());
                if columns.contains(&index) && digits { "N".to_owned() } else { cell.trim().to_owned() }
            })
            .collect();
        lines.push(cells.join(separator));
    }
    lines.join("\n")
}

#[test]
fn numbers_are_masked_and_nothing_else() {
    let names = Names { replace: vec![("127.0.0.1:5".to_owned(), "HERE")] };
    assert_eq!(
        names.level("127.0.0.1:5 {\"raft_term\":23,\"revision\":7}\ntook = 1.5ms, x"),
        "HERE {\"raft_term\":N,\"revision\":7}\ntook = N, x"
    );
    assert_eq!(mask_columns("a, 12 kB, 7\n┌──┐", ", ", &[1]), "a, N, 7");
}
