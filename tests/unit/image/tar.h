/* tar - archives written byte by byte, so that a test can say what no tool would write, and trees
 * compared as text. */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAR_MAX (64u << 20)

/* One header block with its checksum. `size` goes into the header as it is. */
static inline void tar_header(struct buf *b, const char *name, char type, unsigned mode,
                              const char *link, uint64_t size)
{
    char h[512] = "";
    size_t n = strlen(name), k = strlen(link);
    memcpy(h, name, n < 100 ? n : 100);
    snprintf(h + 100, 8, "%07o", mode);
    snprintf(h + 108, 8, "%07o", 12345u); /* owner and group: not kept */
    snprintf(h + 116, 8, "%07o", 12345u);
    snprintf(h + 124, 12, "%011llo", (unsigned long long)size);
    snprintf(h + 136, 12, "%011llo", 1700000000ull);
    h[156] = type;
    memcpy(h + 157, link, k < 100 ? k : 100);
    memcpy(h + 257, "ustar\00000", 8);
    memset(h + 148, ' ', 8);
    unsigned sum = 0;
    for (size_t i = 0; i < 512; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    buf_add(b, h, sizeof(h));
}

static inline void tar_data(struct buf *b, const void *p, size_t n)
{
    static const char zeros[512];
    buf_add(b, p, n);
    buf_add(b, zeros, (512 - n % 512) % 512);
}

/* Adds a record to the body of a pax header; `n` bytes of value. */
static inline void tar_pax_record(struct buf *r, const char *key, const void *value, size_t n)
{
    size_t rest = strlen(key) + n + 3, len = rest + 1; /* blank, '=', newline, and the length */
    for (size_t next;; len = next) {
        next = rest + (size_t)snprintf(NULL, 0, "%zu", len);
        if (next == len)
            break;
    }
    buf_addf(r, "%zu %s=", len, key);
    buf_add(r, value, n);
    buf_addc(r, '\n');
}

/* A pax header of one record for the next entry. */
static inline void tar_pax(struct buf *b, const char *key, const void *value, size_t n)
{
    struct buf r = BUF_INIT(TAR_MAX);
    tar_pax_record(&r, key, value, n);
    tar_header(b, "pax", 'x', 0644, "", r.len);
    tar_data(b, r.data, r.len);
    buf_done(&r);
}

/* An entry; names and links too long for a header come in a pax record. */
static inline void tar_entry(struct buf *b, const char *name, char type, unsigned mode,
                             const char *link, const void *p, size_t n)
{
    if (strlen(name) > 100)
        tar_pax(b, "path", name, strlen(name));
    if (strlen(link) > 100)
        tar_pax(b, "linkpath", link, strlen(link));
    tar_header(b, name, type, mode, link, n);
    tar_data(b, p, n);
}

static inline void tar_file(struct buf *b, const char *name, const char *text)
{
    tar_entry(b, name, '0', 0644, "", text, strlen(text));
}

static inline void tar_end(struct buf *b)
{
    static const char zeros[1024];
    buf_add(b, zeros, sizeof(zeros));
}

/* The bytes as a file without a name. */
static inline int tar_fd(const struct buf *b)
{
    int fd = memfd_create("tar", MFD_CLOEXEC);
    size_t done = 0;
    while (fd >= 0 && done < b->len) {
        ssize_t n = write(fd, b->data + done, b->len - done);
        if (n <= 0)
            abort();
        done += (size_t)n;
    }
    return fd;
}

/* ---- trees ---- */

static inline int tree_order(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Every entry below `dir` as "TYPE MODE PATH[=CONTENT or ->TARGET]\n", sorted. */
static inline void tree_list(const char *dir, const char *prefix, struct buf *out)
{
    struct dirent **names;
    int n = scandir(dir, &names, NULL, tree_order);
    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        char *path = mem_printf("%s/%s", dir, name), *shown = mem_printf("%s%s", prefix, name);
        char text[64] = "";
        struct stat st;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && lstat(path, &st) == 0) {
            char *escaped;
            struct buf e = BUF_INIT(8192);
            str_escape(&e, shown, strlen(shown), 4000);
            escaped = buf_take(&e, NULL);
            if (S_ISDIR(st.st_mode)) {
                buf_addf(out, "d%o %s\n", st.st_mode & 07777, escaped);
                char *deeper = mem_printf("%s/", shown);
                tree_list(path, deeper, out);
                free(deeper);
            } else if (S_ISLNK(st.st_mode)) {
                (void)!readlink(path, text, sizeof(text) - 1);
                buf_addf(out, "l %s->%s\n", escaped, text);
            } else {
                int fd = open(path, O_RDONLY | O_CLOEXEC);
                (void)!read(fd, text, sizeof(text) - 1);
                close(fd);
                buf_addf(out, "%s%o %s=%s\n", S_ISREG(st.st_mode) ? "f" : "?", st.st_mode & 07777,
                         escaped, text);
            }
            free(escaped);
        }
        free(path);
        free(shown);
        free(names[i]);
    }
    free(n >= 0 ? names : NULL);
}
