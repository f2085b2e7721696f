//! Feature gates: `--feature-gates=Name=true,…`.
//!
//! Invariants
//! - A gate that is not set stands at its own default or at that of its stage's switch (AllAlpha, AllBeta).

use crate::gotext::{parse_bool, quote};

/// How far a feature has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Alpha,
    Beta,
}

macro_rules! gates {
    ($($name:ident $stage:ident $default:literal $doc:literal;)*) => {
        /// A gate that etcd 3.7 knows.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[non_exhaustive]
        pub enum Gate { $(#[doc = $doc] $name,)* }

        impl Gate {
            const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in the flag.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            fn stage(self) -> Option<Stage> {
                match self { $(Self::$name => stage!($stage),)* }
            }

            fn default(self) -> bool {
                match self { $(Self::$name => $default,)* }
            }
        }
    };
}

macro_rules! stage {
    (Switch) => {
        None
    };
    ($stage:ident) => {
        Some(Stage::$stage)
    };
}

gates! {
    AllAlpha Switch false "Switches every alpha gate that is not set by itself.";
    AllBeta Switch false "Switches every beta gate that is not set by itself.";
    CompactHashCheck Alpha false "Compare compaction hashes between members.";
    FastLeaseKeepAlive Beta true "Renew leases without waiting for what is applied.";
    InitialCorruptCheck Alpha false "Compare the data with the other members' before serving.";
    LeaseCheckpoint Alpha false "Tell followers the remaining time of leases.";
    LeaseCheckpointPersist Alpha false "Keep the remaining time of leases over restarts.";
    PriorityRequest Alpha false "Let certain requests pass others under overload.";
    SetMemberLocalAddr Alpha false "Call peers from the advertised address.";
    StopGRPCServiceOnDefrag Alpha false "Turn clients away during defragmentation.";
    TxnModeWriteWithSharedBuffer Beta true "A setting of etcd's transaction buffers.";
}

impl Gate {
    /// Why the gate changes nothing here, if it does not.
    fn without_effect(self) -> Option<&'static str> {
        match self {
            Self::AllAlpha | Self::AllBeta | Self::LeaseCheckpoint => None,
            Self::LeaseCheckpointPersist => Some("what LeaseCheckpoint notes is always kept over restarts"),
            Self::FastLeaseKeepAlive => Some("renewals are always answered from memory"),
            Self::StopGRPCServiceOnDefrag => Some("a defragmentation stops nothing"),
            Self::TxnModeWriteWithSharedBuffer => Some("there are no bbolt buffers"),
            Self::PriorityRequest => Some("each kind of request has bounds of its own"),
            Self::CompactHashCheck | Self::InitialCorruptCheck | Self::SetMemberLocalAddr => {
                Some("it waits for clusters of several members")
            }
        }
    }
}

/// What every gate stands at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Gates {
    set: Vec<(Gate, bool)>,
}

impl Gates {
    /// The gates that a flag's value sets; all others stand at their defaults.
    pub(super) fn new(set: Vec<(Gate, bool)>) -> Self {
        Self { set }
    }

    /// Every gate with its stage, as etcd's metrics name them, and whether it is open.
    pub fn all(&self) -> Vec<(&'static str, &'static str, bool)> {
        let stage = |gate: Gate| match (gate, gate.stage()) {
            (Gate::AllBeta, _) | (_, Some(Stage::Beta)) => "BETA",
            _ => "ALPHA",
        };
        Gate::ALL.iter().map(|gate| (gate.name(), stage(*gate), self.enabled(*gate))).collect()
    }

    /// The gates that were moved from their defaults and change nothing here, each with the reason.
    pub(super) fn without_effect(&self) -> Vec<(&'static str, &'static str)> {
        let moved = Gate::ALL.iter().filter(|gate| self.enabled(**gate) != gate.default());
        moved.filter_map(|gate| Some((gate.name(), gate.without_effect()?))).collect()
    }

    /// Whether the gate is open.
    pub fn enabled(&self, gate: Gate) -> bool {
        let set = |wanted: Gate| self.set.iter().find(|(gate, _)| *gate == wanted).map(|(_, open)| *open);
        let of_stage = match gate.stage() {
            Some(Stage::Alpha) => set(Gate::AllAlpha),
            Some(Stage::Beta) => set(Gate::AllBeta),
            None => None,
        };
        set(gate).or(of_stage).unwrap_or_else(|| gate.default())
    }
}

/// Reads the flag's value; of two settings of one gate the later counts.
pub(super) fn read(text: &str) -> Result<Vec<(Gate, bool)>, String> {
    let mut set: Vec<(Gate, bool)> = Vec::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name.trim(), value.trim()),
            None => return Err(format!("missing bool value for {}", pair.trim())),
        };
        let refuse = || {
            format!("invalid value of {name}={value}, err: strconv.ParseBool: parsing {}: invalid syntax", quote(value))
        };
        let open = parse_bool(value).map_err(|_| refuse())?;
        let gate = Gate::ALL.iter().copied().find(|gate| gate.name() == name);
        let gate = gate.ok_or_else(|| format!("unrecognized feature gate: {name}"))?;
        set.retain(|(earlier, _)| *earlier != gate);
        set.push((gate, open));
        assert!(set.len() <= Gate::ALL.len(), "each gate once");
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_its_own_setting_then_its_stage_s_then_the_default() {
        let gates = |text: &str| Gates::new(read(text).unwrap());
        assert!(gates("").enabled(Gate::FastLeaseKeepAlive) && !gates("").enabled(Gate::LeaseCheckpoint));
        assert!(gates("AllAlpha=true").enabled(Gate::LeaseCheckpoint));
        assert!(!gates("AllAlpha=true,LeaseCheckpoint=false").enabled(Gate::LeaseCheckpoint));
        assert!(!gates("LeaseCheckpoint=0, AllAlpha = 1 ").enabled(Gate::LeaseCheckpoint));
        assert!(!gates("AllBeta=false").enabled(Gate::FastLeaseKeepAlive));
        assert!(gates("AllBeta=false,AllBeta=true").enabled(Gate::FastLeaseKeepAlive));
    }

    #[test]
    fn bad_gates_are_refused_in_etcd_s_words() {
        assert_eq!(read("Foo=true").unwrap_err(), "unrecognized feature gate: Foo");
        assert_eq!(read("AllAlpha").unwrap_err(), "missing bool value for AllAlpha");
        let refusal = "invalid value of AllAlpha=x, err: strconv.ParseBool: parsing \"x\": invalid syntax";
        assert_eq!(read("AllAlpha=x").unwrap_err(), refusal);
        assert_eq!(read(",,").unwrap(), []);
    }
}
