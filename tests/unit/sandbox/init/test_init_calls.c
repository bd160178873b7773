/* test_init_calls.c - tool calls in a real sandbox: what the persistent shell keeps, how calls end
 * that do not end by themselves, and what happens when worker, zygote or sandbox go away. */
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "unit/sandbox/harness.h"
#include "sandbox/frame.h"

static void open_limited(struct sbx *b, void (*change)(struct sandbox_limits *l))
{
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    change(&s.limits);
    AUTO_FREE char *error = sbx_open(&host, &s, b);
    if (error)
        fail_msg("%s", error);
    sandbox_spec_done(&s);
}

static void expect_error(struct sbx *b, const char *command, int timeout_ms, const char *words)
{
    struct result r = sbx_bash_ms(b, command, timeout_ms);
    if (!r.is_error)
        fail_msg("%s succeeded: %s", command, r.text);
    expect_contains(r.text, words);
    result_done(&r);
}

/* After "sleep N &": the child is bash until it has executed sleep, and not found by that name. */
#define UNTIL_IT_SLEEPS "until [ $(cat /proc/$!/comm) = sleep ]; do :; done; echo"

/* ---- the shell ---- */

static void shell_keeps_state(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        bool is_error;
        const char *want;
    } table[] = {
        {"echo hi", false, "hi"},
        {"true", false, "(no output)"},
        {"false", true, "exit 1"},
        {"echo out; echo err >&2; exit_code() { return 7; }; exit_code", true, "out\nerr"},
        {"exit_code", true, "exit 7"},
        {"cd /tmp; X='a b'; export Y=2; Z=(1 2 3)", false, "(no output)"},
        {"pwd; echo $X $Y ${#Z[@]}; sh -c 'echo $X$Y'", false, "/tmp\na b 2 3\n2"},
        {"cat; read L; echo \"[$L]\"", false, "[]"},
        {"printf 'no newline'", false, "no newline"},
        {"printf '\\n\\na\\n\\n\\n'", false, "\n\na"},
        {"printf '\\033[31mred\\033[0m'", false, "red"},
        {"printf 'a\\0b\\xffc'", false,
         "a\xef\xbf\xbd"
         "b\xef\xbf\xbd"
         "c"},
        {"cat <<X\nhere\n$Y\nX", false, "here\n2"},
        {"if true; then\n echo multi\nfi", false, "multi"},
        {"echo \"it's\" 'a \"quote\"' \\$", false, "it's a \"quote\" $"},
        {"# only a comment", false, "(no output)"},
        {"alias ll=echo; shopt -s expand_aliases", false, "(no output)"},
        {"ll works", false, "works"},
        {"trap 'echo trapped' USR1; kill -USR1 $$; echo on", false, "trapped\non"},
        {"exec 5>/tmp/five; echo five >&5", false, "(no output)"},
        {"echo more >&5; cat /tmp/five", false, "five\nmore"},
        {"exec >/tmp/gone; echo hidden", false, "(no output)"},
        {"echo visible; cat /tmp/gone", false, "visible\nhidden"},
        {"exec </dev/zero; echo ok", false, "ok"},
        {"cat", false, "(no output)"},
        {"break; continue; echo past", false, NULL},
        {"set -- a b; echo $# $2", false, "2 b"},
        {"echo $#", false, "2"},
        {"f() { local v=1; echo $v; }; f", false, "1"},
        {"declare -i n=5; n+=1", false, "(no output)"},
        {"echo $n", false, "6"},
        {"(exit 3)", true, "exit 3"},
        {"sleep 0.01 & wait; echo waited", false, "waited"},
    };
    struct sbx b;
    sbx_open_default(&host, &b);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct result r = sbx_bash(&b, table[i].command);
        if (r.is_error != table[i].is_error || (table[i].want && !str_eq(r.text, table[i].want)))
            fail_msg("%s\n  gave %s: %s", table[i].command, r.is_error ? "an error" : "success",
                     r.text);
        result_done(&r);
    }
    expect_error(&b, "if then", 0, "syntax error");
    expect_error(&b, "echo 'unfinished", 0, "unexpected EOF");
    expect_error(&b, "nosuchcommand", 0, "command not found");
    expect_bash(&b, "pwd", "/tmp"); /* none of which has hurt the shell */
    sbx_close(&b);
}

