/* client - how a process that acts gets its records into the log.
 *
 *     AUTO(audit_room) room = AUDIT_ROOM_NONE;
 *     r = audit_reserve(audit, 2, &room, e);    // before anything is done; refused: do nothing
 *     audit_append(&room, &(struct audit_record){.kind = AUDIT_CREDENTIAL, ...});
 *     r = audit_wait(audit, e);                 // if it must be in the file before going on
 *     ...
 *     audit_append(&room, &(struct audit_record){.kind = AUDIT_REQUEST, ...});
 *
 * What was reserved can be appended whatever happens to the disk meanwhile. All calls on one loop. */
#pragma once

#include "audit/record.h"

struct audit_client;
struct err;

/* A client without a connection, which refuses everything. On a fiber; connect and free on the same
 * one. */
struct audit_client *audit_client_new(void) __attribute__((returns_nonnull));
/* Speaks to a server on `fd`, a connected stream socket, which is taken over. After a connection has
 * ended, again with a new one: records that no server has acknowledged are sent again, and those that
 * are in the file already are known there. Suspends until the fibers of the last connection have
 * returned. 0 or a negative code with words; then `fd` is still the caller's. -EBUSY while there is a
 * connection. */
int audit_client_connect(struct audit_client *c, int fd, struct err *e) WARN_UNUSED;
/* Sends what there is, waits up to `wait_ms` for it to be written, and ends. Suspends. Returns how
 * many records nobody has acknowledged. Every room must be done. NULL is fine. */
size_t audit_client_free(struct audit_client *c, int64_t wait_ms);
bool audit_client_connected(const struct audit_client *c);
/* Suspends until the connection has ended: to make another. 0, -ECANCELED, -ETIMEDOUT. */
int audit_client_await_end(struct audit_client *c) WARN_UNUSED;

struct audit_room {
    struct audit_client *c;
    size_t n; /* records that can be appended */
};
#define AUDIT_ROOM_NONE ((struct audit_room){0})

/* Room for `n` records (1 to 64), so that they are sure to fit. Suspends only when what was granted
 * ahead is used up. 0; -ENOSPC and others when the log takes no more; -E_CLOSED when nobody writes
 * it; -ECANCELED, -ETIMEDOUT; with words that can be told to whoever asked for the request. */
int audit_reserve(struct audit_client *c, size_t n, struct audit_room *ret, struct err *e)
    WARN_UNUSED;
/* Takes one of the room's records; MUST have one. Everything is copied. Cannot fail, does not
 * suspend. */
void audit_append(struct audit_room *room, const struct audit_record *r);
/* Gives back what was not used; zeroed is fine. */
void audit_room_done(struct audit_room *room);

/* Suspends until all that this client has appended so far is in the file. 0; -E_CLOSED with words when
 * the connection ends first (they stay to be sent again); -ECANCELED, -ETIMEDOUT. */
int audit_wait(struct audit_client *c, struct err *e) WARN_UNUSED;
