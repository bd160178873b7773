/* test_zygote_sandboxes.c - real sandboxes from the real zygote: what they see and hold, and that
 * they can be worked in. Every test runs under our own user and, when that is root, under an
 * ordinary one as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "unit/sandbox/harness.h"

#define NOBODY 65534

/* A command that must fail and say why. */
static void expect_failure(struct sbx *b, const char *command, const char *words)
{
    struct result r = sbx_bash(b, command);
    if (!r.is_error)
        fail_msg("%s succeeded: %s", command, r.text);
    if (!strstr(r.text, words))
        fail_msg("%s failed with \"%s\", not \"%s\"", command, r.text, words);
    result_done(&r);
}

/* ---- what a sandbox is ---- */

static void a_sandbox_runs_as_an_agent_without_privileges(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    expect_bash(&b, "id -un; id -u; id -g; id -ru; id -G; pwd; echo $HOME; hostname",
                "agent\n1000\n1000\n1000\n1000\n/workspace\n/workspace\nsandbox");
    expect_bash(&b, "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr '\\t' ' '",
                "CapInh: 0000000000000000\nCapPrm: 0000000000000000\nCapEff: 0000000000000000\n"
                "CapBnd: 0000000000000000\nCapAmb: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2");
    expect_bash(&b, "ulimit -c; ulimit -u; ulimit -n", "0\n512\n8192");
    expect_bash(&b, "env | cut -d= -f1 | sort | tr '\\n' ' '",
                "HOME LC_CTYPE LOGNAME PATH PWD SHELL SHLVL TERM USER _ ");
    expect_bash(&b,
                "python3 -c 'import os\nfor f in (os.setuid, os.setgid):\n"
                "  try: f(0); print(\"oh\")\n  except OSError as e: print(e.errno)'",
                as_root ? "1\n1" : "22\n22"); /* root is mapped, and out of reach: EPERM */
    sbx_close(&b);
}

static unsigned outside_uid(struct sbx *b)
{
    unsigned inside = 0, outside = 0, n = 0;
    struct result r = sbx_bash(b, "cat /proc/self/uid_map");
    assert_int_equal(sscanf(r.text, "%u %u %u", &inside, &outside, &n), 3);
    assert_int_equal(inside, as_root ? 0 : 1000);
    assert_int_equal(n, as_root ? 65536 : 1);
    result_done(&r);
    return as_root ? outside + 1000 : outside;
}

static void uid_ranges_do_not_overlap(void **state)
{
    (void)state;
    struct sbx a, b;
    sbx_open_default(&host, &a);
    sbx_open_default(&host, &b);
    unsigned ua = outside_uid(&a), ub = outside_uid(&b);
    if (as_root) { /* ranges that do not overlap */
        assert_true(ua >= 2000000 && ub >= 2000000);
        assert_true(ua > ub ? ua - ub >= 65536 : ub - ua >= 65536);
    }
    sbx_close(&a);
    sbx_close(&b);
}

static void no_namespace_is_shared_with_the_host(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    static const char *const names[] = {"user", "mnt", "pid",    "net",
                                        "ipc",  "uts", "cgroup", "time"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char ours[64] = "";
        AUTO_FREE char *path = mem_printf("/proc/self/ns/%s", names[i]);
        ssize_t len = readlink(path, ours, sizeof(ours) - 1);
        if (len < 0 && str_eq(names[i], "time"))
            continue; /* a kernel without */
        assert_true(len > 0);
        AUTO_FREE char *command = mem_printf("readlink %s", path);
        struct result r = sbx_bash(&b, command);
        assert_false(r.is_error);
        assert_true(str_starts(r.text, names[i]));
        if (str_eq(r.text, ours))
            fail_msg("the sandbox shares our %s namespace", names[i]);
        result_done(&r);
    }
    expect_bash(&b, "ps -eo comm= > /tmp/ps; sort -u /tmp/ps | tr '\\n' ' '",
                "bash ps sallyport-init ");
    sbx_close(&b);
}

