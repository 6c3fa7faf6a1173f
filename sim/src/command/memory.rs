//! How much memory this process takes, where the host says so.

/// Resident memory in MiB; `None` where `/proc` does not tell.
pub(super) fn resident_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    of_status(&status)
}

fn of_status(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_off_the_process_status() {
        assert_eq!(of_status("Name:\tx\nVmRSS:\t  204800 kB\nThreads:\t1\n"), Some(200));
        assert_eq!(of_status("Name:\tx\n"), None);
    }
}
