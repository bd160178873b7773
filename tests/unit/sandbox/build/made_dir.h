/* made_dir - a directory that a test's shell text fills. */
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "unit/unit.h"
#include "base/base.h"
#include "box/state.h"

/* A new directory in which `script` has run. The caller's, until made_dir_gone. */
static inline char *made_dir(const char *script)
{
    char *dir = mem_strdup("/tmp/sallyport-unit-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chmod(dir, 0755), 0);
    AUTO_FREE char *command = mem_printf("set -e; umask 022; cd %s; %s", dir, script);
    if (system(command) != 0)
        fail_msg("%s", command);
    return dir;
}

static inline void made_dir_gone(char *dir)
{
    assert_int_equal(state_remove_tree(AT_FDCWD, dir), 0);
    free(dir);
}
