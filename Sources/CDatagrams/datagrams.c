#define _GNU_SOURCE
#include "CDatagrams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

static int is_ipv4(const struct mast_endpoint *endpoint) { return memcmp(endpoint->address, mapped, sizeof mapped) == 0; }

static socklen_t to_sockaddr(const struct mast_endpoint *endpoint, int ipv6, struct sockaddr_storage *storage) {
    memset(storage, 0, sizeof(struct sockaddr_in6));
    if (!ipv6) {
        struct sockaddr_in *address = (struct sockaddr_in *)storage;
        address->sin_family = AF_INET;
        address->sin_port = endpoint->port;
        memcpy(&address->sin_addr, endpoint->address + 12, 4);
#ifdef __APPLE__
        address->sin_len = sizeof *address;
#endif
        return sizeof *address;
    }
    struct sockaddr_in6 *address = (struct sockaddr_in6 *)storage;
    address->sin6_family = AF_INET6;
    address->sin6_port = endpoint->port;
    memcpy(&address->sin6_addr, endpoint->address, 16);
#ifdef __APPLE__
    address->sin6_len = sizeof *address;
#endif
    return sizeof *address;
}

static void from_sockaddr(const struct sockaddr_storage *storage, struct mast_endpoint *endpoint) {
    memset(endpoint, 0, sizeof *endpoint);
    if (storage->ss_family == AF_INET) {
        const struct sockaddr_in *address = (const struct sockaddr_in *)storage;
        memcpy(endpoint->address, mapped, sizeof mapped);
        memcpy(endpoint->address + 12, &address->sin_addr, 4);
        endpoint->port = address->sin_port;
    } else if (storage->ss_family == AF_INET6) {
        const struct sockaddr_in6 *address = (const struct sockaddr_in6 *)storage;
        memcpy(endpoint->address, &address->sin6_addr, 16);
        endpoint->port = address->sin6_port;
    }
}

static void set(int socket, int level, int option, int value) { setsockopt(socket, level, option, &value, sizeof value); }

int mast_udp_open(const struct mast_endpoint *address, int abilities, struct mast_endpoint *bound) {
    int ipv6 = !is_ipv4(address);
#ifdef __linux__
    int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
#else
    int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
    if (fd < 0) return -errno;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
#endif
    if (ipv6) {
        static const uint8_t any[16];
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, memcmp(address->address, any, 16) != 0);
    }
    // Four megabytes ride out a scheduling pause at 1 Gbit/s; the system may grant less.
    set(fd, SOL_SOCKET, SO_RCVBUF, 4 << 20);
    set(fd, SOL_SOCKET, SO_SNDBUF, 4 << 20);
#ifdef __linux__
    // ICMP errors come with the address that they are about, instead of failing whatever is sent next.
    if (abilities & MAST_UDP_TELLS_ERRORS) set(fd, IPPROTO_IP, IP_RECVERR, 1);
    if (abilities & MAST_UDP_TELLS_ERRORS && ipv6) set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
    // Datagrams of one sender come in one piece, and are cut up here.
    set(fd, IPPROTO_UDP, UDP_GRO, 1);
    // Whether DF is set or not, what ICMP says of a path's size is not believed: it may be forged.
    int discovery = abilities & MAST_UDP_WHOLE ? IP_PMTUDISC_PROBE : IP_PMTUDISC_INTERFACE;
    set(fd, IPPROTO_IP, IP_MTU_DISCOVER, discovery);
    if (ipv6) set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, discovery == IP_PMTUDISC_PROBE ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_INTERFACE);
    if (abilities & MAST_UDP_STAMPS) {
        set(fd, IPPROTO_IP, IP_RECVTOS, 1);
        if (ipv6) set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
        set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    }
    if (abilities & MAST_UDP_SHARED) set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
