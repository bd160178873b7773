/* resolve_files.c - /etc/hosts and /etc/resolv.conf, as they are now.
 *
 * Called by resolve.c on the loop's thread. The files are looked at (stat) at most once a second and
 * read again when they have changed; a file that cannot be read, or has become larger than any should
 * be, counts as it was before, so that a lock taken after the start, or a moment between two renames,
 * does not leave the process without name servers. The operator controls both files; a stranger none.
 * The hosts file is kept as a map, because some have 100,000 lines. Lines that say nothing we know are
 * passed over, as every resolver does. */
#include "io/resolve_internal.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"

#define FILE_BYTES_MAX (8u << 20)
#define LOOK_EVERY_NS  NS_PER_S

struct hosts_entry {
    size_t n[2]; /* IPv6, IPv4 */
    unsigned char (*address[2])[16];
};

static void entry_free(struct hosts_entry *h)
{
    free(h->address[0]);
    free(h->address[1]);
    free(h);
}

/* ---- words of a line ---- */

struct word {
    const char *p;
    size_t n;
};

/* The next word of a line that ends at `end`; n is 0 when there is none. */
static struct word next_word(const char **p, const char *end)
{
    while (*p < end && (**p == ' ' || **p == '\t' || **p == '\r'))
        (*p)++;
    struct word w = {.p = *p};
    while (*p < end && **p != ' ' && **p != '\t' && **p != '\r')
        (*p)++;
    w.n = (size_t)(*p - w.p);
    return w;
}

static bool word_is(struct word w, const char *s)
{
    return w.n == strlen(s) && memcmp(w.p, s, w.n) == 0;
}

/* 4, 6, or 0 when it is no address (or one with a zone, which is of no use here). */
static int read_address(struct word w, unsigned char ret[16])
{
    char text[INET6_ADDRSTRLEN];
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (w.n == 0 || w.n >= sizeof(text))
        return 0;
    memcpy(text, w.p, w.n);
    text[w.n] = '\0';
    if (inet_pton(AF_INET6, text, ret) == 1)
        return memcmp(ret, mapped, 12) == 0 ? 4 : 6;
    memcpy(ret, mapped, 12);
    return inet_pton(AF_INET, text, ret + 12) == 1 ? 4 : 0;
}

/* ---- servers ---- */

static int add_server(struct resolve_servers *s, struct word host, const char *port)
{
    unsigned char a[16];
    int family = read_address(host, a);
    if (family == 0)
        return -EINVAL;
    if (s->n == RESOLVE_SERVERS_MAX)
        return 0;
    (void)snprintf(s->items[s->n++].text, sizeof(s->items[0].text),
                   memchr(host.p, ':', host.n) ? "[%.*s]:%s" : "%.*s:%s", (int)host.n, host.p,
                   port);
    return 0;
}

/* "1.2.3.4", "1.2.3.4:53", "[::1]:53", "::1". */
static int parse_server(struct word w, struct resolve_servers *s)
{
    const char *colon = memrchr(w.p, ':', w.n);
    struct word host = w;
    char port[6] = "53";
    bool brackets = w.n > 2 && w.p[0] == '[';
    if (colon && (brackets ? colon[-1] == ']' : memchr(w.p, ':', w.n) == colon)) {
        uint64_t number;
        size_t n = w.n - (size_t)(colon + 1 - w.p);
        if (str_to_u64(colon + 1, n, 65535, &number) < 0 || number == 0)
            return -EINVAL;
        (void)snprintf(port, sizeof(port), "%u", (unsigned)number);
        host.n = (size_t)(colon - w.p);
    }
    if (brackets) {
        if (host.p[host.n - 1] != ']')
            return -EINVAL;
        host.p++;
        host.n -= 2;
    }
    return add_server(s, host, port);
}

int resolve_servers_parse(const char *list, struct resolve_servers *ret, struct err *e)
{
    struct resolve_servers s = {0};
    for (const char *p = list;; p++) {
        const char *end = strchrnul(p, ',');
        struct word w = {.p = p, .n = (size_t)(end - p)};
        if (parse_server(w, &s) < 0)
            return err_set(e, -EINVAL,
                           "\"%.60s\" is no list of name servers; ADDRESS:PORT,... is expected",
                           list);
        p = end;
        if (*p == '\0')
            break;
    }
    *ret = s;
    return 0;
}

static void read_resolv_conf(const char *text, size_t n, struct resolve_files *f)
{
    struct resolve_servers s = {0};
    for (const char *p = text, *stop = text + n; p < stop;) {
        const char *end = memchr(p, '\n', (size_t)(stop - p));
        end = end ? end : stop;
        struct word key = next_word(&p, end);
        if (word_is(key, "nameserver"))
            (void)add_server(&s, next_word(&p, end), "53");
        p = end + 1;
    }
    if (s.n == 0) /* resolv.conf(5) */
        (void)add_server(&s, (struct word){.p = "127.0.0.1", .n = 9}, "53");
    f->servers = s;
}

/* ---- hosts ---- */

static void add_name(struct map *names, struct word w, int family, const unsigned char a[16])
{
    char name[RESOLVE_NAME_MAX + 1];
    if (w.n && w.p[w.n - 1] == '.')
        w.n--;
    if (w.n == 0 || w.n >= sizeof(name) || memchr(w.p, '\0', w.n))
        return;
    for (size_t i = 0; i < w.n; i++)
        name[i] = str_lower_c(w.p[i]);
    name[w.n] = '\0';
    struct hosts_entry *h = map_get(names, name);
    if (!h) {
        h = mem_new(struct hosts_entry);
        (void)map_put(names, name, h);
    }
    int k = family == 4;
    if (h->n[k] == RESOLVE_ADDRESSES_MAX)
        return;
    unsigned char(*more)[16] = mem_array(h->n[k] + 1, sizeof(*more));
    if (h->n[k])
        memcpy(more, h->address[k], h->n[k] * sizeof(*more));
    memcpy(more[h->n[k]++], a, 16);
    free(h->address[k]);
    h->address[k] = more;
}

