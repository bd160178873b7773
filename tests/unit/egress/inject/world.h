/* world - a policy with credentials of every kind, a session with its placeholders and secrets, and
 * requests as text.
 *
 * A head is "METHOD target", a line for each field, lines ended by '\n'. "<text>" stands for the base64
 * of the text. */
#pragma once

#include "unit/egress/policy/load.h"
#include "base/enc.h"
#include "egress/inject/body.h"
#include "egress/inject/inject.h"
#include "egress/inject/limits.h"
#include "scrub/http/reply.h"

#define P(name)    "sp_ph_" name "_0123456789abcdef" /* placeholder */
#define S(name)    "S3cr3t/" name "+0123456789"      /* secret */
#define P_STRANGER "sp_ph_stranger_0123456789abcd"

static const char world_policy[] =
    "allow:\n"
    "  - {host: '*', ports: [443, 80, 8443, 9443]}\n"
    "credentials:\n"
    "  - {name: TOKEN, source: {env: T}, hosts: [api.example, 'alt.example:8443']}\n"
    "  - {name: OTHER, source: {env: T}, hosts: [other.example]}\n"
    "  - {name: HOOK, source: {env: T}, hosts: [hook.example], inject: {path: true, query: [token, "
    "'a b']}}\n"
    "  - {name: KEY, source: {env: T}, hosts: [hook.example], inject: {header: [x-key, x-key], "
    "query: [k, k]}}\n"
    "  - name: ADDED\n"
    "    source: {env: T}\n"
    "    hosts: [add.example]\n"
    "    inject: {add: {authorization: 'Bearer {secret}', x-extra: 'v={secret};q'}}\n"
    "  - name: WIDE\n"
    "    source: {env: T}\n"
    "    hosts: ['*.example']\n"
    "    paths: ['/wide/**']\n"
    "    inject: {add: {authorization: 'Wide {secret}'}}\n"
    "  - {name: SCOPED, source: {env: T}, hosts: [scoped.example], methods: [GET], paths: "
    "['/acme/**']}\n"
    "  - {name: NEXT, source: {env: T}, hosts: [scoped.example], paths: ['/next/**']}\n"
    "  - {name: MUST, source: {env: T}, hosts: [git.example], require: true}\n"
    "  - {name: PLAIN, source: {env: T}, hosts: [plain.example], plaintext: true}\n"
    "  - {name: BODY, source: {env: T}, hosts: [body.example], inject: {body: true, websocket: "
    "first, header: [authorization]}}\n"
    "  - {name: INNER, source: {env: T}, hosts: [inner.example], require: true, inject: {body: "
    "[application/json], websocket: first}}\n"
    "  - {name: FRAMES, source: {env: T}, hosts: [body.example], inject: {header: [x-frames], "
    "query: [frames]}}\n"
    "  - {name: ALL, source: {env: T}, hosts: [ws.example], inject: {websocket: all}}\n"
    "  - {name: LOGIN, source: {env: T}, hosts: ['*.two.test'], inject: {basic: true}}\n"
    "  - {name: PASS, source: {env: T}, hosts: [x.two.test], inject: {basic: true}}\n"
    "  - {name: SLASH, source: {env: T}, hosts: [slash.example], inject: {path: true}}\n"
    "  - {name: FEW, source: {env: T}, hosts: [few.example], limits: {requests: 2/m, per_session: "
    "3}}\n";

static const char *const world_names[] = {"TOKEN",  "OTHER", "HOOK",  "KEY",   "ADDED", "WIDE",
                                          "SCOPED", "NEXT",  "MUST",  "PLAIN", "BODY",  "INNER",
                                          "FRAMES", "ALL",   "LOGIN", "PASS",  "FEW"};
#define WORLD_NAMES ARRAY_LEN(world_names)