static void inputs_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *tool, *input, *want;
    } table[] = {
        {"bash", "{}", "bash: command is required"},
        {"bash", "{\"command\":\"\"}", "bash: command is required"},
        {"bash", "{\"command\":7}", "bash: command must be a string"},
        {"bash", "{\"command\":\"true\",\"restart\":1}", "bash: restart must be true or false"},
        {"bash", "{\"command\":\"true\",\"timeout_ms\":0}",
         "bash: timeout_ms must be a positive integer"},
        {"bash", "{\"command\":\"true\",\"timeout_ms\":1.5}",
         "bash: timeout_ms must be a positive integer"},
        {"nosuch", "{}", "nosuch: this sandbox has no such tool"},
    };
    struct sbx b;
    sbx_open_default(&host, &b);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct result r = sbx_call(&b, table[i].tool, table[i].input);
        assert_true(r.is_error);
        assert_string_equal(r.text, table[i].want);
        result_done(&r);
    }
    sbx_close(&b);
}

static void the_number_of_the_attempt_is_in_the_environment(void **state)
{
    (void)state;
#define SHOW "\"command\":\"bash -c 'echo $SALLYPORT_ATTEMPT'; X=1; cd /tmp\""
    static const struct {
        const char *input, *want;
    } table[] = {
        {"{" SHOW "}", "(no output)"}, /* nobody counts */
        {"{" SHOW ",\"sallyport_attempt\":1}", "1"},
        {"{" SHOW ",\"sallyport_attempt\":3}", "3"},
        {"{" SHOW ",\"sallyport_attempt\":2,\"pty\":true}", "2"},
        {"{" SHOW ",\"sallyport_attempt\":\"4; echo bad\"}", "2"}, /* no number: as it was */
        {"{" SHOW ",\"sallyport_attempt\":1}", "1"},
        {"{\"command\":\"echo $SALLYPORT_ATTEMPT $X $PWD\"}",
         "1 1 /tmp"}, /* the shell is as it was */
    };
#undef SHOW
    struct sbx b;
    sbx_open_default(&host, &b);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct result r = sbx_call(&b, "bash", table[i].input);
        assert_false(r.is_error);
        assert_string_equal(r.text, table[i].want);
        result_done(&r);
    }
    sbx_close(&b);
}

static void a_restart_gives_a_fresh_shell(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    expect_bash(&b, "X=1; cd /tmp; setsid sleep 1000 & echo", "(no output)");
    struct result r = sbx_call(&b, "bash", "{\"restart\":true}");
    assert_false(r.is_error);
    assert_string_equal(r.text, "bash session restarted");
    result_done(&r);
    expect_bash(&b, "echo ${X-none} $PWD; pgrep -c sleep || true", "none /workspace\n0");
    r = sbx_call(&b, "bash",
                 "{\"restart\":true,\"command\":\"echo $$ > /tmp/pid; echo in one go\"}");
    assert_string_equal(r.text, "in one go");
    result_done(&r);
    expect_bash(&b, "[ $$ = $(cat /tmp/pid) ] && echo same shell", "same shell");
    sbx_close(&b);
}

static void a_shell_that_ends_is_told_and_replaced(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_seen(&host, NULL, &b);
    expect_error(&b, "echo before; exit 3", 0, "before\nbash: the shell ended with exit code 3");
    expect_bash(&b, "echo new", "new");
    expect_error(&b, "kill -9 $$", 0, "bash: the shell was ended by signal 9 (KILL)");
    expect_error(&b, "exec echo replaced", 0, "replaced\nbash: the shell ended with exit code 0");
    expect_error(&b, "set -e; false; echo not here", 0, "bash: the shell ended with exit code 1");
    /* Between calls, when it reads its script again: the next one finds a new shell. */
    expect_bash(
        &b,
        "(until read -r call < /proc/$$/syscall && [[ $call == '0 0x0 '* ]]; do sleep 0.01; "
        "done; kill -9 $$; touch /workspace/killed) & echo going",
        "going");
    sbx_wait_for(&b, "killed");
    expect_bash(&b, "echo $?",
                "[the shell was ended by signal 9 (KILL) after the last command; this is a new "
                "one: directory, variables and functions are gone]\n0");
    expect_bash(&b, "echo $?", "0");
    sbx_close(&b);
}

