/* zygote.c - the role that clones sandboxes, started by the worker only.
 *
 * Started by the worker's sandbox client (box/box.c) with a connected SEQPACKET socket as
 * descriptor 3. The work is in sandbox/zygote/zygote.c, which executes a sealed
 * copy of the program first; nothing of the command line is taken but the role's name and "quiet",
 * for a caller that logs errors only. Started by hand it finds no socket and says so. */
#include "base/str.h"
#include "cmd/cmd.h"
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <stdio.h>

int cmd_zygote(int argc, char **argv)
{
    const bool quiet = argc == 2 && str_eq(argv[1], "quiet");
    if ((argc != 1 && !quiet) || fcntl(3, F_GETFD) < 0) {
        fprintf(stderr, "sallyport: zygote is started by sallyport worker, not by hand\n");
        return 2;
    }
    return zygote_main(3, quiet);
}
