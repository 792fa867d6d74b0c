/* A QUIC endpoint on ngtcp2 and GnuTLS, with an interface small enough for ctypes.
   It runs in one thread and never calls its caller: what happened is handed out by quic_service. */
#define _GNU_SOURCE
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <netinet/in.h>
#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NAME "bench"
#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:%DISABLE_TLS13_COMPAT_MODE"

enum { CID_SIZE = 8, DATAGRAM = 2048, BATCH = 64, ROUNDS = 4, VECTORS = 8, IDS = 32, CONNECTIONS = 256 };
enum { STREAM_WINDOW = 4 << 20, WINDOW = 8 << 20, STREAMS = 4096, HIGH = 256 << 10, SOCKET_BUFFER = 2 << 20 };
enum { NEW = 1, READABLE = 2, WRITABLE = 4 };
enum { CONNECTING, CONNECTED, LOST };
enum { END = -1, GONE = -2 };

struct chunk { struct chunk *next; size_t size; uint8_t data[]; };

struct stream {
    TAILQ_ENTRY(stream) all, queue, change;  /* queue: waiting to be sent, or to be freed */
    struct endpoint *endpoint;
    struct connection *connection;  /* none once the stream is closed */
    int64_t id;
    struct chunk *first, *last, *sending;  /* kept from first on: ngtcp2 sends again out of them */
    size_t sending_offset, unsent;
    uint64_t acknowledged;  /* bytes of `first` */
    uint8_t *in;
    size_t in_start, in_size, in_room;
    unsigned changes;
    int queued, finish, shut, end, reset, waiting, released;
};
TAILQ_HEAD(streams, stream);

struct connection {
    TAILQ_ENTRY(connection) all;
    struct endpoint *endpoint;
    ngtcp2_conn *quic;
    gnutls_session_t tls;
    ngtcp2_crypto_conn_ref reference;
    struct streams ready;
};

struct packet { struct sockaddr_storage to; socklen_t to_size; size_t size; uint8_t data[DATAGRAM]; };

struct endpoint {
    int socket, timer, poll, client, state, writing, resumed, connection_count;
    ngtcp2_cc_algo congestion;
    char cipher[48];
    gnutls_certificate_credentials_t credentials;
    gnutls_datum_t ticket_key, ticket;
    struct sockaddr_storage local, remote;
    socklen_t local_size, remote_size;
    ngtcp2_tstamp armed;
    TAILQ_HEAD(, connection) connections;
    struct streams streams, changed, dead;
    int out_first, out_count;
    struct packet out[BATCH], in[BATCH];
};

struct event { struct stream *stream; unsigned changes; };

static ngtcp2_tstamp now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NGTCP2_SECONDS + (uint64_t)t.tv_nsec;
}

/* Streams */

static void signal_stream(struct stream *s, unsigned what) {
    if (s->released && !((s->changes | what) & NEW)) return;
    if (!s->changes) TAILQ_INSERT_TAIL(&s->endpoint->changed, s, change);
    s->changes |= what;
}

static void enqueue(struct stream *s) {
    if (s->queued || !s->connection) return;
    s->queued = 1;
    TAILQ_INSERT_TAIL(&s->connection->ready, s, queue);
}

static void dequeue(struct stream *s) {
    if (s->queued) TAILQ_REMOVE(&s->connection->ready, s, queue);
    s->queued = 0;
}

static struct stream *stream_new(struct connection *c, int64_t id) {
    struct stream *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->endpoint = c->endpoint;
    s->connection = c;
    s->id = id;
    TAILQ_INSERT_TAIL(&c->endpoint->streams, s, all);
    return s;
}

static void detach(struct stream *s) {
    dequeue(s);
    s->connection = NULL;
    for (struct chunk *c; (c = s->first); free(c)) s->first = c->next;
    s->last = s->sending = NULL;
    s->unsent = 0;
    if (!s->end) s->reset = 1;
    signal_stream(s, READABLE | WRITABLE);
}

