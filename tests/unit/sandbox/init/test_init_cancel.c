/* test_init_cancel.c - a cancelled call leaves nothing behind, however its processes try to stay,
 * and takes nothing along that was there before. Times are printed; each has a wide bound, and the
 * quickest that of the promise, which a busy machine cannot change and a slow way would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "unit/sandbox/harness.h"

/* Of each call. Init gives the killed two seconds to be gone, and on a busy machine they may need
 * them. */
#define BOUND_NS   (10 * NS_PER_S)
#define PROMISE_NS (100 * NS_PER_MS) /* 1.6 ms where little else runs */

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void expect_quick(int64_t *took, size_t n)
{
    qsort(took, n, sizeof(*took), by_size);
    print_message("%zu calls: median %lld us, slowest %lld us\n", n, (long long)took[n / 2] / 1000,
                  (long long)took[n - 1] / 1000);
    assert_true(took[0] < PROMISE_NS);
    assert_true(took[n - 1] < BOUND_NS);
}

static int64_t send_bash(struct sbx *b, const char *command, int64_t timeout_ms)
{
    AUTO_JSON json_t *in = json_object();
    json_put_str(in, "command", command);
    AUTO_FREE char *text = json_text(in, NULL);
    return sbx_send(b, "bash", text, timeout_ms);
}

static char *answer_text(struct sbx *b, int64_t id)
{
    AUTO_JSON json_t *o = sbx_recv(b, 60000);
    if (!o)
        fail_msg("no answer");
    assert_int_equal(json_get_int(o, "id", 0), id);
    assert_true(json_get_bool(o, "is_error", false));
    return mem_strdup(json_get_str(json_array_get(json_object_get(o, "content"), 0), "text"));
}

/* Each makes /workspace/go when what it is about has begun, and never ends. */
static const struct {
    const char *what, *command;
} stayers[] = {
    {"plain children", "sleep 9001 & sleep 9002 & touch /workspace/go; wait"},
    {"a new session", "setsid sleep 9003 & touch /workspace/go; sleep 9004"},
    {"a double fork", "(setsid sh -c 'sleep 9005 & exit' &); touch /workspace/go; sleep 9006"},
    {"nohup", "nohup sleep 9007 >/dev/null 2>&1 & touch /workspace/go; sleep 9008"},
    {"signals ignored",
     "trap '' TERM INT HUP QUIT; sh -c \"trap '' TERM INT HUP; sleep 9009; sleep "
     "9010\" & touch /workspace/go; sleep 9011"},
    {"stopped", "sleep 9012 & kill -STOP $!; touch /workspace/go; sleep 9013"},
    {"a daemon", "python3 -c '\n"
                 "import os, signal, time\n"
                 "for s in range(1, 32):\n"
                 "  try: signal.signal(s, signal.SIG_IGN)\n"
                 "  except OSError: pass\n"
                 "if os.fork() == 0:\n"
                 "  os.setsid()\n"
                 "  if os.fork() == 0:\n"
                 "    os.chdir(\"/\"); open(\"/workspace/go\", \"w\"); time.sleep(9014)\n"
                 "  os._exit(0)\n'; sleep 9015"},
    {"a first thread that has ended",
     "exec 3>&1; python3 -c '\n"
     "import ctypes, os, threading, time\n"
     "def run():\n"
     "  time.sleep(0.2); open(\"/workspace/go\", \"w\"); time.sleep(9016)\n"
     "threading.Thread(target=run).start()\n"
     "ctypes.CDLL(None).syscall(60, 0)\n' & sleep 9017"},
    {"a chain of forks", "python3 -c '\n"
                         "import os\n"
                         "open(\"/workspace/go\", \"w\")\n"
                         "while True:\n"
                         "  if os.fork(): os._exit(0)\n' & sleep 9018"},
    {"eight chains of forks", "for i in 1 2 3 4 5 6 7 8; do python3 -c '\n"
                              "import os\n"
                              "os.setsid() if os.fork() == 0 else os._exit(0)\n"
                              "open(\"/workspace/go\", \"w\")\n"
                              "while True:\n"
                              "  if os.fork(): os._exit(0)\n' & done; sleep 9019"},
    {"a fork bomb", "python3 -c '\n"
                    "import os\n"
                    "open(\"/workspace/go\", \"w\")\n"
                    "while True:\n"
                    "  try: os.fork()\n"
                    "  except OSError: pass\n' & sleep 9020"},
};

