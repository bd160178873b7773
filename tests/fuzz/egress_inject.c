/* egress_inject.c - fuzzes what happens to a request of a sandbox that knows its placeholders.
 *
 * Theory of operation: the input is a recipe for a request: host, method, target, fields and a body of
 * pieces, which are bytes as they are, placeholders of this and other hosts and of another session, and
 * secrets, in some form (plain, percent, JSON, base64, a login). What must hold, whatever it is:
 *  - what is refused says so in words that hold no placeholder and no secret;
 *  - in a head that goes out no placeholder of the session is left, in any form;
 *  - a secret stands in it only where a place of its credential is, for its own host: the value of a named
 *    field, the login, the path or query when they are places;
 *  - a body that goes out holds no secret but the one that has a place there, and no plain placeholder
 *    of that one; and it is the same however it comes in pieces;
 *  - a head without placeholders goes out as it came. */
#include "fuzz.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/str.h"
#include "egress/inject/body.h"
#include "egress/inject/watch.h"
#include "egress/policy/path.h"

#include <string.h>

#define NAMES 5
static const char policy_text[] =
    "allow: [{host: '*'}]\n"
    "credentials:\n"
    "  - {name: HEAD, source: {env: T}, hosts: [a.example]}\n"
    "  - {name: HOOK, source: {env: T}, hosts: [a.example], inject: {path: true, query: [q], "
    "header: [x-q]}}\n"
    "  - {name: BODY, source: {env: T}, hosts: [b.example], inject: {body: true, header: "
    "[authorization]}}\n"
    "  - {name: ADD, source: {env: T}, hosts: [b.example], inject: {add: {x-add: 'Bearer "
    "{secret}'}}}\n"
    "  - {name: FAR, source: {env: T}, hosts: [c.example], paths: ['/x/**'], require: true}\n";
static const char *const names[NAMES] = {"HEAD", "HOOK", "BODY", "ADD", "FAR"};
static const char *const marks[NAMES] = {"ph_HEAD_4f8a2b1e9c3d", "ph/HOOK+4f8a2b1e9c3d",
                                         "ph_BODY_4f8a2b1e9c3d", "ph_ADD_4f8a2b1e9c3d",
                                         "ph_FAR_4f8a2b1e9c3d"};
static const char *const secrets[NAMES] = {"s3c_HEAD/7d6e5f", "s3c_HOOK\"7d6e5f",
                                           "s3c_BODY\"7&6e5f", "s3c_ADD\\7d6e5f",
                                           "s3c_FAR%417d6e5f"};
static const char stranger[] = "ph_else_4f8a2b1e9c3d";

static struct world {
    struct policy *policy;
    struct placeholders *placeholders;
    struct secret values[NAMES];
    struct inject_watch *watch;
    struct scrub_table *find; /* secrets alone */
    struct inject_world in;
} w;

static void make_world(void)
{
    const struct placeholder *p;
    struct scrub_pair pairs[NAMES];
    struct inject_secret known[NAMES];
    MUST(policy_parse(policy_text, strlen(policy_text), &w.policy, NULL) == 0);
    w.placeholders = placeholders_new();
    for (size_t i = 0; i < NAMES; i++) {
        MUST(placeholders_adopt(w.placeholders, "s", names[i], marks[i], &p, NULL) == 0);
        MUST(secret_set(&w.values[i], secrets[i], strlen(secrets[i])) == 0);
        known[i] = (struct inject_secret){names[i], &w.values[i]};
        pairs[i] = (struct scrub_pair){names[i], secrets[i], strlen(secrets[i]), "-", 1};
    }
    MUST(placeholders_adopt(w.placeholders, "t", "HEAD", stranger, &p, NULL) == 0);
    MUST(inject_watch_new(w.placeholders, "s", known, NAMES, &w.watch, NULL) == 0);
    MUST(scrub_table_new(pairs, NAMES, SCRUB_ALL, &w.find, NULL) == 0);
    w.in = (struct inject_world){"s", w.placeholders, w.watch, NULL, 0};
}

/* ---- the recipe ---- */

struct recipe {
    const uint8_t *p;
    size_t n;
};

static uint8_t next(struct recipe *r)
{
    return r->n ? r->n--, *r->p++ : 0;
}

static void add_form(struct recipe *r, const char *s, size_t n, struct buf *out)
{
    uint8_t how = next(r);
    AUTO(buf) b = BUF_INIT(4096);
    for (size_t i = 0; i < n && how % 8 >= 1 && how % 8 <= 3; i++) {
        bool as_is = how >> 3 && next(r) % (how >> 3);
        if (as_is)
            (void)buf_addc(&b, s[i]);
        else
            (void)buf_addf(&b,
                           how % 8 == 1   ? "%%%02X"
                           : how % 8 == 2 ? "\\u%04x"
                                          : "&#%d;",
                           (unsigned char)s[i]);
    }
    switch (how % 8) {
    case 1:
    case 2:
    case 3:
        (void)buf_add(out, buf_str(&b), b.len);
        return;
    case 4:
        for (size_t k = how >> 3; k > 0; k--)
            (void)buf_addc(&b, (char)next(r));
        (void)buf_add(&b, s, n);
        (void)enc_base64(out, b.data, b.len);
        return;
    case 5:
        (void)buf_adds(&b, how & 8 ? "me:" : "");
        (void)buf_add(&b, s, n);
        (void)buf_adds(&b, how & 16 ? ":x" : how & 32 ? "" : ":ph_HEAD_4f8a2b1e9c3d");
        (void)buf_adds(out, "Basic ");
        (void)enc_base64(out, b.data, b.len);
        return;
    default:
        (void)buf_add(out, s, n);
    }
}

