/* routes.c - the route table.
 *
 * Called by serve.c once per request, before anything is known about the caller; the path is the
 * only input. Two parallel arrays are built from one list: the router's (method, pattern, flags)
 * and the handlers, which take a struct api_call instead of the router's bare exchange.
 * Capabilities of the hosted service that this version lacks are named here too, so that their
 * paths answer 404 with a sentence instead of a bare "Not found". */
#include "platform/routes.h"

#include "platform/agents/agents.h"
#include "platform/environments/environments.h"
#include "platform/events/events.h"
#include "platform/identity/identity.h"
#include "platform/keys/env_keys.h"
#include "platform/sessions/sessions.h"
#include "platform/sessions/threads.h"
#include "platform/status/status.h"
#include "platform/tunnels/tunnel_certificates.h"
#include "platform/tunnels/tunnel_connect.h"
#include "platform/tunnels/tunnel_token.h"
#include "platform/tunnels/tunnels.h"
#include "platform/work/work.h"

#include <string.h>

#define API   ALLOW_API
#define ENV   (ALLOW_API | ALLOW_ENV) /* either may */
#define ANY   (ALLOW_API | ALLOW_ENV | ALLOW_SESSION)
#define SMALL ROUTE_SMALL_BODY
#define TUN   (ALLOW_API | ROUTE_TUNNELS | ROUTE_SMALL_BODY)

#define S "/v1/sessions/{session_id}"
#define E "/v1/environments/{environment_id}"
#define A "/v1/agents/{agent_id}"
#define T S "/threads/{thread_id}"
#define U "/v1/tunnels/{tunnel_id}"
#define C U "/certificates"

#define ROUTES(R)                                                                                  \
    R("POST", "/v1/agents", API | ROUTE_AGENT_BODY, agents_create)                                 \
    R("GET", "/v1/agents", API, agents_list)                                                       \
    R("GET", A, API, agents_retrieve)                                                              \
    R("POST", A, API | ROUTE_AGENT_BODY, agents_update)                                            \
    R("POST", A "/archive", API | SMALL, agents_archive)                                           \
    R("GET", A "/versions", API, agents_versions)                                                  \
    R("POST", "/v1/environments", API | ROUTE_AGENT_BODY, environments_create)                     \
    R("GET", "/v1/environments", API, environments_list)                                           \
    R("GET", E, API, environments_retrieve)                                                        \
    R("POST", E, API | ROUTE_AGENT_BODY, environments_update)                                      \
    R("DELETE", E, API, environments_delete)                                                       \
    R("POST", E "/archive", API | SMALL, environments_archive)                                     \
    R("POST", E "/keys", API | ROUTE_OWN | ROUTE_SHOWN_ONCE | SMALL, env_keys_create)              \
    R("GET", E "/keys", API | ROUTE_OWN, env_keys_list)                                            \
    R("DELETE", E "/keys/{key_id}", API | ROUTE_OWN, env_keys_revoke)                              \
    R("GET", E "/work/poll", ALLOW_ENV, work_poll)                                                 \
    R("GET", E "/work/stats", ENV, work_stats)                                                     \
    R("GET", E "/work", ENV, work_list)                                                            \
    R("GET", E "/work/{work_id}", API, work_retrieve)                                              \
    R("POST", E "/work/{work_id}", API | SMALL, work_update)                                       \
    R("POST", E "/work/{work_id}/ack", ALLOW_ENV | SMALL, work_ack)                                \
    R("POST", E "/work/{work_id}/heartbeat", ANY | SMALL, work_heartbeat)                          \
    R("POST", E "/work/{work_id}/stop", ANY | SMALL, work_stop)                                    \
    R("POST", "/v1/sessions", API, sessions_create)                                                \
    R("GET", "/v1/sessions", API, sessions_list)                                                   \
    R("GET", S, ANY, sessions_retrieve)                                                            \
    R("POST", S, API | ROUTE_AGENT_BODY, sessions_update)                                          \
    R("DELETE", S, API, sessions_delete)                                                           \
    R("POST", S "/archive", API | SMALL, sessions_archive)                                         \
    R("GET", S "/events", ANY, events_list)                                                        \
    R("POST", S "/events", ANY, events_send)                                                       \
    R("GET", S "/events/stream", ANY, events_stream)                                               \
    R("GET", S "/threads", API, threads_list)                                                      \
    R("GET", T, API, threads_retrieve)                                                             \
    R("POST", T "/archive", API | SMALL, threads_archive)                                          \
    R("GET", T "/events", API, threads_events)                                                     \
    R("GET", T "/stream", API, threads_stream)                                                     \
    R("GET", S "/resources", API, sessions_no_resources)                                           \
    R("POST", S "/resources", API | SMALL, sessions_no_resources)                                  \
    R("GET", S "/resources/{resource_id}", API, sessions_no_resources)                             \
    R("POST", S "/resources/{resource_id}", API | SMALL, sessions_no_resources)                    \
    R("DELETE", S "/resources/{resource_id}", API, sessions_no_resources)                          \
    R("POST", "/v1/tunnels", TUN, tunnels_create)                                                  \
    R("GET", "/v1/tunnels", TUN, tunnels_list)                                                     \
    R("GET", U, TUN, tunnels_retrieve)                                                             \
    R("POST", U "/archive", TUN, tunnels_archive)                                                  \
    R("POST", U "/reveal_token", TUN | ROUTE_REPEATABLE, tunnel_token_reveal)                      \
    R("POST", U "/rotate_token", TUN | ROUTE_SHOWN_ONCE | ROUTE_REVEALED, tunnel_token_rotate)     \
    R("POST", C, TUN, tunnel_certificates_create)                                                  \
    R("GET", C, TUN, tunnel_certificates_list)                                                     \
    R("GET", C "/{certificate_id}", TUN, tunnel_certificates_retrieve)                             \
    R("POST", C "/{certificate_id}/archive", TUN, tunnel_certificates_archive)                     \
    R("POST", U "/disconnect", API | ROUTE_OWN | SMALL, tunnel_disconnect)                         \
    R("GET", "/v1/tunnels/connect", ALLOW_TUNNEL | ROUTE_OWN, tunnel_connect)                      \
    R("POST", "/v1/sallyport/identity", API | ROUTE_OWN | ROUTE_REPEATABLE | SMALL,                \
      identity_token)                                                                              \
    R("GET", "/.well-known/jwks.json", ALLOW_ANYONE | ROUTE_OWN, identity_keys)                    \
    R("GET", "/v1/sallyport/status", API | ROUTE_OWN, status_retrieve)

