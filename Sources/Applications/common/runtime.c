// What a freestanding application needs below it: memory, and the few C functions that compilers call by name.
// A general allocator of power-of-two blocks; each block is preceded by 16 bytes that hold its class.
typedef unsigned long size_t;
typedef unsigned char byte;

extern byte __heap_base;

static byte *top;
static byte *freed[32];

static byte *grow(size_t size) {
    if (!top) top = (byte *)(((size_t)&__heap_base + 15) & ~(size_t)15);
    size_t end = (size_t)top + size;
    if (end < size) return 0;
    size_t have = __builtin_wasm_memory_size(0) << 16;
    if (end > have) {
        // Twice as much as is missing, so that small steps do not grow memory one page at a time; what is missing
        // when there is no more.
        size_t pages = (end - have + 0xffff) >> 16;
        if (__builtin_wasm_memory_grow(0, pages * 2) == (size_t)-1 &&
            __builtin_wasm_memory_grow(0, pages) == (size_t)-1) return 0;
    }
    byte *block = top;
    top += size;
    return block;
}

void *malloc(size_t size) {
    if (size > 0x40000000) return 0;
    unsigned class = 5;
    while (((size_t)1 << class) < size + 16) class++;
    byte *block = freed[class];
    if (block) freed[class] = *(byte **)(block + 16);
    else if (!(block = grow((size_t)1 << class))) return 0;
    *(unsigned *)block = class;
    return block + 16;
}

void free(void *address) {
    if (!address) return;
    byte *block = (byte *)address - 16;
    unsigned class = *(unsigned *)block;
    *(byte **)(block + 16) = freed[class];
    freed[class] = block;
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    // Blocks are aligned to 16; nothing here asks for more.
    void *block = alignment <= 16 ? malloc(size) : 0;
    // Swift does not check, and would write through zero.
    if (!block) __builtin_trap();
    *out = block;
    return 0;
}

void *memcpy(void *restrict to, const void *restrict from, size_t count) {
    byte *t = to;
    const byte *f = from;
    while (count >= 8 && !(((size_t)t | (size_t)f) & 7)) {
        *(unsigned long long *)t = *(const unsigned long long *)f;
        t += 8, f += 8, count -= 8;
    }
    while (count--) *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t count) {
    byte *t = to;
    const byte *f = from;
    if (t <= f || t >= f + count) return memcpy(to, from, count);
    while (count--) t[count] = f[count];
    return to;
}

void *memset(void *to, int value, size_t count) {
    byte *t = to;
    while (count--) *t++ = (byte)value;
    return to;
}

int memcmp(const void *a, const void *b, size_t count) {
    const byte *x = a, *y = b;
    for (size_t i = 0; i < count; i++) if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    return 0;
}

// Swift's overflow check of a 64-bit multiplication wants the 128-bit product.
__int128 __multi3(__int128 a, __int128 b) {
    typedef unsigned long long u64;
    u64 al = (u64)a, bl = (u64)b, a0 = (unsigned)al, a1 = al >> 32, b0 = (unsigned)bl, b1 = bl >> 32;
    u64 low = a0 * b0, middle = a1 * b0 + (low >> 32), other = a0 * b1 + (unsigned)middle;
    u64 high = a1 * b1 + (middle >> 32) + (other >> 32);
    high += (u64)(a >> 64) * bl + al * (u64)(b >> 64);
    return (__int128)((unsigned __int128)high << 64 | (other << 32 | (unsigned)low));
}

// Chance would make two runs differ.
void arc4random_buf(void *to, size_t count) { memset(to, 0x5a, count); }

__attribute__((export_name("mast_alloc"))) void *mast_alloc(size_t count) { return malloc(count); }
