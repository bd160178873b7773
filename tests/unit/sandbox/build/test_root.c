/* test_root.c - the root file system of real sandboxes: the overlay, images nobody trusts, who owns
 * what, limits that can be seen, and no network at all. Under our own user and, when that is root,
 * under an ordinary one as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "unit/sandbox/harness.h"
#include "sandbox/build/root.h"
#include "sandbox/zygote/idmap.h"
#include "sandbox/lock/landlock.h"
#include "sandbox/mounts.h"
#include "box/state.h"

#define NOBODY 65534

static bool idmapped; /* this kernel translates owners on the file system of /tmp */

/* Asked of the kernel itself, without the code under test but for the call. */
static bool can_idmap(const char *dir)
{
    AUTO_CLOSE int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const struct idmap m = {0, 2000000, 1};
    struct err e = {0};
    AUTO_CLOSE int userns = idmap_userns(proc, &m, &m, &e);
    /* Alone: what others have mounted below it is not ours to judge. */
    AUTO_CLOSE int tree = open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    int r = userns < 0 ? userns : tree < 0 ? -errno : mounts_set_idmap(tree, userns);
    if (r < 0)
        print_message("no idmapped mount on %s: %s\n", dir, e.msg[0] ? e.msg : err_text(r));
    return r >= 0;
}

static int look(int r)
{
    idmapped = as_root && can_idmap("/tmp");
    if (as_root && !idmapped)
        print_message("no idmapped mounts on /tmp here: owners stay as they are\n");
    return r;
}

static int setup_self_root(void **state)
{
    return look(setup_self(state));
}

static int setup_user_root(void **state)
{
    return look(setup_user(state));
}

static void open_box(const struct sandbox_spec *s, struct sbx *ret)
{
    AUTO_FREE char *error = sbx_open(&host, s, ret);
    if (error)
        fail_msg("%s", error);
}

/* Runs a command of the host's; the tests are root or need nothing. */
static void run(const char *fmt, const char *dir)
{
    AUTO_FREE char *head = mem_printf("set -e; cd %s; ", dir);
    AUTO_FREE char *command = mem_printf("%s%s", head, fmt);
    if (system(command) != 0)
        fail_msg("%s", command);
}

static char *new_dir(char *templ)
{
    assert_non_null(mkdtemp(templ));
    assert_int_equal(chmod(templ, 0755), 0);
    return templ;
}

static void give_to_user(const char *dir)
{
    if (test_is_root() && !as_root)
        run("chown -R 65534:65534 .", dir);
}

/* ---- the overlay ---- */

static void root_writes_everywhere_and_nothing_stays(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.user = SANDBOX_USER_ROOT;
    struct sbx a, b;
    open_box(&s, &a);
    expect_bash(&a,
                "id -u; id -un; echo $USER; grep -c 'CapEff:.0000000000000000' /proc/self/status",
                "0\nroot\nroot\n1");
    if (idmapped || !as_root) /* the template is root's inside */
        expect_bash(&a, "echo y >> /etc/hosts && echo x > /etc/new2 && tail -n 1 /etc/hosts", "y");
    if (idmapped) { /* an ordinary user's sandbox has one id: the system is nobody's there */
        expect_bash(
            &a,
            "for f in /new /etc/new /usr/new /usr/bin/new /var/new; do echo x > $f || exit 1; "
            "done; stat -c %U /etc /usr/bin /new | tr '\\n' ' '",
            "root root root ");
        expect_bash(&a,
                    "echo y >> /etc/hosts; rm /usr/bin/make; mkdir -p /usr/share/a/b; "
                    "mv /usr/share/a /usr/share/c; ls /usr/share/c; make 2>&1 | tail -c 20",
                    "b\n: command not found");
    }
    sbx_close(&a);
    open_box(&s, &b);
    expect_bash(
        &b,
        "ls /new /etc/new /etc/new2 /usr/new /usr/bin/new 2>/dev/null; tail -n 1 /etc/hosts; "
        "ls /usr/bin/make",
        "::1 localhost ip6-localhost ip6-loopback\n/usr/bin/make");
    sbx_close(&b);
    struct stat st;
    assert_int_equal(stat("/usr/bin/make", &st), 0);
    assert_int_equal(stat("/usr/new", &st), -1);
}

