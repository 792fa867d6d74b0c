/* A link between two network namespaces, written apart from Mast's own so that it can be its judge: a TUN device at each
 * end, and per direction a random loss, a queue of packets, a server, and a delay. Truth goes to standard output when it
 * ends: counts, when it could not run itself, and what became of each packet.
 *
 *   link CLIENT-NAMESPACE SERVER-NAMESPACE UP DOWN FOLDER
 *
 * UP and DOWN are words with commas between: rate=BITS/S or trace=FILE (a line for each chance to send 1500 bytes, its
 * millisecond, non-decreasing, from the start again after the last), delay=S, then=AT:DELAY (another delay from then on),
 * queue=PACKETS, loss=P, ge=ENTER:LEAVE, jitter=S (order kept), reorder=P:S (that share comes so much later, others pass
 * it), hold=FROM:TO, drop=FROM:TO (seconds since the first packet; hold and drop may come again).
 *
 * FOLDER/packets.csv has one line a packet, in order of arrival; FOLDER/middle.pcap is what a recorder half-way along the
 * delay sees of both directions, after both queues. */
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
enum { most_stalls = 64, most_chances = 1 << 20, most_logged = 1 << 21, kept_bytes = 128 };
static const double shortest_stall = 0.05; /* of the whole machine: nothing ran, the ends neither */
struct packet { double due; unsigned record; int length; unsigned char bytes[largest]; };
/* What became of a packet: d delivered, q refused by the queue, r lost at random or in a burst, o in an outage that drops, h
 * refused by a queue that a hold filled. */
struct record { double at, served, due, left; int length; char way, fate; unsigned char bytes[kept_bytes]; };
struct direction {
    int in, out, queue, is_bad;
    double rate, delay, then_at, then_delay, jitter, reorder, reorder_by, loss, enter, leave;
    double *chances;                       /* of a trace, in seconds */
    long chance_count, next_chance;
    int chance_bytes;                      /* what is left of the latest */
    struct outage holds[most_outages], drops[most_outages];
    int hold_count, drop_count;
    uint64_t chance;
    double finished, latest;               /* the server's last end; the last delivery */
    double ends[most_waiting];             /* when each packet of the queue has been served */
    unsigned first_end, next_end;
    struct packet *waiting;                /* places, */
    unsigned *order;                       /* and a ring of them in order of delivery; beyond `next` are free ones */
    unsigned first, next;
    /* Truth, outages apart. */
    long offered, lost, bursts, in_outage, served_bytes;
    int last_was_lost;
};

static struct direction ways[2];
static volatile sig_atomic_t stopped;
static double began = -1;
static struct record *records;
static unsigned record_count;

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

static void read_trace(struct direction *way, const char *path) {
    FILE *file = fopen(path, "r");
    long time;
    if (!file) { perror(path); exit(1); }
    way->chances = calloc(most_chances, sizeof *way->chances);
    while (way->chance_count < most_chances && fscanf(file, "%ld", &time) == 1) way->chances[way->chance_count++] = time * 1e-3;
    fclose(file);
    if (way->chance_count == 0 || way->chances[way->chance_count - 1] <= 0) { fprintf(stderr, "link: %s holds no trace\n", path); exit(1); }
}

