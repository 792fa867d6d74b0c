#ifndef MAST_CTUNNEL_H
#define MAST_CTUNNEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// TUN devices and a program in a network namespace of its own. C, because what a forked child may do before it
// becomes another program is little, and Swift's runtime is not part of it. Linux only; elsewhere every call
// fails with ENOSYS.

/// A point-to-point device. Addresses are text; NULL leaves that family out.
struct mast_tun_address {
    const char *local4;
    const char *peer4;
    const char *local6;
    const char *peer6;
    int mtu;
};

/// Opens a new TUN device (no packet header, not blocking) named after `pattern`, such as "mast%d".
/// Returns its descriptor, or -1 with errno, EBUSY if there is a device of that name; `name` gets at least 16 bytes.
int mast_tun_open(const char *pattern, char *name);

/// Sets addresses and MTU and brings the device up. `default_route` makes it the way to everywhere.
/// Returns 0, or -1 with errno.
int mast_tun_configure(const char *name, const struct mast_tun_address *address, int default_route);

struct mast_spawn {
    struct mast_tun_address address;
    /// Bound over /etc/resolv.conf inside, and unlinked; NULL leaves it.
    const char *resolv_conf;
    /// Ends with NULL.
    char *const *arguments;
    char *const *environment;
};

/// Starts a program in new network and mount namespaces, joined by a TUN device whose descriptor goes to `tun`.
/// From then on SIGTERM is passed on to it instead of ending us.
/// Returns the process, or -1 with errno; `step` then says what failed.
pid_t mast_spawn_process(const struct mast_spawn *spawn, int *tun, const char **step);

/// Waits until one of the descriptors can be read, or so long. Negative descriptors are passed over; of more than 8
/// the first 8 count.
/// Returns a bit for each that can be read, the first's lowest.
unsigned mast_wait(const int *descriptors, int count, long nanoseconds);

/// A UDP socket that does not block; -1 with errno.
int mast_datagram_socket(void);

/// Makes timers of the calling thread fire with this slack (nanoseconds).
void mast_timer_slack(unsigned long nanoseconds);

#endif
