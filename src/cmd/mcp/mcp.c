/* mcp.c - `sallyport mcp`: the tools of an MCP server, listed and called by a person.
 *
 * One client (mcp/client) on an event loop of its own, opened for one verb and closed behind it. A token
 * comes from a file that nobody else may read or from the environment, where it is wiped; never from the
 * command line. What the server says is printed through the terminal's escapes (content.c), as are the
 * words of a failure, which begin with where it comes from: dns, connect, tls, auth, http, protocol and
 * so on. An interrupt ends the process, and with it the connection, which is how a server of 2026-07-28
 * is told. */
#include "base/err.h"
#include "base/str.h"
#include "cmd/client/api_client.h"
#include "cmd/cmd.h"
#include "cmd/line/start.h"
#include "cmd/line/term.h"
#include "cmd/line/verbs.h"
#include "cmd/mcp/arguments.h"
#include "cmd/mcp/content.h"
#include "cmd/mcp/oauth.h"
#include "io/file.h"
#include "mcp/client/client.h"
#include "secret/source.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TOKEN_VARIABLE "SALLYPORT_MCP_TOKEN"
#define TOKEN_MAX      8192
#define ARGS_MAX       (4u << 20)
#define EXIT_TOOL      3
#define EXIT_AUTH      4
#define HAS_CALL       1
#define HAS_LOGIN      2
#define HAS_TOOLS      4

struct mcp_command {
    const struct verb *verb;
    struct flag_list headers;
    const char *bearer_file, *era, *connect_to, *ca_file, *args, *args_file, *elicit;
    int64_t timeout_ms;
    bool json;
    int n_args;
    char **words;
    struct secret token;
    struct oauth oauth;
    struct mcp_client *client;
    struct client_header header[FLAG_LIST_MAX];
};

/* ---- what the client is given ---- */

static int read_token_file(const char *path, struct secret *ret, struct err *e)
{
    AUTO_CLOSE int fd = file_open(path, O_RDONLY, e);
    if (fd < 0)
        return fd == -ENOENT ? err_set(e, -EINVAL, "there is no file %s", path) : fd;
    int r = file_is_private(fd, path, e);
    AUTO(secret) raw = {0};
    if (r == 0)
        r = secret_room(&raw, TOKEN_MAX);
    ssize_t n = r < 0 ? r : file_read_small(fd, raw.data, TOKEN_MAX);
    if (n < 0)
        return err_set(e, -EINVAL, "%s: %s", path, e->msg[0] ? e->msg : err_text((int)n));
    while (n > 0 && (raw.data[n - 1] == '\n' || raw.data[n - 1] == '\r'))
        n--;
    for (ssize_t i = 0; i < n; i++)
        if (raw.data[i] <= 0x20 || raw.data[i] >= 0x7f)
            return err_set(e, -EINVAL, "%s holds more than one word, so it is no token", path);
    return n == 0 ? err_set(e, -EINVAL, "%s is empty", path) : secret_set(ret, raw.data, (size_t)n);
}

static int take_token(struct mcp_command *c, struct err *e)
{
    int r = cmd_take_env_secret(TOKEN_VARIABLE, &c->token);
    if (r < 0)
        return err_set(e, r, TOKEN_VARIABLE ": %s", err_text(r));
    if (!c->bearer_file)
        return 0;
    secret_done(&c->token);
    c->token = (struct secret){0};
    return read_token_file(c->bearer_file, &c->token, e);
}

/* What was refused is all there is, unless its file has another one by now, which is kept. */
static int give_token(void *arg, bool refused, struct secret *ret, struct err *e)
{
    struct mcp_command *c = arg;
    if (!refused)
        return secret_set(ret, secret_borrow(&c->token), c->token.len);
    if (!c->bearer_file)
        return 1;
    AUTO(secret) other = {0};
    int r = read_token_file(c->bearer_file, &other, e);
    if (r < 0)
        return r;
    if (secret_eq(&c->token, secret_borrow(&other), other.len))
        return 1;
    secret_done(&c->token);
    c->token = other;
    other = (struct secret){0};
    return secret_set(ret, secret_borrow(&c->token), c->token.len);
}

