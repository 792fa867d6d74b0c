// answer: as many bytes as asked for, which depend on every byte of the question. Stands for whatever application a
// recorded conversation was with.
//
// Input: a decimal number of at most 16777216, a newline, then anything.
// Output: so many bytes. The FNV-1a hash of the input (64 bits) is the state of a linear congruential generator (the
// constants of MMIX); each step gives the upper four bytes of the new state, lowest first.
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long size_t;

void *malloc(size_t size);

#define MOST (1u << 24)

static long long result(const u8 *start, u32 length, int failed) {
    return (long long)((u64)failed << 63 | (u64)(size_t)start << 32 | length);
}

static long long failure(const char *text) {
    u32 length = 0;
    while (text[length]) length++;
    return result((const u8 *)text, length, 1);
}

__attribute__((export_name("run"))) long long run(const u8 *in, u32 length) {
    u32 wanted = 0, at = 0;
    while (at < length && in[at] >= '0' && in[at] <= '9') {
        wanted = wanted * 10 + (in[at++] - '0');
        if (wanted > MOST) return failure("an answer has at most 16777216 bytes");
    }
    if (at == 0 || at == length || in[at] != '\n') return failure("the first line must be the number of bytes to answer with");
    u64 state = 0xcbf29ce484222325;
    for (u32 i = 0; i < length; i++) state = (state ^ in[i]) * 0x100000001b3;
    // A multiple of four, so that the last step may write whole.
    u8 *out = malloc(((size_t)wanted + 4) & ~(size_t)3);
    if (!out) return failure("out of memory");
    for (u32 i = 0; i < wanted; i += 4) {
        state = state * 6364136223846793005 + 1442695040888963407;
        *(u32 *)(out + i) = (u32)(state >> 32);
    }
    return result(out, wanted, 0);
}