/* Ours are the earlier jobs; of the rest nothing may be left, as the next call sees it. A process
 * is gone when it has no thread left that could run: ps would call one defunct whose first thread
 * alone has ended. */
static const char census[] =
    "python3 -c '\n"
    "import os, time\n"
    "ours = {1, os.getpid(), os.getppid()}\n"
    "def others():\n"
    "  for d in os.listdir(\"/proc\"):\n"
    "    if not d.isdigit() or int(d) in ours: continue\n"
    "    try:\n"
    "      f = open(\"/proc/\" + d + \"/stat\").read().rsplit(\")\", 1)[1].split()\n"
    "      line = open(\"/proc/\" + d + \"/cmdline\").read().replace(\"\\0\", \" \").strip()\n"
    "    except OSError: continue\n"
    "    if f[0] == \"Z\" and int(f[17]) < 2: continue\n"
    "    if not line.startswith((\"sleep 4242\", \"sleep 0.0\", \"ticker\")):\n"
    "      yield d, f[0], f[17], line\n"
    "for i in range(200):\n"
    "  left = list(others())\n"
    "  if not left: break\n"
    "  time.sleep(0.02)\n" /* who is killed and still gives back memory goes by itself */
    "for l in left: print(*l)\n'";

static void open_small(struct sbx *b)
{
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.limits.processes = 800; /* a bomb is to meet the cancellation, not this */
    sbx_open_seen(&host, &s, b);
    sandbox_spec_done(&s);
}

static void nothing_stays(void **state)
{
    (void)state;
    int64_t took[ARRAY_LEN(stayers)];
    for (size_t i = 0; i < ARRAY_LEN(stayers); i++) {
        struct sbx b;
        open_small(&b);
        expect_bash(&b,
                    "sleep 4242 & (exec -a ticker bash -c 'while :; do echo >> /tmp/ticks; sleep "
                    "0.01; done') & echo",
                    "(no output)");
        int64_t id = send_bash(&b, stayers[i].command, 0);
        sbx_wait_for(&b, "go");
        int64_t began = time_mono_ns();
        sbx_cancel(&b, id);
        AUTO_FREE char *text = answer_text(&b, id);
        took[i] = time_mono_ns() - began;
        print_message("%-32s answered after %6lld us\n", stayers[i].what,
                      (long long)took[i] / 1000);
        expect_contains(text, "; what it had started was ended");
        struct result r = sbx_bash(&b, census);
        if (!str_eq(r.text, "(no output)"))
            fail_msg("%s: still there: %s", stayers[i].what, r.text);
        result_done(&r);
        /* What was there before is, and goes on. */
        expect_bash(&b, "pgrep -xc sleep >/dev/null; pgrep -fc '^sleep 4242'", "1");
        expect_bash(&b,
                    "N=$(wc -l < /tmp/ticks); for i in $(seq 400); do sleep 0.01; [ $(wc -l < "
                    "/tmp/ticks) -gt $N ] && break; done; [ $(wc -l < /tmp/ticks) -gt $N ] && "
                    "echo ticking",
                    "ticking");
        sbx_close(&b);
    }
    expect_quick(took, ARRAY_LEN(took));
}

/* Chains of forks, over and over: each process lives for so short a time that naming it is a matter
 * of luck, and one survivor in many calls is enough. */
static void chains_never_slip_through(void **state)
{
    (void)state;
    struct sbx b;
    open_small(&b);
    int64_t took[25];
    for (size_t i = 0; i < ARRAY_LEN(took); i++) {
        int64_t id = send_bash(&b,
                               "rm -f /workspace/go; for i in 1 2 3; do python3 -SEc '\n"
                               "import os\n"
                               "open(\"/workspace/go\", \"w\")\n"
                               "while True:\n"
                               "  if os.fork(): os._exit(0)\n' & done; sleep 9021",
                               0);
        sbx_wait_for(&b, "go");
        int64_t began = time_mono_ns();
        sbx_cancel(&b, id);
        free(answer_text(&b, id));
        took[i] = time_mono_ns() - began;
        struct result r = sbx_bash(&b, census);
        if (!str_eq(r.text, "(no output)"))
            fail_msg("call %zu: still there: %s", i, r.text);
        result_done(&r);
        r = sbx_bash(&b, "rm /workspace/go");
        result_done(&r);
    }
    expect_quick(took, ARRAY_LEN(took));
    sbx_close(&b);
}