static void forget_names(struct map *names)
{
    size_t pos = 0;
    void *h;
    while (map_next(names, &pos, NULL, &h))
        entry_free(h);
    map_done(names);
}

static void read_hosts(const char *text, size_t n, struct resolve_files *f)
{
    forget_names(&f->names);
    map_init(&f->names);
    for (const char *p = text, *stop = text + n; p < stop;) {
        const char *line = memchr(p, '\n', (size_t)(stop - p));
        line = line ? line : stop;
        const char *end = memchr(p, '#', (size_t)(line - p));
        end = end ? end : line;
        unsigned char a[16];
        int family = read_address(next_word(&p, end), a);
        for (struct word w; family && (w = next_word(&p, end)).n;)
            add_name(&f->names, w, family, a);
        p = line + 1;
    }
}

/* ---- following changes ---- */

static bool stamp_eq(const struct resolve_stamp *a, const struct resolve_stamp *b)
{
    return a->seen && a->dev == b->dev && a->ino == b->ino && a->mtime_ns == b->mtime_ns &&
           a->size == b->size;
}

static struct resolve_stamp stamp_of(const struct stat *st)
{
    return (struct resolve_stamp){
        .seen = true,
        .dev = st->st_dev,
        .ino = st->st_ino,
        .mtime_ns = (int64_t)st->st_mtim.tv_sec * NS_PER_S + st->st_mtim.tv_nsec,
        .size = st->st_size,
    };
}

/* Who has it opened by somebody else looks first: to look is free. */
static int open_changed(const struct resolve_files *f, const char *path,
                        const struct resolve_stamp *is)
{
    struct stat st;
    if (!f->open) {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        return fd < 0 ? -errno : fd;
    }
    if (stat(path, &st) < 0)
        return -errno;
    const struct resolve_stamp now = stamp_of(&st);
    return stamp_eq(is, &now) ? -EALREADY : f->open(f->open_arg, path);
}

/* Reads a file that has changed since `*is`. 1 when it did, 0 when not, -errno when it cannot be
 * read: that is looked at again when it changes once more. */
static int read_changed(const struct resolve_files *f, const char *path, struct resolve_stamp *is,
                        struct buf *ret)
{
    AUTO_CLOSE int fd = open_changed(f, path, is);
    struct stat st;
    if (fd < 0)
        return fd == -EALREADY ? 0 : fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    const struct resolve_stamp now = stamp_of(&st);
    if (stamp_eq(is, &now))
        return 0;
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX)
        return -EFBIG;
    for (;;) {
        char *room = buf_room(ret, 16384);
        if (!room)
            return buf_err(ret);
        ssize_t got = read(fd, room, 16384);
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        buf_commit(ret, (size_t)got);
    }
    *is = now;
    return 1;
}

static void follow(const char *path, struct resolve_stamp *is,
                   void (*take)(const char *text, size_t n, struct resolve_files *f),
                   struct resolve_files *f)
{
    AUTO(buf) text = BUF_INIT(FILE_BYTES_MAX + 65536);
    if (read_changed(f, path, is, &text) == 1)
        take(buf_str(&text), text.len, f);
}

void resolve_files_refresh(struct resolve_files *f)
{
    int64_t now = time_mono_ns();
    if (f->looked_ns && now - f->looked_ns < LOOK_EVERY_NS)
        return;
    f->looked_ns = now;
    if (!f->own_servers)
        follow(f->resolv_conf, &f->resolv_conf_is, read_resolv_conf, f);
    follow(f->hosts, &f->hosts_is, read_hosts, f);
}

int resolve_files_init(struct resolve_files *f, const char *resolv_conf, const char *hosts,
                       const char *servers, struct err *e)
{
    *f = (struct resolve_files){0};
    map_init(&f->names);
    if (servers) {
        int r = resolve_servers_parse(servers, &f->servers, e);
        if (r < 0)
            return r;
        f->own_servers = true;
    } else {
        read_resolv_conf("", 0, f); /* until the file says better */
    }
    f->resolv_conf = mem_strdup(resolv_conf ? resolv_conf : "/etc/resolv.conf");
    f->hosts = mem_strdup(hosts ? hosts : "/etc/hosts");
    resolve_files_refresh(f);
    return 0;
}

void resolve_files_done(struct resolve_files *f)
{
    forget_names(&f->names);
    free(f->resolv_conf);
    free(f->hosts);
    *f = (struct resolve_files){0};
}

/* ---- asking ---- */

bool resolve_files_get(const struct resolve_files *f, const char *name, struct resolved *ret)
{
    static const unsigned char v6[1][16] = {{[15] = 1}};
    static const unsigned char v4[1][16] = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    const struct hosts_entry *h = map_get(&f->names, name);
    if (h) {
        resolve_mix((const unsigned char(*)[16])h->address[0], h->n[0],
                    (const unsigned char(*)[16])h->address[1], h->n[1], ret);
        return true;
    }
    if (!str_eq(name, "localhost") && !str_ends(name, ".localhost"))
        return false;
    resolve_mix(v6, 1, v4, 1, ret);
    return true;
}
