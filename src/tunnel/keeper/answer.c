/* answer.c - what a gateway may ask of its keeper, and gets.
 *
 * Each question on a fiber of its own, notices on the channel's reader. The gateway may have been taken over by
 * a stranger's bytes: then it asks whatever it likes, as often as it likes. So it names fields and sources of
 * the configuration, never a path that is not in it; reading files happens one at a time; three sets are kept at
 * most; and what it gets it could have had anyway, since it needs all of it to do its work. A question that
 * it cannot have gets words, a notice that makes no sense ends the channel, and with it the gateway. */
#include "tunnel/keeper/internal.h"

#include "audit/server.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "io/sock.h"
#include "secret/source.h"
#include "secret/subjects.h"
#include "tunnel/gateway/environment.h"
#include "tunnel/gateway/dial.h"
#include "tunnel/gateway/messages.h"
#include "tunnel/gateway/reach.h"
#include "tunnel/keeper/files.h"
#include "tunnel/keeper/programs.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CONNECTING_MAX 128

/* ---- sets ---- */

static void set_free(struct keeper_set *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->config->n_routes; i++) {
        secret_subjects_free(s->subjects[i]);
        secret_source_unref(s->sources[i]);
    }
    free(s->subjects);
    free(s->sources);
    gateway_config_unref(s->config);
    free(s);
}

void keeper_sets_done(struct gateway_keeper *k)
{
    struct keeper_set *const all[] = {k->offered, k->used, k->before};
    k->offered = k->used = k->before = NULL;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        set_free(all[i]);
    gateway_config_unref(k->first);
    k->first = NULL;
}

static int set_new(struct gateway_keeper *k, struct gateway_config *c, struct keeper_set **ret,
                   struct err *e)
{
    struct keeper_set *s = mem_new(struct keeper_set);
    s->number = ++k->numbers;
    s->config = gateway_config_ref(c);
    s->sources = mem_array(c->n_routes, sizeof(*s->sources));
    s->subjects = mem_array(c->n_routes, sizeof(struct secret_subjects *));
    int r = 0;
    for (size_t i = 0; r == 0 && i < c->n_routes; i++) {
        const struct gateway_route *route = &c->routes[i];
        if (!route->credential)
            continue;
        const bool callers = route->credential->of_caller;
        r = secret_source_new(k->secrets, route->credential->source, callers ? SECRET_CALLERS : 0,
                              &s->sources[i], e);
        if (r < 0)
            r = err_wrap(e, r, "%.200s:%u: routes.%s.credential", k->o.config_path, route->line,
                         route->host.text);
        else if (callers)
            s->subjects[i] = secret_subjects_new(s->sources[i]);
    }
    if (r < 0)
        set_free(s);
    else
        *ret = s;
    return r;
}

/* Until the gateway says that it has taken it: what it serves stays. */
static void offer(struct gateway_keeper *k, struct keeper_set *s)
{
    struct keeper_set *old = k->offered;
    k->offered = s;
    set_free(old);
}

static int take(struct gateway_keeper *k, int64_t number)
{
    if (!k->offered || k->offered->number != number)
        return -E_PROTO;
    struct keeper_set *old = k->before;
    k->before = k->used;
    k->used = k->offered;
    k->offered = NULL;
    if (!k->first)
        k->first = gateway_config_ref(k->used->config);
    if (!k->o.level_given)
        log_set_level(k->used->config->log_level);
    set_free(old);
    return 0;
}

/* ---- files ---- */

static int add_fd(struct ctl_answer *answer, int *fd)
{
    if (*fd >= 0)
        answer->fds.fd[answer->fds.n++] = TAKE_FD(*fd);
    return 0;
}

static int give_files(struct gateway_keeper *k, struct keeper_files *f, struct ctl_answer *answer,
                      struct err *e)
{
    struct keeper_set *s;
    AUTO_CLOSE int text = ctl_text_fd(f->text, f->n);
    if (text < 0)
        return err_set(e, text, "the configuration cannot be handed over: %s", err_text(text));
    int r = set_new(k, f->config, &s, e);
    if (r < 0)
        return r;
    json_put_int(answer->o, "number", s->number);
    json_put_int(answer->o, "mark", (int64_t)f->mark);
    json_put_bool(answer->o, "one", f->cert_fd < 0);
    json_put_bool(answer->o, "ca", f->ca_fd >= 0);
    json_put_bool(answer->o, "clients", f->client_fd >= 0);
    json_put_int(answer->o, "shown", (f->show_key_fd >= 0) + (f->show_cert_fd >= 0));
    json_put_bool(answer->o, "keys", f->keys_fd >= 0);
    int *const fds[] = {&text,         &f->key_fd,      &f->cert_fd,      &f->ca_fd,
                        &f->client_fd, &f->show_key_fd, &f->show_cert_fd, &f->keys_fd};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        (void)add_fd(answer, fds[i]);
    offer(k, s);
    return 0;
}

