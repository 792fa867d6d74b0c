// imagestats: width, height and the distribution of each channel of an image.
//
// Input: a PNG (any colour type, bit depth and interlacing), a binary PGM or PPM, or an uncompressed 24- or 32-bit BMP.
// Output: one JSON object:
//   {"bitDepth":8,"channels":[{"histogram":[16 counts],"max":255,"mean":127.50,"min":0,"name":"red"},…],
//    "format":"png","height":2,"width":2}
// Values are on a scale of 0 to 255 whatever the depth; a histogram has 16 equal bins over that scale.
#include "inflate.h"

typedef unsigned long long u64;

#define MAXIMUM_PIXELS (1u << 26)

struct channel { u64 sum; unsigned minimum, maximum; unsigned histogram[16]; };

static struct image {
    const char *format;
    u32 width, height;
    unsigned depth, channels;
    const char *names[4];
    struct channel channel[4];
} image;

static void count(unsigned channel, unsigned value) {
    struct channel *c = &image.channel[channel];
    c->sum += value;
    if (value < c->minimum) c->minimum = value;
    if (value > c->maximum) c->maximum = value;
    c->histogram[value >> 4]++;
}

static void set_channels(unsigned channels) {
    static const char *const colour[4] = {"red", "green", "blue", "alpha"};
    static const char *const grey[2] = {"grey", "alpha"};
    image.channels = channels;
    for (unsigned i = 0; i < channels; i++) {
        image.names[i] = channels <= 2 ? grey[i] : colour[i];
        image.channel[i].minimum = 255;
    }
}

static const char *check_size(void) {
    if (!image.width || !image.height) return "the image is empty";
    if ((u64)image.width * image.height > MAXIMUM_PIXELS) return "the image has more than 64 million pixels";
    return 0;
}

// PNG: https://www.w3.org/TR/png-3/

static u32 big32(const u8 *p) { return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3]; }

