/* gateway_status.c - `sallyport gateway status`: a running gateway at a glance.
 *
 * Asks the gateway's admin listener (GET /status), which is on this machine, and prints what it says. Where
 * the listener is comes from --admin, or from the configuration that the gateway was started with. Hosts that
 * callers asked for and words about private servers are in the answer: it goes through the terminal's escapes.
 * No gateway there, or something else: one sentence and exit code 1. */
#include "base/address.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/client/api_client.h"
#include "cmd/cmd.h"
#include "cmd/gateway.h"
#include "cmd/line/flags.h"
#include "cmd/line/term.h"
#include "tunnel/gateway/config.h"

#include <stdio.h>

#define BY_DEFAULT "127.0.0.1:8403"
#define ANSWER_MAX (4u << 20)
#define ASK_MS     10000

struct status {
    const char *config, *admin;
    bool json;
};

/* ---- printing ---- */

static int64_t time_in(const json_t *o, const char *key)
{
    const char *text = json_get_str(o, key);
    int64_t t = 0;
    return text && time_parse(text, &t) == 0 ? t : 0;
}

static void print_word(const json_t *o, const char *key)
{
    const char *text = json_get_str(o, key);
    term_print_word(stdout, text ? text : "-");
}

static void print_label(const char *label, bool first)
{
    printf("%s%-12s%s", term_on(stdout, TERM_BOLD), first ? label : "", term_off(stdout));
}

/* How long ago, in `ret`. */
static const char *ago(const json_t *all, const json_t *o, const char *key, char ret[32])
{
    int64_t t = time_in(o, key);
    return t ? term_age(time_in(all, "now") - t, ret) : "-";
}

/* What goes behind a number of things. */
static const char *plural(long long n)
{
    return n == 1 ? "" : "s";
}

/* What needs somebody's attention, in its colour. */
static void print_trouble(const char *label, const json_t *o)
{
    if (!json_get_str(o, "trouble"))
        return;
    printf("%-12s%s%s", "", term_on(stdout, TERM_RED), label);
    print_word(o, "trouble");
    printf("%s\n", term_off(stdout));
}

static void print_head(const json_t *j)
{
    char up[32], taken[32];
    const long long callers = json_get_int(j, "callers", 0);
    const json_t *edge = json_object_get(j, "edge"), *config = json_object_get(j, "config");
    print_label("gateway", true);
    printf("version ");
    print_word(j, "version");
    printf(", up %s%s, domain ", ago(j, j, "started_at", up),
           json_get_bool(j, "stopping", false) ? ", stopping" : "");
    print_word(j, "tunnel_domain");
    putchar('\n');
    print_label("files", true);
    print_word(config, "file");
    printf(", taken %s ago (set %lld)\n", ago(j, config, "taken_at", taken),
           (long long)json_get_int(config, "generation", 0));
    print_trouble("a change is not taken: ", config);
    if (json_get_str(j, "listen")) {
        print_label("listens", true);
        print_word(j, "listen");
        putchar('\n');
    }
    print_label("edge", true);
    print_word(edge, "host");
    if (json_get_str(edge, "host"))
        printf(":%lld", (long long)json_get_int(edge, "port", 0));
    if (json_get_str(edge, "proxy")) {
        printf(" through ");
        print_word(edge, "proxy");
        if (str_eq(json_get_str(edge, "proxy_from"), "HTTPS_PROXY"))
            printf(" (HTTPS_PROXY)");
    }
    printf(", %lld caller%s\n", callers, plural(callers));
    print_trouble("", edge);
}

static void print_connections(const json_t *j)
{
    size_t i;
    json_t *o;
    json_array_foreach (json_object_get(j, "connections"), i, o) {
        char age[32];
        const long long callers = json_get_int(o, "callers", 0);
        const long long failures = json_get_int(o, "failures", 0);
        int64_t rtt_us = json_get_int(o, "rtt_us", -1), seconds = json_get_int(o, "seconds", -1);
        print_label("connections", i == 0);
        print_word(o, "state");
        if (seconds >= 0)
            printf(" %s", term_age(seconds * US_PER_S, age));
        if (rtt_us >= 0)
            printf(", ping %.1f ms", (double)rtt_us / 1000);
        printf(", %lld caller%s", callers, plural(callers));
        if (failures)
            printf(", %lld failure%s in a row", failures, plural(failures));
        putchar('\n');
    }
}

