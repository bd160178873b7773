/* gateway_pins.c - `sallyport gateway pins`: what servers of a running gateway list that nobody has accepted yet.
 *
 * Asks the gateway at its control socket, in the state directory that its configuration names. Names, descriptions and
 * schemas are those of servers that may be hostile, and are what a person decides about here: they go through the
 * terminal's escapes, and what is accepted is what was shown: its digest goes with the decision, so that a server
 * that says something else meanwhile gains nothing. Where nobody sits at a terminal, --yes, or TOOL@DIGEST, says that
 * it was looked at. */
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/client/api_client.h"
#include "cmd/gateway.h"
#include "cmd/gateway_control.h"
#include "cmd/line/term.h"
#include "cmd/line/verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIGEST_SHOWN 12
#define PATH_BYTES   4096

enum {
    HAS_YES = 1,
    HAS_ALL = 2,
};

struct pins_command {
    const struct verb *verb;
    const char *config;
    bool json, all, yes;
    char **words; /* ROUTE, TOOL... */
    int n_words;
};

/* ---- a difference for people ---- */

static void print_value(const char *path, const json_t *v, char sign)
{
    AUTO(buf) text = BUF_INIT(1u << 20);
    char prefix[] = {' ', ' ', ' ', ' ', sign, ' ', '\0'};
    const bool is_text = json_is_string(v);
    printf("%s    %c ", term_on(stdout, sign == '-' ? TERM_RED : TERM_GREEN), sign);
    term_print_word(stdout, path);
    if (is_text)
        (void)buf_add(&text, json_string_value(v), json_string_length(v));
    else
        (void)json_print(&text, v);
    if (is_text && memchr(text.data ? text.data : "", '\n', text.len)) {
        printf(":\n");
        term_print_text(stdout, text.data, text.len, prefix);
    } else {
        printf(": ");
        term_print_word(stdout, buf_str(&text));
        putchar('\n');
    }
    printf("%s", term_off(stdout));
}

static void print_difference(const char *path, const json_t *old, const json_t *now);

static void compare_members(const char *path, const json_t *old, const json_t *now)
{
    const char *key;
    json_t *v;
    AUTO_FREE char *below = NULL;
    json_object_foreach ((json_t *)(uintptr_t)old, key, v) {
        free(below);
        below = mem_printf("%s%s%s", path, path[0] ? "." : "", key);
        const json_t *other = json_object_get(now, key);
        if (strlen(below) < PATH_BYTES) {
            print_difference(below, v, other);
        } else if (!other || !json_equal(v, other)) { /* as a whole: nothing goes unseen */
            print_value(below, v, '-');
            if (other)
                print_value(below, other, '+');
        }
    }
    json_object_foreach ((json_t *)(uintptr_t)now, key, v) {
        if (json_object_get(old, key))
            continue;
        free(below);
        below = mem_printf("%s%s%s", path, path[0] ? "." : "", key);
        print_value(below, v, '+');
    }
}

/* As deep as a definition, which is 64 levels. */
static void print_difference(const char *path, const json_t *old,
                             const json_t *now) /* NOLINT(misc-no-recursion) */
{
    if (now && json_equal(old, now))
        return;
    if (json_is_object(old) && json_is_object(now)) {
        compare_members(path, old, now);
        return;
    }
    print_value(path, old, '-');
    if (now)
        print_value(path, now, '+');
}

/* ---- list ---- */

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_get_str(o, key);
    return s ? s : "";
}

/* A new reference; where there is none, an empty object. */
static json_t *definition_in(const json_t *o, const char *key)
{
    const char *text = text_of(o, key);
    struct err ignored = {0};
    json_t *j = NULL;
    return json_parse(text, strlen(text), &j, &ignored) == 0 ? j : json_new_object();
}

static void print_waiting(const json_t *o)
{
    AUTO_JSON json_t *pinned = definition_in(o, "pinned"), *now = definition_in(o, "definition");
    printf("  %s%-8s%s ", term_on(stdout, TERM_YELLOW), text_of(o, "why"), term_off(stdout));
    term_print_word(stdout, text_of(o, "tool"));
    printf("@%.*s  seen %s", DIGEST_SHOWN, text_of(o, "digest"), text_of(o, "at"));
    if (json_get_str(o, "like")) {
        printf("  (as the pinned ");
        term_print_word(stdout, text_of(o, "like"));
        printf(", under another name)");
    }
    putchar('\n');
    print_difference("", pinned, now);
}

