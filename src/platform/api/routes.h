/* routes - the table of the whole API: method, pattern, who may call, handler. One handler per
 * line; each answers its call exactly once through api_reply or one of the refusals of api.h. All
 * may suspend. */
#pragma once

#include "platform/api/api.h"

typedef void api_handler(struct api_call *c);

/* Finds the handler for the request: 0 with *ret_params (bound path parameters), *ret_flags and
 * *ret_fn; -ENOENT; -EOPNOTSUPP with `ret_allow` = the methods that exist. */
int routes_find(struct http_exchange *x, struct route_params *ret_params, unsigned *ret_flags,
                api_handler **ret_fn, char ret_allow[64]) WARN_UNUSED;
/* The plural noun of a capability the hosted service has and this version has not, when `path`
 * belongs to one ("vaults"), else NULL. */
const char *routes_unbuilt(const char *path);

/* agents.c */
api_handler agents_create, agents_retrieve, agents_update, agents_list, agents_archive,
    agents_versions;
/* environments.c */
api_handler environments_create, environments_retrieve, environments_list, environments_update,
    environments_delete, environments_archive;
/* env_keys.c (our own addition) */
api_handler env_keys_create, env_keys_list, env_keys_revoke;
/* work.c */
api_handler work_poll, work_ack, work_heartbeat, work_stop, work_list, work_retrieve, work_update,
    work_stats;
/* sessions.c */
api_handler sessions_create, sessions_retrieve, sessions_list, sessions_update, sessions_delete,
    sessions_archive, sessions_no_resources;
/* events.c */
api_handler events_send, events_list, events_stream;
/* threads.c */
api_handler threads_list, threads_retrieve, threads_archive, threads_events, threads_stream;
