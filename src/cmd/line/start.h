/* start - what several subcommands do before they run: find the data directory, take secrets out of
 * the environment, keep their memory to themselves. */
#pragma once

#include "base/base.h"
#include "base/log.h"

struct secret;

/* Where data lives unless --data says otherwise: /var/lib/sallyport for root, else
 * $XDG_DATA_HOME/sallyport or ~/.local/share/sallyport. malloc'ed. */
char *cmd_default_data_dir(void);
/* `data`, what --data says, when it says anything. malloc'ed. */
char *cmd_data_dir(const char *data);
/* Takes a variable out of the environment: copies it into locked memory, wipes and unsets it, so
 * that it is inherited by nobody and not to be found in /proc/PID/environ. 1 when it was set and
 * not empty, 0 when not, negative on failure. */
int cmd_take_env_secret(const char *name, struct secret *ret) WARN_UNUSED;

/* Waits for a server that has the directory and stops, and says so. Blocks; a signal ends the
 * process, as nothing has begun. */
void cmd_await_server(const char *command, const char *data_dir);

/* "debug", "info", "warn", "error" (anything else: info). */
enum log_level cmd_log_level(const char *name);
/* No core files, no tracing by others of the user: for processes whose memory holds keys. */
void cmd_forbid_dumps(void);