static void the_file_system_shows_only_what_was_meant(void **state)
{
    (void)state;
    char marker[] = "/tmp/sallyport-marker-XXXXXX";
    int fd = mkstemp(marker);
    assert_true(fd >= 0);
    close(fd);
    struct sbx b;
    sbx_open_default(&host, &b);
    expect_bash(&b, "ls / | grep -vxE 'lib32|libx32|lib64' | tr '\\n' ' '",
                "bin data dev etc home lib mnt opt proc run sbin srv tmp usr var workspace ");
    expect_bash(&b, "find /home /run /mnt /srv /opt /data /workspace /tmp -mindepth 1",
                "/tmp/.sallyport");
    expect_bash(&b, "ls /dev | tr '\\n' ' '",
                "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero ");
    expect_bash(&b, "cd /dev; stat -c '%n %t:%T' null zero full random urandom tty | tr '\\n' ' '",
                "null 1:3 zero 1:5 full 1:7 random 1:8 urandom 1:9 tty 5:0 ");
    expect_bash(&b,
                "for f in /etc/shadow /etc/gshadow /etc/fstab /etc/ssh /etc/ssl/private /sys "
                "/root /boot; do "
                "[ -e $f ] && echo $f; done; true",
                "(no output)");
    expect_bash(&b, "cut -d: -f1 /etc/passwd | tr '\\n' ' '", "root agent nobody ");
    /* Not by who owns what: an ordinary user's worker has one id for all. */
    static const char *const unwritable[] = {"/",    "/usr", "/etc", "/dev",
                                             "/var", "/run", "/opt", "/data"};
    for (size_t i = 0; i < ARRAY_LEN(unwritable); i++) {
        AUTO_FREE char *command =
            mem_printf("(: >%s/x) 2>&1 | grep -o 'Read-only file system'", unwritable[i]);
        expect_bash(&b, command, "Read-only file system");
    }
    expect_bash(&b, "touch /proc/sys/kernel/x 2>/dev/null || echo no", "no");
    expect_bash(
        &b, "for d in /workspace /tmp /var/tmp /dev/shm; do touch $d/x && rm $d/x && echo $d; done",
        "/workspace\n/tmp\n/var/tmp\n/dev/shm");
    /* Only what was meant is mounted; nothing can bring setuid programs or devices. */
    expect_bash(&b,
                "awk '{print $5}' /proc/self/mountinfo | grep -v '^/proc/' | sort -u | grep -vxE "
                "'/s?bin|/lib.*|/var/(lib|cache)/[a-z-]*' | tr '\\n' ' '",
                "/ /dev /dev/full /dev/null /dev/pts /dev/random /dev/shm /dev/tty /dev/urandom "
                "/dev/zero /etc /proc /tmp /usr "
                "/workspace ");
    expect_bash(&b,
                "awk '$6 !~ /nosuid/ && !($5 == \"/proc\" && $4 == \"/\")' /proc/self/mountinfo",
                "(no output)");
    expect_bash(
        &b, "awk '$5 ~ \"^/(usr|workspace|tmp|dev/shm)?$\" && $6 !~ /nodev/' /proc/self/mountinfo",
        "(no output)");
    AUTO_FREE char *look = mem_printf("ls %s 2>/dev/null || echo gone", marker);
    expect_bash(&b, look, "gone");
    unlink(marker);
    sbx_close(&b);
}

static void proc_is_masked(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    expect_bash(&b, "cat /proc/keys /proc/timer_list /proc/kcore 2>/dev/null | wc -c", "0");
    expect_bash(
        &b,
        "for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches "
        "/proc/sys/kernel/hostname /proc/irq/default_smp_affinity; do "
        "{ echo x > $f; } 2>/dev/null && [ $f != /proc/sysrq-trigger ] && echo wrote $f; done; "
        "true",
        "(no output)");
    expect_bash(&b, "grep -c . /proc/meminfo /proc/cpuinfo >/dev/null && echo readable",
                "readable");
    sbx_close(&b);
}

static void programs_hold_only_their_three_streams(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    static const char list[] =
        "python3 -c 'import os\nprint([(f, os.readlink(\"/proc/self/fd/%d\" % f).split(\":\")[0]) "
        "for f in range(0, 1024) if os.path.islink(\"/proc/self/fd/%d\" % f)])'";
    expect_bash(&b, list, "[(0, '/dev/null'), (1, 'pipe'), (2, 'pipe')]");
    AUTO_FREE char *background =
        mem_printf("(%s > /tmp/fds; touch /tmp/done) & wait; sed s,/tmp/fds,file, /tmp/fds", list);
    expect_bash(&b, background, "[(0, '/dev/null'), (1, 'file'), (2, 'pipe')]");
    sbx_close(&b);
}

/* ---- what it cannot reach ---- */