static void stream_free(struct stream *s) {
    if (s->endpoint) {
        if (s->changes) TAILQ_REMOVE(&s->endpoint->changed, s, change);
        TAILQ_REMOVE(&s->endpoint->streams, s, all);
    }
    free(s->in);
    free(s);
}

static void sent(struct stream *s, size_t size, int all) {
    s->unsent -= size;
    s->sending_offset += size;
    while (s->sending && s->sending_offset >= s->sending->size) {
        s->sending_offset -= s->sending->size;
        s->sending = s->sending->next;
    }
    dequeue(s);
    if (!all) enqueue(s);  /* at the tail, so that a small call overtakes bulk */
    if (s->waiting && s->unsent <= HIGH) {
        s->waiting = 0;
        signal_stream(s, WRITABLE);
    }
}

/* What ngtcp2 calls */

static int on_handshake(ngtcp2_conn *quic, void *user) {
    struct connection *c = user;
    snprintf(c->endpoint->cipher, sizeof c->endpoint->cipher, "%s", gnutls_cipher_get_name(gnutls_cipher_get(c->tls)));
    if (c->endpoint->client) {
        c->endpoint->state = CONNECTED;
        c->endpoint->resumed = gnutls_session_is_resumed(c->tls);
    }
    return 0;
}

static int on_stream_open(ngtcp2_conn *quic, int64_t id, void *user) {
    struct stream *s = stream_new(user, id);
    if (!s || ngtcp2_conn_set_stream_user_data(quic, id, s)) return NGTCP2_ERR_CALLBACK_FAILURE;
    s->released = 1;  /* until it is handed out */
    signal_stream(s, NEW);
    return 0;
}

static int on_data(ngtcp2_conn *quic, uint32_t flags, int64_t id, uint64_t offset, const uint8_t *data, size_t size, void *user, void *stream) {
    struct stream *s = stream;
    if (!s || (s->released && !(s->changes & NEW))) {
        ngtcp2_conn_extend_max_offset(quic, size);
        if (s && flags & NGTCP2_STREAM_DATA_FLAG_FIN) s->end = 1;
        return 0;
    }
    if (s->in_start + s->in_size + size > s->in_room && s->in_start) {
        memmove(s->in, s->in + s->in_start, s->in_size);
        s->in_start = 0;
    }
    if (s->in_size + size > s->in_room) {
        size_t room = s->in_room ? s->in_room * 2 : 2048;
        while (room < s->in_size + size) room *= 2;
        uint8_t *in = realloc(s->in, room);
        if (!in) return NGTCP2_ERR_CALLBACK_FAILURE;
        s->in = in;
        s->in_room = room;
    }
    if (size) memcpy(s->in + s->in_start + s->in_size, data, size);
    s->in_size += size;
    if (flags & NGTCP2_STREAM_DATA_FLAG_FIN) s->end = 1;
    signal_stream(s, READABLE);
    return 0;
}

static int on_acknowledged(ngtcp2_conn *quic, int64_t id, uint64_t offset, uint64_t size, void *user, void *stream) {
    struct stream *s = stream;
    if (!s) return 0;
    s->acknowledged += size;
    for (struct chunk *c; (c = s->first) && c != s->sending && s->acknowledged >= c->size; free(c)) {
        s->acknowledged -= c->size;
        s->first = c->next;
        if (!s->first) s->last = NULL;
    }
    return 0;
}

static int on_reset(ngtcp2_conn *quic, int64_t id, uint64_t final, uint64_t code, void *user, void *stream) {
    struct stream *s = stream;
    if (s && !s->end) {
        s->reset = 1;
        signal_stream(s, READABLE);
    }
    return 0;
}

static int on_stream_close(ngtcp2_conn *quic, uint32_t flags, int64_t id, uint64_t code, void *user, void *stream) {
    struct stream *s = stream;
    if (!ngtcp2_conn_is_local_stream(quic, id)) ngtcp2_conn_extend_max_streams_bidi(quic, 1);
    if (!s) return 0;
    ngtcp2_conn_extend_max_offset(quic, s->in_size);  /* what is read later cannot */
    detach(s);
    if (s->released) TAILQ_INSERT_TAIL(&s->endpoint->dead, s, queue);  /* a caller up the stack may still hold it */
    return 0;
}