static void size_is_bounded(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.user = SANDBOX_USER_ROOT;
    s.limits.tmp_bytes = 4u << 20;
    struct sbx b;
    open_box(&s, &b);
    expect_bash(&b,
                "head -c 8M /dev/zero > /tmp/big 2>/dev/null || echo full; rm /tmp/big; "
                "head -c 8M /dev/zero > /dev/shm/big 2>/dev/null || echo full; rm /dev/shm/big",
                "full\nfull");
    if (idmapped)
        expect_bash(&b, "head -c 8M /dev/zero > /usr/big 2>/dev/null || echo full", "full");
    sbx_close(&b);
}

/* ---- images ---- */

/* A root file system with what bash needs, as links to nowhere else: a bind of the host's /usr
 * cannot be had in a plain directory, so the programs are copied. */
static void make_image(const char *dir)
{
    run("mkdir -p usr/bin usr/lib etc root; ln -s usr/bin bin; ln -s usr/lib lib; ln -s usr/lib "
        "lib64; "
        "for p in bash cat ls id stat touch rm mkdir; do cp /usr/bin/$p usr/bin/; "
        "  ldd /usr/bin/$p | grep -o '/[^ ]*' | while read l; do cp -Ln $l usr/lib/; done; done; "
        "echo 'root:x:0:0::/root:/bin/sh' > etc/passwd; echo 'root:x:0:' > etc/group; "
        "echo image > etc/marker; chmod 600 root",
        dir);
}

static void an_image_becomes_the_root_and_stays_unchanged(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-image-XXXXXX";
    make_image(new_dir(dir));
    give_to_user(dir);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.rootfs_dir = mem_strdup(dir);
    struct sbx b;
    open_box(&s, &b);
    expect_bash(&b,
                "cat /etc/marker /etc/hostname; id -un; stat -c '%t:%T' /dev/null; ls /usr/bin/ldd "
                "2>&1; ls /sys 2>&1 | cat",
                "image\nsandbox\nagent\n1:3\nls: cannot access '/usr/bin/ldd': No such file or "
                "directory\nls: cannot access '/sys': No such file or directory");
    if (as_root) /* owned by root there, and we are not root */
        expect_bash(&b, "touch /etc/x 2>/dev/null || stat -c %u /etc/marker",
                    idmapped ? "0" : "65534");
    else /* the user who imported it owns it, and is the user inside */
        expect_bash(&b, "touch /etc/x && rm /etc/marker && stat -c %U /usr", "agent");
    sbx_close(&b);
    struct stat st;
    AUTO_FREE char *marker = mem_printf("%s/etc/marker", dir), *x = mem_printf("%s/etc/x", dir);
    assert_int_equal(stat(marker, &st), 0);
    assert_int_equal(stat(x, &st), -1);
    s.user = SANDBOX_USER_ROOT;
    open_box(&s, &b);
    if (idmapped || !as_root)
        expect_bash(&b,
                    "id -un; touch /etc/y && stat -c %U /etc/y /etc/marker; ls /root >/dev/null && "
                    "echo mine; rm -r /usr/lib/libsel* ; echo removed",
                    "root\nroot\nroot\nmine\nremoved");
    sbx_close(&b);
    sandbox_spec_done(&s);
    assert_int_equal(stat(marker, &st), 0);
    assert_int_equal(state_remove_tree(AT_FDCWD, dir), 0);
}

/* An image that turns everything we create or mount on into links out of the root. */
static void a_hostile_image_leads_nothing_out_of_the_root(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-image-XXXXXX", victim[] = "/tmp/sallyport-victim-XXXXXX";
    make_image(new_dir(dir));
    new_dir(victim);
    run("touch before; chmod 777 .", victim);
    AUTO_FREE char *links = mem_printf(
        "rm -rf etc; for n in dev proc tmp workspace etc sys mnt srv; do ln -s %s $n; done",
        victim);
    run(links, dir);
    give_to_user(dir);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.rootfs_dir = mem_strdup(dir);
    s.limits.cpu_milli = as_root ? 1000 : 0; /* refused where no group can be had */
    assert_int_equal(sandbox_spec_add_bind(&s, victim, "/mnt/in", false, NULL), 0);
    struct sbx b;
    open_box(&s, &b);
    expect_bash(&b,
                "stat -c '%F' /dev /proc /tmp /workspace /etc /mnt | cat; cat /etc/hostname; "
                "stat -c '%t:%T' /dev/null; touch /tmp/t /workspace/w; ls /mnt/in",
                "directory\ndirectory\ndirectory\ndirectory\ndirectory\ndirectory\n"
                "sandbox\n1:3\nbefore");
    if (as_root)
        expect_bash(&b, "stat -c '%F' /sys; cat /sys/devices/system/cpu/online", "directory\n0");
    sbx_close(&b);
    sandbox_spec_done(&s);
    run("[ \"$(ls)\" = before ]", victim);
    assert_int_equal(state_remove_tree(AT_FDCWD, dir), 0);
    assert_int_equal(state_remove_tree(AT_FDCWD, victim), 0);
}

