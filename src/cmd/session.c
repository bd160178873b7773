/* session.c - `sallyport session create|send|tail|list|confirm|interrupt`.
 *
 * A client of the API like any other: everything here goes through api_client. Following a session
 * opens the stream first and then prints the history, skipping what was printed, so nothing is lost
 * between the two; a broken stream is resumed behind the last event. Following ends when the
 * session is idle, has ended, or waits for a person's confirmation. */
#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/client/api_command.h"
#include "cmd/client/transcript.h"
#include "cmd/cmd.h"
#include "cmd/line/term.h"
#include "cmd/line/verbs.h"
#include "http/wire/sse_parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MODEL "claude-opus-5-5"

struct session_command {
    struct api_command call;
    const char *agent, *model, *system, *title, *environment, *message, *permissions;
    bool follow, allow, deny, all;
    int64_t limit;
    const char *id;
    const char *since; /* following shows what comes behind this event; NULL: everything */
};

/* ---- following ---- */

struct follow {
    struct session_command *c;
    struct transcript t;
    struct map seen; /* ids printed */
    char last_id[64];
    struct map asked; /* calls that wait for a person, by id */
    bool live;        /* the history has been printed */
    bool failed;      /* the last turn ended without an answer */
    enum transcript_state state;
    struct term_spinner spinner;
};

static void show(struct follow *f, const json_t *ev)
{
    const char *id = json_get_str(ev, "id"), *type = json_get_str(ev, "type");
    if (id) {
        if (map_put(&f->seen, id, f))
            return;
        str_copy(f->last_id, sizeof(f->last_id), id);
    }
    if (id && str_eq(json_get_str(ev, "evaluated_permission"), "ask"))
        map_put(&f->asked, id, f);
    const char *answered =
        str_eq(type, "user.tool_confirmation") ? json_get_str(ev, "tool_use_id") : NULL;
    if (answered)
        map_remove(&f->asked, answered);
    if (f->c->since) {
        if (str_eq(id, f->c->since))
            f->c->since = NULL; /* what comes now is new */
    } else {
        term_spinner_clear(&f->spinner);
        transcript_event(&f->t, ev);
    }
    /* An interrupt or a confirmation that comes when the session rests starts nothing. */
    bool late = f->state == TRANSCRIPT_AT_REST && (answered || str_eq(type, "user.interrupt"));
    if (id && !late && !str_eq(type, "session.usage")) {
        f->state = transcript_state(ev);
        const char *why = json_get_str(json_object_get(ev, "stop_reason"), "type");
        f->failed = str_eq(type, "session.status_terminated") ||
                    (f->state == TRANSCRIPT_AT_REST && str_eq(why, "retries_exhausted"));
    }
}

static int on_event(void *arg, const char *event, const char *id, const char *data, size_t n)
{
    struct follow *f = arg;
    AUTO_JSON json_t *ev = NULL;
    (void)id;
    if (!event || str_eq(event, "ping") || json_parse(data, n, &ev, NULL) < 0)
        return 0;
    show(f, ev);
    return 0;
}

static bool finished(const struct follow *f)
{
    return f->state == TRANSCRIPT_AT_REST || f->state == TRANSCRIPT_ENDED ||
           (f->state == TRANSCRIPT_NEEDS_ACTION && f->asked.n > 0);
}

static int show_history(struct follow *f, struct err *e)
{
    AUTO_FREE char *page = NULL;
    int limit = 1000, r;
    do {
        AUTO_FREE char *path = mem_printf("/v1/sessions/%s/events?limit=%d%s%s", f->c->id, limit,
                                          page ? "&page=" : "", page ? page : "");
        AUTO_JSON json_t *j = NULL;
        r = api_client_call(&f->c->call.api, "GET", path, NULL, &j, e);
        if (r == -EMSGSIZE && limit > 1) { /* large results: fewer at a time */
            limit = limit > 10 ? limit / 10 : 1;
            r = 0;
            continue;
        }
        size_t i;
        json_t *ev;
        json_array_foreach (json_object_get(j, "data"), i, ev)
            if (!json_is_null(json_object_get(ev, "processed_at")))
                show(f, ev);
        const char *next = json_get_str(j, "next_page");
        free(page);
        page = next ? mem_strdup(next) : NULL;
        if (!page)
            break;
    } while (r == 0);
    return r;
}

/* One connection: until it breaks (negative), or the session has come
 * to where following ends (0). */
