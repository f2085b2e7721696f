//! The `grpc-timeout` header: up to eight digits and a unit.
//!
//! Invariants
//! - What is refused, and with which words, is what grpc-go refuses.

use std::time::Duration;

/// The time that `text` gives a call, or what is wrong with it in grpc-go's words.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    if text.len() < 2 {
        return Err(format!("transport: timeout string is too short: {text:?}"));
    }
    if text.len() > 9 {
        return Err(format!("transport: timeout string is too long: {text:?}"));
    }
    let unrecognized = || format!("transport: timeout unit is not recognized: {text:?}");
    let (digits, unit) = text.split_at_checked(text.len() - 1).ok_or_else(unrecognized)?;
    let nanoseconds: u64 = match unit {
        "H" => 3_600_000_000_000,
        "M" => 60_000_000_000,
        "S" => 1_000_000_000,
        "m" => 1_000_000,
        "u" => 1_000,
        "n" => 1,
        _ => return Err(unrecognized()),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("strconv.ParseUint: parsing {digits:?}: invalid syntax"));
    }
    let count: u64 = digits.parse().map_err(|_| unrecognized())?;
    Ok(Duration::from_nanos(count.saturating_mul(nanoseconds).min(i64::MAX.unsigned_abs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("4m", Duration::from_millis(4)),
            ("5u", Duration::from_micros(5)),
            ("6n", Duration::from_nanos(6)),
            ("00000000n", Duration::ZERO),
            ("99999999S", Duration::from_secs(99_999_999)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_absurd_number_of_hours_is_clamped() {
        assert_eq!(parse("99999999H"), Ok(Duration::from_nanos(i64::MAX.unsigned_abs())));
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        assert_eq!(parse(""), Err("transport: timeout string is too short: \"\"".into()));
        assert_eq!(parse("S"), Err("transport: timeout string is too short: \"S\"".into()));
        assert_eq!(parse("123456789S"), Err("transport: timeout string is too long: \"123456789S\"".into()));
        assert_eq!(parse("1x"), Err("transport: timeout unit is not recognized: \"1x\"".into()));
        assert_eq!(parse("-1S"), Err("strconv.ParseUint: parsing \"-1\": invalid syntax".into()));
        assert_eq!(parse("1.5S"), Err("strconv.ParseUint: parsing \"1.5\": invalid syntax".into()));
        assert!(parse("1ü").is_err());
    }
}
