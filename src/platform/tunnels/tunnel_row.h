/* tunnel_row - whether there is a tunnel, for calls on what belongs to it. */
#pragma once

#include "session/refusal.h"
#include "store/db.h"

/* Refuses: there is no such tunnel. -E_DENIED. */
int tunnel_not_found(struct refusal *r, const char *tunnel_id);
/* 0 when there is this tunnel; -E_DENIED with the refusal filled; negative. */
int tunnel_find_tx(struct tx *tx, const char *tunnel_id, struct refusal *r) WARN_UNUSED;
/* The same, refusing an archived one, too: `what` cannot be done with it ("get a certificate"). */
int tunnel_find_live_tx(struct tx *tx, const char *tunnel_id, const char *what, struct refusal *r)
    WARN_UNUSED;
