/* egress.c - the processes of egress: the keeper, started by whoever makes sandboxes, and its proxies.
 *
 * Nothing of the command line is taken but the role's name and the level of the log. Started by hand
 * they find no socket and say so. */
#include "cmd/cmd.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/log.h"
#include "base/str.h"
#include "cmd/line/start.h"
#include "egress/keeper/keeper.h"
#include "egress/proxy/process.h"

int cmd_egress(int argc, char **argv)
{
    const bool keeper = argc == 3 && str_eq(argv[1], "keeper");
    const bool proxy = argc == 3 && str_eq(argv[1], "proxy");
    if ((!keeper && !proxy) || fcntl(3, F_GETFD) < 0 || (proxy && fcntl(4, F_GETFD) < 0)) {
        fprintf(stderr,
                "sallyport: egress is started by sallyport worker, up and exec, not by hand\n");
        return 2;
    }
    log_init(keeper ? "egress" : "egress-proxy", cmd_log_level(argv[2]));
    cmd_forbid_dumps();
    return keeper ? egress_keeper_main(3) : egress_proxy_main(3, 4);
}
