/* store - what `sallyport mcp` keeps of an authorization: one file a server, in the data directory. */
#pragma once

#include "base/json.h"

struct err;

/* The file of a server (auth_server_name), below `data`. malloc'ed. */
char *mcp_store_path(const char *data, const char *server) __attribute__((returns_nonnull));
/* The others block. 0, *ret stays NULL where there is no file, or none that can be read; a negative code
 * with words when it belongs to somebody else, or others may read it. */
int mcp_store_load(const char *path, json_t **ret, struct err *e) WARN_UNUSED;
/* Has the file for this process alone, until the descriptor that it gives is closed; waits for at most
 * `wait_ms`. Needs no file; makes the directory. Suspends. A negative code with words; -ETIMEDOUT: another one has it. */
int mcp_store_lock(const char *path, int64_t wait_ms, struct err *e) WARN_UNUSED;
/* Under that lock. */
int mcp_store_save(const char *path, const json_t *state, struct err *e) WARN_UNUSED;
int mcp_store_remove(const char *path, struct err *e)
    WARN_UNUSED; /* 0 as well when it is not there */
