/* moved.c - what, why, and how to put it back.
 *
 * Called for each message of the zygote that has "moved". Of places below the top of a bind the
 * sandbox may have chosen the path, so it is quoted for a shell, and left out of the command when it
 * has characters that a terminal would not show as they are.
 *
 * The command copies. A sandbox may have given its file a second name in the bind, by a hard link:
 * put back with mv, the next sandbox could write it by that name, whatever covers the first. */
#include "box/moved.h"

#include <string.h>

#include "base/buf.h"
#include "base/str.h"

#define TEXT_MAX 65536u /* four paths, quoted */

static void add_quoted(struct buf *b, const char *word)
{
    buf_addc(b, '\'');
    for (const char *p = word; *p; p++)
        if (*p == '\'')
            buf_adds(b, "'\\''");
        else
            buf_addc(b, *p);
    buf_addc(b, '\'');
}

/* U+FFFD stands where the bytes were no text. */
static bool can_be_typed(const char *path)
{
    for (const char *p = path; *p; p++)
        if ((unsigned char)*p < ' ' || *p == '\177' || *p == '\\')
            return false;
    return strstr(path, "\xef\xbf\xbd") == NULL;
}

char *moved_sentence(const json_t *moved)
{
    const char *dir = json_get_str(moved, "dir"), *name = json_get_str(moved, "name"),
               *now = json_get_str(moved, "now");
    if (!dir || !name)
        return NULL;
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    AUTO(buf) b = BUF_INIT(TEXT_MAX);
    buf_addf(
        &b, "%s %s, and programs of this host act on it by themselves; ", path,
        json_get_bool(moved, "replaced", false)
            ? "is not what was there at the beginning: the sandbox has made it, or could write "
              "it once somebody had saved it"
            : "was made in the sandbox");
    if (!now) {
        buf_adds(&b, "it could not be renamed: look at it");
        return mem_strdup(buf_str(&b));
    }
    buf_addf(&b, "it is %s now", now);
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *aside = mem_printf("%.*s/%s", (int)(slash - path), path, now);
    if (can_be_typed(aside) && can_be_typed(path)) {
        buf_adds(&b, "; look at it, then to have it back: cp -a ");
        add_quoted(&b, aside);
        buf_addc(&b, ' ');
        add_quoted(&b, path);
    }
    return mem_strdup(buf_str(&b));
}