static int answer_files(struct gateway_keeper *k, struct ctl_answer *answer, struct err *e)
{
    int r = fmutex_lock(&k->reading);
    if (r < 0)
        return r;
    struct keeper_files f;
    r = keeper_files_open(k->pool, k->o.config_path, &f, e);
    if (r == 0)
        r = give_files(k, &f, answer, e);
    keeper_files_done(&f);
    fmutex_unlock(&k->reading);
    return r;
}

static int answer_mark(struct gateway_keeper *k, struct ctl_answer *answer, struct err *e)
{
    if (!k->used)
        return err_set(e, -E_PROTO, "no files are in use");
    struct gateway_config *c = gateway_config_ref(k->used->config);
    json_put_int(answer->o, "mark", (int64_t)keeper_files_mark(k->pool, k->o.config_path, c));
    gateway_config_unref(c);
    return 0;
}

static int answer_line(struct gateway_keeper *k, const json_t *o, struct ctl_answer *answer,
                       struct err *e)
{
    const char *field = json_get_str(o, "field"), *path = NULL;
    if (!k->first)
        return err_set(e, -E_PROTO, "no files are in use");
    if (str_eq(field, "token_file"))
        path = k->first->edge.token_file;
    else if (str_eq(field, "proxy_password_file"))
        path = k->first->edge.proxy.password_file;
    if (!path && str_eq(field, "proxy_password_file") && k->first->edge.proxy.has_password)
        return gateway_environment_password(&answer->tail, e);
    if (!path)
        return err_set(e, -ENOENT, "the configuration has no such file");
    struct gateway_config *c = gateway_config_ref(k->first); /* whose text the path is */
    int r = gateway_dial_secret(k->pool, field, path, &answer->tail, e);
    gateway_config_unref(c);
    return r;
}

static int answer_resolver(const json_t *o, struct ctl_answer *answer, struct err *e)
{
    const char *path = str_eq(json_get_str(o, "file"), "hosts") ? "/etc/hosts" : "/etc/resolv.conf";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return err_set(e, -errno, "%s cannot be opened: %s", path, err_text(-errno));
    return add_fd(answer, &fd);
}

/* ---- secrets and sockets ---- */

/* The index of the route whose credential that is; n_routes: there is none. */
static size_t find_source(const struct keeper_set *s, const json_t *source)
{
    size_t i = 0;
    while (i < s->config->n_routes &&
           (!s->sources[i] ||
            /* jansson's comparison only reads. */
            !json_equal(s->config->routes[i].credential->source, (json_t *)(uintptr_t)source)))
        i++;
    return i;
}

static int get_secret(const struct keeper_set *set, size_t i, const json_t *o,
                      struct secret_value **ret, struct err *e)
{
    const json_t *subject = json_object_get(o, "subject");
    const char *refused = json_get_str(o, "refused");
    if (set->subjects[i] && !json_is_string(subject))
        return err_set(e, -EINVAL, "it is exchanged for a caller's token, and there is none");
    if (set->subjects[i])
        return secret_subjects_get(set->subjects[i], json_string_value(subject),
                                   json_string_length(subject), refused, ret, e);
    struct secret_source *s = secret_source_ref(set->sources[i]); /* the set may go */
    if (refused)
        secret_source_distrust(s, refused);
    int r = secret_source_get(s, ret, e);
    secret_source_unref(s);
    return r;
}

static int answer_secret(struct gateway_keeper *k, const json_t *o, struct ctl_answer *answer,
                         struct err *e)
{
    const json_t *source = json_object_get(o, "source");
    const struct keeper_set *const all[] = {k->used, k->offered, k->before};
    struct secret_value *v = NULL;
    size_t set = 0, i = 0;
    for (; set < ARRAY_LEN(all); set++)
        if (source && all[set] && (i = find_source(all[set], source)) < all[set]->config->n_routes)
            break;
    if (set == ARRAY_LEN(all))
        return err_set(e, -ENOENT, "the configuration has no such credential any more");
    int r = get_secret(all[set], i, o, &v, e);
    if (r == 0) {
        const struct secret *value = secret_value_secret(v);
        r = secret_set(&answer->tail, secret_borrow(value), value->len);
        if (r < 0)
            r = err_set(e, r, "no memory for a secret");
    }
    secret_value_unref(v);
    return r;
}

static bool leads_to(const struct keeper_set *s, const char *path)
{
    for (size_t i = 0; s && path && i < s->config->n_routes; i++) {
        const struct gateway_upstream *up = &s->config->routes[i].upstream;
        if (up->scheme == GATEWAY_UNIX && str_eq(up->path, path))
            return true;
    }
    return false;
}

