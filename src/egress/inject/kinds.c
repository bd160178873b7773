/* kinds.c - which file does what for which kind.
 *
 * Looked up for each place of a credential that a request meets. A kind without a row is done elsewhere
 * (a protocol that is not HTTP) or not built; the latter is refused when the policy is loaded, so
 * nothing that a sandbox sends comes here with one. Immutable. */
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