static int on_new_id(ngtcp2_conn *quic, ngtcp2_cid *cid, uint8_t *token, size_t size, void *user) {
    if (gnutls_rnd(GNUTLS_RND_RANDOM, cid->data, size) || gnutls_rnd(GNUTLS_RND_RANDOM, token, NGTCP2_STATELESS_RESET_TOKENLEN))
        return NGTCP2_ERR_CALLBACK_FAILURE;
    cid->datalen = size;
    return 0;
}

static void on_random(uint8_t *data, size_t size, const ngtcp2_rand_ctx *context) {
    gnutls_rnd(GNUTLS_RND_RANDOM, data, size);
}

static const ngtcp2_callbacks callbacks = {
    .client_initial = ngtcp2_crypto_client_initial_cb, .recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
    .recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb, .recv_retry = ngtcp2_crypto_recv_retry_cb,
    .encrypt = ngtcp2_crypto_encrypt_cb, .decrypt = ngtcp2_crypto_decrypt_cb, .hp_mask = ngtcp2_crypto_hp_mask_cb,
    .update_key = ngtcp2_crypto_update_key_cb, .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
    .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb, .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
    .get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb, .rand = on_random,
    .get_new_connection_id = on_new_id, .handshake_completed = on_handshake,
    .stream_open = on_stream_open, .recv_stream_data = on_data, .acked_stream_data_offset = on_acknowledged,
    .stream_reset = on_reset, .stream_close = on_stream_close,
};

/* Connections */

static ngtcp2_conn *quic_of(ngtcp2_crypto_conn_ref *reference) {
    return ((struct connection *)reference->user_data)->quic;
}

static int on_ticket(gnutls_session_t tls, unsigned type, unsigned when, unsigned incoming, const gnutls_datum_t *message) {
    struct connection *c = ((ngtcp2_crypto_conn_ref *)gnutls_session_get_ptr(tls))->user_data;
    gnutls_datum_t ticket;
    if (!gnutls_session_get_data2(tls, &ticket)) {
        gnutls_free(c->endpoint->ticket.data);
        c->endpoint->ticket = ticket;
    }
    return 0;
}

static int start_tls(struct connection *c) {
    struct endpoint *e = c->endpoint;
    gnutls_datum_t alpn = {(unsigned char *)NAME, sizeof NAME - 1};
    if (gnutls_init(&c->tls, e->client ? GNUTLS_CLIENT : GNUTLS_SERVER)) return -1;
    c->reference = (ngtcp2_crypto_conn_ref){quic_of, c};
    gnutls_session_set_ptr(c->tls, &c->reference);
    ngtcp2_conn_set_tls_native_handle(c->quic, c->tls);
    if (gnutls_priority_set_direct(c->tls, PRIORITY, NULL) || gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, e->credentials) ||
        gnutls_alpn_set_protocols(c->tls, &alpn, 1, GNUTLS_ALPN_MANDATORY)) return -1;
    if (!e->client)
        return ngtcp2_crypto_gnutls_configure_server_session(c->tls) || gnutls_session_ticket_enable_server(c->tls, &e->ticket_key);
    gnutls_session_set_verify_cert(c->tls, NAME, 0);
    gnutls_handshake_set_hook_function(c->tls, GNUTLS_HANDSHAKE_NEW_SESSION_TICKET, GNUTLS_HOOK_POST, on_ticket);
    return ngtcp2_crypto_gnutls_configure_client_session(c->tls) || gnutls_server_name_set(c->tls, GNUTLS_NAME_DNS, NAME, sizeof NAME - 1) ||
           (e->ticket.size && gnutls_session_set_data(c->tls, e->ticket.data, e->ticket.size));
}

