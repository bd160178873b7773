/* script_rules.c - reading the script file, and finding the rule for a conversation.
 *
 * Called when the server starts (parse) and on the fiber of a model request (find, expand); pure.
 * The file is the operator's, but it is held to its shape: an unknown key is an error with line and
 * place, because a rule that silently never matches costs an hour. Conversation text comes from
 * users and tools: patterns run under the budget of base/regex, and a pattern that exhausts it
 * counts as not matching. Inputs are walked with a bounded depth (they came through the YAML
 * reader, which caps it). */
#include "brain/models/script_rules.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"
#include "base/yaml.h"

#include <stdio.h>
#include <string.h>

#define RULES_MAX    10000
#define ACTIONS_MAX  256
#define PIECES_MAX   10000
#define DELAY_MS_MAX 3600000

struct reader {
    const char *name;
    struct map lines;
    struct err *e;
    size_t line; /* of the innermost container entered */
    char path[96];
};

static int wrong(struct reader *r, const char *fmt, ...) PRINTF(2, 3);
static int wrong(struct reader *r, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return err_set(r->e, -E_PARSE, "%s: line %zu: %s: %s", r->name, r->line, r->path, text);
}

static void enter(struct reader *r, const json_t *container)
{
    size_t line = yaml_line_of(&r->lines, container);
    if (line)
        r->line = line;
}

static int only_keys(struct reader *r, const json_t *o, const char *const *allowed)
{
    const char *key;
    json_t *v;
    json_object_foreach ((json_t *)(uintptr_t)o, key, v) {
        bool known = false;
        for (size_t i = 0; allowed[i]; i++)
            known = known || str_eq(allowed[i], key);
        if (!known)
            return wrong(r, "unknown key \"%.40s\"", key);
    }
    return 0;
}

/* An integer in min..max, or `fallback` when the key is absent. */
static int integer(struct reader *r, const json_t *o, const char *key, int64_t min, int64_t max,
                   int64_t fallback, int64_t *ret)
{
    const json_t *v = json_object_get(o, key);
    *ret = fallback;
    if (!v)
        return 0;
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
        return wrong(r, "%s must be a whole number from %lld to %lld", key, (long long)min,
                     (long long)max);
    *ret = json_integer_value(v);
    return 0;
}

/* ---- when ---- */

static int pattern(struct reader *r, const json_t *when, const char *key, struct regex **ret)
{
    const json_t *v = json_object_get(when, key);
    if (!v)
        return 0;
    if (!json_is_string(v))
        return wrong(r, "%s must be text (a regular expression; quote it)", key);
    struct err why = {0};
    *ret = regex_new(json_string_value(v), 0, &why);
    return *ret ? 0 : wrong(r, "%s is not a regular expression: %s", key, why.msg);
}

static int read_when(struct reader *r, const json_t *when, struct script_rule *rule)
{
    static const char *const keys[] = {"user", "tool_result", "turn", "attempt", "last", NULL};
    if (!when)
        return 0;
    if (!json_is_object(when))
        return wrong(r, "when must be a mapping");
    enter(r, when);
    int code = only_keys(r, when, keys);
    if (code == 0)
        code = pattern(r, when, "user", &rule->user);
    if (code == 0)
        code = pattern(r, when, "tool_result", &rule->tool_result);
    if (code == 0)
        code = integer(r, when, "turn", 1, 100000, 0, &rule->turn);
    if (code == 0)
        code = integer(r, when, "attempt", 1, 100000, 0, &rule->attempt);
    if (code < 0)
        return code;
    const json_t *last = json_object_get(when, "last");
    if (!last)
        return 0;
    if (str_eq(json_string_value(last), "user"))
        rule->last = SCRIPT_LAST_USER;
    else if (str_eq(json_string_value(last), "tool_result"))
        rule->last = SCRIPT_LAST_RESULT;
    else
        return wrong(r, "last must be user or tool_result");
    return 0;
}

/* ---- do ---- */

