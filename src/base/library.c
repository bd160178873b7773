/* library.c - dlopen and dlsym, with words.
 *
 * Called by the wrapper file of a library, on any thread, once (the caller sees to that). A library
 * is never closed: most leave thread-local and at-exit state behind. A missing library or function
 * is an error of packaging and is reported by name. */
#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

#include "base/err.h"

int library_open(const char *file, const char *package, const struct library_symbol *symbols,
                 size_t n, void *table, struct err *e)
{
    void *lib = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        return err_set(e, -ENOENT, "%s cannot be opened (%s); install the package %s", file,
                       dlerror(), package);
    for (size_t i = 0; i < n; i++) {
        void *p = dlsym(lib, symbols[i].name);
        if (!p)
            return err_set(e, -ENOENT, "%s has no function %s; it is too old", file,
                           symbols[i].name);
        memcpy((char *)table + symbols[i].offset, &p, sizeof(p));
    }
    return 0;
}

void library_find(const char *file, const char *name, void *ret)
{
    void *lib = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD); /* it stays open anyway */
    void *p = lib ? dlsym(lib, name) : NULL;
    memcpy(ret, &p, sizeof(p));
}