#endif
    struct sockaddr_storage storage;
    socklen_t length = to_sockaddr(address, ipv6, &storage);
    if (bind(fd, (struct sockaddr *)&storage, length) < 0) goto failed;
    length = sizeof storage;
    if (getsockname(fd, (struct sockaddr *)&storage, &length) < 0) goto failed;
    from_sockaddr(&storage, bound);
    return fd;
failed:;
    int code = errno;
    close(fd);
    return -code;
}

int mast_udp_is_ipv6(int socket) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    return getsockname(socket, (struct sockaddr *)&storage, &length) == 0 && storage.ss_family == AF_INET6;
}

void mast_close(int descriptor) {
    if (descriptor >= 0) close(descriptor);
}

#ifdef __linux__
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>


// Room for what goes with one message: a segment's size, a mark, and on the way in its time.
union message_control {
    struct cmsghdr header;
    char bytes[2 * CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct timespec))];
};

// recvmmsg and sendmmsg want the message headers side by side.
struct arrays {
    struct mmsghdr *messages;
    struct iovec *parts;
    struct sockaddr_storage *names;
    union message_control *controls;
    // Datagrams in each message on its way out.
    int *datagrams;
};

// As many as the kernel takes in one message, and bytes of them (UDP_MAX_SEGMENTS, and IPv4's largest payload).
enum { MOST_SEGMENTS = 64, MOST_SEGMENTED = 65507 };

struct mast_batch *mast_batch_new(int count, int size, int has_memory) {
    struct mast_batch *batch = calloc(1, sizeof *batch);
    struct arrays *arrays = calloc(1, sizeof *arrays);
    if (batch == NULL || arrays == NULL) goto failed;
    batch->headers = arrays;
    batch->count = count;
    batch->size = size;
    batch->bytes = has_memory ? malloc((size_t)count * (size_t)size) : NULL;
    batch->offsets = calloc((size_t)count, sizeof *batch->offsets);
    batch->endpoints = calloc((size_t)count, sizeof *batch->endpoints);
    batch->lengths = calloc((size_t)count, sizeof *batch->lengths);
    arrays->messages = calloc((size_t)count, sizeof *arrays->messages);
    arrays->parts = calloc((size_t)count, sizeof *arrays->parts);
    arrays->names = calloc((size_t)count, sizeof *arrays->names);
    batch->segments = calloc((size_t)count, sizeof *batch->segments);
    batch->marks = calloc((size_t)count, sizeof *batch->marks);
    batch->ages = calloc((size_t)count, sizeof *batch->ages);
    arrays->controls = calloc((size_t)count, sizeof *arrays->controls);
    arrays->datagrams = calloc((size_t)count, sizeof *arrays->datagrams);
    if (batch->segments && batch->marks && batch->ages && arrays->controls && arrays->datagrams && (batch->bytes || !has_memory) && batch->offsets && batch->endpoints && batch->lengths && arrays->messages && arrays->parts && arrays->names) return batch;
failed:
    if (batch == NULL) {
        free(arrays);
        return NULL;
    }
    batch->headers = arrays;
    mast_batch_free(batch);
    return NULL;
}

void mast_batch_free(struct mast_batch *batch) {
    if (batch == NULL) return;
    struct arrays *arrays = batch->headers;
    if (arrays != NULL) {
        free(arrays->messages);
        free(arrays->parts);
        free(arrays->names);
        free(arrays->controls);
        free(arrays->datagrams);
        free(arrays);
    }
    free(batch->segments);
    free(batch->marks);
    free(batch->ages);
    free(batch->bytes);
    free(batch->offsets);
    free(batch->endpoints);
    free(batch->lengths);
    free(batch);
}

static int64_t nanoseconds(const struct timespec *time) { return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec; }