static int read_live(struct follow *f, struct client_stream *s, struct err *e)
{
    struct sse_parser p;
    sse_parser_init(&p, LIMIT_EVENT_BYTES, on_event, f);
    ssize_t n = 0;
    while (!finished(f)) {
        char bytes[2048];
        struct fiber_deadline d = fiber_deadline_push_ms(120);
        n = client_read(s, bytes, sizeof(bytes), e);
        fiber_deadline_pop(&d);
        if (n == -ETIMEDOUT) {
            if (!f->t.json && !f->t.streaming)
                term_spinner_step(&f->spinner);
            continue;
        }
        if (n <= 0 || sse_parser_feed(&p, bytes, (size_t)n) < 0)
            break;
    }
    term_spinner_clear(&f->spinner);
    sse_parser_done(&p);
    return finished(f) ? 0 : n < 0 ? (int)n : -E_CLOSED;
}

/* 0, a negative code, or 1 when the last turn failed. */
static int follow_session(struct session_command *c, struct err *e)
{
    struct follow f = {
        .c = c, .t = {.out = stdout, .json = c->call.json}, .spinner = {.text = "working"}};
    map_init(&f.seen);
    map_init(&f.asked);
    int r = 0, tries = 0;
    while (!finished(&f)) {
        struct client_stream *s = NULL;
        AUTO_FREE char *after = f.live && f.last_id[0] ? mem_strdup(f.last_id) : NULL;
        r = api_client_stream(&c->call.api, c->id, after, &s, e);
        if (r == 0 && !f.live) {
            r = show_history(&f, e);
            f.live = r == 0;
        }
        if (r == 0 && !finished(&f))
            r = read_live(&f, s, e);
        client_stream_close(s);
        if (r == -ENOENT || r == -EACCES || r == -E_DENIED || (r < 0 && ++tries > 20))
            break;
        if (r < 0 && (r = fiber_sleep_ms(250)) < 0)
            break;
        r = 0;
    }
    map_done(&f.seen);
    map_done(&f.asked);
    if (r == 0 && f.state == TRANSCRIPT_NEEDS_ACTION && !c->call.json)
        fprintf(
            stderr,
            "The session waits for you: sallyport session confirm %s CALL_ID --allow | --deny\n",
            c->id);
    return r == 0 && f.failed ? 1 : r;
}

/* ---- the subcommands ---- */

static json_t *text_message(const char *text)
{
    return json_pack("{s:s,s:[{s:s,s:s}]}", "type", "user.message", "content", "type", "text",
                     "text", text);
}

/* ret_echo: the events as the server took them, new reference; may be NULL. */
static int send_event(struct session_command *c, json_t *event, json_t **ret_echo, struct err *e)
{
    AUTO_JSON json_t *body = json_pack("{s:[o]}", "events", event);
    AUTO_JSON json_t *j = NULL;
    AUTO_FREE char *path = mem_printf("/v1/sessions/%s/events", c->id);
    int r = body ? api_client_call(&c->call.api, "POST", path, body, &j, e) : -ENOMEM;
    if (r == 0 && !c->follow && c->call.json)
        api_command_print(j);
    if (r == 0 && ret_echo)
        *ret_echo = json_incref(json_object_get(j, "data"));
    return r;
}

static int send_events(struct session_command *c, json_t *event, struct err *e)
{
    return send_event(c, event, NULL, e);
}

/* The model for agents that nobody named one for. */
static const char *default_model(void)
{
    const char *name = getenv("SALLYPORT_MODEL");
    return name && *name ? name : DEFAULT_MODEL;
}

/* The agent to use when none is named: one with all six tools, made for this session. */
static char *make_agent(struct session_command *c, struct err *e)
{
    const char *policy = str_eq(c->permissions, "ask") ? "always_ask" : "always_allow";
    AUTO_JSON json_t *body =
        json_pack("{s:s,s:s,s:[{s:s,s:{s:b,s:{s:s}}}]}", "name", "sallyport session", "model",
                  c->model ? c->model : default_model(), "tools", "type", "agent_toolset_20260401",
                  "default_config", "enabled", 1, "permission_policy", "type", policy);
    if (c->system)
        json_put_str(body, "system", c->system);
    AUTO_JSON json_t *j = NULL;
    if (api_client_call(&c->call.api, "POST", "/v1/agents", body, &j, e) < 0)
        return NULL;
    const char *id = json_get_str(j, "id");
    return id ? mem_strdup(id) : NULL;
}

static int create(void *command, struct err *e)
{
    struct session_command *c = command;
    const char *env = c->environment ? c->environment : c->call.api.environment_id;
    if (!env)
        return err_set(
            e, -EINVAL,
            "no environment is known: give --environment ID (sallyport env list shows them)");
    AUTO_FREE char *made = c->agent ? NULL : make_agent(c, e);
    if (!c->agent && !made)
        return e->code ? e->code : -EIO;
    AUTO_JSON json_t *body =
        json_pack("{s:s,s:s}", "agent", c->agent ? c->agent : made, "environment_id", env);
    if (c->title)
        json_put_str(body, "title", c->title);
    if (c->message)
        json_put(body, "initial_events", json_pack("[o]", text_message(c->message)));
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(&c->call.api, "POST", "/v1/sessions", body, &j, e);
    if (r < 0)
        return r;
    c->id = json_get_str(j, "id");
    if (!c->id)
        return err_set(e, -E_PROTO, "the server's answer names no session");
    if (!c->call.json)
        fprintf(c->message && c->follow ? stderr : stdout, "%s\n", c->id);
    else
        api_command_print(j);
    return c->message && c->follow ? follow_session(c, e) : 0;
}