struct world {
    struct policy *policy;
    struct placeholders *placeholders;
    struct inject_limits *limits;
    struct secret values[WORLD_NAMES];
    struct inject_watch *watch;
    struct scrub_table *reply;
    struct inject_world in;
    struct host host;
};

static inline void world_value(struct world *w, const char *name, const char *value)
{
    for (size_t i = 0; i < WORLD_NAMES; i++)
        if (strcmp(world_names[i], name) == 0) {
            secret_done(&w->values[i]);
            if (value)
                assert_int_equal(secret_set(&w->values[i], value, strlen(value)), 0);
        }
}

static inline const struct secret *world_secret(const struct world *w, const char *name)
{
    for (size_t i = 0; i < WORLD_NAMES; i++)
        if (strcmp(world_names[i], name) == 0)
            return w->values[i].data ? &w->values[i] : NULL;
    return NULL; /* its source cannot be reached */
}

/* The tables, of the values there are. */
static inline void world_tables(struct world *w)
{
    struct inject_secret known[WORLD_NAMES];
    struct err e = {0};
    size_t n = 0;
    for (size_t i = 0; i < WORLD_NAMES; i++)
        if (w->values[i].data)
            known[n++] = (struct inject_secret){world_names[i], &w->values[i]};
    inject_watch_unref(w->watch);
    scrub_table_unref(w->reply);
    if (inject_watch_new(w->placeholders, "s1", known, n, &w->watch, &e) < 0 ||
        inject_reply_table(w->placeholders, "s1", known, n, &w->reply, &e) < 0)
        fail_msg("%s", e.msg);
    w->in.watch = w->watch;
}

static inline int world_setup(void **state)
{
    struct world *w = mem_new(struct world);
    const struct placeholder *ret;
    w->policy = load(world_policy);
    w->placeholders = placeholders_new();
    w->limits = inject_limits_new();
    for (size_t i = 0; i < WORLD_NAMES; i++) {
        AUTO_FREE char *p = mem_printf("sp_ph_%s_0123456789abcdef", world_names[i]);
        AUTO_FREE char *s = mem_printf("S3cr3t/%s+0123456789", world_names[i]);
        assert_int_equal(placeholders_adopt(w->placeholders, "s1", world_names[i], p, &ret, NULL),
                         0);
        world_value(w, world_names[i], s);
    }
    assert_int_equal(placeholders_adopt(w->placeholders, "s2", "TOKEN", P_STRANGER, &ret, NULL), 0);
    w->in = (struct inject_world){.session = "s1", .placeholders = w->placeholders};
    world_tables(w);
    *state = w;
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *w = *state;
    inject_watch_unref(w->watch);
    scrub_table_unref(w->reply);
    for (size_t i = 0; i < WORLD_NAMES; i++)
        secret_done(&w->values[i]);
    inject_limits_free(w->limits);
    placeholders_free(w->placeholders);
    policy_unref(w->policy);
    free(w);
    return 0;
}

/* ---- heads as text ---- */

static inline void expand(const char *s, struct buf *out)
{
    for (; *s; s++) {
        const char *end = *s == '<' ? strchr(s, '>') : NULL;
        if (!end) {
            assert_int_equal(buf_addc(out, *s), 0);
            continue;
        }
        assert_int_equal(enc_base64(out, s + 1, (size_t)(end - s) - 1), 0);
        s = end;
    }
}

static inline struct http_text copy(struct http_head *h, const char *p, const char *end)
{
    return http_head_copy(h, p, (size_t)(end - p));
}

