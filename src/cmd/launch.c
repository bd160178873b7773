/* launch.c - the role that executes an OCI runtime, started by the worker's sandbox client
 * (worker/box_oci.c) and by nobody else. The work is in worker/oci_launch.c. */
#include "cmd/cmd.h"
#include "worker/oci.h"

int cmd_launch(int argc, char **argv)
{
    return oci_launch_main(argc, argv);
}
