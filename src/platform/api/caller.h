/* caller - who makes a call, as far as its credential tells (auth.h finds out). */
#pragma once

#include "base/base.h"

enum caller_kind {
    CALLER_NONE,
    CALLER_API_KEY,
    CALLER_ENV_KEY,
    CALLER_SESSION_TOKEN,
    CALLER_TUNNEL, /* a gateway, with its tunnel's token */
};
struct caller {
    enum caller_kind kind;
    char key_id[64]; /* apikey_…, or id of the environment key, or of the tunnel's token */
    char environment_id[64]; /* ENV_KEY, SESSION_TOKEN */
    char session_id[64];     /* SESSION_TOKEN */
    char work_id[64];        /* SESSION_TOKEN */
    char tunnel_id[64];      /* TUNNEL */
    char token_hash[65];     /* SHA-256 of what was presented, hex */
    /* SESSION_TOKEN of an item that was taken back: good for hearing that, and for nothing else. */
    bool over;
};
