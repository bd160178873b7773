/* mcp_message.c - fuzzes what an MCP server says: messages, schemas, endpoints and challenges.
 *
 * Theory of operation: the first byte chooses. A message that is taken has the parts that its kind
 * promises. A schema that is taken turns any arguments into headers without a character that could end
 * a line, and into none when it is refused. An endpoint that is taken begins with the caller's origin. A
 * challenge fits its places. */
#include "fuzz.h"
#include "base/err.h"
#include "base/str.h"
#include "mcp/client/client_internal.h"

#include <string.h>

static void message(const json_t *j)
{
    struct mcp_message m;
    struct err e = {0};
    if (mcp_message_read(j, &m, &e) < 0) {
        MUST(e.msg[0]);
        return;
    }
    MUST((m.kind == MCP_RESULT) == (m.result != NULL));
    MUST((m.kind == MCP_ERROR) == (m.error != NULL));
    MUST((m.kind == MCP_REQUEST || m.kind == MCP_NOTIFICATION) == (m.method != NULL));
    MUST(m.kind != MCP_NOTIFICATION || !m.json_id);
    MUST(m.id == 0 || (m.result || m.error));
}

static void schema(const json_t *j)
{
    AUTO(mcp_headers) h = {0};
    struct err e = {0};
    const json_t *of = json_object_get(j, "schema");
    int checked = mcp_params_check(of, &e);
    int r = mcp_params_add(of, json_object_get(j, "arguments"), &h, &e);
    MUST(checked == 0 || checked == -E_PARSE);
    MUST(checked == 0 ? r == 0 || r == -EINVAL : r < 0);
    MUST(h.n <= MCP_PARAMS_MAX);
    for (size_t i = 0; i < h.n; i++) {
        MUST(str_starts(h.rows[i].name, "Mcp-Param-"));
        for (const char *p = h.rows[i].value; *p; p++)
            MUST(*p >= 0x20 && *p <= 0x7e);
    }
}

static void endpoint(const char *text, size_t n)
{
    AUTO_FREE char *got = NULL;
    if (mcp_endpoint_resolve("https://a.example/x/sse", text, n, &got, NULL) < 0)
        return;
    size_t origin = strcspn(got + 8, "/?");
    MUST(str_starts(got, "https://"));
    MUST(str_ieq_n(got + 8, origin, "a.example", 9) ||
         str_ieq_n(got + 8, origin, "a.example:443", 13));
    MUST(!strpbrk(got, " \r\n\t\\#"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    AUTO_FREE char *text = mem_strndup((const char *)data + 1, n - 1);
    struct mcp_challenge c;
    AUTO_JSON json_t *j = NULL;
    switch (data[0] % 4) {
    case 0:
        mcp_challenge_read(text, &c);
        MUST(strlen(c.scheme) < sizeof(c.scheme) && strlen(c.error) < sizeof(c.error));
        MUST(strlen(c.scope) < sizeof(c.scope));
        MUST(strlen(c.resource_metadata) < sizeof(c.resource_metadata));
        break;
    case 1:
        endpoint((const char *)data + 1, n - 1);
        break;
    default:
        if (json_parse((const char *)data + 1, n - 1, &j, NULL) < 0)
            return 0;
        if (data[0] % 4 == 2)
            message(j);
        else
            schema(j);
    }
    return 0;
}
