//! Formatted text at the end of a string.

use std::fmt::{Arguments, Write};

/// Appends what `format_args!` made, without a string in between.
pub fn push_fmt(out: &mut String, text: Arguments<'_>) {
    out.write_fmt(text).expect("a String takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_appended() {
        let mut out = "a".to_owned();
        push_fmt(&mut out, format_args!("{:02}", 7));
        assert_eq!(out, "a07");
    }
}
