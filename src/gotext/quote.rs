//! Go's `%q`: a string as a double-quoted literal.
//!
//! Invariants
//! - The result is one line of printable characters, whatever the input.

use super::push_fmt;

/// `text` quoted as Go's `strconv.Quote` does.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for symbol in text.chars() {
        push_escaped(&mut out, symbol);
    }
    out.push('"');
    out
}

/// A list as Go's `%q` prints a slice of strings: `["a" "b"]`.
pub fn quote_list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(quote).collect();
    format!("[{}]", quoted.join(" "))
}

fn push_escaped(out: &mut String, symbol: char) {
    match symbol {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        _ if !is_unprintable(symbol) => out.push(symbol),
        _ => {
            let code = u32::from(symbol);
            match code {
                0..0x80 => push_fmt(out, format_args!("\\x{code:02x}")),
                0x80..0x1_0000 => push_fmt(out, format_args!("\\u{code:04x}")),
                _ => push_fmt(out, format_args!("\\U{code:08x}")),
            }
        }
    }
}

/// What Go escapes: controls, separators other than the space, and the byte-order and replacement oddities.
fn is_unprintable(symbol: char) -> bool {
    symbol.is_control()
        || (symbol.is_whitespace() && symbol != ' ')
        || matches!(symbol, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_only_put_between_quotes() {
        assert_eq!(quote(""), "\"\"");
        assert_eq!(quote("a b'é"), "\"a b'é\"");
    }

    #[test]
    fn quotes_backslashes_and_controls_are_escaped() {
        assert_eq!(quote("a\"b\\c\n\t\r"), r#""a\"b\\c\n\t\r""#);
        assert_eq!(quote("\u{1}\u{7f}\u{7}\u{b}"), r#""\x01\x7f\a\v""#);
        assert_eq!(quote("\u{85}\u{2028}\u{feff}"), r#""\u0085\u2028\ufeff""#);
    }

    #[test]
    fn a_list_stands_in_brackets_with_spaces_between() {
        assert_eq!(quote_list([]), "[]");
        assert_eq!(quote_list(["a", "b\""]), r#"["a" "b\""]"#);
    }
}
