/* tunnel.c - `sallyport tunnel`: tunnels, their tokens and their certificates.
 *
 * A client of the API. A token goes to standard output alone, so that it can be redirected into a
 * file: `sallyport tunnel token show ID > token`. It goes into no log line and no error. What cannot
 * be undone wants to be told twice. */
#include "base/err.h"
#include "base/str.h"
#include "cmd/client/api_command.h"
#include "cmd/cmd.h"
#include "cmd/line/term.h"
#include "cmd/line/verbs.h"
#include "io/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PEM_MAX 65536 /* far more than a server takes, so that it says what is wrong */

struct tunnel_command {
    struct api_command call;
    const char *name, *reason;
    bool all, yes;
};

static int call(struct tunnel_command *c, const char *method, const char *path, const json_t *body,
                json_t **ret, struct err *e)
{
    return api_client_call(&c->call.api, method, path, body, ret, e);
}

/* ---- tunnels ---- */

static void print_tunnel(const json_t *o)
{
    const char *name = json_get_str(o, "display_name"), *archived = json_get_str(o, "archived_at");
    printf("%-28s %s%s ", json_get_str(o, "id"), json_get_str(o, "domain"),
           archived ? " (archived)" : "");
    term_print_text(stdout, name ? name : "-", name ? strlen(name) : 1, "");
}

static int create(void *command, struct err *e)
{
    struct tunnel_command *c = command;
    AUTO_JSON json_t *body = json_object(), *j = NULL;
    if (c->name)
        json_put_str(body, "display_name", c->name);
    int r = call(c, "POST", "/v1/tunnels", body, &j, e);
    if (r < 0 || c->call.json)
        return r < 0 ? r : api_command_print(j);
    const char *id = json_get_str(j, "id");
    printf("%s\n", id);
    fprintf(stderr,
            "its domain is %s; it carries nothing until it has a certificate:\n"
            "  sallyport tunnel cert add %s CA.pem\n",
            json_get_str(j, "domain"), id);
    return 0;
}

/* Every page of a list. */
static int print_all(struct tunnel_command *c, const char *path, void (*print)(const json_t *o),
                     const char *none, struct err *e)
{
    AUTO_FREE char *next = NULL;
    size_t n = 0;
    do {
        AUTO_FREE char *url =
            mem_printf("%s?limit=100%s%s%s", path, c->all ? "&include_archived=true" : "",
                       next ? "&page=" : "", next ? next : "");
        AUTO_JSON json_t *j = NULL;
        int r = call(c, "GET", url, NULL, &j, e);
        if (r < 0)
            return r;
        if (c->call.json)
            (void)api_command_print(j);
        size_t i;
        json_t *o;
        json_array_foreach (json_object_get(j, "data"), i, o) {
            n++;
            if (!c->call.json)
                print(o);
        }
        const char *more = json_get_str(j, "next_page");
        if (more && !api_client_is_id(more))
            return err_set(e, -E_PROTO,
                           "the server's answer names no next page that can be asked for");
        free(next);
        next = more ? mem_strdup(more) : NULL;
    } while (next);
    if (n == 0 && !c->call.json)
        fprintf(stderr, "%s\n", none);
    return 0;
}

static int list(void *command, struct err *e)
{
    return print_all(command, "/v1/tunnels", print_tunnel, "no tunnels", e);
}

static int show(void *command, struct err *e)
{
    struct tunnel_command *c = command;
    AUTO_FREE char *path = mem_printf("/v1/tunnels/%s", c->call.args[0]);
    AUTO_JSON json_t *j = NULL;
    int r = call(c, "GET", path, NULL, &j, e);
    if (r < 0 || c->call.json)
        return r < 0 ? r : api_command_print(j);
    print_tunnel(j);
    return 0;
}

