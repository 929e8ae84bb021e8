//! How many descriptors a server may have open: each channel of an agent takes one.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// Enough for as many agents as one server takes (20,000, with a control, a telemetry and a node
/// channel each), and for callers besides.
const WANTED: rlim_t = 65_536;

/// Channels of one agent: control, telemetry, and the node channel that ours has besides.
const PER_AGENT: rlim_t = 3;

/// What files of the ledger, listeners and callers take.
const OTHERS: rlim_t = 1_000;

/// Raises this process's limit of open descriptors to [`WANTED`], or as far as it may, and gives
/// it. Says what is lacking when the hard limit is below that and may not be raised.
///
/// # Errors
/// If the system does not tell or set the limit.
pub fn raise() -> Result<rlim_t, Errno> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= WANTED {
        return Ok(soft);
    }
    // Beyond the hard limit only with CAP_SYS_RESOURCE.
    let raised = setrlimit(Resource::RLIMIT_NOFILE, WANTED, hard.max(WANTED)).is_ok();
    if raised {
        return Ok(WANTED);
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let agents = agents(hard);
    tracing::warn!(
        limit = hard,
        wanted = WANTED,
        "the hard limit of open files suffices for about {agents} agents; for more start the \
         server with a higher one (ulimit -Hn {WANTED}, or LimitNOFILE={WANTED} in its unit)"
    );
    Ok(hard)
}

/// About how many agents a limit suffices for.
fn agents(limit: rlim_t) -> rlim_t {
    limit.saturating_sub(OTHERS) / PER_AGENT
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let raised = raise().unwrap();
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, raised);
        assert!(raised >= hard.min(WANTED));
    }

    #[test]
    fn an_agent_takes_three() {
        assert_eq!(agents(500), 0);
        assert_eq!(agents(31_000), 10_000);
    }
}