#define AS_ROUTE(m, path, who, fn)   {.method = m, .pattern = path, .flags = who},
#define AS_HANDLER(m, path, who, fn) fn,
static const struct route table[] = {ROUTES(AS_ROUTE)};
static api_handler *const handlers[] = {ROUTES(AS_HANDLER)};

int routes_find(struct http_exchange *x, struct route_params *ret_params, unsigned *ret_flags,
                api_handler **ret_fn, char ret_allow[64])
{
    const struct route *found = NULL;
    int r = router_find(x, table, ARRAY_LEN(table), &found, ret_params, ret_allow);
    if (r < 0)
        return r;
    *ret_flags = found->flags;
    *ret_fn = handlers[found - table];
    return 0;
}

const char *routes_unbuilt(const char *path)
{
    static const struct {
        const char *prefix, *noun;
    } families[] = {
        {"/v1/vaults", "vaults"},
        {"/v1/memory_stores", "memory stores"},
        {"/v1/skills", "skills"},
        {"/v1/files", "files"},
        {"/v1/deployments", "deployments"},
        {"/v1/deployment_runs", "deployment runs"},
        {"/v1/dreams", "dreams"},
        {"/v1/user_profiles", "user profiles"},
        {"/v1/models", "lists of models"},
        {"/v1/messages", "the routes of the Messages API"},
        {"/v1/organizations", "the routes of an organization"},
        {"/v1/compliance", "the routes of compliance"},
        {"/v1/traces", "traces"},
    };
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        size_t n = strlen(families[i].prefix);
        if (!strncmp(path, families[i].prefix, n) && (path[n] == '\0' || path[n] == '/'))
            return families[i].noun;
    }
    return NULL;
}
