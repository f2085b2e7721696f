//! Go's durations: `1h2m3.5s` read and written.
//!
//! Invariants
//! - A duration is a signed count of nanoseconds, as in Go; what this module writes it also reads back as the same count.

use std::fmt;

use super::quote;

/// A signed length of time in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct GoDuration(pub i64);

const SECOND: u64 = 1_000_000_000;

impl GoDuration {
    /// So many whole milliseconds; saturates at the far end.
    pub fn from_millis(millis: u64) -> Self {
        Self(i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1_000_000))
    }

    /// As an unsigned duration; a negative one becomes zero.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

impl From<std::time::Duration> for GoDuration {
    fn from(value: std::time::Duration) -> Self {
        Self(i64::try_from(value.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return formatter.write_str("0s");
        }
        if self.0 < 0 {
            formatter.write_str("-")?;
        }
        let nanos = self.0.unsigned_abs();
        if nanos < SECOND {
            let (unit_nanos, unit) = match nanos {
                0..1_000 => (1, "ns"),
                1_000..1_000_000 => (1_000, "µs"),
                _ => (1_000_000, "ms"),
            };
            return write!(formatter, "{}{unit}", decimal(nanos, unit_nanos));
        }
        let seconds = nanos / SECOND;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if hours > 0 {
            write!(formatter, "{hours}h")?;
        }
        if seconds >= 60 {
            write!(formatter, "{minutes}m")?;
        }
        write!(formatter, "{}s", decimal(nanos % (60 * SECOND), SECOND))
    }
}

/// `value / unit` (a power of ten) in decimals, without trailing zeros.
fn decimal(value: u64, unit: u64) -> String {
    assert!(10u64.pow(unit.ilog10()) == unit, "a power of ten, not {unit}");
    let (whole, fraction) = (value / unit, value % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = usize::try_from(unit.ilog10()).expect("at most nine digits");
    let digits = format!("{fraction:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

/// Reads `text` as Go's `time.ParseDuration` does, with its error texts.
pub fn parse_duration(text: &str) -> Result<GoDuration, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if unsigned == "0" {
        return Ok(GoDuration(0));
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let mut total = 0u64;
    let mut rest = unsigned;
    while !rest.is_empty() {
        let term = Term::read(rest).filter(|term| term.whole().is_some()).ok_or_else(invalid)?;
        if term.unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", quote(text)));
        }
        let unit_nanos = unit_nanos(term.unit)
            .ok_or_else(|| format!("time: unknown unit {} in duration {}", quote(term.unit), quote(text)))?;
        let nanos = term.nanos(unit_nanos).ok_or_else(invalid)?;
        total = total.checked_add(nanos).filter(|sum| *sum <= 1 << 63).ok_or_else(invalid)?;
        assert!(term.rest.len() < rest.len(), "each term takes something");
        rest = term.rest;
    }
    let value = if negative { 0i64.checked_sub_unsigned(total) } else { i64::try_from(total).ok() };
    value.map(GoDuration).ok_or_else(invalid)
}

/// One number with its unit, and what follows it.
struct Term<'a> {
    whole: &'a str,
    fraction: &'a str,
    unit: &'a str,
    rest: &'a str,
}

impl<'a> Term<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (whole, after_whole) = split_digits(text);
        let (fraction, after_number) = match after_whole.strip_prefix('.') {
            Some(after_point) => split_digits(after_point),
            None => ("", after_whole),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_end =
            after_number.find(|symbol: char| symbol == '.' || symbol.is_ascii_digit()).unwrap_or(after_number.len());
        let (unit, rest) = after_number.split_at(unit_end);
        Some(Self { whole, fraction, unit, rest })
    }

    /// What stands before the point, if it is a number that Go would go on with.
    fn whole(&self) -> Option<u64> {
        if self.whole.is_empty() { Some(0) } else { self.whole.parse().ok().filter(|whole| *whole <= 1 << 63) }
    }

    fn nanos(&self, unit_nanos: u64) -> Option<u64> {
        let mut nanos = self.whole()?.checked_mul(unit_nanos).filter(|nanos| *nanos <= 1 << 63)?;
        // Digits beyond the eighteenth are below a nanosecond for every unit.
        let mut scale = u128::from(unit_nanos) * 1_000_000_000_000_000_000;
        let mut part = 0u128;
        for digit in self.fraction.bytes().take(18) {
            scale /= 10;
            part += u128::from(digit - b'0') * scale;
        }
        let fraction = u64::try_from(part / 1_000_000_000_000_000_000).expect("less than one unit, at most an hour");
        nanos = nanos.checked_add(fraction)?;
        Some(nanos)
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|symbol: char| !symbol.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn unit_nanos(unit: &str) -> Option<u64> {
    let nanos = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        _ => return None,
    };
    Some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str) -> i64 {
        parse_duration(text).unwrap().0
    }

    #[test]
    fn durations_are_written_as_go_does() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (100_000_000, "100ms"),
            (1_000_000_000, "1s"),
            (3_300_000_000, "3.3s"),
            (60_000_000_000, "1m0s"),
            (245_000_000_000, "4m5s"),
            (7_200_000_000_000, "2h0m0s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (-1_500_000_000, "-1.5s"),
            (i64::MAX, "2562047h47m16.854775807s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(GoDuration(nanos).to_string(), text);
            assert_eq!(reads(text), nanos);
        }
    }

    #[test]
    fn units_add_up_and_fractions_count() {
        assert_eq!(reads("1h30m"), 5_400_000_000_000);
        assert_eq!(reads("1.5h"), 5_400_000_000_000);
        assert_eq!(reads("-.5s"), -500_000_000);
        assert_eq!(reads("+5.s"), 5_000_000_000);
        assert_eq!(reads("10us"), 10_000);
        assert_eq!(reads("0.100000000000000000000h"), 360_000_000_000);
        assert_eq!(reads("0"), 0);
    }

    #[test]
    fn bad_durations_have_go_s_texts() {
        let refusal = |text| parse_duration(text).unwrap_err();
        assert_eq!(refusal(""), "time: invalid duration \"\"");
        assert_eq!(refusal("abc"), "time: invalid duration \"abc\"");
        assert_eq!(refusal("3"), "time: missing unit in duration \"3\"");
        assert_eq!(refusal("99999999999999999999"), "time: invalid duration \"99999999999999999999\"");
        assert_eq!(refusal("1x"), "time: unknown unit \"x\" in duration \"1x\"");
        assert_eq!(refusal("."), "time: invalid duration \".\"");
        assert_eq!(refusal("3000000h"), "time: invalid duration \"3000000h\"");
        assert_eq!(refusal("9223372036854775808ns"), "time: invalid duration \"9223372036854775808ns\"");
        assert_eq!(reads("-9223372036854775808ns"), i64::MIN);
    }
}
