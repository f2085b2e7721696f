//! The decision table of recovery: what to do at one place of the log, from eight facts about it.
//!
//! Invariants
//! - Exactly one row matches any combination of facts; a test walks all 256.
//! - A checksum that does not match never truncates by itself: a part is cut only when no readable place says that it
//!   was durable.

/// What recovery knows about the place where the next part should stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    /// At least one slot of the durable mark is readable.
    pub(super) marked: bool,
    /// Parts were kept before this place, or the log's first segments were released.
    pub(super) started: bool,
    /// A part's header stands here: it has this segment's signature and this place in its checksum and was not cut by an
    /// earlier recovery.
    pub(super) header: bool,
    /// It continues the log: next sequence, chain, epoch and group fit.
    pub(super) successor: bool,
    /// Its records match their checksum.
    pub(super) body: bool,
    /// The mark, a later part or the tree says that the next part was durable.
    pub(super) attested: bool,
    /// A part with a higher sequence stands later.
    pub(super) later: bool,
    /// A later part repeats headers that are not the ones of this log.
    pub(super) contradicted: bool,
}

/// What to do at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Keep the part and go on.
    Keep,
    /// The log ends here.
    End,
    /// The log was never used.
    Fresh,
    /// The log ends here, and what follows must not come back.
    Cut,
    /// Something durable cannot be read: refuse.
    Lost,
    /// Parts of different logs: refuse.
    TwoHistories,
    /// The second place is gone: refuse.
    MarkLost,
}

/// A row: `1` holds, `0` does not, `-` either. Columns as the fields of [`Facts`].
struct Row {
    facts: &'static str,
    verdict: Verdict,
}

const fn row(facts: &'static str, verdict: Verdict) -> Row {
    Row { facts, verdict }
}

/// Columns: marked started header successor body attested later contradicted.
static TABLE: [Row; 16] = [
    // An intact part of this log.
    row("1 - 1 1 1 - - -", Verdict::Keep),
    // Without a mark. A crash cannot destroy both of its slots, since one mark is written at a time; and the mark is
    // durable before the first part. So only a crash in the middle of creation shows nothing at all:
    row("0 0 0 - - 0 0 -", Verdict::Fresh),
    // ... and any sign of use means that the mark was damaged or removed. Whether the log's end was rotten or torn
    // could not be told without it.
    row("0 1 - - - - - -", Verdict::MarkLost),
    row("0 0 1 - - - - -", Verdict::MarkLost),
    row("0 0 0 - - 1 - -", Verdict::MarkLost),
    row("0 0 0 - - 0 1 -", Verdict::MarkLost),
    // No header here, and a readable place says that there was a durable part: zeroed, overwritten, a lost write, or a
    // flipped bit in the header.
    row("1 - 0 - - 1 - -", Verdict::Lost),
    // No header here, and later parts are those of another log: blocks or files of another copy were put in.
    row("1 - 0 - - 0 - 1", Verdict::TwoHistories),
    // The end of the log. Groups in flight of which nothing arrived look the same and were never acknowledged.
    row("1 - 0 - - 0 0 0", Verdict::End),
    // A crash with several groups in flight: this one did not arrive, a later one did. Neither was acknowledged, since
    // a group counts as durable only with all before it.
    row("1 - 0 - - 0 1 0", Verdict::Cut),
    // A part stands here that does not follow, though one that did was durable: a write that was reported done did not
    // reach the disk, or the block was put back to what it was.
    row("1 - 1 0 - 1 - -", Verdict::Lost),
    // A part that does not follow: no crash makes one, since a place is written once in an epoch and what an earlier
    // epoch left is known as cut. A file or the mark is another copy.
    row("1 - 1 0 - 0 - -", Verdict::TwoHistories),
    // The right part with wrong records, and it was durable: rot.
    row("1 - 1 1 0 1 - -", Verdict::Lost),
    // A torn part before parts of another log.
    row("1 - 1 1 0 0 - 1", Verdict::TwoHistories),
    // A torn part at the end: the crash came while it was being written.
    row("1 - 1 1 0 0 0 0", Verdict::Cut),
    // A torn part, and a later group that was in flight beside it and arrived.
    row("1 - 1 1 0 0 1 0", Verdict::Cut),
];

impl Facts {
    fn columns(self) -> [bool; 8] {
        let Self { marked, started, header, successor, body, attested, later, contradicted } = self;
        [marked, started, header, successor, body, attested, later, contradicted]
    }

    fn matches(self, row: &Row) -> bool {
        let fits = |(column, fact): (char, bool)| match column {
            '1' => fact,
            '0' => !fact,
            _ => true,
        };
        row.facts.chars().filter(|column| *column != ' ').zip(self.columns()).all(fits)
    }

    /// The verdict of the one row that matches.
    pub(super) fn verdict(self) -> Verdict {
        let matching = TABLE.iter().filter(|row| self.matches(row));
        let (count, verdict) = matching.fold((0, Verdict::Lost), |(count, _), row| (count + 1, row.verdict));
        assert_eq!(count, 1, "{count} rows match {self:?}");
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Facts> {
        (0..256u32).map(|bits| {
            let fact = |at: u32| bits >> at & 1 == 1;
            Facts {
                marked: fact(0),
                started: fact(1),
                header: fact(2),
                successor: fact(3),
                body: fact(4),
                attested: fact(5),
                later: fact(6),
                contradicted: fact(7),
            }
        })
    }

    #[test]
    fn exactly_one_row_matches_any_facts_and_no_row_is_idle() {
        let mut uses = [0; TABLE.len()];
        for facts in all() {
            let rows: Vec<usize> = (0..TABLE.len()).filter(|at| facts.matches(&TABLE[*at])).collect();
            assert_eq!(rows.len(), 1, "{facts:?} matches rows {rows:?}");
            uses[rows[0]] += 1;
        }
        assert!(uses.iter().all(|count| *count > 0), "idle rows: {uses:?}");
        assert!(TABLE.iter().all(|row| row.facts.len() == 15), "a row has eight columns");
    }

    #[test]
    fn what_is_attested_is_kept_or_refused_whatever_else_holds() {
        for facts in all().filter(|facts| facts.attested) {
            let verdict = facts.verdict();
            assert!(!matches!(verdict, Verdict::End | Verdict::Cut | Verdict::Fresh), "{facts:?}: {verdict:?}");
        }
    }

    #[test]
    fn without_a_mark_nothing_is_kept_or_cut() {
        for facts in all().filter(|facts| !facts.marked) {
            assert!(matches!(facts.verdict(), Verdict::Fresh | Verdict::MarkLost), "{facts:?}");
        }
    }

    #[test]
    fn only_intact_successors_are_kept() {
        for facts in all() {
            let intact = facts.marked && facts.header && facts.successor && facts.body;
            assert_eq!(facts.verdict() == Verdict::Keep, intact, "{facts:?}");
        }
    }
}