// What the system says of the datagrams in a place. `now` is the time of the batch, once somebody asks for it.
static void take_control(struct cmsghdr *header, struct mast_batch *batch, int index, int64_t *now) {
    if (header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_GRO) {
        // Several datagrams of one sender in one piece: all of one size and one mark, but the last may be shorter.
        int bytes;
        memcpy(&bytes, CMSG_DATA(header), sizeof bytes);
        if (bytes > 0) batch->segments[index] = (size_t)bytes;
    } else if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_TOS) {
        batch->marks[index] = *(uint8_t *)CMSG_DATA(header) & 3;
    } else if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_TCLASS) {
        int class;
        memcpy(&class, CMSG_DATA(header), sizeof class);
        batch->marks[index] = (uint8_t)(class & 3);
    } else if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_TIMESTAMPNS) {
        // By the calendar's clock, which may be set: its age by the same clock is what counts.
        struct timespec time;
        memcpy(&time, CMSG_DATA(header), sizeof time);
        if (*now == 0) {
            struct timespec current;
            clock_gettime(CLOCK_REALTIME, &current);
            *now = nanoseconds(&current);
        }
        batch->ages[index] = *now - nanoseconds(&time);
    }
}

int mast_udp_receive(int socket, struct mast_batch *batch) {
    struct arrays *arrays = batch->headers;
    for (int index = 0; index < batch->count; index++) {
        batch->offsets[index] = (size_t)index * (size_t)batch->size;
        arrays->parts[index] = (struct iovec){batch->bytes + batch->offsets[index], (size_t)batch->size};
        arrays->messages[index].msg_hdr = (struct msghdr){
            .msg_name = &arrays->names[index], .msg_namelen = sizeof arrays->names[index], .msg_iov = &arrays->parts[index], .msg_iovlen = 1,
            .msg_control = &arrays->controls[index], .msg_controllen = sizeof arrays->controls[index]};
    }
    int count;
    do {
        count = recvmmsg(socket, arrays->messages, (unsigned)batch->count, MSG_DONTWAIT, NULL);
    } while (count < 0 && errno == EINTR);
    if (count < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
    int64_t now = 0;
    for (int index = 0; index < count; index++) {
        int cut = arrays->messages[index].msg_hdr.msg_flags & MSG_TRUNC;
        batch->lengths[index] = cut ? (size_t)batch->size + 1 : arrays->messages[index].msg_len;
        from_sockaddr(&arrays->names[index], &batch->endpoints[index]);
        batch->segments[index] = batch->lengths[index];
        batch->marks[index] = 0;
        batch->ages[index] = -1;
        struct msghdr *message = &arrays->messages[index].msg_hdr;
        for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header))
            take_control(header, batch, index, &now);
    }
    return count;
}

static int same_destination(const struct mast_endpoint *a, const struct mast_endpoint *b) {
    return a->port == b->port && memcmp(a->address, b->address, sizeof a->address) == 0;
}

// How many datagrams from `first` on may go as one: to one destination, side by side, of one size but for a shorter last one.
static int segments(const struct mast_batch *batch, int first, int end) {
    size_t size = batch->lengths[first], bytes = size;
    int next = first + 1;
    while (next < end && next - first < MOST_SEGMENTS && size > 0) {
        size_t length = batch->lengths[next];
        if (length == 0 || length > size || bytes + length > MOST_SEGMENTED || batch->offsets[next] != batch->offsets[first] + bytes
            || batch->marks[next] != batch->marks[first] || !same_destination(&batch->endpoints[first], &batch->endpoints[next]))
            break;
        bytes += length;
        next++;
        if (length < size) break;
    }
    return next - first;
}

