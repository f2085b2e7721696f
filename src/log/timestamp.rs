//! Moments as log lines show them: `2006-01-02T15:04:05.000000Z`, always in UTC.

use crate::gotext::push_fmt;

/// Appends the moment that lies `micros` after the Unix epoch.
pub(super) fn push_timestamp(out: &mut String, micros: u64) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_date(days);
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    assert!(hour < 24 && fraction < 1_000_000, "a moment within its day");
    push_fmt(out, format_args!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z"));
}

/// Microseconds of a day.
pub(super) const MICROS_PER_DAY: u64 = 86_400 * 1_000_000;

/// Appends the moment as rotated files have it in their names: `2006-01-02T15-04-05.000`.
pub(super) fn push_file_timestamp(out: &mut String, micros: u64) {
    let mut text = String::new();
    push_timestamp(&mut text, micros);
    assert!(text.is_ascii() && text.len() >= 27, "a timestamp");
    out.push_str(&text[..text.len() - 4].replace(':', "-"));
}

/// Reads such a moment.
pub(super) fn parse_file_timestamp(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| -> Option<u64> {
        text.get(range).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?.parse().ok()
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second, milli) = (number(11..13)?, number(14..16)?, number(17..19)?, number(20..23)?);
    // The day is searched for: dates come from one function alone.
    let guess = (year.checked_sub(1970)? * 365).max(1) - 1;
    let days = (guess..guess + 1000).find(|days| civil_date(*days) == (year, month, day))?;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    let micros = (seconds * 1000 + milli) * 1000;
    let mut again = String::new();
    push_file_timestamp(&mut again, micros);
    (again == text).then_some(micros)
}

/// The Gregorian date that lies `days` after 1970-01-01.
fn civil_date(days: u64) -> (u64, u64, u64) {
    // Years begin with March here, so that the leap day is the last of a year: months then follow one line, (153 m + 2) / 5.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    assert!((1..=12).contains(&month) && (1..=31).contains(&day), "a date, not {year}-{month}-{day}");
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(seconds: u64, micros: u64) -> String {
        let mut out = String::new();
        push_timestamp(&mut out, seconds * 1_000_000 + micros);
        out
    }

    #[test]
    fn known_moments() {
        assert_eq!(shown(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(shown(951_782_399, 999_999), "2000-02-28T23:59:59.999999Z");
        assert_eq!(shown(951_782_400, 0), "2000-02-29T00:00:00.000000Z");
        assert_eq!(shown(1_136_214_245, 5), "2006-01-02T15:04:05.000005Z");
        assert_eq!(shown(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn names_of_files_are_read_back() {
        for micros in [0, 1_577_836_800_123_000, 4_107_542_400_999_000] {
            let mut text = String::new();
            push_file_timestamp(&mut text, micros);
            assert_eq!(parse_file_timestamp(&text), Some(micros), "{text}");
        }
        for text in [
            "",
            "x",
            "2020-13-01T00-00-00.000",
            "2020-01-01T00:00:00.000",
            "2020-01-01T25-00-00.000",
            "é020-01-01T00-00-00.000",
        ] {
            assert_eq!(parse_file_timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn dates_follow_each_other_without_gaps() {
        let mut before = civil_date(0);
        for day in 1..200_000 {
            let date = civil_date(day);
            let next_day = date.0 == before.0 && date.1 == before.1 && date.2 == before.2 + 1;
            let next_month = date.2 == 1
                && before.2 >= 28
                && (date.1 == before.1 + 1 || date.1 == 1 && before.1 == 12 && date.0 == before.0 + 1);
            assert!(next_day || next_month, "{before:?} then {date:?}");
            before = date;
        }
        assert_eq!(before.0, 2517);
    }
}
