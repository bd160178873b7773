/* self_test.c - one sandbox, three requests, and what came of them.
 *
 * On the worker's first fiber, before it serves. What the sandbox prints is looked at as a
 * stranger's would be: a few sentences of it decide, and none of it is believed beyond that. The
 * requests are made by bash itself, since an image may hold no other client. */
#include "cmd/self_test.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/str.h"
#include "egress/ctl/messages.h"
#include "egress/policy/policy.h"
#include "fiber/fiber.h"
#include "http/server/server.h"
#include "io/sock.h"

#define VARIABLE     "SALLYPORT_SELF_TEST"
#define UNLISTED     "unlisted.self-test.example"
#define SECRET_BYTES 24
#define CALL_MS      20000
#define OUTPUT_MAX   (256u << 10)

struct self_test {
    struct scope scope;
    struct http_server *origin;
    char secret[2 * SECRET_BYTES + 1];
    char variable[sizeof(VARIABLE) + 2 * SECRET_BYTES + 1]; /* VARIABLE=secret */
    uint16_t port;
    bool asked, swapped; /* what the origin has seen */
    bool refuses;        /* the policy, a host that no rule names */
    bool strict;         /* it does not even resolve */
};

/* ---- the origin ---- */

static void answer(struct http_exchange *x, void *arg)
{
    struct self_test *t = arg;
    const char *sent = h1_header_get(http_request(x), "authorization", NULL);
    AUTO(buf) body = BUF_INIT(4096);
    t->asked = true;
    t->swapped = sent && str_starts(sent, "Bearer ") && str_eq(sent + 7, t->secret);
    (void)buf_addf(&body, "echo=%s=\n", sent ? sent : "");
    (void)http_reply(x, 200, "text/plain", buf_str(&body), body.len);
}

static int serve(void *arg)
{
    struct self_test *t = arg;
    return http_server_run(t->origin);
}

static int open_origin(struct self_test *t, struct err *e)
{
    char addr[SOCK_ADDR_MAX];
    const struct http_server_config c = {.listen = "127.0.0.1:0", .handler = answer, .arg = t};
    t->origin = http_server_new(&c, addr, e);
    const char *colon = t->origin ? strrchr(addr, ':') : NULL;
    uint64_t port;
    if (!colon || str_to_u64(colon + 1, strlen(colon + 1), 65535, &port) < 0)
        return t->origin ? err_set(e, -EIO, "%s: has no port", addr) : e->code;
    t->port = (uint16_t)port;
    return fiber_spawn(&t->scope, "self-test", serve, t, NULL);
}

/* ---- the policy ---- */

static json_t *list_of(json_t *o, const char *name)
{
    json_t *list = json_object_get(o, name);
    if (!list) {
        list = json_array();
        json_put(o, name, list);
    }
    return list;
}

static json_t *extended(const struct self_test *t, const json_t *policy, struct err *e)
{
    json_t *o = json_deep_copy(policy);
    AUTO_FREE char *place = mem_printf("%s:%u", EGRESS_SELF_TEST_HOST, t->port);
    json_t *rule = json_pack("{s:s, s:i, s:[s]}", "host", EGRESS_SELF_TEST_HOST, "port", t->port,
                             "addresses", "127.0.0.1");
    json_t *credential = json_pack("{s:s, s:{s:s}, s:[s], s:b}", "name", VARIABLE, "source", "env",
                                   VARIABLE, "hosts", place, "plaintext", 1);
    if (!o || json_array_append_new(list_of(o, "allow"), rule) < 0 ||
        json_array_append_new(list_of(o, "credentials"), credential) < 0) {
        json_decref(o);
        err_set(e, -EINVAL, "egress: allow and credentials must be lists");
        return NULL;
    }
    return o;
}

/* A policy may allow every host, or only observe: then there is no refusal to be seen. */
static int look_at_policy(struct self_test *t, const json_t *policy, struct err *e)
{
    struct policy *p;
    struct host h;
    struct policy_decision d;
    int r = policy_new(policy, "egress", NULL, &p, e);
    if (r < 0)
        return r;
    MUST(host_parse(UNLISTED, strlen(UNLISTED), 0, &h, NULL) == 0);
    const struct policy_query q = {.host = &h, .port = 80, .transport = POLICY_PLAIN};
    policy_decide(p, &q, &d);
    t->refuses = d.verdict == POLICY_DENY;
    t->strict = policy_settings(p)->dns_strict;
    policy_unref(p);
    return 0;
}

