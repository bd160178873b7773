/* kind - what each kind of place does with a request; for the files of this folder.
 *
 * A kind of inject_kinds.def that is about requests is one file, kind_NAME.c, with one of these
 * structs, and one row in kinds.c. */
#pragma once

#include "egress/inject/watch.h"
#include "scrub/http/content.h"
#include "scrub/http/value.h"

/* What a head is looked through as. */
enum part_kind {
    PART_METHOD,
    PART_AUTHORITY,
    PART_PATH,  /* up to the '?' */
    PART_QUERY, /* behind it */
    PART_NAME,  /* of a field */
    PART_VALUE,
};
struct part {
    enum part_kind kind;
    size_t field;          /* of NAME and VALUE: which; the rest have SIZE_MAX */
    struct http_text name; /* of VALUE: the field's */
    struct http_text text;
};

#define NO_USE SIZE_MAX

/* Where something is written: a piece of a part. */
struct inject_site {
    enum inject_kind kind;
    enum part_kind part;
    size_t field;          /* SIZE_MAX: a field that is added */
    struct http_text text; /* of the part when it was planned: apply takes no other */
    size_t at, n;          /* the piece */
    size_t use;            /* of the plan; of BASIC that of the password, or NO_USE */
    size_t user;           /* of BASIC: that of the user, or NO_USE */
    const struct policy_place *place;
};

struct planner {
    const struct inject_world *world;
    const struct policy_decision *decision;
    const struct inject_target *to;
    const struct http_head *head;
    struct inject_plan *plan;
    struct inject_refusal *no;
    uint64_t hits;  /* in the head, that have not been met part by part */
    bool no_places; /* trailers: nothing is replaced */
};

struct inject_kind_ops {
    /* Once for each place of a credential that fits the request, before anything was looked for; NULL:
     * nothing to do. 0 or -E_DENIED. */
    int (*begin)(struct planner *pl, const struct policy_credential *c,
                 const struct policy_place *place);
    /* The placeholder `w` of credential `c` was found, in some form, in `part`: adds a site for each
     * piece of it where this place allows it. NULL: no place in a head. */
    int (*claim)(struct planner *pl, const struct part *part, const struct policy_credential *c,
                 const struct policy_place *place, const struct watched *w);
    /* Appends what of the piece is not replaced and not seen by looking at the piece. NULL: nothing. */
    int (*rest)(const struct inject_site *s, struct buf *out);
    /* Appends what goes out instead of the piece. `value` and `user` (the secrets of site.use and
     * site.user, or NULL) have been checked, for a field when `part` is one. -EINVAL with *ret_wrong: words
     * that follow "the secret". `out` has the room already. */
    int (*render)(const struct inject_site *s, const struct secret *value,
                  const struct secret *user, struct buf *out, const char **ret_wrong);
};
/* Of a kind, or NULL. */
const struct inject_kind_ops *inject_kind_ops(enum inject_kind k);

extern const struct inject_kind_ops kind_header, kind_basic, kind_query, kind_path, kind_body,
    kind_websocket, kind_add;

/* ---- for kinds: plan.c ---- */

/* The plan's entry for a credential, made when it is not there; NO_USE when there is no room, which
 * cannot be. */
size_t planner_use(struct planner *pl, const struct policy_credential *c, enum inject_kind k);
/* Adds a site. A piece that another one has some of already is left to that: the first wins. -E_DENIED:
 * too many. */
int planner_site(struct planner *pl, const struct inject_site *s);
/* A site for each spelling of the placeholder between `from` and `to` of the path or query, some of its
 * bytes percent-encoded perhaps. */
int planner_spelled(struct planner *pl, enum inject_kind k, const struct part *part,
                    const struct policy_credential *c, const struct policy_place *place,
                    const struct watched *w, size_t from, size_t to);
/* The site that begins there, or NULL. */
struct inject_site *planner_site_at(const struct planner *pl, const struct part *part, size_t at);
/* Whether a field of that name is added, so that what the client sent there does not go out. */
bool planner_adds(const struct planner *pl, struct http_text name);

/* Refuses for a placeholder that does not belong to this host. `credential` NULL: another session's. */
int planner_refuse_leak(struct planner *pl, const struct part *part, const char *credential);

/* ---- strangers.c ---- */

/* Refuses when a field that holds a login has a placeholder of another session. */
int strangers_check(struct planner *pl) WARN_UNUSED;

/* ---- texts: spelling.c ---- */

/* How many bytes of `raw` spell `what`, some bytes percent-encoded perhaps; 0: it does not begin with
 * it. A '/' must be encoded when `no_slash`. */
size_t spelling_of(const char *raw, size_t n, const char *what, size_t what_n, bool no_slash);
/* Whether all of `raw` is `what`, '+' being a space, as a form has its names. */
bool spelling_is_name(const char *raw, size_t n, const char *what);
/* Appends with everything percent-encoded but unreserved characters and those of `also`. */
int spelling_add(struct buf *out, const char *p, size_t n, const char *also);

/* The login of "Basic ...": where its base64 is in the value. false: another scheme, or nothing. */
bool basic_token(struct http_text value, size_t *ret_at, size_t *ret_n);
/* Decoded; *ret_user_n is where the colon is. -E_PARSE. */
int basic_decode(const char *p, size_t n, struct buf *ret, size_t *ret_user_n) WARN_UNUSED;

/* ---- require.c ---- */

/* Refuses when a credential that the policy requires is not used. */
int require_check(struct planner *pl) WARN_UNUSED;
