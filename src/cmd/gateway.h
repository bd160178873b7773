/* gateway - what the files of `sallyport gateway` share. */
#pragma once

#include "base/json.h"

struct err;
struct gateway_config;
struct gateway_stdio;

/* `sallyport gateway init`, `renew-cert`, `status`, `doctor`, `pins`, `pending`, `approve`, `deny`: as the subcommands of cmd.h; argv[0] is the verb. */
int cmd_gateway_init(int argc, char **argv);
int cmd_gateway_renew(int argc, char **argv);
int cmd_gateway_status(int argc, char **argv);
int cmd_gateway_doctor(int argc, char **argv);
int cmd_gateway_pins(int argc, char **argv);
int cmd_gateway_pending(int argc, char **argv);
int cmd_gateway_decide(int argc, char **argv); /* approve, deny */

/* Where a gateway with this configuration has its admin listener: as it says, or by default. malloc'ed. */
char *gateway_admin_address(const struct gateway_config *c) __attribute__((returns_nonnull));
/* What the gateway says that listens there, a new reference. Suspends, 10 s at most. 0 or a code with words:
 * -ECONNREFUSED when nobody does, -E_PROTO when it is no gateway. */
int gateway_status_ask(const char *admin, json_t **ret, struct err *e) WARN_UNUSED;

/* Hears of HTTPS_PROXY and NO_PROXY, for the configurations that are read from then on. Once. 0, or -EINVAL with words. */
int gateway_look_around(struct err *e) WARN_UNUSED;

/* `sallyport gateway confined`: the gateway proper, which its keeper starts. */
int gateway_run_confined(int argc, char **argv);

/* programs_options.arguments: those of `sallyport exec` for a route's stdio server. `arg` is not looked at. */
char **gateway_stdio_arguments(void *arg, const struct gateway_stdio *s, size_t slot);
/* The same of one that is started beside a gateway that may run. */
char **gateway_stdio_arguments_beside(void *arg, const struct gateway_stdio *s, size_t slot);

/* The directory that `gateway init` fills: `dir`, what --dir says, or "gateway" in the data directory.
 * malloc'ed. */
char *gateway_dir(const char *dir);

/* The configuration where none is named: gateway.yaml of this directory, else the one that `gateway init` has
 * made where it does by default. malloc'ed. */
char *gateway_usual_config(void);
/* The same for who looks at a gateway, or decides something there: else, when there is none, that of `sallyport up`. malloc'ed. */
char *gateway_config_to_look_at(void);

/* For the commands that write keys: no dumps, and a file that may not grow is an error of write(2), no end
 * by a signal. */
void gateway_guard(void);

#define GATEWAY_CERT_LIFETIME_S (90LL * 86400)
/* Of a certificate: nobody takes one of less, and callers (Apple's) cap what they accept. */
#define GATEWAY_CERT_LEAST_MS 3600000
#define GATEWAY_CERT_MOST_MS  (398LL * 86400000)
