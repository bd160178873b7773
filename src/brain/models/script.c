/* script.c - the scripted model: a test double, not a model, and it says so in its name, in the log
 * and in its document.
 *
 * Made when the server starts with a script; called on the fiber of a model request. It looks at
 * the conversation in the request, finds the first rule that fits, and streams what the rule says,
 * through the same sink as a real provider. All it keeps between requests is how often the very
 * same request was made (`attempt`), so that a script can fail once and then go on; that memory is
 * bounded and may be lost without harm.
 *
 * Nothing here listens, connects or reads anything but the one file, and that only once. */
#include "brain/model.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "brain/models/script_rules.h"
#include "fiber/fiber.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SESSIONS_REMEMBERED 4096

struct memory {
    uint64_t fingerprint;
    int64_t attempt;
};

struct script {
    struct model model;
    struct script_rules rules;
    struct map attempts; /* session id -> struct memory */
};

/* ---- attempts ---- */

static void forget_all(struct script *s)
{
    size_t pos = 0;
    const char *key;
    void *value;
    while (map_next(&s->attempts, &pos, &key, &value))
        free(value);
    map_done(&s->attempts);
    map_init(&s->attempts);
}

/* FNV-1a: tells two requests of one session apart; nothing hangs on it but a script's `attempt`. */
static uint64_t fingerprint(const char *text, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return h;
}

static int64_t count_attempt(struct script *s, const char *session_id, uint64_t print)
{
    struct memory *m = map_get(&s->attempts, session_id);
    if (!m) {
        if (s->attempts.n >= SESSIONS_REMEMBERED)
            forget_all(s);
        m = mem_new(struct memory);
        map_put(&s->attempts, session_id, m);
    }
    m->attempt = m->fingerprint == print ? m->attempt + 1 : 1;
    m->fingerprint = print;
    return m->attempt;
}

/* ---- playing a rule ---- */

struct play {
    const struct model_sink *sink;
    struct model_result *r;
    const struct script_groups *groups;
    struct err *e;
    size_t bytes; /* said so far, for the pretended usage */
};

static json_t *block(const char *type)
{
    json_t *o = json_object();
    MUST(o);
    json_put_str(o, "type", type);
    return o;
}

static int open_block(struct play *p, const char *type)
{
    int index = (int)json_array_size(p->r->content);
    if (p->sink && p->sink->block_start)
        p->sink->block_start(p->sink->arg, index, type);
    return index;
}