static int read_say(struct reader *r, const json_t *action, struct script_action *a)
{
    static const char *const outer[] = {"say", "pieces", "delay_ms", NULL};
    static const char *const inner[] = {"text", "pieces", "delay_ms", NULL};
    const json_t *say = json_object_get(action, "say"), *o = action, *text = say;
    const char *const *keys = outer;
    if (json_is_object(say)) {
        enter(r, say);
        o = say;
        text = json_object_get(say, "text");
        keys = inner;
        if (json_object_size(action) != 1)
            return wrong(r, "say has its own mapping; put pieces and delay_ms inside it");
    }
    int code = only_keys(r, o, keys);
    if (code < 0)
        return code;
    if (!json_is_string(text))
        return wrong(r, "say must be text, or a mapping with text");
    int64_t pieces, delay;
    code = integer(r, o, "pieces", 1, PIECES_MAX, 1, &pieces);
    if (code == 0)
        code = integer(r, o, "delay_ms", 0, DELAY_MS_MAX, 0, &delay);
    if (code < 0)
        return code;
    a->act = SCRIPT_SAY;
    a->text = mem_strdup(json_string_value(text));
    a->pieces = (int)pieces;
    a->delay_ms = (int)delay;
    return 0;
}

static int read_tool(struct reader *r, const json_t *tool, struct script_action *a)
{
    static const char *const keys[] = {"name", "input", NULL};
    if (!json_is_object(tool))
        return wrong(r, "tool must be a mapping with name and input");
    enter(r, tool);
    int code = only_keys(r, tool, keys);
    if (code < 0)
        return code;
    const char *name = json_get_str(tool, "name");
    json_t *input = json_object_get(tool, "input");
    if (!name || !*name)
        return wrong(r, "tool.name must be text");
    if (input && !json_is_object(input))
        return wrong(r, "tool.input must be a mapping");
    a->act = SCRIPT_TOOL;
    a->text = mem_strdup(name);
    a->input = input ? json_incref(input) : json_object();
    return 0;
}

static int read_fail(struct reader *r, const json_t *fail, struct script_action *a)
{
    static const char *const keys[] = {"status", "retry_after", "cut", NULL};
    if (!json_is_object(fail))
        return wrong(r, "fail must be a mapping with status or cut");
    enter(r, fail);
    int code = only_keys(r, fail, keys);
    int64_t status = 0;
    if (code == 0)
        code = integer(r, fail, "status", 400, 599, 0, &status);
    if (code < 0)
        return code;
    bool cut = json_get_bool(fail, "cut", false);
    if (cut == (status != 0))
        return wrong(r, "fail takes either status (400 to 599) or cut: true");
    a->act = SCRIPT_FAIL;
    a->status = (int)status;
    a->retry_after_ms = -1;
    const json_t *after = json_object_get(fail, "retry_after");
    if (!after)
        return 0;
    if (!json_is_number(after) || json_number_value(after) < 0 || json_number_value(after) > 3600)
        return wrong(r, "retry_after must be a number of seconds from 0 to 3600");
    a->retry_after_ms = (int64_t)(json_number_value(after) * 1000.0 + 0.5);
    return 0;
}

static int read_text(struct reader *r, const json_t *v, const char *key, enum script_act act,
                     struct script_action *a)
{
    if (!json_is_string(v))
        return wrong(r, "%s must be text", key);
    a->act = act;
    a->text = mem_strdup(json_string_value(v));
    return 0;
}

static int read_stop(struct reader *r, const json_t *v, struct script_action *a)
{
    static const char *const known[] = {"end_turn", "max_tokens", "refusal", "pause_turn",
                                        "stop_sequence"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(json_string_value(v), known[i]))
            return read_text(r, v, "stop", SCRIPT_STOP, a);
    return wrong(r, "stop must be end_turn, max_tokens, refusal, pause_turn or stop_sequence");
}

static int read_action(struct reader *r, const json_t *action, struct script_action *a)
{
    if (!json_is_object(action) || json_object_size(action) == 0)
        return wrong(r, "an action is a mapping: think, say, tool, delay_ms, fail or stop");
    enter(r, action);
    if (json_object_get(action, "say"))
        return read_say(r, action, a);
    if (json_object_size(action) != 1)
        return wrong(r, "an action has one key: think, say, tool, delay_ms, fail or stop");
    const char *key = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)action));
    const json_t *v = json_object_get(action, key);
    if (str_eq(key, "think"))
        return read_text(r, v, key, SCRIPT_THINK, a);
    if (str_eq(key, "tool"))
        return read_tool(r, v, a);
    if (str_eq(key, "fail"))
        return read_fail(r, v, a);
    if (str_eq(key, "stop"))
        return read_stop(r, v, a);
    if (str_eq(key, "delay_ms")) {
        int64_t ms = 0;
        int code = integer(r, action, "delay_ms", 0, DELAY_MS_MAX, 0, &ms);
        a->act = SCRIPT_DELAY;
        a->delay_ms = (int)ms;
        return code;
    }
    return wrong(r, "unknown action \"%.40s\"; known are think, say, tool, delay_ms, fail and stop",
                 key);
}