/* Text of pieces, without the bytes that the readers of heads refuse. */
static void add_text(struct recipe *r, struct buf *out)
{
    for (int pieces = next(r) % 6; pieces > 0; pieces--) {
        uint8_t what = next(r);
        if (what < 100) {
            for (int k = what % 16; k > 0; k--) {
                uint8_t c = next(r);
                (void)buf_addc(out, c > ' ' && c != 0x7f ? (char)c : ' ');
            }
        } else if (what < 200) {
            add_form(r, marks[what % NAMES], strlen(marks[what % NAMES]), out);
        } else if (what < 215) {
            add_form(r, stranger, strlen(stranger), out);
        } else if (what < 225) {
            add_form(r, secrets[what % NAMES], strlen(secrets[what % NAMES]), out);
        } else {
            static const char *const words[] = {"Bearer ", "Basic ", "q=", "&q=", "?",
                                                "/",       "&",      "%",  "\\"};
            (void)buf_adds(out, words[what % ARRAY_LEN(words)]);
        }
    }
}

static const char *const field_names[] = {
    "authorization", "x-api-key",           "x-q", "x-add", "user-agent",
    "cookie",        "proxy-authorization", "x"};
static const char *const hosts[] = {"a.example", "b.example", "c.example", "d.example"};
static const char *const types[] = {"application/json", "text/plain", "image/png",
                                    "application/x-www-form-urlencoded"};

static struct http_text take(struct http_head *h, struct buf *b)
{
    while (b->len && b->data[b->len - 1] == ' ')
        b->len--;
    size_t from = 0;
    while (from < b->len && b->data[from] == ' ')
        from++;
    struct http_text t = http_head_copy(h, buf_str(b) + from, b->len - from);
    buf_reset(b);
    return t;
}

static void make_head(struct recipe *r, struct http_head *h, struct buf *target)
{
    AUTO(buf) b = BUF_INIT(64u << 10);
    http_head_init(h);
    h->method = next(r) % 4 ? HTTP_TEXT("GET") : HTTP_TEXT("POST");
    (void)buf_addc(target, '/');
    add_text(r, target);
    for (size_t i = 0; i < target->len; i++)
        if (target->data[i] == ' ')
            target->data[i] = '_';
    h->path = http_head_copy(h, target->data, target->len);
    for (int n = next(r) % 5; n > 0; n--) {
        const char *name = field_names[next(r) % ARRAY_LEN(field_names)];
        add_text(r, &b);
        MUST(http_head_add(h, http_text_of(name), take(h, &b)) == 0);
    }
    if (next(r) % 2) {
        h->body = HTTP_BODY_STREAM;
        MUST(http_head_add(h, HTTP_TEXT("content-type"), http_text_of(types[next(r) % 4])) == 0);
    }
}

/* ---- what must hold ---- */

static uint64_t found(struct scrub_table *t, const void *p, size_t n)
{
    uint64_t hits = 0;
    MUST(n == 0 || scrub_text(t, p, n, SCRUB_QUOTE_NONE, NULL, &hits) == 0);
    return hits;
}

/* No placeholder of the session, in any form. */
static void check_text(struct http_text t)
{
    AUTO(scrub_stream) s = {0};
    scrub_begin(&s, w.watch->table, SCRUB_QUOTE_NONE, true);
    MUST(scrub_whole(&s, t.p, t.n, NULL) == 0);
    MUST(watch_placeholder_found(w.watch, &s, 0) == w.watch->n_placeholders);
}

static void check_words(const struct inject_refusal *no)
{
    MUST(no->status >= 400 && no->words[0]);
    MUST(found(w.watch->table, no->words, strlen(no->words)) == 0);
}

/* Whether a field of this name may hold the secret of a credential, towards this host. */
static bool may_hold(const char *host, struct http_text name, size_t i)
{
    bool login = http_text_eq(name, "authorization"),
         key = http_text_eq(name, "x-api-key") || http_text_eq(name, "proxy-authorization");
    switch (i) {
    case 0:
        return str_eq(host, "a.example") && (login || key);
    case 1:
        return str_eq(host, "a.example") && http_text_eq(name, "x-q");
    case 2:
        return str_eq(host, "b.example") && login;
    case 3:
        return str_eq(host, "b.example") && http_text_eq(name, "x-add");
    default:
        return str_eq(host, "c.example") && (login || key);
    }
}

