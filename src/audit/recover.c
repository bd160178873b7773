/* recover.c - finding the end of a log.
 *
 * Called once, when the writer opens a log. After `kill -9` the last line may be torn; after a power
 * failure everything since the last flush may be missing, zero or half there. So the lines behind
 * the last checkpoint are counted only as far as each one parses and fits the chain; what follows is
 * cut off by the writer, into a file of its own, and a note in the chain says so. A checkpoint that
 * is not signed by our key is no accident: then the log is refused. A file that has no checkpoint is
 * taken for one that was just begun only when it looks like that.
 *
 * The file may have been written by anybody who could. What is taken from it is bounded: the window
 * that is read, the length of a line, the number of clients. */
#include "audit/recover.h"
#include "audit/line.h"
#include "base/err.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Between two checkpoints there are at most CHECKPOINT_RECORDS_MAX (writer.c) lines of
 * AUDIT_LINE_MAX: 6 MiB. */
#define WINDOW_BYTES (10 << 20)
#define MAX_CLIENTS  4096

void audit_end_init(struct audit_end *end)
{
    *end = (struct audit_end){0};
    audit_chain_init(&end->chain);
    map_init(&end->clients);
}

void audit_end_done(struct audit_end *end)
{
    size_t pos = 0;
    void *n;
    while (map_next(&end->clients, &pos, NULL, &n))
        free(n);
    map_done(&end->clients);
    audit_chain_done(&end->chain);
}

static int read_window(int fd, char **ret, size_t *ret_n, int64_t *ret_at, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        int r = -errno;
        return err_set(e, r, "cannot look at the log: %s", err_text(r));
    }
    int64_t at = st.st_size > WINDOW_BYTES ? st.st_size - WINDOW_BYTES : 0;
    size_t want = (size_t)(st.st_size - at), n = 0;
    AUTO_FREE char *p = mem_zalloc(want + 1);
    while (n < want) {
        ssize_t k = pread(fd, p + n, want - n, at + (int64_t)n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            int r = k < 0 ? -errno : -EIO;
            return err_set(e, r, "cannot read the log: %s", err_text(r));
        }
        n += (size_t)k;
    }
    *ret = TAKE(p);
    *ret_n = n;
    *ret_at = at;
    return 0;
}

/* The line that begins at `at`; 0 when none ends. Its length without the newline. */
static bool whole_line(const char *p, size_t n, size_t at, size_t *ret_n)
{
    const char *end = at < n ? memchr(p + at, '\n', n - at) : NULL;
    if (end)
        *ret_n = (size_t)(end - (p + at));
    return end != NULL;
}

static void note_client(struct audit_end *end, const struct audit_line *l)
{
    const char *colon = l->id ? strrchr(l->id, ':') : NULL;
    char client[AUDIT_CLIENT_MAX];
    uint64_t v;
    if (!colon || colon == l->id || str_to_u64(colon + 1, strlen(colon + 1), UINT64_MAX, &v) < 0 ||
        snprintf(client, sizeof(client), "%s/%.*s", l->by, (int)(colon - l->id), l->id) >=
            (int)sizeof(client))
        return;
    uint64_t *last = map_get(&end->clients, client);
    if (!last && end->clients.n < MAX_CLIENTS) {
        last = mem_new(uint64_t);
        (void)map_put(&end->clients, client, last);
    }
    if (last && v > *last)
        *last = v;
}

/* Of the lines between two places. */
static void note_clients(struct audit_end *end, const char *p, size_t from, size_t to)
{
    size_t len = 0;
    for (size_t at = from; at < to && whole_line(p, to, at, &len); at += len + 1) {
        struct audit_line l;
        if (audit_line_parse(p + at, len, &l, NULL) == 0) {
            note_client(end, &l);
            audit_line_done(&l);
        }
    }
}

bool audit_recover_clients(int fd, struct audit_end *end)
{
    AUTO_FREE char *p = NULL;
    size_t n = 0, len = 0;
    int64_t at = 0;
    if (end->looked >= WINDOW_BYTES || read_window(fd, &p, &n, &at, NULL) < 0)
        return false;
    note_clients(end, p, at > 0 && whole_line(p, n, 0, &len) ? len + 1 : 0, n);
    end->looked += (int64_t)n;
    return true;
}

