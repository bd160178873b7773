/* test_box_engines.c - one table of tool calls through every engine: the sandboxes of our own,
 * containers of crun and of runc, and no isolation. What the tools do must not depend on who
 * built the walls. Then what only one of them promises: that a container holds nothing of the
 * host and no rights, that errors of a runtime are passed on in words, and that nothing is
 * left after kill -9. */
#include "unit/loop.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "unit/box/box_harness.h"
#include "fiber/fiber.h"
#include "sandbox/spec.h"
#include "box/state.h"

struct engine {
    const char *name;
    enum box_isolation isolation;
    const char *runtime;
};
static const struct engine engines[] = {{"native", BOX_NATIVE, NULL},
                                        {"crun", BOX_OCI, "crun"},
                                        {"runc", BOX_OCI, "runc"},
                                        {"none", BOX_NONE, NULL}};

/* An ordinary user's container has one id, which is root's inside: the tables here want two
 * (an_ordinary_user_has_containers, below, runs with one). */
static bool applies(const struct engine *en)
{
    if (en->isolation != BOX_OCI || geteuid() == 0)
        return true;
    print_message("%s: only as root; as this user, see an_ordinary_user_has_containers\n",
                  en->name);
    return false;
}

static struct box_host_config config_of(const struct engine *en, const char *dir)
{
    return (struct box_host_config){
        .state_dir = dir, .isolation = en->isolation, .oci_runtime = en->runtime};
}

/* ---- the same calls ---- */

/* Calls in order, in one sandbox. `text` NULL: any; "~..." must be found in it. "@" stands for a
 * word that is in no other command line of this machine: one of the engines sees them all. */
static const struct {
    const char *tool, *input;
    bool is_error;
    const char *text;
} calls[] = {
    {"bash", "{\"command\":\"echo hello\"}", false, "hello"},
    {"bash", "{\"command\":\"X=1; f() { echo $X$1; }; mkdir -p d/e; cd d\"}", false, "(no output)"},
    {"bash", "{\"command\":\"f 2; basename $PWD\"}", false, "12\nd"},
    {"bash", "{\"command\":\"test $HOME = $(dirname $PWD) && echo home\"}", false, "home"},
    {"bash", "{\"command\":\"exit_code() { return 7; }; exit_code\"}", true, "exit 7"},
    {"bash", "{\"command\":\"echo out; echo err >&2; false\"}", true, "out\nerr"},
    {"bash", "{\"command\":\"cat\"}", false, "(no output)"},
    {"bash", "{\"command\":\"sleep @1 & echo started\"}", false, "started"},
    {"bash", "{\"command\":\"jobs -r | wc -l\"}", false, "1"},
    {"bash", "{\"command\":\"sleep @2 & sleep @3\",\"timeout_ms\":300}", true,
     "~timed out after 300 ms"},
    {"bash", "{\"command\":\"pgrep -f 'sleep @[23]' | wc -l; pgrep -cf 'sleep @[1]'\"}", false,
     "0\n1"},
    {"bash", "{\"restart\":true}", false, "bash session restarted"},
    {"bash", "{\"command\":\"pgrep -f 'sleep @[1]' | wc -l; echo ${X-unset}\"}", false, "0\nunset"},
    {"bash",
     "{\"command\":\"(setsid sleep @4 &) ; setsid sh -c 'sleep @5 & sleep @6' & sleep "
     "@7\",\"timeout_ms\":300}",
     true, "~timed out"},
    {"bash", "{\"command\":\"pgrep -f 'sleep @[4-7]' | wc -l\"}", false, "0"},
    {"bash", "{\"command\":\"exit 3\"}", true, "~the shell ended with exit code 3"},
    {"bash", "{\"command\":\"kill -9 $$\"}", true, "~signal 9"},
    {"bash", "{\"command\":\"echo back\"}", false, "back"},
    {"write", "{\"file_path\":\"a/b.txt\",\"content\":\"one\\ntwo\\nthree\\n\"}", false,
     "wrote 14 bytes to a/b.txt"},
    {"read", "{\"file_path\":\"a/b.txt\"}", false, "~two"},
    {"edit", "{\"file_path\":\"a/b.txt\",\"old_string\":\"two\",\"new_string\":\"TWO\"}", false,
     NULL},
    {"bash", "{\"command\":\"cat ~/a/b.txt\"}", false, "one\nTWO\nthree"},
    {"glob", "{\"pattern\":\"**/*.txt\"}", false, "~b.txt"},
    {"grep", "{\"pattern\":\"T.O\"}", false, "~TWO"},
    {"read", "{\"file_path\":\"missing\"}", true, NULL},
    {"nonsense", "{}", true, "~no such tool"},
    {"bash", "{\"command\":\"seq 1 60000\"}", false, "~the whole output is in "},
    {"bash", "{\"command\":\"yes\"}", true, "~printed more than 4 MiB"},
    {"bash", "{\"command\":\"ulimit -n; ulimit -c\"}", false, "512\n0"},
    {"bash",
     "{\"command\":\"python3 -c 'import threading as t; a = t.Thread(target=print, args=[7]); "
     "a.start(); a.join()'\"}",
     false, "7"},
};