static void image_faults_are_told(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-image-XXXXXX";
    new_dir(dir);
    give_to_user(dir);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.rootfs_dir = mem_strdup(dir);
    struct sbx b;
    open_box(&s, &b); /* an empty one: there is no shell, and nothing else breaks */
    struct result r = sbx_bash(&b, "echo hi");
    assert_true(r.is_error);
    expect_contains(r.text, "has no /bin/bash");
    result_done(&r);
    sbx_close(&b);
    free(s.rootfs_dir);
    s.rootfs_dir = mem_strdup("/nonexistent/image");
    AUTO_FREE char *error = sbx_open(&host, &s, &b);
    assert_non_null(error);
    expect_contains(error, "rootfs: could not open /nonexistent/image");
    sandbox_spec_done(&s);
    assert_int_equal(state_remove_tree(AT_FDCWD, dir), 0);
}

/* ---- binds ---- */

static void bound_directory_keeps_its_owner(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-bind-XXXXXX";
    new_dir(dir);
    run("echo old > old; echo private > private; chmod 600 private; chmod 755 .", dir);
    give_to_user(dir);
    struct stat before, after;
    assert_int_equal(stat(dir, &before), 0);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, dir, "/home/agent/project", true, NULL), 0);
    assert_int_equal(sandbox_spec_add_bind(&s, dir, "/srv/ro", false, NULL), 0);
    struct sbx b;
    open_box(&s, &b);
    if (as_root && !idmapped) {
        expect_bash(&b, "touch /home/agent/project/x 2>/dev/null || stat -c %u /home/agent/project",
                    "65534");
        sbx_close(&b);
        sandbox_spec_done(&s);
        assert_int_equal(state_remove_tree(AT_FDCWD, dir), 0);
        return;
    }
    expect_bash(
        &b,
        "cd /home/agent/project; echo new > new; echo more >> old; cat private; "
        "stat -c %U . old new | tr '\\n' ' '; { echo x > /srv/ro/x; } 2>/dev/null || echo ro",
        "private\nagent agent agent ro");
    sbx_close(&b);
    sandbox_spec_done(&s);
    AUTO_FREE char *path = mem_printf("%s/new", dir);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_uid, before.st_uid);
    assert_int_equal(after.st_gid, before.st_gid);
    run("[ \"$(cat old)\" = \"$(printf 'old\\nmore')\" ]", dir);
    assert_int_equal(state_remove_tree(AT_FDCWD, dir), 0);
}

static void binds_replace_nothing_the_sandbox_needs(void **state)
{
    (void)state;
    static const char *const bad[] = {"/etc",    "/usr",       "/usr/local", "/dev/shm/x",
                                      "/proc/1", "/sys",       "/bin/x",     "/lib64",
                                      "/tmp",    "/workspace", "/sbin/ls",   "/tmp/.sallyport/x"};
    static const char *const fixed[] = {"/etc/passwd", "/etc/resolv.conf", "/etc/ld.so.conf.d/x"};
    static const char *const good[] = {
        "/x",     "/etcetera", "/home/me/x", "/var/lib/data", "/tmp/in", "/workspace/a/b",
        "/run/x", "/opt",      "/var/run/y", "/var/tmp/x",    "/etc/x",  "/etc/apt/y"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct sandbox_spec s;
        struct sbx b;
        sandbox_spec_init(&s);
        assert_int_equal(sandbox_spec_add_bind(&s, "/usr/share", bad[i], false, NULL), 0);
        AUTO_FREE char *error = sbx_open(&host, &s, &b);
        if (!error)
            fail_msg("%s was accepted", bad[i]);
        expect_contains(error, "cannot be replaced");
        sandbox_spec_done(&s);
    }
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        struct err e = {.code = 0};
        assert_int_equal(root_check_target(fixed[i], &e), -EINVAL);
        expect_contains(e.msg, "stays the sandbox's own");
    }
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_int_equal(sandbox_spec_add_bind(&s, "/usr/share", good[i], false, NULL), 0);
    struct sbx b;
    open_box(&s, &b);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        AUTO_FREE char *command = mem_printf("[ -d %s/man ] && echo there", good[i]);
        expect_bash(&b, command, "there");
    }
    sbx_close(&b);
    sandbox_spec_done(&s);
}

