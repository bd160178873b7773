/* init.c - the role that serves the tools of one sandbox when it is executed in a container, or
 * with no sandbox around it.
 *
 * Started by the worker's sandbox client (box/oci/oci.c through an OCI runtime,
 * box/none.c) with a socket as standard input, and by no other program: started by hand it
 * says so. The sandboxes of our own engine do not use this role: they are clones of the zygote. */
#include "cmd/cmd.h"
#include "sandbox/init/standalone.h"

int cmd_init(int argc, char **argv)
{
    return standalone_main(argc == 2 ? argv[1] : "");
}