/* A command that reached a shell which dies before it has read it is run by the next one. */
static void an_unread_command_runs_in_the_next_shell(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_seen(&host, NULL, &b);
    expect_bash(&b,
                "X=old; python3 -c '\n"
                "import fcntl, os, sys, termios, time\n"
                "p = int(sys.argv[1])\n"
                "stdin = os.open(f\"/proc/{p}/fd/0\", os.O_RDONLY | os.O_NONBLOCK)\n"
                "while not open(f\"/proc/{p}/syscall\").read().startswith(\"0 0x0 \"):\n"
                "    time.sleep(0.005) # until it waits for a command\n"
                "os.kill(p, 19)\n"
                "open(\"/workspace/stopped\", \"w\")\n"
                "while fcntl.ioctl(stdin, termios.FIONREAD, bytes(4)) == bytes(4):\n"
                "    time.sleep(0.005) # until there is one\n"
                "os.kill(p, 9)' $$ >/tmp/log 2>&1 & echo going",
                "going");
    sbx_wait_for(&b, "stopped");
    expect_bash(&b, "echo \"${X-new}\"; cat /tmp/log",
                "[the shell was ended by signal 9 (KILL) after the last command; this is a new "
                "one: directory, variables and functions are gone]\nnew");
    sbx_close(&b);
}

/* What a command puts into its own shell's script is no sign that it was never read. */
static void a_stuffed_shell_does_not_run_a_command_twice(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    expect_error(&b,
                 "echo run >> /tmp/log; for fd in /proc/$$/fd/*; do "
                 "[[ $fd -ef /proc/$$/fd/0 ]] || echo -n x > $fd; done 2>/dev/null; kill -9 $$",
                 0, "the shell was ended by signal 9 (KILL)");
    expect_bash(&b, "cat /tmp/log", "run");
    sbx_close(&b);
}

/* After a restart nobody is told that the shell before it had been lost. */
static void restart_says_it_all(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_seen(&host, NULL, &b);
    expect_bash(&b,
                "(until read -r call < /proc/$$/syscall && [[ $call == '0 0x0 '* ]]; do sleep "
                "0.01; done; kill -9 $$; touch /workspace/killed) & echo going",
                "going");
    sbx_wait_for(&b, "killed");
    result_done(
        &(struct result[]){sbx_call(&b, "read", "{\"file_path\":\"/workspace/killed\"}")}[0]);
    struct result r = sbx_call(&b, "bash", "{\"restart\":true}");
    assert_string_equal(r.text, "bash session restarted");
    result_done(&r);
    expect_bash(&b, "echo on", "on");
    sbx_close(&b);
}

/* Nothing a command prints, to any descriptor it has or finds, ends it early or changes its exit
 * code. */
static void end_can_not_be_forged(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    struct result r = sbx_bash(
        &b, "for fd in $(seq 1 255); do eval \"echo '00000000000000000000000000000000 5' >&$fd\" "
            "2>/dev/null; done; (for fd in $(seq 1 255); do eval \"echo 'x 6' >&$fd\" "
            "2>/dev/null; done); sleep 0.05; echo end");
    assert_false(r.is_error);
    assert_true(str_ends(r.text, "\nend"));
    result_done(&r);
    expect_bash(&b,
                "python3 -c 'import os, glob\n"
                "for p in glob.glob(\"/proc/[0-9]*/fd/*\"):\n"
                "  try:\n    t = os.readlink(p)\n    if not t.startswith(\"pipe:\"): continue\n"
                "    f = os.open(p, os.O_WRONLY | os.O_NONBLOCK); os.write(f, "
                "b\"deadbeefdeadbeefdeadbeefdeadbeef 9\\n\"); os.close(f)\n"
                "  except OSError: pass' >/dev/null 2>&1; sleep 0.05; true",
                NULL);
    /* It may have typed into its own shell, but not ended anything. */
    r = sbx_bash(&b, "echo sound");
    assert_false(r.is_error);
    assert_true(str_ends(r.text, "sound"));
    result_done(&r);
    /* The line that reports the status does not show up under tracing, so its token cannot be
     * learned from there. */
    r = sbx_bash(&b, "set -x; echo traced; set +x");
    assert_null(strstr(r.text, "printf"));
    result_done(&r);
    r = sbx_bash(&b, "trap 'echo D:$BASH_COMMAND' DEBUG; true");
    assert_null(strstr(r.text, "printf"));
    result_done(&r);
    r = sbx_bash(&b, "echo under a trap");
    expect_contains(r.text, "under a trap");
    result_done(&r);
    sbx_close(&b);
}

