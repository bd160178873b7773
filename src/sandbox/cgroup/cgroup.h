/* cgroup - memory, processor and process limits of one sandbox by control groups: version 2 where
 * it is delegated to us, version 1 controllers on hybrid hosts, nothing where neither can be
 * written (then rlimits and init's own looks at /proc are all there is).
 *
 * Used by the zygote, init and doctor. Groups are made below the zygote's own group of each
 * hierarchy, in "sallyport-<16 hex digits>/<n>": the first part is one run of a zygote, held by an
 * abstract socket of that name (as in uids.c), so that a later run can remove what a killed one
 * has left. */
#pragma once

#include "base/base.h"
#include <sys/types.h>

struct err;

enum cgroup_kind { CGROUP_MEMORY, CGROUP_CPU, CGROUP_PIDS, CGROUP_KINDS };

struct cgroup_root {
    /* The run's directory for each controller, -1 where there is none; on version 2 all three are
     * the same descriptor. */
    int dir[CGROUP_KINDS];
    int version[CGROUP_KINDS]; /* 1 or 2; 0: none */
    int lock;                  /* abstract socket that says this run lives */
    uint64_t next;
    char name[40]; /* "sallyport-..." */
    /* Why a controller is missing or what a limit does not cover, whole sentences for logs and
     * `doctor`; NULL: nothing to say. */
    char *why_not;
};
#define CGROUP_ROOT_NONE ((struct cgroup_root){.dir = {-1, -1, -1}, .lock = -1})

struct cgroup_limits {
    uint64_t memory_bytes; /* everything charged to the group, swap included; 0: no limit */
    uint64_t cpu_milli;    /* 0: no limit */
    uint64_t processes;    /* threads count, too; 0: no limit */
};

/* One sandbox's groups. */
struct cgroup {
    char name[24]; /* of the directory below each root; "" when there is none */
};

/* Finds hierarchies, removes what dead runs left, makes this run's groups. Must be called
 * while the host's /proc and /sys are visible. The absence of cgroups is no error: *ret
 * then has version 0 and why_not for those kinds. Negative only when something that
 * worked half could not be undone. */
int cgroup_root_open(struct cgroup_root *ret, struct err *e) WARN_UNUSED;
/* The same in two parts: without setting each kind of limit once to see whether the kernel can. Who
 * makes a single group sees that by its failure, and asks then: kinds that do not work are given up
 * (version 0, why_not), and the group can be made again. */
int cgroup_root_open_untried(struct cgroup_root *ret, struct err *e) WARN_UNUSED;
int cgroup_root_try(struct cgroup_root *r, struct err *e) WARN_UNUSED;
/* Removes the run's groups (they must be empty of processes) and
 * closes. CGROUP_ROOT_NONE is fine. */
void cgroup_root_done(struct cgroup_root *r);

/* Makes a group with these limits in every hierarchy there is. On failure nothing is left. */
int cgroup_make(struct cgroup_root *r, const struct cgroup_limits *l, struct cgroup *ret,
                struct err *e) WARN_UNUSED;
/* Where threads go in: a tasks or cgroup.procs of each hierarchy, open for writing (-1: none). The
 * kernel checks the rights of the process that opened it, so a descriptor is all that init's
 * children need to go in. */
struct cgroup_entry {
    int fd[CGROUP_KINDS];
};
#define CGROUP_ENTRY_NONE ((struct cgroup_entry){.fd = {-1, -1, -1}})
int cgroup_open_doors(const struct cgroup_root *r, const struct cgroup *g, struct cgroup_entry *ret,
                      struct err *e) WARN_UNUSED;
void cgroup_entry_done(struct cgroup_entry *d);
/* Moves the calling process, which must be single-threaded, and with it what it will fork, into the
 * group. 0 or -errno. Async-signal-safe: it is called after vfork. */
int cgroup_enter(const struct cgroup_entry *d) WARN_UNUSED;

/* A read-only descriptor of the file that counts out-of-memory kills
 * (memory.events or memory.oom_control), or -1. The caller's. It may be handed
 * into the sandbox: it tells a number. */
int cgroup_oom_fd(const struct cgroup_root *r, const struct cgroup *g);
/* The number in such a file: kills so far; 0 when it cannot be read. */
uint64_t cgroup_oom_kills(int oom_fd);

/* Likewise a descriptor of memory.stat. */
int cgroup_stat_fd(const struct cgroup_root *r, const struct cgroup *g);
struct cgroup_memory {
    uint64_t anonymous_bytes; /* programs' own */
    uint64_t shared_bytes;    /* tmpfs, memfd and System V segments, mapped or not */
};
/* False when it cannot be read or does not look like one. Parsing is split off for tests. */
bool cgroup_read_memory(int stat_fd, struct cgroup_memory *ret);
bool cgroup_parse_memory(const char *text, struct cgroup_memory *ret);

/* Removes the group once its processes have been reaped; zombies of grandchildren may need a
 * moment: 0, or -EBUSY (try again later). */
int cgroup_remove(const struct cgroup_root *r, const struct cgroup *g);
