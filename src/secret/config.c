/* config.c - what the configuration of a source may say.
 *
 * Theory of operation: called when a policy is loaded, for each source and for sources inside of
 * sources. The text is the operator's, and read strictly all the same: a member that is not known, a
 * second kind, a duration that is none are refused by name, because a setting that silently does
 * nothing is how a key outlives its withdrawal. Complaints quote members, never values: somebody
 * may have written the secret itself into the file. Never suspends. */
#include "secret/kind.h"
#include "secret/pick.h"
#include "base/str.h"

#include <string.h>

#define NAMES_MAX 400 /* bytes of a list of names in a complaint */

static const struct secret_kind *const kinds[] = {
    &secret_kind_env,       &secret_kind_file,   &secret_kind_exec,  &secret_kind_systemd,
    &secret_kind_hashicorp, &secret_kind_oauth2, &secret_kind_vault,
};
static const char *const common[] = {"ttl", "failure_ttl", "stale_ttl", "json_key", NULL};

static bool listed(const char *const *list, const char *name)
{
    for (; list && *list; list++)
        if (str_eq(*list, name))
            return true;
    return false;
}

static void add_names(char *names, const char *const *list)
{
    for (; list && *list; list++) {
        size_t n = strlen(names), more = strlen(*list);
        if (n + more + 3 > NAMES_MAX)
            return;
        if (n > 0) {
            memcpy(names + n, ", ", 2);
            n += 2;
        }
        memcpy(names + n, *list, more + 1);
    }
}

int secret_config_only(const json_t *o, const char *what, const char *const *known,
                       const char *const *more, struct err *e)
{
    const char *name;
    json_t *v;
    /* jansson's iteration only reads; its prototype predates const. */
    json_object_foreach ((json_t *)(uintptr_t)o, name, v) {
        if (listed(known, name) || listed(more, name))
            continue;
        char names[NAMES_MAX] = "";
        add_names(names, known);
        add_names(names, more);
        return err_set(e, -EINVAL, "%.64s: %s has no such member; it may have %s", name, what,
                       names);
    }
    return 0;
}

int secret_config_text(const json_t *o, const char *name, size_t max, const char **ret,
                       struct err *e)
{
    const json_t *j = json_object_get(o, name);
    const char *s = json_string_value(j);
    size_t n = json_string_length(j);
    bool fine = s && n >= 1 && n <= max;
    for (size_t i = 0; fine && i < n; i++)
        fine = (unsigned char)s[i] >= ' ' && s[i] != 0x7f;
    if (!fine)
        return err_set(e, -EINVAL,
                       "%s: must be a text of 1 to %zu bytes without control characters", name,
                       max);
    *ret = s;
    return 0;
}

int secret_config_duration(const json_t *o, const char *name, int64_t min_ms, int64_t max_ms,
                           int64_t *ret, struct err *e)
{
    const json_t *j = json_object_get(o, name);
    int64_t v = -1;
    if (!j)
        return 0;
    if (json_is_integer(j) && json_integer_value(j) <= max_ms / 1000)
        v = json_integer_value(j) * 1000;
    else if (!json_is_string(j) || time_parse_duration_ms(json_string_value(j), &v) < 0)
        return err_set(e, -EINVAL, "%s: is not a duration; write 1500ms, 30s, 5m or 2h", name);
    if (v < min_ms || v > max_ms)
        return err_set(e, -EINVAL, "%s: must be between %lld ms and %lld s", name,
                       (long long)min_ms, (long long)(max_ms / 1000));
    *ret = v;
    return 0;
}

static int find_kind(const json_t *config, const struct secret_kind **ret, struct err *e)
{
    const struct secret_kind *found = NULL;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!json_object_get(config, kinds[i]->name))
            continue;
        if (found)
            return err_set(e, -EINVAL, "%s: a source has one kind, and this one has %s, too",
                           kinds[i]->name, found->name);
        found = kinds[i];
    }
    if (!found)
        return err_set(e, -EINVAL,
                       "a source needs one of env, file, exec, systemd, hashicorp, "
                       "oauth2");
    *ret = found;
    return 0;
}

static int read_key(struct secret_source *s, const json_t *config, struct err *e)
{
    const char *text;
    if (!json_object_get(config, "json_key"))
        return 0;
    int r = secret_config_text(config, "json_key", 1024, &text, e);
    if (r == 0 && (r = pick_path_parse(text, &s->key, e)) < 0)
        return err_wrap(e, r, "json_key");
    return r;
}

static int read_durations(struct secret_source *s, const json_t *config, struct err *e)
{
    const int64_t day = 86400000;
    s->ttl_ms = s->kind->ttl_ms;
    s->timeout_ms = s->kind->timeout_ms;
    s->failure_ttl_ms = 10000;
    s->stale_ttl_ms = 300000;
    int r = secret_config_duration(config, "ttl", 0, 365 * day, &s->ttl_ms, e);
    if (r == 0)
        r = secret_config_duration(config, "failure_ttl", 0, day, &s->failure_ttl_ms, e);
    if (r == 0)
        r = secret_config_duration(config, "stale_ttl", 0, 30 * day, &s->stale_ttl_ms, e);
    if (r == 0 && listed(s->kind->options, "timeout"))
        r = secret_config_duration(config, "timeout", 100, 300000, &s->timeout_ms, e);
    return r;
}

int secret_config_open(struct secret_source *s, const json_t *config, struct err *e)
{
    if (!json_is_object(config))
        return err_set(e, -EINVAL, "a source is an object, as in { file: /run/secrets/token }");
    int r = find_kind(config, &s->kind, e);
    if (r < 0)
        return r;
    const char *const more[] = {s->kind->name, common[0], common[1], common[2], common[3], NULL};
    char what[64] = "a source of the kind ";
    memcpy(what + strlen(what), s->kind->name, strlen(s->kind->name) + 1);
    r = secret_config_only(config, what, more, s->kind->options, e);
    if (r == 0)
        r = read_durations(s, config, e);
    if (r == 0)
        r = read_key(s, config, e);
    return r == 0 ? s->kind->open(s, config, e) : r;
}

void secret_config_variables(const json_t *config, void (*fn)(const char *name))
{
    const char *name = json_get_str(config, "env"), *member;
    json_t *v, *inside;
    if (name)
        fn(name);
    /* jansson's iteration only reads; its prototype predates const. */
    json_object_foreach ((json_t *)(uintptr_t)config, member, v) {
        if (!str_eq(member, "environment")) {
            secret_config_variables(v, fn);
            continue;
        }
        json_object_foreach (v, name, inside) /* any names: a text is no source there */
            secret_config_variables(inside, fn);
    }
}
