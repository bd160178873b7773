/* env.c - secrets from this process's own environment.
 *
 * Theory of operation: a variable is taken when the first source that names it is made. Its bytes
 * are copied into locked memory and overwritten where the kernel put them, which is what
 * /proc/PID/environ shows, and the variable is removed, so that no child inherits it. What was taken
 * is kept until the process ends, because a configuration that is loaded again names it again. The
 * environment of a running process cannot change from outside: a new value takes a new start. Loop
 * thread, before other threads read the environment. Never suspends. */
#include "secret/kind.h"
#include "base/list.h"
#include "base/str.h"

#include <string.h>
#include <unistd.h>

struct taken {
    struct list node;
    char *name;
    struct secret value;
};
static struct list all_taken = LIST_INIT(all_taken);

static struct taken *find(const char *name)
{
    LIST_FOREACH (t, &all_taken, struct taken, node) {
        if (str_eq(t->name, name))
            return t;
    }
    return NULL;
}

/* Moves the variable into locked memory. Every entry of that name: there may be several. */
static int take(const char *name, struct err *e)
{
    size_t n = strlen(name);
    char **p = environ;
    while (p && *p) {
        if (strncmp(*p, name, n) != 0 || (*p)[n] != '=') {
            p++;
            continue;
        }
        char *text = *p + n + 1;
        if (!find(name)) {
            struct taken *t = mem_new(struct taken);
            int r = secret_set(&t->value, text, strlen(text));
            if (r < 0) {
                free(t);
                return err_set(e, r, "%s: %s", name, err_text(r));
            }
            t->name = mem_strdup(name);
            list_push_back(&all_taken, &t->node);
        }
        secret_wipe(text, strlen(text));
        for (char **q = p; *q; q++)
            q[0] = q[1];
    }
    return 0;
}

static int env_open(struct secret_source *s, const json_t *config, struct err *e)
{
    const char *name;
    int r = secret_config_text(config, "env", 256, &name, e);
    if (r < 0)
        return r;
    if (strchr(name, '='))
        return err_set(e, -EINVAL, "env: a variable's name has no \"=\" in it");
    s->place = mem_printf("environment variable %s", name);
    s->state = mem_strdup(name);
    return s->all->options.only_check ? 0 : take(name, e);
}

static int env_read(struct secret_source *s, struct secret_read *ret, struct err *e)
{
    const struct taken *t = find(s->state);
    ret->refused = true;
    if (!t)
        return err_set(e, -ENOENT, "it is not set; start this process with it, or use a file");
    int r = secret_set(&ret->raw, t->value.data, t->value.len);
    return r < 0 ? err_set(e, r, "%s", err_text(r)) : 0;
}

static void env_close(struct secret_source *s)
{
    free(s->state);
}

const struct secret_kind secret_kind_env = {
    .name = "env",
    .shared = true,
    .ttl_ms = SECRET_FOREVER,
    .timeout_ms = 1000,
    .open = env_open,
    .read = env_read,
    .close = env_close,
};
