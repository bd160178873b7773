/* db.c - queues and threads between fibers and the database: the writer with its group commit, and
 * the readers.
 *
 * A fiber that wants a transaction puts a job (on its own stack) into a queue and parks, deaf to
 * cancellation, until the job comes back through loop_post. The writer thread takes everything that
 * queued up while it was busy, runs each job in a savepoint of one transaction, commits once, and
 * sends the whole batch back with one post per loop. A job that fails takes back its own savepoint;
 * a commit that fails fails every job of the batch. Jobs are never run twice.
 *
 * Readers are started when a read finds none idle, up to MAX_READERS, each with its own connection;
 * every read is one transaction, so it sees one state. Since a write's fiber is woken after its
 * commit, a later read sees it.
 *
 * Callers outside any fiber (start-up, tests) are served too: they wait on a condition variable.
 * Nothing here is reachable with bytes of a peer; SQL texts are constants and values are bound. */
#include "store/driver.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/time.h"
#include "io/loop.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* One commit's worth of jobs: more would make the first of them wait for the last without saving
 * any fsync worth mentioning. */
#define MAX_BATCH   256
#define MAX_READERS 3

/* Thread stacks hold a transaction function (frames <= 4 KiB), jansson at 64 levels and SQLite (9
 * KiB measured). */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_BYTES (2u << 20)
#else
#define STACK_BYTES (512u << 10)
#endif

METRIC_HISTOGRAM(commit_time, "sallyport_server_commit_seconds", "",
                 "Time of a durable commit, which several writes may share.")
METRIC_COUNTER(write_count, "sallyport_server_writes_total", "",
               "Write transactions that were run.")
METRIC_COUNTER(failed_commits, "sallyport_server_failed_commits_total", "",
               "Commits of which nothing was kept.")

struct job {
    struct job *next;
    tx_fn *fn;
    void *arg;
    int result;
    bool done;
    struct fiber *fiber; /* NULL: the caller is a plain thread, waiting on db.plain_done */
    struct loop *loop;
};

struct queue {
    struct job *head, *tail;
    size_t n;
};

struct db {
    char *dir;
    struct directory directory;
    struct tx *writer;

    pthread_mutex_t mutex; /* guards everything below */
    pthread_cond_t write_ready, read_ready, plain_done;
    struct queue writes, reads;
    bool stop;
    pthread_t writer_thread, reader_threads[MAX_READERS];
    bool writer_started, writer_idle;
    size_t n_readers, idle_readers;
    struct db_stats stats;
    bool failing; /* the last commit failed: say so once, and once when it is over; atomic */
};

static void push(struct queue *q, struct job *j)
{
    j->next = NULL;
    if (q->tail)
        q->tail->next = j;
    else
        q->head = j;
    q->tail = j;
    q->n++;
}

/* Takes up to `max` jobs off the front, as a chain. */
static struct job *take(struct queue *q, size_t max)
{
    struct job *first = q->head, *last = NULL;
    for (; q->head && max > 0; max--) {
        last = q->head;
        q->head = last->next;
        q->n--;
    }
    if (last)
        last->next = NULL;
    if (!q->head)
        q->tail = NULL;
    return first;
}

/* ---- going back ---- */

/* On the loop's thread, outside any fiber. A job is gone as soon as its fiber runs, hence the
 * copies. */
static void wake_chain(void *arg)
{
    for (struct job *j = arg; j;) {
        struct job *next = j->next;
        struct fiber *f = j->fiber;
        j->done = true;
        fiber_wake(f);
        j = next;
    }
}

static void deliver(struct db *d, struct job *jobs)
{
    while (jobs) {
        struct loop *loop = jobs->loop;
        struct job *same = NULL, **same_end = &same, *other = NULL, **other_end = &other;
        for (struct job *j = jobs; j;) {
            struct job *next = j->next;
            struct job ***end = j->loop == loop ? &same_end : &other_end;
            j->next = NULL;
            **end = j;
            *end = &j->next;
            j = next;
        }
        if (loop) {
            loop_post(loop, wake_chain, same);
        } else {
            pthread_mutex_lock(&d->mutex);
            for (struct job *j = same; j;) {
                struct job *next = j->next;
                j->done = true;
                j = next;
            }
            pthread_cond_broadcast(&d->plain_done);
            pthread_mutex_unlock(&d->mutex);
        }
        jobs = other;
    }
}

/* ---- the writer ---- */

/* Runs one transaction function; an error it left in the tx counts even if it returned success. */
static int run_fn(struct tx *tx, struct job *j)
{
    int r = j->fn(tx, j->arg);
    int stuck = driver_error(tx);
    return r >= 0 && stuck < 0 ? stuck : r;
}

