/* zygote.c - the role that clones sandboxes, started by the worker and by nobody else.
 *
 * Started by the worker's sandbox client (worker/box.c) with a connected SEQPACKET socket as
 * descriptor 3, and by nobody else. The work is in sandbox/zygote/zygote.c, which executes a sealed
 * copy of the program first; nothing of the command line is taken but the role's name. Started by
 * hand it finds no socket and says so. */
#include "cmd/cmd.h"
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <stdio.h>

int cmd_zygote(int argc, char **argv)
{
    (void)argv;
    if (argc != 1 || fcntl(3, F_GETFD) < 0) {
        fprintf(stderr, "sallyport: zygote is started by sallyport worker, not by hand\n");
        return 2;
    }
    return zygote_main(3);
}
