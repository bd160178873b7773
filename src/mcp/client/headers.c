/* headers.c - Mcp-Param-* headers from a tool's schema and the arguments of a call.
 *
 * Pure; called by whoever sends tools/call, and for each tool of a list. The schema is the server's
 * word, the arguments are a model's (mcp/wire/params walks the one, and finds the other). A value goes into a
 * header only after it was encoded, so nothing in an argument can end a line. */
#include "mcp/client/headers.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/secret.h"
#include "mcp/wire/params.h"

#include <string.h>

void mcp_headers_done(struct mcp_headers *h)
{
    for (size_t i = 0; i < h->n; i++) {
        char *name, *value;
        memcpy(&name, &h->rows[i].name, sizeof(name));
        memcpy(&value, &h->rows[i].value, sizeof(value));
        secret_wipe(value, strlen(value));
        free(name);
        free(value);
    }
    h->n = 0;
}

bool mcp_headers_add(struct mcp_headers *h, const char *name, const char *value)
{
    if (h->n == MCP_HEADERS_MAX)
        return false;
    h->rows[h->n++] = (struct client_header){mem_strdup(name), mem_strdup(value)};
    return true;
}

/* ---- values ---- */

static bool is_plain(const char *s, size_t n)
{
    if (n == 0)
        return true;
    if (s[0] == ' ' || s[n - 1] == ' ')
        return false;
    for (size_t i = 0; i < n; i++)
        if (s[i] < 0x20 || s[i] > 0x7e)
            return false;
    return !(n >= 11 && memcmp(s, "=?base64?", 9) == 0 && memcmp(s + n - 2, "?=", 2) == 0);
}

int mcp_header_value(struct buf *out, const char *s, size_t n)
{
    if (is_plain(s, n))
        return buf_add(out, s, n);
    buf_adds(out, "=?base64?");
    enc_base64(out, s, n);
    return buf_adds(out, "?=");
}

/* ---- parameters ---- */

struct adding {
    const json_t *arguments;
    struct mcp_headers *headers;
    struct err *e;
};

static int add_param(void *arg, const struct mcp_param *p)
{
    const struct adding *a = arg;
    const json_t *argument = mcp_param_value(a->arguments, p->keys, p->n);
    AUTO(buf) text = BUF_INIT(MCP_HEADER_VALUE_MAX), value = BUF_INIT(MCP_HEADER_VALUE_MAX);
    if (!argument || json_is_null(argument))
        return 0;
    int r = mcp_param_text(argument, &text);
    if (r == -EINVAL)
        return err_set(a->e, r,
                       "the argument that becomes the header Mcp-Param-%s is no string, boolean or "
                       "integer of at most 2^53-1",
                       p->name);
    if (r == 0)
        r = mcp_header_value(&value, buf_str(&text), text.len);
    if (r < 0)
        return err_set(a->e, -EINVAL,
                       "the argument that becomes Mcp-Param-%s is too long for a header", p->name);
    AUTO_FREE char *header = mem_printf("Mcp-Param-%s", p->name);
    if (!mcp_headers_add(a->headers, header, buf_str(&value)))
        return err_set(a->e, -EINVAL, "the call needs more headers than are sent");
    return 0;
}

int mcp_params_check(const json_t *schema, struct err *e)
{
    return mcp_params_walk(schema, NULL, NULL, e);
}

int mcp_params_add(const json_t *schema, const json_t *arguments, struct mcp_headers *h,
                   struct err *e)
{
    struct adding a = {.arguments = arguments, .headers = h, .e = e};
    return mcp_params_walk(schema, add_param, &a, e);
}
