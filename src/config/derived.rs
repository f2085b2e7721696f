//! Values that follow from several flags, needed by the checks and by the configuration alike.

use std::path::PathBuf;

use super::settings::Settings;
use super::table::find;
use crate::identity::Url;

/// The data directory: the flag, or `<name>.etcd`.
pub(super) fn data_dir(settings: &Settings, name: &str) -> PathBuf {
    match settings.text("data-dir") {
        "" => PathBuf::from(format!("{name}.etcd")),
        given => PathBuf::from(given),
    }
}

/// On a command line the default of --advertise-client-urls holds only while --listen-client-urls stands at its own.
pub(super) fn advertised_clients(settings: &Settings) -> Option<Vec<Url>> {
    let dropped = !settings.is_from_file()
        && settings.is_given("listen-client-urls")
        && !settings.is_given("advertise-client-urls");
    if dropped { None } else { Some(settings.urls("advertise-client-urls").to_owned()) }
}

/// The default of --initial-cluster does not hold once the SRV records name the members.
pub(super) fn initial_cluster(settings: &Settings) -> String {
    let from_file = settings.is_from_file();
    let discovered = !settings.text("discovery-srv").is_empty()
        || (!settings.text("discovery-srv-name").is_empty() && !from_file)
        || !settings.list("discovery-endpoints").is_empty();
    // A file that says what the default says is not told from one that says nothing.
    let (_, flag) = find("initial-cluster").expect("a flag of the table");
    let untouched = if from_file { settings.is_default(flag) } else { !settings.is_given("initial-cluster") };
    if discovered && untouched { String::new() } else { settings.text("initial-cluster").to_owned() }
}