static void print_certificate(const json_t *j)
{
    char left[32];
    const json_t *o = json_object_get(j, "certificate");
    int64_t us = time_in(o, "ends_at") - time_in(j, "now");
    print_label("certificate", true);
    print_word(o, "hosts");
    printf(", ");
    printf(us > 0 ? "ends in %s" : "has ended", term_age(us, left));
    printf(", signed by ");
    print_word(o, "issuer");
    putchar('\n');
}

/* What a person is waited for. */
static void print_decisions(const json_t *j)
{
    const json_t *o = json_object_get(j, "decisions");
    const long long pinned = json_get_int(o, "tools_pinned", 0);
    const long long tools = json_get_int(o, "tools_waiting", 0);
    const long long calls = json_get_int(o, "calls_waiting", 0);
    if (!json_is_object(o))
        return;
    print_label("decisions", true);
    printf("%lld tool%s pinned, %s%lld wait%s%s%s, %s%lld call%s wait%s%s%s\n", pinned,
           plural(pinned), tools ? term_on(stdout, TERM_YELLOW) : "", tools, tools == 1 ? "s" : "",
           tools ? " (sallyport gateway pins list)" : "", tools ? term_off(stdout) : "",
           calls ? term_on(stdout, TERM_YELLOW) : "", calls, plural(calls), calls == 1 ? "s" : "",
           calls ? " (sallyport gateway pending)" : "", calls ? term_off(stdout) : "");
}

static void print_route(const json_t *j, const json_t *o)
{
    char t[32];
    const json_t *n = json_object_get(o, "requests");
    bool up = str_eq(json_get_str(o, "state"), "up");
    printf("%s", term_on(stdout, up ? TERM_GREEN : TERM_RED));
    print_word(o, "state");
    printf("%s  ", term_off(stdout));
    print_word(o, "route");
    printf(" -> ");
    print_word(o, "upstream");
    printf(", probed %s ago, %lld answered, %lld refused, %lld failed\n", ago(j, o, "probed_at", t),
           (long long)json_get_int(n, "answered", 0), (long long)json_get_int(n, "refused", 0),
           (long long)json_get_int(n, "failed", 0));
    const long long processes = json_get_int(o, "processes", -1);
    const long long sessions = json_get_int(o, "sessions", 0);
    if (processes >= 0)
        printf("%-12s%lld process%s, %lld session%s\n", "", processes, processes == 1 ? "" : "es",
               sessions, plural(sessions));
    if (json_get_str(o, "why")) {
        printf("%-12s%s%s: ", "", term_on(stdout, TERM_RED), json_get_str(o, "source"));
        print_word(o, "why");
        printf("%s\n", term_off(stdout));
    }
}

static void print_rest(const json_t *j)
{
    size_t i;
    json_t *o;
    char t[32];
    json_array_foreach (json_object_get(j, "routes"), i, o) {
        print_label("routes", i == 0);
        print_route(j, o);
    }
    print_decisions(j);
    json_array_foreach (json_object_get(j, "failures"), i, o) {
        print_label("failures", i == 0);
        printf("%s ago, %lld %s: ", ago(j, o, "at", t), (long long)json_get_int(o, "status", 0),
               json_get_str(o, "source"));
        print_word(o, "host");
        printf(": ");
        print_word(o, "why");
        putchar('\n');
    }
    if (i == 0)
        printf("%-12sno caller was told of one\n", "failures");
}

static int print(const struct status *c, const json_t *j)
{
    if (c->json) {
        size_t n;
        AUTO_FREE char *text = json_text(j, &n);
        term_print_json(stdout, text, n);
        return 0;
    }
    print_head(j);
    print_connections(j);
    print_certificate(j);
    print_rest(j);
    return 0;
}

/* ---- asking ---- */

