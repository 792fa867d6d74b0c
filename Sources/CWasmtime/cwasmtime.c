#include "cwasmtime.h"
#include <dlfcn.h>
#include <stdio.h>

struct cwasmtime_table cwasmtime_table;

bool cwasmtime_bind(const char *path, char *reason, size_t reason_size) {
    // Local, so that its symbols cannot satisfy or shadow those of anything else in the process.
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        snprintf(reason, reason_size, "%s", why ? why : "dlopen failed");
        return false;
    }
    struct cwasmtime_table table;
#define BIND(result, name, parameters, arguments) \
    *(void **)&table.name = dlsym(library, #name); \
    if (!table.name) { \
        snprintf(reason, reason_size, "symbol %s is missing", #name); \
        dlclose(library); \
        return false; \
    }
    CWASMTIME_FUNCTIONS(BIND)
#undef BIND
    cwasmtime_table = table;
    return true;
}
