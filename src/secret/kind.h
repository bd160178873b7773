/* kind - what source.c asks of one kind of source; not for other rooms.
 *
 * A kind has its own state behind s->state. read() runs on a fiber of its own, one at a time for
 * each source, under a deadline of s->timeout_ms; it may suspend. */
#pragma once

#include "base/err.h"
#include "base/time.h"
#include "crypto/digest.h"
#include "fiber/sync.h"
#include "secret/source.h"

#define SECRET_FOREVER  INT64_MAX
#define SECRET_RAW_MAX  (256u << 10) /* a document that a value is picked out of */
#define SECRET_NESTING  3            /* a source for a token for a source */
#define SECRET_PATH_MAX 16           /* members in a json_key */

struct secret_read {
    struct secret raw; /* what was read; as long as it is */
    int64_t lease_ms;  /* the value is good for so long; 0: it was not said */
    int64_t
        life_ms; /* of a kind that is read ahead: it can be used for so long; 0: it was not said */
    int64_t retry_ms; /* with an error: it is not to be asked sooner; 0: it was not said */
    bool refused;     /* with an error: the source has answered, and it is no */
};

struct secret_kind {
    const char *name;
    const char *const *options; /* further members beside name, ttl, ...; NULL-terminated */
    bool shared;                /* sources of the same configuration are one */
    bool pushed;                /* reading it again is not ours to begin: it does not expire */
    bool
        ahead; /* after its lease the value is used on for the rest of its life, while it is read anew */
    int64_t ttl_ms, timeout_ms; /* when nothing is said */
    /* Never suspends. `config` is the whole object; s->place is to be set. */
    int (*open)(struct secret_source *s, const json_t *config, struct err *e);
    /* Whether the value that the last read has brought may be another by now. Never suspends. May be
     * NULL. */
    bool (*changed)(struct secret_source *s);
    int (*read)(struct secret_source *s, struct secret_read *ret, struct err *e);
    void (*close)(struct secret_source *s); /* state may be NULL */
};
extern const struct secret_kind secret_kind_env, secret_kind_file, secret_kind_exec,
    secret_kind_systemd, secret_kind_hashicorp, secret_kind_oauth2, secret_kind_vault;

struct secret_source {
    size_t refs;
    struct secret_sources *all;
    struct list node;
    const struct secret_kind *kind;
    json_t *config;
    unsigned flags, depth;
    char *place;
    char **key; /* json_key taken apart, NULL-terminated; NULL: the text itself */
    int64_t ttl_ms, failure_ttl_ms, stale_ttl_ms, timeout_ms;
    void *state;
    struct secret_source *parent;    /* whose state that is; NULL: its own (secret_subjects) */
    struct secret subject;           /* of `parent`, what this one is for */
    char refused[DIGEST_SHA256_HEX]; /* "": nothing that is to be told */

    struct secret_value *value; /* NULL before the first, and when it was let go */
    int64_t began_ns;           /* the read that has brought it */
    int64_t fresh_until_ns;
    bool distrusted;       /* who was shown the value has refused it */
    int64_t good_until_ns; /* what `ahead` means; 0: it does not apply */
    uint64_t generation;   /* of `all`, when the last read began */
    struct err failure;    /* of the last read; code 0: it succeeded */
    int64_t failed_until_ns;
    bool stale_told;
    bool reading;
    uint64_t reads_begun, reads_done;
    struct waitq done;
};

struct secret_sources {
    struct secret_options options; /* credentials_directory is ours */
    struct list sources, servers;  /* servers: hashicorp.c */
    struct scope scope;
    uint64_t generation;
    struct list tables; /* of secret_subjects */
    size_t subjects;    /* in all of them */
};

/* secret_source_new for a source inside the configuration of another one. */
int secret_source_new_below(struct secret_sources *all, const json_t *config, unsigned flags,
                            unsigned depth, struct secret_source **ret, struct err *e) WARN_UNUSED;
/* A source of its own for one subject: what the other one says, with this. Never suspends. -ENOMEM. */
int secret_source_new_for(struct secret_source *parent, const char *subject, size_t n,
                          struct secret_source **ret) WARN_UNUSED;
/* config.c: reads the common members and s->kind->open. s->all, flags and depth are set. */
int secret_config_open(struct secret_source *s, const json_t *config, struct err *e) WARN_UNUSED;
/* The members of `o` that are in none of the lists, refused: "NAME is not known here; ...". */
int secret_config_only(const json_t *o, const char *what, const char *const *known,
                       const char *const *more, struct err *e) WARN_UNUSED;
/* A member that must be a text without control characters, 1 to max bytes. *ret is borrowed. */
int secret_config_text(const json_t *o, const char *name, size_t max, const char **ret,
                       struct err *e) WARN_UNUSED;
/* A member that is a duration: text as flags have it, or a number of seconds. Absent: *ret stays. */
int secret_config_duration(const json_t *o, const char *name, int64_t min_ms, int64_t max_ms,
                           int64_t *ret, struct err *e) WARN_UNUSED;
