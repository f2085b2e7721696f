//! Booleans and integers in the forms that Go's flag package takes.
//!
//! Invariants
//! - Integers are read "base 0": 0x, 0o, 0b and a leading 0 choose the base, and underscores may stand between digits of
//!   a number that says its base.

/// Why a number was not taken, in the two ways that Go tells apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumberError {
    /// Not a number at all.
    Syntax,
    /// A number, but too large or too small for the type.
    Range,
}

impl NumberError {
    /// The text of Go's flag package.
    pub fn text(self) -> &'static str {
        match self {
            Self::Syntax => "parse error",
            Self::Range => "value out of range",
        }
    }

    /// The text of `strconv` itself for the function and input named.
    pub fn strconv_text(self, function: &str, input: &str) -> String {
        let cause = match self {
            Self::Syntax => "invalid syntax",
            Self::Range => "value out of range",
        };
        format!("strconv.{function}: parsing {}: {cause}", super::quote(input))
    }
}

/// A boolean: 1 t T TRUE true True, 0 f F FALSE false False, and nothing else.
pub fn parse_bool(text: &str) -> Result<bool, NumberError> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(NumberError::Syntax),
    }
}

/// An unsigned integer of at most `bits` bits (1 to 64).
pub fn parse_unsigned(text: &str, bits: u32) -> Result<u64, NumberError> {
    assert!((1..=64).contains(&bits), "a width of 1 to 64 bits, not {bits}");
    let (base, digits) = split_base(text)?;
    let mut value = 0u64;
    let mut overflowed = false;
    for symbol in digits.chars() {
        let digit = u64::from(symbol.to_digit(base).ok_or(NumberError::Syntax)?);
        match value.checked_mul(u64::from(base)).and_then(|scaled| scaled.checked_add(digit)) {
            Some(next) => value = next,
            // Go goes on reading, so that a later letter is still a syntax error.
            None => overflowed = true,
        }
    }
    if overflowed || value > u64::MAX >> (64 - bits) { Err(NumberError::Range) } else { Ok(value) }
}

/// A signed 64-bit integer.
pub fn parse_signed(text: &str) -> Result<i64, NumberError> {
    let (negative, magnitude_text) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = parse_unsigned(magnitude_text, 64)?;
    let value = if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
    value.ok_or(NumberError::Range)
}

/// The base that the prefix chooses and the digits with their underscores taken out.
fn split_base(text: &str) -> Result<(u32, String), NumberError> {
    let lower = text.to_ascii_lowercase();
    let (base, rest) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if !rest.contains('_') {
        return if rest.is_empty() { Err(NumberError::Syntax) } else { Ok((base, rest.to_owned())) };
    }
    // An underscore stands between two digits, or between the prefix and a digit; decimal numbers take none.
    let misplaced = base == 10 || rest.ends_with('_') || rest.contains("__");
    if misplaced { Err(NumberError::Syntax) } else { Ok((base, rest.replace('_', ""))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_the_twelve_words() {
        for word in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(parse_bool(word), Ok(true));
        }
        for word in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(parse_bool(word), Ok(false));
        }
        for word in ["", "yes", "tRUE", "2", " true"] {
            assert_eq!(parse_bool(word), Err(NumberError::Syntax));
        }
    }

    #[test]
    fn prefixes_choose_the_base() {
        assert_eq!(parse_unsigned("255", 64), Ok(255));
        assert_eq!(parse_unsigned("0xFf", 64), Ok(255));
        assert_eq!(parse_unsigned("0o377", 64), Ok(255));
        assert_eq!(parse_unsigned("0377", 64), Ok(255));
        assert_eq!(parse_unsigned("0b1111_1111", 64), Ok(255));
        assert_eq!(parse_unsigned("0x_f_f", 64), Ok(255));
        assert_eq!(parse_unsigned("0", 64), Ok(0));
    }

    #[test]
    fn what_is_no_number_is_a_syntax_error() {
        for text in ["", "-1", "+1", "1_0", "0x", "08", "1.5", "0x_", "_1", "0x__1", "99999999999999999999z", "é"] {
            assert_eq!(parse_unsigned(text, 64), Err(NumberError::Syntax), "{text}");
        }
    }

    #[test]
    fn widths_are_kept() {
        assert_eq!(parse_unsigned("4294967295", 32), Ok(4_294_967_295));
        assert_eq!(parse_unsigned("4294967296", 32), Err(NumberError::Range));
        assert_eq!(parse_unsigned("18446744073709551615", 64), Ok(u64::MAX));
        assert_eq!(parse_unsigned("18446744073709551616", 64), Err(NumberError::Range));
    }

    #[test]
    fn signed_numbers_reach_both_ends() {
        assert_eq!(parse_signed("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(parse_signed("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(parse_signed("+5"), Ok(5));
        assert_eq!(parse_signed("-0x10"), Ok(-16));
        assert_eq!(parse_signed("9223372036854775808"), Err(NumberError::Range));
        assert_eq!(parse_signed("-9223372036854775809"), Err(NumberError::Range));
        assert_eq!(parse_signed("--1"), Err(NumberError::Syntax));
    }
}
