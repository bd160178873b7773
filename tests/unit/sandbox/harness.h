/* harness - a blocking client of zygote and init for tests: no fibers, no loop, every wait bounded.
 * For the client that a worker is, on fibers, see box/box_harness. */
#pragma once

#include "unit/outside.h"

#include "base/json.h"
#include "sandbox/spec.h"
#include <sys/types.h>

struct host {
    pid_t pid; /* the zygote */
    int ctl;
    int64_t seq;
};

struct sbx {
    pid_t pid; /* of init, as seen from here */
    int channel, pidfd;
    int64_t id;
    struct buf *in;
    char *workspace; /* on the host, of sbx_open_seen; else NULL */
};

/* Starts a zygote in a child process: as uid `uid` when > 0 (needs root). Fails the test when it
 * does not come up. */
void host_start(struct host *h, uid_t uid);
/* The same with a program that is executed as `sallyport zygote`. */
void host_start_program(struct host *h, const char *program);
/* Closes the control socket and waits for the zygote to end (bounded). Returns its wait status. */
int host_stop(struct host *h);

/* One zygote for all tests of a group, and its set-up as cmocka wants it: as ourselves, or, when
 * that is root, as an ordinary user. */
extern struct host host;
extern bool as_root; /* the zygote runs as root */
int setup_self(void **state);
int setup_user(void **state);
int teardown(void **state);

/* Opens a sandbox. Returns NULL, or the error sentence (malloc'ed). */
char *sbx_open(struct host *h, const struct sandbox_spec *spec, struct sbx *ret);
/* The same without waiting for init to be ready. */
char *sbx_clone(struct host *h, const struct sandbox_spec *spec, struct sbx *ret);
void sbx_open_default(struct host *h, struct sbx *ret);
/* A sandbox as `spec` says, NULL: by default, whose /workspace is a directory of the host: an ordinary
 * user may not look at any other file inside. */
void sbx_open_seen(struct host *h, const struct sandbox_spec *spec, struct sbx *ret);
/* Waits (bounded) for a file of that name in its /workspace. */
void sbx_wait_for(const struct sbx *b, const char *name);
void sbx_close(struct sbx *b);

/* Sends without waiting; returns the id. */
int64_t sbx_send(struct sbx *b, const char *tool, const char *input_json, int64_t timeout_ms);
void sbx_cancel(struct sbx *b, int64_t id);
/* The next message from init, within `ms`; NULL when none came. */
json_t *sbx_recv(struct sbx *b, int ms);

struct result {
    char *text; /* of the first block; "" for others */
    bool is_error;
    int64_t duration_ms;
    json_t *raw;
};
void result_done(struct result *r);
struct result sbx_call(struct sbx *b, const char *tool, const char *input_json);
struct result sbx_bash(struct sbx *b, const char *command);
struct result sbx_bash_ms(struct sbx *b, const char *command, int timeout_ms);

/* Calls bash and expects success with exactly this text; NULL: with any. */
void expect_bash(struct sbx *b, const char *command, const char *text);
void expect_contains(const char *haystack, const char *needle);
bool test_is_root(void);