/* A job that was stopped before stays stopped, also when everything had to be stopped. */
static void stopped_jobs_stay_stopped(void **state)
{
    (void)state;
    struct sbx b;
    open_small(&b);
    expect_bash(&b,
                "sleep 4242 & until [ $(cat /proc/$!/comm) = sleep ]; do :; done; kill -STOP $!; "
                "sleep 4242 & echo",
                "(no output)");
    int64_t id = send_bash(&b, stayers[ARRAY_LEN(stayers) - 1].command, 0);
    sbx_wait_for(&b, "go");
    sbx_cancel(&b, id);
    free(answer_text(&b, id));
    expect_bash(&b, "ps -eo stat=,args= | grep '[s]leep 4242' | cut -c1 | sort | tr -d '\\n'",
                "ST");
    sbx_close(&b);
}

static void everything_ends_with_the_session(void **state)
{
    (void)state;
    struct sbx b;
    open_small(&b);
    struct result r = sbx_bash(&b, "trap '' TERM HUP; (setsid nohup sleep 9030 >/dev/null 2>&1 &); "
                                   "sleep 9031 & kill -STOP $!; echo up");
    assert_false(r.is_error);
    result_done(&r);
    int64_t began = time_mono_ns();
    sbx_close(&b); /* returns when the kernel has ended everything inside */
    print_message("sandbox closed after %lld us\n", (long long)(time_mono_ns() - began) / 1000);
}

static void a_timeout_ends_what_the_call_started(void **state)
{
    (void)state;
    struct sbx b;
    open_small(&b);
    expect_bash(&b, "sleep 4242 & until [ $(cat /proc/$!/comm) = sleep ]; do :; done; echo",
                "(no output)");
    int64_t began = time_mono_ns();
    int64_t id = send_bash(&b, "(setsid sleep 9040 &); trap '' TERM; sleep 9041", 200);
    AUTO_FREE char *text = answer_text(&b, id);
    print_message("200 ms call answered after %lld us\n",
                  (long long)(time_mono_ns() - began) / 1000);
    expect_contains(text, "timed out after 200 ms; what it had started was ended");
    expect_bash(&b, "pgrep -xa sleep | cut -d' ' -f2-", "sleep 4242");
    sbx_close(&b);
}

/* ---- the clocks of the sandbox ---- */

static void open_with(struct sbx *b, void (*change)(struct sandbox_limits *l))
{
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    change(&s.limits);
    AUTO_FREE char *error = sbx_open(&host, &s, b);
    if (error)
        fail_msg("%s", error);
    sandbox_spec_done(&s);
}

static void short_calls(struct sandbox_limits *l)
{
    l->call_ms = 1500;
}

static void short_session(struct sandbox_limits *l)
{
    l->session_ms = 2000; /* what comes before its end has that long to happen */
}

static void no_call_runs_longer_than_the_sandbox_allows(void **state)
{
    (void)state;
    struct sbx b;
    open_with(&b, short_calls);
    struct result r = sbx_bash_ms(&b, "sleep 30", 20000);
    assert_true(r.is_error);
    expect_contains(r.text, "timed out after 1500 ms, what one call may take in this sandbox");
    result_done(&r);
    r = sbx_bash_ms(&b, "sleep 30", 50); /* the smaller one counts, and is named */
    expect_contains(r.text, "timed out after 50 ms;");
    result_done(&r);
    expect_bash(&b, "echo on; head -c 200M /dev/zero | tr '\\0' '\\n' > lines &", "on");
    for (int i = 0; i < 2000; i++) {
        r = sbx_bash(&b, "stat -c %s lines");
        bool whole = str_eq(r.text, "209715200");
        result_done(&r);
        if (whole)
            break;
        poll(NULL, 0, 10);
    }
    r = sbx_call(&b, "grep", "{\"pattern\":\"x\",\"path\":\"lines\"}");
    assert_true(r.is_error);
    expect_contains(r.text,
                    "grep: timed out after 1500 ms, what one call may take in this sandbox");
    result_done(&r);
    sbx_close(&b);
}

