/* image_plan_text.c - fuzzes image/plan_text: what a taken-over unpacker says about an image.
 *
 * Theory of operation: one input is one answer. A refusal has words; what is taken holds what the
 * record is made from (a known form, digests of 64 digits, variables with names, an absolute plain
 * path), and written again it is taken again. */
#include "fuzz.h"
#include "base/err.h"
#include "image/plan_text.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct image_plan p, again;
    struct err e = {0};
    if (plan_text_read((const char *)data, n, &p, &e) < 0) {
        MUST(e.code == -E_PROTO && e.msg[0]);
        return 0;
    }
    MUST(p.format != IMAGE_FORMAT_AUTO && image_is_sha256(p.id) && image_env_ok(p.env));
    MUST(p.n_layers <= IMAGE_LAYERS_MAX && (!p.workdir || p.workdir[0] == '/'));
    for (size_t i = 0; i < p.n_layers; i++)
        MUST(image_is_sha256(p.layers[i].diff_sha256));
    size_t len;
    AUTO_FREE char *text = plan_text_write(&p, &len);
    MUST(plan_text_read(text, len, &again, &e) == 0);
    MUST(again.n_layers == p.n_layers && strcmp(again.id, p.id) == 0);
    image_plan_done(&again);
    image_plan_done(&p);
    return 0;
}
