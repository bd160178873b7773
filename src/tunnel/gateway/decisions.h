/* decisions - what a gateway keeps beyond its files of configuration, and what persons decide about it. */
#pragma once

#include "tunnel/gateway/approvals.h"
#include "tunnel/gateway/face.h"
#include "tunnel/gateway/pins_file.h"

struct audit_client;
struct ctl;
struct decisions;

struct decisions_options {
    struct ctl *keeper;
    struct audit_client *audit;              /* NULL: decisions are not recorded */
    struct gateway_face *(*face)(void *arg); /* a reference */
    void *arg;
};
/* Gets the control socket and what is kept from the keeper. Suspends. 0 or a code with words. */
int decisions_open(const struct decisions_options *o, struct decisions **ret, struct err *e)
    WARN_UNUSED;
/* The fiber (arg: struct decisions): answers at the control socket, and writes what waits. Until cancelled. Suspends. */
int decisions_run(void *arg);
void decisions_free(
    struct decisions
        *s); /* Suspends: writes once more. NULL is fine; after decisions_run has returned */
struct approvals *decisions_approvals(struct decisions *s) __attribute__((returns_nonnull));
/* Takes back all questions: what was asked may not be what the rules say now. Does not suspend. */
void decisions_withdraw(struct decisions *s, const char *reason);
struct pins *decisions_pins(struct decisions *s) __attribute__((returns_nonnull));
struct pins_file *decisions_pins_file(struct decisions *s);
/* {tools_pinned, tools_waiting, calls_waiting}: counts, for /status. A new reference. */
json_t *decisions_json(const struct decisions *s);
/* Brings gauges up to date. Does not suspend. */
void decisions_refresh(const struct decisions *s);