static void print_route(const json_t *route)
{
    size_t i;
    json_t *o;
    const json_t *waiting = json_object_get(route, "waiting");
    const json_t *pinned = json_object_get(route, "pinned");
    printf("%s", term_on(stdout, TERM_BOLD));
    term_print_word(stdout, text_of(route, "route"));
    printf("%s  pin_tools: %s, %zu pinned, %zu waiting%s\n", term_off(stdout),
           text_of(route, "pin_tools"), json_array_size(pinned), json_array_size(waiting),
           json_get_bool(route, "first_list", false) || str_eq(text_of(route, "pin_tools"), "ask")
               ? ""
               : ", the first list is not complete yet");
    json_array_foreach (pinned, i, o) {
        printf("  pinned   ");
        term_print_word(stdout, text_of(o, "tool"));
        printf("@%.*s  %s, %s\n", DIGEST_SHOWN, text_of(o, "digest"), text_of(o, "at"),
               text_of(o, "by"));
    }
    json_array_foreach (waiting, i, o)
        print_waiting(o);
}

static int list(struct pins_command *c, const json_t *all)
{
    size_t i, n = 0;
    json_t *route;
    if (c->json) {
        size_t len;
        AUTO_FREE char *text = json_text(all, &len);
        term_print_json(stdout, text, len);
        return 0;
    }
    json_array_foreach (json_object_get(all, "routes"), i, route) {
        if (c->n_words && !str_eq(c->words[0], text_of(route, "route")))
            continue;
        print_route(route);
        n++;
    }
    if (n == 0)
        printf("no route %s\n", c->n_words ? "of that name has pin_tools" : "has pin_tools");
    return 0;
}

/* ---- accept ---- */

/* "TOOL" or "TOOL@DIGEST". NULL: nothing of it waits. */
static const json_t *waiting_as(const json_t *waiting, const char *word, struct err *e)
{
    const char *at = strchr(word, '@');
    const size_t n = at ? (size_t)(at - word) : strlen(word);
    size_t i;
    json_t *o;
    json_array_foreach (waiting, i, o) {
        const char *tool = text_of(o, "tool");
        if (strlen(tool) != n || memcmp(tool, word, n) != 0)
            continue;
        if (at &&
            (strlen(at + 1) < 8 || strncmp(text_of(o, "digest"), at + 1, strlen(at + 1)) != 0)) {
            (void)err_set(e, -E_CONFLICT,
                          "%.100s is not what waits now: its server has listed it otherwise since "
                          "(a digest has 8 digits at least)",
                          word);
            return NULL;
        }
        return o;
    }
    (void)err_set(e, -ENOENT, "nothing of %.100s waits to be accepted", word);
    return NULL;
}

