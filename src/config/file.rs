//! The configuration file: YAML, and with it JSON, by the names of etcd's fields.
//!
//! Invariants
//! - A field speaks for the flag of its name; `field.rs` has the names. A field without a value leaves the default.
//! - An error names the file, the line and the field. etcd passes over fields that it does not know; here one that no etcd
//!   ever had ends the process, since it is a setting that would silently not hold.
//!
//! Must not know: where the text comes from.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_norway::Deserializer;

use super::field::{Place, Section, find_field, meant};
use super::flag::{Flag, Kind};
use super::settings::Settings;
use super::table::find;
use super::value::Value;
use crate::gotext::{GoDuration, quote};
use crate::log::Record;

/// Why a file was not read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Unread {
    /// For the log, as any refusal of the configuration.
    Refused(String),
    /// For standard error alone: etcd says so of URLs.
    Said(String),
}

/// Reads the file's text into `settings`; fields that are passed over are told in `records`.
pub(super) fn read_file(
    path: &str,
    text: &str,
    settings: &mut Settings,
    records: &mut Vec<Record>,
) -> Result<(), Unread> {
    let mut reading = Reading { path, settings, records, why: None };
    if text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#')) {
        return Ok(());
    }
    // Of several documents etcd reads the first.
    let Some(document) = Deserializer::from_str(text).next() else { return Ok(()) };
    let Err(error) = Entries(&mut reading, Section::Top).deserialize(document) else {
        fill_zeros(settings);
        return Ok(());
    };
    let line = error.location().map_or(1, |location| location.line());
    Err(match reading.why {
        Some(Unread::Said(text)) => Unread::Said(text),
        Some(Unread::Refused(why)) => Unread::Refused(format!("{path}:{line}: {why}")),
        None => Unread::Refused(format!("{path}:{line}: {error}")),
    })
}

/// Where a file's zero value asks for the default: so etcd has it of these two.
fn fill_zeros(settings: &mut Settings) {
    let zero = [
        ("initial-cluster-state", settings.text("initial-cluster-state").is_empty()),
        ("self-signed-cert-validity", settings.unsigned("self-signed-cert-validity") == 0),
    ];
    for (name, _) in zero.into_iter().filter(|(_, zero)| *zero) {
        if let Some((index, flag)) = find(name) {
            settings.set(index, flag, flag.default).expect("the table's defaults are values of their kinds");
        }
    }
}

/// A file on its way into the settings.
struct Reading<'a> {
    path: &'a str,
    settings: &'a mut Settings,
    records: &'a mut Vec<Record>,
    /// What is wrong, if it is not the file's form.
    why: Option<Unread>,
}

impl Reading<'_> {
    /// The parser adds the place to the error; what is said of it waits here.
    fn refuse<E: serde::de::Error>(&mut self, why: String) -> E {
        self.why = Some(Unread::Refused(why));
        E::custom("refused")
    }

    fn pass_over(&mut self, name: &str) {
        let fields = vec![("path", self.path.to_owned().into()), ("field", name.to_owned().into())];
        self.records.push(Record::warn("field of an older release has no effect", fields));
    }

    /// Gives a flag the field's value.
    fn apply(&mut self, (name, index, flag): (&str, usize, &'static Flag), raw: Raw) -> Result<(), Unread> {
        let ill_typed = |wanted: &str| Err(Unread::Refused(format!("{name}: expected {wanted}, found {raw}")));
        if matches!(raw, Raw::Null) {
            self.settings.mark_given(index);
            return Ok(());
        }
        let value = match (flag.kind, &raw) {
            (Kind::Bool, Raw::Bool(truth)) => Value::Bool(*truth),
            (Kind::Bool, Raw::Text(text)) if old_truth(text).is_some() => Value::Bool(old_truth(text) == Some(true)),
            (Kind::Bool, _) => return ill_typed("true or false"),
            (Kind::Int | Kind::Duration, Raw::Integer(number)) => match (flag.kind, i64::try_from(*number)) {
                (Kind::Duration, Ok(number)) => Value::Duration(GoDuration(number)),
                (_, Ok(number)) => Value::Signed(number),
                (_, Err(_)) => return ill_typed("a number of 64 bits"),
            },
            (Kind::Int, _) => return ill_typed("a whole number"),
            (Kind::Duration, _) => return ill_typed("a whole number of nanoseconds"),
            (Kind::Uint | Kind::Uint32, Raw::Integer(number)) => {
                let most = if matches!(flag.kind, Kind::Uint32) { u64::from(u32::MAX) } else { u64::MAX };
                match u64::try_from(*number).ok().filter(|number| *number <= most) {
                    Some(number) => Value::Unsigned(number),
                    None => return ill_typed(&format!("a number from 0 to {most}")),
                }
            }
            (Kind::Uint | Kind::Uint32, _) => return ill_typed("a whole number"),
            (Kind::Text | Kind::OneOf(_), Raw::Text(text)) => Value::Text(text.to_owned()),
            (Kind::List, Raw::List(texts)) => Value::List(texts.to_owned()),
            (Kind::List, _) => return ill_typed("a list of texts"),
            (Kind::UniqueList, Raw::List(texts)) if is_listed(flag.name) => Value::List(texts.to_owned()),
            (Kind::UniqueList, _) if is_listed(flag.name) => return ill_typed("a list of texts"),
            // An empty text is no setting.
            (Kind::Urls | Kind::Origins | Kind::UniqueList | Kind::Gates, Raw::Text(text)) if text.is_empty() => {
                self.settings.mark_given(index);
                return Ok(());
            }
            (Kind::Urls | Kind::Origins | Kind::UniqueList | Kind::SomeOf(_) | Kind::Gates, Raw::Text(text)) => {
                return self.settings.set(index, flag, text).map_err(|why| bad_text((name, flag), &why));
            }
            (
                Kind::Text
                | Kind::OneOf(_)
                | Kind::Urls
                | Kind::Origins
                | Kind::UniqueList
                | Kind::SomeOf(_)
                | Kind::Gates,
                _,
            ) => return ill_typed("a text"),
        };
        self.settings.set_value(index, flag, value);
        Ok(())
    }
}

