/* scratch - a data directory for one test, removed with what a database leaves in it. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct scratch {
    char dir[128];
};

static inline void scratch_init(struct scratch *s)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(s->dir, sizeof(s->dir), "%.80s/sp-store-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(s->dir))
        abort();
}

static inline const char *scratch_file(const struct scratch *s, const char *name)
{
    static char path[192];
    snprintf(path, sizeof(path), "%s/%s", s->dir, name);
    return path;
}

static inline void scratch_done(struct scratch *s)
{
    const char *names[] = {"sallyport.db", "sallyport.db-wal", "sallyport.db-shm",
                           "sallyport.lock"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(scratch_file(s, names[i]));
    rmdir(s->dir);
}
