// The machine's own limit: the same bytes sealed, sent, received and opened with no protocol around, over the loopback. Sent with segmentation
// offload and received with receive offload, AES-GCM by libcrypto with one context a key. Prints one JSON object; each figure is the best of
// three. CPU is that of both ends, which are two threads.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

// A datagram is a clear header with the packet's number, the sealed bytes and the tag.
enum { HEADER = 16, TAG = 16, DATAGRAM = 1452, BULK = DATAGRAM - HEADER - TAG, CALL = 64, LARGEST = 65507, MOST = 64, ROUNDS = 3 };
static const double SECONDS = 0.6;

struct end {
    int descriptor;
    EVP_CIPHER_CTX *seal, *open;
    uint64_t next;
    unsigned char bytes[LARGEST + 1], plain[LARGEST + 1];
};

struct rate { double megabits_a_core, megabits, exchanges, cpu_us; };

static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void stop(const char *why) {
    perror(why);
    _exit(69);
}

static EVP_CIPHER_CTX *context(const EVP_CIPHER *cipher, int seals) {
    static const unsigned char key[32] = {1}, nonce[12] = {2};
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (!context || EVP_CipherInit_ex(context, cipher, NULL, key, nonce, seals) != 1) stop("limit: no cipher");
    return context;
}

static void nonce_of(uint64_t number, unsigned char nonce[12]) {
    memset(nonce, 0, 4);
    memcpy(nonce + 4, &number, sizeof number);
}

// Writes header, ciphertext and tag of `size` bytes.
static void seal(struct end *e, unsigned char *out, const unsigned char *plain, int size) {
    unsigned char nonce[12];
    int length;
    memset(out, 0, HEADER);
    memcpy(out, &e->next, sizeof e->next);
    nonce_of(e->next++, nonce);
    if (EVP_EncryptInit_ex(e->seal, NULL, NULL, NULL, nonce) != 1 || EVP_EncryptUpdate(e->seal, NULL, &length, out, HEADER) != 1 ||
        EVP_EncryptUpdate(e->seal, out + HEADER, &length, plain, size) != 1 || EVP_EncryptFinal_ex(e->seal, out + HEADER + size, &length) != 1 ||
        EVP_CIPHER_CTX_ctrl(e->seal, EVP_CTRL_AEAD_GET_TAG, TAG, out + HEADER + size) != 1) stop("limit: sealing failed");
}

// Opens one datagram to `plain`; the tag says that the bytes are the same.
static int open_packet(struct end *e, unsigned char *plain, unsigned char *datagram, int size) {
    unsigned char nonce[12];
    uint64_t number;
    int length, sealed = size - HEADER - TAG;
    if (sealed < 0) stop("limit: a datagram is too short");
    memcpy(&number, datagram, sizeof number);
    nonce_of(number, nonce);
    if (EVP_DecryptInit_ex(e->open, NULL, NULL, NULL, nonce) != 1 || EVP_DecryptUpdate(e->open, NULL, &length, datagram, HEADER) != 1 ||
        EVP_DecryptUpdate(e->open, plain, &length, datagram + HEADER, sealed) != 1 ||
        EVP_CIPHER_CTX_ctrl(e->open, EVP_CTRL_AEAD_SET_TAG, TAG, datagram + HEADER + sealed) != 1 ||
        EVP_DecryptFinal_ex(e->open, plain + sealed, &length) != 1) stop("limit: opening failed");
    return sealed;
}

static void send_segments(int descriptor, unsigned char *bytes, size_t size, size_t segment) {
    char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct iovec vector = {bytes, size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (size > segment) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = IPPROTO_UDP;
        header->cmsg_type = UDP_SEGMENT;
        header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        uint16_t value = (uint16_t)segment;
        memcpy(CMSG_DATA(header), &value, sizeof value);
    }
    if (sendmsg(descriptor, &message, 0) < 0) stop("limit: nothing is sent");
}

