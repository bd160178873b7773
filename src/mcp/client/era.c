/* era.c - which revision of MCP a server speaks, and its opening.
 *
 * Runs on the fiber that opens the client, or on the one whose call found its session gone. The order
 * is the specification's (2026-07-28, basic/versioning and streamable-http, "Backward Compatibility"):
 * a request of 2026-07-28 first (server/discover); what answers it with anything but a result or an
 * error of that era is older, and is sent initialize; what refuses that with 400, 404 or 405 may be
 * older still, and is asked for the stream of HTTP+SSE. A refusal for want of a credential, a redirect,
 * and a way there that is broken end the search at once: the next era would meet the same. The server
 * chooses a version only among those that we name. */
#include "mcp/client/client_internal.h"

#include <string.h>

/* What a step of the search returns besides 0 (open) and a negative code (no use to go on). */
#define TRY_OLDER 1

static bool lists(const json_t *versions, const char *version)
{
    for (size_t i = 0; i < json_array_size(versions); i++)
        if (str_eq(json_string_value(json_array_get(versions, i)), version))
            return true;
    return false;
}

static const char *const old_versions[] = {"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"};

static bool lists_old(const json_t *versions)
{
    for (size_t i = 0; i < ARRAY_LEN(old_versions); i++)
        if (lists(versions, old_versions[i]))
            return true;
    return false;
}

static void keep_server(struct mcp_client *c, const json_t *result)
{
    const json_t *info = json_object_get(result, "serverInfo");
    if (!info)
        info =
            json_object_get(json_object_get(result, "_meta"), "io.modelcontextprotocol/serverInfo");
    json_decref(c->server);
    c->server = json_is_object(info) ? json_deep_copy(info) : NULL;
}

/* ---- 2026-07-28 ---- */

static int discovered(struct mcp_client *c, const json_t *result, struct mcp_failure *f)
{
    const json_t *versions = json_object_get(result, "supportedVersions");
    if (!json_is_array(versions))
        return TRY_OLDER; /* a server that answers whatever it is asked */
    if (!lists(versions, MCP_MODERN)) {
        if (lists_old(versions))
            return TRY_OLDER;
        return mcp_fail(f, MCP_PROTOCOL, -E_PROTO,
                        "the server speaks no revision of MCP that this client speaks");
    }
    keep_server(c, result);
    return 0;
}

static int not_discovered(struct mcp_failure *f, int code, bool *again)
{
    *again = false;
    const json_t *supported = json_object_get(json_object_get(f->rpc_error, "data"), "supported");
    if (f->source == MCP_SERVER && f->rpc_code == -32022 && json_is_array(supported)) {
        *again = lists(supported, MCP_MODERN);
        if (*again || lists_old(supported))
            return TRY_OLDER;
        return mcp_fail(f, MCP_PROTOCOL, -E_PROTO,
                        "the server speaks no revision of MCP that this client speaks");
    }
    if (f->source == MCP_SERVER && f->rpc_code <= -32020 && f->rpc_code >= -32022)
        return code; /* an error of that era: the server speaks it */
    bool redirect = f->status >= 300 && f->status < 400;
    bool away = f->status == 408 || f->status == 429 || (f->status > 501 && f->status < 600);
    if (f->source == MCP_SERVER || f->source == MCP_PROTOCOL ||
        (f->source == MCP_HTTP && !redirect && !away))
        return TRY_OLDER;
    return code;
}

static int open_modern(struct mcp_client *c, struct mcp_failure *f)
{
    c->wire = MCP_WIRE_MODERN;
    (void)str_copy(c->version, sizeof(c->version), MCP_MODERN);
    for (int tries = 0;; tries++) {
        AUTO_JSON json_t *result = NULL;
        bool again = false;
        int r = mcp_request_make(
            c, &(struct mcp_ask_for){.method = "server/discover", .repeatable = true}, &result, f);
        r = r == 0 ? discovered(c, result, f) : not_discovered(f, r, &again);
        if (!again)
            return r;
        if (tries > 0)
            return mcp_fail(f, MCP_PROTOCOL, -E_PROTO,
                            "the server refuses the revision " MCP_MODERN
                            " and names it as one it has");
        mcp_failure_done(f);
    }
}

/* ---- initialize ---- */

