/* answer.c - writing and checking what the unpacking process says about an image.
 *
 * image_answer_write runs in the child at the end of its work, image_answer_read in the parent
 * (child.c). By then the child has read all of an untrusted archive, so what it sends is
 * untrusted as well: the parent takes a text of bounded size through the JSON parser with its
 * ceilings, and each field only when it is what layout.c would have let through. What passes can be
 * as wrong as an image's config can be, and no worse. */
#include "image/answer.h"
#include "base/err.h"
#include "base/str.h"
#include "sandbox/spec.h"

#include <string.h>

/* ---- the child's side ---- */

char *image_answer_write(const struct image_plan *p, size_t *ret_len)
{
    AUTO_JSON json_t *o = json_object();
    json_t *layers = json_array();
    MUST(o && layers);
    for (size_t i = 0; i < p->n_layers; i++)
        MUST(json_array_append_new(layers, json_string(p->layers[i].diff_sha256)) == 0);
    json_put_str(o, "format", image_format_name(p->format));
    json_put_str(o, "reference", p->reference);
    json_put_str(o, "id", p->id);
    json_put_str(o, "architecture", p->architecture);
    json_put(o, "env", json_incref(p->env));
    json_put(o, "entrypoint", p->entrypoint ? json_incref(p->entrypoint) : json_null());
    json_put(o, "cmd", p->cmd ? json_incref(p->cmd) : json_null());
    json_put_str(o, "workdir", p->workdir);
    json_put_str(o, "user", p->user);
    json_put(o, "layers", layers);
    return json_text(o, ret_len);
}

/* ---- the parent's side ---- */

static bool take_format(const json_t *o, enum image_format *ret)
{
    const char *s = json_get_str(o, "format");
    for (int f = IMAGE_FORMAT_OCI; f <= IMAGE_FORMAT_ROOTFS; f++)
        if (s && str_eq(s, image_format_name((enum image_format)f))) {
            *ret = (enum image_format)f;
            return true;
        }
    return false;
}

/* A text, or null. */
static bool take_word(const json_t *o, const char *key, char **ret)
{
    const json_t *v = json_object_get(o, key);
    const char *s = json_string_value(v);
    if (!s)
        return json_is_null(v);
    *ret = mem_strdup(s);
    return true;
}

static bool take_digest(const json_t *v, char ret[DIGEST_SHA256_HEX])
{
    const char *s = json_string_value(v);
    if (!s || !image_is_sha256(s))
        return false;
    memcpy(ret, s, DIGEST_SHA256_HEX);
    return true;
}

static bool take_texts(const json_t *o, const char *key, bool optional, json_t **ret)
{
    json_t *v = json_object_get(o, key);
    if (optional && json_is_null(v))
        return true;
    if (!image_texts_ok(v))
        return false;
    *ret = json_incref(v);
    return true;
}

static bool take_layers(const json_t *o, struct image_plan *p)
{
    const json_t *a = json_object_get(o, "layers");
    size_t n = json_array_size(a);
    if (!json_is_array(a) || n > IMAGE_LAYERS_MAX)
        return false;
    p->layers = mem_array(n, sizeof(*p->layers));
    p->n_layers = n;
    for (size_t i = 0; i < n; i++)
        if (!take_digest(json_array_get(a, i), p->layers[i].diff_sha256))
            return false;
    return true;
}

static bool take(const json_t *o, struct image_plan *p)
{
    return take_format(o, &p->format) && take_digest(json_object_get(o, "id"), p->id) &&
           take_word(o, "reference", &p->reference) &&
           take_word(o, "architecture", &p->architecture) && take_word(o, "workdir", &p->workdir) &&
           take_word(o, "user", &p->user) && (!p->workdir || sandbox_path_ok(p->workdir)) &&
           take_texts(o, "env", false, &p->env) && image_env_ok(p->env) &&
           take_texts(o, "entrypoint", true, &p->entrypoint) &&
           take_texts(o, "cmd", true, &p->cmd) && take_layers(o, p);
}

int image_answer_read(const char *text, size_t n, struct image_plan *ret, struct err *e)
{
    int verdict = -E_PROTO;
    AUTO_JSON json_t *o = NULL;
    struct image_plan p = {.format = IMAGE_FORMAT_AUTO};
    if (json_parse(text, n, &o, NULL) == 0 && json_is_object(o) && take(o, &p))
        verdict = 0;
    if (verdict < 0) {
        image_plan_done(&p);
        return err_set(e, verdict,
                       "the process that unpacks it sent an invalid description of the image");
    }
    *ret = p;
    return 0;
}
