/* source.c - the memory of sources: what is fresh, who reads, who waits, what is let go.
 *
 * Theory of operation. secret_source_get runs on the fiber of a request. When nothing fresh is
 * there it starts one read, as a fiber in the scope of the sources, and waits for it, as do all who
 * come meanwhile. A waiter that is cancelled leaves; the read goes on and serves the others. The
 * read has the deadline of its kind and none of the waiter's.
 *
 * A value is an object with a count of its borrowers. Rotation puts another object in its place; the
 * old one is wiped when the last borrower lets go. A read that brings the same bytes again keeps the
 * object, so that whoever compares pointers sees rotations only.
 *
 * Peers decide what a read brings (pick.c checks it) and how long it takes (bounded). Sources are
 * few, as many as a configuration names; a list is enough. One loop's thread. */
#include "secret/source.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "http/client/client.h"
#include "secret/kind.h"
#include "secret/pick.h"

#include <stdio.h>
#include <string.h>

#define ASK_MS 10000 /* for who keeps the sources, beside what reading takes there */

struct secret_value {
    size_t refs;
    struct secret secret;
};

/* ---- values ---- */

static struct secret_value *value_new(struct secret *takes)
{
    struct secret_value *v = mem_new(struct secret_value);
    v->refs = 1;
    v->secret = *takes;
    *takes = (struct secret){0};
    return v;
}

struct secret_value *secret_value_ref(struct secret_value *v)
{
    v->refs++;
    return v;
}

void secret_value_unref(struct secret_value *v)
{
    if (!v)
        return;
    MUST(v->refs > 0);
    if (--v->refs > 0)
        return;
    secret_done(&v->secret);
    free(v);
}

const struct secret *secret_value_secret(const struct secret_value *v)
{
    return &v->secret;
}

/* ---- all of them ---- */

void secret_wipe_when_freed(void)
{
    json_wipe_when_freed();
    http_client_wipe_when_freed();
}

struct secret_sources *secret_sources_new(const struct secret_options *o)
{
    struct secret_sources *all = mem_new(struct secret_sources);
    all->options = *o;
    all->options.credentials_directory =
        o->credentials_directory ? mem_strdup(o->credentials_directory) : NULL;
    all->options.only_check = o->only_check || o->ask;
    list_init(&all->sources);
    list_init(&all->servers);
    list_init(&all->tables);
    scope_init(&all->scope);
    return all;
}

void secret_sources_free(struct secret_sources *all)
{
    if (!all)
        return;
    scope_done(&all->scope); /* reads in flight end, and let their source go */
    MUST(list_empty(&all->sources));
    MUST(list_empty(&all->servers));
    MUST(list_empty(&all->tables));
    /* Ours, whatever its type says. */
    free((void *)(uintptr_t)all->options.credentials_directory);
    free(all);
}

void secret_sources_expire(struct secret_sources *all)
{
    all->generation++;
    if (!all->options.ask) /* who keeps them says it */
        log_info("secrets are read again when they are needed next", NULL);
}

/* ---- one source ---- */

static struct secret_source *find_same(struct secret_sources *all, const json_t *config,
                                       unsigned flags)
{
    LIST_FOREACH (s, &all->sources, struct secret_source, node) {
        /* jansson's comparison only reads. */
        if (s->kind->shared && !s->parent && s->flags == flags &&
            json_equal(s->config, (json_t *)(uintptr_t)config))
            return secret_source_ref(s);
    }
    return NULL;
}

static int source_new(struct secret_sources *all, const json_t *config, unsigned flags,
                      unsigned depth, struct secret_source **ret, struct err *e)
{
    if (depth > SECRET_NESTING)
        return err_set(e, -EINVAL, "sources inside of sources are nested more than %d deep",
                       SECRET_NESTING);
    struct secret_source *s = find_same(all, config, flags);
    if (s) {
        *ret = s;
        return 0;
    }
    s = mem_new(struct secret_source);
    *s = (struct secret_source){
        .refs = 1, .all = all, .flags = flags, .depth = depth, .generation = all->generation};
    waitq_init(&s->done);
    list_push_back(&all->sources, &s->node);
    int r = secret_config_open(s, config, e);
    if (r < 0) {
        secret_source_unref(s);
        return r;
    }
    s->config = json_deep_copy(config);
    MUST(s->config);
    if (all->options
            .ask) { /* how long a value is good, who keeps them knows, who has the first word, too */
        s->ttl_ms = s->failure_ttl_ms = s->stale_ttl_ms = 0;
        s->timeout_ms += ASK_MS;
    }
    *ret = s;
    return 0;
}