int self_test_begin(const json_t *policy, struct self_test **ret, json_t **ret_policy,
                    struct err *e)
{
    struct self_test *t = mem_new(struct self_test);
    unsigned char bytes[SECRET_BYTES];
    scope_init(&t->scope);
    rng_bytes(bytes, sizeof(bytes));
    enc_hex(bytes, sizeof(bytes), t->secret);
    snprintf(t->variable, sizeof(t->variable), "%s=%s", VARIABLE, t->secret);
    int r = look_at_policy(t, policy, e);
    if (r >= 0)
        r = open_origin(t, e);
    json_t *with = r < 0 ? NULL : extended(t, policy, e);
    if (r >= 0 && !with)
        r = e->code;
    if (r < 0) {
        json_decref(with);
        self_test_end(t);
        return r;
    }
    *ret = t;
    *ret_policy = with;
    return 0;
}

const char *self_test_variable(const struct self_test *t)
{
    return t->variable;
}

/* ---- the attempt ---- */

static char *script(const struct self_test *t)
{
    return mem_printf(
        "ask() { exec 3<>\"/dev/tcp/$1/$2\" || return; printf 'GET / HTTP/1.1\\r\\nHost: "
        "%%s:%%s\\r\\n"
        "Connection: close\\r\\n%%s\\r\\n' \"$1\" \"$2\" \"$3\" >&3; cat <&3; exec 3>&-; }\n"
        "echo \"placeholder=$%s=\"\n"
        "ask %s %u \"Authorization: Bearer $%s\"$'\\r\\n'\n"
        "ask %s 80 ''\n",
        VARIABLE, EGRESS_SELF_TEST_HOST, t->port, VARIABLE, UNLISTED);
}

/* What stands between `mark` and the next '='; -ENOENT. */
static int piece(const char *text, const char *mark, const char **ret, size_t *ret_n)
{
    const char *at = strstr(text, mark);
    const char *end = at ? strchr(at + strlen(mark), '=') : NULL;
    if (!end)
        return -ENOENT;
    *ret = at + strlen(mark);
    *ret_n = (size_t)(end - *ret);
    return 0;
}

static int look(const struct self_test *t, const char *out, struct err *e)
{
    const char *placeholder, *echo;
    size_t n, echo_n;
    int verdict = -E_DENIED;
    if (strstr(out, t->secret))
        return err_set(e, verdict, "an echoed secret came back into the sandbox");
    if (piece(out, "placeholder=", &placeholder, &n) < 0 || n == 0)
        return err_set(e, verdict, "the sandbox has no placeholder: %.200s", out);
    if (!t->asked)
        return err_set(e, verdict, "a listed host could not be reached from inside: %.200s", out);
    if (!t->swapped)
        return err_set(e, verdict, "the placeholder was not replaced by the secret");
    if (piece(out, "echo=Bearer ", &echo, &echo_n) < 0 || echo_n != n ||
        memcmp(echo, placeholder, n) != 0)
        return err_set(e, verdict, "an echo of the secret did not come back as the placeholder");
    const bool told = strstr(out, "403 ") && strstr(out, "egress_denied");
    const bool unknown = t->strict && strstr(out, UNLISTED ": ");
    if (t->refuses && !told && !unknown)
        return err_set(e, verdict, "an unlisted host was not refused: %.200s", out);
    verdict = 0;
    return verdict;
}

static char *text_of(const struct box_result *r)
{
    AUTO(buf) all = BUF_INIT(OUTPUT_MAX);
    size_t i;
    json_t *block;
    json_array_foreach (r->content, i, block) {
        const char *text = json_get_str(block, "text");
        (void)buf_adds(&all, text ? text : "");
    }
    return buf_take(&all, NULL);
}

static int try_in(struct self_test *t, struct box *b, struct err *e)
{
    AUTO(box_result) result = {.content = NULL};
    AUTO_FREE char *command = script(t);
    AUTO_JSON json_t *input = json_new_object();
    json_put_str(input, "command", command);
    int r = box_call(b, "bash", input, CALL_MS, &result, e);
    if (r < 0)
        return r;
    AUTO_FREE char *out = text_of(&result);
    return look(t, out, e);
}

int self_test_run(struct self_test *t, const struct box_host_config *boxes, struct err *e)
{
    struct box_host *h = NULL;
    struct box *b = NULL;
    const struct box_spec spec = {.session_id = "self-test", .sandbox = boxes->warm_spec};
    int r = box_host_start(boxes, &h, e);
    if (r >= 0)
        r = box_open(h, &spec, &b, e);
    if (r >= 0)
        r = try_in(t, b, e);
    box_close(b);
    box_host_stop(h);
    return r < 0 ? err_wrap(e, r, "egress: self-test from inside a sandbox") : 0;
}

void self_test_end(struct self_test *t)
{
    if (!t)
        return;
    if (t->origin)
        http_server_stop(t->origin, 0);
    scope_done(&t->scope);
    http_server_free(t->origin);
    explicit_bzero(t, sizeof(*t));
    free(t);
}