static void background_jobs_live_on(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    int64_t began = time_mono_ns();
    expect_bash(
        &b, "sleep 1000 & (while :; do echo tick >> /tmp/ticks; sleep 0.01; done) & echo started",
        "started");
    assert_true(time_mono_ns() - began < 10 * NS_PER_S);
    expect_bash(&b,
                "jobs -p | wc -l; until [ -e /tmp/ticks ]; do sleep 0.01; done; N=$(wc -l < "
                "/tmp/ticks); until [ $(wc -l < /tmp/ticks) -gt $N ]; do sleep 0.01; done; echo "
                "ticking",
                "2\nticking");
    /* A job that prints does not stop, and does not break what follows. */
    expect_bash(&b, "(while :; do echo noise; sleep 0.01; done) & sleep 0.1", NULL);
    struct result r = sbx_bash(&b, "sleep 0.1; echo heard");
    assert_false(r.is_error);
    expect_contains(r.text, "heard");
    result_done(&r);
    sbx_close(&b);
}

static void a_command_of_a_mebibyte_arrives_whole(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    size_t n = 1u << 20;
    AUTO_FREE char *command = mem_array(n + 100, 1);
    strcpy(command, "wc -c <<'EOF'\n");
    size_t head = strlen(command);
    memset(command + head, 'x', n);
    memset(command + head, '\'', 500);
    memset(command + head + 500, '\\', 500);
    for (size_t i = 1000; i < n; i += 1000)
        command[head + i] = '\n';
    strcpy(command + head + n, "\nEOF");
    expect_bash(&b, command, "1048577");
    sbx_close(&b);
}

/* ---- calls that do not end ---- */

static void timeout_ends_the_call(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    expect_bash(&b, "sleep 777 & " UNTIL_IT_SLEEPS, "(no output)");
    expect_error(&b, "echo partial; (setsid sleep 888 &); sleep 889", 2000,
                 "partial\nbash: timed out after 2000 ms");
    /* What the call had started is gone, what was there before is not. */
    expect_bash(&b, "pgrep -ax sleep | cut -d' ' -f2-; pwd", "sleep 777\n/workspace");
    /* The ceiling of the request counts as well. */
    int64_t id = sbx_send(&b, "bash", "{\"command\":\"sleep 890\",\"timeout_ms\":60000}", 100);
    AUTO_JSON json_t *o = sbx_recv(&b, 20000);
    assert_non_null(o);
    assert_int_equal(json_get_int(o, "id", 0), id);
    assert_true(json_get_bool(o, "is_error", false));
    sbx_close(&b);
}

static void cancel_ends_the_tree(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_seen(&host, NULL, &b);
    expect_bash(&b, "sleep 555 & " UNTIL_IT_SLEEPS, "(no output)");
    int64_t id = sbx_send(
        &b, "bash",
        "{\"command\":\"trap '' TERM INT; (setsid sh -c 'trap \\\"\\\" TERM; sleep 556 & sleep "
        "557' &); "
        "python3 -c 'import os, time\\nif os.fork() == 0:\\n  os.setsid()\\n  if os.fork() == 0: "
        "time.sleep(999)\\n' & sleep 0.3; touch /workspace/go; sleep 558\"}",
        0);
    sbx_wait_for(&b, "go");
    int64_t began = time_mono_ns();
    sbx_cancel(&b, id);
    AUTO_JSON json_t *o = sbx_recv(&b, 20000);
    print_message("cancel answered after %lld us\n", (long long)(time_mono_ns() - began) / 1000);
    assert_non_null(o);
    assert_true(json_get_bool(o, "is_error", false));
    expect_contains(json_get_str(json_array_get(json_object_get(o, "content"), 0), "text"),
                    "the call was cancelled");
    expect_bash(&b, "pgrep -ax 'sleep|python3' | cut -d' ' -f2-", "sleep 555");
    sbx_cancel(&b, id);  /* over already */
    sbx_cancel(&b, 999); /* never was */
    expect_bash(&b, "echo fine", "fine");
    sbx_close(&b);
}

