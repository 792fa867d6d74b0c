#define _GNU_SOURCE
#include "CTunnel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// <linux/ipv6.h> and <netinet/in.h> do not go together.
struct mast_in6_ifreq {
    struct in6_addr address;
    uint32_t prefix_length;
    int index;
};

int mast_tun_open(const char *pattern, char *name) {
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return -1;
    struct ifreq request;
    memset(&request, 0, sizeof request);
    // Never the device of somebody else that happens to be free.
    request.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", pattern);
    if (ioctl(fd, TUNSETIFF, &request) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    memcpy(name, request.ifr_name, sizeof request.ifr_name);
    return fd;
}

static void write_setting(const char *path, const char *value) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    // Not every kernel knows every setting, and none of ours is vital.
    ssize_t ignored = write(fd, value, strlen(value));
    (void)ignored;
    close(fd);
}

static void fill_name(struct ifreq *request, const char *name) {
    memset(request, 0, sizeof *request);
    snprintf(request->ifr_name, sizeof request->ifr_name, "%s", name);
}

static int set_address(int fd, const char *name, unsigned long what, const char *text) {
    struct ifreq request;
    fill_name(&request, name);
    struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
    address->sin_family = AF_INET;
    if (inet_pton(AF_INET, text, &address->sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    return ioctl(fd, what, &request);
}

static int bring_up(int fd, const char *name) {
    struct ifreq request;
    fill_name(&request, name);
    if (ioctl(fd, SIOCGIFFLAGS, &request) < 0) return -1;
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCSIFFLAGS, &request);
}

static int configure4(int fd, const char *name, const struct mast_tun_address *address, int default_route) {
    if (set_address(fd, name, SIOCSIFADDR, address->local4) < 0) return -1;
    if (set_address(fd, name, SIOCSIFDSTADDR, address->peer4) < 0) return -1;
    if (set_address(fd, name, SIOCSIFNETMASK, "255.255.255.255") < 0) return -1;
    if (bring_up(fd, name) < 0) return -1;
    struct rtentry route;
    memset(&route, 0, sizeof route);
    route.rt_dst.sa_family = AF_INET;
    route.rt_genmask.sa_family = AF_INET;
    route.rt_gateway.sa_family = AF_INET;
    route.rt_flags = RTF_UP;
    if (!default_route) {
        // The whole /24 of the peer: a translator may give it other addresses there.
        struct sockaddr_in *network = (struct sockaddr_in *)&route.rt_dst, *mask = (struct sockaddr_in *)&route.rt_genmask;
        if (inet_pton(AF_INET, address->peer4, &network->sin_addr) != 1) {
            errno = EINVAL;
            return -1;
        }
        mask->sin_addr.s_addr = htonl(0xFFFFFF00);
        network->sin_addr.s_addr &= mask->sin_addr.s_addr;
    }
    route.rt_dev = (char *)name;
    return ioctl(fd, SIOCADDRT, &route);
}

static int route6(int fd, unsigned index, const char *destination, int length) {
    struct {
        struct in6_addr destination, source, gateway;
        uint32_t type;
        uint16_t destination_length, source_length;
        uint32_t metric;
        unsigned long info;
        uint32_t flags;
        int index;
    } route;
    memset(&route, 0, sizeof route);
    if (inet_pton(AF_INET6, destination, &route.destination) != 1) {
        errno = EINVAL;
        return -1;
    }
    route.destination_length = (uint16_t)length;
    route.metric = 1;
    route.flags = RTF_UP;
    route.index = (int)index;
    return ioctl(fd, SIOCADDRT, &route);
}

static int configure6(const char *name, const struct mast_tun_address *address, int default_route) {
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    // A kernel without IPv6 is no fault: there is nothing to carry then.
    if (fd < 0) return 0;
    struct mast_in6_ifreq request;
    memset(&request, 0, sizeof request);
    unsigned index = if_nametoindex(name);
    request.index = (int)index;
    request.prefix_length = 128;
    int result = 0;
    if (inet_pton(AF_INET6, address->local6, &request.address) != 1) {
        errno = EINVAL;
        result = -1;
    } else if (ioctl(fd, SIOCSIFADDR, &request) == 0 || errno == EEXIST) {
        result = route6(fd, index, address->peer6, 128);
        if (result == 0 && default_route) result = route6(fd, index, "::", 0);
    } else if (errno != EACCES && errno != EPERM && errno != EOPNOTSUPP) {
        result = -1;
    }
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

int mast_tun_configure(const char *name, const struct mast_tun_address *address, int default_route) {
    char path[128];
    // No duplicate address detection and no link-local chatter: such packets would pass through the link.
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/accept_dad", name);
    write_setting(path, "0");
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/addr_gen_mode", name);
    write_setting(path, "1");
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/router_solicitations", name);
    write_setting(path, "0");
    // The host's loopback services are reached through the device.
    snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/route_localnet", name);
    write_setting(path, "1");
    snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/rp_filter", name);
    write_setting(path, "0");
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    struct ifreq request;
    fill_name(&request, name);
    request.ifr_mtu = address->mtu;
    int result = ioctl(fd, SIOCSIFMTU, &request);
    if (result == 0) {
        // A single server needs a queue only for a burst; the link has one of its own.
        fill_name(&request, name);
        request.ifr_qlen = 1000;
        ioctl(fd, SIOCSIFTXQLEN, &request);
        result = address->local4 ? configure4(fd, name, address, default_route) : bring_up(fd, name);
    }
    if (result == 0 && address->local6) result = configure6(name, address, default_route);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

struct message {
    int error;
    char step[60];
};

static int send_result(int socket, int fd, int error, const char *step) {
    struct message body;
    memset(&body, 0, sizeof body);
    body.error = error;
    snprintf(body.step, sizeof body.step, "%s", step);
    struct iovec part = {&body, sizeof body};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

// Over a file that may be missing: then nobody reads it.
static int mount_file(const char *file, const char *place) {
    if (mount(file, place, NULL, MS_BIND, NULL) == 0) return 0;
    // On the file of a shell around us, whose name is gone, nothing can be mounted.
    if (errno == ENOENT && umount2(place, MNT_DETACH) == 0 && mount(file, place, NULL, MS_BIND, NULL) == 0) return 0;
    return errno == ENOENT || errno == EINVAL ? 0 : -1;
}

static int enter(const struct mast_spawn *spawn, int *tun, const char **step) {
    *step = "cannot make a network namespace";
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) return -1;
    *step = "cannot keep mounts private";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return -1;
    if (spawn->resolv_conf) {
        *step = "cannot replace /etc/resolv.conf";
        if (mount_file(spawn->resolv_conf, "/etc/resolv.conf") < 0) return -1;
        // The mount keeps it; its name would stay behind if we were killed.
        unlink(spawn->resolv_conf);
    }
    // Where sysfs shows the host's devices still, tools are confused; not vital.
    umount2("/sys", MNT_DETACH);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    // Shows the namespace's processes by the numbers they have in it.
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    *step = "cannot bring up the loopback device";
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    int result = bring_up(fd, "lo");
    close(fd);
    if (result < 0) return -1;
    // Anybody may send pings.
    write_setting("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
    *step = "cannot open a TUN device";
    char name[16];
    *tun = mast_tun_open("mast0", name);
    if (*tun < 0) return -1;
    *step = "cannot configure the TUN device";
    return mast_tun_configure(name, &spawn->address, 1);
}

// Whoever ends us by SIGTERM means the program; we follow when it has ended, and tidy up.
static volatile sig_atomic_t running;
static void pass_on(int number) {
    if (running > 0) kill((pid_t)running, number);
}

static void pass_on_requests(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = pass_on;
    action.sa_flags = SA_RESTART;
    sigaction(SIGTERM, &action, NULL);
    // Who started us may have left it blocked.
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &ending, NULL);
}

// What our parent holds ends with our parent, its device above all; what its own parent gave it is the program's too.
static void close_all_but(int kept) {
    for (int fd = 3; fd < 1024; fd++) {
        int flags = fd == kept ? -1 : fcntl(fd, F_GETFD);
        if (flags >= 0 && flags & FD_CLOEXEC) close(fd);
    }
}

// The namespace's first process: sets it up, starts the program, and ends when that has ended.
static _Noreturn void be_first(const struct mast_spawn *spawn, int socket) {
    // Without its link the program has no network: all ends with the one who carries it.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; number++) sigaction(number, &action, NULL);
    // A request to end waits until there is a program: a namespace's first process loses what it does not handle.
    sigset_t none, ending;
    sigemptyset(&none);
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigprocmask(SIG_SETMASK, &ending, NULL);
    const char *at = "";
    int device = -1;
    if (enter(spawn, &device, &at) < 0) {
        send_result(socket, -1, errno, at);
        _exit(127);
    }
    if (send_result(socket, device, 0, "") < 0) _exit(127);
    close(device);
    // The other end of the link is set up before the first packet. Fails when our parent is gone.
    char go;
    if (read(socket, &go, 1) != 1) _exit(127);
    pid_t program = fork();
    if (program < 0) _exit(126);
    if (program == 0) {
        sigprocmask(SIG_SETMASK, &none, NULL);
        execvpe(spawn->arguments[0], spawn->arguments, spawn->environment);
        int error = errno;
        dprintf(2, "mast: cannot run %s: %s\n", spawn->arguments[0], strerror(error));
        _exit(error == ENOENT ? 127 : 126);
    }
    running = program;
    // Unhandled signals do not reach a namespace's first process, so those of the terminal are the program's alone.
    pass_on_requests();
    while (1) {
        int status = 0;
        pid_t ended = waitpid(-1, &status, 0);
        if (ended == program) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        if (ended < 0 && errno != EINTR) _exit(126);
    }
}

pid_t mast_spawn_process(const struct mast_spawn *spawn, int *tun, const char **step) {
    static char failed[60];
    *step = "cannot start a process";
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return -1;
    // A process namespace of its own: whatever the program leaves behind ends with its first process.
    pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, 0);
    if (child < 0) {
        int error = errno;
        close(pair[0]);
        close(pair[1]);
        errno = error;
        return -1;
    }
    if (child == 0) {
        close_all_but(pair[1]);
        be_first(spawn, pair[1]);
    }
    close(pair[1]);
    struct message body;
    memset(&body, 0, sizeof body);
    struct iovec part = {&body, sizeof body};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    ssize_t count;
    do {
        count = recvmsg(pair[0], &message, MSG_CMSG_CLOEXEC);
    } while (count < 0 && errno == EINTR);
    struct cmsghdr *header = count > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (count != sizeof body || body.error != 0 || header == NULL || header->cmsg_type != SCM_RIGHTS) {
        int error = count == sizeof body && body.error != 0 ? body.error : EPROTO;
        if (count == sizeof body) memcpy(failed, body.step, sizeof failed);
        *step = failed;
        close(pair[0]);
        waitpid(child, NULL, 0);
        errno = error;
        return -1;
    }
    memcpy(tun, CMSG_DATA(header), sizeof *tun);
    running = child;
    pass_on_requests();
    char go = 1;
    ssize_t ignored = write(pair[0], &go, 1);
    (void)ignored;
    close(pair[0]);
    return child;
}

unsigned mast_wait(const int *descriptors, int count, long nanoseconds) {
    struct pollfd polled[8];
    if (count > 8) count = 8;
    for (int index = 0; index < count; index++) polled[index] = (struct pollfd){descriptors[index], POLLIN, 0};
    struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    if (ppoll(polled, (nfds_t)count, &time, NULL) <= 0) return 0;
    unsigned ready = 0;
    for (int index = 0; index < count; index++) ready |= polled[index].revents ? 1u << index : 0;
    return ready;
}

int mast_datagram_socket(void) { return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

void mast_timer_slack(unsigned long nanoseconds) { prctl(PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0); }

#else

int mast_tun_open(const char *pattern, char *name) {
    errno = ENOSYS;
    return -1;
}
int mast_tun_configure(const char *name, const struct mast_tun_address *address, int default_route) {
    errno = ENOSYS;
    return -1;
}
pid_t mast_spawn_process(const struct mast_spawn *spawn, int *tun, const char **step) {
    *step = "network namespaces are Linux's";
    errno = ENOSYS;
    return -1;
}
unsigned mast_wait(const int *descriptors, int count, long nanoseconds) { return 0; }
int mast_datagram_socket(void) {
    errno = ENOSYS;
    return -1;
}
void mast_timer_slack(unsigned long nanoseconds) {}

#endif
