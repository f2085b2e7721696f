//! The version that the server says it has, and versions of clusters.

/// The etcd release whose behaviour this server has, as `--version`, `/version` and Status tell it.
pub const ETCD_VERSION: &str = "3.7.1";

/// What a cluster agrees on of a version: releases that differ in the rest work together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version {
    /// The first number.
    pub major: u64,
    /// The second number.
    pub minor: u64,
}

impl Version {
    /// That of a cluster of such servers, and of what they store.
    pub const OWN: Self = Self { major: 3, minor: 7 };

    /// Reads a version as etcd reads the target of a downgrade: `3.6` or `3.6.1`, perhaps with `-prerelease` and
    /// `+metadata` behind three numbers; all but the first two are of no interest.
    pub fn parse(text: &str) -> Option<Self> {
        let (core, metadata) = text.split_once('+').unwrap_or((text, ""));
        let (core, prerelease) = core.split_once('-').unwrap_or((core, ""));
        let mut numbers = core.split('.').map(number);
        let (major, minor) = (numbers.next()??, numbers.next()??);
        match numbers.next() {
            Some(patch) => {
                patch?;
                numbers.next().is_none().then_some(())?;
            }
            None if prerelease.is_empty() && metadata.is_empty() && core == text => {}
            None => return None,
        }
        let identifier = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        (identifier(prerelease) && identifier(metadata)).then_some(Self { major, minor })
    }

    /// The one version that a cluster of this one can be brought down to.
    pub fn one_lower(self) -> Option<Self> {
        Some(Self { minor: self.minor.checked_sub(1)?, ..self })
    }

    /// Without the patch: `3.7`.
    pub fn short(self) -> String {
        format!("{}.{}", self.major, self.minor)
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = if digits { text.parse::<i64>().ok()? } else { return None };
    u64::try_from(value).ok()
}

impl std::fmt::Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}.0", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_etcd_reads_them() {
        let good = [("3.6", 3, 6), ("3.6.1", 3, 6), ("03.6.0", 3, 6), ("3.6.1-alpha.1+x", 3, 6), ("4.0.0+m", 4, 0)];
        for (text, major, minor) in good {
            assert_eq!(Version::parse(text), Some(Version { major, minor }), "{text}");
        }
        let too_large = "9223372036854775808.1";
        for text in ["", "3", "v3.6", "3.6.", ".6", "3.6.1.2", "3.6-a", "3.6+a", "x", "3.x", "-3.6.0", too_large] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        assert_eq!((Version::OWN.to_string(), Version::OWN.short()), ("3.7.0".to_owned(), "3.7".to_owned()));
        assert_eq!(Version { major: 4, minor: 0 }.one_lower(), None);
    }
}