static void wait_until_alone(const struct sbx *b)
{
    AUTO_FREE char *path = mem_printf("/proc/%d/task/%d/children", (int)b->pid, (int)b->pid);
    for (int i = 0; i < 2000; i++) {
        char kids[100] = "";
        FILE *f = fopen(path, "re");
        assert_non_null(f);
        bool empty = !fgets(kids, sizeof(kids), f) || kids[0] == '\0';
        fclose(f);
        if (empty)
            return;
        poll(NULL, 0, 5);
    }
    fail_msg("something runs on in the sandbox");
}

static void the_session_limit_ends_everything_running(void **state)
{
    (void)state;
    struct sbx b;
    open_with(&b, short_session);
    expect_bash(&b, "(setsid sleep 9050 &); echo up", "up");
    struct result r = sbx_bash(&b, "echo said; sleep 9051");
    assert_true(r.is_error);
    assert_string_equal(r.text, "said\nbash: the session's time of 2000 ms is over; everything "
                                "running in the sandbox was ended");
    result_done(&r);
    r = sbx_bash(&b, "echo more");
    assert_true(r.is_error);
    assert_string_equal(
        r.text,
        "bash: the session's time of 2000 ms is over; nothing runs in this sandbox any more");
    result_done(&r);
    r = sbx_call(&b, "read", "{\"file_path\":\"/etc/passwd\"}");
    assert_true(r.is_error);
    expect_contains(r.text, "read: the session's time of 2000 ms is over");
    result_done(&r);
    wait_until_alone(&b);
    sbx_close(&b);
}

/* Between calls, too; and the clock does not run before the first one. */
static void the_session_limit_also_ends_jobs_between_calls(void **state)
{
    (void)state;
    struct sbx b;
    open_with(&b, short_session);
    poll(NULL, 0, 2200); /* not synchronisation: time that must not count */
    expect_bash(&b, "sleep 9060 & echo up", "up");
    wait_until_alone(&b);
    sbx_close(&b);
}

/* Init may not wait for what a program can stop: here a job stops every process that is new while
 * init starts the next shell, over and over. */
static void nobody_stops_init(void **state)
{
    (void)state;
    struct sbx b;
    open_small(&b);
    struct result r = sbx_bash(&b, "python3 -SEc '\n"
                                   "import os, signal\n"
                                   "me = os.getpid()\n"
                                   "open(\"/workspace/go\", \"w\")\n"
                                   "while True:\n"
                                   "  for p in range(me + 1, me + 400):\n"
                                   "    try: os.kill(p, signal.SIGSTOP)\n"
                                   "    except OSError: pass\n' >/dev/null 2>&1 & exit");
    result_done(&r);
    sbx_wait_for(&b, "go");
    for (int i = 0; i < 20; i++) {
        AUTO_JSON json_t *o = NULL;
        int64_t id = send_bash(&b, "exit", 300);
        o = sbx_recv(&b, 10000);
        if (!o)
            fail_msg("call %d: init does not answer any more", i);
        assert_int_equal(json_get_int(o, "id", 0), id);
    }
    sbx_close(&b);
}

/* Whether a pid namespace has a pid_max of its own; before Linux 6.14 it is the machine's, which
 * this test leaves alone. */
static bool kernel_separates_numbers(void)
{
    struct utsname u;
    unsigned major_no = 0, minor_no = 0;
    return uname(&u) == 0 && sscanf(u.release, "%u.%u", &major_no, &minor_no) == 2 &&
           (major_no > 6 || (major_no == 6 && minor_no >= 14));
}

/* Few process numbers for the sandbox, so that they come round soon. False where that cannot be
 * had (Linux 6.14, root). */
static bool few_numbers(pid_t init)
{
    AUTO_FREE char *command =
        mem_printf("nsenter -t %d -p unshare -m sh -c 'mount -t proc proc /proc && echo 900 "
                   ">/proc/sys/kernel/pid_max' 2>/dev/null",
                   (int)init);
    return as_root && kernel_separates_numbers() && system(command) == 0;
}