int secret_source_new(struct secret_sources *all, const json_t *config, unsigned flags,
                      struct secret_source **ret, struct err *e)
{
    return source_new(all, config, flags, 0, ret, e);
}

int secret_source_new_below(struct secret_sources *all, const json_t *config, unsigned flags,
                            unsigned depth, struct secret_source **ret, struct err *e)
{
    return source_new(all, config, flags, depth, ret, e);
}

int secret_source_new_for(struct secret_source *parent, const char *subject, size_t n,
                          struct secret_source **ret)
{
    struct secret_source *s = mem_new(struct secret_source);
    *s = (struct secret_source){.refs = 1,
                                .all = parent->all,
                                .kind = parent->kind,
                                .config = json_incref(parent->config),
                                .flags = parent->flags,
                                .depth = parent->depth,
                                .place = mem_strdup(parent->place),
                                .ttl_ms = parent->ttl_ms,
                                .failure_ttl_ms = parent->failure_ttl_ms,
                                .stale_ttl_ms = parent->stale_ttl_ms,
                                .timeout_ms = parent->timeout_ms,
                                .state = parent->state,
                                .parent = secret_source_ref(parent),
                                .generation = parent->all->generation};
    waitq_init(&s->done);
    list_push_back(&s->all->sources, &s->node);
    int r = secret_set(&s->subject, subject, n);
    if (r < 0)
        secret_source_unref(s);
    else
        *ret = s;
    return r;
}

struct secret_source *secret_source_ref(struct secret_source *s)
{
    s->refs++;
    return s;
}

void secret_source_unref(struct secret_source *s)
{
    if (!s)
        return;
    MUST(s->refs > 0);
    if (--s->refs > 0)
        return;
    MUST(waitq_empty(&s->done));
    list_remove(&s->node);
    secret_value_unref(s->value);
    if (s->kind && !s->parent)
        s->kind->close(s);
    secret_source_unref(s->parent);
    secret_done(&s->subject);
    pick_path_free(s->key);
    json_decref(s->config);
    free(s->place);
    free(s);
}

const char *secret_source_place(const struct secret_source *s)
{
    return s->place;
}

/* ---- reading ---- */

static int64_t later(int64_t from_ns, int64_t ms)
{
    int64_t ns;
    if (ms > INT64_MAX / NS_PER_MS || __builtin_add_overflow(from_ns, ms * NS_PER_MS, &ns))
        return INT64_MAX;
    return ns;
}

/* The read has brought `got`. The object stays when the value is the same. */
static void keep(struct secret_source *s, struct secret *got)
{
    if (s->value && secret_eq(&s->value->secret, got->data, got->len))
        return;
    if (s->value && !s->all->options.ask && !s->kind->ahead)
        log_info("a secret has changed", "source=%s", log_q(s->place));
    secret_value_unref(s->value);
    s->value = value_new(got);
}

static void succeeded(struct secret_source *s, struct secret *got, int64_t began_ns,
                      const struct secret_read *how)
{
    int64_t good_ms = how->lease_ms > 0 && how->lease_ms < s->ttl_ms ? how->lease_ms : s->ttl_ms;
    keep(s, got);
    s->fresh_until_ns = later(began_ns, good_ms);
    s->began_ns = began_ns;
    s->distrusted = false;
    s->good_until_ns = s->kind->ahead && how->life_ms > 0 ? later(began_ns, how->life_ms) : 0;
    if (s->failure.code < 0 && !s->all->options.ask)
        log_info("a secret can be read again", "source=%s", log_q(s->place));
    s->failure = (struct err){0};
    s->failed_until_ns = 0;
    s->stale_told = false;
}

static void failed(struct secret_source *s, const struct err *why, const struct secret_read *how)
{
    int64_t now = time_mono_ns();
    s->failure = *why;
    s->distrusted = false;
    s->failed_until_ns =
        later(now, how->retry_ms > s->failure_ttl_ms ? how->retry_ms : s->failure_ttl_ms);
    if (s->fresh_until_ns > now)
        s->fresh_until_ns = now; /* it was expired, or its file has changed */
    if (how->refused) {
        secret_value_unref(s->value);
        s->value = NULL;
    }
}

static void secret_read_done(struct secret_read *r)
{
    secret_done(&r->raw);
}