/// Lists of texts that a file gives as such, not as one text with commas.
fn is_listed(flag: &str) -> bool {
    matches!(flag, "log-outputs" | "discovery-endpoints")
}

/// What is said of a text that the flag's own reader refuses.
fn bad_text((name, flag): (&str, &Flag), why: &str) -> Unread {
    match flag.kind {
        // etcd calls one of them by another's name.
        Kind::Urls => {
            let shown = if name == "advertise-client-urls" { "advertise-peer-urls" } else { name };
            Unread::Said(format!("unexpected error setting up {shown}: {why}\n"))
        }
        Kind::Bool
        | Kind::Int
        | Kind::Uint
        | Kind::Uint32
        | Kind::Text
        | Kind::Duration
        | Kind::Origins
        | Kind::UniqueList
        | Kind::List
        | Kind::OneOf(_)
        | Kind::SomeOf(_)
        | Kind::Gates => Unread::Refused(format!("{name}: {why}")),
    }
}

/// The words of YAML 1.1 for a truth, which etcd's reader still takes and a newer one gives as texts.
fn old_truth(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// A value as the file has it.
enum Raw {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<String>),
}

impl Raw {
    fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(truth) => !truth,
            Self::Integer(number) => *number == 0,
            Self::Float(number) => *number == 0.0,
            Self::Text(text) => text.is_empty(),
            Self::List(texts) => texts.is_empty(),
        }
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("nothing"),
            Self::Bool(truth) => write!(formatter, "{truth}"),
            Self::Integer(number) => write!(formatter, "the number {number}"),
            Self::Float(number) => write!(formatter, "the number {number}"),
            Self::Text(text) => write!(formatter, "the text {}", quote(text)),
            Self::List(_) => formatter.write_str("a list"),
        }
    }
}

/// The fields of a section.
struct Entries<'r, 'a>(&'r mut Reading<'a>, Section);

impl<'de> DeserializeSeed<'de> for Entries<'_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1.prefix().strip_suffix('.') {
            None => formatter.write_str("the fields of a configuration, as `name: value`"),
            Some(section) => write!(formatter, "the fields of {section}, as `name: value`"),
        }
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        // etcd looks for this one's fields once more, and finds that it has none.
        if self.1 == Section::PeerSecurity {
            return Err(self.0.refuse("invalid peer-transport-security".to_owned()));
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(reading, section) = self;
        while let Some((name, place)) = map.next_key_seed(Name(reading, section))? {
            match place {
                Place::Flag(index, flag) => map.next_value_seed(Setting(reading, (&name, index, flag)))?,
                Place::Section(inner) => map.next_value_seed(Entries(reading, inner))?,
                Place::OnlyZero => map.next_value_seed(Zero(reading, &name))?,
                Place::Past => {
                    map.next_value::<IgnoredAny>()?;
                    reading.pass_over(&name);
                }
            }
        }
        Ok(())
    }
}

/// A field's name.
struct Name<'r, 'a>(&'r mut Reading<'a>, Section);

impl<'de> DeserializeSeed<'de> for Name<'_, '_> {
    type Value = (String, Place);
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Name<'_, '_> {
    type Value = (String, Place);

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        let full = format!("{}{}", self.1.prefix(), name.to_ascii_lowercase());
        match find_field(self.1, name) {
            Some(place) => Ok((full, place)),
            None => {
                let hint = meant(name).map(|meant| format!("; the field is {meant}")).unwrap_or_default();
                Err(self.0.refuse(format!("{}{name}: unknown field{hint}", self.1.prefix())))
            }
        }
    }
}

