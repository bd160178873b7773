/* oauth2 - what the files of the kind `oauth2` share; not for other rooms.
 *
 * RFC 6749 (client_credentials, refresh_token), 7521 and 7523 (assertions as a grant and of a client), 8693
 * (token exchange), 8707 (resource). */
#pragma once

#include "secret/kind.h"

#define OAUTH2_TEXT_MAX      1024
#define OAUTH2_RESOURCES_MAX 8
#define OAUTH2_CALLER        "caller" /* a subject that comes with each request */

enum oauth2_grant {
    OAUTH2_CLIENT_CREDENTIALS,
    OAUTH2_REFRESH_TOKEN,
    OAUTH2_JWT_BEARER,
    OAUTH2_TOKEN_EXCHANGE,
};

/* The state of a source. Texts are its own; those that were not given are NULL, as are sources. */
struct oauth2 {
    enum oauth2_grant grant;
    char *url, *ca_file;
    char *keep_in; /* file of `rotated`; NULL: it is in memory alone */
    char *client_id, *key_id;
    bool secret_in_form; /* not in Basic */
    char *audience_of_jwt;
    char *sub;
    char *scope, *audience;
    char *resources[OAUTH2_RESOURCES_MAX];
    size_t n_resources;
    char *subject_type, *actor_type, *requested_type; /* URIs */
    bool of_caller;
    struct secret_source *client_secret, *client_key, *refresh_token, *assertion, *subject, *actor;

    struct http_client *http; /* NULL: not made yet */
    int64_t asked_ns;         /* when it was asked last */
    /* A refresh token that came in place of the one that `rotated_from` was. */
    struct secret rotated;
    struct secret_value *rotated_from;
};

/* oauth2_config.c. kind.h's open, close and changed. */
int oauth2_open(struct secret_source *s, const json_t *config, struct err *e) WARN_UNUSED;
void oauth2_close(struct secret_source *s);
bool oauth2_changed(struct secret_source *s);

/* oauth2.c. kind.h's read. */
int oauth2_read(struct secret_source *s, struct secret_read *ret, struct err *e) WARN_UNUSED;

/* oauth2_kept.c. Both suspend. 0, or a code with words. */
/* What was kept of a refresh token that has grown from `from`, into `ret` (unset): nothing, if there is none; then one
 * could be kept. */
int oauth2_kept_read(const struct secret_source *s, const struct secret *from, struct secret *ret,
                     struct err *e) WARN_UNUSED;
int oauth2_kept_write(const struct secret_source *s, const struct secret *from,
                      const struct secret *token, struct err *e) WARN_UNUSED;

/* oauth2_answer.c, pure. */
struct oauth2_answer {
    int status;
    const char *body;
    size_t n;
    const char *retry_after; /* as it came; NULL: none */
};
/* Reads what the token endpoint has answered: the token into ret->raw and, if there is one, the refresh token
 * that takes the place of ours into `refresh` (unset), lease and life, or why there is none, with what a
 * person can do. -EACCES: a caller's token was not taken. Words hold nothing of the answer but a registered word
 * (RFC 6749 5.2). */
int oauth2_answer_read(const struct oauth2_answer *a, const struct oauth2 *x,
                       struct secret_read *ret, struct secret *refresh, struct err *e) WARN_UNUSED;
/* Milliseconds that a Retry-After says (RFC 9110 10.2.3), an hour at most; 0: it says nothing. */
int64_t oauth2_retry_ms(const char *text, int64_t now_us);
