/* test_pty.c - bash calls on a terminal: what programs find there, what persists, and that no
 * command can spoil it for the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "unit/sandbox/harness.h"
#include "sandbox/init/internal.h"

static struct result on_terminal(struct sbx *b, const char *command, const char *pty)
{
    AUTO_JSON json_t *in = json_object();
    json_t *size = NULL;
    assert_int_equal(json_parse(pty, strlen(pty), &size, NULL), 0);
    json_put_str(in, "command", command);
    json_put_int(in, "timeout_ms", 20000);
    json_put(in, "pty", size);
    AUTO_FREE char *text = json_text(in, NULL);
    return sbx_call(b, "bash", text);
}

static void expect_terminal(struct sbx *b, const char *command, const char *text)
{
    struct result r = on_terminal(b, command, "true");
    if (r.is_error || (text && !str_eq(r.text, text)))
        fail_msg("%s\n  gave %s: %s\n  wanted: %s", command, r.is_error ? "an error" : "success",
                 r.text, text);
    result_done(&r);
}

static void programs_find_a_real_terminal(void **state)
{
    (void)state;
    static const struct {
        const char *command, *want;
    } table[] = {
        {"[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all", "all"},
        {"tty", "/dev/pts/0"},
        {"stty size", "24 80"},
        {"echo $TERM; sh -c 'echo $TERM'", "xterm-256color\nxterm-256color"},
        {"python3 -c 'import os,sys; print(sys.stdin.isatty(), os.isatty(1), "
         "os.get_terminal_size())'",
         "True True os.terminal_size(columns=80, lines=24)"},
        {"printf 'a\\nb\\n' | od -c | head -1; printf 'a\\nb'", "0000000   a  \\n   b  \\n\na\nb"},
        {"printf '\\033[31mred\\033[0m\\n'", "red"},
        {"ls --color=auto -d /tmp", "/tmp"},
        {"cat; echo end", "end"},
        {"read L; echo \"[$L] $?\"; read L; echo \"[$L]\"", "[] 1\n[]"},
        {"while read -r l; do echo no; done; echo past", "past"},
        {"echo err >&2", "err"},
        {"true", "(no output)"},
        {"top -b -n 1 | head -1 | cut -c1-3", "top"},
        {"script -qec 'tty' /tmp/typescript </dev/null | tr -d '\\r'; true", NULL},
    };
    struct sbx b;
    sbx_open_default(&host, &b);
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        expect_terminal(&b, table[i].command, table[i].want);
    struct result r = on_terminal(&b, "stty size", "{\"rows\":50,\"cols\":132}");
    assert_string_equal(r.text, "50 132");
    result_done(&r);
    r = on_terminal(&b, "stty size", "{\"cols\":1000}");
    assert_string_equal(r.text, "24 1000");
    result_done(&r);
    r = on_terminal(&b, "false", "true");
    assert_true(r.is_error);
    assert_string_equal(r.text, "exit 1");
    result_done(&r);
    sbx_close(&b);
}

static void plain_and_terminal_share_the_shell(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    expect_bash(&b, "cd /tmp; X=1; TERM=mine; sleep 4242 & echo", "(no output)");
    expect_terminal(&b, "echo $PWD $X; Y=2; sleep 4243 & cd /usr", NULL);
    expect_bash(&b,
                "echo $PWD $X $Y $TERM; [ -t 1 ] || echo plain; until [ $(pgrep -xc sleep) = 2 ]; "
                "do :; done; echo 2",
                "/usr 1 2 mine\nplain\n2");
    expect_terminal(&b, "jobs | wc -l; echo $TERM", "2\nxterm-256color");
    /* The end of the shell takes none of them along, nor does a cancelled call. */
    struct result r = on_terminal(&b, "exit 3", "true");
    expect_contains(r.text, "the shell ended with exit code 3");
    result_done(&r);
    r = on_terminal(&b, "kill -9 $$", "true");
    expect_contains(r.text, "the shell was ended by signal 9");
    result_done(&r);
    int64_t id =
        sbx_send(&b, "bash", "{\"command\":\"echo begun; sleep 4244\",\"pty\":true}", 2000);
    AUTO_JSON json_t *o = sbx_recv(&b, 20000);
    assert_int_equal(json_get_int(o, "id", 0), id);
    expect_contains(json_get_str(json_array_get(json_object_get(o, "content"), 0), "text"),
                    "begun\nbash: timed out after 2000 ms");
    expect_bash(&b, "pgrep -xa sleep | cut -d' ' -f2- | sort", "sleep 4242\nsleep 4243");
    expect_terminal(&b, "tty", "/dev/pts/0");
    sbx_close(&b);
}

