/* resolve - the addresses of a name, asked of the machine's name servers, for fibers.
 *
 * Exactly the name that was given is looked up: no search domains, no aliases of the environment, so
 * what a policy allowed is what is asked. First the hosts file decides, as the C library has it: a
 * name that it has is not asked for. "localhost" and what ends in ".localhost" are this machine and
 * never asked for (RFC 6761 6.3). Then A and AAAA are asked at once (RFC 1035, RFC 3596), by UDP and,
 * when an answer was cut short, by TCP. A server that is silent or fails is followed by the next.
 *
 * What an answer says is not to be trusted: addresses of any kind come out, and the caller checks each.
 *
 * After a lock (Landlock, seccomp) a resolver needs: to read its two files, which it looks at anew
 * when they have changed, at most once a second (resolver_folders names the folders that a rule must
 * cover: a file that was replaced is not the one a rule on it was for; a file that can no longer be
 * read counts as it was last read); TCP and UDP to the servers' port; openat, fstat, read, close,
 * socket, connect, bind, setsockopt, getsockopt, fcntl, send, sendto, recv, recvfrom, read, write,
 * writev, poll, epoll_ctl, getrandom, clock_gettime. resolver_new opens libcares: before a lock. */
#pragma once

#include "base/base.h"

struct err;
struct resolver;

#define RESOLVE_ADDRESSES_MAX 16 /* of one name; what an answer has beyond is left out */
#define RESOLVE_NAME_MAX      253

struct resolver_options {
    const char *servers; /* "127.0.0.1:5353,[::1]:53", instead of those of resolv_conf; or NULL */
    const char *resolv_conf, *hosts; /* NULL: those of /etc */
    /* Opens one of the two for reading: for a process that may not. A descriptor or -errno. May suspend.
     * NULL: open(2). */
    int (*open)(void *arg, const char *path);
    void *open_arg;
    int64_t timeout_ms; /* one look-up, whoever waits for it; 0: 10 s */
    int64_t try_ms;     /* one server, before the next is asked; 0: 2 s */
    int64_t ttl_max_ms; /* answers are kept as their TTL says, and not longer; 0: 60 s;
                                        negative: not at all */
    size_t cache_max;   /* names that are remembered; 0: 1024 */
    size_t asks_max;    /* look-ups under way at once, others wait; 0: 128 */
};

struct resolved {
    size_t n;                                         /* at least 1 */
    unsigned char address[RESOLVE_ADDRESSES_MAX][16]; /* IPv4 in its mapped form; families take
                                                         turns, IPv6 first (RFC 8305 4) */
};

/* Why there are no addresses, for Proxy-Status (RFC 9209 2.3.1, 2.3.2). */
enum resolve_why {
    RESOLVE_OK,
    RESOLVE_NO_NAME,  /* NXDOMAIN */
    RESOLVE_NO_DATA,  /* the name exists and has no address */
    RESOLVE_SERVFAIL, /* the servers say so; likewise the next */
    RESOLVE_REFUSED,
    RESOLVE_FAILED,  /* they cannot be reached, or talk nonsense */
    RESOLVE_TIMEOUT, /* they say nothing */
    RESOLVE_LOCAL,   /* not asked: cancelled, too many look-ups, no memory or descriptor */
};
const char *resolve_why_rcode(enum resolve_why w); /* "NXDOMAIN", ...; NULL when there is none */

/* A resolver of the calling fiber: it owns the look-ups, and frees it. Text in `o` is copied; `o` may
 * be NULL. Reads the files. 0, or a code with words (libcares is missing; `servers` is no list). */
int resolver_new(const struct resolver_options *o, struct resolver **ret, struct err *e)
    WARN_UNUSED;
/* Ends look-ups under way. Suspends. NULL is fine. No fiber may be in resolver_lookup. */
void resolver_free(struct resolver *r);

/* The addresses of `name`: in canonical form (lower case, no trailing dot), 1 to RESOLVE_NAME_MAX
 * bytes. Fibers that ask for one name at once share one look-up; it ends with the last who waits.
 * Suspends. 0, or with words: -ENOENT (no such name, or no address), -E_PROTO (the servers fail),
 * -ETIMEDOUT, -ECANCELED, -E_LIMIT, -EMFILE, -EINVAL (no name that DNS could carry). *ret_why may be NULL. */
int resolver_lookup(struct resolver *r, const char *name, struct resolved *ret,
                    enum resolve_why *ret_why, struct err *e) WARN_UNUSED;

/* Forgets what was remembered. */
void resolver_forget(struct resolver *r);

/* The folders of the two files, links followed: each at most `room` bytes with its NUL; "" when there
 * is none. */
void resolver_folders(const struct resolver *r, char *ret_resolv_conf, char *ret_hosts,
                      size_t room);
