/* tunnel.c - `sallyport tunnel`: tunnels, their tokens and their certificates.
 *
 * A client of the API. A token goes to standard output alone, so that it can be redirected into a
 * file: `sallyport tunnel token show ID > token`. It goes into no log line and no error. Ending a tunnel
 * cannot be undone, and wants to be told twice. A file that holds a private key is not sent. What
 * the server answers is text from elsewhere: nothing in it drives the terminal, or begins a line. */
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/client/api_command.h"
#include "cmd/cmd.h"
#include "cmd/line/term.h"
#include "cmd/line/verbs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PEM_MAX 65536 /* far more than a server takes, so that it says what is wrong */

struct tunnel_command {
    struct api_command call;
    const char *name, *reason;
    bool all, yes, kill;
};

static int call(struct tunnel_command *c, const char *method, const char *path, const json_t *body,
                json_t **ret, struct err *e)
{
    return api_client_call(&c->call.api, method, path, body, ret, e);
}

/* ---- tunnels ---- */

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_get_str(o, key);
    return text ? text : "-";
}

static void print_word(const json_t *o, const char *key, const char *behind)
{
    term_print_word(stdout, text_of(o, key));
    fputs(behind, stdout);
}

static void print_tunnel(const json_t *o)
{
    print_word(o, "id", "  ");
    print_word(o, "domain", json_get_str(o, "archived_at") ? " (archived) " : " ");
    print_word(o, "display_name", "\n");
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
    if (!id || !api_client_is_id(id))
        return err_set(e, -E_PROTO, "the server's answer holds no id");
    printf("%s\n", id);
    fprintf(stderr, "its domain is ");
    term_print_word(stderr, text_of(j, "domain"));
    fprintf(stderr,
            "; it carries nothing until it has a certificate:\n"
            "  sallyport tunnel cert add %s CA.pem\n",
            id);
    return 0;
}

static int print_all(struct tunnel_command *c, const char *path, void (*print)(const json_t *o),
                     const char *none, struct err *e)
{
    AUTO_JSON json_t *all = NULL;
    int r = api_client_all(&c->call.api, path, c->all, &all, e);
    if (r < 0)
        return r;
    if (c->call.json) {
        AUTO_JSON json_t *page = json_object();
        json_put(page, "data", json_incref(all));
        return api_command_print(page);
    }
    size_t i;
    json_t *o;
    json_array_foreach (all, i, o)
        print(o);
    if (i == 0)
        fprintf(stderr, "%s\n", none);
    return 0;
}

static int list(void *command, struct err *e)
{
    return print_all(command, "/v1/tunnels", print_tunnel, "no tunnels", e);
}

static void print_certificate(const json_t *o)
{
    char now[TIME_RFC3339_MAX], day[16];
    const char *until = json_get_str(o, "expires_at");
    bool over = until && strcmp(until, time_format(now, time_real_us())) <= 0;
    print_word(o, "id", "  ");
    print_word(o, "fingerprint", until ? " until " : " never ends");
    snprintf(day, sizeof(day), "%.10s", until ? until : "");
    term_print_word(stdout, day);
    puts(json_get_str(o, "archived_at") ? " (archived)" : over ? " (expired)" : "");
}

static int show(void *command, struct err *e)
{
    struct tunnel_command *c = command;
    AUTO_FREE char *path = mem_printf("/v1/tunnels/%s", c->call.args[0]);
    AUTO_FREE char *certificates = mem_printf("%s/certificates", path);
    AUTO_JSON json_t *j = NULL, *all = NULL;
    int r = call(c, "GET", path, NULL, &j, e);
    if (r < 0 || c->call.json)
        return r < 0 ? r : api_command_print(j);
    r = api_client_all(&c->call.api, certificates, false, &all, e);
    if (r < 0)
        return r;
    static const char *const rows[][2] = {{"id", "id"},
                                          {"domain", "domain"},
                                          {"name", "display_name"},
                                          {"made", "created_at"},
                                          {"archived", "archived_at"}};
    for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
        printf("%-12s ", rows[k][0]);
        print_word(j, rows[k][1], "\n");
    }
    size_t i;
    json_t *o;
    json_array_foreach (all, i, o) {
        printf("certificate  ");
        print_certificate(o);
    }
    if (i == 0)
        printf("certificate  none: it carries nothing\n");
    return 0;
}

static int post_archive(struct tunnel_command *c, const char *path, const char *id,
                        const char *done, struct err *e)
{
    AUTO_JSON json_t *j = NULL;
    int r = call(c, "POST", path, NULL, &j, e);
    if (r < 0 || c->call.json)
        return r < 0 ? r : api_command_print(j);
    if (!json_get_str(j, "archived_at"))
        return err_set(e, -E_PROTO, "the server's answer does not say that %s is archived", id);
    printf("%s %s\n", id, done);
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
    return post_archive(c, path, c->call.args[0], "is archived", e);
}

/* ---- tokens ---- */