static int send_batch(int socket, int is_ipv6, struct mast_batch *batch, int first, int end, int joins) {
    struct arrays *arrays = batch->headers;
    int messages = 0;
    for (int index = first; index < end; messages++) {
        int count = joins ? segments(batch, index, end) : 1;
        struct msghdr *message = &arrays->messages[messages].msg_hdr;
        size_t bytes = batch->offsets[index + count - 1] + batch->lengths[index + count - 1] - batch->offsets[index];
        arrays->parts[messages] = (struct iovec){batch->bytes + batch->offsets[index], bytes};
        *message = (struct msghdr){.msg_name = &arrays->names[messages], .msg_iov = &arrays->parts[messages], .msg_iovlen = 1};
        // No IPv6 address goes out of a socket of IPv4's: the system says so, in its own words.
        int ipv6 = is_ipv6 || !is_ipv4(&batch->endpoints[index]);
        message->msg_namelen = to_sockaddr(&batch->endpoints[index], ipv6, &arrays->names[messages]);
        arrays->datagrams[messages] = count;
        message->msg_control = &arrays->controls[messages];
        message->msg_controllen = sizeof arrays->controls[messages];
        struct cmsghdr *header = CMSG_FIRSTHDR(message);
        size_t used = 0;
        if (count > 1) {
            uint16_t size = (uint16_t)batch->lengths[index];
            header->cmsg_level = IPPROTO_UDP;
            header->cmsg_type = UDP_SEGMENT;
            header->cmsg_len = CMSG_LEN(sizeof size);
            memcpy(CMSG_DATA(header), &size, sizeof size);
            used += CMSG_SPACE(sizeof size);
            header = (struct cmsghdr *)(arrays->controls[messages].bytes + used);
        }
        if (batch->marks[index] != 0) {
            int mark = batch->marks[index], mapped_ipv4 = is_ipv4(&batch->endpoints[index]);
            header->cmsg_level = mapped_ipv4 ? IPPROTO_IP : IPPROTO_IPV6;
            header->cmsg_type = mapped_ipv4 ? IP_TOS : IPV6_TCLASS;
            header->cmsg_len = CMSG_LEN(sizeof mark);
            memcpy(CMSG_DATA(header), &mark, sizeof mark);
            used += CMSG_SPACE(sizeof mark);
        }
        message->msg_controllen = used;
        if (used == 0) message->msg_control = NULL;
        index += count;
    }
    int sent;
    do {
        sent = sendmmsg(socket, arrays->messages, (unsigned)messages, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) return -errno;
    int count = 0;
    for (int message = 0; message < sent; message++) count += arrays->datagrams[message];
    return count;
}

int mast_udp_send(int socket, int is_ipv6, struct mast_batch *batch, int first, int end) {
    int joins = !batch->is_plain && segments(batch, first, end) > 1;
    int sent = send_batch(socket, is_ipv6, batch, first, end, !batch->is_plain);
    if (sent >= 0 || !joins || sent == -EAGAIN || sent == -EWOULDBLOCK) return sent;
    // An interface that cannot cut them up says EIO; anything else is some datagram's own, which is told one by one.
    if (sent == -EIO) batch->is_plain = 1;
    return send_batch(socket, is_ipv6, batch, first, end, 0);
}

int mast_udp_take_error(int socket, struct mast_network_error *error) {
    struct sockaddr_storage name;
    union {
        struct cmsghdr header;
        char bytes[512];
    } control;
    // What came back of the datagram itself is of no interest.
    uint8_t quoted[64];
    struct iovec part = {quoted, sizeof quoted};
    struct msghdr message = {
        .msg_name = &name, .msg_namelen = sizeof name, .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t count;
    do {
        count = recvmsg(socket, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    if (count < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
    memset(error, 0, sizeof *error);
    if (message.msg_namelen > 0) from_sockaddr(&name, &error->destination);
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
        int isIPv4 = header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_RECVERR;
        int isIPv6 = header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_RECVERR;
        if (!isIPv4 && !isIPv6) continue;
        struct sock_extended_err extended;
        memcpy(&extended, CMSG_DATA(header), sizeof extended);
        error->code = (int)extended.ee_errno;
        error->is_local = extended.ee_origin == SO_EE_ORIGIN_LOCAL;
    }
    return 1;
}

struct mast_poll {
    int epoll, event, has_wait2;
};

struct mast_poll *mast_poll_new(void) {
    struct mast_poll *poll = calloc(1, sizeof *poll);
    if (poll == NULL) return NULL;
    poll->has_wait2 = 1;
    poll->epoll = epoll_create1(EPOLL_CLOEXEC);
    poll->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    // Each write is an event of its own (EPOLLET): the number is never read, and takes 2^64 of them to overflow.
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = UINT64_MAX};
    if (poll->epoll >= 0 && poll->event >= 0 && epoll_ctl(poll->epoll, EPOLL_CTL_ADD, poll->event, &event) == 0) return poll;
    int code = errno;
    mast_poll_free(poll);
    errno = code;
    return NULL;
}

void mast_poll_free(struct mast_poll *poll) {
    mast_close(poll->epoll);
    mast_close(poll->event);
    free(poll);
}

static int control(struct mast_poll *poll, int what, int socket, uint64_t tag, int wants) {
    struct epoll_event event = {.events = EPOLLIN | (wants ? EPOLLOUT : 0), .data.u64 = tag};
    return epoll_ctl(poll->epoll, what, socket, &event) < 0 ? -errno : 0;
}

int mast_poll_add(struct mast_poll *poll, int socket, uint64_t tag) { return control(poll, EPOLL_CTL_ADD, socket, tag, 0); }
int mast_poll_want_write(struct mast_poll *poll, int socket, uint64_t tag, int wants) {
    return control(poll, EPOLL_CTL_MOD, socket, tag, wants);
}
void mast_poll_remove(struct mast_poll *poll, int socket) { epoll_ctl(poll->epoll, EPOLL_CTL_DEL, socket, NULL); }

void mast_poll_wake(struct mast_poll *poll) {
    uint64_t one = 1;
    ssize_t ignored = write(poll->event, &one, sizeof one);
    (void)ignored;
}

int mast_poll_wait(struct mast_poll *poll, int64_t nanoseconds, struct mast_event *events, int most) {
    struct epoll_event ready[64];
    if (most > 64) most = 64;
    int count = -1;
    errno = ENOSYS;
#ifdef SYS_epoll_pwait2
    if (poll->has_wait2) {
        struct {
            int64_t seconds, nanoseconds;
        } time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
        count = (int)syscall(SYS_epoll_pwait2, poll->epoll, ready, most, nanoseconds < 0 ? NULL : &time, NULL, (size_t)8);
        if (count < 0 && errno == ENOSYS) poll->has_wait2 = 0;
    }
#endif
    if (count < 0 && errno == ENOSYS) {
        // Whole milliseconds, rounded up: late rather than spinning.
        int64_t milliseconds = nanoseconds < 0 ? -1 : (nanoseconds + 999999) / 1000000;
        count = epoll_wait(poll->epoll, ready, most, milliseconds > INT32_MAX ? INT32_MAX : (int)milliseconds);
    }
    int filled = 0;
    for (int index = 0; index < count; index++) {
        if (ready[index].data.u64 == UINT64_MAX) continue;
        events[filled++] = (struct mast_event){
            .tag = ready[index].data.u64,
            .readable = (ready[index].events & EPOLLIN) != 0,
            .writable = (ready[index].events & EPOLLOUT) != 0,
            .broken = (ready[index].events & (EPOLLERR | EPOLLHUP)) != 0};
    }
    return filled;
}

void mast_poll_be_punctual(void) { prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0); }

int mast_udp_steer(int socket, const uint64_t *instructions, int count) {
    struct sock_filter filters[64];
    if (count < 1 || count > 64) return -EINVAL;
    for (int index = 0; index < count; index++) {
        uint64_t word = instructions[index];
        filters[index] = (struct sock_filter){(uint16_t)word, (uint8_t)(word >> 16), (uint8_t)(word >> 24), (uint32_t)(word >> 32)};
    }
    struct sock_fprog program = {(unsigned short)count, filters};
    return setsockopt(socket, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) < 0 ? -errno : 0;
}

int mast_network_open(void) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0) return -errno;
    // Room for the news of a few thousand changes between two turns; what does not fit is told as lost.
    set(fd, SOL_SOCKET, SO_RCVBUF, 1 << 20);
    struct sockaddr_nl address = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    int code = errno;
    close(fd);
    return -code;
}

