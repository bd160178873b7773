/* exec.c - secrets that a command prints: the command line tools of secret managers.
 *
 * Theory of operation: the command runs in a process group of its own with an environment that has
 * PATH, LANG and what the configuration names, no descriptor but its three, and nothing to read.
 * What it prints goes into locked memory, with a ceiling; what it says on stderr is kept to 4 KiB,
 * the end of it, for the complaint (hush.c decides what of that may be quoted). Two fibers read
 * while the one of the read waits for the end; then what is left in the pipes is taken without
 * waiting, because a child that the command left behind may hold them open. Such a child lives on:
 * some tools keep an agent. In the time limit, or when too much is printed, the whole group is
 * killed.
 *
 * The command is the operator's. What it prints is checked like everything else that was read. */
#include "secret/kind.h"
#include "io/loop.h"
#include "io/proc.h"
#include "secret/hush.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX   64
#define NAMES_MAX  32
#define SAID_MAX   4096
#define FIRST_ROOM 4000u /* a page with what belongs to it */

static const char *const plain_env[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"};

struct variable {
    char *name, *text;            /* text: NULL with a source */
    struct secret_source *source; /* ours */
};

struct exec {
    char *argv[ARGS_MAX + 4];
    struct variable env[NAMES_MAX];
    size_t n_env;
};

/* ---- configuration ---- */

static int read_command(struct exec *x, const json_t *j, struct err *e)
{
    const char *text = json_string_value(j);
    size_t n = 0;
    if (text && *text) {
        x->argv[0] = mem_strdup("/bin/sh");
        x->argv[1] = mem_strdup("-c");
        x->argv[2] = mem_strdup(text);
        return 0;
    }
    if (!json_is_array(j) || json_array_size(j) == 0 || json_array_size(j) > ARGS_MAX)
        return err_set(e, -EINVAL,
                       "exec: a list of a program and its arguments, at most %d, or a line for the "
                       "shell",
                       ARGS_MAX);
    const char *program = json_string_value(json_array_get(j, 0));
    if (program && program[0] != '/') { /* the shell knows how to look through PATH */
        x->argv[n++] = mem_strdup("/bin/sh");
        x->argv[n++] = mem_strdup("-c");
        x->argv[n++] = mem_strdup("exec \"$@\"");
        x->argv[n++] = mem_strdup("sh");
    }
    for (size_t i = 0; i < json_array_size(j); i++) {
        const char *arg = json_string_value(json_array_get(j, i));
        if (!arg || (i == 0 && !*arg))
            return err_set(e, -EINVAL,
                           "exec: every argument is a text, and the program has a name");
        x->argv[n++] = mem_strdup(arg);
    }
    return 0;
}

static bool is_name(const char *s)
{
    if (!*s || (*s >= '0' && *s <= '9'))
        return false;
    return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] == '\0';
}

static int read_variables(struct secret_source *s, const json_t *o, struct err *e)
{
    struct exec *x = s->state;
    const char *name;
    json_t *v;
    if (!json_is_object(o) || json_object_size(o) > NAMES_MAX)
        return err_set(e, -EINVAL, "environment: an object of at most %d variables", NAMES_MAX);
    /* jansson's iteration only reads; its prototype predates const. */
    json_object_foreach ((json_t *)(uintptr_t)o, name, v) {
        if (!is_name(name))
            return err_set(e, -EINVAL, "environment: %.64s is no name of a variable", name);
        struct variable *to = &x->env[x->n_env++];
        to->name = mem_strdup(name);
        if (json_is_string(v)) {
            to->text = mem_strdup(json_string_value(v));
            continue;
        }
        int r = secret_source_new_below(s->all, v, 0, s->depth + 1, &to->source, e);
        if (r < 0)
            return err_wrap(e, r, "environment: %s (a text or a source)", name);
    }
    return 0;
}

static int exec_open(struct secret_source *s, const json_t *config, struct err *e)
{
    struct exec *x = mem_new(struct exec);
    s->state = x;
    int r = read_command(x, json_object_get(config, "exec"), e);
    if (r < 0)
        return r;
    /* Arguments may hold what is not for everybody; the program's name does not. */
    const json_t *argv = json_object_get(config, "exec");
    s->place = json_is_array(argv)
                   ? mem_printf("command %s", json_string_value(json_array_get(argv, 0)))
                   : mem_strdup("shell command");
    const json_t *env = json_object_get(config, "environment");
    return env ? read_variables(s, env, e) : 0;
}

static void exec_close(struct secret_source *s)
{
    struct exec *x = s->state;
    for (size_t i = 0; x && i < ARRAY_LEN(x->argv); i++)
        free(x->argv[i]);
    for (size_t i = 0; x && i < x->n_env; i++) {
        free(x->env[i].name);
        free(x->env[i].text);
        secret_source_unref(x->env[i].source);
    }
    free(x);
}

/* ---- its environment, in locked memory ---- */

