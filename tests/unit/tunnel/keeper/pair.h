/* pair.h - a keeper and the gateway's end of its channel, in one process, for tests. */
#pragma once

#include "unit/loop.h"
#include "unit/unit.h"
#include "base/err.h"
#include "base/json.h"
#include "fiber/fiber.h"
#include "io/sock.h"
#include "tunnel/gateway/supply.h"
#include "tunnel/keeper/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What stands for `sallyport exec`: the test's own program, told by its first argument (test_programs.c). */
#define AS_PROGRAM "--as-program"

static char **pair_arguments(void *arg, const struct gateway_stdio *s, size_t slot)
{
    char **list = mem_array(5, sizeof(*list));
    (void)arg;
    list[0] = mem_strdup("test");
    list[1] = mem_strdup(AS_PROGRAM);
    list[2] = mem_strdup(s->route);
    list[3] = mem_printf("%s %zu", s->command[s->n - 1], slot);
    list[4] = NULL;
    return list;
}

struct pair {
    char dir[64];
    struct gateway_keeper *k;
    struct ctl *gateway; /* its end */
    char line[200];      /* of `ready` */
};

static void write_file(const struct pair *p, const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", p->dir, name);
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void write_config(const struct pair *p, const char *secret)
{
    AUTO_FREE char *text = mem_printf(
        "edge: http://127.0.0.1:1\ntoken_file: %s/token\ntunnel_domain: t.localhost\n"
        "tls: {cert_file: %s/cert, key_file: %s/key}\n"
        "upstream: {allowed_ips: [127.0.0.0/8]}\nroutes:\n"
        "  a: {upstream: 'http://127.0.0.1:2', credential: {header: X-Key, value: '${file:%s/%s}', "
        "plaintext: true}}\n"
        "  b: {upstream: 'unix:%s/socket'}\n"
        "  c: {command: [some, server], sandbox: {env: {A: b}}}\n",
        p->dir, p->dir, p->dir, p->dir, secret, p->dir);
    write_file(p, "gateway.yaml", text);
}

static int hear_nothing(void *arg, const char *op, const json_t *o, struct ctl_fds *fds,
                        struct ctl_answer *answer, struct err *e)
{
    (void)arg, (void)op, (void)o, (void)fds, (void)answer, (void)e;
    return 0;
}

static void on_ready(void *arg, const char *line)
{
    struct pair *p = arg;
    (void)snprintf(p->line, sizeof(p->line), "%s", line);
}

static void begin(struct pair *p)
{
    struct err e = {0};
    int ends[2];
    *p = (struct pair){.dir = "/tmp/sallyport-keeper-XXXXXX"};
    assert_non_null(mkdtemp(p->dir));
    write_config(p, "one");
    write_file(p, "token", "the-token\n");
    write_file(p, "cert", "the certificate");
    write_file(p, "key", "the key");
    write_file(p, "one", "secret-one\n");
    write_file(p, "two", "secret-two\n");
    AUTO_FREE char *config = mem_printf("%s/gateway.yaml", p->dir);
    p->k = gateway_keeper_open(
        &(struct gateway_keeper_options){.config_path = config,
                                         .level_given = true,
                                         .programs = {.arguments = pair_arguments},
                                         .on_ready = on_ready,
                                         .arg = p},
        &e);
    assert_string_equal(e.msg, "");
    assert_non_null(p->k);
    p->k->o.config_path = TAKE(config);
    assert_int_equal(sock_pair(SOCK_SEQPACKET, ends), 0);
    p->k->ctl = ctl_new(ends[0], keeper_hear, p->k);
    p->gateway = ctl_new(ends[1], hear_nothing, p);
}

static void end(struct pair *p)
{
    static const char *const names[] = {"gateway.yaml", "token", "cert",   "key",
                                        "one",          "two",   "socket", "pins.json"};
    char *config = (char *)(uintptr_t)p->k->o.config_path;
    ctl_free(p->gateway);
    ctl_free(p->k->ctl);
    keeper_sets_done(p->k);
    gateway_keeper_close(p->k);
    free(config);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/%s", p->dir, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(p->dir), 0);
}

/* Gets a set and takes it. */
static int64_t serve_files(struct pair *p)
{
    struct supply_files f = SUPPLY_FILES_NONE;
    struct err e = {0};
    char text[64] = "";
    assert_int_equal(supply_files(p->gateway, &f, &e), 0);
    assert_true(f.n > 0 && f.cert_fd >= 0 && f.key_fd >= 0 && f.ca_fd == -1);
    assert_true(read(f.key_fd, text, sizeof(text)) == 7);
    assert_string_equal(text, "the key");
    assert_true(write(f.key_fd, "x", 1) < 0); /* for reading alone */
    int64_t number = f.number;
    supply_files_done(&f);
    supply_taken(p->gateway, number);
    return number;
}
