/* A link between two network namespaces, written apart from Mast's own so that it can be its judge: a TUN device at each
 * end, and per direction a random loss, a queue of packets, a server of a constant rate, and a delay. Truth goes to
 * standard output when it ends.
 *
 *   link CLIENT-NAMESPACE SERVER-NAMESPACE UP DOWN
 *
 * UP and DOWN are words with commas between: rate=BITS/S,delay=S,queue=PACKETS,loss=P,ge=ENTER:LEAVE,jitter=S,
 * hold=FROM:TO,drop=FROM:TO (seconds since the first packet; hold and drop may come again). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { most_outages = 16, most_waiting = 1 << 14, largest = 2048 };
struct outage { double from, to; };
struct packet { double due; int length; unsigned char bytes[largest]; };
struct direction {
    int in, out, queue, is_bad;
    double rate, delay, jitter, loss, enter, leave;
    struct outage holds[most_outages], drops[most_outages];
    int hold_count, drop_count;
    uint64_t chance;
    double finished, latest;               /* the server's last end; the last delivery */
    double ends[most_waiting];             /* when each packet of the queue has been served */
    unsigned first_end, next_end;
    struct packet *waiting;                /* a ring, in order of delivery */
    unsigned first, next;
    /* Truth, outages apart. */
    long offered, lost, bursts, in_outage, served_bytes;
    int last_was_lost;
};

static struct direction ways[2];
static volatile sig_atomic_t stopped;
static double began = -1;

static void stop(int number) { (void)number; stopped = 1; }

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static double chance(struct direction *way) { /* xorshift64 (Marsaglia 2003) */
    way->chance ^= way->chance << 13;
    way->chance ^= way->chance >> 7;
    way->chance ^= way->chance << 17;
    return (way->chance >> 11) / 9007199254740992.0;
}

static int tunnel(const char *namespace) {
    char path[256];
    snprintf(path, sizeof path, "/var/run/netns/%s", namespace);
    int home = open("/proc/self/ns/net", O_RDONLY), there = open(path, O_RDONLY);
    if (there < 0 || setns(there, CLONE_NEWNET)) { perror(path); exit(1); }
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strcpy(request.ifr_name, "road");
    if (device < 0 || ioctl(device, TUNSETIFF, &request) || setns(home, CLONE_NEWNET)) { perror("tun"); exit(1); }
    close(home);
    close(there);
    return device;
}

static void configure(struct direction *way, char *text, uint64_t seed) {
    way->rate = 1e7;
    way->queue = 100;
    way->chance = seed;
    way->waiting = calloc(most_waiting, sizeof *way->waiting);
    char *rest;
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        char *value = strchr(word, '=');
        if (!value) { fprintf(stderr, "link: %s has no value\n", word); exit(2); }
        *value++ = 0;
        if (!strcmp(word, "rate")) way->rate = atof(value);
        else if (!strcmp(word, "delay")) way->delay = atof(value);
        else if (!strcmp(word, "jitter")) way->jitter = atof(value);
        else if (!strcmp(word, "queue")) way->queue = atoi(value);
        else if (!strcmp(word, "loss")) way->loss = atof(value);
        else if (!strcmp(word, "ge")) sscanf(value, "%lf:%lf", &way->enter, &way->leave);
        else if (!strcmp(word, "hold") && way->hold_count < most_outages) {
            struct outage *outage = &way->holds[way->hold_count++];
            sscanf(value, "%lf:%lf", &outage->from, &outage->to);
        } else if (!strcmp(word, "drop") && way->drop_count < most_outages) {
            struct outage *outage = &way->drops[way->drop_count++];
            sscanf(value, "%lf:%lf", &outage->from, &outage->to);
        } else { fprintf(stderr, "link: unknown %s\n", word); exit(2); }
    }
}

/* When so many bits have been served, holds left out. Holds are in order. */
static double served(struct direction *way, double from, double bits) {
    for (int index = 0; index < way->hold_count; index++) {
        struct outage hold = way->holds[index];
        if (from >= hold.to) continue;
        if (from < hold.from) {
            double end = from + bits / way->rate;
            if (end <= hold.from) return end;
            bits -= (hold.from - from) * way->rate;
        }
        from = hold.to;
    }
    return from + bits / way->rate;
}