/* What was read is taken out of `how`. */
static int read_once(struct secret_source *s, struct secret *ret, struct secret_read *how,
                     struct err *e)
{
    AUTO(fiber_deadline) d = fiber_deadline_push_ms(s->timeout_ms);
    const struct secret_options *o = &s->all->options;
    if (o->ask) {
        char refused[DIGEST_SHA256_HEX];
        (void)str_copy(refused, sizeof(refused), s->refused);
        s->refused[0] = '\0';
        const struct secret_question q = {.config = s->config,
                                          .subject =
                                              s->subject.len ? secret_borrow(&s->subject) : NULL,
                                          .refused = refused[0] ? refused : NULL};
        how->refused = true;
        return o->ask(o->ask_arg, &q, ret, e);
    }
    int r = s->kind->read(s, how, e);
    if (r == 0) {
        r = pick_value(how->raw.data, how->raw.len, s->key, s->flags & SECRET_LINES, ret, e);
        how->refused = r == -E_PARSE || r == -ENOENT; /* it was reached, and this is no secret */
    }
    return r;
}

static int read_fiber(void *arg)
{
    struct secret_source *s = arg;
    AUTO(secret) got = {0};
    struct secret_read how = {0};
    struct err e = {0};
    int64_t began = time_mono_ns();
    fiber_deadline_clear();
    s->generation = s->all->generation;
    int r = read_once(s, &got, &how, &e);
    if (r == 0) {
        succeeded(s, &got, began, &how);
    } else {
        if (r == -ETIMEDOUT && time_mono_ns() >= later(began, s->timeout_ms))
            (void)err_set(&e, r, "no answer within %lld ms", (long long)s->timeout_ms);
        if (!s->all->options.ask)
            (void)err_wrap(&e, r, "%s", s->place);
        failed(s, &e, &how);
    }
    secret_read_done(&how);
    s->reading = false;
    s->reads_done++;
    waitq_wake_all(&s->done);
    secret_source_unref(s);
    return 0;
}

static int begin_read(struct secret_source *s, struct err *e)
{
    int r = fiber_spawn(&s->all->scope, "secret", read_fiber, secret_source_ref(s), NULL);
    if (r < 0) {
        secret_source_unref(s);
        return err_set(e, r, "%s: cannot be read now: %s", s->place, err_text(r));
    }
    s->reading = true;
    s->reads_begun++;
    return 0;
}

/* ---- handing out ---- */

static int hand_out(struct secret_source *s, struct secret_value **ret)
{
    *ret = secret_value_ref(s->value);
    return 0;
}

static void tell_stale(struct secret_source *s)
{
    if (!s->stale_told)
        log_warn("a secret cannot be read again, the old value is used", "source=%s err=%s",
                 log_q(s->place), log_q(s->failure.msg));
    s->stale_told = true;
}

/* What is said while the last read has failed: the value of before, for a while, or why. */
static int after_failure(struct secret_source *s, struct secret_value **ret, struct err *e)
{
    int64_t until_ns =
        s->good_until_ns ? s->good_until_ns : later(s->fresh_until_ns, s->stale_ttl_ms);
    if (s->value && time_mono_ns() < until_ns) {
        tell_stale(s);
        return hand_out(s, ret);
    }
    secret_value_unref(s->value);
    s->value = NULL;
    if (e)
        *e = s->failure;
    return s->failure.code;
}

static bool changed(struct secret_source *s)
{
    if (s->all->options.ask) /* for all we know: an answer serves who came before the question */
        return true;
    return (s->generation != s->all->generation && !s->kind->pushed) ||
           (s->kind->changed && s->kind->changed(s));
}

/* Waits for the read that is in flight. */
static int wait_for_read(struct secret_source *s, struct err *e)
{
    uint64_t this = s->reads_begun;
    while (s->reads_done < this) {
        int r = waitq_wait(&s->done);
        if (r < 0)
            return err_set(e, r, "%s: %s", s->place,
                           r == -ETIMEDOUT ? "not read in time" : "the request was cancelled");
    }
    return 0;
}

/* A value whose lease is over and whose life is not: it serves while another one is read, which nobody
 * waits for. */
static bool serves_meanwhile(struct secret_source *s)
{
    int64_t now = time_mono_ns();
    if (!s->value || s->distrusted || now < s->fresh_until_ns || now >= s->good_until_ns ||
        changed(s))
        return false;
    if (s->failure.code < 0)
        tell_stale(s);
    if (!s->reading && now >= s->failed_until_ns)
        (void)!begin_read(s, NULL); /* the next one tries again */
    return true;
}

