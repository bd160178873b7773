/* probe - one attempt to get out of a sandbox, and what may be said about it.
 *
 * A probe runs in a child of its own with a time limit. It records evidence, attempt by attempt:
 * the verdict is made of that (report in main.c) and is never "held" for want of trouble. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct probe {
    const char *name;  /* unique, words joined by underscores */
    const char *class; /* the incident or the class of them it stands for */
    const char *tried; /* what it tries, in words */
    const char *holds; /* what stops it in our sandbox */
    void (*run)(void);
    unsigned seconds; /* time limit; 0: ten */
};

/* Ends with an entry without a name. */
extern const struct probe mounts_probes[], namespaces_probes[], processes_probes[], proc_probes[],
    files_probes[], links_probes[], devices_probes[], sockets_probes[], kernel_probes[],
    machine_probes[], terminals_probes[], cgroups_probes[], limits_probes[], doors_probes[];

/* One more line of "got". */
void got(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* An attempt that must fail: `r` < 0 with errno being one of the list (ends with 0). Success is an
 * escape; another errno is no evidence, and makes the probe "unable". */
void refused(const char *what, long r, ...);
#define NO_CALL         EPERM, ENOSYS, 0                /* a system call the policy refuses */
#define NO_FILE         ENOENT, EACCES, EPERM, EROFS, 0 /* a file that is not there, or not for us */
#define NO_CALL_OR_FILE ENOENT, EACCES, EPERM, EROFS, ENOSYS, ENOTDIR, 0

/* The same for a system call by number. The result, for those who must undo it. */
long refused_call(const char *what, long number, long a, long b, long c, long d, long e);

/* The same for opening a file. Closes what it opened. */
void refused_open(const char *path, int flags);

/* Something that must be so; when it is not, that is an escape. */
void must(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The attempt could not be made. Never a pass: the test counts these as failures. */
void unable(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* This kernel or root does not have what is to be attacked. The test has a list of these. */
void not_applicable(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* It worked in here; whether that matters is seen on the host only, and the test looks. */
void host_decides(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What the test told us about the host ("key=value" arguments); NULL when it did not. */
const char *fact(const char *key);
long fact_number(const char *key); /* -1 */

/* As the program was started, before anything was opened. */
struct start {
    char cwd[4096];
    char fds[2048]; /* "0=pipe:[1] 1=/dev/null ..." */
    int n_fds;      /* above 2 */
};
extern struct start start;
extern char **environ;

/* The first bytes of a file as text; -1 with errno. */
long read_text(const char *path, char *buf, size_t size);
/* A directory that can be written, with a name of our own below it; exits as unable without one. */
const char *scratch(void);
/* Status of a child that runs `f`; -1 when it could not be made. */
int in_child(void (*f)(void *), void *arg);
