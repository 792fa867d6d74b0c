/* A QUIC endpoint on picoquic, with the same interface for ctypes as ngtcp2_shim.c, so that one adapter drives both.
   It runs in one thread and never calls its caller: what happened is handed out by quic_service. Batches leave with segmentation offload
   and come with receive offload where the kernel has them, as picoquic's own loop does it. */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <picotls.h>
#include <picoquic.h>
#include <picoquic_internal.h>
#include <picoquic_crypto_provider_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#define NAME "bench"

enum { BATCH = 8, ROUNDS = 8, LARGEST = 65535, CONNECTIONS = 256, ROUND_ROBIN = 8 };
enum { STREAM_WINDOW = 4 << 20, WINDOW = 8 << 20, STREAMS = 4096, HIGH = 256 << 10, SOCKET_BUFFER = 2 << 20, LONGEST_US = 1000000 };
enum { NEW = 1, READABLE = 2, WRITABLE = 4 };
enum { CONNECTING, CONNECTED, LOST };
enum { END = -1, GONE = -2 };

struct bytes { uint8_t *data; size_t start, size, room; };

struct stream {
    TAILQ_ENTRY(stream) all, change;
    struct endpoint *endpoint;
    picoquic_cnx_t *connection;  /* none once the stream is closed */
    uint64_t id;
    struct bytes in, out;
    unsigned changes;
    int finish, sent_end, shut, end, reset, waiting, released;
};
TAILQ_HEAD(streams, stream);

struct endpoint {
    int socket, timer, poll, client, state, writing, offloads;
    picoquic_quic_t *quic;
    picoquic_cnx_t *connection;  /* a client's only one */
    struct sockaddr_storage local;
    struct streams streams, changed;
    size_t out_size, out_segment, out_first;
    struct sockaddr_storage out_to;
    char cipher[48];
    uint8_t out[LARGEST], in[BATCH][LARGEST];
};

struct event { struct stream *stream; unsigned changes; };

static int append(struct bytes *b, const uint8_t *data, size_t size) {
    if (b->start + b->size + size > b->room && b->start) {
        memmove(b->data, b->data + b->start, b->size);
        b->start = 0;
    }
    if (b->size + size > b->room) {
        size_t room = b->room ? b->room * 2 : 2048;
        while (room < b->size + size) room *= 2;
        uint8_t *larger = realloc(b->data, room);
        if (!larger) return -1;
        b->data = larger;
        b->room = room;
    }
    if (size) memcpy(b->data + b->start + b->size, data, size);
    b->size += size;
    return 0;
}

static void take(struct bytes *b, uint8_t *out, size_t size) {
    memcpy(out, b->data + b->start, size);
    b->size -= size;
    b->start = b->size ? b->start + size : 0;
}

/* Streams */

static void signal_stream(struct stream *s, unsigned what) {
    if (s->released && !((s->changes | what) & NEW)) return;
    if (!s->changes) TAILQ_INSERT_TAIL(&s->endpoint->changed, s, change);
    s->changes |= what;
}

static struct stream *stream_new(struct endpoint *e, picoquic_cnx_t *connection, uint64_t id) {
    struct stream *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->endpoint = e;
    s->connection = connection;
    s->id = id;
    TAILQ_INSERT_TAIL(&e->streams, s, all);
    return s;
}

static void stream_free(struct stream *s) {
    if (s->endpoint) {
        if (s->changes) TAILQ_REMOVE(&s->endpoint->changed, s, change);
        TAILQ_REMOVE(&s->endpoint->streams, s, all);
    }
    free(s->in.data);
    free(s->out.data);
    free(s);
}

/* picoquic will not speak of it again. */
static void detach(struct stream *s) {
    s->connection = NULL;
    s->out.size = 0;
    if (!s->end) s->reset = 1;
    if (s->released && !(s->changes & NEW)) stream_free(s);
    else signal_stream(s, READABLE | WRITABLE);
}

