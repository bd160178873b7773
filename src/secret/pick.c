/* pick.c - finds a value in what was read, and refuses what cannot be one.
 *
 * Theory of operation: called by source.c on the fiber of a read, and by the fuzzer. The text comes
 * from a file, a command or a server: it may be anything. JSON goes through json_parse, whose
 * complaints never quote; jansson's memory is wiped when freed, once secret_wipe_when_freed was
 * called. A value that could break a header open is refused here and again where it is rendered. No
 * complaint holds anything of the text. Never suspends. */
#include "secret/pick.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "secret/kind.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void pick_path_free(char **path)
{
    for (char **p = path; p && *p; p++)
        free(*p);
    free(path);
}

int pick_path_parse(const char *text, char ***ret, struct err *e)
{
    char **path = mem_array(SECRET_PATH_MAX + 1, sizeof(*path));
    size_t n = 0;
    const char *p = text, *why = NULL;
    for (bool more = true; more && !why;) {
        char *name = mem_zalloc(strlen(p) + 1);
        size_t len = 0;
        for (; *p && *p != '.'; p++) {
            if (*p == '\\' && p[1] != '.' && p[1] != '\\') {
                why = "a backslash stands before a dot or another backslash only";
                break;
            }
            p += *p == '\\';
            name[len++] = *p;
        }
        more = !why && *p++ == '.';
        if (!why && len == 0)
            why = "a name is empty";
        else if (!why && n == SECRET_PATH_MAX)
            why = "it has more than 16 names";
        if (why)
            free(name);
        else
            path[n++] = name;
    }
    if (why) {
        pick_path_free(path);
        return err_set(e, -EINVAL, "%s; write names between dots, as in data.token", why);
    }
    *ret = path;
    return 0;
}

/* The member or element `name` of `j`, or NULL. */
static const json_t *member(const json_t *j, const char *name)
{
    uint64_t i;
    if (json_is_object(j))
        return json_object_get(j, name);
    if (json_is_array(j) && str_to_u64(name, strlen(name), UINT32_MAX, &i) == 0)
        return json_array_get(j, (size_t)i);
    return NULL;
}

static int check(const char *p, size_t n, bool lines, struct secret *ret, struct err *e)
{
    if (n > 0 && p[n - 1] == '\n')
        n--;
    if (n == 0)
        return err_set(e, -E_PARSE, "it is empty");
    if (n > SECRET_VALUE_MAX)
        return err_set(e, -E_PARSE, "it is longer than %u bytes", SECRET_VALUE_MAX);
    if (memchr(p, '\0', n))
        return err_set(e, -E_PARSE, "it has a NUL byte in it");
    if (!lines && memchr(p, '\r', n))
        return err_set(
            e, -E_PARSE,
            "it has a carriage return in it; write it with Unix line ends, and one line");
    if (!lines && memchr(p, '\n', n))
        return err_set(e, -E_PARSE,
                       "it has more than one line; store the value alone, or name it by json_key");
    int r = secret_set(ret, p, n);
    return r < 0 ? err_set(e, r, "no memory that can be kept out of dumps") : 0;
}

static int check_json(const json_t *j, bool lines, struct secret *ret, struct err *e)
{
    char number[32];
    if (json_is_string(j))
        return check(json_string_value(j), json_string_length(j), lines, ret, e);
    if (!json_is_integer(j))
        return err_set(e, -E_PARSE,
                       "what json_key names is not a text or a whole number; name a member of it");
    int n = snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(j));
    int r = check(number, (size_t)n, lines, ret, e);
    secret_wipe(number, sizeof(number));
    return r;
}

int pick_value(const char *raw, size_t n, char *const *path, bool lines, struct secret *ret,
               struct err *e)
{
    if (!path)
        return check(raw, n, lines, ret, e);
    AUTO_JSON json_t *j = NULL;
    int r = json_parse(raw, n, &j, e);
    if (r < 0)
        return err_wrap(e, r, "it is not JSON, which json_key asks for");
    const json_t *at = j;
    for (char *const *name = path; *name; name++) {
        at = member(at, *name);
        if (!at)
            return err_set(e, -ENOENT, "its JSON has no member \"%s\", which json_key names",
                           *name);
    }
    return check_json(at, lines, ret, e);
}
