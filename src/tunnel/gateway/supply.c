/* supply.c - questions of a gateway to its keeper, one function each.
 *
 * Called on the gateway's fibers, from the start on; the only way in which it gets at a file, a secret or a
 * Unix socket. The keeper is trusted: it is what the gateway was before it gave its rights up. Still each
 * answer has to have the shape that was asked for, and descriptors that were not are closed. How long one
 * takes is up to the file, program or server behind it; who asks has a deadline. */
#include "tunnel/gateway/supply.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/limits.h"
#include "fiber/fiber.h"
#include "io/ctl.h"
#include "oauth/jwks.h"
#include "secret/source.h"
#include "tunnel/gateway/config.h"
#include "tunnel/gateway/messages.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define KEEP_MS 10000 /* a disk that hangs holds up no request for ever */
#define MARK_MS 30000

static int odd(struct err *e)
{
    return err_set(e, -E_PROTO, "the keeper's answer is none");
}

void supply_files_done(struct supply_files *f)
{
    fd_cleanup_close(&f->cert_fd);
    fd_cleanup_close(&f->key_fd);
    fd_cleanup_close(&f->ca_fd);
    fd_cleanup_close(&f->client_fd);
    fd_cleanup_close(&f->show_cert_fd);
    fd_cleanup_close(&f->show_key_fd);
    fd_cleanup_close(&f->keys_fd);
    free(f->text);
    *f = SUPPLY_FILES_NONE;
}

static int take_fd(struct ctl_fds *fds, size_t *at, bool there)
{
    if (!there)
        return -1;
    int *fd = &fds->fd[(*at)++];
    return TAKE_FD(*fd);
}

int supply_files(struct ctl *keeper, struct supply_files *ret, struct err *e)
{
    AUTO_JSON json_t *o = json_new_object(), *a = NULL;
    struct ctl_fds fds = {.n = 0};
    json_put_str(o, "op", "files");
    int r = ctl_ask(keeper, o, NULL, 0, &a, &fds, NULL, e);
    if (r < 0)
        return r;
    const bool one = json_get_bool(a, "one", false), ca = json_get_bool(a, "ca", false);
    const bool clients = json_get_bool(a, "clients", false), keys = json_get_bool(a, "keys", false);
    const int64_t shown = json_get_int(a, "shown", 0);
    struct supply_files f = SUPPLY_FILES_NONE;
    f.number = json_get_int(a, "number", 0);
    f.mark = (uint64_t)json_get_int(a, "mark", 0);
    const size_t others = (size_t)!one + ca + clients + keys;
    r = shown >= 0 && shown <= 2 && fds.n == 2 + others + (size_t)shown ? 0 : odd(e);
    if (r == 0 && (r = ctl_fd_text(fds.fd[0], LIMIT_YAML_BYTES, &f.text, &f.n)) < 0)
        r = err_set(e, r, "the configuration did not come whole: %s", err_text(r));
    if (r == 0) {
        size_t at = 1;
        f.key_fd = take_fd(&fds, &at, true);
        f.cert_fd = take_fd(&fds, &at, !one);
        f.ca_fd = take_fd(&fds, &at, ca);
        f.client_fd = take_fd(&fds, &at, clients);
        f.show_key_fd = take_fd(&fds, &at, shown > 0);
        f.show_cert_fd = take_fd(&fds, &at, shown > 1);
        f.keys_fd = take_fd(&fds, &at, keys);
        *ret = f;
    }
    ctl_fds_done(&fds);
    return r;
}

void supply_taken(struct ctl *keeper, int64_t number)
{
    AUTO_JSON json_t *o = json_new_object();
    json_put_str(o, "op", "taken");
    json_put_int(o, "number", number);
    (void)!ctl_tell(keeper, o, NULL, 0);
}

int supply_mark(struct ctl *keeper, uint64_t *ret, struct err *e)
{
    AUTO_JSON json_t *o = json_new_object(), *a = NULL;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(MARK_MS);
    json_put_str(o, "op", "mark");
    int r = ctl_ask(keeper, o, NULL, 0, &a, NULL, NULL, e);
    if (r == 0)
        *ret = (uint64_t)json_get_int(a, "mark", 0);
    return r;
}

static int ask_secret(struct ctl *keeper, json_t *o, struct secret *ret, struct err *e)
{
    AUTO_JSON json_t *a = NULL;
    struct secret tail = {0};
    int r = ctl_ask(keeper, o, NULL, 0, &a, NULL, &tail, e);
    if (r == 0 && tail.len == 0)
        r = odd(e);
    if (r == 0) {
        *ret = tail;
        tail = (struct secret){0};
    }
    secret_done(&tail);
    return r;
}

int supply_secret(void *keeper, const struct secret_question *q, struct secret *ret, struct err *e)
{
    AUTO_JSON json_t *o = json_new_object();
    json_put_str(o, "op", "secret");
    json_put(o, "source", json_deep_copy(q->config));
    if (q->subject)
        json_put_str(o, "subject", q->subject);
    if (q->refused)
        json_put_str(o, "refused", q->refused);
    return ask_secret(keeper, o, ret, e);
}

int supply_line(struct ctl *keeper, const char *field, struct secret *ret, struct err *e)
{
    AUTO_JSON json_t *o = json_new_object();
    json_put_str(o, "op", "line");
    json_put_str(o, "field", field);
    return ask_secret(keeper, o, ret, e);
}

