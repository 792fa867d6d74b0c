#include "allocations.h"

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WATCHED 1
#endif
#endif

#if defined(__linux__) && !defined(WATCHED)
#include <features.h>
#endif

#if defined(__GLIBC__) && !defined(WATCHED)
#include <errno.h>
#include <malloc.h>

// The program's own definitions take the place of the library's, which are called by their other names.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static _Thread_local uint64_t count;
static _Thread_local int64_t held;

// With the word that stands before each.
static int64_t size_of(void *memory) { return memory ? (int64_t)malloc_usable_size(memory) + 8 : 0; }

static void *counted(void *memory) {
    count++;
    held += size_of(memory);
    return memory;
}

void *malloc(size_t size) { return counted(__libc_malloc(size)); }

void *calloc(size_t number, size_t size) { return counted(__libc_calloc(number, size)); }

void *realloc(void *memory, size_t size) {
    int64_t before = size_of(memory);
    void *moved = __libc_realloc(memory, size);
    // Where there is no room for more, the old one stays.
    if (!moved && size) return NULL;
    held -= before;
    return counted(moved);
}

void *memalign(size_t alignment, size_t size) { return counted(__libc_memalign(alignment, size)); }

void free(void *memory) {
    held -= size_of(memory);
    __libc_free(memory);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **memory, size_t alignment, size_t size) {
    *memory = memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}

uint64_t allocations_here(void) { return count; }
int64_t allocated_here(void) { return held; }
int allocations_are_counted(void) { return 1; }
#else
uint64_t allocations_here(void) { return 0; }
int64_t allocated_here(void) { return 0; }
int allocations_are_counted(void) { return 0; }
#endif