/* What to show of a text that does not fit: a failing test prints 1,000 bytes at most. */
static const char *excerpt(const char *text)
{
    const char *cut = text ? strstr(text, " bytes are left out") : NULL;
    return !text ? "-" : cut ? cut : strlen(text) > 600 ? text + strlen(text) - 600 : text;
}

static bool fits(const char *text, const char *wanted)
{
    if (!wanted)
        return text != NULL;
    if (wanted[0] == '~')
        return text && strstr(text, wanted + 1);
    return str_eq(text, wanted);
}

/* The place named in a cut output holds all of it. */
static void check_spool(struct box *b)
{
    AUTO(tool_answer) a = harness_bash(b, "seq 1 60001");
    const char *at = a.text ? strstr(a.text, "the whole output is in ") : NULL;
    assert_non_null(at);
    at += strlen("the whole output is in ");
    AUTO_FREE char *command = mem_printf("tail -n1 %.*s", (int)strcspn(at, "]"), at);
    harness_expect(b, command, "60001");
}

/* `text` with the word in place of every "@". */
static char *with_word(const char *text)
{
    AUTO_FREE char *word = outside_word(700);
    AUTO(buf) b = BUF_INIT(4096);
    for (const char *p = text; *p; p++)
        if (*p == '@')
            buf_adds(&b, word);
        else
            buf_add(&b, p, 1);
    return mem_strdup(buf_str(&b));
}

static int calls_fiber(void *arg)
{
    const struct engine *en = arg;
    char *dir = outside_dir();
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.limits.output_bytes = 4u << 20;
    s.limits.open_files = 512;
    struct box_host_config cfg = config_of(en, dir);
    cfg.warm_spec = &s;
    struct box_host *h = harness_start(&cfg);
    struct box_spec spec = {.session_id = "sesn_calls", .sandbox = &s};
    int64_t began = time_mono_ns();
    struct box *b = harness_open(h, &spec);
    print_message("%s: opened in %lld us\n", en->name, (long long)(time_mono_ns() - began) / 1000);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        AUTO_FREE char *input = with_word(calls[i].input);
        AUTO(tool_answer) a = harness_call(b, calls[i].tool, input);
        if (a.code != 0 || a.is_error != calls[i].is_error || !fits(a.text, calls[i].text))
            fail_msg("%s: %s %s\n  gave %d %s %s", en->name, calls[i].tool, input, a.code,
                     a.is_error ? "error" : "ok", excerpt(a.text));
    }
    check_spool(b);
    struct box *other = harness_open(h, &spec); /* a session of its own beside it */
    harness_expect(other, "ls -A ~ | wc -l; echo ${X-unset}", "0\nunset");
    box_close(other);
    AUTO_FREE char *word = outside_word(701);
    AUTO_FREE char *three =
        mem_printf("sleep %s0 & sleep %s1 & setsid sleep %s2 & echo three", word, word, word);
    harness_expect(b, three, "three");
    box_close(b);
    outside_wait_gone(word);
    box_host_stop(h);
    outside_dir_gone(dir);
    return 0;
}

static void every_engine_gives_the_same_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(engines); i++)
        if (applies(&engines[i]))
            run_on_loop(calls_fiber, (void *)(uintptr_t)&engines[i]);
}

/* ---- cancelling, and limits that init watches ---- */

struct job {
    struct box *box;
    const char *word;
    int code;
};

static int long_job(void *arg)
{
    struct job *j = arg;
    AUTO_FREE char *command =
        mem_printf("setsid sleep %s1 & sleep %s2 & sleep %s3", j->word, j->word, j->word);
    AUTO(tool_answer) a = harness_bash(j->box, command);
    j->code = a.code;
    return 0;
}

