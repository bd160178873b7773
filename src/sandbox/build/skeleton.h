/* skeleton - what every root assembled from the host's /usr consists of, besides mounts. */
#pragma once

#include "sandbox/sandbox.h"

struct err;

/* Makes the directories of the top level and the links among them in the directory `root`, with the
 * modes that the umask leaves; what exists already stays. 0, or a negative code with words. */
int skeleton_frame(int root, struct err *e) WARN_UNUSED;

/* The same, with the modes that they should have, whatever the umask. */
int skeleton_directories(int root, struct err *e) WARN_UNUSED;

/* Makes the file `path` (0644), which must not exist. 0 or -errno. */
int skeleton_write_file(int root, const char *path, const void *p, size_t n) WARN_UNUSED;
/* What the link says, or NULL when it is not one. The caller's. */
char *skeleton_link_target(int dirfd, const char *name);

/* Top-level directories of the system besides usr, relative; NULL-terminated. They are links into
 * /usr on merged systems and directories elsewhere. */
#define SKELETON_SYSTEM_DIRS 6
extern const char *const skeleton_system_dirs[SKELETON_SYSTEM_DIRS + 1];

/* Directories below /var that packages fill for programs to read, relative; NULL-terminated. Where
 * the host has them they are shown read-only; nothing else of its /var is. */
#define SKELETON_VAR_DIRS 11
extern const char *const skeleton_var_dirs[SKELETON_VAR_DIRS + 1];
/* Whether this host's is one to show: a directory that everybody may read. */
bool skeleton_var_dir_ok(const char *path);

/* Files of /etc that every assembled root gets; those with in_images replace an image's own. Ends
 * with a NULL path. */
struct skeleton_etc {
    const char *path, *text;
    bool in_images;
};
extern const struct skeleton_etc skeleton_etc[];
#define SKELETON_PASSWD_LINE                                                                       \
    SANDBOX_USER ":x:1000:1000:" SANDBOX_USER ":" SANDBOX_HOME ":/bin/bash\n"
#define SKELETON_GROUP_LINE SANDBOX_USER ":x:1000:\n"
