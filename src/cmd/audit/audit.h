/* audit - what the files of `sallyport audit` share. */
#pragma once

#include "cmd/line/verbs.h"

struct err;

/* Flags of every verb. */
struct audit_where {
    const char *log, *data, *key;
};
/* The rows for them; `key_too`: of a verb that checks signatures. */
void audit_where_flags(struct flag_set *set, struct audit_where *w, bool key_too);
/* The log's path: --log, else audit.jsonl in the data directory. malloc'ed. */
char *audit_where_log(const struct audit_where *w);
struct flag_set audit_flags_of(const struct verb *v);
/* One sentence on stderr; the exit code. */
int audit_failed(const struct verb *v, int code, const char *words);

/* In show.c. */
int audit_run_query(const struct verb *v, int argc, char **argv);
int audit_run_tail(const struct verb *v, int argc, char **argv);
/* In send.c. */
int audit_run_send(const struct verb *v, int argc, char **argv);
