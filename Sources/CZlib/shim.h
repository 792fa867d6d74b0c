#ifndef MAST_CZLIB_H
#define MAST_CZLIB_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <zlib.h>

/// A file or pipe, unpacked while it is read if it is gzip, as it is if not.
struct mast_unpacked {
    gzFile file;
    /// Bytes looked at before the stream was opened; the stream gives them again.
    unsigned char head[4];
    int head_bytes;
    int head_given;
    /// Why unpacking stopped early; empty if it did not.
    char error[128];
};

// What was unpacked before the break counts; the break is told apart from the end by `error`.
static inline void mast_unpacked_note_error(struct mast_unpacked *self) {
    int code = Z_OK;
    const char *text = gzerror(self->file, &code);
    if (code != Z_OK && code != Z_STREAM_END && self->error[0] == 0 && text != NULL) {
        strncpy(self->error, text, sizeof self->error - 1);
    }
}

/// - Returns: NULL when there is no memory. `descriptor` is closed with the stream.
static inline struct mast_unpacked *mast_unpacked_open(int descriptor) {
    struct mast_unpacked *self = calloc(1, sizeof *self);
    if (self == NULL) return NULL;
    self->file = gzdopen(descriptor, "rb");
    if (self->file == NULL) {
        free(self);
        return NULL;
    }
    gzbuffer(self->file, 1 << 17);
    int got = gzread(self->file, self->head, sizeof self->head);
    self->head_bytes = got > 0 ? got : 0;
    mast_unpacked_note_error(self);
    return self;
}

static inline long mast_unpacked_read(struct mast_unpacked *self, char *bytes, size_t size) {
    if (self->head_given < self->head_bytes) {
        size_t rest = (size_t)(self->head_bytes - self->head_given);
        size_t count = rest < size ? rest : size;
        memcpy(bytes, self->head + self->head_given, count);
        self->head_given += (int)count;
        return (long)count;
    }
    int got = gzread(self->file, bytes, size > (1u << 30) ? (1u << 30) : (unsigned)size);
    mast_unpacked_note_error(self);
    return got > 0 ? got : 0;
}

static inline int mast_unpacked_close(struct mast_unpacked *self) {
    if (self->file == NULL) return 0;
    int result = gzclose(self->file);
    self->file = NULL;
    return result == Z_OK ? 0 : -1;
}

#if defined(__linux__)
#include <stdio_ext.h>

// fopencookie(3) under a name of our own: the system's headers show it only with _GNU_SOURCE, which would make other
// declarations differ from those that the rest of the program sees.
struct mast_cookie_functions {
    ssize_t (*read)(void *, char *, size_t);
    ssize_t (*write)(void *, const char *, size_t);
    int (*seek)(void *, int64_t *, int);
    int (*close)(void *);
};
extern FILE *mast_fopencookie(void *cookie, const char *mode, struct mast_cookie_functions functions) __asm__("fopencookie");

static inline ssize_t mast_unpacked_cookie_read(void *self, char *bytes, size_t size) {
    return mast_unpacked_read((struct mast_unpacked *)self, bytes, size);
}
#else
static inline int mast_unpacked_cookie_read(void *self, char *bytes, int size) {
    return (int)mast_unpacked_read((struct mast_unpacked *)self, bytes, size < 0 ? 0 : (size_t)size);
}
#endif

static inline int mast_unpacked_cookie_close(void *self) { return mast_unpacked_close((struct mast_unpacked *)self); }

/// The stream over `self`; closing it closes the file, and leaves `self` to `mast_unpacked_free`.
static inline FILE *mast_unpacked_stream(struct mast_unpacked *self) {
#if defined(__linux__)
    struct mast_cookie_functions functions = {0};
    functions.read = mast_unpacked_cookie_read;
    functions.close = mast_unpacked_cookie_close;
    FILE *stream = mast_fopencookie(self, "rb", functions);
    // It is one reader's, who asks for two small pieces of each record: locks would cost more than they.
    if (stream != NULL) __fsetlocking(stream, FSETLOCKING_BYCALLER);
    return stream;
#else
    return funopen(self, mast_unpacked_cookie_read, NULL, NULL, mast_unpacked_cookie_close);
#endif
}

static inline void mast_unpacked_free(struct mast_unpacked *self) {
    mast_unpacked_close(self);
    free(self);
}

#endif
