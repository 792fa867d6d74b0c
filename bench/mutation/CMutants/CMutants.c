#include "CMutants.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST_MUTANTS 65536

static unsigned char unwatched[MOST_MUTANTS];
int mutant_chosen;
unsigned char *mutant_reached = unwatched;

__attribute__((constructor)) static void mutants_begin(void) {
    const char *number = getenv("MAST_MUTANT");
    if (number) mutant_chosen = atoi(number);
    const char *path = getenv("MAST_MUTANT_REACHED");
    if (!path) return;
    int file = open(path, O_RDWR | O_CREAT, 0600);
    if (file < 0) abort();
    if (ftruncate(file, MOST_MUTANTS) != 0) abort();
    void *bytes = mmap(NULL, MOST_MUTANTS, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (bytes == MAP_FAILED) abort();
    mutant_reached = bytes;
    close(file);
}