// Returns the bytes, and in `segment` those of one datagram; 0 when the other end is done.
static size_t receive_segments(int descriptor, unsigned char *bytes, size_t *segment) {
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec vector = {bytes, LARGEST};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t size = recvmsg(descriptor, &message, 0);
    if (size <= 1) return 0;
    *segment = (size_t)size;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        int value;
        if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO) continue;
        memcpy(&value, CMSG_DATA(c), sizeof value);
        *segment = (size_t)value;
    }
    return (size_t)size;
}

static void pair(struct end *here, struct end *there, const EVP_CIPHER *cipher) {
    struct end *ends[2] = {here, there};
    struct sockaddr_in addresses[2];
    for (int i = 0; i < 2; i++) {
        struct timeval patience = {2, 0};
        int room = 8 << 20, on = 1;
        socklen_t length = sizeof addresses[i];
        addresses[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        ends[i]->descriptor = socket(AF_INET, SOCK_DGRAM, 0);
        if (ends[i]->descriptor < 0 || bind(ends[i]->descriptor, (struct sockaddr *)&addresses[i], length) ||
            getsockname(ends[i]->descriptor, (struct sockaddr *)&addresses[i], &length)) stop("limit: no socket");
        setsockopt(ends[i]->descriptor, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        setsockopt(ends[i]->descriptor, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        setsockopt(ends[i]->descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (setsockopt(ends[i]->descriptor, IPPROTO_UDP, UDP_GRO, &on, sizeof on)) stop("limit: no receive offload");
        ends[i]->seal = context(cipher, 1);
        ends[i]->open = context(cipher, 0);
        ends[i]->next = 0;
    }
    for (int i = 0; i < 2; i++)
        if (connect(ends[i]->descriptor, (struct sockaddr *)&addresses[1 - i], sizeof addresses[i])) stop("limit: no connection");
}

static void end_pair(struct end *here, struct end *there) {
    struct end *ends[2] = {here, there};
    for (int i = 0; i < 2; i++) {
        close(ends[i]->descriptor);
        EVP_CIPHER_CTX_free(ends[i]->seal);
        EVP_CIPHER_CTX_free(ends[i]->open);
    }
}

static struct end here, there;
static uint64_t opened;

// Opens what comes and says after every batch how much that was in all: the sender stays within the socket's room, and nothing is lost.
static void *sink(void *ignored) {
    size_t size, segment;
    while ((size = receive_segments(there.descriptor, there.bytes, &segment))) {
        for (size_t at = 0; at < size; at += segment)
            opened += (uint64_t)open_packet(&there, there.plain + at, there.bytes + at, (int)(size - at < segment ? size - at : segment));
        if (send(there.descriptor, &opened, sizeof opened, 0) < 0) stop("limit: no receipt is sent");
    }
    return NULL;
}

static struct rate bulk(const EVP_CIPHER *cipher) {
    pair(&here, &there, cipher);
    const int segments = LARGEST / DATAGRAM;
    int room = 0;
    socklen_t length = sizeof room;
    getsockopt(there.descriptor, SOL_SOCKET, SO_RCVBUF, &room, &length);
    // The kernel counts more than the bytes; a batch must always fit.
    const uint64_t window = (uint64_t)room / 4 > (uint64_t)(segments * BULK) ? (uint64_t)room / 4 : (uint64_t)(segments * BULK);
    uint64_t sent = 0, heard = 0;
    pthread_t thread;
    opened = 0;
    if (pthread_create(&thread, NULL, sink, NULL)) stop("limit: no thread");
    double began = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID), end;
    do {
        for (int i = 0; i < segments; i++) seal(&here, here.bytes + i * DATAGRAM, here.plain + i * BULK, BULK);
        send_segments(here.descriptor, here.bytes, (size_t)(segments * DATAGRAM), DATAGRAM);
        sent += (uint64_t)(segments * BULK);
        while (sent - heard + (uint64_t)(segments * BULK) > window && sent > heard) {
            uint64_t receipts[512];
            ssize_t size = recv(here.descriptor, receipts, sizeof receipts, 0);
            if (size < (ssize_t)sizeof heard) stop("limit: a batch was lost");
            heard = receipts[size / (ssize_t)sizeof heard - 1];
        }
        end = now(CLOCK_MONOTONIC);
    } while (end - began < SECONDS);
    double spent = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    unsigned char last = 0;
    if (send(here.descriptor, &last, 1, 0) < 0) stop("limit: no end");
    pthread_join(thread, NULL);
    end_pair(&here, &there);
    return (struct rate){.megabits = (double)heard * 8 / (end - began) / 1e6, .megabits_a_core = (double)heard * 8 / spent / 1e6};
}

static void *answerer(void *ignored) {
    size_t size, segment;
    while ((size = receive_segments(there.descriptor, there.bytes, &segment))) {
        for (size_t at = 0; at < size; at += segment) open_packet(&there, there.plain + at, there.bytes + at, (int)segment);
        for (size_t at = 0; at < size; at += segment) seal(&there, there.bytes + at, there.plain + at, CALL);
        send_segments(there.descriptor, there.bytes, size, segment);
    }
    return NULL;
}

// `count` sealed requests of 64 bytes at once, and their sealed answers.
static struct rate exchange(const EVP_CIPHER *cipher, int count) {
    const int datagram = HEADER + CALL + TAG;
    pair(&here, &there, cipher);
    pthread_t thread;
    if (pthread_create(&thread, NULL, answerer, NULL)) stop("limit: no thread");
    double began = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID), end;
    long done = 0;
    do {
        for (int i = 0; i < count; i++) seal(&here, here.bytes + i * datagram, here.plain + i * CALL, CALL);
        send_segments(here.descriptor, here.bytes, (size_t)(count * datagram), (size_t)datagram);
        for (int answers = 0; answers < count;) {
            size_t segment = 0, size = receive_segments(here.descriptor, here.bytes, &segment);
            if (!size) stop("limit: no answer");
            for (size_t at = 0; at < size; at += segment, answers++) open_packet(&here, here.plain, here.bytes + at, (int)segment);
        }
        done += count;
        end = now(CLOCK_MONOTONIC);
    } while (end - began < SECONDS);
    double spent = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    unsigned char last = 0;
    if (send(here.descriptor, &last, 1, 0) < 0) stop("limit: no end");
    pthread_join(thread, NULL);
    end_pair(&here, &there);
    return (struct rate){.exchanges = (double)done / (end - began), .cpu_us = spent * 1e6 / (double)done};
}

static struct rate better(struct rate a, struct rate b) {
    return (a.megabits_a_core ? a.megabits_a_core > b.megabits_a_core : a.cpu_us < b.cpu_us) ? a : b;
}

int main(void) {
    const char *names[2] = {"aes128GCM", "aes256GCM"};
    for (int i = 0; i < 2; i++) {
        const EVP_CIPHER *cipher = i ? EVP_aes_256_gcm() : EVP_aes_128_gcm();
        struct rate all = bulk(cipher), one = exchange(cipher, 1), many = exchange(cipher, MOST);
        for (int round = 1; round < ROUNDS; round++) {
            all = better(all, bulk(cipher));
            one = better(one, exchange(cipher, 1));
            many = better(many, exchange(cipher, MOST));
        }
        printf("%s\"%sBulkMbps\": %.0f, \"%sBulkMbpsACore\": %.0f, \"%sExchangesPerSecond\": %.0f, \"%sExchangeCPUMicroseconds\": %.2f, "
               "\"%s64AtOncePerSecond\": %.0f, \"%s64AtOnceCPUMicroseconds\": %.2f",
               i ? ", " : "{", names[i], all.megabits, names[i], all.megabits_a_core, names[i], one.exchanges, names[i], one.cpu_us,
               names[i], many.exchanges, names[i], many.cpu_us);
    }
    printf("}\n");
    return 0;
}
