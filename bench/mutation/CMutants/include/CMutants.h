#ifndef CMUTANTS_H
#define CMUTANTS_H

// The one mutant that this process is; 0 is none. Read from MAST_MUTANT before main.
extern int mutant_chosen;
// A byte a mutant: 1 once its place was reached. A shared file when MAST_MUTANT_REACHED names one, so that it outlives a crash.
extern unsigned char *mutant_reached;

// Which of the `count` changes at the place `number` is wanted: 1, 2, …; 0 is the original.
static inline int mutantChoice(int number, int count) {
    mutant_reached[number] = 1;
    unsigned wanted = (unsigned)(mutant_chosen - number);
    return wanted < (unsigned)count ? (int)wanted + 1 : 0;
}

static inline _Bool mutantIs(int number) { return mutantChoice(number, 1) != 0; }

#endif