static int cancel_fiber(void *arg)
{
    const struct engine *en = arg;
    char *dir = outside_dir();
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.limits.memory_bytes = 64u << 20;
    struct box_host_config cfg = config_of(en, dir);
    cfg.warm_spec = &s;
    struct box_host *h = harness_start(&cfg);
    struct box_spec spec = {.session_id = "sesn_cancel", .sandbox = &s};
    struct box *b = harness_open(h, &spec);
    struct scope scope;
    scope_init(&scope);
    AUTO_FREE char *word = outside_word(702);
    AUTO_FREE char *last = mem_printf("%s3", word);
    struct job j = {.box = b, .word = word};
    struct fiber *f;
    assert_int_equal(fiber_spawn(&scope, "job", long_job, &j, &f), 0);
    for (int i = 0; outside_processes(last) == 0; i++) { /* it has got that far */
        assert_true(i < 2000);
        assert_int_equal(fiber_sleep_ms(5), 0);
    }
    fiber_cancel(f);
    assert_int_equal(scope_join(&scope), 0);
    scope_done(&scope);
    assert_int_equal(j.code, -ECANCELED);
    AUTO_FREE char *left = mem_printf("pgrep -f 'sleep %s[1-3]' | wc -l", word);
    harness_expect(b, left, "0");
    /* Memory: a string that doubles. */
    AUTO(tool_answer) a = harness_bash(b, "x=0123456789abcdef; while :; do x=$x$x; done");
    assert_int_equal(a.code, 0);
    assert_true(a.is_error);
    if (!strstr(a.text, "more than the 64 MiB of memory") && !strstr(a.text, "signal 9"))
        fail_msg("%s: %s", en->name, a.text);
    harness_expect(b, "echo alive", "alive");
    box_close(b);
    box_host_stop(h);
    outside_dir_gone(dir);
    return 0;
}

static void calls_are_cancelled_and_limited(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(engines); i++)
        if (applies(&engines[i]))
            run_on_loop(cancel_fiber, (void *)(uintptr_t)&engines[i]);
}

/* ---- many at once; given up in the middle ---- */

static int opener(void *arg)
{
    struct box *b = harness_open(arg, NULL);
    harness_expect(b, "echo $((6 * 7))", "42");
    box_close(b);
    return 0;
}

static int impatient(void *arg)
{
    struct box *b = NULL;
    struct box_spec spec = {.session_id = "sesn_gone"};
    int r = box_open(arg, &spec, &b, NULL);
    assert_true(r == 0 || r == -ECANCELED);
    box_close(b);
    return 0;
}

/* The XXXX of "run-XXXX", which is in the name of each of its containers. */
static char *run_name(const char *dir)
{
    char *name = NULL;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *de; (de = readdir(d));)
        if (str_starts(de->d_name, "run-") && str_ends(de->d_name, ".lock"))
            name = mem_strndup(de->d_name + 4, strlen(de->d_name) - 9);
    closedir(d);
    assert_non_null(name);
    return name;
}

/* The groups of a run are gone, or going: another zygote of this machine may be the one who has
 * found the run dead, and still at it. */
static void wait_no_groups(const struct engine *en, const char *run)
{
    AUTO_FREE char *none =
        mem_printf("test -z \"$(find /sys/fs/cgroup -type d -name 'sallyport-%s*' 2>/dev/null)\"",
                   run);
    for (int i = 0; system(none) != 0; i++) {
        if (i == 400)
            fail_msg("%s: control groups are left", en->name);
        poll(NULL, 0, 25);
    }
}

static size_t bundles(const char *dir)
{
    AUTO_FREE char *command = mem_printf("ls -d %s/run-*/sallyport-* 2>/dev/null | wc -l", dir);
    FILE *f = popen(command, "re");
    char line[32] = "";
    assert_non_null(fgets(line, sizeof(line), f));
    pclose(f);
    return (size_t)atoi(line);
}

static int crowd_fiber(void *arg)
{
    const struct engine *en = arg;
    char *dir = outside_dir();
    struct box_host_config cfg = config_of(en, dir);
    struct box_host *h = harness_start(&cfg);
    struct scope s;
    scope_init(&s);
    for (int i = 0; i < 6; i++)
        assert_int_equal(fiber_spawn(&s, "opener", opener, h, NULL), 0);
    assert_int_equal(scope_join(&s), 0);
    scope_done(&s);
    for (int64_t ms = 0; ms < 60; ms += 6) {
        scope_init(&s);
        assert_int_equal(fiber_spawn(&s, "impatient", impatient, h, NULL), 0);
        assert_int_equal(fiber_sleep_ms(ms), 0);
        scope_done(&s); /* cancels */
        assert_int_equal(bundles(dir), 0);
    }
    AUTO_FREE char *run = run_name(dir);
    box_host_stop(h);
    wait_no_groups(en, run);
    outside_dir_gone(dir);
    return 0;
}

static void many_boxes_at_once_and_given_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(engines); i++)
        if (applies(&engines[i]))
            run_on_loop(crowd_fiber, (void *)(uintptr_t)&engines[i]);
}

/* ---- what a container holds ---- */