/// Implements the visits of single values by one function, so that an error stands where the value stands.
macro_rules! visits {
    () => {
        fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<(), E> {
            self.take(Raw::Bool(truth))
        }
        fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
            self.take(Raw::Integer(number.into()))
        }
        fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
            self.take(Raw::Integer(number.into()))
        }
        fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
            self.take(of_float(number))
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
            self.take(Raw::Text(text.to_owned()))
        }
        fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
            self.take(Raw::Null)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
            let mut texts = Vec::new();
            while let Some(text) = items.next_element::<String>()? {
                texts.push(text);
            }
            self.take(Raw::List(texts))
        }
    };
}

/// Templates print large whole numbers as floats, and etcd's reader makes whole numbers of them again.
fn of_float(number: f64) -> Raw {
    format!("{number:.0}").parse().ok().filter(|_| number.fract() == 0.0).map_or(Raw::Float(number), Raw::Integer)
}

/// The value of a flag's field.
struct Setting<'r, 'a, 'n>(&'r mut Reading<'a>, (&'n str, usize, &'static Flag));

impl Setting<'_, '_, '_> {
    fn take<E: serde::de::Error>(self, raw: Raw) -> Result<(), E> {
        self.0.apply(self.1, raw).map_err(|why| {
            self.0.why = Some(why);
            E::custom("refused")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Setting<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Setting<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a value of {}", self.1.0)
    }

    visits!();
}

/// The value of a field that nothing speaks for.
struct Zero<'r, 'a, 'n>(&'r mut Reading<'a>, &'n str);

impl Zero<'_, '_, '_> {
    fn take<E: serde::de::Error>(self, raw: Raw) -> Result<(), E> {
        if raw.is_zero() { Ok(()) } else { Err(self.0.refuse(format!("{}: not supported", self.1))) }
    }
}