/* Whether whoever sits at the terminal says yes. */
static bool asked(const struct pins_command *c, const char *question, const char *else_give)
{
    char line[16];
    if (c->yes)
        return true;
    if (!isatty(STDIN_FILENO)) {
        fprintf(stderr, "sallyport gateway pins %s: nobody is here to be asked; give %s\n",
                c->verb->words[0], else_give);
        return false;
    }
    printf("%s [y/N] ", question);
    (void)fflush(stdout);
    return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static json_t *choose(const struct pins_command *c, const json_t *waiting, bool *ret_digests,
                      struct err *e)
{
    json_t *chosen = json_array();
    const size_t n = c->all ? json_array_size(waiting) : (size_t)c->n_words - 1;
    *ret_digests = !c->all;
    for (size_t i = 0; i < n; i++) {
        const char *word = c->all ? NULL : c->words[i + 1];
        const json_t *o = word ? waiting_as(waiting, word, e) : json_array_get(waiting, i);
        if (!o) {
            json_decref(chosen);
            return NULL;
        }
        *ret_digests = *ret_digests && word && strchr(word, '@');
        (void)json_array_append(chosen, (json_t *)(uintptr_t)o);
    }
    return chosen;
}

static int accept_chosen(struct pins_command *c, const json_t *chosen, struct err *e)
{
    AUTO_JSON json_t *request = json_new_object(), *answer = NULL;
    json_t *tools = json_array(), *o;
    size_t i;
    json_array_foreach (chosen, i, o) {
        json_t *one = json_new_object();
        json_put_str(one, "tool", text_of(o, "tool"));
        json_put_str(one, "digest", text_of(o, "digest"));
        (void)json_array_append_new(tools, one);
    }
    json_put_str(request, "do", "accept");
    json_put_str(request, "route", c->words[0]);
    json_put(request, "tools", tools);
    int r = gateway_control(c->config, request, &answer, e);
    if (r == 0)
        printf("accepted: %lld\n", (long long)json_get_int(answer, "tools", 0));
    return r;
}

static int accept_tools(struct pins_command *c, const json_t *all, struct err *e)
{
    size_t i;
    json_t *route = NULL, *o;
    bool digests;
    json_array_foreach (json_object_get(all, "routes"), i, o)
        route = str_eq(text_of(o, "route"), c->words[0]) ? o : route;
    if (!route)
        return err_set(e, -ENOENT, "no route %.100s has pin_tools", c->words[0]);
    AUTO_JSON json_t *chosen = choose(c, json_object_get(route, "waiting"), &digests, e);
    if (!chosen)
        return e->code;
    json_array_foreach (chosen, i, o)
        print_waiting(o);
    if (json_array_size(chosen) == 0) {
        printf("nothing waits\n");
        return 0;
    }
    return digests || asked(c, "Accept?", "--yes, or TOOL@DIGEST for what was looked at")
               ? accept_chosen(c, chosen, e)
               : -ECANCELED;
}

/* ---- forget ---- */

/* What is forgotten cannot be brought back, and with pin_tools: true the next list is trusted. */
static void print_forgotten(const struct pins_command *c)
{
    printf("%s ", c->n_words > 1 ? "What is known of the tool" : "All that is known of the route");
    term_print_word(stdout, c->words[c->n_words > 1 ? 1 : 0]);
    printf(" will be forgotten%s.\n",
           c->n_words > 1 ? "" : ": where pin_tools is true the next list is pinned at sight");
}

static int forget(struct pins_command *c, struct err *e)
{
    print_forgotten(c);
    if (!asked(c, "Forget?", "--yes"))
        return -ECANCELED;
    AUTO_JSON json_t *request = json_new_object(), *answer = NULL;
    json_put_str(request, "do", "forget");
    json_put_str(request, "route", c->words[0]);
    if (c->n_words > 1)
        json_put_str(request, "tool", c->words[1]);
    int r = gateway_control(c->config, request, &answer, e);
    if (r == 0)
        printf("forgotten\n");
    return r;
}

static int act(void *arg)
{
    struct pins_command *c = arg;
    AUTO_JSON json_t *request = json_new_object(), *all = NULL;
    const char *verb = c->verb->words[0];
    struct err e = {0};
    int r;
    json_put_str(request, "do", "pins");
    if (str_eq(verb, "forget"))
        r = forget(c, &e);
    else if ((r = gateway_control(c->config, request, &all, &e)) == 0)
        r = str_eq(verb, "list") ? list(c, all) : accept_tools(c, all, &e);
    if (r < 0 && e.msg[0]) {
        fprintf(stderr, "sallyport gateway pins %s: ", verb);
        term_print_word(stderr, e.msg);
        fputc('\n', stderr);
    }
    return r < 0;
}

static int run_verb(const struct verb *v, int argc, char **argv);

static const struct verb verbs[] = {
    {{"list"},
     "[ROUTE]",
     "Shows what is pinned, and what waits with how it differs.",
     0,
     1,
     0,
     run_verb,
     NULL},
    {{"accept"},
     "ROUTE [TOOL[@DIGEST]...]",
     "Accepts what waits, after it was looked at.",
     1,
     -1,
     HAS_YES | HAS_ALL,
     run_verb,
     NULL},
    {{"forget"},
     "ROUTE [TOOL]",
     "Forgets a tool, or all of a route, which is then as on its first day.",
     1,
     2,
     HAS_YES,
     run_verb,
     NULL},
};

const struct verb_set cmd_gateway_pins_verbs = {
    .command = "gateway pins",
    .summary = "Which definitions of tools a running gateway lets through, and which wait.",
    .verbs = verbs,
    .n_verbs = ARRAY_LEN(verbs),
    .width = 8};

static int run_verb(const struct verb *v, int argc, char **argv)
{
    struct pins_command c = {.verb = v};
    const struct flag common[] = {
        {"config", "FILE",
         "the gateway's configuration, for where its state is (gateway.yaml, here or where init "
         "or up puts it)",
         FLAG_FILE, .ptr = &c.config, .line_only = true},
        {"json", NULL, "print the gateway's answer as JSON (list)", FLAG_BOOL, .ptr = &c.json,
         .line_only = true},
    };
    const struct flag all[] = {
        {"all", NULL, "everything of the route that waits", FLAG_BOOL, .ptr = &c.all,
         .line_only = true},
    };
    const struct flag yes[] = {
        {"yes", NULL, "do not ask", FLAG_BOOL, .ptr = &c.yes, .line_only = true},
    };
    static struct flag room[FLAG_SET_MAX];
    char name[64];
    struct flag_set flags = verb_flags(&cmd_gateway_pins_verbs, v, name, room);
    flags_add(&flags, common, ARRAY_LEN(common));
    if (v->has & HAS_ALL)
        flags_add(&flags, all, ARRAY_LEN(all));
    if (v->has & HAS_YES)
        flags_add(&flags, yes, ARRAY_LEN(yes));
    int code = flags_main(&flags, argc, argv, NULL, &c.n_words);
    if (code >= 0)
        return code;
    c.words = argv + 1;
    term_show_all();
    if ((v->has & HAS_ALL) && c.all == (c.n_words > 1)) {
        fprintf(stderr, "sallyport gateway pins accept: name the tools, or give --all\n");
        return 2;
    }
    return term_flushed(api_client_run(act, &c));
}

int cmd_gateway_pins(int argc, char **argv)
{
    return verbs_main(&cmd_gateway_pins_verbs, argc, argv);
}
