fn read(clock: libc::clockid_t) -> (u64, u64) {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value of the right type that lives through the call.
    unsafe { libc::clock_gettime(clock, &mut time) };
    (time.tv_sec as u64, time.tv_nsec as u64)
}

/// The clock of the records.
pub fn monotonic_ns() -> u64 {
    let (seconds, nanoseconds) = read(libc::CLOCK_MONOTONIC);
    seconds * 1_000_000_000 + nanoseconds
}

/// Of this process.
pub fn cpu_seconds() -> f64 {
    let (seconds, nanoseconds) = read(libc::CLOCK_PROCESS_CPUTIME_ID);
    seconds as f64 + nanoseconds as f64 / 1e9
}
