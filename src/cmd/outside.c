/* outside.c - between two rooms that do not know each other: box, and the client of egress.
 *
 * Called on the fibers that open and close boxes. Placeholders come from the keeper and go into the
 * sandbox's environment; sockets come from the sandbox and go to the keeper. No secret passes. */
#include "cmd/outside.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "egress/capture/doors.h"
#include "egress/keeper/try.h"
#include "sandbox/spec.h"

static bool has_env(const struct sandbox_spec *s, const char *name)
{
    const size_t n = strlen(name);
    for (size_t i = 0; i < s->n_env; i++)
        if (strncmp(s->env[i], name, n) == 0 && s->env[i][n] == '=')
            return true;
    return false;
}

/* Programs take the first of two: it could be the very secret that is to stay outside. */
static int add_placeholder(struct sandbox_spec *s, const char *name, const char *text,
                           struct err *e)
{
    return has_env(s, name)
               ? err_set(e, -EINVAL,
                         "env: %.64s is set for the sandbox, and is a credential of the policy, "
                         "too; leave it out of --env (or the image), or name the credential "
                         "otherwise",
                         name)
               : sandbox_spec_add_env(s, name, text, e);
}

static int add_all(const struct egress_grant *g, struct sandbox_spec *spec, struct err *e)
{
    const char *name;
    json_t *text;
    int r = 0;
    json_object_foreach (g->env, name, text)
        if (r >= 0)
            r = add_placeholder(spec, name, json_string_value(text), e);
    if (r >= 0)
        r = sandbox_spec_set_ca(spec, g->ca_pem, NULL, e);
    for (size_t i = 0; r >= 0 && i < g->n_doors; i++) {
        const struct egress_door *d = &g->doors[i];
        r = sandbox_spec_add_door(spec, d->udp ? SANDBOX_DOOR_UDP : SANDBOX_DOOR_TCP,
                                  str_eq(d->address, DOOR_ANY) ? NULL : d->address, d->port, e);
    }
    return r;
}

static int grant(void *arg, struct sandbox_spec *spec, char ret_id[BOX_OUTSIDE_ID], struct err *e)
{
    struct egress_grant g;
    int r = egress_grant(arg, &g, e);
    if (r < 0)
        return r;
    r = add_all(&g, spec, e);
    if (r < 0)
        egress_release(arg, g.binding);
    else
        str_copy(ret_id, BOX_OUTSIDE_ID, g.binding);
    egress_grant_done(&g);
    return r;
}

static int bind_doors(void *arg, const char *id, const struct box_door *doors, size_t n,
                      struct err *e)
{
    int fds[SANDBOX_DOOR_FDS_MAX];
    size_t made = 0;
    while (made < n && (fds[made] = fcntl(doors[made].fd, F_DUPFD_CLOEXEC, 3)) >= 0)
        made++;
    if (made == n)
        return egress_bind(arg, id, fds, n, e);
    int r = -errno;
    while (made > 0)
        fd_cleanup_close(&fds[--made]);
    return err_set(e, r, "a sandbox's sockets could not be handed to egress: %s", err_text(r));
}

static void set_session(void *arg, const char *id, const char *session)
{
    egress_set_session(arg, id, session);
}

static void set_call(void *arg, const char *id, const char *call, const char *tool)
{
    egress_set_call(arg, id, call, tool);
}

static void release(void *arg, const char *id)
{
    egress_release(arg, id);
}

int outside_name_file(const char *file, int code, struct err *e)
{
    struct err words = {.code = 0};
    struct policy *p = NULL;
    if (!file || (code != -EINVAL && code != -E_PARSE && code != -E_LIMIT && code != -E_TLS))
        return code;
    if (egress_try_file(file, &p, &words) < 0 && e)
        *e = words;
    policy_unref(p);
    return code;
}

void outside_forget_variable(const char *name)
{
    char *value = getenv(name);
    if (!value)
        return;
    explicit_bzero(value, strlen(value)); /* in /proc/PID/environ, too */
    unsetenv(name);
}

struct box_outside outside_of(struct egress *eg)
{
    return (struct box_outside){.grant = grant,
                                .bind = bind_doors,
                                .session = set_session,
                                .call = set_call,
                                .release = release,
                                .arg = eg};
}
