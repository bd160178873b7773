/* walk - visiting a directory tree in name order, bounded in depth
 * and number, without recursion. */
#pragma once

#include "base/base.h"

#define WALK_MAX_DEPTH   40
#define WALK_MAX_ENTRIES 50000

enum walk_type { WALK_FILE, WALK_DIR, WALK_LINK }; /* other kinds of entries are never reported */
enum walk_verdict { WALK_SKIP, WALK_DESCEND, WALK_STOP };

struct walk_entry {
    const char *path; /* relative to where the walk began */
    const char *name; /* last part of it */
    int dirfd;        /* the directory that holds it */
    unsigned depth;   /* 0 for what lies directly below the start */
    enum walk_type type;
};

/* Visits everything below `fd` (a directory, which the walk closes). `visit` says whether to go
 * into a directory; for a link WALK_DESCEND goes into the directory it leads to. Directories that
 * cannot be read are passed over. Returns true when the walk was complete, false when WALK_STOP or
 * a ceiling ended it. */
bool walk_tree(int fd, enum walk_verdict (*visit)(void *arg, const struct walk_entry *e),
               void *arg);

/* ".git" and "node_modules": large, and hardly ever meant. */
bool walk_is_noise(const char *name);
