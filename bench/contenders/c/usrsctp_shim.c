/* SCTP over UDP on usrsctp, with an interface small enough for ctypes.
   It runs in one thread and never calls its caller: what happened is handed out by shim_service.
   usrsctp's AF_CONN addresses are opaque pointers; here one is the peer's IPv4 address, its UDP port and the number of our UDP socket,
   so that there is nothing to look up, and nothing to outlive, when usrsctp sends. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <usrsctp.h>

#ifndef SCTP_INTERLEAVING_SUPPORTED  /* RFC 8260; usrsctp has it but its public header does not */
#define SCTP_INTERLEAVING_SUPPORTED 0x1206
#endif

enum { PORT = 5000, STREAMS = 1024, BUFFER = 4 << 20, SOCKET_BUFFER = 2 << 20, CHUNKS = 16384 };
enum { PACKET = 1400, RTO_INITIAL = 1000, RTO_MIN = 200, SACK_DELAY = 20, TICK = 10, PPID_BINARY = 53 };
enum { HIGH = 128 << 10, SMALL = 1 << 10, DATAGRAM = 2048, BATCH = 256, ENDPOINTS = 1 << 14, BUCKETS = 1 << 10 };
enum { CONNECTED = 1, MESSAGE, WRITABLE, LOST };

struct connection {
    struct connection *next;
    struct socket *socket;
    uint64_t id;
    uint32_t buffered;
    uint16_t streams;
    int endpoint, lost, waiting;  /* endpoint: of a client's own UDP socket, else -1 */
};

struct event { struct connection *connection; int type; uint32_t stream; void *data; size_t size; };

static int poll_descriptor = -1, timer, ticking, accepting;
static int endpoints[ENDPOINTS];  /* descriptors + 1 */
static unsigned next_endpoint, connection_count;
static int64_t ticked;
static struct socket *listener;
static struct connection *table[BUCKETS], closed = {.lost = 1};
static struct event *events;
static size_t event_count, event_room, delivered;

static uint64_t id_of(const struct sockaddr_in *peer, unsigned endpoint) {
    return (uint64_t)endpoint << 48 | (uint64_t)peer->sin_port << 32 | peer->sin_addr.s_addr;
}

static struct connection **bucket(uint64_t id) { return &table[id * 0x9E3779B97F4A7C15u >> 54]; }

static struct connection *find(uint64_t id) {
    struct connection *c = *bucket(id);
    while (c && c->id != id) c = c->next;
    return c;
}

static struct connection *add(uint64_t id, int endpoint) {
    struct connection *c = calloc(1, sizeof *c), **head = bucket(id);
    if (!c) return NULL;
    c->id = id;
    c->endpoint = endpoint;
    c->next = *head;
    *head = c;
    connection_count++;
    usrsctp_register_address((void *)(uintptr_t)id);  /* usrsctp takes our own address to be the same as the peer's */
    return c;
}

static void hide(struct connection *c) {
    for (struct connection **p = bucket(c->id); *p; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            connection_count--;
            usrsctp_deregister_address((void *)(uintptr_t)c->id);
            return;
        }
}

static void push(struct connection *c, int type, uint32_t stream, void *data, size_t size) {
    if (event_count == event_room) {
        size_t room = event_room ? 2 * event_room : 256;
        struct event *grown = realloc(events, room * sizeof *grown);
        if (!grown) abort();  /* a reliable message would be lost */
        events = grown;
        event_room = room;
    }
    events[event_count++] = (struct event){c, type, stream, data, size};
}

static void lose(struct connection *c) {
    if (!c->lost) push(c, LOST, 0, NULL, 0);
    c->lost = 1;
}

/* What usrsctp calls */

static int on_output(void *address, void *data, size_t size, uint8_t tos, uint8_t whole) {
    (void)tos, (void)whole;
    uint64_t id = (uintptr_t)address;
    int descriptor = endpoints[id >> 48 & (ENDPOINTS - 1)] - 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = (uint16_t)(id >> 32), .sin_addr.s_addr = (uint32_t)id};
    if (descriptor >= 0) sendto(descriptor, data, size, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
    return 0;  /* what the socket does not take is a lost packet */
}