static int split_headers(struct mcp_command *c, struct err *e)
{
    for (size_t i = 0; i < c->headers.n; i++) {
        const char *text = c->headers.value[i], *colon = strchr(text, ':');
        if (!colon || colon == text)
            return err_set(e, -EINVAL, "--header is \"Name: value\"");
        c->header[i] = (struct client_header){mem_strndup(text, (size_t)(colon - text)),
                                              colon + 1 + strspn(colon + 1, " ")};
    }
    return 0;
}

static int give_defaults(void *arg, const char *method, const json_t *params, json_t **ret)
{
    const struct mcp_command *c = arg;
    (void)method;
    if (str_eq(c->elicit, "defaults")) {
        *ret = mcp_elicit_defaults(params);
        return 0;
    }
    *ret = json_new_object();
    json_put_str(*ret, "action", "decline");
    return 0;
}

static bool has_authorization(const struct mcp_command *c)
{
    for (size_t i = 0; i < c->headers.n; i++)
        if (str_ieq(c->header[i].name, "authorization"))
            return true;
    return c->token.len > 0;
}

/* Token, headers, and what gets a token where there is none. */
static int prepare(struct mcp_command *c, struct err *e)
{
    int r = take_token(c, e);
    if (r == 0)
        r = split_headers(c, e);
    if (r < 0 || has_authorization(c))
        return r;
    c->oauth.request_ms = c->timeout_ms;
    enum oauth_use use = c->verb->has & HAS_LOGIN ? OAUTH_LOGIN : OAUTH_USE;
    return oauth_open(&c->oauth, use, c->words[0], c->ca_file, c->connect_to, e);
}

static int open_client(struct mcp_command *c, struct mcp_failure *f)
{
    const struct mcp_options o = {
        .url = c->words[0],
        .headers = c->header,
        .n_headers = c->headers.n,
        .bearer = c->token.len ? give_token : NULL,
        .bearer_arg = c,
        .authorizer = {.give = c->oauth.auth ? mcp_auth_give : NULL, .arg = c->oauth.auth},
        .ask = str_eq(c->elicit, "none") ? NULL : give_defaults,
        .ask_arg = c,
        .era = str_eq(c->era, "modern")   ? MCP_ERA_MODERN
               : str_eq(c->era, "legacy") ? MCP_ERA_LEGACY
                                          : MCP_ERA_AUTO,
        .limits = {.silence_ms = c->timeout_ms},
        .ca_file = c->ca_file,
        .connect_to = c->connect_to,
    };
    return mcp_client_open(&o, &c->client, f);
}

/* ---- the verbs ---- */

static int print_json(json_t *j)
{
    AUTO_FREE char *text = json_text(j, NULL);
    term_print_json(stdout, text, strlen(text));
    return 0;
}

static int list(struct mcp_command *c, struct mcp_failure *f)
{
    AUTO_JSON json_t *tools = NULL;
    size_t left_out = 0;
    int r = mcp_client_list_tools(c->client, &tools, &left_out, f);
    if (r < 0)
        return r;
    if (left_out)
        fprintf(
            stderr,
            "sallyport mcp: %zu tools are left out: their definitions break the protocol's rules\n",
            left_out);
    if (c->json) {
        AUTO_JSON json_t *out = json_new_object();
        json_put_str(out, "protocolVersion", mcp_client_version(c->client));
        const json_t *server = mcp_client_server(c->client);
        json_put(out, "serverInfo", server ? json_deep_copy(server) : json_null());
        json_put(out, "tools", json_incref(tools));
        return print_json(out);
    }
    mcp_tools_print(tools);
    if (json_array_size(tools) == 0)
        fprintf(stderr, "no tools\n");
    return 0;
}

