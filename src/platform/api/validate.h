/* validate - walking one request object, field by field. */
#pragma once

#include "base/json.h"
#include "session/refusal.h"

/* Validation of request objects: struct v walks one, refuses unknown fields by path, and gathers
 * the first error.
 *
 *     struct refusal r = {0};
 *     struct v v = v_object(&r, c->body, "");  // "" or the path in front of names: "tools[0]."
 *     const char *name = v_str(&v, "name", V_REQUIRED, 1, 256);
 *     const json_t *metadata = v_metadata(&v, "metadata");
 *     v_unsupported(&v, "vault_ids", "vaults are not built yet in this server");
 *     v_end(&v);                               // complains about fields nobody asked for
 *     if (v_failed(&v)) {
 *         api_refuse(c, &r);                   // sends the 400
 *         return;
 *     }
 */
enum { V_OPTIONAL = 0, V_REQUIRED = 1, V_NULLABLE = 2 };
struct v {
    struct refusal *r; /* where the first error goes */
    const json_t *o;   /* NULL: absent, reads as an empty object */
    char path[128];
    const char *seen[48]; /* keys asked for, so that v_end finds the others */
    size_t n_seen;
};
struct v v_object(struct refusal *r, const json_t *o, const char *path);
/* A nested object; v.o NULL when absent. */
struct v v_sub(struct v *parent, const char *key, int flags);
/* NULL when absent, null or wrong. */
const char *v_str(struct v *v, const char *key, int flags, size_t min_chars, size_t max_chars);
const json_t *v_array(struct v *v, const char *key, int flags, size_t max_items);
const json_t *v_any(struct v *v, const char *key, int flags);
int64_t v_int(struct v *v, const char *key, int flags, int64_t min, int64_t max, int64_t fallback);
bool v_bool(struct v *v, const char *key, int flags, bool fallback);
bool v_is_null(const struct v *v, const char *key); /* present and null */
bool v_has(const struct v *v, const char *key);     /* present, null or not */
const char *v_enum(struct v *v, const char *key, int flags, const char *const *allowed);
/* At most 16 pairs; keys up to 64 characters, values up to 512 or null. */
const json_t *v_metadata(struct v *v, const char *key);
/* Refused when present and not null or empty. */
void v_unsupported(struct v *v, const char *key, const char *why);
/* Refuses a null at a key whose reader takes it for absent. */
void v_not_null(struct v *v, const char *key);
void v_fail(struct v *v, const char *key, const char *fmt, ...) PRINTF(3, 4);
void v_end(struct v *v);
static inline bool v_failed(const struct v *v)
{
    return v->r->status != 0;
}
/* A string cut to what fits an error message: at most 80 characters of `s`, in one of 4 rotating
 * buffers. */
const char *v_clip(const char *s);
