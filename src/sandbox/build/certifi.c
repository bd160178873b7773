/* certifi.c - cacert.pem of pythons that do not ask the system.
 *
 * Called by contents.c and by an OCI engine for a root that trusts a certificate of its boundary. The
 * packages of distributions link these files to the system's bundle, which trust.c has changed; pip
 * brings a copy, which requests finds by a variable but httpx, the one under the SDKs of models, does
 * not. Each copy is covered by one with the certificate: in images and on the host's system, never
 * written to. What is installed later, in a virtual environment say, is not seen.
 *
 * Only usual places, since this is done at each start: a walk over a whole system would take longer
 * than all the rest. */
#include "sandbox/build/certifi.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "sandbox/mounts.h"
#include "sandbox/spec.h"

#define FILE_MAX_BYTES (4u << 20) /* that of 2026 has 290 KB */
#define NAMES_MAX      2000       /* entries of a directory that are looked at */

/* In which there are directories like "python3.12". */
static const char *const libraries[] = {"usr/local/lib",      "opt/venv/lib",  "venv/lib",
                                        "app/venv/lib",       "app/.venv/lib", "opt/conda/lib",
                                        "opt/miniconda3/lib", "opt/python/lib"};
static const char *const below[] = {"site-packages/certifi/cacert.pem",
                                    "dist-packages/certifi/cacert.pem"};
static const char *const files[] = {"opt/conda/ssl/cacert.pem", "opt/miniconda3/ssl/cacert.pem"};

void certifi_done(struct certifi *c)
{
    while (c->n > 0)
        free(c->path[--c->n]);
}

/* A path: it is only opened for reading when it is known to be a file. */
static bool readable(int system, const char *path)
{
    AUTO_CLOSE int there = mounts_open(system, path, O_PATH);
    struct stat st;
    if (there < 0 || fstat(there, &st) < 0 || !S_ISREG(st.st_mode) ||
        st.st_size > (off_t)FILE_MAX_BYTES)
        return false;
    AUTO_CLOSE int fd = mounts_open(system, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    return fd >= 0;
}

static void add(int system, struct certifi *c, char *path)
{
    AUTO_FREE char *owned = path;
    if (c->n < CERTIFI_MAX && str_is_utf8(owned, strlen(owned)) && readable(system, owned))
        c->path[c->n++] = TAKE(owned);
}

static void look_in(int system, struct certifi *c, const char *library)
{
    AUTO_CLOSE int fd = mounts_open(system, library, O_RDONLY | O_DIRECTORY);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d)
        return;
    fd = -1; /* d's */
    size_t left = NAMES_MAX;
    for (struct dirent *de; left > 0 && (de = readdir(d)); left--)
        for (size_t i = 0; str_starts(de->d_name, "python3") && i < ARRAY_LEN(below); i++)
            add(system, c, mem_printf("%s/%s/%s", library, de->d_name, below[i]));
    closedir(d);
}

void certifi_find(int system, struct certifi *ret)
{
    *ret = (struct certifi){.n = 0};
    for (size_t i = 0; i < ARRAY_LEN(libraries); i++)
        look_in(system, ret, libraries[i]);
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        add(system, ret, mem_strdup(files[i]));
}

int certifi_text(int system, const char *path, const struct sandbox_spec *spec, struct buf *ret)
{
    AUTO_CLOSE int fd = mounts_open(system, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return fd < 0 ? fd : -errno;
    if (!S_ISREG(st.st_mode) || st.st_size > (off_t)FILE_MAX_BYTES)
        return -EFBIG;
    for (;;) {
        char *room = buf_room(ret, 65536);
        ssize_t n = room ? read(fd, room, 65536) : 0;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        buf_commit(ret, (size_t)n);
    }
    if (ret->len && ret->data[ret->len - 1] != '\n')
        buf_addc(ret, '\n');
    buf_adds(ret, spec->ca_pem);
    return buf_err(ret);
}