static int initialize(struct mcp_client *c, struct mcp_failure *f)
{
    AUTO_JSON json_t *params = json_new_object(), *result = NULL;
    json_put_str(params, "protocolVersion", old_versions[0]);
    json_put(params, "capabilities", mcp_capabilities(c));
    json_put(params, "clientInfo", mcp_client_info());
    c->offered[0] = '\0';
    int r = mcp_request_make(c, &(struct mcp_ask_for){.method = "initialize", .params = params},
                             &result, f);
    if (r < 0)
        return r;
    const char *version = json_get_str(result, "protocolVersion"), *agreed = NULL;
    for (size_t i = 0; version && i < ARRAY_LEN(old_versions); i++)
        if (str_eq(version, old_versions[i]))
            agreed = old_versions[i];
    /* From here on it is the new one, which is deleted at the end even if nothing more comes of it. */
    (void)str_copy(c->session, sizeof(c->session), c->offered);
    if (!agreed)
        return mcp_fail(f, MCP_PROTOCOL, -E_PROTO,
                        "the server chose a revision of MCP that this client does not speak");
    (void)str_copy(c->version, sizeof(c->version), agreed);
    keep_server(c, result);
    AUTO_JSON json_t *j = mcp_message_request(0, "notifications/initialized", NULL);
    size_t n = 0;
    AUTO_FREE char *text = json_text(j, &n);
    return mcp_exchange_send(
        c, &(struct mcp_outgoing){.method = "notifications/initialized", .text = text, .len = n},
        f);
}

static int open_2025(struct mcp_client *c, struct mcp_failure *f)
{
    c->wire = MCP_WIRE_2025;
    int r = initialize(c, f);
    if (r == 0) {
        c->generation++;
        c->lost = false;
        /* Servers ask on that stream when they do not know to which call a question belongs. */
        if ((!c->o.listen && !c->o.ask) || c->listening)
            return 0;
        r = mcp_listen_start(c, f);
        return r < 0 ? r : mcp_listen_ready(c, f);
    }
    bool refused = f->status == 400 || f->status == 404 || f->status == 405;
    bool modern = f->source == MCP_SERVER && f->rpc_code <= -32020 && f->rpc_code >= -32099;
    return refused && !modern && !c->version[0] ? TRY_OLDER : r;
}

static int open_sse(struct mcp_client *c, struct mcp_failure *f)
{
    c->wire = MCP_WIRE_SSE;
    int r = mcp_listen_start(c, f);
    if (r == 0)
        r = mcp_listen_endpoint(c, f);
    return r < 0 ? r : initialize(c, f);
}

/* ---- the search ---- */

int mcp_era_open(struct mcp_client *c, struct mcp_failure *f)
{
    int r = TRY_OLDER;
    if (c->o.era != MCP_ERA_LEGACY)
        r = open_modern(c, f);
    if (r != TRY_OLDER)
        return r;
    if (c->o.era == MCP_ERA_MODERN)
        return f->source
                   ? err_wrap(&f->err, f->err.code, "the server does not speak " MCP_MODERN)
                   : mcp_fail(f, MCP_PROTOCOL, -E_PROTO, "the server does not speak " MCP_MODERN);
    mcp_failure_done(f);
    c->version[0] = '\0'; /* from now on there is none but an agreed one */
    r = open_2025(c, f);
    if (r != TRY_OLDER)
        return r;
    struct mcp_failure last = {0};
    r = open_sse(c, &last);
    /* That there is no such stream either: what was said to initialize tells more. */
    if (r < 0 && (last.source == MCP_HTTP || last.source == MCP_SERVER) && !c->post_url) {
        mcp_failure_done(&last);
        return err_wrap(&f->err, f->err.code, "no MCP server answers at this address");
    }
    mcp_failure_done(f);
    *f = last;
    return r;
}

int mcp_era_reopen(struct mcp_client *c, unsigned generation, struct mcp_failure *f)
{
    int r = fmutex_lock(&c->opening);
    if (r < 0) {
        err_set(&f->err, r, "the call was cancelled, or its time is over");
        return mcp_fail_transport(f, r);
    }
    if (c->generation == generation) {
        r = open_2025(c, f);
        if (r == TRY_OLDER)
            r = f->err.code;
        if (r < 0)
            (void)err_wrap(&f->err, r, "the server has ended the session and opens no other");
    }
    fmutex_unlock(&c->opening);
    return r;
}
