/* arguments.c - arguments of a tool from words of a command line, and answers made of defaults.
 *
 * Pure; called by mcp.c. The words are the person's own; the schema comes from the server and is only
 * looked at: it decides whether `id=12` is a number or a text, and a schema that says nonsense leaves
 * the reading that JSON gives. An answer to elicitation/create holds what the server itself proposed,
 * and so tells it nothing. */
#include "cmd/mcp/arguments.h"
#include "base/err.h"
#include "base/str.h"

#include <string.h>

static bool wants_text(const json_t *schema, const char *key)
{
    const json_t *type =
        json_object_get(json_object_get(json_object_get(schema, "properties"), key), "type");
    return str_eq(json_string_value(type), "string");
}

int mcp_argument_put(json_t *arguments, const char *word, const json_t *schema, struct err *e)
{
    const char *eq = strchr(word, '=');
    if (!eq || eq == word)
        return err_set(e, -EINVAL, "an argument is key=value; for JSON there is --args");
    if (!str_is_utf8(word, strlen(word)))
        return err_set(e, -EINVAL, "an argument is no UTF-8");
    AUTO_FREE char *key = mem_strndup(word, (size_t)(eq - word));
    if (json_object_get(arguments, key))
        return err_set(e, -EINVAL, "an argument is given twice");
    json_t *value = NULL;
    if (wants_text(schema, key) || json_parse(eq + 1, strlen(eq + 1), &value, NULL) < 0)
        value = json_str_lossy(eq + 1, strlen(eq + 1));
    json_put(arguments, key, value);
    return 0;
}

json_t *mcp_elicit_defaults(const json_t *params)
{
    const json_t *schema = json_object_get(params, "requestedSchema");
    json_t *fields = json_object_get(schema, "properties");
    const json_t *required = json_object_get(schema, "required");
    json_t *content = json_new_object(), *answer = json_new_object();
    for (void *i = json_object_iter(fields); i; i = json_object_iter_next(fields, i)) {
        json_t *proposed = json_object_get(json_object_iter_value(i), "default");
        if (proposed)
            json_put(content, json_object_iter_key(i), json_deep_copy(proposed));
    }
    bool whole = true;
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        whole = whole && name && json_object_get(content, name);
    }
    json_put_str(answer, "action", whole ? "accept" : "decline");
    if (whole)
        json_put(answer, "content", json_incref(content));
    json_decref(content);
    return answer;
}
