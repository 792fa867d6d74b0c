#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/// Starts a program by posix_spawn(3): its streams are the three descriptors given, it has no other of ours, no signal is blocked,
/// and those that end a program do.
///
/// @param directory where it starts; NULL is here.
/// @param own_group whether it leads a process group of its own.
/// @return 0, or errno's number.
int mast_start(
    pid_t *pid, const char *path, char *const arguments[], char *const environment[], const char *directory,
    const int descriptors[3], bool own_group);

/// Both ends are closed in programs that are started. @return 0, or errno's number.
int mast_pipe(int ends[2]);

/// Takes from this process, for good, what a calculation does not need: it opens no further file or socket, starts no
/// process, gains no rights, leaves no core; it has that much more memory and that much time of a processor in all, waits
/// behind everything else for a processor, and is the first to go when the machine has no memory left.
///
/// @param memory bytes beside what it has now.
/// @param seconds after which SIGXCPU ends it.
/// @return 0, or errno's number.
int mast_confine(size_t memory, unsigned seconds);