static int archive(void *command, struct err *e)
{
    struct tunnel_command *c = command;
    if (!c->yes)
        return err_set(
            e, -EINVAL,
            "archiving cannot be undone: the token is dead, and the domain is never used "
            "again; say --yes");
    AUTO_FREE char *path = mem_printf("/v1/tunnels/%s/archive", c->call.args[0]);
    AUTO_JSON json_t *j = NULL;
    int r = call(c, "POST", path, NULL, &j, e);
    if (r < 0 || c->call.json)
        return r < 0 ? r : api_command_print(j);
    printf("%s is archived\n", c->call.args[0]);
    return 0;
}

/* ---- tokens ---- */

static int print_token(struct tunnel_command *c, const json_t *j, struct err *e)
{
    if (c->call.json)
        return api_command_print(j);
    const char *token = json_get_str(j, "tunnel_token");
    if (!token)
        return err_set(e, -E_PROTO, "the server's answer holds no token");
    printf("%s\n", token);
    return 0;
}

static int token_show(void *command, struct err *e)
{
    struct tunnel_command *c = command;
    AUTO_FREE char *path = mem_printf("/v1/tunnels/%s/reveal_token", c->call.args[0]);
    AUTO_JSON json_t *j = NULL;
    int r = call(c, "POST", path, NULL, &j, e);
    return r < 0 ? r : print_token(c, j, e);
}

static int token_rotate(void *command, struct err *e)
{
    struct tunnel_command *c = command;
    AUTO_FREE char *path = mem_printf("/v1/tunnels/%s/rotate_token", c->call.args[0]);
    AUTO_JSON json_t *body = json_object(), *j = NULL;
    if (c->reason)
        json_put_str(body, "reason", c->reason);
    int r = call(c, "POST", path, body, &j, e);
    return r < 0 ? r : print_token(c, j, e);
}

/* ---- certificates ---- */

static void print_certificate(const json_t *o)
{
    const char *until = json_get_str(o, "expires_at");
    printf("%-29s %s until %.10s%s\n", json_get_str(o, "id"), json_get_str(o, "fingerprint"),
           until ? until : "for ever", json_get_str(o, "archived_at") ? " (archived)" : "");
}

/* The file as it is: the server tells what is wrong with it. */
static int read_pem(const char *path, char *ret, size_t cap, struct err *e)
{
    AUTO_CLOSE int fd = file_open(path, O_RDONLY, e);
    if (fd < 0)
        return fd == -ENOENT ? err_set(e, fd, "there is no file %s", path) : fd;
    ssize_t n = file_read_small(fd, ret, cap - 1);
    if (n < 0)
        return err_set(e, (int)n, "%s cannot be read: %s", path,
                       n == -EFBIG ? "it is far too large for a certificate" : err_text((int)n));
    if (strnlen(ret, (size_t)n) < (size_t)n)
        return err_set(e, -EINVAL,
                       "%s holds zero bytes: it may be in DER; openssl x509 -inform DER makes PEM "
                       "of it",
                       path);
    ret[n] = '\0';
    return 0;
}

static int cert_add(void *command, struct err *e)
{
    struct tunnel_command *c = command;
    AUTO_FREE char *pem = mem_array(PEM_MAX, 1);
    int r = read_pem(c->call.args[1], pem, PEM_MAX, e);
    if (r < 0)
        return r;
    AUTO_FREE char *path = mem_printf("/v1/tunnels/%s/certificates", c->call.args[0]);
    AUTO_JSON json_t *body = json_object(), *j = NULL;
    json_put_str(body, "ca_certificate_pem", pem);
    r = call(c, "POST", path, body, &j, e);
    if (r < 0 || c->call.json)
        return r < 0 ? r : api_command_print(j);
    print_certificate(j);
    return 0;
}

static int cert_list(void *command, struct err *e)
{
    struct tunnel_command *c = command;
    AUTO_FREE char *path = mem_printf("/v1/tunnels/%s/certificates", c->call.args[0]);
    return print_all(c, path, print_certificate, "no certificates: the tunnel carries nothing", e);
}

