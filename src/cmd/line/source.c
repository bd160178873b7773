/* source.c - the source of a secret in one word of the command line.
 *
 * The caller's own words; what a source may say is checked where it is made (secret/source.h). Errors
 * repeat nothing of the word: somebody may have written a secret there. */
#include "cmd/line/source.h"
#include "base/err.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

int source_from_word(const char *flag, const char *text, size_t n, json_t **ret, struct err *e)
{
    static const char *const kinds[] = {"env", "file", "exec", "systemd"};
    const char *colon = memchr(text, ':', n);
    const size_t kind_n = colon ? (size_t)(colon - text) : 0;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strlen(kinds[i]) != kind_n || memcmp(kinds[i], text, kind_n) != 0)
            continue;
        if (str_eq(kinds[i], "env")) {
            AUTO_FREE char *name = mem_strndup(colon + 1, n - kind_n - 1);
            if (!getenv(name))
                return err_set(e, -EINVAL,
                               "%s: the variable of its env source is not set in your shell", flag);
        }
        json_t *source = json_new_object();
        json_t *value = json_str_lossy(colon + 1, n - kind_n - 1);
        if (str_eq(kinds[i], "exec")) {
            json_t *argv = json_array();
            json_array_append_new(argv, json_string("/bin/sh"));
            json_array_append_new(argv, json_string("-c"));
            json_array_append_new(argv, value);
            value = argv;
        }
        json_put(source, kinds[i], value);
        *ret = source;
        return 0;
    }
    return err_set(e, -EINVAL,
                   "%s: the source is one of env:NAME, file:PATH, exec:COMMAND, systemd:NAME",
                   flag);
}
