/* examine_start.c - files and directories that a gateway opens before it serves, beside its certificate.
 *
 * On the doctor's fiber; what blocks runs on a thread. Each is opened by the function that the keeper or the
 * gateway opens it with, or by one that looks at the same and makes nothing: so what is refused there is refused
 * here with the same words, for the user who asks, who is to be the gateway's. Pins are read as the operator's file and
 * may be damaged; of the audit log the end is read, whether somebody writes it or not. */
#include "audit/writer.h"
#include "io/file.h"
#include "io/pool.h"
#include "io/tls.h"
#include "tunnel/gateway/control.h"
#include "tunnel/gateway/examine_internal.h"
#include "tunnel/gateway/face.h"
#include "tunnel/gateway/pins_file.h"
#include "tunnel/gateway/state_dir.h"

#include <string.h>
#include <sys/un.h>

static const char lost[] = "the gateway does not start";

struct look {
    const struct gateway_config *config;
    const char *dir, *path; /* of the state; of pins */
    bool there;             /* the file is */
    struct err err;
};

/* On a thread, like the next ones. */
static int look_at_trust(void *arg)
{
    struct look *d = arg;
    struct tls_trust *trust = NULL;
    int r = face_client_trust(d->config, &trust, &d->err);
    tls_trust_free(trust);
    return r;
}

static int look_at_dir(void *arg)
{
    struct look *d = arg;
    int r = state_dir_check(d->dir, &d->err);
    if (r < 0)
        return r;
    if (strlen(d->dir) + sizeof("/" CONTROL_SOCKET) > sizeof(((struct sockaddr_un *)0)->sun_path))
        return err_set(&d->err, -ENAMETOOLONG, "%s is too long a path for the control socket in it",
                       d->dir);
    r = file_can_make_in(d->dir, &d->err);
    return r < 0 ? err_wrap(&d->err, r, "state_dir") : 0;
}

static int look_at_pins(void *arg)
{
    struct look *d = arg;
    struct pins p;
    AUTO_FREE char *text = NULL;
    size_t n;
    int r = state_dir_read(d->path, &text, &n, &d->err);
    if (r < 0 || !text)
        return r;
    pins_init(&p);
    r = pins_file_read(&p, d->path, text, n, &d->err);
    pins_done(&p);
    d->there = true;
    return r;
}

static int look_at_log(void *arg)
{
    struct look *d = arg;
    return audit_writer_look(d->config->audit_file, &d->err);
}

/* ---- words ---- */

static void tell_client_ca(struct examine *x)
{
    const char *path = x->config->client_ca_file;
    struct look d = {.config = x->config};
    if (!path)
        return;
    if (pool_call(x->pool, look_at_trust, &d) < 0)
        TELL(x, EXAMINE_FILES, "client_ca_file", "client_ca_file", FINDING_FAIL, lost,
             "name a file with the certificates (PEM) of the authorities that sign callers; "
             "without tls.client_ca_file callers need none",
             "%s", d.err.msg);
    else
        TELL(x, EXAMINE_FILES, "client_ca_file", "client_ca_file", FINDING_OK, NULL, NULL,
             "%s: a caller has to be signed by what is in it", path);
}

static void tell_pins(struct examine *x, struct look *d)
{
    AUTO_FREE char *fix = mem_printf("put back a copy of %s; or move it away: then the first list "
                                     "of each route is trusted again   (and its owner: the "
                                     "gateway's user; mode 600)",
                                     d->path);
    if (pool_call(x->pool, look_at_pins, d) < 0)
        TELL(x, EXAMINE_FILES, "pins_file", "pins", FINDING_FAIL, lost, fix, "%s", d->err.msg);
    else
        TELL(x, EXAMINE_FILES, "pins_file", "pins", FINDING_OK, NULL, NULL,
             d->there ? "%s can be read" : "there is no %s yet: nothing is pinned", d->path);
}

static void tell_state(struct examine *x)
{
    AUTO_FREE char *dir = state_dir_of(x->config, x->o->config_path);
    AUTO_FREE char *path = mem_printf("%s/" PINS_FILE, dir);
    AUTO_FREE char *fix = mem_printf("mkdir -m 700 %s; chmod 700 %s   (and its owner: the "
                                     "gateway's user); or state_dir: DIR",
                                     dir, dir);
    struct look d = {.config = x->config, .dir = dir, .path = path};
    if (!x->config->keeps_state)
        return;
    if (pool_call(x->pool, look_at_dir, &d) < 0) {
        TELL(x, EXAMINE_FILES, "state_dir", "state_dir", FINDING_FAIL, lost, fix, "%s", d.err.msg);
        TELL(x, EXAMINE_FILES, "pins_file", "pins", FINDING_UNTRIED, NULL, NULL,
             "the state directory cannot be used");
        return;
    }
    TELL(x, EXAMINE_FILES, "state_dir", "state_dir", FINDING_OK, NULL, NULL,
         "%s, writable for nobody else", dir);
    tell_pins(x, &d);
}

static void tell_audit(struct examine *x)
{
    const char *path = x->config->audit_file;
    struct look d = {.config = x->config};
    if (!path)
        return;
    AUTO_FREE char *fix = mem_printf(
        "let the gateway's user write %s and make files beside it (is there such a directory?); or "
        "name another file in audit.file",
        path);
    if (pool_call(x->pool, look_at_log, &d) < 0)
        TELL(x, EXAMINE_FILES, "audit_file", "audit.file", FINDING_FAIL, lost, fix, "%s",
             d.err.msg[0] ? d.err.msg : "it cannot be opened");
    else
        TELL(x, EXAMINE_FILES, "audit_file", "audit.file", FINDING_OK, NULL, NULL,
             "%s can be written", path);
}

void examine_start(struct examine *x)
{
    tell_client_ca(x);
    examine_keys(x);
    tell_state(x);
    tell_audit(x);
}
