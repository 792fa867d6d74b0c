// DEFLATE (RFC 1951) inside zlib (RFC 1950).
#include "inflate.h"

struct input { const u8 *at, *end; u32 bits, count, overrun; };

// Makes at least 16 bits available; past the end they are zeros, and `overrun` counts the bytes that were not there.
static inline void refill(struct input *in) {
    while (in->count < 16) {
        if (in->at < in->end) in->bits |= (u32)*in->at++ << in->count;
        else in->overrun++;
        in->count += 8;
    }
}

static inline void drop(struct input *in, u32 count) {
    in->bits >>= count;
    in->count -= count;
}

static inline u32 take(struct input *in, u32 count) {
    refill(in);
    u32 value = in->bits & ((1u << count) - 1);
    drop(in, count);
    return value;
}

// Whether bits were used that the input does not have.
static int exhausted(const struct input *in) { return in->overrun * 8 > in->count; }

#define FAST 9

// A canonical Huffman code: how many codes there are of each length, the symbols in the order of their codes, and for
// the next FAST bits the symbol and length (symbol << 4 | length) of the code they start with, 0 if it is longer.
struct code { unsigned short counts[16], symbols[288], fast[1 << FAST]; };

// Returns 0 when lengths claim more codes than exist. Fewer are allowed: one distance code is usual.
static int build(struct code *code, const u8 *lengths, u32 count) {
    unsigned short offsets[16], next[16];
    for (u32 i = 0; i < 16; i++) code->counts[i] = 0;
    for (u32 i = 0; i < count; i++) code->counts[lengths[i]]++;
    code->counts[0] = 0;
    int left = 1;
    u32 first = 0;
    offsets[0] = 0;
    for (u32 i = 1; i < 16; i++) {
        left = left * 2 - code->counts[i];
        if (left < 0) return 0;
        offsets[i] = offsets[i - 1] + code->counts[i - 1];
        first = (first + code->counts[i - 1]) << 1;
        next[i] = first;
    }
    for (u32 i = 0; i < 1 << FAST; i++) code->fast[i] = 0;
    for (u32 i = 0; i < count; i++) {
        u32 length = lengths[i];
        if (!length) continue;
        code->symbols[offsets[length]++] = i;
        u32 bits = next[length]++, reversed = 0;
        if (length > FAST) continue;
        for (u32 b = 0; b < length; b++) reversed |= (bits >> b & 1) << (length - 1 - b);
        for (u32 b = reversed; b < 1 << FAST; b += 1u << length) code->fast[b] = i << 4 | length;
    }
    return 1;
}

// -1 when the bits are no code.
static int symbol(struct input *in, const struct code *code) {
    refill(in);
    u32 entry = code->fast[in->bits & ((1 << FAST) - 1)];
    if (entry) {
        drop(in, entry & 15);
        return entry >> 4;
    }
    int value = 0, first = 0, index = 0;
    for (u32 length = 1; length < 16; length++) {
        value |= in->bits & 1;
        drop(in, 1);
        int count = code->counts[length];
        if (value - first < count) return code->symbols[index + value - first];
        index += count;
        first = (first + count) << 1;
        value <<= 1;
    }
    return -1;
}

static const char broken[] = "the compressed data is damaged";
static const char short_input[] = "the compressed data is cut off";

static int read_codes(struct input *in, struct code *literals, struct code *distances) {
    static const u8 order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    u8 lengths[320] = {0};
    u32 literal_count = take(in, 5) + 257, distance_count = take(in, 5) + 1, length_count = take(in, 4) + 4;
    if (literal_count > 286 || distance_count > 30) return 0;
    for (u32 i = 0; i < length_count; i++) lengths[order[i]] = take(in, 3);
    if (!build(literals, lengths, 19)) return 0;
    u8 all[320] = {0};
    for (u32 i = 0; i < literal_count + distance_count;) {
        int s = symbol(in, literals);
        if (s < 0 || exhausted(in)) return 0;
        if (s < 16) { all[i++] = s; continue; }
        u8 value = 0;
        u32 repeat;
        if (s == 16) {
            if (!i) return 0;
            value = all[i - 1];
            repeat = 3 + take(in, 2);
        } else repeat = s == 17 ? 3 + take(in, 3) : 11 + take(in, 7);
        if (repeat > literal_count + distance_count - i) return 0;
        while (repeat--) all[i++] = value;
    }
    return build(literals, all, literal_count) && build(distances, all + literal_count, distance_count);
}

static void fixed_codes(struct code *literals, struct code *distances) {
    u8 lengths[288];
    for (u32 i = 0; i < 288; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    build(literals, lengths, 288);
    for (u32 i = 0; i < 30; i++) lengths[i] = 5;
    build(distances, lengths, 30);
}

const char *inflate_zlib(const u8 *in_bytes, u32 length, u8 *out, u32 room) {
    static const unsigned short length_base[29] = {3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51,
        59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const u8 length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5,
        5, 0};
    static const unsigned short distance_base[30] = {1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257,
        385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    static struct code literals, distances;
    if (length < 6) return short_input;
    if ((in_bytes[0] & 15) != 8 || (in_bytes[0] * 256 + in_bytes[1]) % 31 || in_bytes[1] & 32) return broken;
    struct input in = {in_bytes + 2, in_bytes + length, 0, 0, 0};
    u32 done = 0, final;
    do {
        final = take(&in, 1);
        u32 kind = take(&in, 2);
        if (exhausted(&in)) return short_input;
        if (kind == 0) {
            in.at -= in.count / 8 - in.overrun;  // whole bytes that were read ahead
            in.bits = in.count = in.overrun = 0;
            if (in.end - in.at < 4) return short_input;
            u32 size = in.at[0] | in.at[1] << 8, check = in.at[2] | in.at[3] << 8;
            in.at += 4;
            if (size != (check ^ 0xffff)) return broken;
            if (size > (u32)(in.end - in.at)) return short_input;
            if (size > room - done) return broken;
            while (size--) out[done++] = *in.at++;
            continue;
        }
        if (kind == 3) return broken;
        if (kind == 1) fixed_codes(&literals, &distances);
        else if (!read_codes(&in, &literals, &distances)) return exhausted(&in) ? short_input : broken;
        for (;;) {
            int s = symbol(&in, &literals);
            if (exhausted(&in)) return short_input;
            if (s < 0) return broken;
            if (s == 256) break;
            if (s < 256) {
                if (done == room) return broken;
                out[done++] = s;
                continue;
            }
            if (s > 285) return broken;
            u32 size = length_base[s - 257] + take(&in, length_extra[s - 257]);
            int d = symbol(&in, &distances);
            if (d < 0 || d > 29) return exhausted(&in) ? short_input : broken;
            u32 extra = d < 4 ? 0 : d / 2 - 1;
            u32 distance = distance_base[d] + take(&in, extra);
            if (distance > done || size > room - done) return broken;
            for (; size; size--, done++) out[done] = out[done - distance];
        }
    } while (!final);
    if (done != room) return "the compressed data is shorter than the image";
    if (exhausted(&in)) return short_input;
    in.at -= in.count / 8 - in.overrun;
    if (in.end - in.at < 4) return short_input;
    u32 a = 1, b = 0;
    for (u32 i = 0; i < room; i++) {
        a += out[i];
        if (a >= 65521) a -= 65521;
        b += a;
        if (b >= 65521) b -= 65521;
    }
    u32 expected = (u32)in.at[0] << 24 | (u32)in.at[1] << 16 | (u32)in.at[2] << 8 | in.at[3];
    return expected == (b << 16 | a) ? 0 : "the image's checksum is wrong";
}
