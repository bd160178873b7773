/* sockets.c - adding up the Internet sockets of the network namespace.
 *
 * Called by init with each look at memory. A control group of version 1 does not count what lies in
 * TCP's buffers, and without a group nobody does, while the kernel has one ceiling for the whole
 * machine (tcp_mem): some hundred connections to oneself would take it. So the queues are counted
 * here, and are memory like any other. Unix sockets are charged to a group of either version, and
 * their queues are told by no file.
 *
 * Reading these tables costs a walk over the machine's, so it is done only when there are enough
 * sockets to matter. */
#include "sandbox/init/sockets.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

#define SOCKET_MOST (10u << 20) /* what both queues of one hold at most: tcp_rmem and tcp_wmem */

/* States of a connection that matter here (include/net/tcp_states.h). */
#define STATE_ASKS    0x02 /* SYN_SENT: while it is set up its numbers are anything up to 4 GiB */
#define STATE_NEW     0x03 /* SYN_RECV: nobody's yet, but not left behind */
#define STATE_WAITS   0x06 /* TIME_WAIT: holds nothing */
#define STATE_LISTENS 0x0a /* its numbers count connections */

static const struct {
    const char *path, *stat, *name;
} tables[] = {
    {"/proc/net/tcp", "/proc/net/sockstat", "TCP:"},
    {"/proc/net/tcp6", "/proc/net/sockstat6", "TCP6:"},
    {"/proc/net/udp", "/proc/net/sockstat", "UDP:"},
    {"/proc/net/udp6", "/proc/net/sockstat6", "UDP6:"},
};

uint64_t sockets_parse_count(const char *text, const char *name)
{
    const size_t n = strlen(name);
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        if (strncmp(p, name, n) != 0 || strncmp(p + n, " inuse ", 7) != 0)
            continue;
        uint64_t count;
        const char *digits = p + n + 7;
        return str_to_u64(digits, strcspn(digits, " \n"), UINT32_MAX, &count) == 0 ? count : 0;
    }
    return 0;
}

/* Words of a line, counted from 0:
 *   sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode */
#define STATE_WORD  3
#define QUEUES_WORD 4
#define INODE_WORD  9

static const char *word_at(const char *line, int index, size_t *ret_len)
{
    const char *p = line + strspn(line, " ");
    for (int i = 0; i < index; i++) {
        p += strcspn(p, " \n");
        p += strspn(p, " ");
    }
    *ret_len = strcspn(p, " \n");
    return p;
}

/* A queue's length is the difference of two numbers that the kernel reads without a lock, and so for a moment negative:
 * 4 GiB, written as it is for the queue of what is sent. */
static uint64_t bytes_of(uint64_t queue)
{
    return queue > INT32_MAX ? 0 : queue;
}

bool sockets_parse_line(const char *line, struct sockets_usage *ret)
{
    size_t n, left;
    uint64_t state, sent, received, inode;
    const char *p = word_at(line, STATE_WORD, &n);
    if (str_hex_to_u64(p, n, &state) < 0)
        return false;
    p = word_at(line, QUEUES_WORD, &n);
    const char *colon = memchr(p, ':', n);
    left = colon ? (size_t)(colon - p) : 0;
    if (!colon || str_hex_to_u64(p, left, &sent) < 0 ||
        str_hex_to_u64(colon + 1, n - left - 1, &received) < 0)
        return false;
    p = word_at(line, INODE_WORD, &n);
    if (str_to_u64(p, n, UINT64_MAX, &inode) < 0)
        return false;
    if (state != STATE_LISTENS && state != STATE_ASKS)
        ret->bytes += bytes_of(sent) + bytes_of(received);
    ret->orphans += inode == 0 && state != STATE_WAITS && state != STATE_NEW;
    return true;
}

static uint64_t count(size_t table)
{
    char text[1024];
    AUTO_CLOSE int fd = open(tables[table].stat, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return sockets_parse_count(text, tables[table].name);
}

static void add_table(const char *path, struct sockets_usage *ret)
{
    char line[512];
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f))
        (void)sockets_parse_line(line, ret);
    if (f)
        fclose(f);
}

void sockets_usage(uint64_t small, struct sockets_usage *ret)
{
    uint64_t n[ARRAY_LEN(tables)], all = 0;
    *ret = (struct sockets_usage){.bytes = 0};
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        all += n[i] = count(i);
    if (all * SOCKET_MOST <= small)
        return;
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        if (n[i])
            add_table(tables[i].path, ret);
}