/* A layer of its own over /etc: what was there stays, what is bound is there, and it is still not to
 * be written to. */
static void a_bind_below_etc_leaves_the_rest_as_it_was(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, "/usr/bin/env", "/etc/ssl/a/b", false, NULL), 0);
    assert_int_equal(sandbox_spec_add_bind(&s, "/usr/share", "/etc/passwds", false, NULL), 0);
    struct sbx with, without;
    open_box(&s, &with);
    sbx_open_default(&host, &without);
    static const char list[] = "cd /etc; find . -path ./ssl/a -prune -o -path ./passwds -prune -o "
                               "-printf '%p %y %m %s %l\\n' | grep -v -e '^. d' -e '^./ssl d' | "
                               "sort | md5sum";
    struct result a = sbx_bash(&with, list), b = sbx_bash(&without, list);
    assert_string_equal(a.text, b.text);
    result_done(&a);
    result_done(&b);
    expect_bash(&with,
                "/etc/ssl/a/b echo hi; [ -d /etc/passwds/man ] && echo there; "
                "(: >/etc/x) 2>&1 | grep -o 'Read-only'; cut -d: -f1 /etc/passwd | head -2",
                "hi\nthere\nRead-only\nroot\nagent");
    sbx_close(&with);
    sbx_close(&without);
    sandbox_spec_done(&s);
}

/* What the host's programs are told to do, and nothing of who and where the host is. */
static void etc_is_the_hosts_but_for_what_it_says_of_the_host(void **state)
{
    (void)state;
    struct sbx b;
    sbx_open_default(&host, &b);
    expect_bash(&b,
                "cat /etc/hostname; cut -d: -f1 /etc/group | tr '\\n' ' '; "
                "ls -d /etc/fstab /etc/passwd- /etc/ssh /etc/cron.d /etc/sudoers "
                "/etc/apt /etc/systemd /etc/default /etc/ssl/private 2>/dev/null | wc -l",
                "sandbox\nroot tty agent nogroup 0");
    expect_bash(&b, "wc -c < /etc/machine-id", "33");
    char line[64] = "";
    FILE *f = fopen("/etc/machine-id", "re");
    if (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        AUTO_FREE char *look = mem_printf("grep -q '%s' /etc/machine-id || echo ours", line);
        expect_bash(&b, look, "ours");
    }
    if (f)
        fclose(f);
    /* Of every Debian: links that programs are found by, and what a shell begins with. */
    AUTO_FREE char *awk = realpath("/usr/bin/awk", NULL);
    expect_bash(&b, "realpath /usr/bin/awk", awk ? awk : "");
    struct stat st;
    if (stat("/etc/bash.bashrc", &st) == 0) {
        AUTO_FREE char *size = mem_printf("%lld", (long long)st.st_size);
        expect_bash(&b, "stat -c %s /etc/bash.bashrc", size);
    }
    if (stat("/var/lib/dpkg/status", &st) == 0)
        expect_bash(&b, "dpkg -s bash | head -1", "Package: bash");
    sbx_close(&b);
}

/* A file goes where the assembled root has a directory, and a directory where it has a link. */
static void a_bind_may_replace_a_directory_or_a_link(void **state)
{
    (void)state;
    static const char *const sources[] = {"/usr/bin/env", "/usr/share"};
    static const char *const at[] = {"/data", "/var/run"};
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    for (size_t i = 0; i < ARRAY_LEN(at); i++)
        assert_int_equal(sandbox_spec_add_bind(&s, sources[i], at[i], false, NULL), 0);
    struct sbx b;
    open_box(&s, &b);
    expect_bash(&b, "/data echo hi; ls -d /var/run/man; readlink /var/tmp",
                "hi\n/var/run/man\n/tmp");
    sbx_close(&b);
    sandbox_spec_done(&s);
}

/* ---- limits that can be seen ---- */