static void fail_all(struct job *jobs, int r)
{
    for (struct job *j = jobs; j; j = j->next) {
        if (j->result >= 0)
            j->result = r;
    }
}

/* Runs the jobs in savepoints of the open transaction. Returns how many are to be kept, or a
 * negative code when the transaction as a whole is lost. */
static int run_in_savepoints(struct tx *tx, struct job *jobs)
{
    int kept = 0, r;
    for (struct job *j = jobs; j; j = j->next) {
        r = driver_save(tx);
        if (r < 0)
            return r;
        j->result = run_fn(tx, j);
        if (j->result < 0) {
            r = driver_undo(tx);
        } else {
            r = driver_keep(tx);
            kept++;
        }
        if (r < 0)
            return r;
    }
    return kept;
}

/* Begins, runs and commits. 1: committed, 0: nothing to commit, negative: all of it failed. */
static int run_batch(struct tx *tx, struct job *jobs)
{
    int r = driver_begin(tx, true);
    if (r < 0)
        return r;
    if (!jobs->next) { /* alone: the transaction is savepoint enough */
        r = jobs->result = run_fn(tx, jobs);
        if (r < 0) {
            driver_rollback(tx);
            return 0;
        }
    } else {
        r = run_in_savepoints(tx, jobs);
        if (r <= 0) {
            driver_rollback(tx);
            return r;
        }
    }
    int64_t began_ns = time_mono_ns();
    r = driver_commit(tx);
    if (r < 0) {
        driver_rollback(tx);
        return r;
    }
    metric_time_us(&commit_time, (time_mono_ns() - began_ns) / 1000);
    return 1;
}

static void write_batch(struct db *d, struct job *jobs)
{
    uint64_t n = 0;
    for (struct job *j = jobs; j; j = j->next) {
        j->result = 0;
        n++;
    }
    int r = run_batch(d->writer, jobs);
    if (r < 0) {
        fail_all(jobs, r);
        if (!db_is_failing(d))
            log_error("commit failed", "code=%s writes=%llu detail=%s", err_name(r),
                      (unsigned long long)n, log_q(driver_error_text(d->writer)));
        __atomic_store_n(&d->failing, true, __ATOMIC_RELAXED);
    } else if (r > 0 && db_is_failing(d)) {
        log_info("commits work again", "code=0");
        __atomic_store_n(&d->failing, false, __ATOMIC_RELAXED);
    }
    pthread_mutex_lock(&d->mutex);
    d->stats.writes += n;
    if (r > 0)
        d->stats.commits++;
    else if (r < 0)
        d->stats.failed_commits++;
    metric_add(&write_count, (int64_t)n);
    metric_add(&failed_commits, r < 0);
    pthread_mutex_unlock(&d->mutex);
    deliver(d, jobs);
}

static void *writer_main(void *arg)
{
    struct db *d = arg;
    pthread_mutex_lock(&d->mutex);
    for (;;) {
        while (!d->writes.head && !d->stop) {
            d->writer_idle = true;
            pthread_cond_wait(&d->write_ready, &d->mutex);
        }
        d->writer_idle = false;
        struct job *jobs = take(&d->writes, MAX_BATCH);
        if (!jobs)
            break;
        pthread_mutex_unlock(&d->mutex);
        write_batch(d, jobs);
        pthread_mutex_lock(&d->mutex);
    }
    pthread_mutex_unlock(&d->mutex);
    return NULL;
}

/* ---- readers ---- */

static int run_read(struct db *d, struct tx **conn, struct job *j)
{
    if (!*conn) {
        struct err e = {0};
        int r = driver_open_reader(d->dir, conn, &e);
        if (r < 0) {
            log_error("cannot open a reading connection", "code=%s detail=%s", err_name(r),
                      log_q(e.msg));
            return r;
        }
    }
    int r = driver_begin(*conn, false);
    if (r < 0)
        return r;
    r = run_fn(*conn, j);
    driver_rollback(*conn);
    return r;
}

static void *reader_main(void *arg)
{
    struct db *d = arg;
    struct tx *conn = NULL;
    pthread_mutex_lock(&d->mutex);
    for (;;) {
        while (!d->reads.head && !d->stop) {
            d->idle_readers++;
            pthread_cond_wait(&d->read_ready, &d->mutex);
            d->idle_readers--;
        }
        struct job *j = take(&d->reads, 1);
        if (!j)
            break;
        d->stats.reads++;
        pthread_mutex_unlock(&d->mutex);
        j->result = run_read(d, &conn, j);
        deliver(d, j);
        pthread_mutex_lock(&d->mutex);
    }
    pthread_mutex_unlock(&d->mutex);
    driver_close(conn);
    return NULL;
}