char *gateway_admin_address(const struct gateway_config *c)
{
    char text[ADDRESS_TEXT_MAX];
    if (!c->admin.port)
        return mem_strdup(BY_DEFAULT);
    return mem_printf(address_is_ipv4(&c->admin.address) ? "%s:%u" : "[%s]:%u",
                      address_text(&c->admin.address, text), c->admin.port);
}

/* Where the gateway with this configuration listens. malloc'ed; NULL with words. */
static char *find_admin(const struct status *c, struct err *e)
{
    struct gateway_config *config;
    if (c->admin)
        return mem_strdup(c->admin);
    AUTO_FREE char *usual = c->config ? NULL : gateway_config_to_look_at();
    int r = gateway_config_read(c->config ? c->config : usual, &config, e);
    if (r == -ENOENT && !c->config)
        return mem_strdup(BY_DEFAULT); /* there may be one all the same */
    if (r < 0)
        return NULL;
    char *found = gateway_admin_address(config);
    gateway_config_unref(config);
    return found;
}

static int read_answer(const char *admin, const struct client_response *a, json_t **ret,
                       struct err *e)
{
    struct err ignored = {0};
    json_t *j = NULL;
    int r = a->status == 200 ? json_parse(buf_str(&a->body), a->body.len, &j, &ignored) : -E_PROTO;
    if (r == 0 && str_eq(json_get_str(j, "type"), "gateway_status")) {
        *ret = j;
        return 0;
    }
    json_decref(j);
    return err_set(e, -E_PROTO,
                   "what answers at %s is no gateway of this version (%d); --admin names its "
                   "admin listener",
                   admin, a->status);
}

int gateway_status_ask(const char *admin, json_t **ret, struct err *e)
{
    struct client_response a = {0};
    struct http_client *http = http_client_new("sallyport-cli/" SALLYPORT_VERSION, e);
    if (!http)
        return e->code;
    AUTO_FREE char *url = mem_printf("http://%s/status", admin);
    const struct client_request q = {.method = "GET", .url = url};
    struct fiber_deadline d = fiber_deadline_push_ms(ASK_MS);
    int r = client_fetch(http, &q, ANSWER_MAX, &a, e);
    fiber_deadline_pop(&d);
    if (r == 0)
        r = read_answer(admin, &a, ret, e);
    else if (r == -ECONNREFUSED)
        (void)err_set(
            e, r,
            "no gateway runs here: nobody listens at %s. `sallyport gateway --config FILE` starts "
            "one; --admin names another listener",
            admin);
    client_response_done(&a);
    http_client_free(http);
    return r;
}

static int run(void *arg)
{
    const struct status *c = arg;
    struct err e = {0};
    AUTO_JSON json_t *j = NULL;
    AUTO_FREE char *admin = find_admin(c, &e);
    int r = admin ? gateway_status_ask(admin, &j, &e) : e.code;
    if (r == 0)
        return print(c, j);
    fputs("sallyport gateway status: ", stderr);
    term_print_word(stderr, e.msg[0] ? e.msg : err_text(r));
    fputc('\n', stderr);
    return 1;
}

int cmd_gateway_status(int argc, char **argv)
{
    struct status c = {.json = false};
    struct flag flags[] = {
        {"config", "FILE",
         "the gateway's configuration, for where its admin listener is (gateway.yaml, here or "
         "where init or up puts it)",
         FLAG_FILE, .ptr = &c.config, .line_only = true},
        {"admin", "ADDRESS", "the admin listener (as in the file, or " BY_DEFAULT ")", FLAG_TEXT,
         .ptr = &c.admin, .line_only = true},
        {"json", NULL, "print the gateway's answer as JSON", FLAG_BOOL, .ptr = &c.json,
         .line_only = true},
    };
    struct flag_set set = {
        .command = "gateway status",
        .summary =
            "Shows a running gateway: connections to the edge, routes, certificate, failures.",
        .details = "Exit status: 0 it was asked; 1 no gateway answers; 2 wrong usage.",
        .flags = flags,
        .n_flags = ARRAY_LEN(flags),
    };
    int code = flags_main(&set, argc, argv, NULL, NULL);
    return code >= 0 ? code : api_client_run(run, &c);
}
