/* front.c - bindings, doors, and how many connections each sandbox may have.
 *
 * Theory of operation. Each binding is served by a fiber of the caller's (front_binding_run), whose
 * scope owns one fiber for each door and one for each connection: when it ends, all of them have. A
 * door accepts and does nothing else. What an attacker controls is how many connections there are and
 * how long they stay.
 *
 * Room. A sandbox may have as many connections as are free in the whole process, and no more than the
 * ceiling of one: one that takes all it can gets half, two get a third each, and there is always as
 * much left for the next as each of them has. Who has no room keeps the connection it has accepted and
 * waits; further ones wait in the kernel's queue, which is the sandbox's own. When descriptors run out
 * (EMFILE), accepting pauses. */
#include "egress/capture/front_internal.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/time.h"
#include "io/sock.h"

#include <string.h>
#include <unistd.h>

#define PAUSE_MS        100 /* after accept has found no descriptor or memory */
#define WARN_EVERY_S    10
#define DNS_TCP_MAX     32 /* connections of one sandbox to its resolver; they are short */
#define DNS_NOTES_PER_S 10
#define DNS_SAME_MS     2000 /* A, AAAA and what is asked again: one look-up */

const char *front_why_text(enum front_why w)
{
    static const char *const texts[FRONT_WHYS] = {
        [FRONT_NO_NAME] = "no_name",
        [FRONT_NOT_TOLD] = "not_told",
        [FRONT_BAD_TLS] = "bad_tls",
        [FRONT_WRONG_PROTOCOL] = "wrong_protocol",
        [FRONT_DISAGREE] = "disagree",
        [FRONT_DENIED] = "denied",
        [FRONT_BAD_REQUEST] = "bad_request",
        [FRONT_NAME_TOO_LONG] = "name_too_long",
        [FRONT_NAMES_TOO_MANY] = "names_too_many",
        [FRONT_NAMES_FULL] = "names_full",
        [FRONT_NAME_DENIED] = "name_denied",
        [FRONT_CONNECTIONS] = "connections",
    };
    return texts[w];
}

/* ---- the process ---- */

struct front *front_new(const struct front_options *o)
{
    struct front *f = mem_new(struct front);
    f->o = *o;
    if (f->o.connections_max == 0)
        f->o.connections_max = LIMIT_CAPTURE_OPEN;
    if (f->o.connections_binding_max == 0)
        f->o.connections_binding_max = LIMIT_CAPTURE_OPEN_ONE;
    waitq_init(&f->room);
    return f;
}

void front_free(struct front *f)
{
    if (!f)
        return;
    MUST(f->bindings == 0);
    free(f);
}

size_t front_connections(const struct front *f)
{
    return f->open;
}

/* ---- notes ---- */

/* A virtual schedule: each takes its share of time, and an idle second is saved up. */
int64_t pace_take(struct pace *p, unsigned per_s)
{
    int64_t now = time_mono_ns(), each = NS_PER_S / per_s;
    if (p->next_ns < now - NS_PER_S)
        p->next_ns = now - NS_PER_S;
    if (p->next_ns > now)
        return p->next_ns - now;
    p->next_ns += each;
    return 0;
}

static bool from_resolver(enum front_why why, uint16_t port)
{
    return port == 0 && (why == FRONT_NAME_TOO_LONG || why == FRONT_NAMES_TOO_MANY ||
                         why == FRONT_NAMES_FULL || why == FRONT_NAME_DENIED);
}

/* Whether it was noted a moment ago. */
static bool noted(const struct front_binding *b, enum front_why why, const struct host *h)
{
    const int64_t now = time_mono_ns();
    for (size_t i = 0; i < ARRAY_LEN(b->noted); i++) {
        const struct noted *n = &b->noted[i];
        if (n->why == why && host_eq(&n->host, h) && now - n->at_ns < DNS_SAME_MS * NS_PER_MS)
            return true;
    }
    return false;
}

void front_binding_new_call(struct front_binding *b)
{
    memset(b->noted, 0, sizeof(b->noted));
}

