/* zygote.c - the role that clones sandboxes, started by the worker and by nobody else.
 *
 * Descriptor 3 is the control socket. Started by hand it finds none and says so. */
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
