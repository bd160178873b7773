/* secret - where real secrets come from, and the placeholders that stand in for them.
 *
 * What lives in this folder: sources, read when needed and kept in locked memory (source; what a
 * configuration may say: config; one file a kind: env, file, exec, hashicorp, oauth2), what is picked out
 * of what was read (pick), what may be said about a failure (hush), and placeholders (placeholder,
 * format). What does not: where a secret goes, and who may use it (egress).
 *
 * A source is made from its configuration, { file: /run/secrets/github, ttl: 5m }. docs/secrets.md
 * is its reference. Two sources with the same configuration are one: it is read once for both.
 *
 * How long a value is used:
 *  - A value is fresh for `ttl` after the read that brought it began, no longer than the lease that
 *    came with it, until secret_sources_expire, and, from files, until the file changes. A fresh
 *    value is handed out without reading.
 *  - Otherwise the source is read. One read serves all who ask meanwhile.
 *  - A read that fails is remembered for `failure_ttl`: meanwhile nothing is read again, unless the
 *    file changes or the sources are expired.
 *  - While reads fail because the source cannot be reached, the value that was fresh last is used
 *    for at most `stale_ttl` after it ceased to be. When the source itself says no (the file is
 *    gone, the vault answers 403 or 404, what is read is no secret), it is let go at once.
 *
 * A token of an authorization server has two ends: from its renewal on it is read anew while it still serves, and
 * after its own end it is not used, whatever stale_ttl says.
 *
 * An old value that nobody asks for any more stays in locked memory until its source is let go.
 *
 * All of it belongs to one loop's thread, and to fibers on it. */
#pragma once

#include "base/json.h"
#include "base/secret.h"

struct err;
struct pool;
struct secret_sources; /* all sources of a process */
struct secret_source;
struct secret_value;

#define SECRET_VALUE_MAX (64u << 10) /* bytes; the largest that vendors hand out is below 20 KiB */

/* Once in a process that holds secrets, before it parses JSON or makes an HTTP client: from now on
 * jansson and libcurl wipe what they free. */
void secret_wipe_when_freed(void);

/* What is asked of who keeps the sources. */
struct secret_question {
    const json_t *config; /* the source's own */
    const char *subject;  /* a token of a caller; NULL: the source needs none */
    const char *refused;  /* secret_source_distrust; NULL: nothing */
};
struct secret_options {
    struct pool *pool;                 /* reads files; borrowed */
    const char *credentials_directory; /* systemd's $CREDENTIALS_DIRECTORY, NULL when there is none.
                                          Copied */
    bool only_check; /* configurations are checked, and no source is asked: variables stay in the
                        environment, and a systemd credential may be one of another process */
    /* Another process keeps the sources: each get asks it, and nothing is read or kept fresh here.
     * 0 with the value, or a code with words that name the place. Suspends.
     * NULL: they are kept here. Otherwise only_check holds for what a source is made from. */
    int (*ask)(void *arg, const struct secret_question *q, struct secret *ret, struct err *e);
    void *ask_arg;
    bool vault; /* values of the kind `vault` will be pushed; else such a source is refused */
};
/* In the fiber whose scope the reads shall belong to. Never NULL. */
struct secret_sources *secret_sources_new(const struct secret_options *o);
/* In the fiber that made them. Suspends: ends reads in flight. Every source must have been let go.
 * NULL is fine. */
void secret_sources_free(struct secret_sources *all);
/* For SIGHUP: every source is read again when it is asked for next, whatever its ttl, and
 * remembered failures are forgotten. */
void secret_sources_expire(struct secret_sources *all);

enum secret_flags {
    SECRET_LINES = 1,   /* CR and LF may be in it: a private key, never to be put into a header */
    SECRET_CALLERS = 2, /* it may depend on who calls: only got through secret_subjects */
};

/* Makes the source that `config` describes, or finds the one that was made from the same. Reads
 * nothing, but an environment variable is taken out of the environment here. -EINVAL with words
 * that name member and rule ("ttl: is not a duration; write 1500ms, 30s, 5m or 2h") and quote no
 * text of the configuration that could be a secret; -ENOMEM. Never suspends. */
int secret_source_new(struct secret_sources *all, const json_t *config, unsigned flags,
                      struct secret_source **ret, struct err *e) WARN_UNUSED;
/* Calls `fn` with each environment variable that `config` names, those of sources inside of it
 * included: who has started the process that reads them forgets them. Makes and checks nothing. */
void secret_config_variables(const json_t *config, void (*fn)(const char *name));
struct secret_source *secret_source_ref(struct secret_source *s);
/* The last one wipes the value, unless somebody has borrowed it. Suspends, when a vault's connection
 * ends with it. NULL is fine. */
void secret_source_unref(struct secret_source *s);
/* What it is for people: "file /run/secrets/github". Never holds a value. Lives as long as `s`. */
const char *secret_source_place(const struct secret_source *s);

/* The value, read if need be. Suspends. 0 with a reference, or a negative code with words that say
 * which source failed and what to do, and never hold anything of a value. -ECANCELED and -ETIMEDOUT
 * of the calling fiber end its wait, not the read. Words may come with any code of the source:
 * -ENOENT, -EACCES, -E_DENIED, -ETIMEDOUT, -E_PARSE, ... */
int secret_source_get(struct secret_source *s, struct secret_value **ret, struct err *e)
    WARN_UNUSED;

/* Who was shown the value whose SHA-256 `refused` is, as hex, has refused it. When that is the one that there is,
 * it may be got anew by asking, and is not younger than SECRET_DISTRUST_MS, the next get asks. Where another
 * process keeps the sources it is told with the next question. */
#define SECRET_DISTRUST_MS 10000
void secret_source_distrust(struct secret_source *s, const char *refused);

/* For status, doctor and audit; never suspends, reads nothing. */
struct secret_status {
    bool has_value;
    bool fresh; /* false with has_value: what is handed out is old, or was not asked for lately */
    uint64_t reads;      /* that have ended */
    const char *failure; /* words of the last read, "" when it succeeded; good until the next one */
};
void secret_source_status(const struct secret_source *s, struct secret_status *ret);

/* A source of the kind `vault`: its value comes from the caller. Checked as all others are: -E_PARSE
 * or -ENOENT with words. Copied; the old value is let go. */
int secret_source_push(struct secret_source *s, const void *p, size_t n, struct err *e) WARN_UNUSED;
/* Takes it back: the next get fails. */
void secret_source_withdraw(struct secret_source *s);

/* A value in use. Whoever holds a reference keeps it in memory: give it back as soon as the request
 * that needs it (its answer's scrubbing included) is over. The same pointer means the same value. */
struct secret_value *secret_value_ref(struct secret_value *v);
void secret_value_unref(struct secret_value *v); /* the last one wipes it; NULL is fine */
/* Borrowed from the reference. 1 to SECRET_VALUE_MAX bytes, no NUL; no CR or LF without
 * SECRET_LINES. */
const struct secret *secret_value_secret(const struct secret_value *v);