static const struct {
    const char *command, *text;
} probes[] = {
    {"id -u; id -g; id -G", "1000\n1000\n1000"},
    {"grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status",
     "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
     "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2"},
    {"grep -E '^(Cap[IPEBA]|NoNewPrivs)' /proc/1/status | sort -u | wc -l", "6"},
    {"ls /home /mnt /srv /opt /var | grep -v -e ^/ -e '^$' -e lib -e cache | sort | tr '\\n' ' '; "
     "ls -d /root 2>&1 | grep -c 'No such'",
     "run tmp 1"},
    {"test -e /etc/shadow -o -e /etc/fstab -o -e /etc/ssh && echo there || echo none", "none"},
    {"tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '", "lo"},
    {"cat /proc/net/route | wc -l", "1"},
    {"(exec 3<>/dev/tcp/127.0.0.1/9) 2>&1 | grep -cm1 refused", "1"},
    {"touch /x /usr/x /etc/x /.sallyport/x 2>&1 | grep -c 'Read-only file system'", "4"},
    {"unshare -U true 2>&1 | grep -c 'Operation not permitted'", "1"},
    {"mount -t tmpfs x /tmp 2>/dev/null; echo $?", "32"},
    {"ls /proc/1/root/ 2>&1 | grep -c 'Permission denied'", "1"},
    {"cat /proc/1/environ 2>&1 | grep -c 'Permission denied'", "1"},
    {"kill -9 1 2>&1; echo still", "still"},
    {"echo 1 >/proc/sys/kernel/panic; echo $?", "~1"},
    {"ls /dev | grep -vx core | sort | tr '\\n' ' '",
     "fd full null ptmx pts random shm stderr stdin stdout tty "
     "urandom zero"},
    {"cat /proc/kcore /proc/keys 2>/dev/null | head -c1 | wc -c", "0"},
    {"touch ~/f; python3 -c 'import os; os.setxattr(\"f\", \"user.x\", b\"1\")' 2>&1 | grep -o "
     "'Errno 95'; rm ~/f",
     "Errno 95"},
    {"hostname; pwd; echo $HOME", "sandbox\n/workspace\n/workspace"},
    {"tr '\\0' ' ' </proc/1/cmdline", "/.sallyport/ld.so --library-path /.sallyport "
                                      "/.sallyport/sallyport init oci"},
    {"env | sort | grep -v -e ^_ -e ^PWD -e ^SHLVL -e ^OLDPWD | cut -d= -f1 | tr '\\n' ' '",
     "HOME LC_CTYPE LOGNAME PATH SHELL TERM USER"},
};

static int probes_fiber(void *arg)
{
    const struct engine *en = arg;
    char *dir = outside_dir();
    struct box_host_config cfg = config_of(en, dir);
    struct box_host *h = harness_start(&cfg);
    struct box *b = harness_open(h, NULL), *c = harness_open(h, NULL);
    for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
        AUTO(tool_answer) a = harness_bash(b, probes[i].command);
        char *end = a.text ? a.text + strlen(a.text) : NULL;
        while (end && end > a.text && end[-1] == ' ')
            *--end = '\0';
        if (a.code != 0 || !fits(a.text, probes[i].text))
            fail_msg("%s: %s\n  gave   %s\n  wanted %s", en->name, probes[i].command,
                     a.text ? a.text : "-", probes[i].text);
    }
    /* As many files as memory is reckoned with. */
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    AUTO_FREE char *files =
        mem_printf("%llu\n%llu\n%llu", (unsigned long long)sandbox_tmpfs_files(s.limits.tmp_bytes),
                   (unsigned long long)sandbox_tmpfs_files(64u << 20),
                   (unsigned long long)sandbox_tmpfs_files(s.limits.workspace_bytes));
    harness_expect(b, "stat -f -c %c /tmp /dev/shm /workspace", files);
    sandbox_spec_done(&s);
    /* Each has host ids of its own. */
    AUTO(tool_answer) one = harness_bash(b, "awk '{print $2}' /proc/self/uid_map");
    AUTO(tool_answer) two = harness_bash(c, "awk '{print $2}' /proc/self/uid_map");
    assert_string_not_equal(one.text, two.text);
    assert_string_not_equal(one.text, "0");
    /* Whole ranges as sandbox/zygote/uids.c gives them out: another offset reaches into a
     * neighbour's. */
    long first = atol(one.text);
    if (first >= 1000000)
        assert_int_equal((first - 2000000) % 65536, 0);
    box_close(b);
    box_close(c);
    box_host_stop(h);
    outside_dir_gone(dir);
    return 0;
}

static void a_container_holds_nothing_of_the_host(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(engines); i++)
        if (engines[i].isolation == BOX_OCI && applies(&engines[i]))
            run_on_loop(probes_fiber, (void *)(uintptr_t)&engines[i]);
}

/* ---- other specifications ---- */