static void lose(struct endpoint *e, picoquic_cnx_t *connection) {
    for (struct stream *s = TAILQ_FIRST(&e->streams), *next; s; s = next) {
        next = TAILQ_NEXT(s, all);
        if (s->connection != connection) continue;
        picoquic_unlink_app_stream_ctx(connection, s->id);
        detach(s);
    }
    if (e->client) e->state = LOST;
}

/* picoquic has room for `most` bytes of this stream in a packet. */
static int provide(struct stream *s, void *packet, size_t most) {
    size_t size = s->out.size < most ? s->out.size : most;
    int end = s->finish && size == s->out.size, more = size < s->out.size;
    uint8_t *place = picoquic_provide_stream_data_buffer(packet, size, end, more);
    if (!place) return -1;
    if (size) take(&s->out, place, size);
    s->sent_end |= end;
    if (s->waiting && s->out.size <= HIGH) {
        s->waiting = 0;
        signal_stream(s, WRITABLE);
    }
    return 0;
}

static int on_event(picoquic_cnx_t *connection, uint64_t id, uint8_t *data, size_t size, picoquic_call_back_event_t what, void *context, void *stream) {
    struct endpoint *e = context;
    struct stream *s = stream;
    switch (what) {
    case picoquic_callback_ready: {
        ptls_t *tls = ((picoquic_tls_ctx_t *)connection->tls_ctx)->tls;
        ptls_cipher_suite_t *suite = tls ? ptls_get_cipher(tls) : NULL;
        if (suite && suite->name) snprintf(e->cipher, sizeof e->cipher, "%s", suite->name);
        if (e->client) e->state = CONNECTED;
        break;
    }
    case picoquic_callback_stream_data:
    case picoquic_callback_stream_fin:
        if (!s) {
            if (e->client || !(s = stream_new(e, connection, id)) || picoquic_set_app_stream_ctx(connection, id, s)) return -1;
            s->released = 1;  /* until it is handed out */
            signal_stream(s, NEW);
        }
        if ((!s->released || s->changes & NEW) && append(&s->in, data, size)) return -1;
        if (what == picoquic_callback_stream_fin) s->end = 1;
        signal_stream(s, READABLE);
        break;
    case picoquic_callback_stream_reset:
        if (s && !s->end) {
            s->reset = 1;
            signal_stream(s, READABLE);
        }
        break;
    case picoquic_callback_stop_sending:
        if (s && !s->sent_end && !s->shut) {
            s->shut = 1;
            s->out.size = 0;
            picoquic_reset_stream(connection, id, 1);
            signal_stream(s, WRITABLE);
        }
        break;
    case picoquic_callback_prepare_to_send:
        return s ? provide(s, data, size) : -1;
    case picoquic_callback_stream_released:
        if (s) detach(s);
        break;
    case picoquic_callback_stateless_reset:
    case picoquic_callback_close:
    case picoquic_callback_application_close:
        lose(e, connection);
        break;
    default: break;
    }
    return 0;
}

/* Datagrams */

/* What is left of a batch, one datagram at a time: where the way out refuses segments. */
static int transmit_singly(struct endpoint *e) {
    while (e->out_first < e->out_size) {
        size_t size = e->out_size - e->out_first < e->out_segment ? e->out_size - e->out_first : e->out_segment;
        socklen_t length = e->out_to.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        if (sendto(e->socket, e->out + e->out_first, size, 0, e->client ? NULL : (struct sockaddr *)&e->out_to, e->client ? 0 : length) < 0) {
            if (errno == EAGAIN) return 0;
            if (errno == EINTR) continue;
        }
        e->out_first += size;  /* or as good as lost on the way */
    }
    return 1;
}

