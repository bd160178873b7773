/* What the wrapper of SQLite does when memory runs out: a transaction fails, or the process ends
 * with a line; what was committed before is sound afterwards. */
#include "base/buf.h"
#include "base/err.h"
#include "store/db.h"

#include "unit/exhaust.h"
#include "unit/store/scratch.h"

static struct scratch dir;

static int put_tx(struct tx *tx, void *arg)
{
    (void)arg;
    static char text[200000];
    memset(text, 'x', sizeof(text));
    struct stmt *s = tx_prepare(tx, "INSERT INTO meta (name, value) VALUES ($1, $2)"
                                    " ON CONFLICT (name) DO UPDATE SET value = excluded.value");
    stmt_bind_text(s, 1, "a name");
    stmt_bind_textn(s, 2, text, sizeof(text));
    return stmt_step(s);
}

static int get_tx(struct tx *tx, void *arg)
{
    (void)arg;
    struct stmt *s = tx_prepare(tx, "SELECT value, name FROM meta ORDER BY value || name");
    int r;
    while ((r = stmt_step(s)) > 0) {
        if (!stmt_text(s, 0, NULL))
            return -E_CORRUPT; /* as all do that read a column which is never null */
    }
    return r;
}

/* For want of memory nothing is damaged: any code but 0 fails the try. */
static void sound(int r)
{
    if (r == -E_CORRUPT)
        _exit(2);
}

static void open_write_read(void)
{
    struct db *d = NULL;
    struct err e = {0};
    if (db_open(dir.dir, &d, &e) < 0)
        return;
    sound(db_write(d, put_tx, NULL));
    sound(db_write(d, get_tx, NULL));
    sound(db_read(d, get_tx, NULL));
    db_close(d);
}

static void a_store_without_memory(void **state)
{
    (void)state;
    scratch_init(&dir);
    exhaust_each("store", open_write_read);
    AUTO(buf) found = BUF_INIT(10000);
    struct err e = {0};
    if (db_check(dir.dir, &found, &e) < 0)
        fail_msg("%s %s", buf_str(&found), e.msg);
    scratch_done(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_store_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
