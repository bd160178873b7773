/* stock - what a sandbox needs and does not depend on its specification, made while the zygote is
 * idle: a network namespace, a range of uids, a cgroup. Together they are a quarter of a cold
 * start.
 *
 * Nothing here is a used thing: each is handed out once, to one sandbox, and made anew. When there
 * is none in stock it is made on the spot. */
#pragma once

#include "sandbox/cgroup/cgroup.h"
#include "sandbox/zygote/uids.h"

struct err;

/* A group without processes, and what a sandbox needs of it. */
struct stock_group {
    struct cgroup cgroup; /* name "": no limits by groups here, or none in stock */
    int oom_fd, stat_fd;  /* see cgroup_oom_fd, cgroup_stat_fd; -1 */
    struct cgroup_entry entry;
};
#define STOCK_GROUP_NONE                                                                           \
    ((struct stock_group){.oom_fd = -1, .stat_fd = -1, .entry = CGROUP_ENTRY_NONE})
/* Closes the descriptors. The group stays. */
void stock_group_close(struct stock_group *g);

struct stock {
    const struct uids *uids;     /* NULL as an ordinary user: no ranges */
    struct cgroup_root *cgroups; /* the caller's */
    int proc;                    /* the caller's: procfs of the machine, or -1 */
    int host_net;                /* network namespace of the machine, where uids are reserved; -1 */
    bool can_return;   /* to host_net; root of a container may not own the machine's network */
    bool in_fresh_net; /* the zygote sits in a network namespace that nobody has used, lo is up */
    bool has_routes;   /* and those of synthetic addresses (net/capture.h) */
    int uid_lock;      /* of `first_uid`, or -1: none in stock */
    uint32_t first_uid;
    struct stock_group group; /* made for `limits` */
    struct cgroup_limits limits;
    bool have_limits; /* of the last sandbox: the next one is likely to want the same */
};

/* `uids` may be NULL. Negative with words when the machine's network
 * namespace cannot be opened. */
int stock_init(struct stock *a, const struct uids *uids, struct cgroup_root *cgroups, struct err *e)
    WARN_UNUSED;
void stock_done(struct stock *a);

/* Makes what is missing. Failures are left to the next sandbox, which makes its own and says why it
 * cannot. */
void stock_prepare(struct stock *a);

/* The next range of uids (see uids_take). */
int stock_take_uids(struct stock *a, uint32_t *ret_first, int *ret_lock, struct err *e) WARN_UNUSED;

/* True: the calling process is in a fresh network namespace with lo up, which the next clone may
 * simply inherit; the caller must make that clone and no other before it calls anything here again.
 * False: clone into a new one. `routes`: only one that has those of synthetic addresses. */
bool stock_take_net(struct stock *a, bool routes);

/* A group with these limits. */
int stock_take_group(struct stock *a, const struct cgroup_limits *l, struct stock_group *ret,
                     struct err *e) WARN_UNUSED;