impl<'de> DeserializeSeed<'de> for Zero<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Zero<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "nothing for {}", self.1)
    }

    visits!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Settings, Vec<Record>), Unread> {
        let (mut settings, mut records) = (Settings::for_file(), Vec::new());
        read_file("f.yaml", text, &mut settings, &mut records).map(|()| (settings, records))
    }

    #[track_caller]
    fn refusal(text: &str) -> String {
        match read(text) {
            Err(Unread::Refused(why)) => why,
            Err(Unread::Said(why)) => panic!("said {why}"),
            Ok(_) => panic!("was read"),
        }
    }

    #[test]
    fn each_kind_of_field_is_read() {
        let text = "name: a\nheartbeat-interval: 50\nquota-backend-bytes: 8.589934592e+09\npre-vote: off\n\
            grpc-keepalive-min-time: 7000000000\nlisten-client-urls: http://127.0.0.1:1,http://127.0.0.1:2\n\
            log-outputs: [stdout]\ncors: \nhost-whitelist: b,a\nfeature-gates: LeaseCheckpoint=true\n\
            client-transport-security:\n  cert-file: /c\n  client-cert-auth: true\n  allowed-hostname: [x, y]\n\
            peer-transport-security: {allowed-cn: [z], skip-client-san-verification: yes}\n\
            socket-options: {reuse-port: true}\ndiscovery-config:\n  client:\n    secure:\n";
        let (settings, records) = read(text).unwrap();
        assert!(records.is_empty());
        assert_eq!((settings.text("name"), settings.unsigned("heartbeat-interval")), ("a", 50));
        assert_eq!(settings.signed("quota-backend-bytes"), 8_589_934_592);
        assert!(!settings.bool("pre-vote") && settings.bool("socket-reuse-port") && settings.bool("client-cert-auth"));
        assert_eq!(settings.duration("grpc-keepalive-min-time").0, 7_000_000_000);
        assert_eq!(settings.urls("listen-client-urls").len(), 2);
        assert_eq!(settings.list("log-outputs"), ["stdout"]);
        assert_eq!((settings.list("cors"), settings.list("host-whitelist").len()), (&["*".to_owned()][..], 2));
        assert_eq!((settings.text("cert-file"), settings.list("client-cert-allowed-hostname").len()), ("/c", 2));
        assert_eq!(settings.list("peer-cert-allowed-cn"), ["z"]);
        assert!(settings.bool("peer-skip-client-san-verification"));
        assert!(settings.is_given("cors") && !settings.is_given("data-dir"));
    }

    #[test]
    fn json_is_read_and_nothing_is_no_fields() {
        let (settings, _) =
            read("{\n\t\"name\": \"a\",\n\t\"max-wals\": 3,\n\t\"log-outputs\": [\"stderr\"]\n}\n").unwrap();
        assert_eq!((settings.text("name"), settings.unsigned("max-wals")), ("a", 3));
        let (settings, _) = read("initial-cluster-state: ''\nself-signed-cert-validity: 0\n").unwrap();
        assert_eq!(
            (settings.text("initial-cluster-state"), settings.unsigned("self-signed-cert-validity")),
            ("new", 1)
        );
        assert!(read("").is_ok() && read("# nothing\n").is_ok() && read("---\n").is_ok());
    }

    #[test]
    fn errors_name_file_line_and_field() {
        for (text, expected) in [
            (
                "name: a\nheartbeat-interval: x\n",
                "f.yaml:2: heartbeat-interval: expected a whole number, found the text \"x\"",
            ),
            ("name: 3\n", "f.yaml:1: name: expected a text, found the number 3"),
            (
                "\n\nheartbeat-interval: -1\n",
                "f.yaml:3: heartbeat-interval: expected a number from 0 to 18446744073709551615, found the number -1",
            ),
            (
                "grpc-keepalive-min-time: 5s\n",
                "f.yaml:1: grpc-keepalive-min-time: expected a whole number of nanoseconds, found the text \"5s\"",
            ),
            ("log-outputs: stderr\n", "f.yaml:1: log-outputs: expected a list of texts, found the text \"stderr\""),
            ("name: a\nnmae: b\n", "f.yaml:2: nmae: unknown field"),
            ("cert-file: b\n", "f.yaml:1: cert-file: unknown field; the field is client-transport-security.cert-file"),
            ("peer-transport-security:\n  x: b\n", "f.yaml:2: peer-transport-security.x: unknown field"),
            (
                "client-transport-security:\n  client-cert-auth: 'maybe'\n",
                "f.yaml:2: client-transport-security.client-cert-auth: expected true or false, found the text \"maybe\"",
            ),
            (
                "client-transport-security:\n  allowed-cn: [a]\n",
                "f.yaml:2: client-transport-security.allowed-cn: not supported",
            ),
            ("feature-gates: Foo=true\n", "f.yaml:1: feature-gates: unrecognized feature gate: Foo"),
            ("name: a\npeer-transport-security:\n", "f.yaml:2: invalid peer-transport-security"),
        ] {
            assert_eq!(refusal(text), expected);
        }
        for (text, place, words) in [
            ("name: a\n x: 3\n", "f.yaml:2: ", "mapping values"),
            ("- a\n", "f.yaml:1: ", "expected the fields of a configuration"),
            (
                "name: a\nclient-transport-security: 3\n",
                "f.yaml:2: ",
                "expected the fields of client-transport-security",
            ),
            ("name: {a: b}\n", "f.yaml:1: ", "a value of name"),
            ("{\"name\": \"a\",\n", "f.yaml:", ""),
        ] {
            let why = refusal(text);
            assert!(why.starts_with(place) && why.contains(words), "{why}");
        }
    }

    #[test]
    fn what_older_releases_had_is_told_and_passed_over() {
        let (settings, records) =
            read("discovery-fallback: proxy\nproxy: off\nexperimental-x: {y: 1}\nname: b\n").unwrap();
        assert_eq!((settings.text("name"), settings.text("discovery-fallback"), records.len()), ("b", "exit", 3));
    }

    #[test]
    fn urls_are_refused_in_etcds_own_way() {
        let said = read("advertise-client-urls: foo\n").err().unwrap();
        let text =
            "unexpected error setting up advertise-peer-urls: URL scheme must be http, https, unix, or unixs: foo\n";
        assert_eq!(said, Unread::Said(text.to_owned()));
    }

    #[test]
    fn no_file_makes_the_reader_panic() {
        let sample = "name: a\nheartbeat-interval: 5\nlog-outputs: [stdout]\nclient-transport-security: {cert-file: /c}\n\
            cors: '*'\nfeature-gates: AllAlpha=true\nlisten-client-urls: http://127.0.0.1:1\nv2-deprecation: gone\n\
            discovery-config:\n  client: {endpoints: [a], secure: {cert: x}}\nsocket-options: {reuse-port: on}\n";
        let pieces = [
            "[", "]", "{", "}", ":", "\n", "- ", "&a ", "*a", "<<: ", "!!int ", "1e400", "-1", "~", "\u{0}", "é", "\"",
            "? ", "|\n", "3", "true",
        ];
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |bound: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % u64::try_from(bound).unwrap()).unwrap()
        };
        for _ in 0..3000 {
            let mut text: Vec<char> = sample.chars().collect();
            for _ in 0..=below(4) {
                let (at, length) = (below(text.len()), below(6));
                let end = (at + length).min(text.len());
                text.splice(at..end, pieces[below(pieces.len())].chars());
            }
            let text: String = text.into_iter().collect();
            if let Err(Unread::Refused(why)) = read(&text) {
                assert!(why.starts_with("f.yaml:"), "{why}");
            }
        }
    }
}
