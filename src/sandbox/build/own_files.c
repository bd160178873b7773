/* own_files.c - resolv.conf and nsswitch.conf of a sandbox whose names are answered at a door.
 *
 * Called with trust.c, before the root is one: see there what is read and written how. glibc asks who
 * nsswitch.conf says; an image whose line for hosts does not have "dns" would never come to the door,
 * so that line is replaced. A file that is missing means "files dns" to glibc; musl reads none. */
#include "sandbox/build/own_files.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "sandbox/build/layer.h"
#include "sandbox/build/trust.h"
#include "sandbox/mounts.h"

#define RESOLV_CONF  "etc/resolv.conf"
#define NSSWITCH     "etc/nsswitch.conf"
#define NSSWITCH_MAX 65536u

/* No search list: the host name has no domain, either. Nothing is gained by long waits for an answer
 * from next door. */
static const char resolv_conf[] = "# names are answered at the boundary of this sandbox\n"
                                  "nameserver 127.0.0.1\n"
                                  "options timeout:2 attempts:2\n";

bool own_files_wanted(const struct sandbox_spec *s)
{
    return s->ca_pem || sandbox_doors_resolve(s->doors, s->n_doors);
}

/* Whether a line is the one for hosts; *ret_dns: and whether it has dns. */
static bool is_hosts(const char *line, size_t n, bool *ret_dns)
{
    static const char space[] = " \t";
    AUTO_FREE char *text = mem_strndup(line, n);
    char *p = text + strspn(text, space);
    if (!str_starts(p, "hosts"))
        return false;
    p += strlen("hosts");
    p += strspn(p, space);
    if (*p++ != ':')
        return false;
    p[strcspn(p, "#")] = '\0';
    *ret_dns = false;
    for (p += strspn(p, space); *p; p += strspn(p, space)) {
        const size_t k = strcspn(p, space);
        *ret_dns = *ret_dns || (k == 3 && memcmp(p, "dns", 3) == 0);
        p += k;
    }
    return true;
}

static int fix_nsswitch(int lower, int upper)
{
    AUTO_CLOSE int fd = mounts_open(lower, NSSWITCH, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)NSSWITCH_MAX)
        return 0;
    AUTO_FREE char *old = mem_array((size_t)st.st_size + 1, 1);
    ssize_t n = read(fd, old, (size_t)st.st_size);
    if (n < 0)
        return -errno;
    AUTO(buf) text = BUF_INIT(2u * NSSWITCH_MAX);
    bool changed = false;
    for (const char *p = old, *end = old + n; p < end;) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const size_t len = (size_t)((newline ? newline : end) - p);
        bool dns;
        const bool replace = is_hosts(p, len, &dns) && !dns;
        if (replace)
            buf_adds(&text, "hosts: files dns");
        else
            buf_add(&text, p, len);
        buf_addc(&text, '\n');
        changed = changed || replace;
        p += len + 1;
    }
    int r = buf_err(&text);
    return r < 0 || !changed ? r : layer_put(upper, NSSWITCH, buf_str(&text), text.len, &st);
}

int own_files_write(int lower, int upper, const struct sandbox_spec *s, struct err *e)
{
    int r = 0;
    if (sandbox_doors_resolve(s->doors, s->n_doors)) {
        struct stat st;
        r = layer_put(upper, RESOLV_CONF, resolv_conf, strlen(resolv_conf), &st);
        if (r >= 0)
            r = fix_nsswitch(lower, upper);
    }
    if (r < 0)
        return err_set(e, r, "could not write what the sandbox resolves names with: %s",
                       err_text(r));
    return trust_write(lower, upper, s, e);
}
