/* cmd - the subcommands: flags and configuration to a struct, then run. One file per subcommand.
 *
 * What lives here: the subcommands, exit codes, what is printed for people. What they share stands
 * in rooms below, which know no subcommand: line/ (flags, verbs, terminal, start) and client/ (the
 * API as a subcommand uses it). What does not live here: any of the program's work. Each function
 * gets argv with argv[0] = the subcommand's name and returns the process's exit code: 0, 1 (failed,
 * one sentence on stderr), 2 (wrong usage). */
#pragma once

#include "base/base.h"

int cmd_server(int argc, char **argv);
int cmd_session(int argc, char **argv);
int cmd_egress(int argc, char **argv);
int cmd_zygote(int argc, char **argv);
int cmd_init(int argc, char **argv);
int cmd_launch(int argc, char **argv);
int cmd_env(int argc, char **argv);
int cmd_tunnel(int argc, char **argv);
int cmd_identity(int argc, char **argv);
int cmd_gateway(int argc, char **argv);
int cmd_mcp(int argc,
            char **argv); /* further codes: 3 (the tool failed), 4 (no or a wrong credential) */
int cmd_worker(int argc, char **argv);
int cmd_exec(int argc, char **argv);       /* its exit code is that of the program it runs */
int cmd_exec_guard(int argc, char **argv); /* started by exec, not by hand */
int cmd_status(int argc, char **argv);
int cmd_up(int argc, char **argv);
int cmd_setup(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_rootfs(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_completion(int argc, char **argv);

/* What those that have verbs can do, for completion. */
struct verb_set;
extern const struct verb_set cmd_session_verbs, cmd_env_verbs, cmd_rootfs_verbs, cmd_audit_verbs,
    cmd_egress_verbs, cmd_tunnel_verbs, cmd_identity_verbs, cmd_mcp_verbs;
