/* identity.c - `sallyport identity`: tokens that say which agent asks, and the keys they are checked by.
 *
 * A client of the API. A token goes to standard output alone, for scripts and for people who try a private server:
 * it is a credential for five minutes, and goes into no log line and no error. The keys are printed as the server
 * publishes them, for a gateway that reads them from a file. What the server answers is text from elsewhere. */
#include "base/err.h"
#include "base/str.h"
#include "cmd/client/api_command.h"
#include "cmd/cmd.h"

#include <stdio.h>
#include <string.h>

struct identity_command {
    struct api_command call;
    const char *agent, *session, *audience;
};

/* Nothing but the characters of a JWT: it is pasted into headers and shells. */
static bool is_token(const char *s)
{
    return s && *s &&
           s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")] ==
               '\0';
}

static int token(void *command, struct err *e)
{
    struct identity_command *c = command;
    AUTO_JSON json_t *body = json_object(), *j = NULL;
    if (!c->agent == !c->session)
        return err_set(e, -EINVAL, "give --session or --agent, one of both: whose token is it?");
    if (!c->audience)
        return err_set(e, -EINVAL,
                       "give --audience: for whom it is, as https://wiki.t-1234.tunnel.example");
    if (c->agent)
        json_put_str(body, "agent_id", c->agent);
    if (c->session)
        json_put_str(body, "session_id", c->session);
    json_put_str(body, "audience", c->audience);
    int r = api_client_call(&c->call.api, "POST", "/v1/sallyport/identity", body, &j, e);
    if (r < 0 || c->call.json)
        return r < 0 ? r : api_command_print(j);
    const char *text = json_get_str(j, "token");
    if (!is_token(text))
        return err_set(e, -E_PROTO, "the server's answer holds no token");
    puts(text);
    return 0;
}

static int keys(void *command, struct err *e)
{
    struct identity_command *c = command;
    AUTO_JSON json_t *j = NULL;
    int r = api_client_call(&c->call.api, "GET", "/.well-known/jwks.json", NULL, &j, e);
    if (r == 0 && json_array_size(json_object_get(j, "keys")) == 0)
        return err_set(e, -ENOENT,
                       "the server has no key yet: it makes one with the first token (sallyport "
                       "identity token)");
    return r < 0 ? r : api_command_print(j);
}

enum { WHOSE = 1 };

static int run_verb(const struct verb *v, int argc, char **argv);

static const struct verb verbs[] = {
    {{"token"},
     NULL,
     "Prints a token that names an agent, and its session, for five minutes.",
     0,
     0,
     WHOSE,
     run_verb,
     token},
    {{"keys"},
     NULL,
     "Prints the public keys that such tokens are checked by.",
     0,
     0,
     0,
     run_verb,
     keys},
};

const struct verb_set cmd_identity_verbs = {.command = "identity",
                                            .summary = "Says which agent asks.",
                                            .verbs = verbs,
                                            .n_verbs = ARRAY_LEN(verbs),
                                            .width = 6};

static int run_verb(const struct verb *v, int argc, char **argv)
{
    struct identity_command c = {0};
    const struct flag whose[] = {
        {"session", "ID", "the session, which says whose it is", FLAG_TEXT, .ptr = &c.session,
         .line_only = true},
        {"agent", "ID", "an agent, without a session", FLAG_TEXT, .ptr = &c.agent,
         .line_only = true},
        {"audience", "URL", "for whom it is: a route's URL", FLAG_TEXT, .ptr = &c.audience,
         .line_only = true},
    };
    static struct flag room[FLAG_SET_MAX];
    char name[64];
    struct flag_set flags = verb_flags(&cmd_identity_verbs, v, name, room);
    api_command_flags(&flags, &c.call, "print the server's JSON");
    if (v->has & WHOSE)
        flags_add(&flags, whose, ARRAY_LEN(whose));
    int code = flags_main(&flags, argc, argv, NULL, &c.call.n_args);
    if (code >= 0)
        return code;
    c.call.args = argv + 1;
    return api_command_run(v, "identity", &c.call, &c);
}

int cmd_identity(int argc, char **argv)
{
    return verbs_main(&cmd_identity_verbs, argc, argv);
}