static void configure(struct direction *way, char *text, uint64_t seed) {
    way->rate = 1e7;
    way->queue = 100;
    way->chance = seed;
    way->waiting = calloc(most_waiting, sizeof *way->waiting);
    way->order = calloc(most_waiting, sizeof *way->order);
    for (unsigned index = 0; index < most_waiting; index++) way->order[index] = index;
    char *rest;
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        char *value = strchr(word, '=');
        if (!value) { fprintf(stderr, "link: %s has no value\n", word); exit(2); }
        *value++ = 0;
        if (!strcmp(word, "rate")) way->rate = atof(value);
        else if (!strcmp(word, "delay")) way->delay = atof(value);
        else if (!strcmp(word, "trace")) read_trace(way, value);
        else if (!strcmp(word, "then")) sscanf(value, "%lf:%lf", &way->then_at, &way->then_delay);
        else if (!strcmp(word, "reorder")) sscanf(value, "%lf:%lf", &way->reorder, &way->reorder_by);
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

static double chance_time(struct direction *way, long number) {
    return way->chances[number % way->chance_count] + (number / way->chance_count) * way->chances[way->chance_count - 1];
}

static int is_held(struct direction *way, double time) {
    for (int index = 0; index < way->hold_count; index++)
        if (time >= way->holds[index].from && time < way->holds[index].to) return 1;
    return 0;
}

/* The same for a trace: chances pass unused while nothing waits or during a hold, and what is left of one is for the next
 * packet only if that waits already. */
static double served_by_trace(struct direction *way, double at, int length) {
    if (at > way->finished) {
        way->chance_bytes = 0;
        while (chance_time(way, way->next_chance) < at) way->next_chance++;
    }
    double end = way->finished;
    while (way->chance_bytes < length) {
        end = chance_time(way, way->next_chance++);
        if (!is_held(way, end)) way->chance_bytes += 1500;
    }
    way->chance_bytes -= length;
    return end > at ? end : at;
}

static struct record *note(struct direction *way, double at, const unsigned char *bytes, int length, char fate) {
    if (record_count == most_logged) return NULL;
    struct record *record = &records[record_count++];
    *record = (struct record){at, 0, 0, 0, length, way == ways ? 'u' : 'd', fate, {0}};
    memcpy(record->bytes, bytes, length < kept_bytes ? length : kept_bytes);
    return record;
}

static void arrive(struct direction *way, const unsigned char *bytes, int length) {
    if (length > largest || length < 20 || bytes[0] >> 4 != 4) return;
    double at = now();
    if (began < 0) began = at;
    at -= began;
    for (int index = 0; index < way->drop_count; index++)
        if (at >= way->drops[index].from && at < way->drops[index].to) { way->in_outage++; note(way, at, bytes, length, 'o'); return; }
    way->offered++;
    if (way->is_bad ? chance(way) < way->leave : way->enter > 0 && chance(way) < way->enter) way->is_bad = !way->is_bad;
    int is_lost = way->is_bad || (way->loss > 0 && chance(way) < way->loss), is_refused = 0;
    while (way->first_end != way->next_end && way->ends[way->first_end % most_waiting] <= at) way->first_end++;
    if (way->next_end - way->first_end >= (unsigned)way->queue || way->next - way->first >= most_waiting) is_refused = !is_lost;
    /* What a held queue has no room for is the outage's doing. */
    if ((is_lost || is_refused) && is_held(way, at)) { way->offered--; way->in_outage++; note(way, at, bytes, length, 'h'); return; }
    if (is_lost || is_refused) {
        way->lost++;
        way->bursts += !way->last_was_lost;
        way->last_was_lost = 1;
        note(way, at, bytes, length, is_lost ? 'r' : 'q');
        return;
    }
    way->last_was_lost = 0;
    double end = way->chances ? served_by_trace(way, at, length) : served(way, at > way->finished ? at : way->finished, length * 8.0);
    way->finished = way->ends[way->next_end++ % most_waiting] = end;
    way->served_bytes += length;
    double delay = way->then_at > 0 && end >= way->then_at ? way->then_delay : way->delay;
    double due = end + delay + (way->jitter > 0 ? chance(way) * way->jitter : 0);
    if (way->reorder > 0 && chance(way) < way->reorder) due += way->reorder_by;
    else if (due < way->latest) due = way->latest; /* order is kept */
    else way->latest = due;
    struct record *record = note(way, at, bytes, length, 'd');
    if (record) { record->served = end; record->due = due; }
    unsigned place = way->order[way->next % most_waiting], at_place = way->next++;
    for (; at_place != way->first && way->waiting[way->order[(at_place - 1) % most_waiting]].due > due; at_place--)
        way->order[at_place % most_waiting] = way->order[(at_place - 1) % most_waiting];
    way->order[at_place % most_waiting] = place;
    struct packet *packet = &way->waiting[place];
    packet->due = due;
    packet->record = record ? (unsigned)(record - records) : most_logged;
    packet->length = length;
    memcpy(packet->bytes, bytes, length);
}

static void write_packets(const char *folder) {
    char path[512];
    snprintf(path, sizeof path, "%s/packets.csv", folder);
    FILE *file = fopen(path, "w");
    if (!file) { perror(path); exit(1); }
    fputs("way,atS,servedS,leftS,length,fate,protocol,source,destination,identification,sequence,acknowledgement,flags,payload\n", file);
    for (struct record *record = records; record < records + record_count; record++) {
        const unsigned char *ip = record->bytes, *inner = ip + (ip[0] & 15) * 4;
        int header = (ip[0] & 15) * 4, is_tcp = ip[9] == 6, has_ports = is_tcp || ip[9] == 17;
        int payload = record->length - header - (is_tcp ? (inner[12] >> 4) * 4 : ip[9] == 17 ? 8 : 0);
        fprintf(file, "%c,%.6f,%.6f,%.6f,%d,%c,%d,%d,%d,%d,", record->way, record->at, record->served, record->left, record->length, record->fate, ip[9],
                has_ports ? inner[0] << 8 | inner[1] : 0, has_ports ? inner[2] << 8 | inner[3] : 0, ip[4] << 8 | ip[5]);
        if (is_tcp)
            fprintf(file, "%u,%u,%d,%d\n", (unsigned)inner[4] << 24 | inner[5] << 16 | inner[6] << 8 | inner[7],
                    (unsigned)inner[8] << 24 | inner[9] << 16 | inner[10] << 8 | inner[11], inner[13], payload);
        else fprintf(file, "0,0,0,%d\n", payload);
    }
    fclose(file);
}

static int compare(const void *a, const void *b) {
    const struct record *const *left = a, *const *right = b;
    return (*left)->due < (*right)->due ? -1 : (*left)->due > (*right)->due;
}

/* Times are of the wall clock; `due` becomes the time in the middle. */
static void write_middle(const char *folder, double epoch) {
    char path[512];
    snprintf(path, sizeof path, "%s/middle.pcap", folder);
    FILE *file = fopen(path, "w");
    struct record **sorted = calloc(record_count + 1, sizeof *sorted);
    if (!file || !sorted) { perror(path); exit(1); }
    uint32_t header[6] = {0xa1b2c3d4, 4 << 16 | 2, 0, 0, kept_bytes, 101};
    fwrite(header, sizeof header, 1, file);
    unsigned count = 0;
    for (struct record *record = records; record < records + record_count; record++) {
        struct direction *way = &ways[record->way == 'd'];
        if (record->fate != 'd') continue;
        record->due = epoch + record->served + (way->then_at > 0 && record->served >= way->then_at ? way->then_delay : way->delay) / 2;
        sorted[count++] = record;
    }
    qsort(sorted, count, sizeof *sorted, compare);
    for (unsigned index = 0; index < count; index++) {
        struct record *record = sorted[index];
        uint32_t kept = record->length < kept_bytes ? record->length : kept_bytes;
        uint32_t head[4] = {(uint32_t)record->due, (uint32_t)((record->due - (uint32_t)record->due) * 1e6), kept, (uint32_t)record->length};
        fwrite(head, sizeof head, 1, file);
        fwrite(record->bytes, kept, 1, file);
    }
    fclose(file);
}

static void tell(const char *name, struct direction *way, const char *end) {
    printf("\"%s\": {\"offered\": %ld, \"lost\": %ld, \"bursts\": %ld, \"inOutage\": %ld, \"servedBytes\": %ld}%s", name, way->offered,
           way->lost, way->bursts, way->in_outage, way->served_bytes, end);
}

int main(int count, char **words) {
    if (count != 6) { fprintf(stderr, "usage: link CLIENT SERVER UP DOWN FOLDER\n"); return 2; }
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    prctl(PR_SET_TIMERSLACK, 1UL);
    mlockall(MCL_CURRENT);
    struct sched_param priority = {.sched_priority = 50};
    sched_setscheduler(0, SCHED_FIFO, &priority);
    int client = tunnel(words[1]), server = tunnel(words[2]);
    configure(&ways[0], words[3], 88172645463325252ULL);
    configure(&ways[1], words[4], 2685821657736338717ULL);
    records = calloc(most_logged, sizeof *records);
    ways[0].in = ways[1].out = client;
    ways[0].out = ways[1].in = server;
    puts("ready");
    fflush(stdout);
    double latest = 0, turned = now();
    static struct outage stalls[most_stalls];
    int stall_count = 0;
    static unsigned char bytes[65536];
    while (!stopped) {
        double next = 0.01, turn = now();
        if (turn - turned > shortest_stall && began >= 0 && stall_count < most_stalls) stalls[stall_count++] = (struct outage){turned - began, turn - began};
        turned = turn;
        for (int index = 0; index < 2; index++) {
            struct direction *way = &ways[index];
            for (int burst = 0; burst < 64; burst++) {
                ssize_t length = read(way->in, bytes, sizeof bytes);
                if (length <= 0) break;
                arrive(way, bytes, (int)length);
            }
            while (way->first != way->next) {
                struct packet *packet = &way->waiting[way->order[way->first % most_waiting]];
                double late = now() - began - packet->due;
                if (late < 0) { if (-late < next) next = -late; break; }
                if (late > latest) latest = late;
                if (write(way->out, packet->bytes, packet->length) < 0) perror("link: write");
                if (packet->record < most_logged) records[packet->record].left = now() - began;
                way->first++;
            }
        }
        struct pollfd both[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
        struct timespec wait = {(time_t)next, (long)((next - (time_t)next) * 1e9)};
        ppoll(both, 2, &wait, NULL);
    }
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    double epoch = wall.tv_sec + wall.tv_nsec * 1e-9 - (now() - began);
    write_packets(words[5]);
    write_middle(words[5], epoch);
    printf("{\"epoch\": %.6f, \"latestMs\": %.3f, \"isLogFull\": %d, ", epoch, latest * 1e3, record_count == most_logged);
    printf("\"stalls\": [");
    for (int index = 0; index < stall_count; index++) printf("%s[%.3f, %.3f]", index ? ", " : "", stalls[index].from, stalls[index].to);
    printf("], ");
    tell("up", &ways[0], ", ");
    tell("down", &ways[1], "}\n");
    return 0;
}