/* Whatever a command leaves behind, the next finds a terminal in order. */
static void nothing_spoils_it(void **state)
{
    (void)state;
    static const char *const spoilers[] = {
        "stty raw -echo -icanon min 0 time 0",
        "stty -a >/dev/null; stty olcuc ocrnl opost onlcr iuclc rows 1 cols 1",
        "stty sane",
        "reset >/dev/null 2>&1 || true",
        "exec 0<&- 1>&- 2>&-",
        "exec >/dev/null 2>&1 </dev/null",
        "chmod 000 $(tty)",
        "python3 -c 'import fcntl, termios; fcntl.ioctl(1, termios.TIOCEXCL)'",
        "python3 -c 'import termios; termios.tcflow(1, termios.TCOOFF)'",
        "python3 -c 'import termios; termios.tcflow(1, 0)'; (echo waits >&2) & sleep 0.05",
        "python3 -c 'import fcntl, os; fcntl.fcntl(0, fcntl.F_SETFL, os.O_NONBLOCK)'",
        "setsid -c sh -c 'tty >/dev/null' < $(tty)",
        "setsid sh -c ': < /dev/pts/0; sleep 0.05' & wait",
        "(sleep 0.05; echo late) & true",
        "python3 -c 'import signal,os; os.write(1, bytes(range(1, 32)))'",
        "vim -c q >/dev/null 2>&1 </dev/null; true",
        "TERM=dumb; export TERM=vt100",
        "stty -ixon; printf '\\023'",
        "stty tostop; (sleep 0.01; echo late) &",
        "seq 1 20000 >/dev/null",
    };
    struct sbx b;
    sbx_open_default(&host, &b);
    for (size_t i = 0; i < ARRAY_LEN(spoilers); i++) {
        struct result r = on_terminal(&b, spoilers[i], "true");
        if (r.is_error)
            fail_msg("%s: %s", spoilers[i], r.text);
        result_done(&r);
        r = on_terminal(&b, "cat; printf 'Mixed\\nCase\\n'; stty size; tty; echo $TERM", "true");
        const char *want = "Mixed\nCase\n24 80\n/dev/pts/0\nxterm-256color";
        if (r.is_error || (!strstr(r.text, want) && !strstr(r.text, "late")))
            fail_msg("after %s: %s", spoilers[i], r.text);
        result_done(&r);
        expect_bash(&b, "echo plain", NULL);
    }
    sbx_close(&b);
}

static void output_is_whole(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.limits.output_bytes = 2u << 20;
    struct sbx b;
    AUTO_FREE char *error = sbx_open(&host, &s, &b);
    assert_null(error);
    sandbox_spec_done(&s);
    for (int i = 0; i < 30; i++) /* what was written last is not lost */
        expect_terminal(&b, "seq 1 3000 | tail -1; printf last", "3000\nlast");
    struct result r = on_terminal(&b, "seq 1 100000", "true");
    assert_true(str_starts(r.text, "1\n2\n3\n") && str_ends(r.text, "\n99999\n100000"));
    expect_contains(r.text, "the whole output is in /tmp/.sallyport/output-");
    result_done(&r);
    expect_bash(&b, "wc -l < $(ls -t /tmp/.sallyport/output-* | head -1)", "100000");
    r = on_terminal(&b, "yes", "true");
    assert_true(r.is_error);
    expect_contains(r.text, "bash: the command printed more than 2 MiB");
    result_done(&r);
    expect_terminal(&b, "echo calm", "calm");
    sbx_close(&b);
}

static void wrong_pty_values_are_refused_with_words(void **state)
{
    (void)state;
    static const struct {
        const char *pty, *want;
    } table[] = {
        {"1", "bash: pty must be true, false or {\"rows\": R, \"cols\": C}"},
        {"\"yes\"", "bash: pty must be true, false or {\"rows\": R, \"cols\": C}"},
        {"[]", "bash: pty must be true, false or {\"rows\": R, \"cols\": C}"},
        {"{\"rows\":0}", "bash: pty.rows must be an integer from 1 to 1000"},
        {"{\"rows\":1001}", "bash: pty.rows must be an integer from 1 to 1000"},
        {"{\"cols\":-1}", "bash: pty.cols must be an integer from 1 to 1000"},
        {"{\"cols\":1.5}", "bash: pty.cols must be an integer from 1 to 1000"},
        {"{\"cols\":\"80\"}", "bash: pty.cols must be an integer from 1 to 1000"},
        {"{\"width\":80}", "bash: pty.width is not a field; pty has rows and cols"},
    };
    struct sbx b;
    sbx_open_default(&host, &b);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct result r = on_terminal(&b, "true", table[i].pty);
        assert_true(r.is_error);
        assert_string_equal(r.text, table[i].want);
        result_done(&r);
    }
    static const char *const plain[] = {"false", "null"};
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        struct result r = on_terminal(&b, "[ -t 1 ] || echo plain", plain[i]);
        assert_string_equal(r.text, "plain");
        result_done(&r);
    }
    sbx_close(&b);
}

/* The kernel's counts of out-of-memory kills, in the words of both versions of control groups. */
static void a_kernel_kill_for_memory_is_told_once(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool tells;
    } table[] = {
        {"low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n", true},
        {"oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", true},
        {"oom_kill_disable 1\nunder_oom 0\n", false},
        {"oom_kill 0\n", false},
        {"oom_kill x\n", false},
        {"", false},
    };
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        static struct init in;
        in = (struct init){.spec = &s, .oom_fd = memfd_create("events", MFD_CLOEXEC)};
        limits_begin_call(&in);
        assert_int_equal(pwrite(in.oom_fd, table[i].text, strlen(table[i].text), 0),
                         strlen(table[i].text));
        AUTO_FREE char *sentence = limits_oom_sentence(&in);
        if (table[i].tells)
            assert_string_equal(
                sentence, "the sandbox ran out of memory and the kernel ended a program; it may "
                          "have 2048 MiB, if the machine has them");
        else
            assert_null(sentence);
        assert_null(limits_oom_sentence(&in)); /* said once */
        close(in.oom_fd);
    }
    static struct init none = {.oom_fd = -1};
    limits_begin_call(&none);
    assert_null(limits_oom_sentence(&none));
    sandbox_spec_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_find_a_real_terminal),
        cmocka_unit_test(plain_and_terminal_share_the_shell),
        cmocka_unit_test(nothing_spoils_it),
        cmocka_unit_test(output_is_whole),
        cmocka_unit_test(wrong_pty_values_are_refused_with_words),
        cmocka_unit_test(a_kernel_kill_for_memory_is_told_once),
    };
    return cmocka_run_group_tests(tests, setup_self, teardown);
}
