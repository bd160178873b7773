/* lists.c - takes tools out of a list and leaves everything else as it came.
 *
 * Called with each answer of a route with rules: the body of one, or the data of one event. The server is
 * the customer's, but what it lists decides what a model tries to call, and a page may come over any of its
 * streams: so a list is known by its shape (a result with a member `tools`, a list), not by what was asked.
 * What is taken out is cut out of the text: values are never written anew, a number with many digits stays
 * what it was. What holds the word and has no one reading is an error, since nobody can tell what a client
 * would see in it; what does not hold the word, in any spelling that JSON has, cannot be a list, and is not
 * even parsed. A tool without a name is left out, and so is one with a second name that some clients would take
 * for it. */
#include "mcp/policy/lists.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "mcp/wire/body.h"
#include "mcp/wire/span.h"

#define EDITS_MAX 32

/* What of the text is replaced: pieces in order, that do not overlap. */
struct edit {
    const char *at;
    size_t n;
    const char *with; /* NULL: the tools that are left */
    const json_t *message, *tools;
    struct span list;
};
struct filter {
    const struct tool_policy *policy;
    const struct list_sieve *sieve;
    bool modern;
    bool binds; /* something may be taken out; else lists are only looked at */
    struct edit edits[EDITS_MAX];
    size_t n;
};

struct kept {
    const char *name;
    size_t index;
    struct span text;
};

/* "tools" as it is found by a reader who does not care about case, to whom U+017F is an s, too. */
bool mcp_list_possible(const char *text, size_t n)
{
    if (n && memmem(text, n, "\\u", 2))
        return true;
    for (const char *p = text, *end = text + n; end - p >= 5; p++)
        if ((*p | 0x20) == 't' && strncasecmp(p, "tool", 4) == 0 &&
            ((p[4] | 0x20) == 's' || (end - p >= 6 && memcmp(p + 4, "\xc5\xbf", 2) == 0)))
            return true;
    return false;
}

/* Whether a member is `name` in another spelling: some clients (Go's) would take it for that. */
static bool has_double(const json_t *object, const char *name)
{
    const char *key;
    json_t *v;
    json_object_foreach ((json_t *)(uintptr_t)object, key, v)
        if (strcmp(key, name) != 0 && mcp_name_folds(key, name))
            return true;
    return false;
}

static int by_name(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c ? c : (x->index > y->index) - (x->index < y->index);
}

static const char *name_of(const json_t *tools, size_t i)
{
    return json_get_str(json_array_get(tools, i), "name");
}

/* keep[i]: whether tool i is left. */
static void choose(const struct filter *f, const struct edit *d, bool *keep)
{
    for (size_t i = 0; i < json_array_size(d->tools); i++) {
        const char *name = name_of(d->tools, i);
        keep[i] = name && tool_policy_allows(f->policy, name, NULL, NULL) &&
                  !has_double(json_array_get(d->tools, i), "name");
    }
    if (f->sieve)
        f->sieve->look(f->sieve->arg, d->message, d->tools, keep);
}

/* The items that are left, between brackets. */
static int print_list(const struct filter *f, const struct edit *d, struct buf *out)
{
    const size_t all = json_array_size(d->tools);
    AUTO_FREE struct kept *kept = mem_array(all + 1, sizeof(*kept));
    AUTO_FREE bool *keep = mem_array(all + 1, sizeof(*keep));
    struct span_walk w;
    struct span item;
    size_t n = 0, i = 0;
    choose(f, d, keep);
    span_enter(&w, d->list);
    for (; i < all && span_next(&w, NULL, &item); i++)
        if (keep[i])
            kept[n++] = (struct kept){name_of(d->tools, i), i, item};
    qsort(kept, n, sizeof(*kept), by_name);
    (void)buf_addc(out, '[');
    for (i = 0; i < n; i++) {
        if (i)
            (void)buf_addc(out, ',');
        (void)buf_add(out, kept[i].text.p, kept[i].text.n);
    }
    return buf_addc(out, ']');
}

static void add(struct filter *f, struct edit d)
{
    size_t i = f->n++;
    for (; i > 0 && f->edits[i - 1].at > d.at; i--)
        f->edits[i] = f->edits[i - 1];
    f->edits[i] = d;
}