static int specs_fiber(void *arg)
{
    const struct engine *en = arg;
    char *dir = outside_dir(), *image = outside_dir(), *shared = outside_dir();
    /* An image with bash, its libraries and traps: /dev, /proc and /workspace as links to
     * elsewhere. */
    AUTO_FREE char *make = mem_printf(
        "cd %s && chmod 755 . && mkdir -p bin etc opt/app usr/bin && cp /bin/bash /bin/cat /bin/id "
        "/usr/bin/touch bin/ && for l in $(ldd bin/bash bin/cat bin/id bin/touch | grep -o '/[^ "
        "]*' "
        "| grep -v :$ | sort -u); do mkdir -p .$(dirname $l) && cp -n $l .$l; done && ln -s /etc "
        "dev "
        "&& ln -s /root proc && ln -s / workspace && ln -s /root tmp && echo image >etc/marker && "
        "chmod 700 opt/app && chmod 755 %s && echo fromhost >%s/file",
        image, shared, shared);
    assert_int_equal(system(make), 0);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.rootfs_dir = mem_strdup(image);
    s.user = SANDBOX_USER_ROOT;
    s.network = SANDBOX_NET_NONE;
    assert_int_equal(sandbox_spec_add_bind(&s, shared, "/data/shared", false, NULL), 0);
    struct box_host_config cfg = config_of(en, dir);
    cfg.warm_spec = &s;
    struct box_host *h = harness_start(&cfg);
    struct box_spec spec = {.session_id = "sesn_image", .sandbox = &s, .disk_workspace = true};
    struct box *b = harness_open(h, &spec);
    harness_expect(b, "id -u; cat /etc/marker", "0\nimage");
    harness_expect(b, "cat /data/shared/file; touch /data/shared/x 2>&1 | cat; echo $PWD",
                   "fromhost\ntouch: cannot touch '/data/shared/x': Read-only file system\n"
                   "/workspace");
    box_close(b);
    box_host_stop(h);
    sandbox_spec_done(&s);
    AUTO_FREE char *remove = mem_printf("rm -rf %s/* %s/.[a-z]* %s/*", image, image, shared);
    assert_int_equal(system(remove), 0);
    outside_dir_gone(dir);
    outside_dir_gone(image);
    outside_dir_gone(shared);
    return 0;
}

static void an_image_and_binds_are_seen_inside(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(engines); i++)
        if (engines[i].isolation == BOX_OCI && applies(&engines[i]))
            run_on_loop(specs_fiber, (void *)(uintptr_t)&engines[i]);
}

/* What programs of the host act on (sandbox/orders/), in a bind that can be written otherwise. */
static int guarded_fiber(void *arg)
{
    const struct engine *en = arg;
    char *dir = outside_dir(), *project = outside_dir();
    AUTO_FREE char *make = mem_printf("cd %s && chmod 777 . && mkdir -p .git/hooks .vscode && "
                                      "touch .git/config && chmod -R a+rwX .git .vscode",
                                      project);
    assert_int_equal(system(make), 0);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.user = SANDBOX_USER_ROOT;
    assert_int_equal(sandbox_spec_add_bind(&s, project, "/data/p", true, NULL), 0);
    struct box_host_config cfg = config_of(en, dir);
    cfg.warm_spec = &s;
    struct box_host *h = harness_start(&cfg);
    struct box_spec spec = {.session_id = "sesn_guarded", .sandbox = &s};
    struct box *b = harness_open(h, &spec);
    harness_expect(b,
                   "cd /data/p && echo >x && echo >.git/index && for f in .git/hooks/x .git/config "
                   ".vscode/x; do (echo >$f) 2>/dev/null && echo $f; done; mv .git .g 2>/dev/null "
                   "&& echo moved; ls -A",
                   ".git\n.vscode\nx");
    box_close(b);
    s.binds[0].all = true;
    b = harness_open(h, &spec);
    harness_expect(b, "cd /data/p && echo >.git/hooks/x && mv .git .g && echo moved", "moved");
    box_close(b);
    box_host_stop(h);
    sandbox_spec_done(&s);
    AUTO_FREE char *remove = mem_printf("cd %s && rm -rf .g .git .vscode x", project);
    assert_int_equal(system(remove), 0);
    outside_dir_gone(dir);
    outside_dir_gone(project);
    return 0;
}

static void what_the_host_acts_on_is_read_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(engines); i++)
        if (engines[i].isolation != BOX_NONE && applies(&engines[i]))
            run_on_loop(guarded_fiber, (void *)(uintptr_t)&engines[i]);
}

/* ---- what listens outside ---- */

/* A Unix listener in a bound directory, and a reader of a named pipe: neither hears of a sandbox. The
 * socket that is named hears of one. */