static int cert_archive(void *command, struct err *e)
{
    struct tunnel_command *c = command;
    AUTO_FREE char *path =
        mem_printf("/v1/tunnels/%s/certificates/%s/archive", c->call.args[0], c->call.args[1]);
    AUTO_JSON json_t *j = NULL;
    int r = call(c, "POST", path, NULL, &j, e);
    if (r < 0 || c->call.json)
        return r < 0 ? r : api_command_print(j);
    printf("%s is archived: it is trusted no more\n", c->call.args[1]);
    return 0;
}

/* ---- the verbs ---- */

enum { NAMED = 1, ARCHIVED_TOO = 2, SURE = 4, WITH_REASON = 8, OF_FILE = 16 };

static int run_verb(const struct verb *v, int argc, char **argv);

static const struct verb verbs[] = {
    {{"create"}, NULL, "Makes a tunnel and prints its id.", 0, 0, NAMED, run_verb, create},
    {{"list"}, NULL, "Lists the tunnels.", 0, 0, ARCHIVED_TOO, run_verb, list},
    {{"show"}, "TUNNEL_ID", "Shows a tunnel.", 1, 1, 0, run_verb, show},
    {{"archive"}, "TUNNEL_ID", "Ends a tunnel, for good.", 1, 1, SURE, run_verb, archive},
    {{"token", "show"},
     "TUNNEL_ID",
     "Prints the token that a gateway needs.",
     1,
     1,
     0,
     run_verb,
     token_show},
    {{"token", "rotate"},
     "TUNNEL_ID",
     "Makes a new token and prints it; the old one opens no new connection.",
     1,
     1,
     WITH_REASON,
     run_verb,
     token_rotate},
    {{"cert", "add"},
     "TUNNEL_ID FILE",
     "Registers a CA certificate (PEM): what it has signed is trusted.",
     2,
     2,
     OF_FILE,
     run_verb,
     cert_add},
    {{"cert", "list"},
     "TUNNEL_ID",
     "Lists a tunnel's certificates.",
     1,
     1,
     ARCHIVED_TOO,
     run_verb,
     cert_list},
    {{"cert", "archive"},
     "TUNNEL_ID CERT_ID",
     "Ends the trust in a certificate.",
     2,
     2,
     0,
     run_verb,
     cert_archive},
};

const struct verb_set cmd_tunnel_verbs = {.command = "tunnel",
                                          .summary = "Works with MCP tunnels.",
                                          .verbs = verbs,
                                          .n_verbs = ARRAY_LEN(verbs),
                                          .width = 12};

static int run_verb(const struct verb *v, int argc, char **argv)
{
    struct tunnel_command c = {0};
    const struct flag flags_of[] = {
        {"name", "TEXT", "what the tunnel is for", FLAG_TEXT, .ptr = &c.name, .line_only = true},
        {"all", NULL, "archived ones, too", FLAG_BOOL, .ptr = &c.all, .line_only = true},
        {"yes", NULL, "it is meant", FLAG_BOOL, .ptr = &c.yes, .line_only = true},
        {"reason", "TEXT", "why, for the record", FLAG_TEXT, .ptr = &c.reason, .line_only = true},
    };
    static struct flag room[FLAG_SET_MAX];
    char name[64];
    struct flag_set flags = verb_flags(&cmd_tunnel_verbs, v, name, room);
    api_command_flags(&flags, &c.call, "print the server's JSON");
    for (size_t i = 0; i < ARRAY_LEN(flags_of); i++)
        if (v->has & (1u << i))
            flags_add(&flags, &flags_of[i], 1);
    int code = flags_main(&flags, argc, argv, NULL, &c.call.n_args);
    if (code >= 0)
        return code;
    c.call.args = argv + 1;
    for (int i = 0; i < c.call.n_args; i++) {
        if (api_client_is_id(c.call.args[i]) || (i == 1 && v->has & OF_FILE))
            continue;
        fprintf(stderr, "sallyport tunnel: an id is letters, digits, _ and -\n");
        return 2;
    }
    return api_command_run(v, "tunnel", &c.call, &c);
}

int cmd_tunnel(int argc, char **argv)
{
    return verbs_main(&cmd_tunnel_verbs, argc, argv);
}
