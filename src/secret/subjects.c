/* subjects.c - see subjects.h.
 *
 * Called on the fibers of requests: in the keeper of a gateway, and in the gateway, whose sources ask the keeper.
 * A stranger chooses subjects, one for each request if it likes: a table has a ceiling, what it pushes out are
 * first those that were refused, and only so many are asked for at a time. The list is short and looked through
 * for each request: 256 comparisons of 32 bytes are less than the search for a place in memory. A source that is
 * being read holds itself, so one may be pushed out at any time. */
#include "secret/subjects.h"

#include "base/list.h"
#include "secret/kind.h"

#include <string.h>

#define SUBJECT_MAX (16u << 10) /* bytes */

struct entry {
    struct list node;
    unsigned char hash[DIGEST_SHA256_BYTES];
    struct secret_source *source;
};

struct secret_subjects {
    struct list node; /* of all tables */
    struct secret_source *source;
    struct list entries; /* the one that was used last is at the end */
    size_t n;
};

struct secret_subjects *secret_subjects_new(struct secret_source *s)
{
    struct secret_subjects *t = mem_new(struct secret_subjects);
    t->source = secret_source_ref(s);
    list_init(&t->entries);
    list_push_back(&s->all->tables, &t->node);
    return t;
}

static void drop(struct secret_subjects *t, struct entry *x)
{
    struct secret_source *s = x->source;
    list_remove(&x->node);
    t->n--;
    t->source->all->subjects--;
    free(x);
    secret_source_unref(s);
}

void secret_subjects_free(struct secret_subjects *t)
{
    if (!t)
        return;
    LIST_FOREACH_SAFE (x, &t->entries, struct entry, node)
        drop(t, x);
    list_remove(&t->node);
    secret_source_unref(t->source);
    free(t);
}

size_t secret_subjects_count(const struct secret_subjects *t)
{
    return t->n;
}

static struct entry *find(struct secret_subjects *t, const unsigned char *hash)
{
    LIST_FOREACH (x, &t->entries, struct entry, node)
        if (memcmp(x->hash, hash, sizeof(x->hash)) == 0)
            return x;
    return NULL;
}

/* Of a table that is not empty. */
static void push_one_out(struct secret_subjects *t)
{
    struct entry *worst = NULL;
    LIST_FOREACH (x, &t->entries, struct entry, node) {
        if (!worst)
            worst = x;
        if (!x->source->value && !x->source->reading) {
            worst = x;
            break;
        }
    }
    if (worst)
        drop(t, worst);
}

/* Where all tables together are full, the largest one gives. */
static void make_room(struct secret_subjects *t)
{
    struct secret_subjects *largest = t;
    struct secret_sources *all = t->source->all;
    LIST_FOREACH (x, &all->tables, struct secret_subjects, node)
        if (x->n > largest->n)
            largest = x;
    if (t->n >= SECRET_SUBJECTS_MAX)
        push_one_out(t);
    else if (all->subjects >= SECRET_SUBJECTS_ALL)
        push_one_out(largest);
}

static int add(struct secret_subjects *t, const unsigned char *hash, const char *subject, size_t n,
               struct entry **ret, struct err *e)
{
    struct secret_source *s = NULL;
    make_room(t);
    int r = secret_source_new_for(t->source, subject, n, &s);
    if (r < 0)
        return err_set(e, r, "no memory for a caller's token");
    struct entry *x = mem_new(struct entry);
    memcpy(x->hash, hash, sizeof(x->hash));
    x->source = s;
    list_push_back(&t->entries, &x->node);
    t->n++;
    t->source->all->subjects++;
    *ret = x;
    return 0;
}

static size_t count_reads(const struct secret_subjects *t)
{
    size_t n = 0;
    LIST_FOREACH (x, &t->entries, struct entry, node)
        n += x->source->reading;
    return n;
}

/* What is of no use any more and lies at the front: neither a token that can be used, nor a refusal that counts. */
static void drop_ended(struct secret_subjects *t)
{
    const int64_t now = time_mono_ns();
    LIST_FOREACH_SAFE (x, &t->entries, struct entry, node) {
        const struct secret_source *s = x->source;
        if (s->reading || now < s->fresh_until_ns || now < s->good_until_ns ||
            now < s->failed_until_ns)
            return;
        drop(t, x);
    }
}

int secret_subjects_get(struct secret_subjects *t, const char *subject, size_t n,
                        const char *refused, struct secret_value **ret, struct err *e)
{
    unsigned char hash[DIGEST_SHA256_BYTES];
    if (n == 0 || n > SUBJECT_MAX)
        return err_set(e, -EINVAL, "a caller's token is too long");
    digest_sha256(subject, n, hash);
    if (!t->source->all->options.ask) /* who keeps them knows their ends */
        drop_ended(t);
    struct entry *x = find(t, hash);
    int r = x ? 0 : add(t, hash, subject, n, &x, e);
    if (r < 0)
        return r;
    list_remove(&x->node);
    list_push_back(&t->entries, &x->node);
    struct secret_source *s =
        secret_source_ref(x->source); /* table and entry may go while this waits */
    if (refused)
        secret_source_distrust(s, refused);
    r = !s->value && !s->reading && count_reads(t) >= SECRET_SUBJECTS_BUSY
            ? err_set(e, -EBUSY, "too many tokens are being asked for at once")
            : secret_source_get(s, ret, e);
    secret_source_unref(s);
    return r;
}