static int doors_fiber(void *arg)
{
    const struct engine *en = arg;
    char *dir = outside_dir(), *shared = outside_dir();
    AUTO_FREE char *fifo = mem_printf("%s/pipe", shared);
    AUTO_FREE char *file = mem_printf("%s/file", shared);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof(un.sun_path), "%s/door", shared);
    AUTO_CLOSE int door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(door, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(door, 9), 0);
    assert_int_equal(mkfifo(fifo, 0666), 0);
    AUTO_CLOSE int lock = open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    assert_int_equal(chmod(shared, 0777) | chmod(un.sun_path, 0777) | chmod(fifo, 0666), 0);
    AUTO_CLOSE int reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, shared, "/data/ro", false, NULL), 0);
    assert_int_equal(sandbox_spec_add_bind(&s, shared, "/workspace/rw", true, NULL), 0);
    struct box_host_config cfg = config_of(en, dir);
    struct box_host *h = harness_start(&cfg);
    struct box_spec spec = {.session_id = "sesn_doors", .sandbox = &s};
    struct box *b = harness_open(h, &spec);
    AUTO(tool_answer) tried = harness_bash(
        b, "cat > p.py <<'E'\nimport socket, errno\n"
           "def go(a, bind=False):\n"
           "  s = socket.socket(socket.AF_UNIX)\n"
           "  try: s.bind(a) if bind else s.connect(a)\n"
           "  except OSError as e: return errno.errorcode[e.errno]\n"
           "  return 'ok'\n"
           "print(go('/data/ro/door'), go('rw/door'), go('rw/made', True), go('own', True))\n"
           "l = socket.socket(socket.AF_UNIX); l.bind('/tmp/l'); l.listen(3); print(go('/tmp/l'))\n"
           "l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(3)\n"
           "socket.create_connection(l.getsockname()); print('tcp')\n"
           "E\npython3 p.py; (echo x >rw/pipe; echo x >/data/ro/pipe; "
           "flock -n /data/ro/file true) 2>/dev/null || echo no lock; flock -s 9 9</data/ro/file; "
           "sleep 300 "
           "9</data/ro/file & ");
    if (!str_eq(tried.text, "EACCES EACCES EACCES ok\nok\ntcp\nno lock"))
        fail_msg("%s: %s", en->name, tried.text ? tried.text : "-");
    char byte;
    assert_int_equal(accept4(door, NULL, NULL, SOCK_CLOEXEC), -1);
    assert_true(read(reader, &byte, 1) <= 0);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
    box_close(b);
    assert_int_equal(sandbox_spec_add_socket(&s, un.sun_path, "/run/named", NULL), 0);
    b = harness_open(h, &spec);
    harness_expect(b,
                   "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); "
                   "s.connect(\"/run/named\"); print(\"in\")'",
                   "in");
    AUTO_CLOSE int peer = accept4(door, NULL, NULL, SOCK_CLOEXEC);
    assert_true(peer >= 0);
    box_close(b);
    box_host_stop(h);
    sandbox_spec_done(&s);
    unlink(un.sun_path);
    unlink(fifo);
    unlink(file);
    outside_dir_gone(dir);
    outside_dir_gone(shared);
    return 0;
}

static void nothing_that_listens_outside_hears(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(engines); i++)
        if (engines[i].isolation != BOX_NONE && applies(&engines[i]))
            run_on_loop(doors_fiber, (void *)(uintptr_t)&engines[i]);
}

/* ---- runtimes that do not work ---- */

static int errors_of_a_runtime_are_passed_on(void *arg)
{
    (void)arg;
    char *dir = outside_dir();
    AUTO_FREE char *script = mem_printf("%s/talker", dir);
    FILE *f = fopen(script, "we");
    assert_non_null(f);
    fprintf(f,
            "#!/bin/sh\nprintf 'noise\\ntime=\"x\" level=error msg=\"no \\\\\"cgroup\\\\\" \\033[1m"
            "here\"\\n' >&2\nexit 1\n");
    fclose(f);
    assert_int_equal(chmod(script, 0755), 0);
    AUTO_FREE char *state_dir = mem_printf("%s/state", dir);
    const struct {
        const char *runtime, *words;
    } cases[] = {
        {"no-such-runtime", "there is no such program in PATH"},
        {"/nonexistent/crun", "No such file or directory"},
        {script, "no \"cgroup\"  [1mhere"},
        {"/bin/true",
         "the container ended before its sandbox was ready: the runtime gave no reason"},
        {"/etc/passwd", "--oci-runtime /etc/passwd: "},
    };
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.user = SANDBOX_USER_ROOT; /* which anybody may ask for */
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct box_host *h = NULL;
        struct err e = {.code = 0};
        struct box_host_config cfg = {.state_dir = state_dir,
                                      .isolation = BOX_OCI,
                                      .oci_runtime = cases[i].runtime,
                                      .warm_spec = &s,
                                      .trial = true};
        int r = box_host_start(&cfg, &h, &e);
        if (r >= 0 || !strstr(e.msg, cases[i].words))
            fail_msg("%s: %d %s", cases[i].runtime, r, e.msg);
        assert_int_equal(outside_entries(state_dir), 0);
    }
    assert_int_equal(rmdir(state_dir), 0);
    assert_int_equal(unlink(script), 0);
    outside_dir_gone(dir);
    return 0;
}

