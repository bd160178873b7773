/* making - what is open while a sandbox is being made. */
#pragma once

#include "sandbox/net/capture.h"
#include "sandbox/spec.h"
#include "sandbox/zygote/idmap.h"
#include "sandbox/zygote/stock.h"
#include "sandbox/zygote/sweeps.h"

struct err;
struct own_layer;
struct rootfs;
struct seccomp_filter;

struct making {
    struct sandbox_spec spec;
    bool have_spec;
    int channel[2], go[2], workspace, root, usr, own, uid_lock, pidfd;
    int *binds;
    struct idmap map;  /* of its user namespace */
    uint32_t host_uid; /* its user's */
    struct stock_group group;
    bool net_ready;             /* the network is one made ahead */
    struct capture_doors doors; /* of the network made ahead; of another, init opens them */
    const struct seccomp_filter *filter;
    struct sweeps sweeps;
};
#define MAKING_NONE                                                                                \
    ((struct making){.channel = {-1, -1},                                                          \
                     .go = {-1, -1},                                                               \
                     .workspace = -1,                                                              \
                     .root = -1,                                                                   \
                     .usr = -1,                                                                    \
                     .own = -1,                                                                    \
                     .group = STOCK_GROUP_NONE,                                                    \
                     .uid_lock = -1,                                                               \
                     .pidfd = -1})
void making_done(struct making *m);

/* Opens what the specification names of the host, as detached mounts: the layers of the root, the
 * workspace, binds. The ids are chosen. `own`: of the zygote;
 * `proc`: a verified procfs; `as_root`: sandboxes have users of
 * their own. 0, or a negative code with words. */
int making_open_sources(struct making *m, const struct rootfs *host, struct own_layer *own,
                        int proc, bool as_root, struct err *e) WARN_UNUSED;
