/* zygote.c - the role that clones sandboxes, started by the worker only.
 *
 * Started by the worker's sandbox client (box/box.c) with a connected SEQPACKET socket as
 * descriptor 3. The work is in sandbox/zygote/zygote.c, which executes a sealed
 * copy of the program first; nothing of the command line is taken but the role's name, "quiet"
 * (for a caller that logs errors only) and "single" (for one that makes one sandbox). Started by hand it finds no socket and says so. */
#include "base/str.h"
#include "cmd/cmd.h"
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <stdio.h>

int cmd_zygote(int argc, char **argv)
{
    unsigned how = 0;
    bool known = true;
    for (int i = 1; i < argc; i++) {
        const unsigned word = str_eq(argv[i], "quiet")    ? ZYGOTE_QUIET
                              : str_eq(argv[i], "single") ? ZYGOTE_SINGLE
                                                          : 0;
        known = known && word;
        how |= word;
    }
    if (!known || fcntl(3, F_GETFD) < 0) {
        fprintf(stderr, "sallyport: zygote is started by sallyport worker, not by hand\n");
        return 2;
    }
    return zygote_main(3, how);
}
