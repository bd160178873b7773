/* log - what the tests of the audit log share: a directory, records, reading everything back. */
#pragma once

#include "unit/unit.h"
#include "audit/files.h"
#include "audit/key.h"
#include "audit/verify.h"
#include "audit/writer.h"
#include "base/err.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct test_log {
    char dir[64], path[96], key[112], pub[112];
};

/* Where there is no disk to wait for, if there is such a place: thousands of logs are made. Those of
 * tests/scenario/audit.test.mjs are on a disk. */
static inline void log_make(struct test_log *l)
{
    struct stat st;
    bool shm = stat("/dev/shm", &st) == 0 && (st.st_mode & S_IWOTH);
    snprintf(l->dir, sizeof(l->dir), "%s/sallyport-audit-XXXXXX", shm ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(l->dir));
    snprintf(l->path, sizeof(l->path), "%s/audit.jsonl", l->dir);
    snprintf(l->key, sizeof(l->key), "%s.key", l->path);
    snprintf(l->pub, sizeof(l->pub), "%s.pub", l->path);
}

static inline void log_remove(struct test_log *l)
{
    DIR *d = opendir(l->dir);
    char name[512];
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') {
            snprintf(name, sizeof(name), "%s/%s", l->dir, e->d_name);
            (void)unlink(name);
        }
    if (d)
        (void)closedir(d);
    (void)rmdir(l->dir);
}

static inline struct audit_writer *log_open_with(struct test_log *l, int64_t rotate,
                                                 unsigned records)
{
    struct audit_writer *w = NULL;
    struct err e = {0};
    struct audit_options o = {
        .path = l->path, .rotate_bytes = rotate, .checkpoint_records = records};
    if (audit_writer_open(&o, &w, &e) < 0)
        fail_msg("open: %s", e.msg);
    return w;
}

static inline struct audit_writer *log_open(struct test_log *l)
{
    return log_open_with(l, 0, 0);
}

static inline void log_close(struct audit_writer *w)
{
    struct err e = {0};
    if (audit_writer_close(w, &e) < 0)
        fail_msg("close: %s", e.msg);
}

static inline struct audit_record log_record(const char *session, const char *path)
{
    return (struct audit_record){.kind = AUDIT_REQUEST,
                                 .session = audit_text(session),
                                 .call = audit_text("call_1"),
                                 .verdict = audit_text("allow"),
                                 .method = audit_text("GET"),
                                 .host = audit_text("api.example"),
                                 .path = audit_text(path),
                                 .status = 200,
                                 .port = 443};
}

/* Adds and writes `n` records of `session`. */
static inline void log_add(struct audit_writer *w, const char *session, size_t n)
{
    struct err e = {0};
    for (size_t i = 0; i < n; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/%zu", i);
        struct audit_record r = log_record(session, path);
        if (audit_writer_reserve(w, 1, &e) < 0 ||
            audit_writer_add(w, "test", NULL, 0, &r, &e) < 0 || audit_writer_flush(w, &e) < 0)
            fail_msg("add: %s", e.msg);
    }
}

/* Verifies with the public key beside the log. */
static inline int log_verify(struct test_log *l, struct audit_report *ret, struct err *e)
{
    struct ed25519 *key = NULL;
    *ret = (struct audit_report){0};
    int r = audit_key_read_public(l->pub, &key, e);
    if (r == 0)
        r = audit_verify(l->path, key, NULL, NULL, NULL, ret, e);
    ed25519_free(key);
    return r;
}

static inline void log_holds(struct test_log *l, struct audit_report *ret)
{
    struct err e = {0};
    if (log_verify(l, ret, &e) < 0)
        fail_msg("%s line %llu: %s", ret->bad_file ? ret->bad_file : "?",
                 (unsigned long long)ret->bad_line, e.msg);
    audit_report_done(ret);
}

static inline bool log_proc(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        (void)close(fd);
    return done;
}

/* Puts the directory on a file system of its own of this size ("512k"), for this process alone. False
 * where that cannot be had. */
static inline bool log_on_tmpfs(struct test_log *l, const char *size)
{
    char map[64], options[32];
    long gid = (long)getegid();
    if (geteuid() != 0) {
        snprintf(map, sizeof(map), "0 %ld 1", (long)geteuid());
        if (unshare(CLONE_NEWUSER) < 0 || !log_proc("/proc/self/uid_map", map))
            return false;
        (void)log_proc("/proc/self/setgroups", "deny");
        snprintf(map, sizeof(map), "0 %ld 1", gid);
        (void)log_proc("/proc/self/gid_map", map);
    }
    snprintf(options, sizeof(options), "size=%s", size);
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", l->dir, "tmpfs", 0, options) == 0;
}

/* The whole of a small file, malloc'ed, with a NUL behind it. */
static inline char *log_read(const char *path, size_t *ret_n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    char *p = mem_zalloc((size_t)st.st_size + 1);
    assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
    (void)close(fd);
    *ret_n = (size_t)st.st_size;
    return p;
}

static inline void log_write(const char *path, const char *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), n);
    (void)close(fd);
}
