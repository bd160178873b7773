/* main.c - the subcommand table, nothing else. */
#include <stdio.h>
#include <string.h>

#include "sandbox/sandbox.h"

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "zygote") == 0)
        return zygote_main(3);
    fprintf(stderr, "usage: sallyport zygote\n");
    return 2;
}