static void expect_answer(struct sbx *b, int64_t id, bool is_error)
{
    AUTO_JSON json_t *o = sbx_recv(b, 20000);
    assert_non_null(o);
    assert_int_equal(json_get_int(o, "id", 0), id);
    assert_int_equal(json_get_bool(o, "is_error", false), is_error);
}

static void calls_wait_in_turn_and_too_many_are_refused(void **state)
{
    (void)state;
    static const char endless[] = "{\"command\":\"touch /workspace/runs; sleep 1000\"}";
    struct sbx b;
    sbx_open_seen(&host, NULL, &b);
    int64_t one = sbx_send(&b, "bash", endless, 0);
    sbx_wait_for(&b, "runs");
    int64_t two = sbx_send(&b, "bash", "{\"command\":\"echo two\"}", 0);
    int64_t three = sbx_send(&b, "bash", "{\"command\":\"echo three\"}", 0);
    sbx_cancel(&b, two); /* answered at once, before the one that runs */
    expect_answer(&b, two, true);
    sbx_cancel(&b, one);
    expect_answer(&b, one, true);
    expect_answer(&b, three, false);
    /* One runs, 32 wait, the rest is refused at once. */
    expect_bash(&b, "rm /workspace/runs", NULL);
    int64_t first = sbx_send(&b, "bash", endless, 0), last = 0;
    sbx_wait_for(&b, "runs");
    for (int i = 0; i < 40; i++)
        last = sbx_send(&b, "bash", "{\"command\":\"true\"}", 0);
    for (int64_t id = first + 33; id <= last; id++)
        expect_answer(&b, id, true);
    sbx_cancel(&b, first);
    expect_answer(&b, first, true);
    for (int64_t id = first + 1; id < first + 33; id++)
        expect_answer(&b, id, false);
    sbx_close(&b);
}

/* ---- limits ---- */

static void small(struct sandbox_limits *l)
{
    l->processes = 64;
    l->memory_bytes = 128u << 20;
    l->tmp_bytes = 4u << 20;
    l->workspace_bytes = 4u << 20;
    l->output_bytes = 2u << 20;
    l->file_bytes = 3u << 20;
}

static void too_much_output_ends_the_call_and_long_output_is_kept(void **state)
{
    (void)state;
    struct sbx b;
    open_limited(&b, small);
    expect_error(&b, "yes", 0, "bash: the command printed more than 2 MiB");
    expect_bash(&b, "echo calm; pgrep -c yes || true", "calm\n0");
    struct result r = sbx_bash(&b, "seq 1 100000");
    assert_false(r.is_error);
    expect_contains(r.text, "the whole output is in /tmp/.sallyport/output-3.txt]");
    assert_true(str_starts(r.text, "1\n2\n3\n") && str_ends(r.text, "\n99999\n100000"));
    result_done(&r);
    expect_bash(&b, "wc -l < /tmp/.sallyport/output-3.txt", "100000");
    r = sbx_call(&b, "read",
                 "{\"file_path\":\"/tmp/.sallyport/output-3.txt\",\"view_range\":[50000,50001]}");
    assert_string_equal(r.text, "50000\n50001");
    result_done(&r);
    sbx_close(&b);
}