static void limits_are_visible(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.limits.cpu_milli = as_root ? 1000 : 0; /* refused where no group can be had */
    s.limits.memory_bytes = 300u << 20;
    struct sbx b;
    open_box(&s, &b);
    if (!as_root) { /* without a limit on processors all are visible */
        expect_bash(&b, "awk '/MemTotal/ {print $2}' /proc/meminfo", "307200");
        sbx_close(&b);
        sandbox_spec_done(&s);
        return;
    }
    expect_bash(&b,
                "nproc; getconf _NPROCESSORS_ONLN; grep -c ^processor /proc/cpuinfo; "
                "awk '/MemTotal/ {print $2}' /proc/meminfo; "
                "python3 -c 'import os; print(os.cpu_count(), len(os.sched_getaffinity(0)))'",
                "1\n1\n1\n307200\n1 1");
    expect_bash(&b, "find /sys -type f | sort | tr '\\n' ' '",
                "/sys/devices/system/cpu/online /sys/devices/system/cpu/possible "
                "/sys/devices/system/cpu/present ");
    /* Nothing of the machine's own groups is to be seen, only the sandbox's place below ours. */
    expect_bash(&b,
                "cut -d: -f3 /proc/self/cgroup | grep -vE '^/(sallyport-[0-9a-f]{16}/[0-9]+)?$'; "
                "echo end",
                "end");
    sbx_close(&b);
    sandbox_spec_done(&s);
}

/* ---- no network ---- */

static void without_network_there_is_not_even_loopback(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.network = SANDBOX_NET_NONE;
    struct sbx b;
    open_box(&s, &b);
    static const char probe[] = "python3 -c 'import socket, errno\n"
                                "s = socket.socket()\n"
                                "try: s.bind((\"127.0.0.1\", 8080)); s.listen(); print(\"bound\")\n"
                                "except OSError as e: print(errno.errorcode[e.errno])\n"
                                "c = socket.socket()\n"
                                "try: c.connect((\"127.0.0.1\", 8080)); print(\"connected\")\n"
                                "except OSError as e: print(errno.errorcode[e.errno])'";
    if (landlock_abi() >= 4)
        expect_bash(&b, probe, "EACCES\nEACCES");
    else
        expect_bash(&b, probe, "bound\nENETUNREACH");
    expect_bash(&b,
                "python3 -c 'import socket\na, b = socket.socketpair()\na.send(b\"x\")\n"
                "print(b.recv(1))'",
                "b'x'");
    sbx_close(&b);
    sandbox_spec_done(&s);
}

/* ---- Landlock, where modes alone would say yes ---- */

static void landlock_holds(void **state)
{
    (void)state;
    if (landlock_abi() < 2)
        skip(); /* counted as skipped; this kernel has nothing to test */
    struct sbx b;
    sbx_open_default(&host, &b);
    /* In an ordinary user's sandbox the upper layer's / belongs to the only mapped id, ours. */
    expect_bash(&b,
                "mkdir /here 2>/dev/null || echo no; mv /opt /opt2 2>/dev/null || echo no; "
                "mkdir /tmp/a && mv /tmp/a /workspace/a 2>&1; mkdir -p b/c d && mv b/c d/ && ls d",
                "no\nno\nc"); /* renames between directories and file systems work as ever */
    sbx_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_writes_everywhere_and_nothing_stays),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(an_image_becomes_the_root_and_stays_unchanged),
        cmocka_unit_test(a_hostile_image_leads_nothing_out_of_the_root),
        cmocka_unit_test(image_faults_are_told),
        cmocka_unit_test(bound_directory_keeps_its_owner),
        cmocka_unit_test(binds_replace_nothing_the_sandbox_needs),
        cmocka_unit_test(a_bind_below_etc_leaves_the_rest_as_it_was),
        cmocka_unit_test(etc_is_the_hosts_but_for_what_it_says_of_the_host),
        cmocka_unit_test(a_bind_may_replace_a_directory_or_a_link),
        cmocka_unit_test(limits_are_visible),
        cmocka_unit_test(without_network_there_is_not_even_loopback),
        cmocka_unit_test(landlock_holds),
    };
    int failed = cmocka_run_group_tests_name("self", tests, setup_self_root, teardown);
    if (test_is_root())
        failed += cmocka_run_group_tests_name("ordinary user", tests, setup_user_root, teardown);
    return failed;
}
