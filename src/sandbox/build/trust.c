/* trust.c - one certificate more among those that are trusted.
 *
 * Called while a root is made: in the clone that becomes a sandbox (root.c), and by an OCI engine for
 * the /etc of containers (box/oci/root.c). What programs read differs: one file with all certificates
 * (curl, git, Go, Node's and Python's builds of distributions), or a directory with links by a hash of
 * the name (OpenSSL). Each that the root has gets the certificate; none is made that was not there, but
 * for a root without any.
 *
 * An image is not trusted. Its files are read with its links followed inside of it, since
 * distributions link bundles to each other; what is written lies in the upper layer, at names whose
 * directories are no links. A bundle that is a link to one that has been written needs nothing more. */
#include "sandbox/build/trust.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "sandbox/build/jks.h"
#include "sandbox/build/layer.h"
#include "sandbox/mounts.h"
#include "sandbox/sandbox.h"

#define BUNDLE_MAX                                                                                 \
    (8u << 20)        /* that of Debian 12 has 220 KB, those with all of Mozilla's data 1 MB */
#define HASHES_MAX 10 /* certificates of one hash: "deadbeef.0" to "deadbeef.9" */

static const char *const bundles[] = {
    "etc/ssl/certs/ca-certificates.crt",                /* Debian, Arch, Alpine, Gentoo */
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL */
    "etc/ca-certificates/extracted/tls-ca-bundle.pem",  /* Arch */
    "etc/pki/tls/certs/ca-bundle.crt",                  /* older Fedora and RHEL */
    "etc/pki/tls/cert.pem",                             /* OpenSSL of Fedora */
    "etc/ssl/cert.pem",                                 /* Alpine, OpenSSL's own default */
    "etc/ssl/ca-bundle.pem",                            /* SUSE */
    "etc/ssl/certs/ca-bundle.crt",                      /* Nix */
};
static const char *const hashed_dirs[] = {"etc/ssl/certs", "etc/pki/tls/certs"};
/* From which update-ca-certificates and update-ca-trust make bundles. */
static const char *const sources[] = {"etc/pki/ca-trust/source/anchors",
                                      "etc/ca-certificates/trust-source/anchors"};

/* A root with one of these may have a Java. */
static const char *const javas[] = {"usr/bin/java", "usr/lib/jvm",          "opt/java",
                                    "usr/java",     "usr/local/openjdk-8",  "usr/local/openjdk-11",
                                    "opt/jdk",      "usr/local/openjdk-17", "opt/graalvm",
                                    "opt/ibm/java", "usr/local/sdkman",     "usr/local/bin/java"};

/* Files that have been written, and what they stand for. */
struct written {
    struct {
        dev_t dev;
        ino_t ino;
    } file[2 * ARRAY_LEN(bundles)];
    size_t n;
    const char *first; /* path of the first; NULL: none */
    struct buf *text;  /* what is in that */
};

static void remember(struct written *w, const struct stat *st)
{
    w->file[w->n].dev = st->st_dev;
    w->file[w->n++].ino = st->st_ino;
}

static bool is_written(const struct written *w, const struct stat *st)
{
    bool found = false;
    for (size_t i = 0; i < w->n; i++)
        found = found || (w->file[i].dev == st->st_dev && w->file[i].ino == st->st_ino);
    return found;
}

/* A regular file of the root, its links followed inside. -ENOENT when it is none. */
static int open_inside(int lower, const char *path, struct stat *ret)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    AUTO_CLOSE int fd = (int)syscall(SYS_openat2, lower, path, &how, sizeof(how));
    if (fd < 0 || fstat(fd, ret) < 0 || !S_ISREG(ret->st_mode))
        return -ENOENT;
    return TAKE_FD(fd);
}

static int read_all(int fd, struct buf *ret)
{
    for (;;) {
        char *room = buf_room(ret, 65536);
        ssize_t n = room ? read(fd, room, 65536) : 0;
        if (n < 0)
            return -errno;
        if (n == 0)
            return room ? 0 : buf_err(ret);
        buf_commit(ret, (size_t)n);
    }
}

/* Whether `path` is one without links on its way; with `last` its last part included. */
static bool is_direct(int lower, const char *path, bool last)
{
    AUTO_FREE char *p = mem_strdup(path);
    if (!last)
        *strrchr(p, '/') = '\0';
    AUTO_CLOSE int fd = mounts_open(lower, p, O_PATH);
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && (S_ISDIR(st.st_mode) || (last && S_ISREG(st.st_mode)));
}

/* Writes the bundle with the certificate at its end. `direct`: those that are files at their name; else
 * those that are links elsewhere. */