/* Says whether all is gone. */
static int transmit(struct endpoint *e) {
    if (!e->out_size) return 1;
    int done = 0;
    if (e->offloads && e->out_size > e->out_segment && !e->out_first) {
        char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
        struct iovec vector = {e->out, e->out_size};
        struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        if (!e->client) {
            message.msg_name = &e->out_to;
            message.msg_namelen = e->out_to.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        }
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = IPPROTO_UDP;
        header->cmsg_type = UDP_SEGMENT;
        header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        uint16_t segment = (uint16_t)e->out_segment;
        memcpy(CMSG_DATA(header), &segment, sizeof segment);
        ssize_t sent;
        do sent = sendmsg(e->socket, &message, 0); while (sent < 0 && errno == EINTR);
        if (sent >= 0) done = 1;
        else if (errno == EAGAIN) return 0;
        else e->offloads = errno != EIO && errno != EINVAL && errno != ENOPROTOOPT;
    }
    if (!done && !transmit_singly(e)) return 0;
    e->out_size = e->out_first = 0;
    return 1;
}

/* Sends what congestion control and pacing let out now. */
static void flush(struct endpoint *e) {
    for (int round = 0; round < ROUNDS && transmit(e); round++) {
        struct sockaddr_storage from;
        picoquic_connection_id_t id;
        picoquic_cnx_t *connection = NULL;
        int interface = 0;
        size_t size = 0, segment = 0;
        if (picoquic_prepare_next_packet_ex(e->quic, picoquic_current_time(), e->out, sizeof e->out, &size, &e->out_to, &from, &interface, &id,
                                            &connection, e->offloads ? &segment : NULL) || !size) return;
        e->out_size = size;
        e->out_segment = segment ? segment : size;
    }
    transmit(e);
}

static void receive(struct endpoint *e) {
    int n = BATCH;
    for (int round = 0; round < ROUNDS && n == BATCH; round++) {
        struct mmsghdr messages[BATCH];
        struct iovec vectors[BATCH];
        struct sockaddr_storage from[BATCH];
        char control[BATCH][CMSG_SPACE(sizeof(int))];
        for (int i = 0; i < BATCH; i++) {
            vectors[i] = (struct iovec){e->in[i], LARGEST};
            messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &vectors[i], .msg_iovlen = 1,
                                                  .msg_control = control[i], .msg_controllen = sizeof control[i]};
        }
        n = recvmmsg(e->socket, messages, BATCH, 0, NULL);
        uint64_t time = picoquic_current_time();
        for (int i = 0; i < n; i++) {
            size_t size = messages[i].msg_len, segment = size;
            for (struct cmsghdr *c = CMSG_FIRSTHDR(&messages[i].msg_hdr); c; c = CMSG_NXTHDR(&messages[i].msg_hdr, c)) {
                int value;
                if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO) continue;
                memcpy(&value, CMSG_DATA(c), sizeof value);
                segment = (size_t)value;
            }
            for (size_t at = 0; at < size; at += segment) {
                picoquic_cnx_t *connection = NULL;
                picoquic_incoming_packet_ex(e->quic, e->in[i] + at, size - at < segment ? size - at : segment, (struct sockaddr *)&from[i],
                                            (struct sockaddr *)&e->local, 0, 0, &connection, time);
            }
        }
    }
}

/* The timer is a descriptor as well: pacing needs finer steps than a loop's milliseconds. */
static void arm(struct endpoint *e) {
    int writing = e->out_size > 0;
    if (writing != e->writing) {
        struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0)};
        epoll_ctl(e->poll, EPOLL_CTL_MOD, e->socket, &event);
        e->writing = writing;
    }
    struct itimerspec at = {0};
    if (!writing) {
        int64_t delay = picoquic_get_next_wake_delay(e->quic, picoquic_current_time(), LONGEST_US);
        at.it_value.tv_sec = delay / 1000000;
        at.it_value.tv_nsec = delay % 1000000 * 1000;
        if (delay <= 0) at.it_value = (struct timespec){0, 1};
    }
    timerfd_settime(e->timer, 0, &at, NULL);
}

/* The interface */

