/* audit - what was done with credentials and on the network, in a chain of lines that cannot be
 * changed unnoticed (docs/internals/audit.md; spec: boundary, section 5).
 *
 * What lives in this folder: one record and its line (record), reading a line (line), the chain and
 * its signed checkpoints (chain), the key (key), the files and the one who writes them (files,
 * recover, writer), records from other processes (wire, server, client), and what reads: all lines
 * in order (reader), whether they hold (verify), the bundle of a session for strangers (bundle), and
 * the way to a collector (export; position, otlp, otlp_answer).
 * What does not: policy, and knowing what a request is.
 *
 * A process that acts holds a client. It reserves room for each record before it acts and appends
 * when it has acted; without room it does not act. One process, which no stranger talks to, has the
 * server with the file and the key.
 *
 * record - one record as its maker gives it, and as a line. */
#pragma once

#include "base/base.h"

/* The numbers are on the wire between processes of one version only; the names are in the file. */
enum audit_kind {
    AUDIT_REQUEST = 1, /* one connection or request, when it is over */
    AUDIT_CREDENTIAL,  /* one use of a credential, before it goes out */
    AUDIT_TOOL_CALL,   /* one tool call, when it is over */
    AUDIT_SESSION,     /* a session came or went */
    AUDIT_NOTE,        /* anything else a person should find in the chain */
    AUDIT_START,       /* the writer's own: the first line of a log */
    AUDIT_CHECKPOINT,  /* the writer's own: signed */
};
#define AUDIT_KIND_LAST_GIVEN AUDIT_NOTE

struct audit_text {
    const char *p; /* borrowed; any bytes */
    size_t n;
};
/* Of a NUL-terminated text, which may be NULL. */
static inline struct audit_text audit_text(const char *s)
{
    return (struct audit_text){s, s ? __builtin_strlen(s) : 0};
}

/* Text members, in the order of the line, with the most bytes each takes in it. What is longer is
 * cut, and named in the member "cut". NUL, and bytes that are no UTF-8, become U+FFFD. */
#define AUDIT_TEXTS(X)                                                                             \
    X(session, 64) /* bytes other than [A-Za-z0-9_.:-] become '_' */                               \
    X(call, 64)    /* id of the tool call */                                                       \
    X(sandbox, 64)                                                                                 \
    X(verdict, 24) /* allow, deny, error, ...: one word */                                         \
    X(reason, 64)  /* leak_attempt, misplaced_placeholder, ...: one word */                        \
    X(rule, 128)                                                                                   \
    X(policy, 64)     /* its hash */                                                               \
    X(credential, 64) /* its name, never its value */                                              \
    X(place, 64)      /* where it was put */                                                       \
    X(protocol, 16)                                                                                \
    X(method, 24)                                                                                  \
    X(host, 256)                                                                                   \
    X(path, 1024) /* cut at the first '?' or '#', whatever the caller gives */                     \
    X(caller, 96) /* who asked, as its certificate says */                                         \
    X(peer, 64)   /* the address connected to */                                                   \
    X(tool, 64)                                                                                    \
    X(note, 256)

/* Number members; one that is 0 is left out of the line. */
#define AUDIT_NUMBERS(X)                                                                           \
    X(port)                                                                                        \
    X(status)                                                                                      \
    X(sent)     /* bytes out of the sandbox */                                                     \
    X(received) /* bytes into the sandbox */                                                       \
    X(duration_us)

struct audit_record {
    enum audit_kind kind;
#define TEXT_(name, max) struct audit_text name;
    AUDIT_TEXTS(TEXT_)
#undef TEXT_
#define NUMBER_(name) uint64_t name;
    AUDIT_NUMBERS(NUMBER_)
#undef NUMBER_
};

#define AUDIT_TEXT_COUNT   17
#define AUDIT_NUMBER_COUNT 5
#define AUDIT_SESSION_MAX  64
#define AUDIT_BY_MAX       32 /* the name of a client */
#define AUDIT_SALT_BYTES   16
#define AUDIT_CLIENT_MAX   64 /* "BY/CLIENT": who has sent a record, with its NUL */

/* A line, its end not counted. test_record.c makes the longest there can be. */
#define AUDIT_LINE_MAX 3200

/* What the writer knows of a line. */
struct audit_head {
    uint64_t seq;
    const unsigned char *prev; /* 32 bytes: the chain before this line */
    const unsigned char *salt; /* AUDIT_SALT_BYTES random bytes */
    int64_t time_us;
    const char *by; /* name of the client */
    const char *id; /* "CLIENT:N", to tell a record that came twice; NULL: none */
    int64_t at_us;  /* when the client made it; 0, or near time_us: left out */
};

/* Writes the line of `r`, without a newline: ASCII only, one JSON object. Returns its length. Pure. */
size_t audit_record_line(const struct audit_head *h, const struct audit_record *r,
                         char ret[AUDIT_LINE_MAX]);

/* The session as it stands in the line: `ret` holds AUDIT_SESSION_MAX bytes. Returns how many. */
size_t audit_record_session(const struct audit_record *r, char ret[AUDIT_SESSION_MAX]);

/* "request", "tool_call", ...; NULL when there is no such kind. */
const char *audit_kind_name(int kind);
/* 0 when there is no such name. */
int audit_kind_of(const char *name);