static int print_token(struct tunnel_command *c, const json_t *j, struct err *e)
{
    if (c->call.json)
        return api_command_print(j);
    const char *token = json_get_str(j, "tunnel_token");
    if (!token || !api_client_is_id(token))
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

/* Those that were opened with a token that is not good any more. */
static int end_connections(struct tunnel_command *c, struct err *e)
{
    AUTO_FREE char *path = mem_printf("/v1/tunnels/%s/disconnect", c->call.args[0]);
    AUTO_JSON json_t *j = NULL;
    int r = call(c, "POST", path, NULL, &j, e);
    if (r == 0)
        fprintf(stderr, "%lld connections ended\n",
                (long long)json_integer_value(json_object_get(j, "connections")));
    return r;
}

static int disconnect(void *command, struct err *e)
{
    return end_connections(command, e);
}

static int token_rotate(void *command, struct err *e)
{
    struct tunnel_command *c = command;
    AUTO_FREE char *path = mem_printf("/v1/tunnels/%s/rotate_token", c->call.args[0]);
    AUTO_JSON json_t *body = json_object(), *j = NULL;
    if (c->reason)
        json_put_str(body, "reason", c->reason);
    int r = call(c, "POST", path, body, &j, e);
    if (r == 0)
        r = print_token(c, j, e);
    if (r < 0 || !c->kill)
        return r;
    /* The new token is printed by now: what follows can be repeated. */
    r = end_connections(c, e);
    return r < 0 ? err_wrap(e, r,
                            "the token is a new one, but connections of the old one were not ended "
                            "(sallyport tunnel disconnect %s)",
                            c->call.args[0])
                 : r;
}

/* ---- certificates ---- */

/* What makes no sense to send. */
static int refuse_pem(const char *name, const char *text, size_t n, struct err *e)
{
    const unsigned char *b = (const unsigned char *)text;
    if (n >= 2 && ((b[0] == 0xff && b[1] == 0xfe) || (b[0] == 0xfe && b[1] == 0xff)))
        return err_set(e, -EINVAL, "%s is text in UTF-16; save it as ASCII or UTF-8", name);
    if (n >= 3 && memcmp(b, "\xef\xbb\xbf", 3) == 0)
        return err_set(e, -EINVAL,
                       "%s begins with a byte order mark; save it without (UTF-8 without BOM)",
                       name);
    if (memchr(text, '\0', n))
        return err_set(
            e, -EINVAL,
            "%s is no text: a certificate in DER becomes PEM by openssl x509 -inform DER, "
            "one in PKCS#12 by openssl pkcs12 -nokeys",
            name);
    if (memmem(text, n, "PRIVATE KEY", strlen("PRIVATE KEY")))
        return err_set(
            e, -EINVAL,
            "%s holds a private key, which nobody else needs; nothing was sent. Name the "
            "certificate",
            name);
    return 0;
}

/* The file as it is, "-" for standard input: the server tells what else is wrong with it. Links are
 * followed, and pipes read: what a person names here is public. */
static int read_pem(const char *path, char *ret, size_t cap, struct err *e)
{
    const bool piped = str_eq(path, "-");
    const char *name = piped ? "standard input" : path;
    AUTO_CLOSE int fd = piped ? fcntl(0, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0 && n < cap - 1) {
        got = read(fd, ret + n, cap - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    }
    if (got < 0)
        return err_set(e, -EINVAL, "cannot read %s: %s", name, err_text(-errno));
    if (got > 0)
        return err_set(e, -EINVAL, "%s is far too large for a certificate", name);
    ret[n] = '\0';
    return refuse_pem(name, ret, n, e);
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

static int cert_show(void *command, struct err *e)
{
    struct tunnel_command *c = command;
    AUTO_FREE char *path =
        mem_printf("/v1/tunnels/%s/certificates/%s", c->call.args[0], c->call.args[1]);
    AUTO_JSON json_t *j = NULL;
    int r = call(c, "GET", path, NULL, &j, e);
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
    return post_archive(c, path, c->call.args[1], "is archived: it is trusted no more", e);
}

/* ---- the verbs ---- */

enum { NAMED = 1, ARCHIVED_TOO = 2, SURE = 4, WITH_REASON = 8, OF_FILE = 16, AND_KILL = 32 };

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
     WITH_REASON | AND_KILL,
     run_verb,
     token_rotate},
    {{"disconnect"},
     "TUNNEL_ID",
     "Ends connections that were opened with a token that was rotated since.",
     1,
     1,
     0,
     run_verb,
     disconnect},
    {{"cert", "add"},
     "TUNNEL_ID FILE",
     "Registers a CA certificate (PEM, - for standard input): what it has signed is trusted.",
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
    {{"cert", "show"}, "TUNNEL_ID CERT_ID", "Shows a certificate.", 2, 2, 0, run_verb, cert_show},
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
        {.name = NULL}, /* OF_FILE is no flag */
        {"kill", NULL, "end what is connected with the old token, too", FLAG_BOOL, .ptr = &c.kill,
         .line_only = true},
    };
    static struct flag room[FLAG_SET_MAX];
    char name[64];
    struct flag_set flags = verb_flags(&cmd_tunnel_verbs, v, name, room);
    api_command_flags(&flags, &c.call, "print the server's JSON");
    for (size_t i = 0; i < ARRAY_LEN(flags_of); i++)
        if (flags_of[i].name && v->has & (1u << i))
            flags_add(&flags, &flags_of[i], 1);
    int code = flags_main(&flags, argc, argv, NULL, &c.call.n_args);
    if (code >= 0)
        return code;
    c.call.args = argv + 1;
    for (int i = 0; i < c.call.n_args; i++) {
        if (api_client_is_id(c.call.args[i]) || (i == 1 && v->has & OF_FILE))
            continue;
        fprintf(stderr, "sallyport tunnel: \"");
        term_print_word(stderr, c.call.args[i]);
        fprintf(stderr,
                "\" is no id, which is letters, digits, _ and -; sallyport tunnel list shows "
                "those of tunnels\n");
        return 2;
    }
    return api_command_run(v, "tunnel", &c.call, &c);
}

int cmd_tunnel(int argc, char **argv)
{
    return verbs_main(&cmd_tunnel_verbs, argc, argv);
}