static int read_rule(struct reader *r, size_t i, const json_t *o, struct script_rule *rule)
{
    static const char *const keys[] = {"when", "do", NULL};
    snprintf(r->path, sizeof(r->path), "rules[%zu]", i);
    if (!json_is_object(o))
        return wrong(r, "a rule is a mapping with when and do");
    enter(r, o);
    int code = only_keys(r, o, keys);
    if (code < 0)
        return code;
    snprintf(r->path, sizeof(r->path), "rules[%zu].when", i);
    code = read_when(r, json_object_get(o, "when"), rule);
    if (code < 0)
        return code;
    enter(r, o);
    snprintf(r->path, sizeof(r->path), "rules[%zu].do", i);
    const json_t *actions = json_object_get(o, "do");
    size_t n = json_array_size(actions);
    if (n == 0 || n > ACTIONS_MAX)
        return wrong(r, "do must be a list of 1 to %d actions", ACTIONS_MAX);
    rule->actions = mem_array(n, sizeof(rule->actions[0]));
    for (size_t k = 0; k < n; k++) {
        snprintf(r->path, sizeof(r->path), "rules[%zu].do[%zu]", i, k);
        rule->n_actions = k + 1;
        code = read_action(r, json_array_get(actions, k), &rule->actions[k]);
        if (code < 0)
            return code;
    }
    return 0;
}

static int read_rules(struct reader *r, const json_t *root, struct script_rules *ret)
{
    static const char *const keys[] = {"rules", NULL};
    str_copy(r->path, sizeof(r->path), "(file)");
    r->line = 1;
    if (!json_is_object(root))
        return wrong(r, "the file must be a mapping with the key rules");
    int code = only_keys(r, root, keys);
    if (code < 0)
        return code;
    const json_t *rules = json_object_get(root, "rules");
    size_t n = json_array_size(rules);
    if (!json_is_array(rules) || n > RULES_MAX)
        return wrong(r, "rules must be a list of at most %d rules", RULES_MAX);
    ret->rules = mem_array(n ? n : 1, sizeof(ret->rules[0]));
    for (size_t i = 0; i < n; i++) {
        ret->n = i + 1;
        code = read_rule(r, i, json_array_get(rules, i), &ret->rules[i]);
        if (code < 0)
            return code;
    }
    return 0;
}

int script_rules_parse(const char *text, size_t n, const char *name, struct script_rules *ret,
                       struct err *e)
{
    struct reader r = {.name = name, .e = e};
    struct script_rules rules = {0};
    AUTO_JSON json_t *root = NULL;
    map_init(&r.lines);
    int code = yaml_parse_json_lines(text, n, &root, &r.lines, e);
    if (code < 0)
        code = err_wrap(e, code, "%s", name);
    else
        code = read_rules(&r, root, &rules);
    map_done(&r.lines);
    if (code < 0)
        script_rules_done(&rules);
    else
        *ret = rules;
    return code;
}

void script_rules_done(struct script_rules *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++) {
        struct script_rule *rule = &r->rules[i];
        regex_free(rule->user);
        regex_free(rule->tool_result);
        for (size_t k = 0; k < rule->n_actions; k++) {
            free(rule->actions[k].text);
            json_decref(rule->actions[k].input);
        }
        free(rule->actions);
    }
    free(r->rules);
    *r = (struct script_rules){0};
}

/* ---- the conversation ---- */

static void add_line(struct buf *b, const char *text)
{
    if (!text)
        return;
    if (b->len)
        buf_addc(b, '\n');
    buf_adds(b, text);
}

/* Texts of a user message: its own, and those of the tool results in it. */
static void texts_of(const json_t *message, struct buf *own, struct buf *results, bool *has_own,
                     bool *has_results)
{
    size_t i, k;
    json_t *block, *inner;
    json_array_foreach (json_object_get(message, "content"), i, block) {
        const char *type = json_get_str(block, "type");
        if (str_eq(type, "text")) {
            *has_own = true;
            add_line(own, json_get_str(block, "text"));
        } else if (str_eq(type, "tool_result")) {
            *has_results = true;
            json_array_foreach (json_object_get(block, "content"), k, inner)
                add_line(results, json_get_str(inner, "text"));
        }
    }
}