int mast_network_ask(int socket, int what) {
    struct {
        struct nlmsghdr header;
        struct rtgenmsg body;
        char padding[3];
    } request = {
        .header = {
            .nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)), .nlmsg_type = what == 0 ? RTM_GETLINK : RTM_GETADDR,
            .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = 1},
        .body = {.rtgen_family = AF_UNSPEC}};
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t count;
    do {
        count = sendto(socket, &request, sizeof request, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&kernel, sizeof kernel);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : 0;
}

int mast_network_receive(int socket, uint8_t *bytes, size_t size) {
    while (1) {
        struct sockaddr_nl from = {0};
        struct iovec part = {bytes, size};
        struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1};
        ssize_t count = recvmsg(socket, &message, MSG_DONTWAIT);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
        // Any process may send to this socket; only the kernel's word counts.
        if (count == 0 || message.msg_namelen < sizeof from || from.nl_pid != 0) continue;
        return message.msg_flags & MSG_TRUNC ? -EMSGSIZE : (int)count;
    }
}

int mast_network_source(const struct mast_endpoint *destination, struct mast_endpoint *source) {
    int ipv6 = !is_ipv4(destination);
    int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    struct sockaddr_storage storage;
    socklen_t length = to_sockaddr(destination, ipv6, &storage);
    int code = connect(fd, (struct sockaddr *)&storage, length) < 0 ? -errno : 0;
    length = sizeof storage;
    if (code == 0 && getsockname(fd, (struct sockaddr *)&storage, &length) < 0) code = -errno;
    close(fd);
    if (code == 0) from_sockaddr(&storage, source);
    return code;
}

