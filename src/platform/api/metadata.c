/* metadata.c - merging metadata patches.
 *
 * Called by the create and update calls of every resource, on the loop thread or inside a
 * transaction function. Shapes and lengths of single pairs have been checked (v_metadata); what is
 * left to check is the number of pairs after the merge. */
#include "platform/api/metadata.h"

#include "session/refusal.h"

#define MAX_PAIRS 16

static json_t *code(void)
{
    json_t *details = json_object();
    json_put_str(details, "error_code", "invalid_metadata");
    return details;
}

int metadata_merge(json_t *into, const json_t *patch, bool empty_deletes, struct refusal *r)
{
    const char *key;
    json_t *value;
    /* iteration needs a non-const object in jansson; nothing of it is changed */
    json_object_foreach ((json_t *)(uintptr_t)patch, key, value) {
        bool remove = json_is_null(value) || (empty_deletes && json_string_length(value) == 0);
        if (remove)
            json_object_del(into, key);
        else
            json_put(into, key, json_incref(value));
    }
    size_t n = json_object_size(into);
    if (n <= MAX_PAIRS)
        return 0;
    r->details = code();
    return refuse(r, 400, "invalid_request_error",
                  "metadata: must have at most %d pairs, would have %zu after this update",
                  MAX_PAIRS, n);
}

const json_t *metadata_coded(struct v *v, const char *key)
{
    bool before = v_failed(v);
    const json_t *patch = v_metadata(v, key);
    if (!before && v_failed(v))
        v->r->details = code();
    return patch;
}
