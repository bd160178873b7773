/* kinds.c - which file does what for which kind.
 *
 * A kind without a row is done elsewhere (a protocol that is not HTTP) or not built, and then refused
 * when the policy is loaded. */
#include "egress/inject/kind.h"

static const struct inject_kind_ops *const kinds[INJECT_KINDS] = {
    [INJECT_HEADER] = &kind_header, [INJECT_BASIC] = &kind_basic,
    [INJECT_QUERY] = &kind_query,   [INJECT_PATH] = &kind_path,
    [INJECT_BODY] = &kind_body,     [INJECT_WEBSOCKET] = &kind_websocket,
    [INJECT_ADD] = &kind_add,
};

const struct inject_kind_ops *inject_kind_ops(enum inject_kind k)
{
    return kinds[k];
}
