#define _GNU_SOURCE
#include "CSpawn.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__linux__)
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#endif

// Soft and hard: nothing raises it again. Of what is limited already, the smaller.
static int limit(int resource, rlim_t most)
{
    struct rlimit now;
    if (getrlimit(resource, &now) != 0) return errno;
    struct rlimit next = {most, most};
    if (now.rlim_max < most) next.rlim_max = now.rlim_max;
    if (now.rlim_cur < next.rlim_cur) next.rlim_cur = now.rlim_cur;
    if (next.rlim_cur > next.rlim_max) next.rlim_cur = next.rlim_max;
    return setrlimit(resource, &next) == 0 ? 0 : errno;
}

#if defined(__linux__)
// What is mapped, and of that what is data and stacks, in bytes.
static int mapped(size_t *all, size_t *data)
{
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file) return errno;
    unsigned long pages[6];
    int found = fscanf(file, "%lu %lu %lu %lu %lu %lu", &pages[0], &pages[1], &pages[2], &pages[3], &pages[4], &pages[5]);
    fclose(file);
    if (found != 6) return EIO;
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    *all = pages[0] * size;
    *data = pages[5] * size;
    return 0;
}
#endif

int mast_confine(size_t memory, unsigned seconds)
{
    int code = 0;
    // Without the right to be kinder to others it calculates all the same.
    (void)!nice(10);
#if defined(__linux__)
    int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score >= 0) {
        (void)!write(score, "1000", 4);
        close(score);
    }
    size_t all, data;
    code = mapped(&all, &data);
    if (code == 0) code = limit(RLIMIT_AS, all + memory);
    if (code == 0) code = limit(RLIMIT_DATA, data + memory);
    if (code == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) code = errno;
#else
    if (code == 0) code = limit(RLIMIT_DATA, memory);
#endif
    // The hard limit's SIGKILL says less than the soft one's SIGXCPU.
    struct rlimit processor = {seconds, seconds + 5};
    if (code == 0 && setrlimit(RLIMIT_CPU, &processor) != 0) code = errno;
    if (code == 0) code = limit(RLIMIT_CORE, 0);
    if (code == 0) code = limit(RLIMIT_FSIZE, 0);
    if (code == 0) code = limit(RLIMIT_NPROC, 0);
    if (code == 0) code = limit(RLIMIT_NOFILE, 0);
    return code;
}
