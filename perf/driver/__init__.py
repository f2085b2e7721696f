"""The parts of perf/run and perf/profile."""