void front_tell(struct front_binding *b, enum front_why why, const struct host *h, uint16_t port,
                const char *words)
{
    struct front *f = b->front;
    struct front_note n = {.why = why, .host = h, .port = port, .words = words};
    log_debug("refused at the front", "binding=%s why=%s host=%s port=%u", log_q(b->id),
              front_why_text(why), log_q(h ? h->text : NULL), port);
    if (!f->o.note)
        return;
    /* A question costs its asker nothing, a record costs us: those are counted when they are many. */
    if (from_resolver(why, port)) {
        if (noted(b, why, h))
            return;
        if (pace_take(&b->notes, DNS_NOTES_PER_S) > 0) {
            b->notes.suppressed++;
            return;
        }
        n.suppressed = b->notes.suppressed;
        b->notes.suppressed = 0;
        b->noted[b->n_noted++ % ARRAY_LEN(b->noted)] =
            (struct noted){.why = why, .host = *h, .at_ns = time_mono_ns()};
    }
    f->o.note(f->o.arg, b, &n);
}

/* ---- bindings ---- */

static void close_doors(struct front_binding *b)
{
    for (size_t i = 0; i < b->n_doors; i++)
        io_fd_close(&b->doors[i].io);
}

int front_binding_new(struct front *f, const char *id, struct policy *policy,
                      const struct front_door *doors, size_t n_doors, void *arg,
                      struct front_binding **ret, struct err *e)
{
    struct front_binding *b = mem_new(struct front_binding);
    b->front = f;
    b->id = mem_strdup(id);
    b->arg = arg;
    b->policy = policy_ref(policy);
    b->names = names_new(0);
    names_start_at(b->names, (uint32_t)rng_u64());
    lookup_counts_init(&b->counts);
    waitq_init(&b->stop);
    b->doors = mem_array(n_doors, sizeof(*b->doors));
    b->n_doors = n_doors;
    f->bindings++;
    int failed = 0;
    for (size_t i = 0; i < n_doors; i++) {
        struct door *d = &b->doors[i];
        *d = (struct door){
            .binding = b, .kind = doors[i].kind, .port = doors[i].port, .io = IO_FD_NONE};
        int r = failed < 0 ? failed : io_fd_add(&d->io, doors[i].fd);
        if (r < 0) {
            (void)close(doors[i].fd);
            failed = r;
        }
    }
    if (failed < 0) {
        front_binding_free(b);
        return err_set(e, failed, "cannot listen for sandbox %.64s: %s", id, err_text(failed));
    }
    *ret = b;
    return 0;
}

void front_binding_free(struct front_binding *b)
{
    if (!b)
        return;
    MUST(!b->scope && b->open == 0);
    close_doors(b);
    b->front->bindings--;
    free(b->doors);
    lookup_counts_done(&b->counts);
    names_free(b->names);
    policy_unref(b->policy);
    free(b->id);
    free(b);
}

void front_binding_set_policy(struct front_binding *b, struct policy *p)
{
    struct policy *old = b->policy;
    b->policy = policy_ref(p);
    policy_unref(old);
}

struct policy *front_binding_policy(const struct front_binding *b)
{
    return b->policy;
}

const char *front_binding_id(const struct front_binding *b)
{
    return b->id;
}

void *front_binding_arg(const struct front_binding *b)
{
    return b->arg;
}

struct names *front_binding_names(struct front_binding *b)
{
    return b->names;
}

size_t front_binding_connections(const struct front_binding *b)
{
    return b->open;
}

/* ---- connections ---- */

static bool has_room(const struct front_binding *b)
{
    const struct front *f = b->front;
    size_t left = f->open < f->o.connections_max ? f->o.connections_max - f->open : 0;
    return b->open < f->o.connections_binding_max && b->open < left;
}

static int wait_for_room(struct front_binding *b, uint16_t port)
{
    if (has_room(b)) {
        b->crowded = false;
        return 0;
    }
    if (!b->crowded) {
        b->crowded = true;
        log_warn("a sandbox has as many connections as it may; the next ones wait",
                 "binding=%s open=%zu", log_q(b->id), b->open);
        front_tell(b, FRONT_CONNECTIONS, NULL, port,
                   "the sandbox has as many connections as it may; the next ones wait");
    }
    while (!has_room(b)) {
        int r = waitq_wait(&b->front->room);
        if (r < 0)
            return r;
    }
    return 0;
}

