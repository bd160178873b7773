/* network - the network of one container, when it has doors: made before it, named by path. */
#pragma once

#include "box/engine.h"
#include "io/proc.h"
#include "sandbox/doors.h"

/* While the container is being made. */
struct oci_network {
    struct proc helper; /* sits in the namespaces; pid 0: there is none */
    struct io_fd ctl;
    int fds[SANDBOX_DOOR_FDS_MAX]; /* the doors, until somebody takes them (then -1) */
    size_t n_fds;
};
#define OCI_NETWORK_NONE ((struct oci_network){.helper = {.pidfd = IO_FD_NONE}, .ctl = IO_FD_NONE})

/* Starts a helper in a fresh network namespace (an ordinary user's: and user namespace), in which the
 * doors of `spec` are open. Suspends. 0, or a negative code with words. */
int oci_network_make(struct oci_network *n, const struct sandbox_spec *spec, struct err *e)
    WARN_UNUSED;

/* Ends the helper and closes what nobody took: the network lives on in the container and the doors. */
void oci_network_done(struct oci_network *n);

/* The role `sallyport launch network`: the helper, whose standard input is the engine's socket. Returns
 * its exit status. */
int oci_network_main(void);
