/* sandbox_cgroup.c - fuzz target: the texts of /proc/self/mountinfo and /proc/self/cgroup, parted
 * by a NUL. Where something is found, it is whole and does not climb out of what is mounted. */
#include "fuzz.h"

#include <string.h>

#include "sandbox/cgroup/find.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
    size_t n = nul ? (size_t)(nul - data) : size;
    AUTO_FREE char *mounts = mem_strndup((const char *)data, n);
    AUTO_FREE char *self = mem_strndup(nul ? (const char *)nul + 1 : "", nul ? size - n - 1 : 0);
    static const char *const names[] = {"memory", "cpu", "pids"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO(cgroup_where) w;
        cgroup_find(mounts, self, names[i], &w);
        if (w.version == 0) {
            MUST(w.why);
            continue;
        }
        MUST(!w.why && w.path && w.mount && w.group);
        MUST(w.mount[0] == '/' && w.path[0] == '/');
        MUST(strcmp(w.group, "..") != 0 && strncmp(w.group, "../", 3) != 0 &&
             !strstr(w.group, "/../"));
        (void)cgroup_is_unit(w.path);
    }
    return 0;
}