static int read_args_file(const char *path, json_t **ret, struct err *e)
{
    bool piped = str_eq(path, "-");
    AUTO_CLOSE int fd = piped ? fcntl(0, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
    AUTO(buf) text = BUF_INIT(ARGS_MAX);
    ssize_t n = fd < 0 ? -errno : 1;
    while (n > 0) {
        char *room = buf_room(&text, 4096);
        if (!room)
            return err_set(e, -EINVAL, "%s is larger than %u bytes", path, ARGS_MAX);
        n = read(fd, room, 4096);
        n = n < 0 ? -errno : n;
        if (n > 0)
            buf_commit(&text, (size_t)n);
    }
    if (n < 0)
        return err_set(e, -EINVAL, "cannot read %s: %s", path, err_text((int)n));
    int r = json_parse(buf_str(&text), text.len, ret, e);
    return r < 0 ? err_wrap(e, -EINVAL, "%s", path) : 0;
}

static const json_t *schema_of_tool(const json_t *tools, const char *name)
{
    for (size_t i = 0; i < json_array_size(tools); i++)
        if (str_eq(json_get_str(json_array_get(tools, i), "name"), name))
            return json_object_get(json_array_get(tools, i), "inputSchema");
    return NULL;
}

/* Arguments from --args or --args-file, and from the words behind the tool's name. */
static int make_arguments(struct mcp_command *c, const json_t *tools, json_t **ret, struct err *e)
{
    AUTO_JSON json_t *j = NULL;
    int r = 0;
    if (c->args && c->args_file)
        return err_set(e, -EINVAL, "--args and --args-file: one of them");
    if (c->args) {
        r = json_parse(c->args, strlen(c->args), &j, e);
        if (r < 0)
            return err_wrap(e, -EINVAL, "--args");
    } else if (c->args_file) {
        r = read_args_file(c->args_file, &j, e);
    } else {
        j = json_new_object();
    }
    if (r == 0 && !json_is_object(j))
        r = err_set(e, -EINVAL, "the arguments of a tool are a JSON object");
    const json_t *schema = schema_of_tool(tools, c->words[1]);
    for (int i = 2; r == 0 && i < c->n_args; i++)
        r = mcp_argument_put(j, c->words[i], schema, e);
    if (r == 0)
        *ret = TAKE(j);
    return r;
}

static void show_progress(void *arg, double progress, double total, const char *message)
{
    (void)arg;
    fprintf(stderr, "progress %g", progress);
    if (total > 0)
        fprintf(stderr, " of %g", total);
    if (message) {
        fputs(": ", stderr);
        term_print_word(stderr, message);
    }
    fputc('\n', stderr);
}

static int call(struct mcp_command *c, struct mcp_failure *f)
{
    AUTO_JSON json_t *tools = NULL, *arguments = NULL, *result = NULL;
    int r = c->n_args > 2 ? mcp_client_list_tools(c->client, &tools, NULL, f) : 0;
    if (r < 0)
        return r;
    r = make_arguments(c, tools, &arguments, &f->err);
    if (r < 0) {
        f->source = MCP_HERE;
        return r;
    }
    const struct mcp_call_options o = {.progress = show_progress};
    r = mcp_client_call_tool(c->client, c->words[1], arguments, &o, &result, f);
    if (r < 0)
        return r;
    if (c->json)
        (void)print_json(result);
    else
        mcp_content_print(result);
    if (!json_get_bool(result, "isError", false))
        return 0;
    fflush(stdout);
    fprintf(stderr, "sallyport mcp: the tool says that it failed\n");
    return EXIT_TOOL;
}

/* ---- authorization by name ---- */

static int failed_auth(struct mcp_failure *f, int r)
{
    f->source = r == -EINVAL ? MCP_HERE : MCP_AUTH;
    return r;
}

/* The server itself says best what it wants: it is asked for its tools. One that shows them to everybody
 * is asked for its metadata. */
static int login(struct mcp_command *c, struct mcp_failure *f)
{
    AUTO_JSON json_t *tools = NULL;
    if (!c->oauth.auth) {
        f->source = MCP_HERE;
        return err_set(&f->err, -EINVAL, "a token is given: there is nothing to log in for");
    }
    int r = mcp_auth_begin_anew(c->oauth.auth, &f->err);
    if (r < 0)
        return failed_auth(f, r);
    r = open_client(c, f);
    if (r == 0) {
        r = mcp_client_list_tools(c->client, &tools, NULL, f);
        mcp_client_close(c->client);
    }
    if (r < 0)
        return r;
    if (!mcp_auth_has_token(c->oauth.auth)) {
        r = mcp_auth_login(c->oauth.auth, &f->err);
        if (r < 0)
            return failed_auth(f, r);
    }
    fputs("logged in by ", stdout);
    term_print_word(stdout, mcp_auth_issuer(c->oauth.auth));
    const char *scope = mcp_auth_scope(c->oauth.auth);
    if (scope) {
        fputs(", for ", stdout);
        term_print_word(stdout, scope);
    }
    fputc('\n', stdout);
    return 0;
}

static int logout(struct mcp_command *c, struct mcp_failure *f)
{
    c->oauth.request_ms = c->timeout_ms;
    int r = oauth_open(&c->oauth, OAUTH_LOGOUT, c->words[0], c->ca_file, c->connect_to, &f->err);
    if (r < 0)
        return failed_auth(f, r);
    struct mcp_auth_ending end;
    r = mcp_auth_logout(c->oauth.auth, &end, &f->err);
    if (r < 0) {
        f->source = MCP_AUTH;
        return err_wrap(&f->err, r, "%s",
                        end.forgotten ? "logged out here, but not at the authorization server"
                        : end.revoked ? "logged out at the authorization server, but not here"
                                      : "not logged out");
    }
    puts(end.had ? "logged out" : "there was no login");
    if (end.had && !end.revoked)
        fputs("the authorization server revokes no tokens: what it gave is good there until it "
              "ends\n",
              stderr);
    return 0;
}

/* ---- from flags to the exit code ---- */

static int tell(const struct mcp_command *c, struct mcp_failure *f)
{
    fprintf(stderr, "sallyport mcp: %s: ", mcp_source_name(f->source));
    term_print_word(stderr, f->err.msg);
    fputc('\n', stderr);
    if (f->source == MCP_AUTH && !c->token.len && (c->verb->has & HAS_TOOLS))
        fprintf(stderr,
                "a token comes from sallyport mcp login URL, --bearer-file FILE or " TOKEN_VARIABLE
                "\n");
    if (f->challenge.resource_metadata[0]) {
        fputs("the server names its authorization at ", stderr);
        term_print_word(stderr, f->challenge.resource_metadata);
        fputc('\n', stderr);
    }
    if (f->rpc_error && json_object_get(f->rpc_error, "data")) {
        AUTO_FREE char *data = json_text(json_object_get(f->rpc_error, "data"), NULL);
        term_print_json(stderr, data, strlen(data));
    }
    return f->source == MCP_AUTH ? EXIT_AUTH : f->source == MCP_HERE ? 2 : 1;
}

static int run_it(struct mcp_command *c, struct mcp_failure *f)
{
    const char *verb = c->verb->words[0];
    if (str_eq(verb, "logout"))
        return logout(c, f);
    int r = prepare(c, &f->err);
    if (r < 0) {
        f->source = MCP_HERE;
        return r;
    }
    if (str_eq(verb, "login"))
        return login(c, f);
    r = open_client(c, f);
    if (r < 0)
        return r;
    r = str_eq(verb, "list") ? list(c, f) : call(c, f);
    mcp_client_close(c->client);
    return r;
}

static int act(void *arg)
{
    struct mcp_command *c = arg;
    struct mcp_failure f = {0};
    int r = run_it(c, &f);
    if (r < 0)
        r = tell(c, &f);
    mcp_failure_done(&f);
    for (size_t i = 0; i < c->headers.n; i++) {
        char *name;
        memcpy(&name, &c->header[i].name, sizeof(name));
        free(name);
    }
    secret_done(&c->token);
    oauth_close(&c->oauth);
    return r;
}

static int run_verb(const struct verb *v, int argc, char **argv);

static const struct verb verbs[] = {
    {{"list"}, "URL", "Lists the tools of a server.", 1, 1, HAS_TOOLS, run_verb, NULL},
    {{"call"},
     "URL TOOL [KEY=VALUE...]",
     "Calls a tool and prints what it answers.",
     2,
     -1,
     HAS_CALL | HAS_TOOLS,
     run_verb,
     NULL},
    {{"login"},
     "URL",
     "Gets a token of the server's authorization server, by a browser.",
     1,
     1,
     HAS_LOGIN,
     run_verb,
     NULL},
    {{"logout"}, "URL", "Has that token revoked, and forgets it.", 1, 1, 0, run_verb, NULL},
};

const struct verb_set cmd_mcp_verbs = {
    .command = "mcp",
    .summary = "Lists and calls tools of an MCP server, and logs in to it.",
    .verbs = verbs,
    .n_verbs = ARRAY_LEN(verbs),
    .width = 12};

static const char details[] =
    "A token is sent as Authorization: Bearer; it comes from --bearer-file or from\n" TOKEN_VARIABLE
    ", or from sallyport mcp login, and goes to the origin of URL alone.\n\n"
    "Exit codes: 0 done; 1 it came to nothing, and the first word of the message says where;\n"
    "2 wrong usage; 3 the tool itself failed; 4 the server wants a credential, or another one.";

static int run_verb(const struct verb *v, int argc, char **argv)
{
    static const char *const eras[] = {"auto", "modern", "legacy", NULL};
    static const char *const elicit[] = {"none", "decline", "defaults", NULL};
    struct mcp_command c = {.verb = v, .era = "auto", .elicit = "none", .timeout_ms = 60000};
    const struct flag of_tools = {"json",    NULL,           "print the server's JSON",
                                  FLAG_BOOL, .ptr = &c.json, .line_only = true};
    const struct flag common[] = {
        {"header", "'NAME: VALUE'", "a header of every request; may come several times", FLAG_LIST,
         .ptr = &c.headers, .line_only = true},
        {"bearer-file", "FILE", "holds a token; nobody else may read it", FLAG_FILE,
         .ptr = &c.bearer_file, .line_only = true},
        {"era", "ERA", "auto (the newest that the server speaks), modern (2026-07-28), legacy",
         FLAG_CHOICE, .ptr = &c.era, .choices = eras, .line_only = true},
        {"timeout", "TIME", "without an answer or progress (60s)", FLAG_DURATION,
         .ptr = &c.timeout_ms, .min = 1, .max = 30 * 60000, .line_only = true},
        {"ca-file", "FILE", "trust the certificates in it (PEM) instead of the system's", FLAG_FILE,
         .ptr = &c.ca_file, .line_only = true},
        {"connect-to", "HOST:PORT:ADDR:PORT", "connect to ADDR:PORT for HOST:PORT, as curl does",
         FLAG_TEXT, .ptr = &c.connect_to, .line_only = true},
    };
    const struct flag of_call[] = {
        {"args", "JSON", "arguments, an object", FLAG_TEXT, .ptr = &c.args, .line_only = true},
        {"args-file", "FILE", "arguments from a file, - for standard input", FLAG_FILE,
         .ptr = &c.args_file, .line_only = true},
        {"elicit", "HOW", "when the server asks: none (it is told not to), decline, defaults",
         FLAG_CHOICE, .ptr = &c.elicit, .choices = elicit, .line_only = true},
    };
    static struct flag room[FLAG_SET_MAX];
    char name[64];
    struct flag_set flags = verb_flags(&cmd_mcp_verbs, v, name, room);
    flags.details = details;
    if (v->has & HAS_TOOLS)
        flags_add(&flags, &of_tools, 1);
    flags_add(&flags, common, ARRAY_LEN(common));
    oauth_flags(&c.oauth, &flags);
    if (v->has & HAS_CALL)
        flags_add(&flags, of_call, ARRAY_LEN(of_call));
    int code = flags_main(&flags, argc, argv, NULL, &c.n_args);
    if (code >= 0)
        return code;
    c.words = argv + 1;
    secret_wipe_when_freed();
    return api_client_run(act, &c);
}

int cmd_mcp(int argc, char **argv)
{
    return verbs_main(&cmd_mcp_verbs, argc, argv);
}
