/* db_append - durable small appends per second: FIBERS fibers of one loop, each appending events of
 * 300 bytes through db_write, for SECONDS in a fresh directory under DIR. Prints one line of JSON.
 *
 *     db_append DIR [FIBERS [SECONDS]] */
#include "base/err.h"
#include "base/id.h"
#include "base/time.h"
#include "io/loop.h"
#include "store/db.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct bench {
    struct db *d;
    int fibers, seconds;
    int64_t end_ns, appends, waited_ns, longest_ns;
};

struct lane {
    struct bench *b;
    char session_id[ID_MAX];
    int64_t seq;
};

static const char body[] =
    "{\"content\":[{\"type\":\"text\",\"text\":\"a tool result of the usual size, which is to say "
    "a few lines of "
    "text that some command wrote, long enough to be worth keeping and short enough to be read by "
    "a model without "
    "much ado; about three hundred bytes in all, give or take\"}],\"is_error\":false}";

static int append_tx(struct tx *tx, void *arg)
{
    struct lane *l = arg;
    char id[ID_MAX];
    id_make(id, "sevt_");
    l->seq++;
    return tx_exec(tx,
                   "INSERT INTO events (session_id, seq, id, type, processed_at, body)"
                   " VALUES ($1, $2, $3, 'user.tool_result', $4, $5)",
                   "titit", l->session_id, l->seq, id, l->seq, body);
}

static int lane_main(void *arg)
{
    struct lane *l = arg;
    struct bench *b = l->b;
    int64_t now;
    while ((now = time_mono_ns()) < b->end_ns) {
        int r = db_write(b->d, append_tx, l);
        if (r < 0)
            return r;
        int64_t took = time_mono_ns() - now;
        b->appends++;
        b->waited_ns += took;
        if (took > b->longest_ns)
            b->longest_ns = took;
    }
    return 0;
}

static int root(void *arg)
{
    struct bench *b = arg;
    struct lane *lanes = mem_array((size_t)b->fibers, sizeof(*lanes));
    AUTO(scope) scope;
    scope_init(&scope);
    b->end_ns = time_mono_ns() + b->seconds * NS_PER_S;
    int r = 0;
    for (int i = 0; i < b->fibers && r == 0; i++) {
        lanes[i].b = b;
        id_make(lanes[i].session_id, "sesn_");
        r = fiber_spawn(&scope, "lane", lane_main, &lanes[i], NULL);
    }
    if (r == 0)
        r = scope_join(&scope);
    free(lanes);
    return r < 0 ? r : scope.first_error;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: db_append DIR [FIBERS [SECONDS]]\n");
        return 2;
    }
    struct bench b = {.fibers = argc > 2 ? atoi(argv[2]) : 64,
                      .seconds = argc > 3 ? atoi(argv[3]) : 5};
    AUTO_FREE char *dir = mem_printf("%s/db_append-%ld", argv[1], (long)getpid());
    struct err e = {0};
    if (b.fibers < 1 || b.seconds < 1 || db_open(dir, &b.d, &e) < 0) {
        fprintf(stderr, "db_append: %s\n", e.msg);
        return 1;
    }
    int r = loop_init();
    int64_t start = time_mono_ns();
    if (r == 0)
        r = loop_run(root, &b);
    double took_s = (double)(time_mono_ns() - start) / 1e9;
    struct db_stats st;
    db_get_stats(b.d, &st);
    loop_done();
    db_close(b.d);
    const char *names[] = {"sallyport.db", "sallyport.lock"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FREE char *path = mem_printf("%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
    if (r < 0) {
        fprintf(stderr, "db_append: %s\n", err_text(r));
        return 1;
    }
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    printf("{\"bench\":\"db_append\",\"fibers\":%d,\"appends_per_s\":%.0f,\"commits_per_s\":%.0f,"
           "\"mean_ms\":%.3f,\"max_ms\":%.3f,\"max_rss_kb\":%ld}\n",
           b.fibers, (double)b.appends / took_s, (double)st.commits / took_s,
           (double)b.waited_ns / 1e6 / (double)(b.appends ? b.appends : 1),
           (double)b.longest_ns / 1e6, ru.ru_maxrss);
    return 0;
}
