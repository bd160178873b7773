/* orders_git_config.c - fuzzes sandbox/guard: texts that a sandbox has left in a repository.
 *
 * Theory of operation: a configuration that is called plain holds no word that names a program, and
 * a hooks path that is taken stays below. */
#include "fuzz.h"
#include "base/str.h"
#include "sandbox/orders/git_config.h"
#include "sandbox/orders/scan.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO_FREE char *text = mem_strndup((const char *)data, n);
    if (orders_git_config_is_plain((const char *)data, n)) {
        static const char *const never[] = {"::", "!", "\\", "\n\tfsmonitor", "[include", "[alias"};
        for (size_t i = 0; i < ARRAY_LEN(never); i++)
            MUST(!memmem(data, n, never[i], strlen(never[i])));
        MUST(!memchr(data, '\0', n));
    }
    AUTO_FREE char *hooks = orders_hooks_path(text);
    AUTO_FREE char *padded = mem_printf("/%s/", hooks ? hooks : "x");
    MUST(!strstr(padded, "/../") && !strstr(padded, "//"));
    return 0;
}
