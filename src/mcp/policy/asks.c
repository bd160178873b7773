/* asks.c - finds what a server asks of its client.
 *
 * Called with each message of an answer that may hold such a thing, on the request's fiber. The server controls every
 * byte, and wants a client to see a question where none was seen here: so methods are looked for wherever a client
 * looks (the message itself; the inputRequests of a result, and of what a notification tells of a task), under
 * names of any case, and in each of two members that some client would take for one. A question of a kind that is not known
 * here is none. The words that make a text worth parsing are parts that no escape can hide without a letter of ASCII
 * written as one, which no server does for another reason, and which is parsed then, too. */
#include "mcp/policy/asks.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "mcp/wire/body.h"

static const struct {
    const char *method, *word, *part; /* `part`: without the slash, which may be written as \/ */
    unsigned kind;
} rows[] = {
    {"sampling/createMessage", "sampling", "createMessage", ASK_SAMPLING},
    {"elicitation/create", "elicitation", "elicitation", ASK_ELICITATION},
    {"roots/list", "roots", "roots", ASK_ROOTS},
};

/* A letter written as \u0041 and the like. */
static bool has_escaped_letter(const char *text, size_t n)
{
    static const char before[] = "\\u00";
    const char *p = text, *end = text + n;
    while ((p = memmem(p, (size_t)(end - p), before, sizeof(before) - 1))) {
        p += sizeof(before) - 1;
        if (p < end && *p >= '4' && *p <= '7')
            return true;
    }
    return false;
}

bool asks_possible(const char *text, size_t n)
{
    if (n == 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (memmem(text, n, rows[i].part, strlen(rows[i].part)))
            return true;
    return has_escaped_letter(text, n);
}

static unsigned kind_of(const json_t *method)
{
    const char *s = json_string_value(method);
    for (size_t i = 0; s && i < ARRAY_LEN(rows); i++)
        if (str_eq(s, rows[i].method))
            return rows[i].kind;
    return 0;
}

static json_t *open_hand(const json_t *o)
{
    return (
        json_t *)(uintptr_t)o; /* jansson's iteration only reads; its prototype predates const */
}

/* What the members of `o` that are called `method` ask for. */
static unsigned method_of(const json_t *o)
{
    const char *key;
    json_t *v;
    unsigned kinds = 0;
    json_object_foreach (open_hand(o), key, v)
        if (mcp_name_folds(key, "method"))
            kinds |= kind_of(v);
    return kinds;
}

/* Of a result, or of the params of a notification. */
static unsigned inputs_of(const json_t *o)
{
    const char *key, *name;
    json_t *list, *one;
    unsigned kinds = 0;
    json_object_foreach (open_hand(o), key, list)
        if (mcp_name_folds(key, "inputRequests"))
            json_object_foreach (list, name, one)
                kinds |= method_of(one);
    return kinds;
}

unsigned asks_of(const json_t *message)
{
    const char *key;
    json_t *v;
    unsigned kinds = method_of(message);
    json_object_foreach (open_hand(message), key, v)
        if (mcp_name_folds(key, "result") || mcp_name_folds(key, "params"))
            kinds |= inputs_of(v);
    return kinds;
}

const char *asks_word(unsigned kinds)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (kinds & rows[i].kind)
            return rows[i].word;
    return "";
}