static void arrive(struct direction *way, const unsigned char *bytes, int length) {
    if (length > largest || length < 20 || bytes[0] >> 4 != 4) return;
    double at = now();
    if (began < 0) began = at;
    at -= began;
    for (int index = 0; index < way->drop_count; index++)
        if (at >= way->drops[index].from && at < way->drops[index].to) { way->in_outage++; return; }
    way->offered++;
    if (way->is_bad ? chance(way) < way->leave : way->enter > 0 && chance(way) < way->enter) way->is_bad = !way->is_bad;
    int is_lost = way->is_bad || (way->loss > 0 && chance(way) < way->loss);
    while (way->first_end != way->next_end && way->ends[way->first_end % most_waiting] <= at) way->first_end++;
    if (way->next_end - way->first_end >= (unsigned)way->queue || way->next - way->first >= most_waiting) is_lost = 1;
    /* What a held queue has no room for is the outage's doing. */
    for (int index = 0; is_lost && index < way->hold_count; index++)
        if (at >= way->holds[index].from && at < way->holds[index].to) { way->offered--; way->in_outage++; return; }
    if (is_lost) {
        way->lost++;
        way->bursts += !way->last_was_lost;
        way->last_was_lost = 1;
        return;
    }
    way->last_was_lost = 0;
    double end = served(way, at > way->finished ? at : way->finished, length * 8.0);
    way->finished = way->ends[way->next_end++ % most_waiting] = end;
    way->served_bytes += length;
    double due = end + way->delay + (way->jitter > 0 ? chance(way) * way->jitter : 0);
    if (due < way->latest) due = way->latest; /* order is kept */
    way->latest = due;
    struct packet *packet = &way->waiting[way->next++ % most_waiting];
    packet->due = due;
    packet->length = length;
    memcpy(packet->bytes, bytes, length);
}

static void tell(const char *name, struct direction *way, const char *end) {
    printf("\"%s\": {\"offered\": %ld, \"lost\": %ld, \"bursts\": %ld, \"inOutage\": %ld, \"servedBytes\": %ld}%s", name, way->offered,
           way->lost, way->bursts, way->in_outage, way->served_bytes, end);
}

int main(int count, char **words) {
    if (count != 5) { fprintf(stderr, "usage: link CLIENT SERVER UP DOWN\n"); return 2; }
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    prctl(PR_SET_TIMERSLACK, 1UL);
    mlockall(MCL_CURRENT);
    struct sched_param priority = {.sched_priority = 50};
    sched_setscheduler(0, SCHED_FIFO, &priority);
    int client = tunnel(words[1]), server = tunnel(words[2]);
    configure(&ways[0], words[3], 88172645463325252ULL);
    configure(&ways[1], words[4], 2685821657736338717ULL);
    ways[0].in = ways[1].out = client;
    ways[0].out = ways[1].in = server;
    puts("ready");
    fflush(stdout);
    double latest = 0;
    static unsigned char bytes[65536];
    while (!stopped) {
        double next = 1;
        for (int index = 0; index < 2; index++) {
            struct direction *way = &ways[index];
            for (int burst = 0; burst < 64; burst++) {
                ssize_t length = read(way->in, bytes, sizeof bytes);
                if (length <= 0) break;
                arrive(way, bytes, (int)length);
            }
            while (way->first != way->next) {
                struct packet *packet = &way->waiting[way->first % most_waiting];
                double late = now() - began - packet->due;
                if (late < 0) { if (-late < next) next = -late; break; }
                if (late > latest) latest = late;
                if (write(way->out, packet->bytes, packet->length) < 0) perror("link: write");
                way->first++;
            }
        }
        struct pollfd both[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
        struct timespec wait = {(time_t)next, (long)((next - (time_t)next) * 1e9)};
        ppoll(both, 2, &wait, NULL);
    }
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    printf("{\"epoch\": %.6f, \"latestMs\": %.3f, ", wall.tv_sec + wall.tv_nsec * 1e-9 - (now() - began), latest * 1e3);
    tell("up", &ways[0], ", ");
    tell("down", &ways[1], "}\n");
    return 0;
}
