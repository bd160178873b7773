/* upkeep.c - size, soundness and unused space of an open database.
 *
 * Called from the server's caretaker and by what tells its state. Everything is a transaction like
 * any other: reads on a reader's thread, giving back on the writer's, in portions, because others
 * wait for it. */
#include "store/upkeep.h"

#include "base/err.h"

#include <string.h>

#define PAGE_BYTES 4096 /* SQLite's default, which we never change */

static int64_t ask(struct tx *tx, const char *pragma)
{
    struct stmt *s = tx_prepare(tx, pragma);
    int64_t n = stmt_step(s) > 0 ? stmt_int(s, 0) : 0;
    stmt_reset(s);
    return n;
}

static int size_tx(struct tx *tx, void *arg)
{
    struct upkeep_size *size = arg;
    size->file_bytes = ask(tx, "PRAGMA page_count") * PAGE_BYTES;
    size->free_bytes = ask(tx, "PRAGMA freelist_count") * PAGE_BYTES;
    return 0;
}

int upkeep_get_size(struct db *d, struct upkeep_size *ret)
{
    return db_read(d, size_tx, ret);
}

static int check_tx(struct tx *tx, void *arg)
{
    struct err *e = arg;
    struct stmt *s = tx_prepare(tx, "PRAGMA quick_check(1)");
    int r = stmt_step(s);
    const char *found = r > 0 ? stmt_text(s, 0, NULL) : NULL;
    if (found && strcmp(found, "ok") != 0)
        r = err_set(e, -E_CORRUPT, "the database is damaged: %.*s", (int)strcspn(found, "\n"),
                    found);
    stmt_reset(s);
    return r < 0 ? r : 0;
}

int upkeep_check(struct db *d, struct err *e)
{
    int r = db_read(d, check_tx, e);
    return r < 0 && !e->msg[0] ? err_set(e, r, "the database cannot be read: %s", err_text(r)) : r;
}

static int give_back_tx(struct tx *tx, void *arg)
{
    (void)arg;
    struct stmt *s = tx_prepare(tx, "PRAGMA incremental_vacuum(512)");
    int r;
    while ((r = stmt_step(s)) > 0)
        ; /* a row for each page */
    return r;
}

int upkeep_give_back(struct db *d)
{
    _Static_assert(UPKEEP_PORTION_BYTES == 512 * PAGE_BYTES, "the text above says how many pages");
    return db_write(d, give_back_tx, NULL);
}