/* -ENOENT without words: the answer has none. */
static int ask_fd(struct ctl *keeper, json_t *o, struct err *e)
{
    AUTO_JSON json_t *a = NULL;
    struct ctl_fds fds = {.n = 0};
    int r = ctl_ask(keeper, o, NULL, 0, &a, &fds, NULL, e);
    if (r == 0)
        r = fds.n ? TAKE_FD(fds.fd[0]) : -ENOENT;
    ctl_fds_done(&fds);
    return r;
}

int supply_connect(struct ctl *keeper, const char *path, struct err *e)
{
    AUTO_JSON json_t *o = json_new_object();
    json_put_str(o, "op", "connect");
    json_put_str(o, "path", path);
    int r = ask_fd(keeper, o, e);
    return r == -ENOENT && !(e && e->msg[0]) ? odd(e) : r;
}

int supply_stdio(void *keeper, const struct gateway_stdio *s, int *ret_fd, int *ret_leash,
                 struct err *e)
{
    AUTO_JSON json_t *o = json_new_object(), *a = NULL;
    struct ctl_fds fds = {.n = 0};
    json_put_str(o, "op", "stdio");
    json_put_str(o, "route", s->route);
    int r = ctl_ask(keeper, o, NULL, 0, &a, &fds, NULL, e);
    if (r == 0 && fds.n != 2)
        r = odd(e);
    if (r == 0) {
        *ret_fd = TAKE_FD(fds.fd[0]);
        *ret_leash = TAKE_FD(fds.fd[1]);
    }
    ctl_fds_done(&fds);
    return r;
}

int supply_audit(struct ctl *keeper, struct err *e)
{
    AUTO_JSON json_t *o = json_new_object();
    json_put_str(o, "op", "audit");
    return ask_fd(keeper, o, e);
}

/* ---- what is kept ---- */

void supply_state_done(struct supply_state *s)
{
    fd_cleanup_close(&s->control_fd);
    free(s->path);
    free(s->text);
    *s = SUPPLY_STATE_NONE;
}

int supply_state(struct ctl *keeper, struct supply_state *ret, struct err *e)
{
    AUTO_JSON json_t *o = json_new_object(), *a = NULL;
    struct ctl_fds fds = {.n = 0};
    json_put_str(o, "op", "state");
    int r = ctl_ask(keeper, o, NULL, 0, &a, &fds, NULL, e);
    if (r < 0)
        return r;
    const bool kept = json_get_bool(a, "kept", false);
    const char *path = json_get_str(a, "path");
    struct supply_state s = SUPPLY_STATE_NONE;
    r = path && fds.n == 1u + kept ? 0 : odd(e);
    if (r == 0 && kept && (r = ctl_fd_text(fds.fd[1], SUPPLY_KEPT_MAX, &s.text, &s.n)) < 0)
        r = err_set(e, r, "what is kept did not come whole: %s", err_text(r));
    if (r == 0) {
        s.path = mem_strdup(path);
        s.uid = (uid_t)json_get_int(a, "uid", 0);
        s.control_fd = TAKE_FD(fds.fd[0]);
        *ret = s;
    }
    ctl_fds_done(&fds);
    return r;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno != EINTR)
            return -errno;
        p += k > 0 ? k : 0;
        n -= k > 0 ? (size_t)k : 0;
    }
    return 0;
}

int supply_keep(struct ctl *keeper, const char *text, size_t n, struct err *e)
{
    AUTO_JSON json_t *sheet = json_new_object(), *keep = json_new_object(), *a = NULL;
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(KEEP_MS);
    json_put_str(sheet, "op", "sheet");
    json_put_str(keep, "op", "keep");
    {
        AUTO_CLOSE int fd = ask_fd(keeper, sheet, e);
        int r = fd < 0 ? fd : write_all(fd, text, n);
        if (r < 0)
            return e && e->msg[0] ? r : err_set(e, r, "cannot hand over: %s", err_text(r));
    }
    return ctl_ask(keeper, keep, NULL, 0, &a, NULL, NULL, e);
}

int supply_keys(void *keeper, const char *url, char **ret, size_t *ret_n, int64_t *ret_max_age_s,
                struct err *e)
{
    AUTO_JSON json_t *o = json_new_object(), *a = NULL;
    struct ctl_fds fds = {.n = 0};
    json_put_str(o, "op", "keys");
    json_put_str(o, "url", url);
    int r = ctl_ask(keeper, o, NULL, 0, &a, &fds, NULL, e);
    if (r == 0 && fds.n != 1)
        r = odd(e);
    else if (r == 0 && (r = ctl_fd_text(fds.fd[0], JWKS_BYTES_MAX, ret, ret_n)) < 0)
        r = err_set(e, r, "the keys did not come whole: %s", err_text(r));
    if (r == 0)
        *ret_max_age_s = json_get_int(a, "max_age", -1);
    ctl_fds_done(&fds);
    return r;
}

int supply_resolver(void *keeper, const char *path)
{
    AUTO_JSON json_t *o = json_new_object();
    struct err e = {0};
    json_put_str(o, "op", "resolver");
    json_put_str(o, "file", strcmp(path, "/etc/hosts") == 0 ? "hosts" : "resolv.conf");
    return ask_fd(keeper, o, &e);
}