struct environment {
    struct secret text; /* NAME=value NUL ... */
    const char *envp[ARRAY_LEN(plain_env) + NAMES_MAX + 1];
    struct secret_value *values[NAMES_MAX]; /* of the variables that have a source */
};

static void environment_done(struct environment *v)
{
    secret_done(&v->text);
    for (size_t i = 0; i < NAMES_MAX; i++)
        secret_value_unref(v->values[i]);
}

static int make_environment(const struct exec *x, struct environment *ret, struct err *e)
{
    size_t bytes = 0, at = 0, k = 0;
    for (size_t i = 0; i < x->n_env; i++) {
        const struct variable *v = &x->env[i];
        int r = v->source ? secret_source_get(v->source, &ret->values[i], e) : 0;
        if (r < 0)
            return err_wrap(e, r, "its variable %s", v->name);
        bytes += strlen(v->name) + 2;
        bytes += v->source ? secret_value_secret(ret->values[i])->len : strlen(v->text);
    }
    int r = secret_room(&ret->text, bytes);
    if (r < 0)
        return err_set(e, r, "no memory for its environment");
    for (size_t i = 0; i < ARRAY_LEN(plain_env); i++)
        ret->envp[k++] = plain_env[i];
    for (size_t i = 0; i < x->n_env; i++) {
        const struct variable *v = &x->env[i];
        const char *value = v->text;
        if (v->source)
            value = secret_borrow(secret_value_secret(ret->values[i]));
        size_t name = strlen(v->name), n = strlen(value);
        char *to = ret->text.data + at;
        memcpy(to, v->name, name);
        to[name] = '=';
        memcpy(to + name + 1, value, n);
        ret->envp[k++] = to;
        at += name + n + 2; /* the NUL is there already */
    }
    return 0;
}

/* ---- running ---- */

struct run {
    struct proc proc;
    struct io_fd out_fd, err_fd;
    struct secret out, said; /* rooms */
    size_t out_len, said_len, out_max;
    bool too_much;
    int no_room; /* a code: what it prints could not be kept */
};

static void run_kill(struct run *x)
{
    if (x->proc.pid > 0) /* not reaped: the group is still its own */
        (void)kill(-x->proc.pid, SIGKILL);
}

static void run_done(struct run *x)
{
    run_kill(x);
    proc_done(&x->proc);
    io_fd_close(&x->out_fd);
    io_fd_close(&x->err_fd);
    secret_done(&x->out);
    secret_done(&x->said);
}

/* Room for more of what it prints; 0 when it has printed all it may, or a negative code. */
static int out_room(struct run *x, char **ret_at, size_t *ret_n)
{
    if (x->out_len == x->out.len && x->out.len < x->out_max) {
        struct secret bigger = {0};
        size_t n = x->out.len ? 4 * x->out.len : FIRST_ROOM;
        int r = secret_room(&bigger, n < x->out_max ? n : x->out_max);
        if (r < 0) { /* what is there is not all of it */
            x->no_room = r;
            run_kill(x);
            return r;
        }
        if (x->out_len)
            memcpy(bigger.data, x->out.data, x->out_len);
        secret_done(&x->out);
        x->out = bigger;
    }
    *ret_at = x->out.data + x->out_len;
    *ret_n = x->out.len - x->out_len;
    return *ret_n > 0;
}

static void took_out(struct run *x, size_t n)
{
    x->out_len += n;
    if (x->out_len == x->out_max) {
        x->too_much = true;
        run_kill(x);
    }
}

/* The end of what it says is the part that explains. */
static void said_room(struct run *x)
{
    if (x->said_len < SAID_MAX)
        return;
    memmove(x->said.data, x->said.data + SAID_MAX / 2, SAID_MAX / 2);
    x->said_len = SAID_MAX / 2;
}

static int out_fiber(void *arg)
{
    struct run *x = arg;
    for (;;) {
        char *at;
        size_t room;
        if (out_room(x, &at, &room) <= 0)
            return 0;
        ssize_t n = io_read(&x->out_fd, at, room);
        if (n <= 0)
            return 0;
        took_out(x, (size_t)n);
    }
}

static int said_fiber(void *arg)
{
    struct run *x = arg;
    for (;;) {
        said_room(x);
        ssize_t n = io_read(&x->err_fd, x->said.data + x->said_len, SAID_MAX - x->said_len);
        if (n <= 0)
            return 0;
        x->said_len += (size_t)n;
    }
}

/* What is in the pipes when it has ended. */
static void take_rest(struct run *x)
{
    char *at;
    size_t room;
    ssize_t n;
    while (out_room(x, &at, &room) > 0 && (n = read(x->out_fd.fd, at, room)) > 0)
        took_out(x, (size_t)n);
    do {
        said_room(x);
        n = read(x->err_fd.fd, x->said.data + x->said_len, SAID_MAX - x->said_len);
        x->said_len += n > 0 ? (size_t)n : 0;
    } while (n > 0);
}