static void init_is_out_of_reach(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    expect_bash(
        &b,
        "for f in mem environ fd maps exe root cwd; do cat /proc/1/$f >/dev/null 2>&1 && echo $f; "
        "ls /proc/1/$f/ >/dev/null 2>&1 && echo $f/; done; true",
        "(no output)");
    expect_bash(&b, "kill -9 1; kill -TERM 1; kill -STOP 1; echo still here", "still here");
    expect_bash(&b,
                "python3 -c 'import ctypes, os\nl = ctypes.CDLL(None, use_errno=True)\n"
                "print(l.ptrace(16, 1, 0, 0), ctypes.get_errno())'", /* PTRACE_ATTACH: EPERM */
                "-1 1");
    expect_bash(&b, "python3 -c 'import os\nfd = os.pidfd_open(1)\nprint(fd > 2)'", "True");
    expect_bash(&b, "echo after", "after");
    sbx_close(&b);
}

static void kernel_is_out_of_reach(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    expect_failure(&b, "unshare -U true", "Operation not permitted");
    expect_failure(&b, "unshare -m true", "Operation not permitted");
    expect_failure(&b, "mount -t tmpfs none /tmp", "");
    expect_failure(&b, "umount /usr", "");
    expect_failure(&b, "nsenter -t 1 -m true", "");
    expect_failure(&b, "hostname other", "");
    /* EPERM, or Landlock's EACCES. */
    expect_failure(&b, "mknod /tmp/sda b 8 0", "mknod: /tmp/sda: ");
    expect_failure(&b, "dmesg", "Operation not permitted");
    expect_bash(&b, "mkfifo /tmp/fifo && echo fifos are fine", "fifos are fine");
    sbx_close(&b);
}

/* In a network that the sandbox was born with, and in one that was made ahead for it (there is
 * one a while after the last). */
static void ping_needs_no_right(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct sbx b;
        sbx_open_default(&host, &b);
        expect_bash(&b,
                    "python3 -c 'import socket\n"
                    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)\n"
                    "s.settimeout(20)\n"
                    "s.sendto(b\"\\x08\\0\\0\\0\\0\\0\\0\\x01here\", (\"127.0.0.1\", 0))\n"
                    "print(s.recv(100)[-4:].decode())'",
                    "here");
        sbx_close(&b);
        poll(NULL, 0, 30); /* the zygote's quiet time, and some */
    }
}