/* Looks at every line of the window; *ret_at is where the last checkpoint begins. */
static bool find_checkpoint(const char *p, size_t n, size_t from, size_t *ret_at)
{
    bool found = false;
    size_t len = 0;
    for (size_t at = from; whole_line(p, n, at, &len); at += len + 1) {
        struct audit_line l;
        if (!memmem(p + at, len, "\"kind\":\"checkpoint\"", 19) ||
            audit_line_parse(p + at, len, &l, NULL) < 0)
            continue;
        if (l.kind == AUDIT_CHECKPOINT) {
            *ret_at = at;
            found = true;
        }
        audit_line_done(&l);
    }
    return found;
}

/* One more line, if it fits. */
static bool go_on(struct audit_end *end, const char *p, size_t n, const struct ed25519 *key)
{
    struct audit_line l;
    if (audit_line_parse(p, n, &l, NULL) < 0)
        return false;
    bool fits = l.seq == end->chain.seq && memcmp(l.prev, end->chain.head, AUDIT_HASH_BYTES) == 0 &&
                (l.kind != AUDIT_CHECKPOINT || audit_checkpoint_verify(p, n, key));
    if (fits) {
        audit_chain_add(&end->chain, p, n, l.session, strlen(l.session));
        end->since_checkpoint = l.kind == AUDIT_CHECKPOINT ? 0 : end->since_checkpoint + 1;
        note_client(end, &l);
    }
    audit_line_done(&l);
    return fits;
}

/* What a first start, or one after a rotation, leaves when it is cut short: part of a first line, a
 * start without its checkpoint, or nothing but zeros. Anything else may be another file. */
static bool is_begun(const char *p, size_t n)
{
    static const char first[] = "{\"seq\":";
    size_t len = n, k = n < sizeof(first) - 1 ? n : sizeof(first) - 1;
    if (whole_line(p, n, 0, &len)) {
        struct audit_line l;
        if (len + 1 < n && memchr(p + len + 1, '\n', n - len - 1))
            return false;
        if (audit_line_parse(p, len, &l, NULL) < 0)
            return false;
        bool start = l.kind == AUDIT_START;
        audit_line_done(&l);
        return start;
    }
    return n == 0 || memcmp(p, first, k) == 0 || (p[0] == '\0' && memcmp(p, p + 1, n - 1) == 0);
}

/* What the checkpoint at `p` says is where the chain stands before it. */
static int begin_at(struct audit_end *end, const char *p, size_t n, const char *path,
                    const struct ed25519 *key, struct err *e)
{
    struct audit_line l;
    int r = audit_line_parse(p, n, &l, e);
    if (r < 0)
        return r;
    if (!audit_checkpoint_verify(p, n, key))
        r = err_set(e, -E_CORRUPT,
                    "the last checkpoint of %s is not signed by the key beside it: the log or the "
                    "key was changed. Look with sallyport audit verify; to begin a new log, move "
                    "all files of this one away",
                    path);
    else if (!str_copy(end->log_id, sizeof(end->log_id), l.log))
        r = err_set(e, -E_CORRUPT, "%s names a log with too long an id", path);
    end->chain.seq = l.seq;
    memcpy(end->chain.head, l.prev, AUDIT_HASH_BYTES);
    audit_line_done(&l);
    return r;
}

int audit_recover(int fd, const char *path, const struct ed25519 *key, struct audit_end *end,
                  struct err *e)
{
    AUTO_FREE char *p = NULL;
    size_t n = 0, len = 0, at = 0, from = 0;
    int64_t first = 0;
    int r = read_window(fd, &p, &n, &first, e);
    if (r < 0)
        return r;
    if (first > 0) /* the window begins within a line */
        from = whole_line(p, n, 0, &len) ? len + 1 : n;
    if (!find_checkpoint(p, n, from, &at)) {
        if (first == 0 && is_begun(p, n)) {
            end->torn = (int64_t)n;
            return 0;
        }
        return err_set(e, -E_CORRUPT,
                       "%s has no checkpoint at its end: it is not a log of ours, or was changed. "
                       "To begin a new log, move it away",
                       path);
    }
    note_clients(end, p, from, at);
    end->looked = (int64_t)n;
    (void)whole_line(p, n, at, &len);
    r = begin_at(end, p + at, len, path, key, e);
    while (r == 0 && whole_line(p, n, at, &len) && go_on(end, p + at, len, key))
        at += len + 1;
    end->bytes = first + (int64_t)at;
    end->torn = (int64_t)(n - at);
    return r;
}