/* The id of the last event there is, so that following shows only what the command sets off.
 * malloc'ed; NULL: none. */
static char *last_event(struct session_command *c)
{
    AUTO_FREE char *path = mem_printf("/v1/sessions/%s/events?order=desc&limit=20", c->id);
    AUTO_JSON json_t *j = NULL;
    struct err ignored = {0}; /* the command itself will tell */
    if (api_client_call(&c->call.api, "GET", path, NULL, &j, &ignored) < 0)
        return NULL;
    size_t i;
    json_t *ev;
    json_array_foreach (json_object_get(j, "data"), i, ev) {
        const char *id = json_get_str(ev, "id");
        if (id && !json_is_null(json_object_get(ev, "processed_at")))
            return mem_strdup(id);
    }
    return NULL;
}

static int send_text(void *command, struct err *e)
{
    struct session_command *c = command;
    AUTO_FREE char *last = c->follow ? last_event(c) : NULL;
    c->since = last;
    struct buf text = BUF_INIT(LIMIT_EVENT_BYTES);
    for (int i = 1; i < c->call.n_args; i++)
        buf_addf(&text, "%s%s", i > 1 ? " " : "", c->call.args[i]);
    int r = buf_err(&text);
    if (r == 0)
        r = send_events(c, text_message(buf_str(&text)), e);
    buf_done(&text);
    return r == 0 && c->follow ? follow_session(c, e) : r;
}

static int tail(void *command, struct err *e)
{
    return follow_session(command, e);
}

static int interrupt(void *command, struct err *e)
{
    struct session_command *c = command;
    c->follow = false;
    return send_events(c, json_pack("{s:s}", "type", "user.interrupt"), e);
}

/* What was just confirmed comes back without a stamp. With one it is an earlier confirmation, which
 * stands. */
static int check_counted(const struct session_command *c, const json_t *echo, struct err *e)
{
    const char *at = json_get_str(echo, "processed_at");
    if (!at)
        return 0;
    bool allowed = str_eq(json_get_str(echo, "result"), "allow");
    return err_set(e, -EEXIST, "nothing was changed: call %s was %s before, at %.19s",
                   c->call.args[1], allowed ? "allowed" : "denied", at);
}

static int confirm(void *command, struct err *e)
{
    struct session_command *c = command;
    if (c->allow == c->deny)
        return err_set(e, -EINVAL, "say either --allow or --deny");
    if (c->message && !c->deny)
        return err_set(e, -EINVAL, "--message goes with --deny");
    json_t *ev = json_pack("{s:s,s:s,s:s}", "type", "user.tool_confirmation", "tool_use_id",
                           c->call.args[1], "result", c->allow ? "allow" : "deny");
    if (c->message)
        json_put_str(ev, "deny_message", c->message);
    AUTO_FREE char *last = c->follow ? last_event(c) : NULL;
    c->since = last;
    AUTO_JSON json_t *echo = NULL;
    int r = send_event(c, ev, &echo, e);
    if (r == 0)
        r = check_counted(c, json_array_get(echo, 0), e);
    return r == 0 && c->follow ? follow_session(c, e) : r;
}

static int list(void *command, struct err *e)
{
    struct session_command *c = command;
    AUTO_FREE char *path = mem_printf("/v1/sessions?limit=%lld%s", (long long)c->limit,
                                      c->all ? "&include_archived=true" : "");
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(&c->call.api, "GET", path, NULL, &j, e);
    if (r < 0 || c->call.json)
        return r < 0 ? r : api_command_print(j);
    size_t i;
    json_t *s;
    json_array_foreach (json_object_get(j, "data"), i, s) {
        const char *title = json_get_str(s, "title"), *at = json_get_str(s, "created_at");
        printf("%-32s %-12s %.19s  ", json_get_str(s, "id"), json_get_str(s, "status"),
               at ? at : "");
        term_print_word(stdout, title && *title ? title : "-");
        putchar('\n');
    }
    if (i == 0)
        fprintf(stderr, "no sessions\n");
    return 0;
}

/* ---- flags ---- */

enum { F_FOLLOW = 1, F_CREATE = 2, F_LIST = 4, F_CONFIRM = 8 };

static int run_verb(const struct verb *v, int argc, char **argv);