static void write_text(const char *path, mode_t mode, const char *text)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
}

/* A state directory that others can write to, with a "run" in it that names a program to clean up
 * with: it is refused before anything in it is believed. */
static int a_program_named_by_others_is_not_run(void *arg)
{
    (void)arg;
    static const char run[] = "run-0123456789abcdef";
    char *dir = outside_dir();
    AUTO_FREE char *lock = mem_printf("%s/%s.lock", dir, run);
    AUTO_FREE char *run_dir = mem_printf("%s/%s", dir, run);
    AUTO_FREE char *bundle = mem_printf("%s/sallyport-x", run_dir);
    AUTO_FREE char *runtime = mem_printf("%s/runtime", run_dir);
    AUTO_FREE char *program = mem_printf("%s/program", dir);
    AUTO_FREE char *ran = mem_printf("%s/ran", dir);
    AUTO_FREE char *script = mem_printf("#!/bin/sh\ntouch %s\n", ran);
    assert_int_equal(mkdir(run_dir, 0700), 0);
    assert_int_equal(mkdir(bundle, 0700), 0);
    write_text(lock, 0600, "");
    write_text(program, 0755, script);
    write_text(runtime, 0600, program);
    assert_int_equal(chmod(dir, 0777), 0);
    struct box_host *h = NULL;
    struct err e = {.code = 0};
    const struct box_host_config cfg = {.state_dir = dir};
    int r = box_host_start(&cfg, &h, &e);
    if (access(ran, F_OK) == 0)
        fail_msg("a program that somebody else has named was executed");
    if (r >= 0 || !strstr(e.msg, "can be written by others"))
        fail_msg("%d %s", r, e.msg);
    assert_int_equal(unlink(runtime) + unlink(program) + unlink(lock), 0);
    assert_int_equal(rmdir(bundle) + rmdir(run_dir), 0);
    outside_dir_gone(dir);
    return 0;
}

ON_LOOP(a_program_named_by_others_is_not_run)

ON_LOOP(errors_of_a_runtime_are_passed_on)

/* ---- no isolation: only our own processes are ended ---- */

static int without_isolation_others_are_spared(void *arg)
{
    (void)arg;
    char *dir = outside_dir();
    AUTO_FREE char *word = outside_word(703);
    AUTO_FREE char *others = outside_word(709);
    pid_t bystander = fork(); /* of the same user; kill(-1) would reach it */
    if (bystander == 0) {
        execl("/bin/sleep", "sleep", others, NULL);
        _exit(127);
    }
    struct box_host_config cfg = {.state_dir = dir, .isolation = BOX_NONE};
    struct box_host *h = harness_start(&cfg);
    struct box *b = harness_open(h, NULL);
    AUTO_FREE char *start =
        mem_printf("(setsid sleep %s1 &); setsid sh -c 'sleep %s2 & exec sleep %s3' & echo ok",
                   word, word, word);
    harness_expect(b, start, "ok");
    AUTO(tool_answer) a = harness_call(b, "bash", "{\"restart\":true}");
    assert_int_equal(a.code, 0);
    /* The bystander may not have executed sleep yet. */
    AUTO_FREE char *look =
        mem_printf("pgrep -f 'sleep %s[1-3]' | wc -l; until pgrep -cf 'sleep %s'; "
                   "do sleep 0.01; done | tail -1",
                   word, others);
    harness_expect(b, look, "0\n1");
    /* Init is shot: the supervisor ends the rest. */
    AUTO_FREE char *stays = mem_printf("setsid sleep %s4 & echo ok", word);
    harness_expect(b, stays, "ok");
    AUTO(tool_answer) gone = harness_bash(b, "kill -9 $PPID; sleep 7035");
    assert_true(gone.code < 0);
    outside_wait_gone(word);
    box_close(b);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, "/etc", "/data/etc", false, NULL), 0);
    struct box_spec spec = {.sandbox = &s};
    struct err e = {.code = 0};
    assert_int_equal(box_open(h, &spec, &b, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "cannot do --bind"));
    sandbox_spec_done(&s);
    box_host_stop(h);
    assert_int_equal(kill(bystander, SIGKILL), 0); /* it lived */
    assert_int_equal(waitpid(bystander, NULL, 0), bystander);
    outside_dir_gone(dir);
    return 0;
}

ON_LOOP(without_isolation_others_are_spared)

/* ---- as an ordinary user ---- */

