/* placeholder - which placeholder stands for which credential of which session.
 *
 * One table for all sessions of a process. A placeholder belongs to one credential of one session
 * and means nothing elsewhere: who looks one up compares the session, too. */
#pragma once

#include "secret/format.h"

struct placeholders;
struct placeholder {
    const char *text; /* NUL-terminated */
    size_t n;
    const char *session, *credential; /* names */
};

#define PLACEHOLDERS_OF_SESSION_MAX 256

struct placeholders *placeholders_new(void);    /* never NULL */
void placeholders_free(struct placeholders *p); /* NULL is fine */

/* Makes the placeholder of a credential for a session, or returns the one that there is. *ret is
 * good until placeholders_forget of the session. `session` and `credential` are copied. -E_LIMIT:
 * the session has 256 already. -EEXIST: the format brought ones only that are taken, eight times,
 * which chance does not do. */
int placeholders_issue(struct placeholders *p, const char *session, const char *credential,
                       const struct placeholder_format *f, const struct placeholder **ret,
                       struct err *e) WARN_UNUSED;
/* Takes one over that was issued by another process before: a sandbox that outlives its egress
 * still has it. -EINVAL (not 16 to 512 characters a format can bring), -EEXIST (another's, or the
 * credential has another one), with words. */
int placeholders_adopt(struct placeholders *p, const char *session, const char *credential,
                       const char *text, const struct placeholder **ret, struct err *e) WARN_UNUSED;
/* The session is over: its placeholders mean nothing from now on. */
void placeholders_forget(struct placeholders *p, const char *session);

/* Whose placeholder `n` bytes are, or NULL. The time depends on n, not on how much of a
 * placeholder was right. */
const struct placeholder *placeholders_find(const struct placeholders *p, const char *text,
                                            size_t n);
/* The placeholder of a credential in a session, or NULL. */
const struct placeholder *placeholders_of(const struct placeholders *p, const char *session,
                                          const char *credential);
/* All of a session, for a search through a body: how many were written to `ret`, which has room for
 * PLACEHOLDERS_OF_SESSION_MAX. */
size_t placeholders_list(const struct placeholders *p, const char *session,
                         const struct placeholder *ret[PLACEHOLDERS_OF_SESSION_MAX]);