void script_scene_read(const json_t *messages, struct script_scene *ret)
{
    *ret = (struct script_scene){.turn = 1, .attempt = 1};
    size_t n = json_array_size(messages);
    bool found = false, has_results = false;
    struct buf user = BUF_INIT(LIMIT_MODEL_STREAM_BYTES);
    struct buf results = BUF_INIT(LIMIT_MODEL_STREAM_BYTES);
    for (size_t i = n; i > 0 && !found; i--) {
        const json_t *m = json_array_get(messages, i - 1);
        if (!str_eq(json_get_str(m, "role"), "user")) {
            ret->turn++;
            continue;
        }
        struct buf ignored = BUF_INIT(LIMIT_MODEL_STREAM_BYTES);
        bool some = false;
        texts_of(m, &user, i == n ? &results : &ignored, &found, i == n ? &has_results : &some);
        buf_done(&ignored);
    }
    const json_t *last = json_object_get(json_array_get(messages, n ? n - 1 : 0), "content");
    const json_t *block =
        json_array_get(last, json_array_size(last) ? json_array_size(last) - 1 : 0);
    ret->last =
        str_eq(json_get_str(block, "type"), "tool_result") ? SCRIPT_LAST_RESULT : SCRIPT_LAST_USER;
    ret->user = buf_take(&user, NULL);
    ret->tool_result = has_results ? buf_take(&results, NULL) : NULL;
    buf_done(&results);
}

void script_scene_done(struct script_scene *s)
{
    free(s->user);
    free(s->tool_result);
    *s = (struct script_scene){0};
}

/* ---- matching ---- */

static bool matches(const struct regex *re, const char *text, struct regex_match *m)
{
    if (!re)
        return true;
    return text && regex_find(re, text, strlen(text), 0, m) == 1;
}

static void keep_groups(const char *text, const struct regex_match *m, struct script_groups *g)
{
    if (!text || m->n < 2)
        return;
    script_groups_done(g);
    for (size_t i = 1; i < REGEX_GROUPS; i++)
        if (m->from[i] >= 0)
            g->text[i] = mem_strndup(text + m->from[i], (size_t)(m->to[i] - m->from[i]));
}

static bool fits(const struct script_rule *rule, const struct script_scene *s,
                 struct script_groups *g)
{
    struct regex_match user = {0}, result = {0};
    if (rule->turn && rule->turn != s->turn)
        return false;
    if (rule->attempt && rule->attempt != s->attempt)
        return false;
    if (rule->last != SCRIPT_LAST_ANY && rule->last != s->last)
        return false;
    if (!matches(rule->user, s->user, &user) ||
        !matches(rule->tool_result, s->tool_result, &result))
        return false;
    keep_groups(rule->user ? s->user : NULL, &user, g);
    keep_groups(rule->tool_result ? s->tool_result : NULL, &result, g);
    return true;
}

const struct script_rule *script_rules_find(const struct script_rules *r,
                                            const struct script_scene *s,
                                            struct script_groups *ret_groups)
{
    *ret_groups = (struct script_groups){0};
    for (size_t i = 0; i < r->n; i++)
        if (fits(&r->rules[i], s, ret_groups))
            return &r->rules[i];
    return NULL;
}

void script_groups_done(struct script_groups *g)
{
    for (size_t i = 0; i < REGEX_GROUPS; i++) {
        free(g->text[i]);
        g->text[i] = NULL;
    }
}

char *script_expand(const struct script_groups *g, const char *text)
{
    struct buf out = BUF_INIT(LIMIT_MODEL_STREAM_BYTES);
    for (const char *p = text; *p;) {
        size_t at = p[0] == '$' && p[1] == '$' ? 2 : 1; /* where the digit would be */
        bool digit = p[0] == '$' && p[at] >= '1' && p[at] <= '9';
        const char *group = digit ? g->text[p[at] - '0'] : NULL;
        if (!group) {
            buf_addc(&out, *p++);
        } else if (at == 2) {
            buf_add(&out, p + 1, 2); /* $$1: a literal $1 */
            p += 3;
        } else {
            buf_adds(&out, group);
            p += 2;
        }
    }
    return buf_take(&out, NULL);
}

json_t *script_expand_json(const struct script_groups *g, const json_t *v)
{
    if (json_is_string(v)) {
        AUTO_FREE char *text = script_expand(g, json_string_value(v));
        return json_string(text);
    }
    if (json_is_array(v)) {
        json_t *out = json_array(), *item;
        size_t i;
        json_array_foreach ((json_t *)(uintptr_t)v, i, item)
            json_array_append_new(out, script_expand_json(g, item));
        return out;
    }
    if (json_is_object(v)) {
        json_t *out = json_object(), *item;
        const char *key;
        json_object_foreach ((json_t *)(uintptr_t)v, key, item)
            json_object_set_new(out, key, script_expand_json(g, item));
        return out;
    }
    return json_deep_copy(v);
}