static void lose(struct connection *c) {
    struct endpoint *e = c->endpoint;
    for (struct stream *s = TAILQ_FIRST(&e->streams), *next; s; s = next) {
        next = TAILQ_NEXT(s, all);
        if (s->connection != c) continue;
        detach(s);
        if (s->released) stream_free(s);
    }
    TAILQ_REMOVE(&e->connections, c, all);
    e->connection_count--;
    if (e->client) e->state = LOST;
    ngtcp2_conn_del(c->quic);
    if (c->tls) gnutls_deinit(c->tls);
    free(c);
}

static struct connection *connection_new(struct endpoint *e, const ngtcp2_path *path, const ngtcp2_pkt_hd *initial) {
    struct connection *c = calloc(1, sizeof *c);
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    ngtcp2_cid own = {CID_SIZE, {0}}, other = {CID_SIZE, {0}};
    int failed;
    if (!c) return NULL;
    c->endpoint = e;
    TAILQ_INIT(&c->ready);
    gnutls_rnd(GNUTLS_RND_RANDOM, own.data, CID_SIZE);
    gnutls_rnd(GNUTLS_RND_RANDOM, other.data, CID_SIZE);
    ngtcp2_settings_default(&settings);
    settings.cc_algo = e->congestion;
    settings.initial_ts = now();
    ngtcp2_transport_params_default(&params);
    params.initial_max_stream_data_bidi_local = params.initial_max_stream_data_bidi_remote = STREAM_WINDOW;
    params.initial_max_data = WINDOW;
    params.initial_max_streams_bidi = STREAMS;
    params.max_idle_timeout = 30 * NGTCP2_SECONDS;
    params.max_udp_payload_size = DATAGRAM;
    if (initial) {
        params.original_dcid = initial->dcid;
        failed = ngtcp2_conn_server_new(&c->quic, &initial->scid, &own, path, initial->version, &callbacks, &settings, &params, NULL, c);
    } else {
        failed = ngtcp2_conn_client_new(&c->quic, &other, &own, path, NGTCP2_PROTO_VER_V1, &callbacks, &settings, &params, NULL, c);
    }
    if (failed) { free(c); return NULL; }
    TAILQ_INSERT_TAIL(&e->connections, c, all);
    e->connection_count++;
    if (!start_tls(c)) return c;
    lose(c);
    return NULL;
}

/* Datagrams */

