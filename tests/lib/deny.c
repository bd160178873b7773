/* deny.c - runs a program under a filter that refuses some system calls, for tests.
 *
 *   deny ERROR=CALL[,CALL...] [ERROR=...] -- COMMAND [ARGUMENTS]
 *
 * ERROR is eperm, eagain, enosys, einval, eopnotsupp or kill; CALL is a name, or NAME:N for calls
 * whose first argument is N. It stands in for kernels and containers that lack a call or forbid it:
 * the program and what it starts meet the refusal for real. libseccomp sets no_new_privs, so that
 * an ordinary user can install the filter, too. */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t action(const char *word, size_t n)
{
    static const struct {
        const char *word;
        int error;
    } known[] = {{"eperm", EPERM},
                 {"eagain", EAGAIN},
                 {"enosys", ENOSYS},
                 {"einval", EINVAL},
                 {"eopnotsupp", EOPNOTSUPP}};
    if (n == 4 && !memcmp(word, "kill", 4))
        return SCMP_ACT_KILL_PROCESS;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strlen(known[i].word) == n && !memcmp(word, known[i].word, n))
            return SCMP_ACT_ERRNO((uint32_t)known[i].error);
    return 0;
}

/* One "NAME" or "NAME:N". */
static int add_call(scmp_filter_ctx f, uint32_t act, char *call)
{
    char *colon = strchr(call, ':');
    if (colon)
        *colon = '\0';
    int nr = seccomp_syscall_resolve_name(call);
    if (nr == __NR_SCMP_ERROR)
        return -ENOENT;
    if (!colon)
        return seccomp_rule_add(f, act, nr, 0);
    char *end;
    unsigned long first = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end)
        return -EINVAL;
    const struct scmp_arg_cmp is_first = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = first};
    return seccomp_rule_add_array(f, act, nr, 1, &is_first);
}

static int add_rules(scmp_filter_ctx f, char *rule)
{
    size_t n = strcspn(rule, "=");
    uint32_t act = rule[n] ? action(rule, n) : 0;
    if (!act)
        return -EINVAL;
    char *save = NULL;
    for (char *c = strtok_r(rule + n + 1, ",", &save); c; c = strtok_r(NULL, ",", &save)) {
        int r = add_call(f, act, c);
        if (r < 0)
            return r;
    }
    return 0;
}

int main(int argc, char **argv)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    int i = 1;
    if (!f)
        return 125;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (add_rules(f, argv[i]) < 0) {
            fprintf(stderr, "deny: %s is not ERROR=CALL,CALL\n", argv[i]);
            return 125;
        }
    if (i + 1 >= argc || seccomp_load(f) < 0) {
        fprintf(stderr, "usage: deny ERROR=CALL[,CALL...] -- COMMAND\n");
        return 125;
    }
    execvp(argv[i + 1], argv + i + 1);
    fprintf(stderr, "deny: %s cannot be executed\n", argv[i + 1]);
    return 127;
}