static void network_is_loopback_only(void **state)
{
    (void)state;
    /* A listener on our loopback and one on an abstract name: neither exists in there. */
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        un = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    assert_int_equal(bind(tcp, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(tcp, 5), 0);
    assert_int_equal(getsockname(tcp, (struct sockaddr *)&in, &len), 0);
    struct sockaddr_un un_addr = {.sun_family = AF_UNIX};
    int n = snprintf(un_addr.sun_path + 1, 64, "sallyport-test-%d", (int)getpid());
    assert_int_equal(
        bind(un, (struct sockaddr *)&un_addr, (socklen_t)(sizeof(sa_family_t) + 1 + (size_t)n)), 0);
    assert_int_equal(listen(un, 5), 0);
    struct sbx b;
    sbx_open_default(&host, &b);
    AUTO_FREE char *connect = mem_printf(
        "python3 -c 'import socket, errno\n"
        "def go(f, a):\n  s = socket.socket(f)\n  s.settimeout(3)\n"
        "  try: s.connect(a); return \"connected\"\n  except OSError as e: return "
        "errno.errorcode[e.errno]\n"
        "print(go(socket.AF_INET, (\"127.0.0.1\", %d)), go(socket.AF_UNIX, "
        "\"\\0sallyport-test-%d\"),\n"
        "  go(socket.AF_INET, (\"192.0.2.1\", 80)), go(socket.AF_INET6, (\"2001:db8::1\", 80)))'",
        ntohs(in.sin_port), (int)getpid());
    expect_bash(&b, connect, "ECONNREFUSED ECONNREFUSED ENETUNREACH ENETUNREACH");
    expect_bash(&b, "awk 'NR > 2 {print $1}' /proc/net/dev; awk 'NR > 1' /proc/net/route", "lo:");
    /* Loopback itself works. */
    expect_bash(&b,
                "python3 -c 'import socket\nfor f, a in ((socket.AF_INET, \"127.0.0.1\"), "
                "(socket.AF_INET6, \"::1\")):\n"
                "  s = socket.socket(f); s.bind((a, 0)); s.listen()\n  c = "
                "socket.create_connection(s.getsockname()[:2])\n"
                "  s.accept()[0].send(b\"ok\"); print(c.recv(9).decode())'",
                "ok\nok");
    close(tcp);
    close(un);
    sbx_close(&b);
}

static void sandboxes_do_not_meet(void **state)
{
    (void)state;
    struct sbx a, b;
    sbx_open_default(&host, &a);
    sbx_open_default(&host, &b);
    expect_bash(
        &a,
        "echo secret > /tmp/mine; echo secret > /workspace/mine; echo secret > /dev/shm/mine; "
        "sleep 1000 & X=secret; ipcmk -Q >/dev/null; echo set",
        "set");
    expect_bash(&b,
                "ls /tmp /workspace /dev/shm | grep mine; pgrep -c sleep; echo ${X-none}; ipcs -q "
                "| grep -c 0x; true",
                "0\nnone\n0");
    sbx_close(&a);
    sbx_close(&b);
}

/* ---- that it can be worked in ---- */

static void toolchains_work_in_a_sandbox(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    struct result w =
        sbx_call(&b, "write",
                 "{\"file_path\":\"src/a.c\",\"content\":\"#include <stdio.h>\\nint main(void) "
                 "{ return printf(\\\"made\\\\n\\\") < 0; }\\n\"}");
    assert_false(w.is_error);
    result_done(&w);
    expect_bash(&b, "cd src && cc -O2 -Wall -o a a.c && ./a", "made");
    expect_bash(&b, "printf 'all:\\n\\t@echo by make\\n' > Makefile; make", "by make");
    expect_bash(&b,
                "python3 -c 'import ssl, json, subprocess; "
                "print(subprocess.check_output([\"echo\", \"py\"]).decode())'",
                "py");
    expect_bash(&b, "python3 -c 'import pty; pty.spawn([\"tty\"])' | tr -d '\\r'", "/dev/pts/0");
    expect_bash(&b, "git init -q . 2>&1 && git status --short | wc -l", "3");
    expect_bash(
        &b,
        "echo via fd > /dev/stdout; cat <(echo substitution); mktemp -d /var/tmp/XXXX | cut -c1-9",
        "via fd\nsubstitution\n/var/tmp/");
    sbx_close(&b);
}

/* ---- host directories ---- */

static char *host_dir(char *templ)
{
    assert_non_null(mkdtemp(templ));
    assert_int_equal(chmod(templ, 0755), 0);
    if (test_is_root() && !as_root)
        assert_int_equal(chown(templ, NOBODY, NOBODY), 0);
    return templ;
}

static void put(const char *dir, const char *name, const char *text)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    AUTO_CLOSE int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void expect_content(const char *dir, const char *name, const char *want)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    char text[256] = "";
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof(text) - 1) >= 0);
    assert_string_equal(text, want);
}

static void remove_dir(const char *dir)
{
    AUTO_FREE char *command = mem_printf("rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static void of_the_hosts_directories_only_the_workspace_is_writable(void **state)
{
    (void)state;
    char ws[] = "/tmp/sallyport-ws-XXXXXX", ro[] = "/tmp/sallyport-ro-XXXXXX";
    host_dir(ws);
    host_dir(ro);
    put(ro, "given", "read me");
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.workspace_dir = mem_strdup(ws);
    AUTO_FREE char *file = mem_printf("%s/given", ro);
    assert_int_equal(sandbox_spec_add_bind(&s, ro, "/mnt/in/deep", false, NULL), 0);
    assert_int_equal(sandbox_spec_add_bind(&s, file, "/opt/one.txt", false, NULL), 0);
    assert_int_equal(sandbox_spec_add_bind(&s, ro, "/workspace/skills/x", false, NULL), 0);
    struct sbx b;
    AUTO_FREE char *error = sbx_open(&host, &s, &b);
    if (error)
        fail_msg("%s", error);
    expect_bash(&b, "cat /mnt/in/deep/given /opt/one.txt skills/x/given", "read meread meread me");
    expect_bash(&b,
                "for f in /mnt/in/deep/x /opt/x /opt/one.txt /mnt/x skills/x/new; do { echo > $f; "
                "} 2>/dev/null && echo $f; "
                "done; true",
                "(no output)");
    expect_bash(&b, "echo result > out.txt; id -un; stat -c %U . out.txt | tr '\\n' ' '",
                "agent\nagent agent ");
    sbx_close(&b);
    expect_content(ws, "out.txt", "result\n");
    sandbox_spec_done(&s);
    remove_dir(ws);
    remove_dir(ro);
}

static void expect_refusal(struct sandbox_spec *s, const char *words)
{
    struct sbx b;
    AUTO_FREE char *error = sbx_open(&host, s, &b);
    if (!error)
        fail_msg("opened, but should have said \"%s\"", words);
    expect_contains(error, words);
    sandbox_spec_done(s);
}

static void bad_specifications_do_the_zygote_no_harm(void **state)
{
    (void)state;
    char ws[] = "/tmp/sallyport-ws-XXXXXX";
    host_dir(ws);
    AUTO_FREE char *link = mem_printf("%s/link", ws);
    assert_int_equal(symlink("/etc", link), 0);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.workspace_dir = mem_strdup("/nonexistent/dir");
    expect_refusal(&s, "could not open /nonexistent/dir");
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, "/nonexistent", "/mnt/x", false, NULL), 0);
    expect_refusal(&s, "could not open /nonexistent");
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, "/dev/null", "/mnt/x", false, NULL), 0);
    expect_refusal(&s, "neither a directory nor a regular file");
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, "/usr/share", "/usr/local/x", false, NULL), 0);
    expect_refusal(&s, "cannot be replaced");
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, "/usr/share", "/proc/x", false, NULL), 0);
    expect_refusal(&s, "cannot be replaced");
    sandbox_spec_init(&s); /* through a link that the workspace brought along */
    s.workspace_dir = mem_strdup(ws);
    assert_int_equal(sandbox_spec_add_bind(&s, "/usr/share", "/workspace/link/x", false, NULL), 0);
    expect_refusal(&s, "could not bind /workspace/link/x");
    /* None of that did the zygote any harm. */
    struct sbx b;
    sbx_open_default(&host, &b);
    expect_bash(&b, "echo fine", "fine");
    sbx_close(&b);
    remove_dir(ws);
}

