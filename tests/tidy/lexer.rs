//! Tells code, comments and literals of Rust source apart, keeping every offset.
//!
//! Invariants
//! - Both results are as long as the source, byte for byte, and have its line breaks: an offset means the same in all three.

/// Source text taken apart.
pub(crate) struct Lexed {
    /// The source with comments blanked and the inside of literals replaced by quotes: lines keep something, words vanish.
    pub(crate) code: String,
    /// The comments alone; all else is blank.
    pub(crate) comments: String,
}

/// Takes source text apart.
pub(crate) fn lex(text: &str) -> Lexed {
    let mut lexer = Lexer {
        bytes: text.as_bytes(),
        at: 0,
        code: Vec::with_capacity(text.len()),
        comments: Vec::with_capacity(text.len()),
    };
    lexer.run();
    assert_eq!((lexer.code.len(), lexer.comments.len()), (text.len(), text.len()));
    let utf8 = |bytes| String::from_utf8(bytes).expect("only whole characters are replaced");
    Lexed { code: utf8(lexer.code), comments: utf8(lexer.comments) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    code: Vec<u8>,
    comments: Vec<u8>,
}

impl Lexer<'_> {
    fn run(&mut self) {
        while self.at < self.bytes.len() {
            let rest = &self.bytes[self.at..];
            let (length, kind) = match rest {
                [b'/', b'/', ..] => (line_end(rest), Kind::Comment),
                [b'/', b'*', ..] => (block_comment_length(rest), Kind::Comment),
                [b'"', ..] => (quoted_length(rest), Kind::Literal),
                [b'\'', ..] => match character_length(rest) {
                    Some(length) => (length, Kind::Literal),
                    None => (1, Kind::Code),
                },
                [first, ..] if is_word(*first) => self.word(rest),
                _ => (1, Kind::Code),
            };
            self.take(length, kind);
        }
    }

    /// A word, or the literal that a prefix like `r#"` or `b'` begins.
    fn word(&self, rest: &[u8]) -> (usize, Kind) {
        let length = rest.iter().take_while(|byte| is_word(**byte)).count();
        let (word, after) = rest.split_at(length);
        if matches!(word, b"r" | b"br" | b"cr")
            && let Some(raw) = raw_length(after)
        {
            return (length + raw, Kind::Literal);
        }
        match (word, after.first()) {
            (b"b" | b"c", Some(b'"')) => (length + quoted_length(after), Kind::Literal),
            (b"b", Some(b'\'')) => (length + character_length(after).unwrap_or(1), Kind::Literal),
            _ => (length, Kind::Code),
        }
    }

    fn take(&mut self, length: usize, kind: Kind) {
        let end = (self.at + length.max(1)).min(self.bytes.len());
        for &byte in &self.bytes[self.at..end] {
            let (code, comment) = match (kind, byte) {
                (_, b'\n') => (b'\n', b'\n'),
                (Kind::Code, _) => (byte, b' '),
                (Kind::Comment, _) => (b' ', byte),
                (Kind::Literal, _) => (b'"', b' '),
            };
            self.code.push(code);
            self.comments.push(comment);
        }
        self.at = end;
    }
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

fn line_end(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

fn block_comment_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at + 1 < rest.len() {
        match &rest[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The length of a string that begins with its quote.
fn quoted_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of `#…"…"#…` after the `r`; nothing if it is no raw string, but a raw name.
fn raw_length(rest: &[u8]) -> Option<usize> {
    let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let closing = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let from = hashes + 1;
    let found = rest[from..].windows(closing.len()).position(|window| window == closing);
    Some(found.map_or(rest.len(), |at| from + at + closing.len()))
}

/// The length of a character literal; nothing for a lifetime.
fn character_length(rest: &[u8]) -> Option<usize> {
    let inside = match rest.get(1)? {
        b'\\' => rest.iter().skip(3).position(|byte| *byte == b'\'')? + 2,
        first => usize::try_from(first.leading_ones()).expect("at most eight").max(1),
    };
    (rest.get(1 + inside) == Some(&b'\'')).then_some(inside + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn code_of(text: &str, expected: &str) {
        assert_eq!(lex(text).code, expected);
    }

    #[test]
    fn comments_go_and_their_text_is_kept_apart() {
        code_of("a // b \"c\n d", "a        \n d");
        code_of("a /* b /* c */ d */ e", "a                   e");
        assert_eq!(lex("a // b\nc").comments, "  // b\n ");
        code_of("a /* open", "a        ");
    }

    #[test]
    fn literals_become_quotes() {
        code_of(r#"f("a\"b", 'x')"#, r#"f("""""", """)"#);
        code_of(r##"r#"a"b"# z"##, "\"\"\"\"\"\"\"\" z");
        code_of("b\"as\" b'\\'' c", "\"\"\"\"\" \"\"\"\"\" c");
        code_of("\"a\nas\"", "\"\"\n\"\"\"");
        code_of("'é' '\\u{1f}'", "\"\"\"\" \"\"\"\"\"\"\"\"");
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        code_of("&'a str, 'b: loop, r#type, 'static", "&'a str, 'b: loop, r#type, 'static");
        code_of("b'a' barb", "\"\"\"\" barb");
    }
}
