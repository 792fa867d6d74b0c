#pragma once

#include <stdint.h>

/// Allocations by the calling thread since it began; 0 for ever where they are not counted.
uint64_t allocations_here(void);

/// Bytes that the calling thread has taken and not given back since it began, with what the allocator adds to each; less than zero for
/// one that gives back what others took. 0 for ever where they are not counted.
int64_t allocated_here(void);

/// Whether they are counted: in a program for glibc that no sanitizer watches.
int allocations_are_counted(void);