static int stream_text(struct play *p, int index, const char *text, const struct script_action *a)
{
    size_t n = strlen(text), from = 0;
    for (int k = 1; k <= a->pieces; k++) {
        size_t want = k == a->pieces ? n : n * (size_t)k / (size_t)a->pieces;
        size_t to = str_utf8_cut(text, n, want);
        if (to > from && p->sink && p->sink->text_delta)
            p->sink->text_delta(p->sink->arg, index, text + from, to - from);
        from = to > from ? to : from;
        if (k < a->pieces) {
            int r = a->delay_ms ? fiber_sleep_ms(a->delay_ms) : fiber_yield();
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int play_say(struct play *p, const struct script_action *a)
{
    AUTO_FREE char *text = script_expand(p->groups, a->text);
    int r = stream_text(p, open_block(p, "text"), text, a);
    if (r < 0)
        return r;
    json_t *o = block("text");
    json_put_str(o, "text", text);
    json_array_append_new(p->r->content, o);
    p->bytes += strlen(text);
    return 0;
}

static void play_think(struct play *p, const struct script_action *a)
{
    AUTO_FREE char *text = script_expand(p->groups, a->text);
    open_block(p, "thinking");
    json_t *o = block("thinking");
    json_put_str(o, "thinking", text);
    json_put_str(o, "signature", "script");
    json_array_append_new(p->r->content, o);
    p->bytes += strlen(text);
}

static void play_tool(struct play *p, const struct script_action *a)
{
    char id[ID_MAX];
    open_block(p, "tool_use");
    json_t *o = block("tool_use");
    json_put_str(o, "id", id_make(id, "toolu_"));
    json_put_str(o, "name", a->text);
    json_put(o, "input", script_expand_json(p->groups, a->input));
    json_array_append_new(p->r->content, o);
    str_copy(p->r->stop_reason, sizeof(p->r->stop_reason), "tool_use");
    p->bytes += strlen(a->text) + 16;
}

static int play_fail(struct play *p, const struct script_action *a)
{
    p->r->retry_after_ms = a->retry_after_ms;
    if (a->status == 0) {
        p->r->error = MODEL_FAILED;
        return err_set(p->e, -E_CLOSED, "The script cuts the answer here.");
    }
    p->r->error = model_error_of_status(a->status);
    return err_set(p->e, -E_PROTO, "The script answers with status %d.", a->status);
}

static int play(struct play *p, const struct script_action *a)
{
    switch (a->act) {
    case SCRIPT_SAY:
        return play_say(p, a);
    case SCRIPT_THINK:
        play_think(p, a);
        return 0;
    case SCRIPT_TOOL:
        play_tool(p, a);
        return 0;
    case SCRIPT_DELAY:
        return fiber_sleep_ms(a->delay_ms);
    case SCRIPT_FAIL:
        return play_fail(p, a);
    case SCRIPT_STOP:
        str_copy(p->r->stop_reason, sizeof(p->r->stop_reason), a->text);
        return 0;
    }
    return 0;
}

static int play_rule(struct play *p, const struct script_rule *rule)
{
    for (size_t i = 0; i < rule->n_actions; i++) {
        int r = play(p, &rule->actions[i]);
        if (r < 0) {
            if (p->r->error == MODEL_OK)
                p->r->error = MODEL_FAILED; /* cancelled, or past the deadline */
            return r;
        }
    }
    return 0;
}

static int play_unmatched(struct play *p, const struct script_scene *s)
{
    struct buf words = BUF_INIT(2048);
    buf_addf(&words, "No rule of the script matches. turn: %lld, attempt: %lld, last: %s, user: \"",
             (long long)s->turn, (long long)s->attempt,
             s->last == SCRIPT_LAST_RESULT ? "tool_result" : "user");
    str_escape(&words, s->user, strlen(s->user), 200);
    buf_adds(&words, "\"");
    if (s->tool_result) {
        buf_adds(&words, ", tool_result: \"");
        str_escape(&words, s->tool_result, strlen(s->tool_result), 200);
        buf_adds(&words, "\"");
    }
    struct script_action say = {.act = SCRIPT_SAY, .text = buf_take(&words, NULL), .pieces = 1};
    struct script_groups none = {0};
    p->groups = &none;
    int r = play_say(p, &say);
    free(say.text);
    return r;
}

struct reading {
    const json_t *messages;
    struct script_scene scene;
    uint64_t print;
};

static void read_scene(void *arg, const char *text, size_t n)
{
    struct reading *a = arg;
    script_scene_read(a->messages, &a->scene);
    a->print = fingerprint(text, n);
}

static int script_generate(struct model *m, const struct model_request *q,
                           const struct model_sink *sink, struct model_result *r, struct err *e)
{
    struct script *s = CONTAINER_OF(m, struct script, model);
    size_t n = 0;
    struct reading a = {.messages = q->messages};
    free(model_print(q->messages, &n, read_scene, &a));
    struct script_scene scene = a.scene;
    scene.attempt = count_attempt(s, q->session_id, a.print);

    *r = (struct model_result){.content = json_array(), .retry_after_ms = -1};
    MUST(r->content);
    str_copy(r->stop_reason, sizeof(r->stop_reason), "end_turn");
    struct script_groups groups;
    const struct script_rule *rule = script_rules_find(&s->rules, &scene, &groups);
    struct play p = {.sink = sink, .r = r, .groups = &groups, .e = e};
    int code = rule ? play_rule(&p, rule) : play_unmatched(&p, &scene);
    /* a script counts bytes, four to a token: enough for sums to be checked */
    r->usage.input_tokens = (int64_t)(n / 4);
    r->usage.output_tokens = (int64_t)(p.bytes / 4);
    script_groups_done(&groups);
    script_scene_done(&scene);
    return code;
}

/* ---- life ---- */

static void script_free(struct model *m)
{
    struct script *s = CONTAINER_OF(m, struct script, model);
    forget_all(s);
    map_done(&s->attempts);
    script_rules_done(&s->rules);
    free(s);
}

static const struct model_ops ops = {.generate = script_generate, .free = script_free};

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode)    ? "a directory"
           : S_ISFIFO(mode) ? "a pipe"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

/* Runs at start, before there is a loop to hold up. */
static int read_whole(const char *path, struct buf *out, struct err *e)
{
    /* Not by fopen alone: it would wait for whoever writes to a named pipe. */
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "%s is %s, not a file; a script is read from a regular file",
                       path, kind_of(st.st_mode));
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (!f) {
        int code = -errno;
        return err_set(e, code, "%s: %s", path, err_text(code));
    }
    fd = -1; /* fclose's now */
    int code = 0;
    for (;;) {
        char *to = buf_room(out, 65536);
        size_t n = to ? fread(to, 1, 65536, f) : 0;
        if (n == 0)
            break;
        buf_commit(out, n);
    }
    if (ferror(f))
        code = err_set(e, -EIO, "%s: cannot be read (is it a file?)", path);
    else if (buf_err(out))
        code = err_set(e, buf_err(out), "%s: longer than a script may be", path);
    fclose(f);
    return code;
}

struct model *model_script_new(const char *path, struct err *e)
{
    AUTO(buf) text = BUF_INIT(LIMIT_YAML_BYTES + 65536u);
    struct script_rules rules;
    if (read_whole(path, &text, e) < 0 ||
        script_rules_parse(buf_str(&text), text.len, path, &rules, e) < 0)
        return NULL;
    struct script *s = mem_new(struct script);
    s->model = (struct model){.ops = &ops, .name = "script (a test double, not a model)"};
    s->rules = rules;
    map_init(&s->attempts);
    log_warn("sessions are answered by a script, a test double, not by a model",
             "file=%s rules=%zu", log_q(path), rules.n);
    return &s->model;
}
