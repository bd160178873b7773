/* guard - the thread beside init that makes, in place of programs, the calls whose arguments no
 * system call filter can see. */
#pragma once

#include "sandbox/spec.h"

struct err;
struct seccomp_filter;

/* What a filter that reports has shown (SECCOMP_REPORTS): one such record at a time in a pipe. */
struct guard_note {
    int nr;                 /* of the call */
    bool refused;           /* else it was to be seen only */
    unsigned addr_len;      /* of what is in addr, for calls that name one */
    unsigned char addr[28]; /* as long as an Internet address is */
};

/* What the filter of such a sandbox must ask about and show: SECCOMP_* (seccomp.h). */
unsigned guard_filter(const struct sandbox_spec *s);
/* That filter; it is kept. NULL with words. */
const struct seccomp_filter *guard_filter_for(const struct sandbox_spec *s, struct err *e);

/* Puts the calling thread under filter `f`, takes its last capability, and starts the guard, who
 * has neither. `f` stays as it is for the life of the process. Called as the last step of locking a process in, which must be the first of its pid
 * namespace, or programs could end the guard; it ends with the process. `root_too` as for
 * places_note. *ret_notes: where the records come, readable without waiting, for a filter that
 * reports; else -1. 0, or a negative code with words; then the process is to end. */
int guard_begin(const struct sandbox_spec *s, const struct seccomp_filter *f, bool root_too,
                int *ret_notes, struct err *e) WARN_UNUSED;
