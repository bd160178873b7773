/* egress.c - libraries and certificates that only egress uses, each opened as egress would.
 *
 * Called by doctor.c in its own process, which ends soon after: what is opened stays open. Whether a
 * boundary holds is not found out here but by the worker, which tries it from inside a sandbox each
 * time it starts. */
#include "cmd/doctor/egress.h"

#include "base/err.h"
#include "cmd/doctor/report.h"
#include "egress/lock/lock.h"
#include "egress/policy/idna.h"
#include "egress/scrub/inflate.h"
#include "http/pipe/pipe.h"
#include "io/tls.h"
#include "sandbox/lock/syscall_filter.h"

#include <unistd.h>

#define GROUP "The way out of sandboxes"

static void add(struct doctor_report *r, const char *id, const char *title, int code,
                const struct err *e, const char *lost, const char *fix)
{
    if (code >= 0)
        doctor_add_plain(r, GROUP, id, title, "opened");
    else
        doctor_add(r, GROUP, id, title, DOCTOR_NOTE, mem_strdup(e->msg), mem_strdup(lost),
                   mem_strdup(fix));
}

static void check_trust(struct doctor_report *r)
{
    struct err e = {.code = 0};
    struct tls_trust *t = tls_trust_new(NULL, &e);
    add(r, "egress_trust", "trusted certificates", t ? 0 : e.code, &e,
        "No origin can be verified, so none is reached over TLS.", "install ca-certificates");
    tls_trust_free(t);
}

static void check_rights(struct doctor_report *r)
{
    const char *text = geteuid() == 0 ? "run as a user of their own"
                                      : "run as this user, and are closed to its other processes";
    doctor_add(r, GROUP, "egress_rights", "its processes", DOCTOR_OK, mem_strdup(text), NULL, NULL);
}

void doctor_check_egress(struct doctor_report *r)
{
    static const char lost[] = "No worker with egress: and no exec with --allow can start.";
    struct err e = {.code = 0};
    add(r, "egress_h2", "nghttp2", http_pipe_open(&e), &e, lost,
        "install libnghttp2 (Debian: libnghttp2-14)");
    add(r, "egress_idna", "libidn2", idna_open(&e), &e, lost,
        "install libidn2 (Debian: libidn2-0)");
    add(r, "egress_codings", "zlib, brotli, zstd", inflate_open_all(&e), &e, lost,
        "install zlib, brotli and zstd (Debian: zlib1g libbrotli1 libzstd1)");
    add(r, "egress_filter", "libseccomp", syscall_filter_load(&e), &e, lost,
        "install libseccomp (Debian: libseccomp2)");
    check_trust(r);
    check_rights(r);
}