static unsigned predict(int a, int b, int c) {
    int p = a + b - c;
    int pa = p > a ? p - a : a - p, pb = p > b ? p - b : b - p, pc = p > c ? p - c : c - p;
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

// Undoes a row's filter in place. `above` is the row before it, already done, or 0.
static int unfilter(u8 *row, const u8 *above, u32 bytes, u32 step, unsigned filter) {
    for (u32 i = 0; i < bytes; i++) {
        unsigned left = i >= step ? row[i - step] : 0;
        unsigned up = above ? above[i] : 0;
        unsigned corner = above && i >= step ? above[i - step] : 0;
        switch (filter) {
        case 0: return 1;
        case 1: row[i] += left; break;
        case 2: row[i] += up; break;
        case 3: row[i] += (left + up) / 2; break;
        case 4: row[i] += predict(left, up, corner); break;
        default: return 0;
        }
    }
    return 1;
}

struct palette { u32 entries; u8 colour[256][3]; u8 alpha[256]; int transparent; };

static const char *png_row(const u8 *row, u32 width, unsigned samples, const struct palette *palette) {
    unsigned depth = image.depth;
    for (u32 x = 0; x < width; x++) {
        for (unsigned s = 0; s < samples; s++) {
            u32 index = x * samples + s;
            unsigned value;
            if (depth == 8) value = row[index];
            else if (depth == 16) value = row[index * 2];
            else value = row[index * depth / 8] >> (8 - depth - index * depth % 8) & ((1u << depth) - 1);
            if (palette) {
                if (value >= palette->entries) return "a pixel's colour is not in the palette";
                for (unsigned c = 0; c < 3; c++) count(c, palette->colour[value][c]);
                if (palette->transparent) count(3, palette->alpha[value]);
            } else {
                count(s, depth < 8 ? value * 255 / ((1u << depth) - 1) : value);
            }
        }
    }
    return 0;
}

static const char *png(const u8 *in, u32 length) {
    image.format = "png";
    static struct palette palette;
    for (unsigned i = 0; i < 256; i++) palette.alpha[i] = 255;
    u8 *packed = malloc(length);
    if (!packed) return "the image needs more memory than there is";
    u32 packed_length = 0;
    unsigned colour = 0, interlaced = 0;
    int has_header = 0, ended = 0;
    for (u32 at = 8; !ended && length - at >= 12;) {
        u32 size = big32(in + at), type = big32(in + at + 4);
        const u8 *data = in + at + 8;
        if (size > length - at - 12) return "the PNG is cut off";
        switch (type) {
        case 0x49484452:  // IHDR
            if (size < 13 || has_header) return "the PNG has a bad header";
            has_header = 1;
            image.width = big32(data), image.height = big32(data + 4);
            image.depth = data[8], colour = data[9], interlaced = data[12];
            if (data[10] || data[11] || interlaced > 1) return "the PNG uses an unknown method";
            break;
        case 0x504c5445:  // PLTE
            palette.entries = size / 3 > 256 ? 256 : size / 3;
            for (u32 i = 0; i < palette.entries * 3; i++) palette.colour[i / 3][i % 3] = data[i];
            break;
        case 0x74524e53:  // tRNS; for other colour types it names one transparent colour, which we do not count
            if (colour == 3) {
                palette.transparent = 1;
                for (u32 i = 0; i < size && i < 256; i++) palette.alpha[i] = data[i];
            }
            break;
        case 0x49444154:  // IDAT
            for (u32 i = 0; i < size; i++) packed[packed_length++] = data[i];
            break;
        case 0x49454e44: ended = 1; break;  // IEND
        default:
            if (!(type & 0x20000000)) return "the PNG has a critical chunk that is not known";
        }
        at += 12 + size;
    }
    if (!has_header) return "the PNG has no header";
    const char *error = check_size();
    if (error) return error;
    static const u8 samples_of[7] = {1, 0, 3, 1, 2, 0, 4};
    unsigned samples = colour < 7 ? samples_of[colour] : 0, d = image.depth;
    int depth_fits = d == 8 || (d == 16 && colour != 3) || ((d == 1 || d == 2 || d == 4) && (colour == 0 || colour == 3));
    if (!samples || !depth_fits) return "the PNG has an unknown colour type or depth";
    if (colour == 3 && !palette.entries) return "the PNG has no palette";
    set_channels(colour == 3 ? 3 + palette.transparent : samples);

    // An image that is not interlaced is one pass with these steps: the whole.
    static const u8 x0[8] = {0, 4, 0, 2, 0, 1, 0, 0}, y0[8] = {0, 0, 4, 0, 2, 0, 1, 0};
    static const u8 dx[8] = {8, 8, 4, 4, 2, 2, 1, 1}, dy[8] = {8, 8, 8, 4, 4, 2, 2, 1};
    unsigned pass0 = interlaced ? 0 : 7, pass1 = interlaced ? 7 : 8;
    u64 needed = 0;
    for (unsigned p = pass0; p < pass1; p++) {
        u64 w = image.width > x0[p] ? (image.width - x0[p] + dx[p] - 1) / dx[p] : 0;
        u64 h = image.height > y0[p] ? (image.height - y0[p] + dy[p] - 1) / dy[p] : 0;
        if (w && h) needed += h * (1 + (w * samples * d + 7) / 8);
    }
    if (needed > 0x30000000) return "the image needs more memory than there is";
    u8 *raw = malloc(needed);
    if (!raw) return "the image needs more memory than there is";
    if ((error = inflate_zlib(packed, packed_length, raw, needed))) return error;

    u32 step = samples * d / 8 ? samples * d / 8 : 1;
    u8 *row = raw;
    for (unsigned p = pass0; p < pass1; p++) {
        u32 w = image.width > x0[p] ? (image.width - x0[p] + dx[p] - 1) / dx[p] : 0;
        u32 h = image.height > y0[p] ? (image.height - y0[p] + dy[p] - 1) / dy[p] : 0;
        if (!w || !h) continue;
        u32 bytes = ((u64)w * samples * d + 7) / 8;
        const u8 *above = 0;
        for (u32 y = 0; y < h; y++, row += bytes + 1) {
            if (!unfilter(row + 1, above, bytes, step, row[0])) return "the PNG uses an unknown filter";
            if ((error = png_row(row + 1, w, samples, colour == 3 ? &palette : 0))) return error;
            above = row + 1;
        }
    }
    return 0;
}

// PGM and PPM: https://netpbm.sourceforge.net/doc/ppm.html

static u32 number(const u8 *in, u32 length, u32 *at) {
    while (*at < length && (in[*at] <= ' ' || in[*at] == '#')) {
        if (in[*at] == '#') while (*at < length && in[*at] != '\n') ++*at;
        else ++*at;
    }
    u32 value = 0;
    while (*at < length && in[*at] >= '0' && in[*at] <= '9' && value < 100000000) value = value * 10 + (in[(*at)++] - '0');
    return value;
}

static const char *netpbm(const u8 *in, u32 length) {
    unsigned samples = in[1] == '5' ? 1 : 3;
    image.format = samples == 1 ? "pgm" : "ppm";
    u32 at = 2;
    image.width = number(in, length, &at);
    image.height = number(in, length, &at);
    u32 scale = number(in, length, &at);
    at++;
    const char *error = check_size();
    if (error) return error;
    if (!scale || scale > 65535) return "the image's largest value must be from 1 to 65535";
    unsigned bytes = scale > 255 ? 2 : 1;
    u64 values = (u64)image.width * image.height * samples;
    image.depth = 8 * bytes;
    if (at > length || length - at < values * bytes) return "the image is cut off";
    set_channels(samples);
    for (u32 i = 0; i < values; i++, at += bytes) {
        u32 value = bytes == 2 ? (u32)in[at] << 8 | in[at + 1] : in[at];
        count(i % samples, (value > scale ? scale : value) * 255 / scale);
    }
    return 0;
}

static u32 little32(const u8 *p) { return (u32)p[3] << 24 | (u32)p[2] << 16 | (u32)p[1] << 8 | p[0]; }

static const char *bmp(const u8 *in, u32 length) {
    image.format = "bmp";
    if (length < 54) return "the BMP is cut off";
    u32 start = little32(in + 10), height = little32(in + 22), bits = in[28] | in[29] << 8, method = little32(in + 30);
    image.width = little32(in + 18);
    image.height = height & 0x80000000 ? -height : height;  // negative: rows from the top, which changes no count
    image.depth = 8;
    const char *error = check_size();
    if (error) return error;
    if ((bits != 24 && bits != 32) || (method != 0 && !(method == 3 && bits == 32)))
        return "only uncompressed BMPs of 24 or 32 bits are read";
    u64 row = ((u64)image.width * bits / 8 + 3) & ~3ull;
    if (start > length || length - start < row * image.height) return "the BMP is cut off";
    set_channels(3);
    for (u32 y = 0; y < image.height; y++)
        for (u32 x = 0; x < image.width; x++)
            for (unsigned c = 0; c < 3; c++) count(2 - c, in[start + y * row + x * (bits / 8) + c]);
    return 0;
}

static u8 *out;

static void text(const char *s) { while (*s) *out++ = *s++; }
static void decimal(u64 value) {
    u8 digits[20];
    unsigned n = 0;
    do digits[n++] = '0' + value % 10; while (value /= 10);
    while (n) *out++ = digits[--n];
}

static long long answer(const u8 *start, u32 length, int failed) {
    return (long long)((u64)failed << 63 | (u64)(size_t)start << 32 | length);
}

__attribute__((export_name("run"))) long long run(const u8 *in, u32 length) {
    const char *error = "not a PNG, PGM, PPM or BMP image";
    if (length >= 8 && big32(in) == 0x89504e47 && big32(in + 4) == 0x0d0a1a0a) error = png(in, length);
    else if (length >= 2 && in[0] == 'P' && (in[1] == '5' || in[1] == '6')) error = netpbm(in, length);
    else if (length >= 2 && in[0] == 'B' && in[1] == 'M') error = bmp(in, length);
    if (error) {
        u32 n = 0;
        while (error[n]) n++;
        return answer((const u8 *)error, n, 1);
    }
    static u8 json[2048];
    out = json;
    u64 pixels = (u64)image.width * image.height;
    text("{\"bitDepth\":"), decimal(image.depth), text(",\"channels\":[");
    for (unsigned i = 0; i < image.channels; i++) {
        struct channel *c = &image.channel[i];
        u64 hundredths = (c->sum * 100 + pixels / 2) / pixels;
        text(i ? ",{\"histogram\":[" : "{\"histogram\":[");
        for (unsigned b = 0; b < 16; b++) {
            if (b) text(",");
            decimal(c->histogram[b]);
        }
        text("],\"max\":"), decimal(c->maximum), text(",\"mean\":"), decimal(hundredths / 100), text(".");
        decimal(hundredths / 10 % 10), decimal(hundredths % 10);
        text(",\"min\":"), decimal(c->minimum), text(",\"name\":\""), text(image.names[i]), text("\"}");
    }
    text("],\"format\":\""), text(image.format), text("\",\"height\":"), decimal(image.height);
    text(",\"width\":"), decimal(image.width), text("}\n");
    return answer(json, out - json, 0);
}