static inline void read_head(const char *text, struct http_head *h)
{
    AUTO(buf) b = BUF_INIT(1 << 20);
    expand(text, &b);
    http_head_init(h);
    const char *p = buf_str(&b), *end = strchrnul(p, '\n'),
               *space = memchr(p, ' ', (size_t)(end - p));
    assert_non_null(space);
    if (strncmp(p, "STATUS", 6) == 0) {
        h->status = (int)(space[1] - '0') * 100 + (space[2] - '0') * 10 + (space[3] - '0');
    } else {
        h->method = copy(h, p, space);
        h->path = copy(h, space + 1, end);
    }
    while (*end && *(p = end + 1)) {
        end = strchrnul(p, '\n');
        const char *colon = memchr(p, ':', (size_t)(end - p));
        assert_non_null(colon);
        assert_int_equal(http_head_add(h, copy(h, p, colon),
                                       copy(h, colon + (colon[1] == ' ' ? 2 : 1), end)),
                         0);
    }
}

static inline void print_head(const struct http_head *h, struct buf *out)
{
    if (h->status)
        (void)buf_addf(out, "STATUS %d\n", h->status);
    else
        (void)buf_addf(out, "%.*s %.*s\n", (int)h->method.n, h->method.p, (int)h->path.n,
                       h->path.p);
    for (size_t i = 0; i < h->fields.n; i++) {
        const struct http_field *f = &h->fields.items[i];
        (void)buf_addf(out, "%.*s: %.*s\n", (int)f->name.n, f->name.p, (int)f->value.n, f->value.p);
    }
}

static inline struct policy_decision world_ask(struct world *w, const char *host, unsigned port,
                                               enum policy_transport t, const struct http_head *h)
{
    AUTO_FREE char *method = mem_strndup(h->method.p, h->method.n);
    AUTO_FREE char *path = mem_strndup(h->path.p, h->path.n);
    assert_int_equal(host_parse(host, strlen(host), HOST_LITERALS, &w->host, NULL), 0);
    return ask(w->policy, host, port, t, method, path);
}

static inline size_t world_values(const struct world *w, const struct inject_plan *p,
                                  const struct secret *ret[POLICY_CANDIDATES_MAX])
{
    for (size_t i = 0; i < p->n_uses; i++)
        ret[i] = world_secret(w, p->uses[i].credential->name);
    return p->n_uses;
}

/* Plans and applies: what goes out, or "!why words". */
static inline void world_send(struct world *w, const char *host, unsigned port,
                              enum policy_transport t, const char *request, struct buf *out)
{
    struct http_head h;
    struct inject_plan plan = {.n_uses = 0};
    struct inject_refusal no = {.status = 0};
    const struct secret *values[POLICY_CANDIDATES_MAX];
    read_head(request, &h);
    struct policy_decision d = world_ask(w, host, port, t, &h);
    struct inject_target to = {&w->host, (uint16_t)port, t};
    int r = inject_plan(&w->in, &d, &to, &h, &plan, &no);
    if (r == 0) {
        (void)world_values(w, &plan, values);
        r = inject_apply(&plan, values, &h, &no);
        inject_plan_done(&plan);
    }
    if (r == 0)
        print_head(&h, out);
    else if (r == -E_DENIED)
        (void)buf_addf(out, "!%s %d %s: %s", inject_why_name(no.why), no.status, no.credential,
                       no.words);
    else
        (void)buf_addf(out, "error %s", err_name(r));
    http_head_done(&h);
}

/* Expects this head, or with "!why" the refusal that begins so. */
static inline void world_expect(struct world *w, const char *host, unsigned port,
                                enum policy_transport t, const char *request, const char *want)
{
    AUTO(buf) got = BUF_INIT(1 << 20), expanded = BUF_INIT(1 << 20);
    world_send(w, host, port, t, request, &got);
    expand(want, &expanded);
    bool same = want[0] == '!' ? strncmp(buf_str(&got), want, strlen(want)) == 0
                               : strcmp(buf_str(&got), buf_str(&expanded)) == 0;
    if (!same)
        fail_msg("%s:%u %s\n got  %s\n want %s", host, port, request, buf_str(&got),
                 buf_str(&expanded));
}
#define AT(state, host, request, want) world_expect(*(state), host, 443, POLICY_TLS, request, want)
#define WORLD_CASE(f)                  cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
