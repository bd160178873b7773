/* cmd - the subcommands: flags and configuration to a struct, then run. One file per subcommand.
 *
 * What lives here: parsing of command lines (flags), exit codes, what is printed for people. What
 * does not: any of the program's work. Each function gets argv with argv[0] = the subcommand's name
 * and returns the process's exit code: 0, 1 (failed, one sentence on stderr), 2 (wrong usage). */
#pragma once

#include "base/base.h"
#include "base/log.h"

int cmd_server(int argc, char **argv);
int cmd_session(int argc, char **argv);
int cmd_zygote(int argc, char **argv);
int cmd_init(int argc, char **argv);
int cmd_launch(int argc, char **argv);
int cmd_env(int argc, char **argv);
int cmd_worker(int argc, char **argv);
int cmd_exec(int argc, char **argv);       /* its exit code is that of the program it runs */
int cmd_exec_guard(int argc, char **argv); /* started by exec, not by hand */
int cmd_up(int argc, char **argv);
int cmd_setup(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_rootfs(int argc, char **argv);
int cmd_completion(int argc, char **argv);

/* Where data lives unless --data says otherwise: /var/lib/sallyport for root, else
 * $XDG_DATA_HOME/sallyport or ~/.local/share/sallyport. malloc'ed. */
char *cmd_default_data_dir(void);
/* Makes `dir` and its missing parents (0700). 0 or -errno. */
int cmd_make_dirs(const char *dir) WARN_UNUSED;
/* Takes a variable out of the environment: copies it into locked memory, wipes and unsets it, so
 * that it is inherited by nobody and not to be found in /proc/PID/environ. 1 when it was set and
 * not empty, 0 when not, negative on failure. */
struct secret;
int cmd_take_env_secret(const char *name, struct secret *ret) WARN_UNUSED;

struct err;
/* -EINVAL with words for an isolation of "none" that nobody has agreed to. NULL is the default. */
int cmd_check_isolation(const char *isolation, bool understood, struct err *e) WARN_UNUSED;

/* "debug", "info", "warn", "error" (anything else: info). */
enum log_level cmd_log_level(const char *name);
/* No core files, no tracing by others of the user: for processes whose memory holds keys. */
void cmd_forbid_dumps(void);