/* `s` is held by the caller. */
static int get(struct secret_source *s, struct secret_value **ret, struct err *e)
{
    int r;
    if (serves_meanwhile(s))
        return hand_out(s, ret);
    bool joined = s->reading;
    if (joined && (r = wait_for_read(s, e)) < 0)
        return r;
    /* What somebody else's read has brought serves us as well, unless it began before a change. */
    bool other = !s->reading && changed(s);
    if (!s->reading && !other) {
        int64_t now = time_mono_ns();
        if (s->failure.code == 0 && s->value && (joined || now < s->fresh_until_ns))
            return hand_out(s, ret);
        if (s->failure.code < 0 && (joined || now < s->failed_until_ns))
            return after_failure(s, ret, e);
    }
    if (!s->reading && (r = begin_read(s, e)) < 0)
        return r;
    r = wait_for_read(s, e);
    if (r < 0)
        return r;
    if (s->failure.code < 0)
        return after_failure(s, ret, e);
    if (!s->value) /* withdrawn at this very moment */
        return err_set(e, -ENOENT, "%s: it was taken back", s->place);
    return hand_out(s, ret);
}

int secret_source_get(struct secret_source *s, struct secret_value **ret, struct err *e)
{
    MUST(!s->all->options.only_check || s->all->options.ask);
    int r = get(secret_source_ref(s), ret, e);
    secret_source_unref(s);
    return r;
}

void secret_source_distrust(struct secret_source *s, const char *refused)
{
    char now[DIGEST_SHA256_HEX];
    if (s->all->options.ask) {
        (void)str_copy(s->refused, sizeof(s->refused), refused);
        return;
    }
    /* One that is refused so soon after it was got is not the reason. */
    if (!s->kind->ahead || !s->value || time_mono_ns() < later(s->began_ns, SECRET_DISTRUST_MS) ||
        !str_eq(digest_sha256_hex(s->value->secret.data, s->value->secret.len, now), refused))
        return;
    log_info("a secret was refused where it was shown, another one is asked for", "source=%s",
             log_q(s->place));
    s->fresh_until_ns = 0;
    s->distrusted =
        true; /* the next get waits for another one, and has this one when there is none */
}

void secret_source_status(const struct secret_source *s, struct secret_status *ret)
{
    *ret = (struct secret_status){.has_value = s->value != NULL,
                                  .fresh = s->value && s->failure.code == 0 &&
                                           time_mono_ns() < s->fresh_until_ns,
                                  .reads = s->reads_done,
                                  .failure = s->failure.msg};
}

/* ---- values that the caller brings ---- */

static int vault_open(struct secret_source *s, const json_t *config, struct err *e)
{
    const char *name;
    int r = secret_config_text(config, "vault", 256, &name, e);
    if (r == 0 && !s->all->options.vault)
        r = err_set(e, -EINVAL,
                    "vault: the session's vault is not built yet; use env, file, exec, systemd or "
                    "hashicorp");
    if (r == 0)
        s->place = mem_printf("credential %s of the session's vault", name);
    return r;
}

static int vault_read(struct secret_source *s, struct secret_read *ret, struct err *e)
{
    (void)ret;
    return err_set(e, -ENOENT,
                   s->value
                       ? "it was not delivered anew in time; see that the platform is reachable"
                       : "it was not delivered; attach the vault to the session");
}

static void vault_close(struct secret_source *s)
{
    (void)s;
}

const struct secret_kind secret_kind_vault = {
    .name = "vault",
    .pushed = true,
    .ttl_ms = SECRET_FOREVER,
    .timeout_ms = 1000,
    .open = vault_open,
    .read = vault_read,
    .close = vault_close,
};

int secret_source_push(struct secret_source *s, const void *p, size_t n, struct err *e)
{
    MUST(s->kind == &secret_kind_vault);
    AUTO(secret) got = {0};
    int r = pick_value(p, n, s->key, s->flags & SECRET_LINES, &got, e);
    if (r < 0)
        return err_wrap(e, r, "%s", s->place);
    succeeded(s, &got, time_mono_ns(), &(struct secret_read){0});
    return 0;
}

void secret_source_withdraw(struct secret_source *s)
{
    MUST(s->kind == &secret_kind_vault);
    secret_value_unref(s->value);
    s->value = NULL;
    s->fresh_until_ns = s->good_until_ns = 0;
}