/* One message. NULL, or why nothing of the text may go on. */
static const char *look_at(struct filter *f, const json_t *message, struct span text)
{
    static const char private[] = "\"private\"", member[] = "\"cacheScope\":\"private\",";
    const json_t *result = json_object_get(message, "result");
    const json_t *tools = json_object_get(result, "tools");
    if (!f->binds) {
        if (json_is_array(tools))
            f->sieve->look(f->sieve->arg, message, tools, NULL);
        return NULL;
    }
    if (has_double(message, "result") || has_double(result, "tools") ||
        has_double(result, "nextCursor"))
        return "a member of what may be a list of tools is \"result\", \"tools\" or \"nextCursor\" "
               "in "
               "another spelling, which some clients take for it";
    if (!json_is_array(tools))
        return NULL;
    if (f->n + 2 > ARRAY_LEN(f->edits))
        return "a batch holds too many lists of tools";
    struct span in = span_member(text, "result"), list = span_member(in, "tools");
    struct span scope = span_member(in, "cacheScope");
    add(f,
        (struct edit){.at = list.p, .n = list.n, .message = message, .tools = tools, .list = list});
    if (scope.p)
        add(f, (struct edit){.at = scope.p, .n = scope.n, .with = private});
    else if (f->modern || json_object_get(result, "ttlMs") || json_object_get(result, "resultType"))
        add(f, (struct edit){.at = in.p + 1, .n = 0, .with = member});
    return NULL;
}

static int write_out(const struct filter *f, const char *text, size_t n, struct buf *out)
{
    const char *from = text;
    int r = 0;
    for (size_t i = 0; r == 0 && i < f->n; i++) {
        const struct edit *d = &f->edits[i];
        (void)buf_add(out, from, (size_t)(d->at - from));
        r = d->with ? buf_adds(out, d->with) : print_list(f, d, out);
        from = d->at + d->n;
    }
    return r < 0 ? r : buf_add(out, from, (size_t)(text + n - from));
}

int mcp_list_filter(const struct tool_policy *p, const struct list_sieve *sieve, bool modern,
                    const char *text, size_t n, struct buf *out, struct err *e)
{
    struct filter f = {.policy = p,
                       .sieve = sieve,
                       .modern = modern,
                       .binds = tool_policy_hides(p) || (sieve && !sieve->only_looks)};
    AUTO_JSON json_t *j = NULL;
    struct err why = {0};
    if ((!f.binds && !sieve) || !mcp_list_possible(text, n))
        return 0;
    int r = json_parse(text, n, &j, &why);
    if (r < 0 && !f.binds)
        return 0; /* whoever reads it may make of it what it likes */
    if (r < 0)
        return err_set(e, r == -ENOMEM ? r : -E_PARSE,
                       "what may be a list of tools is not JSON with one reading: %s", why.msg);
    struct span whole = span_value(text, n), item;
    const char *wrong = NULL;
    if (json_is_array(j)) {
        struct span_walk w;
        span_enter(&w, whole);
        for (size_t i = 0; !wrong && span_next(&w, NULL, &item); i++)
            wrong = look_at(&f, json_array_get(j, i), item);
    } else {
        wrong = look_at(&f, j, whole);
    }
    if (wrong)
        return err_set(e, -E_PARSE, "%s", wrong);
    if (f.n == 0)
        return 0;
    r = write_out(&f, text, n, out);
    return r < 0 ? err_set(e, r, "a list of tools is too large") : 1;
}

int mcp_messages_look(const struct list_sieve *sieve, const char *text, size_t n, struct err *e)
{
    AUTO_JSON json_t *j = NULL;
    struct err why = {0};
    if (!sieve || !sieve->message || !sieve->possible(sieve->arg, text, n))
        return 0;
    int r = json_parse(text, n, &j, &why);
    if (r < 0)
        return err_set(e, r == -ENOMEM ? r : -E_PARSE,
                       "what may ask something of the client is not JSON with one reading: %s",
                       why.msg);
    if (!json_is_array(j))
        return sieve->message(sieve->arg, j, e);
    for (size_t i = 0; r == 0 && i < json_array_size(j); i++)
        r = sieve->message(sieve->arg, json_array_get(j, i), e);
    return r;
}
