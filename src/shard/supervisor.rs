//! What the service manager is told: systemd's notify protocol, for `Type=notify`.
//!
//! Invariants
//! - Without `NOTIFY_SOCKET` nothing is sent and nothing is said. A failure is told and changes nothing.

use sd_notify::NotifyState;

use crate::log::Logger;

/// Clients are served.
pub(super) fn ready(logger: &Logger) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    logger.info("notifying init daemon", &[]);
    let status = format!("serving clients, etcd {}", crate::identity::ETCD_VERSION);
    match sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]) {
        Ok(()) => logger.info("successfully notified init daemon", &[]),
        Err(error) => logger.error("failed to notify systemd for readiness", &[("error", error.to_string().into())]),
    }
}

/// The member stops.
pub(super) fn stopping() {
    // A supervisor that cannot be told sees the process end.
    let _ = sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}
