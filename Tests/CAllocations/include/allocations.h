#pragma once

#include <stdint.h>

/// Allocations by the calling thread since it began; 0 for ever where they are not counted.
uint64_t allocations_here(void);

/// Whether they are counted: in a program for glibc that no sanitizer watches.
int allocations_are_counted(void);