/* A number that belonged to a spared process is no letter of safe conduct for whoever gets it. */
static void a_number_used_again_spares_nobody(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_seen(&host, NULL, &b);
    if (!few_numbers(b.pid)) {
        sbx_close(&b);
        skip();
    }
    /* Numbers below 300 are not used again. */
    expect_bash(&b, "for i in $(seq 330); do (:); done; echo done", "done");
    expect_bash(&b, "for i in $(seq 40); do sleep 1 & echo $! >>/tmp/pids; done; echo done",
                "done");
    int64_t id = send_bash(&b,
                           "sleep 2; python3 -SEc '\n"
                           "import os, time\n"
                           "old = set(int(x) for x in open(\"/tmp/pids\"))\n"
                           "while True:\n"
                           "  p = os.fork()\n"
                           "  if p == 0:\n"
                           "    if os.getpid() not in old: os._exit(0)\n"
                           "    if os.fork() == 0:\n"
                           "      open(\"/workspace/child\", \"w\").write(str(os.getpid()))\n"
                           "      os.rename(\"/workspace/child\", \"/workspace/go\")\n"
                           "    time.sleep(1000)\n"
                           "  if p in old: break\n"
                           "  os.waitpid(p, 0)\n"
                           "time.sleep(1000)'",
                           0);
    sbx_wait_for(&b, "go");
    sbx_cancel(&b, id);
    free(answer_text(&b, id));
    expect_bash(&b, "p=$(cat /workspace/go); [ -n \"$p\" ] && ! [ -e /proc/$p ] && echo gone",
                "gone");
    sbx_close(&b);
}

/* A job of an earlier call that traces a program of this one, and lets it stop at its end. */
static void a_tracer_holds_nobody(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_seen(&host, NULL, &b);
    expect_bash(&b,
                "python3 -SEc '\n"
                "import ctypes, os, time\n"
                "while not os.path.exists(\"/tmp/victim\"): time.sleep(0.01)\n"
                "pid = int(open(\"/tmp/victim\").read())\n"
                "seize, trace_exit = 0x4206, 0x40\n"
                "r = ctypes.CDLL(None).ptrace(seize, pid, None, ctypes.c_void_p(trace_exit))\n"
                "open(\"/workspace/go\" if r == 0 else \"/workspace/refused\", \"w\")\n"
                "time.sleep(1000)' >/dev/null 2>&1 & echo going",
                "going");
    int64_t id = send_bash(&b,
                           "python3 -SEc '\n"
                           "import ctypes, os, time\n"
                           "any = ctypes.c_ulong(-1)\n"
                           "ctypes.CDLL(None).prctl(0x59616d61, any, 0, 0, 0) # where Yama asks\n"
                           "open(\"/tmp/v\", \"w\").write(str(os.getpid()))\n"
                           "os.rename(\"/tmp/v\", \"/tmp/victim\")\n"
                           "time.sleep(1000)'",
                           0);
    sbx_wait_for(&b, "go");
    sbx_cancel(&b, id);
    AUTO_FREE char *text = answer_text(&b, id);
    expect_contains(text, "everything running in the sandbox was ended");
    expect_bash(&b, "[ -e /proc/$(cat /tmp/victim) ] || echo gone", "gone");
    sbx_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_stays),
        cmocka_unit_test(chains_never_slip_through),
        cmocka_unit_test(stopped_jobs_stay_stopped),
        cmocka_unit_test(everything_ends_with_the_session),
        cmocka_unit_test(nobody_stops_init),
        cmocka_unit_test(a_number_used_again_spares_nobody),
        cmocka_unit_test(a_tracer_holds_nobody),
        cmocka_unit_test(a_timeout_ends_what_the_call_started),
        cmocka_unit_test(no_call_runs_longer_than_the_sandbox_allows),
        cmocka_unit_test(the_session_limit_ends_everything_running),
        cmocka_unit_test(the_session_limit_also_ends_jobs_between_calls),
    };
    return cmocka_run_group_tests(tests, setup_self, teardown);
}
