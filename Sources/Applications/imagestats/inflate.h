#pragma once
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long size_t;

void *malloc(size_t size);

// Unpacks a zlib stream (RFC 1950) into exactly `room` bytes. Returns 0, or what is wrong.
const char *inflate_zlib(const u8 *in, u32 length, u8 *out, u32 room);
