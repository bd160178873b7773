/* hold.c - one at a time at what is kept, and what others did to it meanwhile.
 *
 * Called by auth.c and grant.c under the object's lock. Several commands of one person share a login, and an
 * issuer that sees a refresh token twice takes it for stolen and ends all of them (RFC 9700 4.14.2). So
 * whoever renews holds what is kept (the caller's `hold`), reads it anew, and renews only what is still the
 * same. The file may have been written by another version, or be gone: a login that another command has
 * ended is over here, too, and nothing brings it back. */
#include "base/err.h"
#include "base/str.h"
#include "mcp/auth/auth_internal.h"

int auth_hold(struct mcp_auth *a, bool soon, struct err *e)
{
    int r = a->held == 0 && a->o.hold ? a->o.hold(a->o.arg, soon, e) : 0;
    if (r == 0)
        a->held++;
    return r;
}

void auth_release(struct mcp_auth *a)
{
    if (--a->held == 0 && a->o.release)
        a->o.release(a->o.arg);
}

int auth_look(struct mcp_auth *a, struct err *e)
{
    AUTO_JSON json_t *state = NULL;
    int r = a->o.load ? a->o.load(a->o.arg, &state, e) : 0;
    if (r < 0)
        return r;
    if (!a->o.load)
        return AUTH_KEPT_SAME;
    if (!state)
        return AUTH_KEPT_GONE;
    return auth_unkeep_newer(a, state);
}
