/* caretaker.c - one fiber that keeps the database in order.
 *
 * At the beginning it looks once whether a file that was too large to be looked at before `ready` is
 * sound; damage ends the server, because going on would acknowledge what may never be read again.
 * Then, each minute, it deletes the sessions whose time is over (--keep-sessions) and gives unused
 * space back: in portions, and only when there is enough of it to matter, since new rows would use
 * it. A store that fails is tried again a minute later; whatever failed for good shows up in the
 * requests of clients. */
#include "server/caretaker.h"

#include "base/err.h"
#include "base/log.h"
#include "base/time.h"
#include "fiber/fiber.h"
#include "platform/api/state.h"
#include "platform/sessions/session_delete.h"
#include "store/upkeep.h"

#define ROUND_MS 60000
/* Less than this and less than a quarter of the file is left to be used again. */
#define WORTH_IT_BYTES (16ll << 20)

/* Gives back until little is left, or nothing more goes (a database that cannot). */
static int give_back(struct db *db)
{
    struct upkeep_size size = {0}, before = {0};
    int r = upkeep_get_size(db, &size);
    const int64_t was = size.file_bytes;
    while (r == 0 && size.free_bytes > WORTH_IT_BYTES && size.free_bytes > size.file_bytes / 4) {
        before = size;
        r = upkeep_give_back(db);
        if (r == 0)
            r = upkeep_get_size(db, &size);
        if (r == 0 && size.file_bytes >= before.file_bytes)
            break;
    }
    if (size.file_bytes < was)
        log_info("space given back", "bytes=%lld database=%lld", (long long)(was - size.file_bytes),
                 (long long)size.file_bytes);
    return r;
}

static int one_round(const struct caretaker *c)
{
    int64_t r = 0;
    if (c->keep_sessions_ms > 0)
        r = sessions_delete_older(c->platform, c->keep_sessions_ms * 1000);
    if (r > 0)
        log_info("old sessions deleted", "sessions=%lld", (long long)r);
    return r < 0 ? (int)r : give_back(c->platform->log.db);
}

int caretaker_run(void *arg)
{
    struct caretaker *c = arg;
    struct err e = {0};
    int r = upkeep_check(c->platform->log.db, &e);
    if (r == -E_CORRUPT) {
        log_error("the database is damaged, the server ends; restore a backup", "why=%s",
                  log_q(e.msg));
        c->on_damage(c->arg);
        return r;
    }
    /* A limit shorter than a round is kept, too: for tests, and whoever wants it. */
    int64_t pause_ms =
        c->keep_sessions_ms > 0 && c->keep_sessions_ms < ROUND_MS ? c->keep_sessions_ms : ROUND_MS;
    while ((r = fiber_sleep_ms(pause_ms)) == 0) {
        r = one_round(c);
        if (r < 0 && r != -ECANCELED)
            log_warn("the database was not put in order, will retry", "code=%s", err_name(r));
    }
    return r;
}
