/* token - what a token endpoint answers (RFC 6749 5). Pure. */
#pragma once

#include "base/json.h"
#include "base/secret.h"

struct err;

#define AUTH_TOKEN_MAX 16384 /* bytes of one token */

struct auth_token {
    struct secret access, refresh; /* unset: none */
    int64_t expires_us;            /* of the real clock; 0: not said */
    int64_t renew_us;              /* from then on it is better replaced: half a minute before, or a
                                      quarter of a short life; 0 as above */
    char *scope;                   /* granted; NULL: not said */
    bool dpop;                     /* token_type */
};
void auth_token_done(struct auth_token *t);

/* The answer of a success at `now_us`. A time that is no number of seconds (some servers send a text) is
 * read from its digits. 0; -E_PROTO with words that hold nothing of it; -ENOMEM. */
int auth_token_read(const json_t *j, int64_t now_us, struct auth_token *ret, struct err *e)
    WARN_UNUSED;
/* What an answer that is no success says: "invalid_grant" and the like, "" where it says none, in
 * `ret`. What is no such word (lower case letters, digits and _) is left out. */
#define AUTH_ERROR_MAX 64
char *auth_error_word(const json_t *j, char ret[AUTH_ERROR_MAX]);
/* Whether it should be replaced before it is used. */
bool auth_token_is_old(const struct auth_token *t, int64_t now_us);
/* Whether it can stand in a header: printable ASCII without blanks, not empty, not too long. */
bool auth_token_is_valid(const char *s);
