//! The `ringbolt` server: flags to configuration, configuration to a store and listeners, those to shards.

use std::process::ExitCode;

use ringbolt::start;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let (started, logger, log_thread) = match ringbolt::preflight::start() {
        Ok(started) => started,
        Err(code) => return code,
    };
    let code = match start::serve(&started, &logger) {
        Ok(()) => {
            logger.info("server stopped", &[]);
            ExitCode::SUCCESS
        }
        Err(record) => {
            logger.record(&record);
            ExitCode::FAILURE
        }
    };
    // Not a join: a task that an executor left behind may hold a logger for ever.
    logger.flush();
    drop(log_thread);
    code
}