/* The sandbox turns a directory into a link to the host's and back while tools write through it. */
static void a_link_race_reaches_no_file_of_the_host(void **state)
{
    (void)state;
    char ws[] = "/tmp/sallyport-ws-XXXXXX", victim[] = "/tmp/sallyport-victim-XXXXXX";
    host_dir(ws);
    host_dir(victim);
    put(victim, "f", "untouched");
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.workspace_dir = mem_strdup(ws);
    struct sbx b;
    AUTO_FREE char *error = sbx_open(&host, &s, &b);
    if (error)
        fail_msg("%s", error);
    AUTO_FREE char *racer =
        mem_printf("mkdir real; ln -s %s link; (while :; do ln -sfn real d; ln -sfn %s d; ln -sfn "
                   "/proc/self/root%s d; done) >/dev/null 2>&1 & sleep 0.1; echo racing",
                   victim, victim, victim);
    expect_bash(&b, racer, "racing");
    int outcomes[2] = {0, 0};
    /* On, when a slow machine has not yet let one call hit the real directory. */
    for (int i = 0; i < 150 || (outcomes[0] == 0 && i < 6000); i++) {
        struct result r = sbx_call(
            &b,
            i % 3 == 0   ? "write"
            : i % 3 == 1 ? "read"
                         : "edit",
            "{\"file_path\":\"d/"
            "f\",\"content\":\"evil\",\"old_string\":\"untouched\",\"new_string\":\"evil\"}");
        outcomes[r.is_error]++;
        if (strstr(r.text, "untouched") && !r.is_error)
            fail_msg("a tool has read the host's file");
        result_done(&r);
    }
    assert_true(outcomes[0] > 0); /* the real directory is hit now and then, or nothing was raced */
    sbx_close(&b);
    expect_content(victim, "f", "untouched");
    sandbox_spec_done(&s);
    remove_dir(ws);
    remove_dir(victim);
}

/* Where no group can be had, a limit on processors is refused and not forgotten. */
static void processors_are_limited_or_refused(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.limits.cpu_milli = 200;
    struct sbx b;
    AUTO_FREE char *error = sbx_open(&host, &s, &b);
    sandbox_spec_done(&s);
    if (error) {
        assert_false(as_root);
        expect_contains(error, "limits: a limit on processors needs a control group;");
        return;
    }
    struct result r =
        sbx_bash(&b, "TIMEFORMAT=%U; time timeout 2 bash -c 'while :; do :; done'; true");
    double used = strtod(r.text, NULL);
    if (used <= 0.0 || used > 1.0)
        fail_msg("a fifth of a processor gave %s s in 2 s", r.text);
    result_done(&r);
    sbx_close(&b);
}