static int append(int lower, int upper, const char *path, bool direct,
                  const struct sandbox_spec *spec, struct written *w)
{
    struct stat st;
    if (is_direct(lower, path, true) != direct || !is_direct(lower, path, false))
        return 0;
    AUTO_CLOSE int fd = open_inside(lower, path, &st);
    if (fd < 0 || is_written(w, &st))
        return 0;
    AUTO(buf) text = BUF_INIT(BUNDLE_MAX);
    int r = read_all(fd, &text);
    if (r >= 0 && text.len && text.data[text.len - 1] != '\n')
        buf_addc(&text, '\n');
    buf_adds(&text, spec->ca_pem);
    if (r >= 0)
        r = buf_err(&text);
    remember(w, &st);
    if (r >= 0)
        r = layer_put(upper, path, buf_str(&text), text.len, &st);
    if (r < 0)
        return r;
    remember(w, &st);
    if (!w->first) {
        w->first = path;
        r = buf_add(w->text, buf_str(&text), text.len);
    }
    return r;
}

static int link_by_hash(int lower, int upper, const char *dir, const char *hash)
{
    AUTO_CLOSE int certs = mounts_open(lower, dir, O_PATH | O_DIRECTORY);
    for (int i = 0; certs >= 0 && i < HASHES_MAX; i++) {
        AUTO_FREE char *name = mem_printf("%s.%d", hash, i);
        AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
        struct stat st;
        if (fstatat(certs, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
            return layer_link(upper, path, SANDBOX_CA);
    }
    return 0; /* ten others of its name: it is in the bundle */
}

/* A root without any bundle gets one where most programs look. */
static int first_bundle(int lower, int upper, const struct sandbox_spec *spec)
{
    struct stat st;
    AUTO_CLOSE int certs = mounts_open(lower, "etc/ssl/certs", O_PATH),
                   ssl = mounts_open(lower, "etc/ssl", O_PATH);
    if ((certs < 0 && certs != -ENOENT) || (ssl < 0 && ssl != -ENOENT))
        return 0; /* links: to nowhere, or there would have been a bundle */
    return layer_put(upper, bundles[0], spec->ca_pem, strlen(spec->ca_pem), &st);
}

static bool has_java(int system)
{
    struct stat st;
    bool found = false;
    for (size_t i = 0; !found && i < ARRAY_LEN(javas); i++) {
        /* Links are not followed but inside; a link at the end counts. */
        AUTO_FREE char *dir = mem_strndup(javas[i], (size_t)(strrchr(javas[i], '/') - javas[i]));
        AUTO_CLOSE int fd = mounts_open(system, dir, O_PATH | O_DIRECTORY);
        found = fd >= 0 && fstatat(fd, strrchr(javas[i], '/') + 1, &st, AT_SYMLINK_NOFOLLOW) == 0;
    }
    return found;
}

static int write_java(int system, int upper, const struct written *w, const char *pem)
{
    if (!has_java(system))
        return 0;
    struct stat st;
    AUTO(buf) store = BUF_INIT(BUNDLE_MAX);
    int r = w->first ? jks_from_pem(&store, buf_str(w->text), w->text->len)
                     : jks_from_pem(&store, pem, strlen(pem));
    return r < 0 ? r : layer_put(upper, &SANDBOX_CA_JAVA[1], buf_str(&store), store.len, &st);
}

static int write_all(int lower, int system, int upper, const struct sandbox_spec *spec)
{
    AUTO(buf) first = BUF_INIT(BUNDLE_MAX);
    struct written w = {.text = &first};
    struct stat st;
    const size_t n = strlen(spec->ca_pem);
    int r = layer_put(upper, &SANDBOX_CA[1], spec->ca_pem, n, &st);
    for (int direct = 1; direct >= 0; direct--)
        for (size_t i = 0; r >= 0 && i < ARRAY_LEN(bundles); i++)
            r = append(lower, upper, bundles[i], direct, spec, &w);
    if (r >= 0 && !w.first)
        r = first_bundle(lower, upper, spec);
    if (r >= 0) {
        AUTO_FREE char *place = w.first ? mem_printf("/%s", w.first) : mem_strdup(SANDBOX_CA);
        r = layer_link(upper, &SANDBOX_CAS[1], place);
    }
    if (r >= 0)
        r = write_java(system, upper, &w, spec->ca_pem);
    for (size_t i = 0; r >= 0 && spec->ca_hash && i < ARRAY_LEN(hashed_dirs); i++)
        if (is_direct(lower, hashed_dirs[i], true))
            r = link_by_hash(lower, upper, hashed_dirs[i], spec->ca_hash);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(sources); i++)
        if (is_direct(lower, sources[i], true)) {
            AUTO_FREE char *path = mem_printf("%s/sallyport.crt", sources[i]);
            r = layer_put(upper, path, spec->ca_pem, n, &st);
        }
    /* Where /usr is the sandbox's own, too, for an update-ca-certificates that it may run or install. */
    if (r >= 0 && (spec->rootfs_dir || spec->user == SANDBOX_USER_ROOT) &&
        is_direct(lower, "usr/local/share", true))
        r = layer_put(upper, "usr/local/share/ca-certificates/sallyport.crt", spec->ca_pem, n, &st);
    return r;
}

int trust_write(int lower, int system, int upper, const struct sandbox_spec *spec, struct err *e)
{
    int r = spec->ca_pem ? write_all(lower, system, upper, spec) : 0;
    return r < 0 ? err_set(e, r,
                           "could not make the sandbox trust the certificate of its boundary: %s",
                           err_text(r))
                 : 0;
}