void quic_close(struct endpoint *e) {
    if (e->quic) {
        for (picoquic_cnx_t *c = picoquic_get_first_cnx(e->quic); c; c = picoquic_get_next_cnx(c)) picoquic_close(c, 0);
        if (e->socket >= 0) flush(e);
    }
    for (struct stream *s; (s = TAILQ_FIRST(&e->streams));) {
        if (s->connection) picoquic_unlink_app_stream_ctx(s->connection, s->id);
        if (s->changes) TAILQ_REMOVE(&e->changed, s, change);
        TAILQ_REMOVE(&e->streams, s, all);
        s->changes = 0;
        s->connection = NULL;
        s->endpoint = NULL;
        if (s->released) stream_free(s);
    }
    if (e->quic) picoquic_free(e->quic);
    if (e->socket >= 0) close(e->socket);
    if (e->timer >= 0) close(e->timer);
    if (e->poll >= 0) close(e->poll);
    free(e);
}

static struct endpoint *endpoint_new(const char *host, int port, const char *key, const char *chain, const char *trusted, const char *congestion,
                                     struct sockaddr_storage *remote) {
    struct endpoint *e = calloc(1, sizeof *e);
    int client = key == NULL, probe = IP_PMTUDISC_PROBE, room = SOCKET_BUFFER, on = 1;
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = client ? 0 : AI_PASSIVE}, *address;
    struct epoll_event event = {.events = EPOLLIN};
    socklen_t size = sizeof e->local;
    char service[16];
    if (!e) return NULL;
    TAILQ_INIT(&e->streams); TAILQ_INIT(&e->changed);
    e->client = client;
    e->socket = e->timer = -1;
    e->poll = epoll_create1(EPOLL_CLOEXEC);
    snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(host, service, &hints, &address)) { quic_close(e); return NULL; }
    memcpy(remote, address->ai_addr, address->ai_addrlen);
    e->socket = socket(address->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    e->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int failed = (client ? connect : bind)(e->socket, address->ai_addr, address->ai_addrlen);
    freeaddrinfo(address);
    /* Probes of path MTU discovery must not be fragmented. */
    if (setsockopt(e->socket, IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof probe)) setsockopt(e->socket, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe, sizeof probe);
    setsockopt(e->socket, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(e->socket, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    setsockopt(e->socket, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
    e->offloads = 1;
    picoquic_register_all_congestion_control_algorithms();
    const picoquic_congestion_algorithm_t *algorithm = picoquic_get_congestion_algorithm(congestion);
    if (failed || !algorithm || getsockname(e->socket, (struct sockaddr *)&e->local, &size) || epoll_ctl(e->poll, EPOLL_CTL_ADD, e->socket, &event) ||
        epoll_ctl(e->poll, EPOLL_CTL_ADD, e->timer, &event) ||
        !(e->quic = picoquic_create(CONNECTIONS, chain, key, trusted, NAME, on_event, e, NULL, NULL, NULL, picoquic_current_time(), NULL, NULL, NULL, 0))) {
        quic_close(e);
        return NULL;
    }
    picoquic_set_default_congestion_algorithm(e->quic, algorithm);
    /* Streams take turns: picoquic's default serves the lowest id first, and a download would starve every later call. */
    picoquic_set_default_priority(e->quic, ROUND_ROBIN);
    picoquic_set_default_idle_timeout(e->quic, 30000);
    picoquic_tp_t parameters = *picoquic_get_default_tp(e->quic);
    parameters.initial_max_stream_data_bidi_local = parameters.initial_max_stream_data_bidi_remote = STREAM_WINDOW;
    parameters.initial_max_data = WINDOW;
    parameters.initial_max_stream_id_bidir = STREAMS;
    if (picoquic_set_default_tp(e->quic, &parameters)) { quic_close(e); return NULL; }
    return e;
}

struct endpoint *quic_server(const char *host, int port, const char *key, const char *chain, const char *congestion) {
    struct sockaddr_storage ignored;
    return endpoint_new(host, port, key, chain, NULL, congestion, &ignored);
}

/* No session is taken up again here: the ticket is not looked at. */
struct endpoint *quic_client(const char *host, int port, const char *trusted, const char *congestion, const uint8_t *ticket, size_t ticket_size) {
    struct sockaddr_storage remote;
    struct endpoint *e = endpoint_new(host, port, NULL, NULL, trusted, congestion, &remote);
    if (!e) return NULL;
    e->connection = picoquic_create_client_cnx(e->quic, (struct sockaddr *)&remote, picoquic_current_time(), 0, NAME, NAME, on_event, e);
    if (!e->connection) { quic_close(e); return NULL; }
    return e;
}

const char *quic_version(void) { return PICOQUIC_VERSION; }
int quic_descriptor(struct endpoint *e) { return e->poll; }
int quic_state(struct endpoint *e) { return e->state; }
int quic_resumed(struct endpoint *e) { return 0; }
size_t quic_ticket(struct endpoint *e, uint8_t *out, size_t room) { return 0; }
/* Of the handshake done last. */
const char *quic_cipher(struct endpoint *e) { return e->cipher; }

/* Does all that is due; says how many streams changed, at most `room`, and how. */
int quic_service(struct endpoint *e, struct event *events, int room) {
    int count = 0;
    uint64_t expirations;
    /* Timer and socket stay readable until they are read. */
    while (read(e->timer, &expirations, sizeof expirations) < 0 && errno == EINTR);
    receive(e);
    flush(e);
    if (e->client && e->state != LOST && picoquic_get_cnx_state(e->connection) >= picoquic_state_disconnecting) lose(e, e->connection);
    arm(e);
    for (struct stream *s; count < room && (s = TAILQ_FIRST(&e->changed)); count++) {
        TAILQ_REMOVE(&e->changed, s, change);
        events[count] = (struct event){s, s->changes};
        if (s->changes & NEW) s->released = 0;
        s->changes = 0;
    }
    return count;
}

/* NULL: lost. What the peer does not allow yet waits within picoquic. */
struct stream *quic_open(struct endpoint *e) {
    if (e->state != CONNECTED) return NULL;
    struct stream *s = stream_new(e, e->connection, picoquic_get_next_local_stream_id(e->connection, 0));
    if (s && picoquic_set_app_stream_ctx(e->connection, s->id, s)) {
        stream_free(s);
        return NULL;
    }
    return s;
}

/* Returns the bytes queued and not yet sent; beyond HIGH, the stream is said to be writable once they are fewer. Nothing may be written, to ask. */
long quic_write(struct stream *s, const uint8_t *data, size_t size) {
    if (!s->connection || s->shut || s->finish) return GONE;
    if (!size) return (long)s->out.size;
    if (append(&s->out, data, size) || picoquic_mark_active_stream(s->connection, s->id, 1, s)) return GONE;
    if (s->out.size > HIGH) s->waiting = 1;
    return (long)s->out.size;
}

void quic_finish(struct stream *s) {
    if (!s->connection || s->finish || s->shut) return;
    s->finish = 1;
    picoquic_mark_active_stream(s->connection, s->id, 1, s);
}

void quic_reset(struct stream *s) {
    if (!s->connection || s->shut || s->sent_end) return;
    s->shut = 1;
    s->out.size = 0;
    picoquic_reset_stream(s->connection, s->id, 1);
}

/* Bytes; 0: none yet; END; GONE: reset or lost */
long quic_read(struct stream *s, uint8_t *out, size_t room) {
    size_t size = s->in.size < room ? s->in.size : room;
    if (!size) return s->end ? END : s->reset ? GONE : 0;
    take(&s->in, out, size);
    return (long)size;
}

/* The caller forgets the stream: what it has finished is still delivered, the rest is cut off. */
void quic_release(struct stream *s) {
    if (!s->connection) { stream_free(s); return; }
    if (s->changes) TAILQ_REMOVE(&s->endpoint->changed, s, change);
    s->changes = 0;
    s->released = 1;
    s->in.size = 0;
    if (!s->end && !s->reset) picoquic_stop_sending(s->connection, s->id, 1);
    if (!s->finish) quic_reset(s);
}