static void transmit(struct endpoint *e) {
    struct mmsghdr messages[BATCH] = {0};
    struct iovec vectors[BATCH];
    for (int i = e->out_first; i < e->out_count; i++) {
        vectors[i] = (struct iovec){e->out[i].data, e->out[i].size};
        messages[i].msg_hdr = (struct msghdr){.msg_name = e->client ? NULL : &e->out[i].to, .msg_namelen = e->client ? 0 : e->out[i].to_size,
                                              .msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    while (e->out_first < e->out_count) {
        int n = sendmmsg(e->socket, messages + e->out_first, (unsigned)(e->out_count - e->out_first), 0);
        if (n > 0) e->out_first += n;
        else if (errno == EAGAIN) return;
        else if (errno != EINTR) e->out_first++;  /* as good as lost on the way */
    }
    e->out_first = e->out_count = 0;
}

static struct packet *packet_slot(struct endpoint *e) {
    if (e->out_count == BATCH) transmit(e);
    return e->out_count < BATCH ? &e->out[e->out_count] : NULL;
}

static void commit(struct endpoint *e, const ngtcp2_path *path, size_t size) {
    struct packet *p = &e->out[e->out_count++];
    p->size = size;
    p->to_size = path->remote.addrlen;
    memcpy(&p->to, path->remote.addr, path->remote.addrlen);
}

/* Sends what congestion control and pacing let out now. */
static int flush(struct connection *c) {
    struct streams blocked = TAILQ_HEAD_INITIALIZER(blocked);
    ngtcp2_tstamp time = now();
    size_t quantum = ngtcp2_conn_get_send_quantum(c->quic), written = 0;
    ngtcp2_path_storage path;
    ngtcp2_ssize n = 0;
    struct packet *p;
    ngtcp2_path_storage_zero(&path);
    while (written < quantum && (p = packet_slot(c->endpoint))) {
        struct stream *s = TAILQ_FIRST(&c->ready);
        ngtcp2_vec vectors[VECTORS];
        size_t count = 0, size = 0;
        ngtcp2_ssize taken = -1;
        uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_NONE;
        if (s) {
            size_t skip = s->sending_offset;
            for (struct chunk *chunk = s->sending; chunk && count < VECTORS; chunk = chunk->next, skip = 0) {
                vectors[count++] = (ngtcp2_vec){chunk->data + skip, chunk->size - skip};
                size += chunk->size - skip;
            }
            flags = NGTCP2_WRITE_STREAM_FLAG_MORE;
            if (s->finish && size == s->unsent) flags |= NGTCP2_WRITE_STREAM_FLAG_FIN;
        }
        n = ngtcp2_conn_writev_stream(c->quic, &path.path, NULL, p->data, sizeof p->data, &taken, flags, s ? s->id : -1, vectors, count, time);
        if (s && taken >= 0) sent(s, (size_t)taken, (size_t)taken == s->unsent);
        if (n == NGTCP2_ERR_WRITE_MORE) continue;
        if (s && n == NGTCP2_ERR_STREAM_DATA_BLOCKED) {
            TAILQ_REMOVE(&c->ready, s, queue);
            TAILQ_INSERT_TAIL(&blocked, s, queue);
            continue;
        }
        if (s && (n == NGTCP2_ERR_STREAM_SHUT_WR || n == NGTCP2_ERR_STREAM_NOT_FOUND)) {
            dequeue(s);
            s->shut = 1;
            signal_stream(s, WRITABLE);
            continue;
        }
        if (n <= 0) break;
        commit(c->endpoint, &path.path, (size_t)n);
        written += (size_t)n;
    }
    TAILQ_CONCAT(&c->ready, &blocked, queue);
    if (n < 0) return (int)n;
    /* Before, there is only a guess of 333 ms to pace by, and the initial window bounds the burst. */
    if (ngtcp2_conn_get_handshake_completed(c->quic)) ngtcp2_conn_update_pkt_tx_time(c->quic, time);
    return 0;
}

static void send_close(struct connection *c, ngtcp2_connection_close_error *reason) {
    struct packet *p = packet_slot(c->endpoint);
    ngtcp2_path_storage path;
    ngtcp2_path_storage_zero(&path);
    if (!p) return;
    ngtcp2_ssize n = ngtcp2_conn_write_connection_close(c->quic, &path.path, NULL, p->data, sizeof p->data, reason, now());
    if (n > 0) commit(c->endpoint, &path.path, (size_t)n);
}

/* There is no closing period: a packet of a forgotten connection gets no answer anyway. */
static void fail(struct connection *c, int error) {
    ngtcp2_connection_close_error reason;
    ngtcp2_connection_close_error_default(&reason);
    if (error == NGTCP2_ERR_CRYPTO)
        ngtcp2_connection_close_error_set_transport_error_tls_alert(&reason, ngtcp2_conn_get_tls_alert(c->quic), NULL, 0);
    else
        ngtcp2_connection_close_error_set_transport_error_liberr(&reason, error, NULL, 0);
    if (error != NGTCP2_ERR_DRAINING && error != NGTCP2_ERR_DROP_CONN && error != NGTCP2_ERR_IDLE_CLOSE && error != NGTCP2_ERR_RETRY)
        send_close(c, &reason);
    lose(c);
}

/* They are few: a search costs nothing beside decryption. */
static struct connection *find(struct endpoint *e, const uint8_t *id, size_t size) {
    struct connection *c;
    ngtcp2_cid ids[IDS], wanted;
    if (size > NGTCP2_MAX_CIDLEN) return NULL;
    ngtcp2_cid_init(&wanted, id, size);
    TAILQ_FOREACH(c, &e->connections, all) {
        size_t count = ngtcp2_conn_get_num_scid(c->quic);
        if (!e->client && ngtcp2_cid_eq(&wanted, ngtcp2_conn_get_client_initial_dcid(c->quic))) return c;
        if (count > IDS) continue;
        ngtcp2_conn_get_scid(c->quic, ids);
        while (count) if (ngtcp2_cid_eq(&wanted, &ids[--count])) return c;
    }
    return NULL;
}

static void received(struct endpoint *e, struct packet *p) {
    ngtcp2_path path = {{(struct sockaddr *)&e->local, e->local_size}, {(struct sockaddr *)&p->to, p->to_size}, NULL};
    ngtcp2_version_cid ids;
    ngtcp2_pkt_info info = {0};
    ngtcp2_pkt_hd header;
    if (!p->size || ngtcp2_pkt_decode_version_cid(&ids, p->data, p->size, CID_SIZE)) return;
    struct connection *c = find(e, ids.dcid, ids.dcidlen);
    if (!c && !e->client && e->connection_count < CONNECTIONS && ngtcp2_accept(&header, p->data, p->size) == 0)
        c = connection_new(e, &path, &header);
    if (!c) return;
    int error = ngtcp2_conn_read_pkt(c->quic, &path, &info, p->data, p->size, now());
    if (error) fail(c, error);
}

static void receive(struct endpoint *e) {
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    int n = BATCH;
    for (int round = 0; round < ROUNDS && n == BATCH; round++) {
        for (int i = 0; i < BATCH; i++) {
            vectors[i] = (struct iovec){e->in[i].data, DATAGRAM};
            messages[i].msg_hdr = (struct msghdr){.msg_name = &e->in[i].to, .msg_namelen = sizeof e->in[i].to, .msg_iov = &vectors[i], .msg_iovlen = 1};
        }
        n = recvmmsg(e->socket, messages, BATCH, 0, NULL);
        for (int i = 0; i < n; i++) {
            if (messages[i].msg_hdr.msg_flags & MSG_TRUNC) continue;
            e->in[i].size = messages[i].msg_len;
            e->in[i].to_size = messages[i].msg_hdr.msg_namelen;
            received(e, &e->in[i]);
        }
    }
}

/* The timer is a descriptor as well: pacing needs finer steps than a loop's milliseconds. */
static void arm(struct endpoint *e) {
    ngtcp2_tstamp next = UINT64_MAX, expiry;
    struct connection *c;
    int writing = e->out_count > 0;
    TAILQ_FOREACH(c, &e->connections, all)
        if ((expiry = ngtcp2_conn_get_expiry(c->quic)) < next) next = expiry;
    if (writing) next = UINT64_MAX;  /* room in the socket comes first */
    if (writing != e->writing) {
        struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0)};
        epoll_ctl(e->poll, EPOLL_CTL_MOD, e->socket, &event);
        e->writing = writing;
    }
    if (next == e->armed && next > now()) return;
    struct itimerspec at = {0};
    if (next != UINT64_MAX) {
        at.it_value.tv_sec = (time_t)(next / NGTCP2_SECONDS);
        at.it_value.tv_nsec = (long)(next % NGTCP2_SECONDS);
    }
    timerfd_settime(e->timer, TFD_TIMER_ABSTIME, &at, NULL);
    e->armed = next;
}

