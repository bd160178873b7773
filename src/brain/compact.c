/* compact.c - where to cut, and what stands for the part before.
 *
 * Called by step.c on the store's writer thread, after the provider said that a conversation is too
 * long, or before a request that could not be sent; and by context.c, which asks what is in force.
 *
 * A cut may lie before a user.message or before a span.model_request_start: at both, every call
 * made so far has its result (a turn asks the model only then), so no request is built in which a
 * call and its result are parted. A cut inside a turn keeps the messages that began it, since they
 * say what the turn is for. The first cut after which the rest is small enough is taken; when none
 * is, the one that leaves least. What is left must be a good part less than it was, so that a
 * provider that always complains is asked a bounded number of times.
 *
 * Nothing asks a model to summarise: the digest is made of the first words of what was said, newest
 * first until it is long enough. That costs no request, needs none to succeed, and a test can say
 * what comes out. */
#include "brain/compact.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <string.h>

#define ROOM_PERCENT  70 /* of what fits: the conversation goes on */
#define LEAST_PERCENT 75 /* what is left must be at most so much of what was */
#define CUTS_PER_TURN 20 /* more, and what was left out is being fetched again and again */
#define QUOTE_BYTES   240
#define DIGEST_MAX    (64u << 10) /* 40 messages of a few blocks; what is more is not quoted */

void compaction_done(struct compaction *c)
{
    free(c->digest);
    *c = (struct compaction){0};
}

int compaction_load_tx(struct tx *tx, const char *session_id, struct compaction *ret)
{
    struct stmt *st = tx_prepare(tx, "SELECT hidden FROM events WHERE session_id = $1 AND type ="
                                     " 'agent.thread_context_compacted' ORDER BY seq DESC LIMIT 1");
    stmt_bind_text(st, 1, session_id);
    int r = stmt_step(st);
    AUTO_JSON json_t *o = NULL;
    if (r > 0) {
        size_t n = 0;
        const char *text = stmt_text(st, 0, &n);
        r = json_parse_stored(text, n, &o);
    }
    stmt_reset(st);
    *ret = (struct compaction){0};
    if (r < 0 || !o)
        return r;
    const char *digest = json_get_str(o, "digest");
    ret->from = json_get_int(o, "from", 0);
    ret->task = json_get_int(o, "task", 0);
    ret->requests = json_get_int(o, "requests", 0);
    ret->digest = mem_strdup(digest ? digest : "");
    return 0;
}

/* ---- where to cut ---- */

/* A walk over the events in force, in order. */
struct walk {
    int64_t total, before;    /* bytes in all, and before the event at hand */
    int64_t task, task_bytes; /* the messages of the turn at hand */
    int64_t requests;         /* of the turn at hand */
    int64_t target;           /* choose the first cut that leaves so much */
    struct compaction cut;    /* chosen so far; from 0: none */
    int64_t left;             /* bytes that it leaves */
};

static bool says_something(const char *type)
{
    return (str_starts(type, "user.") || str_starts(type, "agent.")) &&
           !str_eq(type, "agent.thread_context_compacted");
}

static void consider(struct walk *w, int64_t seq)
{
    int64_t left = w->total - w->before + w->task_bytes;
    bool better = !w->cut.from || (w->left > w->target && left < w->left);
    if (w->before == 0 || !better)
        return;
    w->cut = (struct compaction){.from = seq, .task = w->task, .requests = w->requests};
    w->left = left;
}

static void walk_on(struct walk *w, int64_t seq, const char *type, const char *body, size_t bytes)
{
    bool message = str_eq(type, "user.message"), request = str_eq(type, "span.model_request_start");
    if (w->target && (message || request))
        consider(w, seq);
    if (request)
        w->requests++;
    if (str_eq(type, "session.status_idle") && !strstr(body, "\"requires_action\"")) {
        w->task = w->task_bytes = w->requests = 0;
    } else if (message) {
        w->task = w->task ? w->task : seq;
        w->task_bytes += (int64_t)bytes;
        w->requests = 0;
    }
    if (says_something(type))
        w->before += (int64_t)bytes;
}

static int walk(struct tx *tx, const char *session_id, const struct compaction *c, struct walk *w)
{
    struct stmt *st =
        tx_prepare(tx, "SELECT seq, type, body, hidden FROM events WHERE session_id = $1 AND"
                       " (seq >= $2 OR (seq >= $3 AND type = 'user.message')) ORDER BY seq");
    stmt_bind_text(st, 1, session_id);
    stmt_bind_int(st, 2, c->from);
    stmt_bind_int(st, 3, c->task ? c->task : c->from);
    int r;
    w->before = w->task = w->task_bytes = 0;
    w->requests = c->requests;
    while ((r = stmt_step(st)) > 0) {
        size_t n = 0, hidden_n = 0;
        const char *type = stmt_text(st, 1, NULL), *body = stmt_text(st, 2, &n),
                   *hidden = stmt_text(st, 3, &hidden_n);
        if (!type || !body) {
            r = -E_CORRUPT;
            break;
        }
        if (!(hidden && strstr(hidden, "\"dropped\"")))
            walk_on(w, stmt_int(st, 0), type, body, n + hidden_n);
    }
    stmt_reset(st);
    return r;
}

/* ---- what stands for the rest ---- */

