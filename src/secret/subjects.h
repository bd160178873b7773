/* subjects - what a source gives for each of many subjects: a token for each caller's token.
 *
 * A subject is a text of a stranger's. Each that comes has a source of its own, so one read serves all requests
 * with it, and a refusal is remembered as it is elsewhere. They are kept by hash to their end, the least used goes first,
 * one that has brought nothing before one that has; no more than SECRET_SUBJECTS_MAX of one source, and
 * SECRET_SUBJECTS_ALL of all, where the largest table gives. */
#pragma once

#include "secret/source.h"

#define SECRET_SUBJECTS_MAX  256  /* of one table: each has locked pages */
#define SECRET_SUBJECTS_ALL  1024 /* of a process */
#define SECRET_SUBJECTS_BUSY 64   /* of one table, asked for at a time */

struct secret_subjects;

/* For a source that was made with SECRET_CALLERS. Never NULL. */
struct secret_subjects *secret_subjects_new(struct secret_source *s);
/* Requests that wait in it go on. Suspends. NULL is fine. */
void secret_subjects_free(struct secret_subjects *t);
/* As secret_source_get, for a subject of `n` bytes, 1 to 16 KiB. `refused`: secret_source_distrust; may be NULL.
 * -EBUSY with words: too many at a time. Suspends. */
int secret_subjects_get(struct secret_subjects *t, const char *subject, size_t n,
                        const char *refused, struct secret_value **ret, struct err *e) WARN_UNUSED;
size_t secret_subjects_count(const struct secret_subjects *t); /* that are kept now */