static void on_change(struct connection *c, uint64_t id, const struct sctp_assoc_change *change) {
    int up = change->sac_state == SCTP_COMM_UP;
    if (c && (!up || c->endpoint < 0)) {  /* a restarted peer, or a new one at an old one's address, does not know our streams */
        if (up) hide(c);
        lose(c);
        c = NULL;
    }
    if (!up || (!c && !(c = add(id, -1)))) return;
    accepting |= c->endpoint < 0;
    c->streams = change->sac_outbound_streams ? change->sac_outbound_streams : 1;
    push(c, CONNECTED, 0, NULL, 0);
}

static int on_receive(struct socket *socket, union sctp_sockstore from, void *data, size_t size, struct sctp_rcvinfo info, int flags, void *user) {
    (void)socket;
    uint64_t id = from.sa.sa_family == AF_CONN ? (uintptr_t)from.sconn.sconn_addr : 0;
    struct connection *c = user ? user : find(id);  /* found: not accepted yet */
    union sctp_notification *notification = data;
    if (data && flags & MSG_NOTIFICATION) {
        if (c != &closed && size >= sizeof(struct sctp_assoc_change) && notification->sn_header.sn_type == SCTP_ASSOC_CHANGE)
            on_change(c, id, &notification->sn_assoc_change);
    } else if (data && flags & MSG_EOR && c && !c->lost) {
        push(c, MESSAGE, info.rcv_sid, data, size);
        return 1;
    } else if (c) {
        lose(c);  /* ended; or a message in parts, far larger than any of ours */
    }
    free(data);
    return 1;
}

static int on_room(struct socket *socket, uint32_t room, void *user) {
    (void)socket;
    struct connection *c = user;
    if (!c || c->lost) return 1;
    c->buffered = room < BUFFER ? BUFFER - room : 0;
    if (c->waiting) push(c, WRITABLE, 0, NULL, 0);
    c->waiting = 0;
    return 1;
}

/* Sockets */

static struct socket *new_socket(struct connection *c) {
    int on = 1;
    struct linger abort = {1, 0};
    struct sctp_assoc_value interleaving = {.assoc_id = SCTP_FUTURE_ASSOC, .assoc_value = 1};
    struct sctp_event change = {.se_assoc_id = SCTP_FUTURE_ASSOC, .se_type = SCTP_ASSOC_CHANGE, .se_on = 1};
    struct sctp_paddrparams path = {.spp_flags = SPP_PMTUD_DISABLE, .spp_pathmtu = PACKET - sizeof(struct sctp_common_header)};
    struct socket *socket = usrsctp_socket(AF_CONN, SOCK_STREAM, IPPROTO_SCTP, on_receive, on_room, 0, c);
    if (socket && (usrsctp_set_non_blocking(socket, 1) < 0
        || usrsctp_setsockopt(socket, SOL_SOCKET, SO_LINGER, &abort, sizeof abort) < 0
        || usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof on) < 0
        || usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_INTERLEAVING_SUPPORTED, &interleaving, sizeof interleaving) < 0
        || usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_EVENT, &change, sizeof change) < 0
        || usrsctp_setsockopt(socket, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &path, sizeof path) < 0)) {
        usrsctp_close(socket);
        return NULL;
    }
    return socket;
}

static void accept_all(void) {
    struct sockaddr_conn from = {0};
    socklen_t size = sizeof from;
    struct socket *socket;
    while ((socket = usrsctp_accept(listener, (struct sockaddr *)&from, &size))) {
        struct connection *c = find((uintptr_t)from.sconn_addr);
        if (c && !c->socket) usrsctp_set_ulpinfo(c->socket = socket, c);
        else usrsctp_close(socket);
        size = sizeof from;
    }
    accepting = 0;
}

static int parse(const char *host, int port, struct sockaddr_in *address) {
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, host, &address->sin_addr) == 1 ? 0 : -1;
}