static const struct verb verbs[] = {
    {{"create"},
     NULL,
     "Makes a session; with --message, starts it and shows what happens.",
     0,
     0,
     F_CREATE | F_FOLLOW,
     run_verb,
     create},
    {{"send"},
     "ID TEXT...",
     "Sends a message to a session and shows what happens.",
     2,
     -1,
     F_FOLLOW,
     run_verb,
     send_text},
    {{"tail"},
     "ID",
     "Shows a session from its beginning until it is idle.",
     1,
     1,
     0,
     run_verb,
     tail},
    {{"list"}, NULL, "Lists sessions, newest first.", 0, 0, F_LIST, run_verb, list},
    {{"confirm"},
     "ID CALL_ID",
     "Allows or denies a tool call that waits for you.",
     2,
     2,
     F_CONFIRM | F_FOLLOW,
     run_verb,
     confirm},
    {{"interrupt"}, "ID", "Stops what the session is doing.", 1, 1, 0, run_verb, interrupt},
};

const struct verb_set cmd_session_verbs = {.command = "session",
                                           .summary = "Works with sessions.",
                                           .verbs = verbs,
                                           .n_verbs = ARRAY_LEN(verbs),
                                           .width = 10,
                                           .brief = true};

/* The flags of a verb, in the order of its help. */
static void add_flags(struct flag_set *flags, unsigned has, struct session_command *c)
{
    static const char *const policies[] = {"allow", "ask", NULL};
    const struct flag following[] = {
        {"follow", NULL, "show events until the session is idle (--no-follow: do not)", FLAG_BOOL,
         .ptr = &c->follow, .line_only = true},
    };
    const struct flag creating[] = {
        {"agent", "ID", "the agent (default: a new agent with all tools)", FLAG_TEXT,
         .ptr = &c->agent, .line_only = true},
        {"environment", "ID", "the environment (ANTHROPIC_ENVIRONMENT_ID, or what dev.env says)",
         FLAG_TEXT, .ptr = &c->environment, .line_only = true},
        {"message", "TEXT", "the first message", FLAG_TEXT, .ptr = &c->message, .line_only = true},
        {"title", "TEXT", "a title", FLAG_TEXT, .ptr = &c->title, .line_only = true},
        {"model", "NAME", "model of the new agent (SALLYPORT_MODEL, or " DEFAULT_MODEL ")",
         FLAG_TEXT, .ptr = &c->model, .line_only = true},
        {"system", "TEXT", "its system prompt", FLAG_TEXT, .ptr = &c->system, .line_only = true},
        {"tools", "POLICY", "allow: tools run at once; ask: each waits for session confirm (allow)",
         FLAG_CHOICE, .ptr = &c->permissions, .choices = policies, .line_only = true},
    };
    const struct flag listing[] = {
        {"limit", "N", "how many (20)", FLAG_INT, .ptr = &c->limit, .min = 1, .max = 1000,
         .line_only = true},
        {"all", NULL, "archived ones too", FLAG_BOOL, .ptr = &c->all, .line_only = true},
    };
    const struct flag confirming[] = {
        {"allow", NULL, "let the call run", FLAG_BOOL, .ptr = &c->allow, .line_only = true},
        {"deny", NULL, "refuse it", FLAG_BOOL, .ptr = &c->deny, .line_only = true},
        {"message", "TEXT", "tell the agent why it was refused", FLAG_TEXT, .ptr = &c->message,
         .line_only = true},
    };
    api_command_flags(flags, &c->call, "print JSON, one object a line");
    if (has & F_FOLLOW)
        flags_add(flags, following, ARRAY_LEN(following));
    if (has & F_CREATE)
        flags_add(flags, creating, ARRAY_LEN(creating));
    if (has & F_LIST)
        flags_add(flags, listing, ARRAY_LEN(listing));
    if (has & F_CONFIRM)
        flags_add(flags, confirming, ARRAY_LEN(confirming));
}

static int run_verb(const struct verb *v, int argc, char **argv)
{
    struct session_command c = {.follow = true, .limit = 20, .permissions = "allow"};
    static struct flag room[FLAG_SET_MAX];
    char name[64];
    struct flag_set flags = verb_flags(&cmd_session_verbs, v, name, room);
    add_flags(&flags, v->has, &c);
    int code = flags_main(&flags, argc, argv, NULL, &c.call.n_args);
    if (code >= 0)
        return code;
    c.call.args = argv + 1;
    c.id = c.call.n_args > 0 ? argv[1] : NULL;
    if (c.id && !api_client_is_id(c.id)) {
        fprintf(stderr, "sallyport session: ID: letters, digits, _ and - are expected; sallyport "
                        "session list shows the ids\n");
        return 2;
    }
    return api_command_run(v, "session", &c.call, &c);
}

int cmd_session(int argc, char **argv)
{
    return verbs_main(&cmd_session_verbs, argc, argv);
}