static int serve_conn(void *arg)
{
    struct conn *c = arg;
    struct front_binding *b = c->binding;
    fiber_deadline_clear();
    fiber_set_context(b->id);
    switch (c->kind) {
    case FRONT_DOOR_TCP:
        claim_serve(c);
        break;
    case FRONT_DOOR_PROXY:
        forward_serve(c);
        break;
    default:
        dns_serve_tcp(c);
        b->dns_open--;
        break;
    }
    stream_done(&c->stream);
    if (c->name)
        names_release(b->names, c->name);
    b->open--;
    b->front->open--;
    waitq_wake_all(&b->front->room);
    free(c);
    return 0;
}

/* Takes the descriptor over. */
static void start_conn(struct door *d, int fd)
{
    struct front_binding *b = d->binding;
    struct conn *c = mem_new(struct conn);
    c->binding = b;
    c->kind = d->kind;
    c->port = d->port;
    int r = stream_from_fd(&c->stream, fd);
    if (r < 0) {
        (void)close(fd);
        free(c);
        return;
    }
    bool dns = d->kind == FRONT_DOOR_DNS_TCP;
    if (dns && b->dns_open >= DNS_TCP_MAX)
        r = -E_LIMIT;
    if (r == 0)
        r = fiber_spawn(b->scope, "egress connection", serve_conn, c, NULL);
    if (r < 0) {
        stream_reset(&c->stream);
        free(c);
        return;
    }
    b->open++;
    b->front->open++;
    if (dns)
        b->dns_open++;
}

static bool exhausted(int r)
{
    return r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM;
}

/* One line for all doors: what is missing is the process's. */
static void warn_exhausted(struct front *f, int r)
{
    int64_t now = time_mono_ns();
    if (f->warned_ns != 0 && now - f->warned_ns < WARN_EVERY_S * NS_PER_S)
        return;
    f->warned_ns = now;
    log_warn("cannot accept connections of sandboxes; trying on", "error=%s open=%zu", err_name(r),
             f->open);
}

static int accept_all(struct door *d)
{
    struct front_binding *b = d->binding;
    fiber_trim_stack();
    for (;;) {
        AUTO_CLOSE int fd = sock_accept(&d->io, NULL);
        if (fd < 0 && !exhausted(fd))
            return fd; /* stopped, or the listener is broken */
        if (fd < 0) {
            warn_exhausted(b->front, fd);
            int r = fiber_sleep_ms(PAUSE_MS);
            if (r < 0)
                return r;
            continue;
        }
        int r = wait_for_room(b, d->port);
        if (r < 0)
            return r;
        start_conn(d, TAKE_FD(fd));
    }
}

static int serve_door(void *arg)
{
    struct door *d = arg;
    fiber_deadline_clear();
    fiber_set_context(d->binding->id);
    int r = d->kind == FRONT_DOOR_DNS_UDP ? dns_serve_udp(d) : accept_all(d);
    if (r < 0 && r != -ECANCELED)
        log_error("a door of a sandbox does not serve any more", "binding=%s error=%s",
                  log_q(d->binding->id), err_name(r));
    return r;
}

int front_binding_run(struct front_binding *b)
{
    MUST(!b->scope);
    struct scope scope;
    scope_init(&scope);
    b->scope = &scope;
    int r = 0;
    for (size_t i = 0; i < b->n_doors && r == 0; i++)
        r = fiber_spawn(&scope, "egress door", serve_door, &b->doors[i], NULL);
    while (r == 0 && !b->stopping)
        r = waitq_wait(&b->stop);
    scope_done(&scope);
    b->scope = NULL;
    return b->stopping ? 0 : r;
}

void front_binding_stop(struct front_binding *b)
{
    b->stopping = true;
    waitq_wake_all(&b->stop);
}