static void a_fork_bomb_ends_with_its_call(void **state)
{
    (void)state;
    struct sbx b;
    open_limited(&b, small);
    expect_error(&b, "bomb() { bomb | bomb; }; bomb; sleep 30", 60000,
                 "bash: the programs used all 64 processes");
    expect_bash(&b, "echo calm", "calm");
    /* In the background: the call that started it may be long over when it has filled them. */
    struct result r = sbx_bash(&b, "bomb() { sleep 30 & bomb; }; bomb 2>/dev/null & sleep 1");
    for (int i = 0; !strstr(r.text, "the programs used all 64 processes"); i++) {
        assert_true(i < 60);
        result_done(&r);
        r = sbx_bash(&b, "sleep 1");
    }
    result_done(&r);
    r = sbx_call(&b, "write", "{\"file_path\":\"x\",\"content\":\"tools still start\"}");
    assert_string_equal(r.text, "wrote 17 bytes to x");
    result_done(&r);
    r = sbx_call(&b, "bash", "{\"restart\":true}");
    assert_false(r.is_error);
    result_done(&r);
    expect_bash(&b, "echo calm; pgrep -c sleep || true", "calm\n0");
    sbx_close(&b);
}

static void a_memory_hog_ends_and_earlier_jobs_live_on(void **state)
{
    (void)state;
    struct sbx b;
    open_limited(&b, small);
    expect_bash(&b, "sleep 444 & " UNTIL_IT_SLEEPS, "(no output)");
    /* Init's look or the kernel's, whichever comes first. */
    expect_error(&b, "python3 -c 'a = []\nwhile True: a.append(bytearray(4 << 20))'", 60000,
                 "128 MiB");
    expect_bash(&b, "pgrep -ax sleep | cut -d' ' -f2-", "sleep 444");
    sbx_close(&b);
}

static void a_full_disk_is_told_and_costs_nothing_else(void **state)
{
    (void)state;
    struct sbx b;
    open_limited(&b, small);
    expect_error(&b, "for i in 1 2 3; do head -c 2M /dev/zero > f$i || exit_; done", 0,
                 "No space left on device");
    struct result r = sbx_call(&b, "write", "{\"file_path\":\"new/x\",\"content\":\"0123456789\"}");
    assert_true(r.is_error);
    expect_contains(r.text, "write: new/x: no space left on device");
    result_done(&r);
    expect_error(&b, "rm -f f*; head -c 4M /dev/zero > big", 0, "File size limit exceeded");
    /* A full /tmp only costs the copy of a long output. */
    r = sbx_bash(&b, "rm -f big; head -c 3M /dev/zero > /tmp/a; head -c 2M /dev/zero > /tmp/b");
    result_done(&r);
    r = sbx_bash(&b, "seq 1 50000");
    assert_false(r.is_error);
    expect_contains(r.text, "the whole output could not be kept");
    result_done(&r);
    sbx_close(&b);
}

static void a_slow_file_tool_can_be_timed_out_and_cancelled(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    expect_bash(&b, "head -c 200M /dev/zero | tr '\\0' '\\n' > lines; echo", "(no output)");
    int64_t id = sbx_send(&b, "grep", "{\"pattern\":\"x\",\"path\":\"lines\"}", 50);
    AUTO_JSON json_t *o = sbx_recv(&b, 20000);
    assert_non_null(o);
    assert_int_equal(json_get_int(o, "id", 0), id);
    expect_contains(json_get_str(json_array_get(json_object_get(o, "content"), 0), "text"),
                    "grep: timed out after 50 ms");
    id = sbx_send(&b, "grep", "{\"pattern\":\"x\",\"path\":\"lines\"}", 0);
    sbx_cancel(&b, id);
    AUTO_JSON json_t *p = sbx_recv(&b, 20000);
    expect_contains(json_get_str(json_array_get(json_object_get(p, "content"), 0), "text"),
                    "grep: the call was cancelled");
    expect_bash(&b, "ps -eo comm= | grep -c sallyport-init", "1"); /* the tool's process is gone */
    sbx_close(&b);
}

/* ---- going away ---- */

static void expect_ended(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
}

