/* Every statement of the program, and what SQLite does for it: none may walk through a table that
 * grows, because the one writer waits for it.
 *
 * The texts are the program's own: what lies in its file between two zero bytes and begins like a
 * statement. */
#include "unit/unit.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "store/db.h"
#include "unit/store/scratch.h"

static const char *program;

/* Tables that an operator fills by hand, or that hold a few rows. */
static const char *const small_tables[] = {"meta", "sqlite_master", NULL};

/* Walks that are meant, by the beginning of the statement. */
static const struct {
    const char *text, *why;
} meant[] = {
    {"SELECT count(*) FROM sqlite_master", "the schema itself"},
    {"SELECT status, COUNT(*) FROM sessions WHERE archived_at IS NULL GROUP BY status",
     "along an index, when an operator looks"},
    {"SELECT COUNT(*) FROM api_keys", "an operator makes them, by hand"},
    {"DELETE FROM work WHERE state = 'stopped' AND session_id NOT IN", "a migration"},
    {"UPDATE work SET rank = 0 WHERE state <> 'stopped' AND session_id IN", "a migration"},
    {"SELECT w.id, w.session_id FROM work w JOIN sessions s ON s.id = w.session_id WHERE "
     "w.environment_id = $1 AND w.state = 'active'",
     "sorts what workers of one environment hold"},
    {"SELECT (SELECT COUNT(*) FROM environments) <= 1",
     "after a first start that failed: there are hardly any"},
    {"UPDATE work SET claimed_at = $1 WHERE state = 'queued' AND claimed_at > $2", "at start"},
    {"UPDATE work SET queued_at = $1 WHERE state = 'queued' AND queued_at > $2", "at start"},
};

static bool is_statement(const char *s)
{
    static const char *const verbs[] = {"SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "};
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (str_starts(s, verbs[i]))
            return true;
    return false;
}

static bool is_meant(const char *sql)
{
    for (size_t i = 0; i < ARRAY_LEN(meant); i++)
        if (str_starts(sql, meant[i].text))
            return true;
    return false;
}

/* A line of a plan that walks through a whole table or index: "SCAN work", "SCAN work USING INDEX
 * x". A walk along an index that a partial index bounds, or that a LIMIT ends, is told apart by
 * the statement, not here. */
static bool walks(const char *line, const char *sql)
{
    if (!str_starts(line, "SCAN "))
        return false;
    for (size_t i = 0; small_tables[i]; i++)
        if (str_starts(line + 5, small_tables[i]))
            return false;
    /* Partial indexes hold what is in a state that rows leave again; their names say which. */
    static const char *const bounded[] = {"sessions_to_wake", "work_leases", "work_not_over"};
    for (size_t i = 0; i < ARRAY_LEN(bounded); i++)
        if (strstr(line, bounded[i]))
            return false;
    if (strstr(line, "CONSTANT ROW"))
        return false;
    /* In the order of an index and up to a LIMIT: as many rows as are asked for. */
    return !(strstr(line, " USING ") && strstr(sql, " LIMIT "));
}

/* Tells what is wrong with the plan of one statement. False: it is no statement after all. */
static bool explain(sqlite3 *db, const char *sql, int *bad)
{
    AUTO_FREE char *text = mem_printf("EXPLAIN QUERY PLAN %s", sql);
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK) {
        print_error("not understood: %s: %s\n", sql, sqlite3_errmsg(db));
        return false;
    }
    while (sqlite3_step(st) == SQLITE_ROW) {
        const char *line = (const char *)sqlite3_column_text(st, 3);
        bool sorts = strstr(line, "USE TEMP B-TREE") != NULL;
        if (!is_meant(sql) && (walks(line, sql) || sorts)) {
            print_error("%s\n    in: %s\n", line, sql);
            (*bad)++;
        }
    }
    sqlite3_finalize(st);
    return true;
}

static void no_statement_walks_through_a_table(void **state)
{
    (void)state;
    struct scratch s;
    scratch_init(&s);
    struct db *d = NULL;
    struct err e = {0};
    assert_int_equal(db_open(s.dir, &d, &e), 0);
    db_close(d);
    AUTO_FREE char *path = mem_printf("%s/sallyport.db", s.dir);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);

    int fd = open(program, O_RDONLY | O_CLOEXEC);
    struct stat st;
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    size_t n = (size_t)st.st_size;
    const char *file = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(file != MAP_FAILED);
    int statements = 0, bad = 0;
    for (size_t i = 1; i + 8 < n; i++) {
        if (file[i - 1] != '\0' || !is_statement(&file[i]) || !memchr(&file[i], '\0', n - i))
            continue;
        if (explain(db, &file[i], &bad))
            statements++;
        else
            bad++;
    }
    munmap((void *)(uintptr_t)file, n);
    close(fd);
    sqlite3_close(db);
    scratch_done(&s);
    assert_true(statements > 60); /* they are found at all */
    assert_int_equal(bad, 0);
}

int main(int argc, char **argv)
{
    program = argc > 1 ? argv[1] : "";
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_statement_walks_through_a_table)};
    return cmocka_run_group_tests_name("plans", tests, NULL, NULL);
}
