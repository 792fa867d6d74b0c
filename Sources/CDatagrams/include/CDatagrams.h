#ifndef MAST_CDATAGRAMS_H
#define MAST_CDATAGRAMS_H

#include <stddef.h>
#include <stdint.h>

// UDP sockets by the batch, and one thread's wait for several of them. C, because control messages, recvmmsg and
// sendmmsg are macros and arrays of pointers that Swift has no words for. Functions that fail return -errno.

// An address and a port in network order; IPv4 as an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2).
struct mast_endpoint {
    uint8_t address[16];
    uint16_t port;
};

// What a socket can do beyond sending and receiving.
enum {
    // It has `mast_udp_take_error`; whoever waits for it must look there.
    MAST_UDP_TELLS_ERRORS = 1,
    // What it sends is never cut up on the way (IPv4's DF bit): too large is too large, and is said.
    MAST_UDP_WHOLE = 2,
    // What comes has the congestion mark and the time at which the system took it.
    MAST_UDP_STAMPS = 4,
    // It shares its port with others of this user that say so too.
    MAST_UDP_SHARED = 8
};
// A bound, non-blocking socket. An unspecified IPv6 address also takes IPv4. `bound` gets its address.
int mast_udp_open(const struct mast_endpoint *address, int abilities, struct mast_endpoint *bound);
// Among sockets that share a port, the one that takes a datagram is chosen by this program of the classic packet filter: instructions
// as code 16 bits, jump if true 8, jump if false 8, operand 32, from the low end. 0, or -errno where the system cannot.
int mast_udp_steer(int socket, const uint64_t *instructions, int count);
// Whether the socket's addresses are IPv6's.
int mast_udp_is_ipv6(int socket);
void mast_close(int descriptor);

// Datagrams on their way in or out: at most `count`, in `count * size` bytes. Those that came have `size` bytes each; those
// that go stand wherever the sender puts them.
struct mast_batch {
    int count;
    int size;
    uint8_t *bytes;
    size_t *offsets;
    struct mast_endpoint *endpoints;
    // Bytes in each place; what was cut short has one more than `size`.
    size_t *lengths;
    // Bytes of each datagram in a place that came: the place holds one, or several of this size of which the last may be shorter.
    size_t *segments;
    // The two bits of explicit congestion notification (RFC 3168), in and out: 0 not capable, 1 ECT(1), 2 ECT(0), 3 CE.
    uint8_t *marks;
    // Nanoseconds since the system took what is in a place that came: of the first datagram, where there are several. Negative: not known.
    int64_t *ages;
    // Set once the system refused several datagrams in one piece.
    int is_plain;
    void *headers;
};
// Without memory, `bytes` is the caller's: it is set before each use, and NULL when the batch is freed.
struct mast_batch *mast_batch_new(int count, int size, int has_memory);
void mast_batch_free(struct mast_batch *batch);

// Fills the batch from its front: how many places, 0 for none, or -errno.
int mast_udp_receive(int socket, struct mast_batch *batch);
// Sends the places from `first` to before `end`, those of one size to one destination in one piece (UDP_SEGMENT): how many went, at
// least one, or -errno of the first.
int mast_udp_send(int socket, int is_ipv6, struct mast_batch *batch, int first, int end);

// What the network said of a datagram sent earlier.
struct mast_network_error {
    struct mast_endpoint destination;
    // The errno that the message stands for, such as ECONNREFUSED.
    int code;
    // This machine's own word, which the failed send has said already.
    int is_local;
};
// Takes the oldest one: 1, 0 for none, or -errno.
int mast_udp_take_error(int socket, struct mast_network_error *error);

// News of the system's interfaces, addresses and routes, Linux only (rtnetlink): a non-blocking socket, or -errno.
int mast_network_open(void);
// Asks for all interfaces (what 0) or all addresses (what 1) there are, as news; the end of the list comes as NLMSG_DONE. One list at a time.
int mast_network_ask(int socket, int what);
// Takes one datagram of news, which holds several messages: its bytes, 0 for none, or -errno. -ENOBUFS: some were lost;
// -EMSGSIZE: one did not fit.
int mast_network_receive(int socket, uint8_t *bytes, size_t size);
// The address of this machine from which a datagram to `destination` would go now: 0, or -errno where there is no way. Sends nothing.
int mast_network_source(const struct mast_endpoint *destination, struct mast_endpoint *source);

// One thread's wait, Linux only.
struct mast_event {
    uint64_t tag;
    int readable, writable, broken;
};
struct mast_poll;
// NULL if there is none to be had; errno says why.
struct mast_poll *mast_poll_new(void);
void mast_poll_free(struct mast_poll *poll);
int mast_poll_add(struct mast_poll *poll, int socket, uint64_t tag);
int mast_poll_want_write(struct mast_poll *poll, int socket, uint64_t tag, int wants);
void mast_poll_remove(struct mast_poll *poll, int socket);
// From any thread: ends a wait, now or the next one.
void mast_poll_wake(struct mast_poll *poll);
// How many events there are; 0 when time is up or another thread woke it. Negative nanoseconds wait for ever.
int mast_poll_wait(struct mast_poll *poll, int64_t nanoseconds, struct mast_event *events, int most);
// Whether the processor has instructions for AES and for GCM's multiplication.
int mast_processor_has_aes(void);
// Sleepers of this thread wake up on time rather than together with others.
void mast_poll_be_punctual(void);

#endif