static int ordinary_fiber(void *arg)
{
    char *dir = arg;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    struct box_host *h = NULL;
    struct err e = {.code = 0};
    struct box_host_config cfg = {
        .state_dir = dir, .isolation = BOX_OCI, .oci_runtime = "runc", .warm_spec = &s};
    assert_int_equal(box_host_start(&cfg, &h, &e), -EPERM); /* one id cannot be two */
    assert_non_null(strstr(e.msg, "--sandbox-user root"));
    s.user = SANDBOX_USER_ROOT;
    h = harness_start(&cfg);
    struct box_spec spec = {.sandbox = &s};
    struct box *b = harness_open(h, &spec);
    AUTO_FREE char *one_id = mem_printf("0\n%d\n0000000000000000\nx", (int)geteuid());
    harness_expect(
        b,
        "id -u; awk '{print $2}' /proc/self/uid_map; grep CapBnd /proc/self/status | cut "
        "-f2; echo x >/workspace/f && cat /workspace/f",
        one_id);
    box_close(b);
    box_host_stop(h);
    cfg = (struct box_host_config){.state_dir = dir, .isolation = BOX_NONE};
    h = harness_start(&cfg);
    b = harness_open(h, NULL);
    harness_expect(b, "(sleep 7050 & wait) & test $(id -u) != 0 && echo ok", "ok");
    box_close(b);
    box_host_stop(h);
    return 0;
}

static void an_ordinary_user_has_containers(void **state)
{
    (void)state;
    char *dir = outside_dir();
    if (geteuid() != 0) { /* already one */
        run_on_loop(ordinary_fiber, dir);
        outside_dir_gone(dir);
        return;
    }
    assert_int_equal(chown(dir, 65534, 65534), 0);
    pid_t child = fork();
    if (child == 0) {
        if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
            setresuid(65534, 65534, 65534) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
            _exit(1);
        run_on_loop(ordinary_fiber, dir);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    outside_dir_gone(dir);
}

/* ---- kill -9 of the worker ---- */

static const struct engine *doomed_engine;
static const char *doomed_dir;

static int doomed_fiber(void *arg)
{
    struct box_host_config cfg = config_of(doomed_engine, doomed_dir);
    cfg.warm = 1;
    struct box_host *h = harness_start(&cfg);
    while (box_host_warm(h) < 1)
        assert_int_equal(fiber_sleep_ms(5), 0);
    struct box_spec spec = {.disk_workspace = true};
    struct box *b = harness_open(h, &spec);
    AUTO_FREE char *word = outside_word(704);
    AUTO_FREE char *command = mem_printf("setsid sleep %s1 & setsid sleep %s2 & mkdir -p deep/er; "
                                         "touch deep/er/file; chmod 0 deep; echo ok",
                                         word, word);
    harness_expect(b, command, "ok");
    assert_int_equal(write(*(int *)arg, "x", 1), 1);
    return fiber_sleep_ms(60000);
}

static int sweeping_fiber(void *arg)
{
    (void)arg;
    AUTO_FREE char *word = outside_word(704);
    outside_wait_gone(word);
    assert_true(outside_entries(doomed_dir) > 0); /* nobody was left to remove it */
    /* Another engine cleans up, too. */
    struct box_host_config cfg = config_of(&engines[0], doomed_dir);
    struct box_host *h = harness_start(&cfg);
    assert_int_equal(outside_entries(doomed_dir), 2);
    box_host_stop(h);
    return 0;
}

static void a_killed_worker_leaves_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
        if (!applies(&engines[i]))
            continue;
        char *dir = outside_dir();
        doomed_engine = &engines[i];
        doomed_dir = dir;
        struct harness_worker worker;
        char c;
        harness_worker_start(&worker, doomed_fiber, &c, 1);
        harness_worker_kill(&worker);
        AUTO_FREE char *run = run_name(dir);
        run_on_loop(sweeping_fiber, NULL);
        wait_no_groups(&engines[i], run);
        outside_dir_gone(dir);
    }
}

int main(int argc, char **argv)
{
    int role = harness_role(argc, argv);
    if (role >= 0)
        return role;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_engine_gives_the_same_answers),
        cmocka_unit_test(calls_are_cancelled_and_limited),
        cmocka_unit_test(many_boxes_at_once_and_given_up),
        cmocka_unit_test(a_container_holds_nothing_of_the_host),
        cmocka_unit_test(an_image_and_binds_are_seen_inside),
        cmocka_unit_test(what_the_host_acts_on_is_read_only),
        cmocka_unit_test(nothing_that_listens_outside_hears),
        CASE(errors_of_a_runtime_are_passed_on),
        CASE(a_program_named_by_others_is_not_run),
        CASE(without_isolation_others_are_spared),
        cmocka_unit_test(an_ordinary_user_has_containers),
        cmocka_unit_test(a_killed_worker_leaves_nothing),
    };
    cmocka_set_test_filter(argc == 2 ? argv[1] : NULL); /* by hand: one of them */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
