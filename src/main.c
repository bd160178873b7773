/* main.c - the subcommand table, nothing else. */
#include <stdio.h>

int main(void)
{
    return 0;
}
