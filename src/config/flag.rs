//! What the table says of one flag.

/// The heading that a flag stands under in `--help` and in the README.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Group {
    Member,
    Clustering,
    Security,
    Auth,
    Monitoring,
    Logging,
    Features,
    Unsafe,
    Ringbolt,
}

impl Group {
    /// The heading.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Member => "Member",
            Self::Clustering => "Clustering",
            Self::Security => "Security",
            Self::Auth => "Auth",
            Self::Monitoring => "Profiling and monitoring",
            Self::Logging => "Logging",
            Self::Features => "Features",
            Self::Unsafe => "Unsafe features",
            Self::Ringbolt => "Of ringbolt's own",
        }
    }
}

/// How the text of a value is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A truth; takes its value only after `=`.
    Bool,
    /// Signed, 64 bits.
    Int,
    /// Unsigned, 64 bits.
    Uint,
    /// Unsigned, 32 bits, with other error texts.
    Uint32,
    /// Any text.
    Text,
    /// A length of time with its unit.
    Duration,
    /// URLs to listen on or to tell others.
    Urls,
    /// `*` or URLs.
    Origins,
    /// Texts, sorted, each once.
    UniqueList,
    /// Texts in the order given.
    List,
    /// One of the words.
    OneOf(&'static [&'static str]),
    /// Some of the words.
    SomeOf(&'static [&'static str]),
    /// Feature gates.
    Gates,
}

impl Kind {
    /// What stands for the value in the README.
    pub(super) fn name(self) -> String {
        match self {
            Self::Bool => "bool".to_owned(),
            Self::Int => "int".to_owned(),
            Self::Uint | Self::Uint32 => "uint".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Duration => "duration".to_owned(),
            Self::Urls => "URLs".to_owned(),
            Self::Origins => "* or URLs".to_owned(),
            Self::UniqueList | Self::List => "list".to_owned(),
            Self::OneOf(words) => words.join(", "),
            Self::SomeOf(words) => words.join(", "),
            Self::Gates => "Gate=bool list".to_owned(),
        }
    }
}

/// What becomes of a value that was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    /// It does what it says.
    InForce,
    /// It is read and checked, and will do what it says once the named part is there; a warning says so at start.
    NotYet(&'static str),
    /// It is read and checked and does nothing, for the reason given.
    Without(&'static str),
    /// Any value but the default ends the process: going on would give less than what was asked for.
    Refused(&'static str),
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    /// Without dashes.
    pub(super) name: &'static str,
    /// How its value is read.
    pub(super) kind: Kind,
    /// As it would be written on the command line.
    pub(super) default: &'static str,
    /// Where it stands in `--help`.
    pub(super) group: Group,
    /// What becomes of its value.
    pub(super) effect: Effect,
    /// One or two sentences.
    pub(super) help: &'static str,
}

impl Flag {
    /// The environment variable of this flag.
    pub(super) fn variable(&self) -> String {
        variable_of(self.name)
    }
}

/// The environment variable of a flag's name: `ETCD_` and the name in capitals.
pub(super) fn variable_of(name: &str) -> String {
    format!("ETCD_{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// A flag that does what it says.
pub(super) const fn in_force(
    group: Group,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Flag {
    Flag { name, kind, default, group, effect: Effect::InForce, help }
}

impl Flag {
    /// The same flag, waiting for a part of the server.
    pub(super) const fn not_yet(self, what: &'static str) -> Self {
        Self { effect: Effect::NotYet(what), ..self }
    }

    /// The same flag, accepted for good without effect.
    pub(super) const fn without(self, reason: &'static str) -> Self {
        Self { effect: Effect::Without(reason), ..self }
    }

    /// The same flag, refused until a part of the server is there.
    pub(super) const fn refused(self, what: &'static str) -> Self {
        Self { effect: Effect::Refused(what), ..self }
    }
}