static int start(struct run *x, const struct exec *cmd, const struct environment *env,
                 struct err *e)
{
    int out[2], said[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return err_set(e, -errno, "no pipe to it: %s", err_text(-errno));
    AUTO_CLOSE int out_read = out[0], out_write = out[1];
    if (pipe2(said, O_CLOEXEC) < 0)
        return err_set(e, -errno, "no pipe to it: %s", err_text(-errno));
    AUTO_CLOSE int said_read = said[0], said_write = said[1];
    const char *argv[ARRAY_LEN(cmd->argv)];
    for (size_t i = 0; i < ARRAY_LEN(argv); i++)
        argv[i] = cmd->argv[i];
    struct proc_spec spec = {.path = argv[0],
                             .argv = argv,
                             .envp = env->envp,
                             .stdin_fd = -1,
                             .stdout_fd = out_write,
                             .stderr_fd = said_write,
                             .own_process_group = true,
                             .die_with_parent = true};
    int r = proc_start(&x->proc, &spec, e);
    if (r == 0 && (r = io_fd_add(&x->out_fd, out_read)) == 0)
        out_read = -1;
    if (r == 0 && (r = io_fd_add(&x->err_fd, said_read)) == 0)
        said_read = -1;
    return r < 0 && e->code == 0 ? err_set(e, r, "no pipe to it: %s", err_text(r)) : r;
}

/* Until it has ended, or the deadline. */
static int wait_for_end(struct run *x, int *ret_status, struct err *e)
{
    struct scope readers;
    scope_init(&readers);
    int r = fiber_spawn(&readers, "secret-out", out_fiber, x, NULL);
    if (r == 0)
        r = fiber_spawn(&readers, "secret-err", said_fiber, x, NULL);
    if (r == 0)
        r = proc_wait(&x->proc, ret_status);
    if (r < 0)
        run_kill(x);
    scope_done(&readers);
    take_rest(x);
    return r < 0 ? err_set(e, r, "it did not end in time") : 0;
}

/* Takes the quotation back when it repeats anything of `v`. */
static void hush(char quote[HUSH_MAX + 8], const struct secret_value *v)
{
    char again[HUSH_MAX + 8];
    if (!v)
        return;
    const struct secret *known = secret_value_secret(v);
    memcpy(again, quote, sizeof(again));
    (void)hush_quote(again, strlen(again), false, known->data, known->len, quote);
}

static int ended_badly(const struct secret_source *s, const struct run *x, int status,
                       const struct environment *env, struct err *e)
{
    char quote[HUSH_MAX + 8];
    /* Nothing of what it has printed, now or before, and nothing of the secrets it was given. */
    (void)hush_quote(x->said.data, x->said_len, true, x->out.data, x->out_len, quote);
    hush(quote, s->value);
    for (size_t i = 0; i < NAMES_MAX; i++)
        hush(quote, env->values[i]);
    const char *colon = quote[0] ? ": " : "";
    if (WIFSIGNALED(status))
        return err_set(e, -EIO, "it was ended by signal %d%s%s", WTERMSIG(status), colon, quote);
    int code = WEXITSTATUS(status);
    if (code == 127)
        return err_set(e, -ENOENT, "the program was not found; give its whole path%s%s", colon,
                       quote);
    return err_set(e, -EIO, "it ended with status %d%s%s", code, colon, quote);
}

static int exec_read(struct secret_source *s, struct secret_read *ret, struct err *e)
{
    const struct exec *cmd = s->state;
    AUTO(environment) env = {0};
    AUTO(run) x = {.proc.pidfd = IO_FD_NONE,
                   .out_fd = IO_FD_NONE,
                   .err_fd = IO_FD_NONE,
                   .out_max = (s->key ? SECRET_RAW_MAX : SECRET_VALUE_MAX + 1) + 1};
    int status = 0, r = make_environment(cmd, &env, e);
    if (r == 0 && (r = secret_room(&x.said, SAID_MAX)) < 0)
        (void)err_set(e, r, "no memory for what it says");
    if (r == 0)
        r = start(&x, cmd, &env, e);
    if (r == 0)
        r = wait_for_end(&x, &status, e);
    if (r < 0)
        return r;
    if (x.no_room < 0)
        return err_set(e, x.no_room, "no memory for what it prints");
    if (x.too_much)
        return err_set(e, -EFBIG, "it printed more than %zu bytes", x.out_max - 1);
    if (status != 0)
        return ended_badly(s, &x, status, &env, e);
    x.out.len = x.out_len;
    ret->raw = x.out;
    x.out = (struct secret){0};
    return 0;
}

static const char *const options[] = {"timeout", "environment", NULL};

const struct secret_kind secret_kind_exec = {
    .name = "exec",
    .options = options,
    .shared = true,
    .ttl_ms = 300000,
    .timeout_ms = 30000,
    .open = exec_open,
    .read = exec_read,
    .close = exec_close,
};