/* A zygote that runs out of descriptors says so, wherever in a start that happens, and goes on when
 * it has some again. */
static void a_zygote_short_of_descriptors_says_so_and_recovers(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    struct rlimit before;
    /* Another user's: not ours to limit. */
    if (prlimit(host.pid, RLIMIT_NOFILE, NULL, &before) < 0) {
        sandbox_spec_done(&s);
        skip();
    }
    char dir[] = "/tmp/sallyport-few-XXXXXX";
    assert_non_null(mkdtemp(dir));
    if (as_root) /* its owner's files have to show as the sandbox's, or it must not start */
        assert_int_equal(sandbox_spec_add_bind(&s, dir, "/data/x", true, NULL), 0);
    bool translates = false; /* not every file system can: tmpfs before Linux 6.3 */
    if (as_root) {
        struct sbx plenty;
        assert_null(sbx_open(&host, &s, &plenty));
        struct result r = sbx_bash(&plenty, "touch /data/x/f");
        translates = !r.is_error;
        result_done(&r);
        sbx_close(&plenty);
    }
    int refused = 0;
    for (rlim_t n = 10;; n++) {
        const struct rlimit tight = {.rlim_cur = n, .rlim_max = before.rlim_max};
        assert_in_range(n, 10, 100);
        assert_int_equal(prlimit(host.pid, RLIMIT_NOFILE, &tight, NULL), 0);
        struct sbx b;
        AUTO_FREE char *error = sbx_open(&host, &s, &b);
        if (!error) {
            if (translates)
                expect_bash(&b, "touch /data/x/f && stat -c %U /data/x/f", "agent");
            sbx_close(&b);
            break;
        }
        expect_contains(error, "Too many open files");
        refused++;
    }
    assert_true(refused > 5);
    assert_int_equal(prlimit(host.pid, RLIMIT_NOFILE, &before, NULL), 0);
    struct sbx b;
    assert_null(sbx_open(&host, &s, &b));
    expect_bash(&b, "echo fine", "fine");
    sbx_close(&b);
    sandbox_spec_done(&s);
    AUTO_FREE char *file = mem_printf("%s/f", dir);
    (void)unlink(file);
    assert_int_equal(rmdir(dir), 0);
}

/* A user who may have no more processes is told which limit that is. */
static void a_user_without_processes_is_told_the_limit(void **state)
{
    (void)state;
    if (!test_is_root()) /* needs a user without other processes */
        skip();
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NPROC, &before), 0);
    const struct rlimit one = {.rlim_cur = 1, .rlim_max = before.rlim_max};
    struct host h;
    assert_int_equal(setrlimit(RLIMIT_NPROC, &one), 0);
    host_start(&h, 61999);
    assert_int_equal(setrlimit(RLIMIT_NPROC, &before), 0);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    struct sbx b;
    AUTO_FREE char *error = sbx_open(&h, &s, &b);
    assert_non_null(error);
    expect_contains(error, "too many processes; see ulimit -u");
    sandbox_spec_done(&s);
    assert_int_equal(host_stop(&h), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sandbox_runs_as_an_agent_without_privileges),
        cmocka_unit_test(uid_ranges_do_not_overlap),
        cmocka_unit_test(no_namespace_is_shared_with_the_host),
        cmocka_unit_test(the_file_system_shows_only_what_was_meant),
        cmocka_unit_test(proc_is_masked),
        cmocka_unit_test(programs_hold_only_their_three_streams),
        cmocka_unit_test(init_is_out_of_reach),
        cmocka_unit_test(kernel_is_out_of_reach),
        cmocka_unit_test(network_is_loopback_only),
        cmocka_unit_test(ping_needs_no_right),
        cmocka_unit_test(sandboxes_do_not_meet),
        cmocka_unit_test(toolchains_work_in_a_sandbox),
        cmocka_unit_test(of_the_hosts_directories_only_the_workspace_is_writable),
        cmocka_unit_test(bad_specifications_do_the_zygote_no_harm),
        cmocka_unit_test(a_link_race_reaches_no_file_of_the_host),
        cmocka_unit_test(processors_are_limited_or_refused),
        cmocka_unit_test(a_zygote_short_of_descriptors_says_so_and_recovers),
        cmocka_unit_test(a_user_without_processes_is_told_the_limit),
    };
    int failed = cmocka_run_group_tests_name("self", tests, setup_self, teardown);
    if (test_is_root())
        failed += cmocka_run_group_tests_name("user", tests, setup_user, teardown);
    return failed;
}