/* Numbers go round, so that a closed endpoint's late packets do not meet its successor. */
static int open_endpoint(const struct sockaddr_in *local) {
    int number = -1, size = SOCKET_BUFFER, descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    for (int tries = 0; tries < ENDPOINTS && number < 0; tries++)
        if (!endpoints[next_endpoint++ % ENDPOINTS]) number = (int)((next_endpoint - 1) % ENDPOINTS);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)number};
    if (descriptor < 0) return -1;
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if (number < 0 || bind(descriptor, (const struct sockaddr *)local, sizeof *local) < 0
        || epoll_ctl(poll_descriptor, EPOLL_CTL_ADD, descriptor, &event) < 0) {
        close(descriptor);
        return -1;
    }
    endpoints[number] = descriptor + 1;
    return number;
}

static void close_endpoint(int number) {
    if (number < 0) return;
    close(endpoints[number] - 1);
    endpoints[number] = 0;
}

static void tick(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t elapsed = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 - ticked;
    if (elapsed >= TICK) {
        ticked += elapsed;
        /* While this thread did not look at its sockets, nobody can have been late. */
        usrsctp_handle_timers(elapsed < 2 * TICK ? (uint32_t)elapsed : 2 * TICK);
    }
    if (ticking == (connection_count > 0)) return;
    ticking = !ticking;
    struct timespec pause = {0, ticking ? TICK * 1000000 : 0};
    timerfd_settime(timer, 0, &(struct itimerspec){pause, pause}, NULL);
}

static void receive(int number) {
    static uint8_t data[BATCH][DATAGRAM];
    static struct sockaddr_in from[BATCH];
    static struct mmsghdr messages[BATCH];
    static struct iovec vectors[BATCH];
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){data[i], DATAGRAM};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(endpoints[number] - 1, messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        if (messages[i].msg_len < sizeof(struct sctp_common_header) + 4 || messages[i].msg_hdr.msg_flags & MSG_TRUNC) continue;
        usrsctp_conninput((void *)(uintptr_t)id_of(&from[i], (unsigned)number), data[i], messages[i].msg_len, 0);
        if (accepting) accept_all();
    }
}

/* What ctypes calls */

/* The descriptor to be watched for reading, or -1. */
int shim_start(void) {
    if (poll_descriptor >= 0) return poll_descriptor;
    poll_descriptor = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = ENDPOINTS};
    if (poll_descriptor < 0 || timer < 0 || epoll_ctl(poll_descriptor, EPOLL_CTL_ADD, timer, &event) < 0) return -1;
    usrsctp_init_nothreads(0, on_output, NULL);
    usrsctp_sysctl_set_sctp_sendspace(BUFFER);
    usrsctp_sysctl_set_sctp_recvspace(BUFFER);
    usrsctp_sysctl_set_sctp_max_chunks_on_queue(CHUNKS);  /* 512 would be reached long before the buffer is full */
    usrsctp_sysctl_set_sctp_rto_initial_default(RTO_INITIAL);
    usrsctp_sysctl_set_sctp_rto_min_default(RTO_MIN);  /* as TCP has in Linux; the default of 1 s suits no call */
    usrsctp_sysctl_set_sctp_delayed_sack_time_default(SACK_DELAY);  /* the default, 200 ms, would run into this RTO */
    usrsctp_sysctl_set_sctp_nr_outgoing_streams_default(STREAMS);
    usrsctp_sysctl_set_sctp_default_frag_interleave(2);
    usrsctp_sysctl_set_sctp_auto_asconf(0);
    usrsctp_sysctl_set_sctp_asconf_enable(0);
    usrsctp_sysctl_set_sctp_auth_enable(0);
    usrsctp_sysctl_set_sctp_ecn_enable(0);  /* its marks do not get through UDP here */
    return poll_descriptor;
}

