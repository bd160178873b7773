/* launch.c - the role that executes an OCI runtime in a mount namespace of its own.
 *
 * Started by the worker's sandbox client (box/oci/oci.c) for every command it gives to a
 * runtime, and by no other program: started by hand it says so. The work is in box/oci/launch.c;
 * the process is the runtime's as soon as that has executed it. */
#include "cmd/cmd.h"
#include "box/oci/oci.h"

int cmd_launch(int argc, char **argv)
{
    return oci_launch_main(argc, argv);
}