static int answer_connect(struct gateway_keeper *k, const json_t *o, struct ctl_answer *answer,
                          struct err *e)
{
    const char *path = json_get_str(o, "path");
    if (!leads_to(k->used, path) && !leads_to(k->offered, path) && !leads_to(k->before, path))
        return err_set(e, -E_DENIED, "no route leads to this socket any more");
    /* A server that does not accept holds questions up, and there is room for so many of all kinds. */
    if (k->connecting >= CONNECTING_MAX)
        return err_set(e, -EBUSY, "too many connections to Unix sockets are being made");
    k->connecting++;
    int fd = gateway_reach_unix(path, e);
    k->connecting--;
    return fd < 0 ? fd : add_fd(answer, &fd);
}

static const struct gateway_stdio *find_program(const struct keeper_set *s, const char *route)
{
    for (size_t i = 0; s && route && i < s->config->n_routes; i++)
        if (s->config->routes[i].upstream.stdio && str_eq(s->config->routes[i].host.text, route))
            return s->config->routes[i].upstream.stdio;
    return NULL;
}

static int answer_stdio(struct gateway_keeper *k, const json_t *o, struct ctl_answer *answer,
                        struct err *e)
{
    const struct keeper_set *const all[] = {k->used, k->offered, k->before};
    const struct gateway_stdio *s = NULL;
    int fd = -1, leash = -1;
    for (size_t i = 0; !s && i < ARRAY_LEN(all); i++)
        s = find_program(all[i], json_get_str(o, "route"));
    if (!s)
        return err_set(e, -E_DENIED, "no route has this program any more");
    int r = programs_start(k->programs, s, &fd, &leash, e);
    if (r < 0)
        return r;
    (void)add_fd(answer, &fd);
    return add_fd(answer, &leash);
}

static int answer_audit(struct gateway_keeper *k, struct ctl_answer *answer, struct err *e)
{
    int pair[2];
    if (!k->audit)
        return err_set(e, -ENOENT,
                       "audit: the file was named while the gateway started; start it anew");
    int r = sock_pair(SOCK_STREAM, pair);
    if (r < 0)
        return err_set(e, r, "could not make a socket: %s", err_text(r));
    AUTO_CLOSE int ours = pair[0], theirs = pair[1];
    r = audit_server_add(k->audit, ours, "gateway", e);
    if (r < 0)
        return r;
    ours = -1;
    return add_fd(answer, &theirs);
}

/* ---- all of it ---- */

static int answer_begin(const struct gateway_keeper *k, struct ctl_answer *answer)
{
    json_put_str(answer->o, "config", k->o.config_path);
    if (k->o.metrics)
        json_put_str(answer->o, "metrics", k->o.metrics);
    json_put_bool(answer->o, "level_given", k->o.level_given);
    return 0;
}

static int take_ready(struct gateway_keeper *k, const char *line)
{
    const size_t n = line ? strlen(line) : 0;
    if (k->ready || n == 0 || n > GATEWAY_READY_MAX)
        return -E_PROTO;
    for (size_t i = 0; i < n; i++)
        if (line[i] < ' ' || line[i] > '~')
            return -E_PROTO;
    k->ready = true;
    if (k->was_ready)
        log_info("the gateway serves again", NULL);
    else if (k->o.on_ready)
        k->o.on_ready(k->o.arg, line);
    k->was_ready = true;
    return 0;
}

static int take_notice(struct gateway_keeper *k, const char *op, const json_t *o)
{
    if (str_eq(op, "taken"))
        return take(k, json_get_int(o, "number", 0));
    return str_eq(op, "ready") ? take_ready(k, json_get_str(o, "line")) : -E_PROTO;
}

int keeper_hear(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                struct ctl_answer *answer, struct err *e)
{
    struct gateway_keeper *k = arg;
    (void)fds; /* it has none that we want: they are closed */
    if (!answer)
        return take_notice(k, op, o);
    if (str_eq(op, "begin"))
        return answer_begin(k, answer);
    if (str_eq(op, "files"))
        return answer_files(k, answer, e);
    if (str_eq(op, "mark"))
        return answer_mark(k, answer, e);
    if (str_eq(op, "secret"))
        return answer_secret(k, o, answer, e);
    if (str_eq(op, "keys"))
        return keeper_answer_keys(k, o, answer, e);
    if (str_eq(op, "line"))
        return answer_line(k, o, answer, e);
    if (str_eq(op, "resolver"))
        return answer_resolver(o, answer, e);
    if (str_eq(op, "connect"))
        return answer_connect(k, o, answer, e);
    if (str_eq(op, "stdio"))
        return answer_stdio(k, o, answer, e);
    if (str_eq(op, "audit"))
        return answer_audit(k, answer, e);
    if (str_eq(op, "state"))
        return keeper_answer_state(k, answer, e);
    if (str_eq(op, "sheet"))
        return keeper_answer_sheet(k, answer, e);
    if (str_eq(op, "keep"))
        return keeper_answer_keep(k, e);
    return err_set(e, -E_PROTO, "a gateway cannot ask for that");
}
