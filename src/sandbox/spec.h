/* spec - what one sandbox is made of: the worker writes it, the zygote reads it. */
#pragma once

#include "base/base.h"
#include "base/json.h"
#include "sandbox/doors.h"

struct err;

#define SANDBOX_BINDS_MAX 64
#define SANDBOX_CA_MAX    16384

struct sandbox_bind {
    char *source; /* absolute path on the host, "." and ".." refused */
    char *
        target; /* absolute path inside; not below a system directory (build/root.c has the list) */
    bool write;
    /* Writable with what programs of the host act on by themselves (orders/names.c). */
    bool all;
    bool socket; /* a Unix socket, on which a program of the host listens; never without its name */
};

/* Who programs are inside. Neither has a capability; root is the name only, for images and tools
 * that look at the uid. */
enum sandbox_user { SANDBOX_USER_AGENT /* 1000 */, SANDBOX_USER_ROOT /* 0 */ };

enum sandbox_network {
    SANDBOX_NET_LOOPBACK, /* a loopback of its own and nothing else */
    SANDBOX_NET_NONE,     /* not even that: lo stays down, TCP is refused by Landlock, too */
};

struct sandbox_limits {
    uint64_t processes;       /* RLIMIT_NPROC, counted per sandbox */
    uint64_t open_files;      /* RLIMIT_NOFILE */
    uint64_t memory_bytes;    /* anonymous memory of all processes together; watched by init */
    uint64_t file_bytes;      /* RLIMIT_FSIZE; 0: no limit but the file system's size */
    uint64_t tmp_bytes;       /* size of /tmp */
    uint64_t workspace_bytes; /* size of /workspace when it is not a host directory */
    uint64_t output_bytes;    /* what one command may print before it is stopped */
    uint64_t cpu_milli;       /* thousandths of a core for all processes together; 0: no limit */
    uint64_t call_ms;         /* wall clock of one call, whatever it grants itself; 0: no limit */
    uint64_t session_ms;      /* wall clock of the sandbox from its first call on; 0: no limit */
};

struct sandbox_spec {
    char *workspace_dir; /* host directory to use as /workspace; NULL: a tmpfs */
    char *rootfs_dir;    /* host directory with a root file system; NULL: assembled from /usr */
    enum sandbox_user user;
    enum sandbox_network network;
    char **env; /* "NAME=value", added to the built-in environment; n_env of them */
    size_t n_env;
    struct sandbox_bind *binds;
    size_t n_binds;
    /* Listening sockets in its network that are held outside; not without a network. */
    struct sandbox_door *doors;
    size_t n_doors;
    /* Certificates that the sandbox trusts besides the system's: PEM, at most SANDBOX_CA_MAX bytes.
     * NULL: none. And OpenSSL's hash of the first one's name (crypto/cert_hash.h), eight digits; NULL:
     * no link for programs that look by it. */
    char *ca_pem, *ca_hash;
    struct sandbox_limits limits;
    bool program; /* for one program, not for tool calls: no shell is started ahead */
    bool report;  /* what the filter refuses is counted (init.h: denied) */
};

/* How many files a tmpfs of this size may hold, and what it may take of memory with what the kernel
 * keeps for so many: an empty file costs no byte of the size. */
uint64_t sandbox_tmpfs_files(uint64_t size_bytes);
uint64_t sandbox_tmpfs_bytes(uint64_t size_bytes);

/* Sets the defaults. */
void sandbox_spec_init(struct sandbox_spec *s);
void sandbox_spec_done(struct sandbox_spec *s);

/* Adds. Strings are copied. -EINVAL with words when a rule of the fields above is broken. The same bind
 * again changes nothing; the last one is the one added. */
int sandbox_spec_add_env(struct sandbox_spec *s, const char *name, const char *value, struct err *e)
    WARN_UNUSED;
int sandbox_spec_add_bind(struct sandbox_spec *s, const char *source, const char *target,
                          bool write, struct err *e) WARN_UNUSED;
/* One Unix socket of the host: the one thing outside that programs may connect to. */
int sandbox_spec_add_socket(struct sandbox_spec *s, const char *source, const char *target,
                            struct err *e) WARN_UNUSED;

/* A door more; checked with all others by sandbox_spec_check. `address` NULL: any. */
int sandbox_spec_add_door(struct sandbox_spec *s, enum sandbox_door_kind kind, const char *address,
                          uint16_t port, struct err *e) WARN_UNUSED;

/* Certificates to trust, in place of those there were; `hash` may be NULL. */
int sandbox_spec_set_ca(struct sandbox_spec *s, const char *pem, const char *hash, struct err *e)
    WARN_UNUSED;

/* What no single field can say: doors need a network, and no two may be at one place. Parsing does
 * so, too. 0, or -EINVAL with words. */
int sandbox_spec_check(const struct sandbox_spec *s, struct err *e) WARN_UNUSED;

/* Whether `place` (a path below `dir` of the host) lies in a bind that may be written with all. */
bool sandbox_spec_opens(const struct sandbox_spec *s, const char *dir, const char *place);
/* Whether programs can change files that are there after them, and on file systems where modes mean
 * something. */
bool sandbox_spec_writes_to_host(const struct sandbox_spec *s);

/* Puts binds into the order in which they can be mounted: what is mounted later covers what is below
 * it, so parents come first. Parsing does so. */
void sandbox_spec_sort_binds(struct sandbox_spec *s);

/* Both directions. Parsing refuses unknown keys, wrong types and out-of-range numbers (-EINVAL,
 * words). `ret` is initialised here and is the caller's to release on success only. */
int sandbox_spec_parse(const json_t *o, struct sandbox_spec *ret, struct err *e) WARN_UNUSED;
json_t *sandbox_spec_json(const struct sandbox_spec *s);

/* True for an absolute path without "." or ".." components, doubled or trailing slashes ("/"
 * excepted), shorter than PATH_MAX. */
bool sandbox_path_ok(const char *p);
