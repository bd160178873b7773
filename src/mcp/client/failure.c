/* failure.c - the provenance of a failed call, and what a refusal says about the credential it wants.
 *
 * Pure; called on whichever fiber makes the request. The server writes WWW-Authenticate: its value is
 * read with a cursor, once from left to right, into places of fixed size. A parameter that does not
 * fit is left empty and never cut: half an address is worse than none. A quoted string may hold commas
 * and what looks like a scheme, which is why the header is not searched for words. */
#include "mcp/client/failure.h"
#include "base/str.h"
#include "http/wire/h1_class.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mcp_failure_done(struct mcp_failure *f)
{
    if (!f)
        return;
    json_decref(f->rpc_error);
    *f = (struct mcp_failure){0};
}

const char *mcp_source_name(enum mcp_source s)
{
    static const char *const names[] = {
        [MCP_NO_FAILURE] = "none", [MCP_HERE] = "here",         [MCP_CANCELLED] = "cancelled",
        [MCP_DNS] = "dns",         [MCP_CONNECT] = "connect",   [MCP_TLS] = "tls",
        [MCP_TIMEOUT] = "timeout", [MCP_CLOSED] = "closed",     [MCP_HTTP] = "http",
        [MCP_AUTH] = "auth",       [MCP_PROTOCOL] = "protocol", [MCP_LIMIT] = "limit",
        [MCP_INPUT] = "input",     [MCP_SERVER] = "server",
    };
    return (size_t)s < ARRAY_LEN(names) ? names[s] : "unknown";
}

int mcp_fail(struct mcp_failure *f, enum mcp_source source, int code, const char *fmt, ...)
{
    va_list ap;
    char words[sizeof(f->err.msg)];
    va_start(ap, fmt);
    vsnprintf(words, sizeof(words), fmt, ap);
    va_end(ap);
    f->source = source;
    return err_set(&f->err, code, "%s", words);
}

int mcp_fail_transport(struct mcp_failure *f, int code)
{
    switch (code) {
    case -EHOSTUNREACH:
        f->source = MCP_DNS;
        break;
    case -ECONNREFUSED:
        f->source = MCP_CONNECT;
        break;
    case -E_TLS:
        f->source = MCP_TLS;
        break;
    case -ETIMEDOUT:
        f->source = MCP_TIMEOUT;
        break;
    case -ECANCELED:
        f->source = MCP_CANCELLED;
        break;
    case -EMSGSIZE:
        f->source = MCP_LIMIT;
        break;
    case -E_PROTO:
        f->source = MCP_PROTOCOL;
        break;
    case -EINVAL:
    case -ENOMEM:
        f->source = MCP_HERE;
        break;
    default:
        f->source = MCP_CLOSED;
        break;
    }
    f->err.code = code;
    if (!f->err.msg[0])
        err_set(&f->err, code, "%s", err_text(code));
    return code;
}

/* ---- WWW-Authenticate ---- */

static size_t token_len(const char *p)
{
    size_t n = 0;
    while (p[n] && h1_is(p[n], H1_TOKEN))
        n++;
    return n;
}

static const char *skip(const char *p, const char *what)
{
    return p + strspn(p, what);
}

/* token or quoted-string at `p`, into `ret`, which stays empty when it does not fit. Where it ends;
 * NULL: it has no end. */
static const char *value(const char *p, char *ret, size_t cap)
{
    size_t n = 0;
    bool quoted = *p == '"';
    if (quoted)
        p++;
    while (*p && (quoted ? *p != '"' : !strchr(" \t,", *p))) {
        if (quoted && *p == '\\' && p[1])
            p++;
        if (n < cap)
            ret[n] = *p;
        n++;
        p++;
    }
    ret[n < cap ? n : 0] = '\0';
    if (!quoted)
        return p;
    return *p == '"' ? p + 1 : NULL;
}

static void keep_parameter(struct mcp_challenge *c, const char *name, size_t n, const char *text)
{
    if (str_ieq_n(name, n, "error", 5))
        (void)str_copy(c->error, sizeof(c->error), text);
    else if (str_ieq_n(name, n, "scope", 5))
        (void)str_copy(c->scope, sizeof(c->scope), text);
    else if (str_ieq_n(name, n, "resource_metadata", 17))
        (void)str_copy(c->resource_metadata, sizeof(c->resource_metadata), text);
}

/* name = value, where `*p` is the name. False: what follows is a scheme. */
static bool parameter(const char **p, struct mcp_challenge *c)
{
    size_t n = token_len(*p);
    const char *at = skip(*p + n, " \t");
    if (n == 0 || *at != '=')
        return false;
    char text[512];
    const char *end = value(skip(at + 1, " \t"), text, sizeof(text));
    if (!end)
        end = *p + strlen(*p);
    else if (strlen(text) < (str_ieq_n(*p, n, "error", 5)   ? sizeof(c->error)
                             : str_ieq_n(*p, n, "scope", 5) ? sizeof(c->scope)
                                                            : sizeof(text)))
        keep_parameter(c, *p, n, text);
    *p = end;
    return true;
}

void mcp_challenge_read(const char *header, struct mcp_challenge *ret)
{
    struct mcp_challenge c = {0};
    *ret = c;
    const char *p = skip(header, " \t,");
    while (*p) {
        size_t n = token_len(p);
        if (n == 0 || n >= sizeof(c.scheme))
            return;
        c = (struct mcp_challenge){0};
        memcpy(c.scheme, p, n);
        p = skip(p + n, " \t,");
        while (parameter(&p, &c))
            p = skip(p, " \t,");
        bool bearer = str_ieq(c.scheme, "Bearer");
        if (bearer || !ret->scheme[0])
            *ret = c;
        if (bearer)
            return;
    }
}
