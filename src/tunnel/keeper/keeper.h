/* keeper - the process beside a gateway: files, secrets, the audit log, signals. Of strangers' bytes it reads what the
 * gateway wants kept, as JSON, before it takes the file's place, and no others.
 *
 * What lives in this folder: starting the gateway proper (tunnel/gateway/process.h) and what becomes of it
 * (keeper), what it may ask for (answer), the files (files), what it keeps (state), the programs of routes (programs). What does not: what is done with callers. */
#pragma once

#include "base/base.h"
#include "tunnel/keeper/programs.h"

struct err;
struct gateway_keeper;

struct gateway_keeper_options {
    const char *config_path;
    const char *metrics; /* where /metrics and its like are; NULL: as the configuration says */
    const char *credentials_directory; /* systemd's, for secrets; NULL: there is none */
    bool level_given;                  /* then the configuration's log_level does not count */
    const char *const *environment;    /* all that the gateway proper gets; ends with NULL */
    struct programs_options programs;  /* for stdio servers of routes */
    /* It serves: once. `line` is for whoever waits for it. Does not suspend. */
    void (*on_ready)(void *arg, const char *line);
    void *arg;
};
/* Reads the configuration and opens the audit log. NULL with words. Suspends. */
struct gateway_keeper *gateway_keeper_open(const struct gateway_keeper_options *o, struct err *e);
/* Starts the gateway proper and waits for its end; when a signal has ended one that had served, starts
 * another, a second later at the earliest. The exit code. Suspends. */
int gateway_keeper_run(struct gateway_keeper *k);
/* From another fiber: no new callers; gateway_keeper_run returns when the last has left, or the
 * configuration's shutdown_timeout is over. Suspends. */
void gateway_keeper_stop(struct gateway_keeper *k);
/* From another fiber: files and secrets are looked at now. Suspends. */
void gateway_keeper_reload(struct gateway_keeper *k);
void gateway_keeper_close(struct gateway_keeper *k); /* Suspends. NULL is fine */
