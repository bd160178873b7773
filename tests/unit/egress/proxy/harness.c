/* harness.c - see harness.h. The other end of the audit client is a fiber that grants and writes each
 * record as one line of text. */
#include "unit/egress/proxy/harness.h"

#include <inttypes.h>
#include <sys/socket.h>

#include "audit/wire.h"
#include "base/str.h"
#include "io/sock.h"
#include "egress/inject/limits.h"
#include "scrub/http/reply.h"

#define SANDBOX "sbx_1"

/* ---- the audit log ---- */

static void log_record(struct harness *h, const struct audit_record *r)
{
    struct buf *b = &h->log;
    (void)buf_addf(b, "%s", audit_kind_name((int)r->kind));
#define TEXT_(name, max)                                                                           \
    if (r->name.n)                                                                                 \
        (void)buf_addf(b, " " #name "=%.*s", (int)r->name.n, r->name.p);
    AUDIT_TEXTS(TEXT_)
#undef TEXT_
#define NUMBER_(name)                                                                              \
    if (r->name && strcmp(#name, "duration_us") != 0)                                              \
        (void)buf_addf(b, " " #name "=%" PRIu64, r->name);
    AUDIT_NUMBERS(NUMBER_)
#undef NUMBER_
    (void)buf_adds(b, "\n");
    waitq_wake_all(&h->logged);
}

static int answer_audit(struct harness *h, struct io_fd *io, const struct audit_frame *f)
{
    AUTO(buf) out = BUF_INIT(8192);
    struct audit_frame a = {.type = AUDIT_ACK, .n = f->n};
    if (f->type == AUDIT_WANT)
        a = (struct audit_frame){.type = AUDIT_GRANT,
                                 .n = h->audit_refuses ? 0 : f->n,
                                 .code = h->audit_refuses,
                                 .words = audit_text("the disk is full")};
    else if (f->type == AUDIT_RECORD)
        log_record(h, &f->record);
    else
        return 0;
    assert_int_equal(audit_wire_put(&out, &a), 0);
    return io_write_all(io, out.data, out.len);
}

static int auditor(void *arg)
{
    struct harness *h = arg;
    struct io_fd io = IO_FD_NONE;
    assert_int_equal(io_fd_add(&io, h->audit_fd), 0);
    AUTO(buf) in = BUF_INIT(1 << 20);
    for (bool bye = false; !bye;) {
        char *to = buf_room(&in, 4096);
        ssize_t n = io_read(&io, to, 4096);
        if (n <= 0)
            break;
        buf_commit(&in, (size_t)n);
        struct audit_frame f;
        int k, r = 0;
        while (r == 0 && (k = audit_wire_get(in.data, in.len, &f)) > 0) {
            bye = f.type == AUDIT_BYE;
            r = answer_audit(h, &io, &f);
            buf_consume(&in, (size_t)k);
        }
    }
    io_fd_close(&io);
    return 0;
}

/* ---- the world ---- */

static int ask_person(void *arg, const struct policy_query *q, const struct policy_decision *d,
                      struct err *e)
{
    struct harness *h = arg;
    return h->ask ? h->ask(arg, q, d, e) : err_set(e, -E_DENIED, "nobody is there to be asked");
}

static int learn(void *arg, const struct policy_decision *d, struct err *e)
{
    struct harness *h = arg;
    (void)d;
    if (h->unguarded)
        return err_set(e, -E_LIMIT, "9999 secrets are too many to be searched for together");
    if (h->learns_of)
        (void)exchange_set_policy(&h->sandbox, h->learns_of);
    return fiber_yield();
}

static int secrets(void *arg, struct exchange_sandbox *s, const struct inject_plan *plan,
                   struct exchange_values *ret, struct err *e)
{
    struct harness *h = arg;
    if (fiber_yield() < 0) /* as a source does */
        return -ECANCELED;
    if (h->failing_source && plan->n_uses)
        return err_set(e, -ECONNREFUSED, "the vault at vault.internal does not answer");
    *ret = (struct exchange_values){.table = NULL};
    for (size_t i = 0; i < plan->n_uses; i++)
        ret->values[i] = &h->secret;
    struct inject_secret one = {"TOKEN", &h->secret};
    return inject_reply_table(h->placeholders, s->id, &one, 1, &ret->table, e);
}

static void secrets_done(void *arg, struct exchange_values *v)
{
    (void)arg;
    (void)v;
}

static int origin(void *arg, const struct exchange_want *want, struct exchange_origin *ret,
                  const char **ret_type, struct err *e)
{
    struct harness *h = arg;
    if (h->changes_to)
        (void)exchange_set_policy(&h->sandbox, h->changes_to);
    h->may_know = h->may_know || h->came_and_went;
    if (fiber_yield() < 0)
        return -ECANCELED;
    h->last_fresh = want->fresh;
    if (h->origin_error) {
        *ret_type = h->origin_type;
        return err_set(e, h->origin_error, "no connection to %s", want->host->text);
    }
    assert_true(h->n_origins < ARRAY_LEN(h->origins));
    *ret = (struct exchange_origin){
        .pipe = &h->origins[h->n_origins].pipe, .reused = h->reused[h->n_origins], .hold = h};
    str_copy(ret->peer, sizeof(ret->peer), h->peer ? h->peer : "93.184.216.34");
    h->n_origins++;
    return 0;
}

static void origin_done(void *arg, struct exchange_origin *o)
{
    struct harness *h = arg;
    assert_ptr_equal(o->hold, h);
    assert_true(h->origins[h->n_done].closed);
    h->n_done++;
}

static bool may_know(void *arg, const struct policy_query *q)
{
    (void)q;
    return ((struct harness *)arg)->may_know;
}

static const struct exchange_calls calls = {.ask = ask_person,
                                            .learn = learn,
                                            .secrets = secrets,
                                            .secrets_done = secrets_done,
                                            .may_know = may_know,
                                            .origin = origin,
                                            .origin_done = origin_done};

void harness_start(struct harness *h, const char *policy, enum http_version v)
{
    *h = (struct harness){.log = BUF_INIT(1 << 20)};
    waitq_init(&h->logged);
    scope_init(&h->scope);
    fake_init(&h->client, false, v);
    for (size_t i = 0; i < ARRAY_LEN(h->origins); i++)
        fake_init(&h->origins[i], true, v);
    h->placeholders = placeholders_new();
    const struct placeholder *p;
    assert_int_equal(placeholders_adopt(h->placeholders, SANDBOX, "TOKEN", PLACEHOLDER, &p, NULL),
                     0);
    assert_int_equal(placeholders_adopt(h->placeholders, SANDBOX, "ELSEWHERE", OTHER, &p, NULL), 0);
    assert_int_equal(secret_set(&h->secret, SECRET, strlen(SECRET)), 0);
    struct policy *loaded = load(policy);
    exchange_sandbox_init(&h->sandbox, SANDBOX, loaded);
    policy_unref(loaded);
    h->sandbox.session = "sesn_test";
    h->sandbox.call = "toolu_1";
    h->sandbox.placeholders = h->placeholders;
    h->sandbox.limits = inject_limits_new();
    struct inject_secret one = {"TOKEN", &h->secret};
    struct err e = {0};
    if (inject_watch_new(h->placeholders, SANDBOX, &one, 1, &h->sandbox.watch, &e) < 0)
        fail_msg("%s", e.msg);
    int fds[2];
    assert_int_equal(sock_pair(SOCK_STREAM, fds), 0);
    h->audit_fd = fds[0];
    h->audit = audit_client_new();
    assert_int_equal(fiber_spawn(&h->scope, "auditor", auditor, h, NULL), 0);
    assert_int_equal(audit_client_connect(h->audit, fds[1], NULL), 0);
    assert_int_equal(host_parse(HOST, strlen(HOST), 0, &h->host, NULL), 0);
    h->claims[0] = (struct host_claim){"the resolved name", &h->host, 443};
    h->claims[1] = (struct host_claim){"SNI", &h->host, 0};
    h->world = (struct exchange_world){.sandbox = &h->sandbox,
                                       .calls = &calls,
                                       .arg = h,
                                       .audit = h->audit,
                                       .spares = &h->spares,
                                       .claims = h->claims,
                                       .n_claims = 2,
                                       .host = &h->host,
                                       .port = 443,
                                       .tls = true};
}

static int run(void *arg)
{
    struct harness *h = arg;
    exchange_run(&h->world, &h->client.pipe);
    h->over = true;
    h->fiber = NULL;
    waitq_wake_all(&h->logged);
    return 0;
}

void harness_ask(struct harness *h, const char *head)
{
    fake_say_head(&h->client, head);
    assert_int_equal(fiber_spawn(&h->scope, "exchange", run, h, &h->fiber), 0);
}

void harness_join(struct harness *h)
{
    struct fiber_deadline d = fiber_deadline_push_ms(30000);
    int r = 0;
    while (!h->over && r == 0)
        r = waitq_wait(&h->logged);
    fiber_deadline_pop(&d);
    if (r < 0)
        fail_msg("the exchange does not end; the client heard:\n%s\nthe origin:\n%s",
                 buf_str(&h->client.heard), buf_str(&h->origins[0].heard));
    assert_true(h->client.closed);
    assert_int_equal(h->n_done, h->n_origins);
    assert_true(list_empty(&h->sandbox.open));
    (void)!audit_wait(h->audit, NULL);
}

bool harness_logged(const struct harness *h, const char *text)
{
    return strstr(buf_str(&h->log), text);
}

void harness_await_log(struct harness *h, const char *text)
{
    struct fiber_deadline d = fiber_deadline_push_ms(10000);
    int r = 0;
    while (!harness_logged(h, text) && r == 0)
        r = waitq_wait(&h->logged);
    fiber_deadline_pop(&d);
    if (r < 0)
        fail_msg("not logged: %s\n%s", text, buf_str(&h->log));
}

size_t harness_policy(struct harness *h, const char *yaml)
{
    struct policy *p = load(yaml);
    size_t n = exchange_set_policy(&h->sandbox, p);
    policy_unref(p);
    return n;
}

void harness_end(struct harness *h)
{
    harness_join(h);
    assert_int_equal(audit_client_free(h->audit, 1000), 0);
    scope_done(&h->scope);
    fake_done(&h->client);
    for (size_t i = 0; i < ARRAY_LEN(h->origins); i++)
        fake_done(&h->origins[i]);
    inject_watch_unref(h->sandbox.watch);
    inject_limits_free(h->sandbox.limits);
    exchange_sandbox_done(&h->sandbox);
    placeholders_free(h->placeholders);
    secret_done(&h->secret);
    exchange_spares_done(&h->spares);
    buf_done(&h->log);
}
