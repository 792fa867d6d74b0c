// Swift sees none of the extensions that these calls are.
#define _GNU_SOURCE
#include "CSpawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

static int set_up(
    posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, const char *directory, const int descriptors[3], bool own_group)
{
    int code = 0;
    for (int target = 0; target < 3 && code == 0; target++)
        code = posix_spawn_file_actions_adddup2(actions, descriptors[target], target);
    if (code == 0 && directory) code = posix_spawn_file_actions_addchdir_np(actions, directory);
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
#if defined(__APPLE__)
    flags |= POSIX_SPAWN_CLOEXEC_DEFAULT;
#elif defined(__GLIBC__)
    // Others of this program may open descriptors without O_CLOEXEC.
    if (code == 0) code = posix_spawn_file_actions_addclosefrom_np(actions, 3);
#endif
    sigset_t none, standard;
    sigemptyset(&none);
    sigemptyset(&standard);
    // Not SIGHUP: nohup is meant for children, too.
    const int ending[] = {SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGCHLD};
    for (unsigned index = 0; index < sizeof ending / sizeof *ending; index++) sigaddset(&standard, ending[index]);
    if (code == 0) code = posix_spawnattr_setsigmask(attributes, &none);
    if (code == 0) code = posix_spawnattr_setsigdefault(attributes, &standard);
    if (own_group) {
        flags |= POSIX_SPAWN_SETPGROUP;
        if (code == 0) code = posix_spawnattr_setpgroup(attributes, 0);
    }
    return code == 0 ? posix_spawnattr_setflags(attributes, flags) : code;
}

int mast_start(
    pid_t *pid, const char *path, char *const arguments[], char *const environment[], const char *directory,
    const int descriptors[3], bool own_group)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0) return code;
    code = posix_spawnattr_init(&attributes);
    if (code == 0) {
        code = set_up(&actions, &attributes, directory, descriptors, own_group);
        if (code == 0) code = posix_spawn(pid, path, &actions, &attributes, arguments, environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

int mast_pipe(int ends[2])
{
#if defined(__APPLE__)
    if (pipe(ends) != 0) return errno;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return 0;
#else
    return pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno;
#endif
}
