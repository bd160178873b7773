/* export - sends a log to a collector by OTLP/HTTP, each record at least once, in order.
 *
 * The file stays the truth: what is sent was flushed before, and what a collector has not taken is
 * sent again, after a restart, too. Nobody waits for it but who called it. */
#pragma once

#include "base/base.h"

struct err;
struct secret;

#define AUDIT_EXPORT_HEADERS_MAX 8

enum audit_export_word {
    AUDIT_EXPORT_GOES_ON, /* what was told before is over */
    AUDIT_EXPORT_TROUBLE, /* it tries again, or a collector has thrown something away */
    AUDIT_EXPORT_LOG,     /* of the log itself: a line is damaged, or is missing */
};

struct audit_export {
    const char *log;      /* its path */
    const char *position; /* where to keep how far it came; NULL: nowhere, and from the beginning */
    const char *session;  /* only this one's records; NULL: all lines */
    const char *endpoint, *ca_file; /* as audit_otlp_url takes it; ca_file NULL: the system's */
    const char *headers[AUDIT_EXPORT_HEADERS_MAX]; /* names */
    size_t n_headers;
    /* The value of one. Asked before each request. Suspends. */
    int (*header)(void *arg, size_t which, struct secret *ret, struct err *e);
    /* One sentence for the operator, printable. May be called with the same words again and again. */
    void (*say)(void *arg, enum audit_export_word kind, const char *words);
    void *arg;
    bool follow;        /* goes on with lines to come */
    size_t batch;       /* records of one request; 0: as many as are allowed */
    int64_t give_up_ms; /* while nothing is taken for so long, it ends; 0: never */
};

struct audit_export_report {
    uint64_t records, rejected, damaged; /* taken; of those thrown away by the collector; lines */
};

/* Suspends, and blocks where it reads files: for a process that does nothing else. 0 at the end of the
 * log, without `follow`; -E_DENIED when the collector refuses for good; -E_CONFLICT when the log is not
 * the one that was sent before; -ECANCELED; or another code; with words. `ret` is written in any case. */
int audit_export_run(const struct audit_export *x, struct audit_export_report *ret, struct err *e)
    WARN_UNUSED;
