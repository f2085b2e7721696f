//! Values that follow from several flags, needed by the checks and by the configuration alike.

use std::path::PathBuf;

use super::settings::Settings;
use crate::identity::Url;

/// The data directory: the flag, or `<name>.etcd`.
pub(super) fn data_dir(settings: &Settings, name: &str) -> PathBuf {
    match settings.text("data-dir") {
        "" => PathBuf::from(format!("{name}.etcd")),
        given => PathBuf::from(given),
    }
}

/// The default of --advertise-client-urls holds only while --listen-client-urls stands at its own.
pub(super) fn advertised_clients(settings: &Settings) -> Option<Vec<Url>> {
    let dropped = settings.is_given("listen-client-urls") && !settings.is_given("advertise-client-urls");
    if dropped { None } else { Some(settings.urls("advertise-client-urls").to_owned()) }
}

/// The default of --initial-cluster does not hold once the SRV records name the members.
pub(super) fn initial_cluster(settings: &Settings) -> String {
    let discovered = !settings.text("discovery-srv").is_empty()
        || !settings.text("discovery-srv-name").is_empty()
        || !settings.list("discovery-endpoints").is_empty();
    if discovered && !settings.is_given("initial-cluster") {
        String::new()
    } else {
        settings.text("initial-cluster").to_owned()
    }
}