/* The interface */

void quic_close(struct endpoint *e) {
    ngtcp2_connection_close_error reason;
    struct connection *c;
    ngtcp2_connection_close_error_default(&reason);
    ngtcp2_connection_close_error_set_application_error(&reason, 0, NULL, 0);
    while ((c = TAILQ_FIRST(&e->connections))) {
        send_close(c, &reason);
        lose(c);
    }
    transmit(e);
    for (struct stream *s; (s = TAILQ_FIRST(&e->streams));) {
        if (s->changes) TAILQ_REMOVE(&e->changed, s, change);
        TAILQ_REMOVE(&e->streams, s, all);
        s->changes = 0;
        s->endpoint = NULL;
        if (s->released) stream_free(s);
    }
    if (e->socket >= 0) close(e->socket);
    if (e->timer >= 0) close(e->timer);
    if (e->poll >= 0) close(e->poll);
    if (e->credentials) gnutls_certificate_free_credentials(e->credentials);
    gnutls_free(e->ticket_key.data);
    gnutls_free(e->ticket.data);
    free(e);
}

static struct endpoint *endpoint_new(const char *host, int port, int client, const char *congestion) {
    struct endpoint *e = calloc(1, sizeof *e);
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = client ? 0 : AI_PASSIVE}, *address;
    struct epoll_event event = {.events = EPOLLIN};
    char service[16];
    int probe = IP_PMTUDISC_PROBE, room = SOCKET_BUFFER;
    if (!e) return NULL;
    TAILQ_INIT(&e->connections); TAILQ_INIT(&e->streams); TAILQ_INIT(&e->changed); TAILQ_INIT(&e->dead);
    e->client = client;
    e->congestion = !strcmp(congestion, "bbr") ? NGTCP2_CC_ALGO_BBR : NGTCP2_CC_ALGO_CUBIC;
    e->armed = UINT64_MAX;
    e->local_size = e->remote_size = sizeof e->local;
    e->socket = e->timer = -1;
    e->poll = epoll_create1(EPOLL_CLOEXEC);
    snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(host, service, &hints, &address)) { quic_close(e); return NULL; }
    e->socket = socket(address->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    e->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int failed = (client ? connect : bind)(e->socket, address->ai_addr, address->ai_addrlen);
    freeaddrinfo(address);
    /* Probes of path MTU discovery must not be fragmented. */
    if (setsockopt(e->socket, IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof probe)) setsockopt(e->socket, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe, sizeof probe);
    setsockopt(e->socket, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(e->socket, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    if (failed || getsockname(e->socket, (struct sockaddr *)&e->local, &e->local_size) ||
        (client && getpeername(e->socket, (struct sockaddr *)&e->remote, &e->remote_size)) ||
        epoll_ctl(e->poll, EPOLL_CTL_ADD, e->socket, &event) || epoll_ctl(e->poll, EPOLL_CTL_ADD, e->timer, &event) ||
        gnutls_certificate_allocate_credentials(&e->credentials)) { quic_close(e); return NULL; }
    return e;
}

struct endpoint *quic_server(const char *host, int port, const char *key, const char *chain, const char *congestion) {
    struct endpoint *e = endpoint_new(host, port, 0, congestion);
    if (e && (gnutls_certificate_set_x509_key_file(e->credentials, chain, key, GNUTLS_X509_FMT_PEM) < 0 || gnutls_session_ticket_key_generate(&e->ticket_key))) {
        quic_close(e);
        return NULL;
    }
    return e;
}

struct endpoint *quic_client(const char *host, int port, const char *trusted, const char *congestion, const uint8_t *ticket, size_t ticket_size) {
    struct endpoint *e = endpoint_new(host, port, 1, congestion);
    if (!e) return NULL;
    ngtcp2_path path = {{(struct sockaddr *)&e->local, e->local_size}, {(struct sockaddr *)&e->remote, e->remote_size}, NULL};
    if (ticket_size && (e->ticket.data = gnutls_malloc(ticket_size))) {
        memcpy(e->ticket.data, ticket, ticket_size);
        e->ticket.size = (unsigned)ticket_size;
    }
    if (gnutls_certificate_set_x509_trust_file(e->credentials, trusted, GNUTLS_X509_FMT_PEM) <= 0 || !connection_new(e, &path, NULL)) {
        quic_close(e);
        return NULL;
    }
    return e;
}

const char *quic_version(void) { return ngtcp2_version(0)->version_str; }
int quic_descriptor(struct endpoint *e) { return e->poll; }
int quic_state(struct endpoint *e) { return e->state; }
int quic_resumed(struct endpoint *e) { return e->resumed; }
/* Of the handshake done last. */
const char *quic_cipher(struct endpoint *e) { return e->cipher; }

/* Does all that is due; says how many streams changed, at most `room`, and how. */
int quic_service(struct endpoint *e, struct event *events, int room) {
    int count = 0;
    transmit(e);
    receive(e);
    for (struct connection *c = TAILQ_FIRST(&e->connections), *next; c; c = next) {
        next = TAILQ_NEXT(c, all);
        ngtcp2_tstamp time = now();
        int error = ngtcp2_conn_get_expiry(c->quic) <= time ? ngtcp2_conn_handle_expiry(c->quic, time) : 0;
        if (!error) error = flush(c);
        if (error) fail(c, error);
    }
    transmit(e);
    for (struct stream *s; (s = TAILQ_FIRST(&e->dead)); stream_free(s)) TAILQ_REMOVE(&e->dead, s, queue);
    arm(e);
    for (struct stream *s; count < room && (s = TAILQ_FIRST(&e->changed)); count++) {
        TAILQ_REMOVE(&e->changed, s, change);
        events[count] = (struct event){s, s->changes};
        if (s->changes & NEW) s->released = 0;
        s->changes = 0;
    }
    return count;
}

/* The session for the next connection to begin with; 0 if the server has given none. */
size_t quic_ticket(struct endpoint *e, uint8_t *out, size_t room) {
    if (e->ticket.size > room) return 0;
    if (e->ticket.size) memcpy(out, e->ticket.data, e->ticket.size);
    return e->ticket.size;
}

/* NULL: lost, or the peer allows no more streams yet */
struct stream *quic_open(struct endpoint *e) {
    struct connection *c = TAILQ_FIRST(&e->connections);
    int64_t id;
    if (!c || ngtcp2_conn_open_bidi_stream(c->quic, &id, NULL)) return NULL;
    struct stream *s = stream_new(c, id);
    if (s) ngtcp2_conn_set_stream_user_data(c->quic, id, s);
    return s;
}

/* Returns the bytes queued and not yet sent; beyond HIGH, the stream is said to be writable once they are fewer. Nothing may be written, to ask. */
long quic_write(struct stream *s, const uint8_t *data, size_t size) {
    if (!s->connection || s->shut || s->finish) return GONE;
    if (!size) return (long)s->unsent;
    struct chunk *c = malloc(sizeof *c + size);
    if (!c) return GONE;
    c->next = NULL;
    c->size = size;
    memcpy(c->data, data, size);
    if (s->last) s->last->next = c;
    else s->first = c;
    s->last = c;
    if (!s->sending) s->sending = c;
    s->unsent += size;
    if (s->unsent > HIGH) s->waiting = 1;
    enqueue(s);
    return (long)s->unsent;
}

void quic_finish(struct stream *s) {
    if (s->finish || s->shut) return;
    s->finish = 1;
    enqueue(s);
}

void quic_reset(struct stream *s) {
    if (!s->connection || s->shut) return;
    dequeue(s);
    s->shut = 1;
    ngtcp2_conn_shutdown_stream(s->connection->quic, s->id, 1);
}

/* Bytes; 0: none yet; END; GONE: reset or lost */
long quic_read(struct stream *s, uint8_t *out, size_t room) {
    size_t size = s->in_size < room ? s->in_size : room;
    if (!size) return s->end ? END : s->reset ? GONE : 0;
    memcpy(out, s->in + s->in_start, size);
    s->in_size -= size;
    s->in_start = s->in_size ? s->in_start + size : 0;
    if (s->connection) {
        ngtcp2_conn_extend_max_stream_offset(s->connection->quic, s->id, size);
        ngtcp2_conn_extend_max_offset(s->connection->quic, size);
    }
    return (long)size;
}

/* The caller forgets the stream: what it has finished is still delivered, the rest is cut off. */
void quic_release(struct stream *s) {
    if (!s->connection) { stream_free(s); return; }
    if (s->changes) TAILQ_REMOVE(&s->endpoint->changed, s, change);
    s->changes = 0;
    s->released = 1;
    ngtcp2_conn_extend_max_offset(s->connection->quic, s->in_size);
    s->in_size = 0;
    if (!s->end && !s->reset) ngtcp2_conn_shutdown_stream_read(s->connection->quic, s->id, 1);
    if (s->connection && !s->finish && !s->shut) {
        dequeue(s);
        s->shut = 1;
        ngtcp2_conn_shutdown_stream_write(s->connection->quic, s->id, 1);
    }
}