int shim_server(const char *host, int port) {
    struct sockaddr_in address;
    struct sockaddr_conn any = {.sconn_family = AF_CONN, .sconn_port = htons(PORT)};
    if (shim_start() < 0 || listener || parse(host, port, &address) < 0 || open_endpoint(&address) < 0) return -1;
    return (listener = new_socket(NULL)) && usrsctp_bind(listener, (struct sockaddr *)&any, sizeof any) == 0
        && usrsctp_listen(listener, 1024) == 0 ? 0 : -1;
}

void shim_close(struct connection *c);

struct connection *shim_client(const char *host, int port) {
    struct sockaddr_in address, any = {.sin_family = AF_INET};
    int number;
    if (shim_start() < 0 || parse(host, port, &address) < 0 || (number = open_endpoint(&any)) < 0) return NULL;
    struct connection *c = add(id_of(&address, (unsigned)number), number);
    if (!c) return close_endpoint(number), NULL;
    struct sockaddr_conn to = {.sconn_family = AF_CONN, .sconn_port = htons(PORT), .sconn_addr = (void *)(uintptr_t)c->id};
    /* From here on other hosts' datagrams are the kernel's to drop. */
    if (connect(endpoints[number] - 1, (struct sockaddr *)&address, sizeof address) < 0 || !(c->socket = new_socket(c))
        || (usrsctp_connect(c->socket, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)) {
        shim_close(c);
        return NULL;
    }
    tick();
    return c;
}

/* Aborts. Events of this connection handed out before are no more than their data. */
void shim_close(struct connection *c) {
    if (c->socket) {
        usrsctp_set_ulpinfo(c->socket, &closed);
        usrsctp_close(c->socket);
    }
    hide(c);
    close_endpoint(c->endpoint);
    size_t kept = delivered;
    for (size_t i = delivered; i < event_count; i++)
        if (events[i].connection != c) events[kept++] = events[i];
        else free(events[i].data);
    event_count = kept;
    free(c);
}

/* What happened; the data lives until the next call. */
int shim_service(struct event **out) {
    for (size_t i = 0; i < delivered; i++) free(events[i].data);
    event_count -= delivered;
    if (event_count) memmove(events, events + delivered, event_count * sizeof *events);
    struct epoll_event ready[64];
    int count = epoll_wait(poll_descriptor, ready, 64, 0);
    for (int i = 0; i < count; i++) {
        uint64_t expirations;
        if (ready[i].data.u32 < ENDPOINTS) receive((int)ready[i].data.u32);
        else (void)!read(timer, &expirations, sizeof expirations);
    }
    tick();
    *out = events;
    return (int)(delivered = event_count);
}

/* Bytes never sent; what is under way must not count, else long paths could not be filled. */
static int64_t unsent(struct connection *c) {
    struct sctp_status status = {0};
    socklen_t size = sizeof status;
    if (usrsctp_getsockopt(c->socket, IPPROTO_SCTP, SCTP_STATUS, &status, &size) < 0) return c->buffered;
    return (int64_t)c->buffered - (int64_t)status.sstat_unackdata * status.sstat_fragmentation_point;
}

/* 1: taken; 0: not now, WRITABLE will follow; -1: lost. The scheduler goes round the streams, so a small message passes queued bulk. */
int shim_send(struct connection *c, uint32_t stream, const void *data, size_t size) {
    if (c->lost || !c->streams || !c->socket) return -1;
    struct sctp_sndinfo info = {.snd_sid = (uint16_t)(stream % c->streams), .snd_ppid = htonl(PPID_BINARY)};
    int64_t limit = size <= SMALL ? 2 * HIGH : HIGH;
    if (c->buffered <= limit || unsent(c) <= limit) {
        ssize_t count = usrsctp_sendv(c->socket, data, size, NULL, 0, &info, sizeof info, SCTP_SENDV_SNDINFO, 0);
        if (count == (ssize_t)size) {
            c->buffered += (uint32_t)size;
            return 1;
        }
        if (count >= 0 || errno != EWOULDBLOCK) return -1;
    }
    c->waiting = 1;
    return 0;
}
