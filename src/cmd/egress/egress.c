/* egress.c - `sallyport egress check`, and the roles of egress: the keeper, started by whoever makes
 * sandboxes, its proxies and its exporter.
 *
 * Of a role nothing of the command line is taken but its name and the level of the log. Started by
 * hand roles find no socket and say so. */
#include "cmd/egress/egress.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/line/start.h"
#include "egress/export/process.h"
#include "egress/keeper/keeper.h"
#include "egress/proxy/process.h"

static int run_role(int argc, char **argv)
{
    const bool keeper = str_eq(argv[1], "keeper"), proxy = str_eq(argv[1], "proxy");
    if (argc != 3 || fcntl(3, F_GETFD) < 0 || (proxy && fcntl(4, F_GETFD) < 0)) {
        fprintf(stderr, "sallyport: egress is started by sallyport worker, up and exec, not by "
                        "hand; sallyport egress check is for people\n");
        return 2;
    }
    log_init(keeper ? "egress" : proxy ? "egress-proxy" : "egress-export", cmd_log_level(argv[2]));
    cmd_forbid_dumps();
    return keeper  ? egress_keeper_main(3, getenv("CREDENTIALS_DIRECTORY"))
           : proxy ? egress_proxy_main(3, 4)
                   : egress_export_main(3);
}

static const struct verb verbs[] = {
    {.words = {"check"},
     .args = "[URL]",
     .summary = "Tells which rule decides about a request, and why; or checks a whole policy.",
     .min_args = 0,
     .max_args = 1,
     .run = egress_run_check},
};

const struct verb_set cmd_egress_verbs = {
    .command = "egress",
    .summary = "The way out of sandboxes: what its policy says.",
    .verbs = verbs,
    .n_verbs = ARRAY_LEN(verbs),
    .width = 8,
};

int cmd_egress(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    if (str_eq(word, "keeper") || str_eq(word, "proxy") || str_eq(word, "export"))
        return run_role(argc, argv);
    return verbs_main(&cmd_egress_verbs, argc, argv);
}