static void everything_ends_with(bool kill_zygote)
{
    struct host h;
    struct sbx b[3];
    host_start(&h, 0);
    for (size_t i = 0; i < ARRAY_LEN(b); i++) {
        sbx_open_default(&h, &b[i]);
        expect_bash(&b[i], "trap '' TERM HUP; setsid sleep 1000 & echo up", "up");
    }
    if (kill_zygote) {
        assert_int_equal(kill(h.pid, SIGKILL), 0);
        waitpid(h.pid, NULL, 0);
        close(h.ctl);
    } else {
        assert_int_equal(host_stop(&h), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(b); i++) {
        expect_ended(b[i].pidfd);
        sbx_close(&b[i]);
    }
}

static void sandboxes_end_when_the_zygote_is_killed(void **state)
{
    (void)state;
    everything_ends_with(true);
}

static void sandboxes_end_when_the_worker_goes(void **state)
{
    (void)state;
    everything_ends_with(false);
}

static void a_closed_channel_ends_everything_inside(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    expect_bash(&b, "(trap '' TERM HUP; setsid sleep 1000) & echo up", "up");
    /* Waits for the end of init, which the kernel reports after that of everything inside. */
    sbx_close(&b);
}

static void bad_frames_end_the_sandbox(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } table[] = {
        {"\0\0\0\0", 4},
        {"\xff\xff\xff\xff", 4},
        {"\0\0\0\2[]", 6},
        {"\0\0\0\4nope", 8},
        {"\0\0\0\x0d{\"op\":\"boo\"}", 17},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct sbx b;
        sbx_open_default(&host, &b);
        assert_int_equal(send(b.channel, table[i].bytes, table[i].n, MSG_NOSIGNAL),
                         (ssize_t)table[i].n);
        expect_ended(b.pidfd);
        sbx_close(&b);
    }
}

static void a_bad_specification_is_refused_and_nonsense_ends_the_zygote(void **state)
{
    (void)state;
    /* A specification that is refused costs nothing; a message that makes no sense ends the zygote:
     * the worker that sent it is not ours. */
    struct host h;
    host_start(&h, 0);
    static const char bad_spec[] = "{\"op\":\"create\",\"seq\":7,\"spec\":{\"oops\":1}}";
    assert_int_equal(send(h.ctl, bad_spec, sizeof(bad_spec) - 1, MSG_NOSIGNAL),
                     sizeof(bad_spec) - 1);
    char reply[1000] = "";
    assert_true(recv(h.ctl, reply, sizeof(reply) - 1, 0) > 0);
    expect_contains(reply, "\"seq\":7");
    expect_contains(reply, "oops");
    static const char nonsense[] = "{\"op\":\"dance\"}";
    assert_int_equal(send(h.ctl, nonsense, sizeof(nonsense) - 1, MSG_NOSIGNAL),
                     sizeof(nonsense) - 1);
    int status;
    assert_int_equal(waitpid(h.pid, &status, 0), h.pid);
    close(h.ctl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shell_keeps_state),
        cmocka_unit_test(inputs_are_checked),
        cmocka_unit_test(the_number_of_the_attempt_is_in_the_environment),
        cmocka_unit_test(a_restart_gives_a_fresh_shell),
        cmocka_unit_test(a_shell_that_ends_is_told_and_replaced),
        cmocka_unit_test(an_unread_command_runs_in_the_next_shell),
        cmocka_unit_test(a_stuffed_shell_does_not_run_a_command_twice),
        cmocka_unit_test(restart_says_it_all),
        cmocka_unit_test(end_can_not_be_forged),
        cmocka_unit_test(background_jobs_live_on),
        cmocka_unit_test(a_command_of_a_mebibyte_arrives_whole),
        cmocka_unit_test(timeout_ends_the_call),
        cmocka_unit_test(cancel_ends_the_tree),
        cmocka_unit_test(calls_wait_in_turn_and_too_many_are_refused),
        cmocka_unit_test(too_much_output_ends_the_call_and_long_output_is_kept),
        cmocka_unit_test(a_fork_bomb_ends_with_its_call),
        cmocka_unit_test(a_memory_hog_ends_and_earlier_jobs_live_on),
        cmocka_unit_test(a_full_disk_is_told_and_costs_nothing_else),
        cmocka_unit_test(a_slow_file_tool_can_be_timed_out_and_cancelled),
        cmocka_unit_test(sandboxes_end_when_the_zygote_is_killed),
        cmocka_unit_test(sandboxes_end_when_the_worker_goes),
        cmocka_unit_test(a_closed_channel_ends_everything_inside),
        cmocka_unit_test(bad_frames_end_the_sandbox),
        cmocka_unit_test(a_bad_specification_is_refused_and_nonsense_ends_the_zygote),
    };
    return cmocka_run_group_tests(tests, setup_self, teardown);
}
