/* gateway_pending.c - `sallyport gateway pending`, `approve`, `deny`: calls that wait for a person.
 *
 * Asks the running gateway at its control socket. Arguments were written by a model or by whoever has told it what to
 * do, and are there to be judged: they are printed whole and through the terminal's escapes, so that nothing in
 * them looks like something else. An id stands for one call that is held as it came; there is nothing between what is
 * shown and what is sent. */
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/client/api_client.h"
#include "cmd/gateway.h"
#include "cmd/gateway_control.h"
#include "cmd/line/flags.h"
#include "cmd/line/term.h"

#include <stdio.h>
#include <string.h>

struct decide_command {
    const char *verb, *config, *reason, *id;
    bool json;
};

static void print_line(const json_t *o, const char *label, const char *key)
{
    const char *text = json_get_str(o, key);
    if (!text)
        return;
    printf("  %-10s", label);
    if (text[0] == '{')
        term_print_json(stdout, text, strlen(text));
    else {
        term_print_word(stdout, text);
        putchar('\n');
    }
}

static void print_call(const json_t *o)
{
    char age[32], left[32];
    int64_t asked = 0, until = 0, now = time_real_us();
    const char *at = json_get_str(o, "asked_at"), *to = json_get_str(o, "expires_at");
    if (!at || time_parse(at, &asked) < 0 || !to || time_parse(to, &until) < 0)
        asked = until = now;
    printf("%s%s%s  ", term_on(stdout, TERM_BOLD), json_get_str(o, "id"), term_off(stdout));
    term_print_word(stdout, json_get_str(o, "route"));
    printf(": ");
    term_print_word(stdout, json_get_str(o, "tool"));
    printf("  (waits for %s, %s left)\n", term_age(now - asked, age), term_age(until - now, left));
    print_line(o, "arguments", "arguments");
    print_line(o, "also", "also");
    print_line(o, "path", "path");
    print_line(o, "caller", "caller");
    print_line(o, "client", "client");
    print_line(o, "rule", "rule");
    print_line(o, "sha256", "digest");
}

static int ask(const struct decide_command *c, json_t **ret, struct err *e)
{
    AUTO_JSON json_t *request = json_new_object();
    json_put_str(request, "do", "pending");
    return gateway_control(c->config, request, ret, e);
}

static int pending(const struct decide_command *c, struct err *e)
{
    AUTO_JSON json_t *all = NULL;
    size_t i;
    json_t *o;
    int r = ask(c, &all, e);
    if (r < 0)
        return r;
    if (c->json) {
        size_t n;
        AUTO_FREE char *text = json_text(all, &n);
        term_print_json(stdout, text, n);
        return 0;
    }
    json_array_foreach (json_object_get(all, "calls"), i, o)
        print_call(o);
    if (i == 0)
        printf("no call waits\n");
    return 0;
}

static int decide(const struct decide_command *c, struct err *e)
{
    AUTO_JSON json_t *request = json_new_object(), *answer = NULL, *all = NULL;
    size_t i;
    json_t *o;
    int r = ask(c, &all, e);
    if (r < 0)
        return r;
    json_array_foreach (json_object_get(all, "calls"), i, o)
        if (json_get_str(o, "id") && str_eq(json_get_str(o, "id"), c->id))
            print_call(o);
    json_put_str(request, "do", "decide");
    json_put_str(request, "id", c->id);
    json_put_bool(request, "approve", str_eq(c->verb, "approve"));
    json_put_str(request, "reason", c->reason);
    r = gateway_control(c->config, request, &answer, e);
    if (r == 0)
        printf("%s\n", str_eq(c->verb, "approve") ? "approved" : "denied");
    return r;
}

static int act(void *arg)
{
    const struct decide_command *c = arg;
    struct err e = {0};
    int r = str_eq(c->verb, "pending") ? pending(c, &e) : decide(c, &e);
    if (r < 0) {
        fprintf(stderr, "sallyport gateway %s: ", c->verb);
        term_print_word(stderr, e.msg[0] ? e.msg : err_text(r));
        fputc('\n', stderr);
    }
    return r < 0;
}

static int run(struct decide_command *c, struct flag_set *set, int argc, char **argv)
{
    int n = 0, code = flags_main(set, argc, argv, NULL, &n);
    if (code >= 0)
        return code;
    c->id = n ? argv[1] : NULL;
    term_show_all();
    return term_flushed(api_client_run(act, c));
}

#define CONFIG_FLAG(c)                                                                             \
    {                                                                                              \
        "config", "FILE",                                                                          \
            "the gateway's configuration, for where its state is (gateway.yaml, here or where "    \
            "init or up puts it)",                                                                 \
            FLAG_FILE, .ptr = &(c).config, .line_only = true                                       \
    }

int cmd_gateway_pending(int argc, char **argv)
{
    struct decide_command c = {.verb = "pending"};
    struct flag flags[] = {
        CONFIG_FLAG(c),
        {"json", NULL, "print the gateway's answer as JSON", FLAG_BOOL, .ptr = &c.json,
         .line_only = true},
    };
    struct flag_set set = {.command = "gateway pending",
                           .summary = "Shows calls that a person has to approve, the oldest first.",
                           .flags = flags,
                           .n_flags = ARRAY_LEN(flags)};
    return run(&c, &set, argc, argv);
}

int cmd_gateway_decide(int argc, char **argv)
{
    const bool yes = str_eq(argv[0], "approve");
    struct decide_command c = {.verb = yes ? "approve" : "deny"};
    struct flag flags[] = {
        CONFIG_FLAG(c),
        {"reason", "TEXT", "is told to the caller, and recorded (200 bytes)", FLAG_TEXT,
         .ptr = &c.reason, .line_only = true},
    };
    struct flag_set set = {.command = yes ? "gateway approve" : "gateway deny",
                           .args = "ID",
                           .summary = yes ? "Lets one call go on that `gateway pending` shows."
                                          : "Refuses one call that `gateway pending` shows.",
                           .flags = flags,
                           .n_flags = yes ? 1 : 2,
                           .min_args = 1,
                           .max_args = 1};
    return run(&c, &set, argc, argv);
}