static void check_value(const char *host, const struct http_field *f)
{
    AUTO(scrub_stream) s = {0};
    scrub_begin(&s, w.find, SCRUB_QUOTE_NONE, true);
    MUST(scrub_feed(&s, f->value.p, f->value.n, NULL) == 0 && scrub_end(&s, NULL) == 0);
    for (size_t i = 0; s.hits && i < NAMES; i++)
        MUST(!s.by_pair[i] || (may_hold(host, f->name, i) && f->sensitive));
}

static void check_head(const char *host, const struct http_head *h)
{
    AUTO(scrub_stream) s = {0};
    for (size_t i = 0; i < h->fields.n; i++) {
        const struct http_field *f = &h->fields.items[i];
        check_text(f->value);
        check_value(host, f);
    }
    check_text(h->path);
    scrub_begin(&s, w.find, SCRUB_QUOTE_NONE, true);
    MUST(scrub_feed(&s, h->path.p, h->path.n, NULL) == 0 && scrub_end(&s, NULL) == 0);
    for (size_t i = 0; s.hits && i < NAMES; i++)
        MUST(!s.by_pair[i] || (i == 1 && str_eq(host, "a.example")));
}

static int run_body(const struct inject_plan *plan, const struct secret *const values[],
                    struct http_head *h, const struct buf *body, size_t piece, struct buf *out,
                    struct inject_refusal *no)
{
    struct inject_body b;
    MUST(inject_body_begin(&b, plan, values, h) == 0);
    int r = 0;
    for (size_t at = 0; at < body->len && r == 0; at += piece) {
        const uint8_t *p = (const uint8_t *)body->data + at;
        size_t n = body->len - at < piece ? body->len - at : piece;
        while ((r = inject_body_feed(&b, &p, &n, out, no)) == 1)
            ;
    }
    if (r == 0)
        r = inject_body_end(&b, out, no);
    inject_body_done(&b);
    return r;
}

static void check_body(const struct inject_plan *plan, const struct secret *const values[],
                       struct http_head *h, struct recipe *r)
{
    AUTO(buf) body = BUF_INIT(64u << 10), one = BUF_INIT(1u << 20), two = BUF_INIT(1u << 20);
    struct inject_refusal no, other;
    bool swaps = false;
    for (size_t i = 0; i < plan->n_uses; i++)
        swaps = swaps || plan->uses[i].body;
    for (int n = next(r) % 4; n > 0; n--)
        add_text(r, &body);
    uint64_t sent = found(w.find, body.data, body.len);
    int a = run_body(plan, values, h, &body, 1 + next(r) % 9, &one, &no);
    int b = run_body(plan, values, h, &body, 1u << 20, &two, &other);
    MUST(a == b && (a == 0 || (a == -E_DENIED && no.why == other.why)));
    if (a < 0) {
        check_words(&no);
        return;
    }
    MUST(one.len == two.len && memcmp(buf_str(&one), buf_str(&two), one.len) == 0);
    if (swaps)
        MUST(!one.len || !memmem(one.data, one.len, marks[2], strlen(marks[2])));
    else
        MUST(sent == 0 && one.len == body.len &&
             (!one.len || memcmp(one.data, body.data, one.len) == 0));
}

static void run_request(const char *host_text, struct http_head *h, struct recipe *r)
{
    static char canonical[3 * PATH_TARGET_MAX + 1];
    struct host host;
    struct policy_decision d;
    struct inject_plan plan;
    struct inject_refusal no;
    const struct secret *values[POLICY_CANDIDATES_MAX];
    MUST(host_parse(host_text, strlen(host_text), 0, &host, NULL) == 0);
    AUTO_FREE char *method = mem_strndup(h->method.p, h->method.n);
    struct policy_query q = {.host = &host, .port = 443, .transport = POLICY_TLS, .method = method};
    if (path_canonical(h->path.p, h->path.n, canonical, &q.path_n, &q.path_why) == 0)
        q.path = canonical;
    policy_decide(w.policy, &q, &d);
    struct inject_target to = {&host, 443, POLICY_TLS};
    int c = inject_plan(&w.in, &d, &to, h, &plan, &no);
    MUST(c == 0 || c == -E_DENIED);
    if (c < 0) {
        check_words(&no);
        return;
    }
    for (size_t i = 0; i < plan.n_uses; i++)
        for (size_t k = 0; k < NAMES; k++)
            if (str_eq(plan.uses[i].credential->name, names[k]))
                values[i] = &w.values[k];
    struct http_text path = h->path;
    size_t fields = h->fields.n;
    if (h->body != HTTP_BODY_NONE)
        check_body(&plan, values, h, r);
    MUST(inject_apply(&plan, values, h, &no) == 0);
    MUST(plan.n_sites || (h->path.p == path.p && h->fields.n == fields));
    check_head(host_text, h);
    inject_plan_done(&plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct recipe r = {data, n};
    struct http_head h;
    AUTO(buf) target = BUF_INIT(64u << 10);
    if (!w.policy)
        make_world();
    const char *host = hosts[next(&r) % ARRAY_LEN(hosts)];
    make_head(&r, &h, &target);
    run_request(host, &h, &r);
    http_head_done(&h);
    return 0;
}