/* Starts a thread that receives no signals (they belong to the loop's signalfd). */
static int start_thread(pthread_t *ret, void *(*fn)(void *), void *arg, const char *name)
{
    pthread_attr_t attr;
    sigset_t all, before;
    if (pthread_attr_init(&attr) != 0)
        return -ENOMEM;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = -pthread_create(ret, &attr, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (r == 0)
        pthread_setname_np(*ret, name);
    return r;
}

/* With the mutex held: makes sure somebody will take the read just queued. */
static int call_reader(struct db *d)
{
    if (d->idle_readers >= d->reads.n || d->n_readers == MAX_READERS) {
        pthread_cond_signal(&d->read_ready);
        return 0;
    }
    int r = start_thread(&d->reader_threads[d->n_readers], reader_main, d, "db-reader");
    if (r == 0)
        d->n_readers++;
    return d->n_readers > 0 ? 0 : r;
}

/* ---- callers ---- */

static int submit(struct db *d, bool writes, tx_fn *fn, void *arg)
{
    struct job j = {.fn = fn, .arg = arg, .fiber = fiber_self()};
    j.loop = j.fiber ? loop_self() : NULL;
    int r = 0;
    pthread_mutex_lock(&d->mutex);
    MUST(!d->stop);
    push(writes ? &d->writes : &d->reads, &j);
    if (!writes) {
        r = call_reader(d);
    } else if (d->writer_idle) {
        d->writer_idle = false; /* one signal is enough for all that queue before it wakes */
        pthread_cond_signal(&d->write_ready);
    }
    if (r < 0) {
        /* No reader thread exists, so nobody has taken the job and it is the only one. */
        (void)take(&d->reads, 1);
        pthread_mutex_unlock(&d->mutex);
        return r;
    }
    if (!j.fiber) {
        while (!j.done)
            pthread_cond_wait(&d->plain_done, &d->mutex);
    }
    pthread_mutex_unlock(&d->mutex);
    /* The job is on this stack, so neither cancel nor deadline may end the wait. */
    while (!j.done)
        fiber_park_deaf();
    return j.result;
}

int db_write(struct db *d, tx_fn *fn, void *arg)
{
    return submit(d, true, fn, arg);
}

int db_read(struct db *d, tx_fn *fn, void *arg)
{
    return submit(d, false, fn, arg);
}

bool db_is_failing(struct db *d)
{
    return __atomic_load_n(&d->failing, __ATOMIC_RELAXED);
}

void db_get_stats(struct db *d, struct db_stats *ret)
{
    pthread_mutex_lock(&d->mutex);
    *ret = d->stats;
    pthread_mutex_unlock(&d->mutex);
}

int db_open(const char *dir, struct db **ret, struct err *e)
{
    struct db *d = mem_new(struct db);
    d->dir = mem_strdup(dir);
    d->directory = DIRECTORY_NONE;
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->write_ready, NULL);
    pthread_cond_init(&d->read_ready, NULL);
    pthread_cond_init(&d->plain_done, NULL);
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    /* A full disk under RLIMIT_FSIZE must be an error of write(2), in tests and tools as well. */
    sigaction(SIGXFSZ, &ignore, NULL); /* lint-allow: banned no signal is handled, one is ignored */
    int r = driver_start(dir, &d->directory, &d->writer, e);
    if (r == 0) {
        r = start_thread(&d->writer_thread, writer_main, d, "db-writer");
        if (r < 0)
            (void)err_set(e, r, "cannot start the database thread: %s", err_text(r));
        else
            d->writer_started = true;
    }
    if (r < 0) {
        db_discard(d);
        return r;
    }
    *ret = d;
    return 0;
}

void db_note_stopping(struct db *d, int64_t at_most_ms)
{
    directory_note_stopping(&d->directory, at_most_ms);
}

bool db_is_new(const struct db *d)
{
    return d->directory.made_database;
}

static void finish(struct db *d, bool discard)
{
    if (!d)
        return;
    pthread_mutex_lock(&d->mutex);
    d->stop = true;
    pthread_cond_broadcast(&d->write_ready);
    pthread_cond_broadcast(&d->read_ready);
    pthread_mutex_unlock(&d->mutex);
    if (d->writer_started)
        pthread_join(d->writer_thread, NULL);
    for (size_t i = 0; i < d->n_readers; i++)
        pthread_join(d->reader_threads[i], NULL);
    driver_close(d->writer);
    if (discard)
        directory_discard(d->dir, &d->directory);
    if (d->directory.lock_fd >= 0)
        close(d->directory.lock_fd);
    pthread_cond_destroy(&d->plain_done);
    pthread_cond_destroy(&d->read_ready);
    pthread_cond_destroy(&d->write_ready);
    pthread_mutex_destroy(&d->mutex);
    free(d->dir);
    free(d);
}

void db_close(struct db *d)
{
    finish(d, false);
}

void db_discard(struct db *d)
{
    finish(d, true);
}
