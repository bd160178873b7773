/* resolve_files.c - lists of name servers, resolv.conf and hosts, whatever is in them.
 *
 * Input: a list, a NUL, a resolv.conf, a NUL, a hosts file. What is understood has ceilings, and what
 * was understood as a server is understood again as the same. */
#include "fuzz.h"
#include "io/resolve_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int file_of(const void *p, size_t n, char path[40])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    MUST(fd >= 0 && (n == 0 || write(fd, p, n) == (ssize_t)n));
    (void)snprintf(path, 40, "/proc/self/fd/%d", fd);
    return fd;
}

static void check_servers(const struct resolve_servers *s)
{
    MUST(s->n >= 1 && s->n <= RESOLVE_SERVERS_MAX);
    for (size_t i = 0; i < s->n; i++) {
        struct resolve_servers again;
        MUST(resolve_servers_parse(s->items[i].text, &again, NULL) == 0);
        MUST(again.n == 1 && strcmp(again.items[0].text, s->items[i].text) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *a = memchr(data, 0, size);
    size_t n = a ? (size_t)(a - data) : size;
    char *list = mem_strndup((const char *)data, n);
    struct resolve_servers s;
    if (resolve_servers_parse(list, &s, NULL) == 0)
        check_servers(&s);
    free(list);
    data += n + (a != NULL);
    size -= n + (a != NULL);
    a = memchr(data, 0, size);
    n = a ? (size_t)(a - data) : size;
    char conf[40], hosts[40];
    int conf_fd = file_of(data, n, conf), hosts_fd = file_of(data + n, size - n, hosts);
    struct resolve_files f;
    struct resolved found;
    MUST(resolve_files_init(&f, conf, hosts, NULL, NULL) == 0);
    check_servers(&f.servers);
    size_t pos = 0;
    const char *name;
    while (map_next(&f.names, &pos, &name, NULL)) {
        MUST(strlen(name) >= 1 && strlen(name) <= RESOLVE_NAME_MAX);
        MUST(resolve_files_get(&f, name, &found));
        MUST(found.n >= 1 && found.n <= RESOLVE_ADDRESSES_MAX);
    }
    resolve_files_done(&f);
    (void)close(conf_fd);
    (void)close(hosts_fd);
    return 0;
}
