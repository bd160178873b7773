/* egress.c - libraries and certificates that only egress uses, each opened as egress would.
 *
 * Called by doctor.c in its own process, which ends soon after: what is opened stays open. Becoming the
 * user of proxies is tried in a child. Whether a
 * boundary holds is not found out here but by the worker, which tries it from inside a sandbox each
 * time it starts. */
#include "cmd/doctor/egress.h"

#include "base/err.h"
#include "base/idna.h"
#include "cmd/doctor/probe_child.h"
#include "cmd/doctor/report.h"
#include "confine/confine.h"
#include "scrub/inflate.h"
#include "http/pipe/pipe.h"
#include "io/tls.h"
#include "sandbox/lock/syscall_filter.h"

#include <unistd.h>

#define GROUP "The way out of sandboxes"
#define LOST  "No worker with egress: and no exec with --allow can start."

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

static void change_user(const struct probe_input *in, struct probe *p)
{
    (void)in;
    int r = confine_user(CONFINE_UID_EGRESS, NULL);
    p->tried = true;
    p->value = r;
    errno = r < 0 ? -r : 0;
    (void)probe_failed(p, r, "becoming its user");
}

/* As a proxy does when it starts, in a child: it cannot be taken back. The child calls the kernel and
 * nothing that a thread of ours could hold a lock of. */
static void check_rights(struct doctor_report *r)
{
    static const char *const texts[] = {
        [CONFINE_USER_SAME] = "run as this user, and are closed to its other processes",
        [CONFINE_USER_OWN] = "run as a user of their own",
        [CONFINE_USER_UNKNOWN] = "stay root of this user namespace, which has no user for them",
    };
    const struct probe_input in = {.root = geteuid() == 0};
    struct probe p = {.error = 0};
    probe_in_child(change_user, &in, &p);
    if (!p.error && p.value >= 0 && (size_t)p.value < ARRAY_LEN(texts)) {
        doctor_add(r, GROUP, "egress_rights", "its processes", DOCTOR_OK,
                   mem_strdup(texts[p.value]), NULL, NULL);
        return;
    }
    doctor_add(r, GROUP, "egress_rights", "its processes", DOCTOR_NOTE,
               mem_printf("%s (%u): %s", p.step, CONFINE_UID_EGRESS, err_text(-p.error)),
               mem_strdup(LOST),
               mem_strdup("give this root CAP_SETUID and CAP_SETGID (containers: --cap-add=SETUID "
                          "--cap-add=SETGID), or run as an ordinary user"));
}

void doctor_check_egress(struct doctor_report *r)
{
    static const char lost[] = LOST;
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