/* One line, shortened, so that no text passes for another's. */
static void line(struct buf *out, const char *who, const char *text)
{
    size_t n = strlen(text), cut = str_utf8_cut(text, n, QUOTE_BYTES);
    if (!n)
        return;
    buf_addf(out, "%s: ", who);
    for (size_t k = 0; k < cut; k++)
        buf_addc(out, text[k] == '\n' || text[k] == '\r' ? ' ' : text[k]);
    if (cut < n)
        buf_addf(out, " ... (%zu bytes in all)", n);
    buf_addc(out, '\n');
}

static void quote(struct buf *out, const char *type, const json_t *body)
{
    bool call = str_eq(type, "agent.tool_use") || str_eq(type, "agent.custom_tool_use");
    const char *who = str_eq(type, "user.message")    ? "User"
                      : str_eq(type, "agent.message") ? "You"
                                                      : "Result";
    size_t i;
    json_t *block;
    if (call) {
        AUTO_FREE char *input = json_text(json_object_get(body, "input"), NULL);
        AUTO_FREE char *text = mem_printf("%s %s", json_get_str(body, "name"), input);
        line(out, "You called", text);
    }
    json_array_foreach (json_object_get(body, "content"), i, block) {
        const char *text = json_get_str(block, "text");
        line(out, who, text ? text : "(no text)");
    }
}

/* What was said and done last before the cut, oldest first. */
static int digest(struct tx *tx, const char *session_id, int64_t from, char **ret)
{
#define QUOTED                                                                                     \
    "('user.message', 'agent.message', 'agent.tool_use', 'agent.custom_tool_use',"                 \
    " 'agent.tool_result', 'user.tool_result', 'user.custom_tool_result')"
    struct stmt *st = tx_prepare(
        tx, "SELECT type, body, hidden FROM events WHERE session_id = $1 AND seq >= (SELECT"
            " COALESCE(MIN(seq), 0) FROM (SELECT seq FROM events WHERE session_id = $2 AND seq < $3"
            " AND type IN " QUOTED " ORDER BY seq DESC LIMIT 40) AS late)"
            " AND seq < $4 AND type IN " QUOTED " ORDER BY seq");
#undef QUOTED
    stmt_bind_text(st, 1, session_id);
    stmt_bind_text(st, 2, session_id);
    stmt_bind_int(st, 3, from);
    stmt_bind_int(st, 4, from);
    AUTO(buf) out = BUF_INIT(DIGEST_MAX);
    buf_adds(&out, "[The earlier part of this conversation did not fit any more and was left out. "
                   "The last of what was said and done in it, shortened:]\n");
    int r;
    while ((r = stmt_step(st)) > 0) {
        size_t n = 0;
        const char *type = stmt_text(st, 0, NULL), *body = stmt_text(st, 1, &n),
                   *hidden = stmt_text(st, 2, NULL);
        AUTO_JSON json_t *o = NULL;
        bool dropped = hidden && strstr(hidden, "\"dropped\"");
        if (!type || dropped)
            continue;
        int k = json_parse_stored(body, n, &o);
        if (k == -ENOMEM) {
            r = k;
            break;
        }
        if (k == 0)
            quote(&out, type, o);
    }
    stmt_reset(st);
    if (r == 0)
        *ret = mem_strdup(buf_str(&out));
    return r;
}

/* How often the turn under way has been cut already. */
static int cuts_before(struct tx *tx, const char *session_id)
{
    struct stmt *st = tx_prepare(
        tx, "SELECT COUNT(*) FROM events WHERE session_id = $1 AND type ="
            " 'agent.thread_context_compacted' AND seq > (SELECT COALESCE(MAX(seq), 0) FROM events"
            " WHERE session_id = $2 AND type = 'user.message')");
    stmt_bind_text(st, 1, session_id);
    stmt_bind_text(st, 2, session_id);
    int r = stmt_step(st);
    if (r > 0)
        r = (int)stmt_int(st, 0);
    stmt_reset(st);
    return r;
}

int compact_tx(struct tx *tx, struct log_session *s, struct log_batch *b, int fit_percent)
{
    AUTO(compaction) now = {0};
    int r = compaction_load_tx(tx, s->id, &now);
    struct walk w = {0};
    int cuts = cuts_before(tx, s->id);
    if (cuts < 0 || cuts >= CUTS_PER_TURN)
        return cuts < 0 ? cuts : 0;
    if (r == 0)
        r = walk(tx, s->id, &now, &w); /* how much there is */
    if (r < 0)
        return r;
    w.total = w.before;
    int64_t target = w.total * (fit_percent ? fit_percent * ROOM_PERCENT / 100 : 50) / 100;
    w.target = target > 0 ? target : 1;
    r = walk(tx, s->id, &now, &w);
    if (r < 0 || !w.cut.from || w.left > w.total * LEAST_PERCENT / 100)
        return r < 0 ? r : 0;
    AUTO_FREE char *text = NULL;
    r = digest(tx, s->id, w.cut.from, &text);
    if (r < 0)
        return r;
    AUTO_JSON json_t *hidden = json_new_object();
    json_put_int(hidden, "from", w.cut.from);
    json_put_int(hidden, "task", w.cut.task);
    json_put_int(hidden, "requests", w.cut.requests);
    json_put_str(hidden, "digest", text);
    r = log_append_tx(tx, s, b, "agent.thread_context_compacted", NULL, json_new_object(), hidden,
                      NULL);
    return r < 0 ? r : 1;
}