#else

// Elsewhere sockets stand on another loop; these are never called there.
int mast_udp_steer(int socket, const uint64_t *instructions, int count) { return -ENOSYS; }
int mast_network_open(void) { return -ENOSYS; }
int mast_network_ask(int socket, int what) { return -ENOSYS; }
int mast_network_receive(int socket, uint8_t *bytes, size_t size) { return -ENOSYS; }
int mast_network_source(const struct mast_endpoint *destination, struct mast_endpoint *source) { return -ENOSYS; }
struct mast_batch *mast_batch_new(int count, int size, int has_memory) { return NULL; }
void mast_batch_free(struct mast_batch *batch) {}
int mast_udp_receive(int socket, struct mast_batch *batch) { return -ENOSYS; }
int mast_udp_send(int socket, int is_ipv6, struct mast_batch *batch, int first, int end) { return -ENOSYS; }
int mast_udp_take_error(int socket, struct mast_network_error *error) { return 0; }
struct mast_poll *mast_poll_new(void) {
    errno = ENOSYS;
    return NULL;
}
void mast_poll_free(struct mast_poll *poll) {}
int mast_poll_add(struct mast_poll *poll, int socket, uint64_t tag) { return -ENOSYS; }
int mast_poll_want_write(struct mast_poll *poll, int socket, uint64_t tag, int wants) { return -ENOSYS; }
void mast_poll_remove(struct mast_poll *poll, int socket) {}
void mast_poll_wake(struct mast_poll *poll) {}
int mast_poll_wait(struct mast_poll *poll, int64_t nanoseconds, struct mast_event *events, int most) { return 0; }
void mast_poll_be_punctual(void) {}

#endif

#if defined(__x86_64__)
int mast_processor_has_aes(void) { return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul"); }
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#include <asm/hwcap.h>
int mast_processor_has_aes(void) { return (getauxval(AT_HWCAP) & (HWCAP_AES | HWCAP_PMULL)) == (HWCAP_AES | HWCAP_PMULL); }
#elif defined(__APPLE__)
int mast_processor_has_aes(void) { return 1; }
#else
int mast_processor_has_aes(void) { return 0; }
#endif
