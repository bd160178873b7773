/* test_jail.c - what a process that unpacks an archive can still do when it has been taken
 * over.
 *
 * Each attempt is made by a child that has entered the jail with the function an import uses; a
 * neighbour of its directory must come out as it went in. As root all is done twice: as root and as
 * an ordinary user. */
#include "unit/image/image_maker.h"

#include "image/proc_call.h"
#include "sandbox/lock/landlock.h"
#include "image/plan_text.h"
#include "image/jail.h"

#include <grp.h>
#include <linux/bpf.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#define NOBODY    65534u
#define ESCAPED   1
#define NOT_READY 2

/* data_dir/place/root is the jail's; data_dir/out is the neighbour. */
static char out_dir[96], out_file[96];
static int root_fd = -1;

static void make_place(uid_t owner)
{
    char path[96];
    static const char *const dirs[] = {"", "/place", "/place/root", "/out"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        snprintf(path, sizeof(path), "%s%s", data_dir, dirs[i]);
        if (i)
            assert_int_equal(mkdir(path, 0755), 0);
        assert_int_equal(chown(path, owner, (gid_t)-1), 0);
    }
    snprintf(path, sizeof(path), "%s/place/root", data_dir);
    root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(root_fd >= 0);
    snprintf(out_dir, sizeof(out_dir), "%s/out", data_dir);
    snprintf(out_file, sizeof(out_file), "%s/out/f", data_dir);
    int fd = open(out_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, "alive", 5), 5);
    assert_int_equal(fchown(fd, owner, (gid_t)-1), 0);
    close(fd);
}

static void check_neighbour(void)
{
    char text[16] = "";
    struct stat st;
    AUTO(buf) list = BUF_INIT(4096);
    int fd = open(out_file, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    assert_int_equal(read(fd, text, sizeof(text)), 5);
    assert_string_equal(text, "alive");
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(st.st_nlink, 1);
    close(fd);
    tree_list(out_dir, "", &list);
    assert_string_equal(buf_str(&list), "f644 f=alive\n");
}

/* ---- what a taken-over process might try; negative: it was refused ---- */

static long read_password(void)
{
    return open("/etc/passwd", O_RDONLY);
}
static long read_neighbour(void)
{
    return open(out_file, O_RDONLY);
}
static long read_up(void)
{
    return openat(root_fd, "../../out/f", O_RDONLY);
}
static long write_neighbour(void)
{
    return open(out_file, O_WRONLY | O_TRUNC);
}
static long make_file(void)
{
    return openat(AT_FDCWD, "../../out/new", O_WRONLY | O_CREAT, 0600);
}
static long make_file_absolute(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/new", out_dir);
    return open(path, O_WRONLY | O_CREAT, 0600);
}
static long make_above(void)
{
    return openat(root_fd, "../image.json", O_WRONLY | O_CREAT, 0600);
}
static long list_neighbour(void)
{
    return open(out_dir, O_RDONLY | O_DIRECTORY);
}
static long make_dir(void)
{
    return mkdirat(root_fd, "../../out/d", 0700);
}
static long remove_file(void)
{
    return unlinkat(AT_FDCWD, out_file, 0);
}
static long move_file(void)
{
    return renameat(AT_FDCWD, out_file, root_fd, "in");
}
static long link_in(void)
{
    return linkat(AT_FDCWD, out_file, root_fd, "in", 0);
}
static long link_followed(void)
{
    return linkat(AT_FDCWD, "/proc/self/fd/0", root_fd, "in", AT_SYMLINK_FOLLOW);
}
static long link_out(void)
{
    int fd = openat(root_fd, "x", O_WRONLY | O_CREAT, 0600);
    return fd < 0 ? 0 : linkat(root_fd, "x", root_fd, "../../out/x", 0);
}
static long symlink_out(void)
{
    return symlinkat("x", root_fd, "../../out/x");
}
static long change_times(void)
{
    return utimensat(AT_FDCWD, out_file, NULL, 0);
}
static long change_mode(void)
{
    return chmod(out_file, 0666);
}
static long cut(void)
{
    return truncate(out_file, 0);
}
static long through_link(void)
{
    if (symlinkat("/etc/passwd", root_fd, "l") < 0)
        return 0;
    return openat(root_fd, "l", O_RDONLY);
}
static long set_id(void)
{
    int fd = openat(root_fd, "x", O_WRONLY | O_CREAT, 0600);
    return fd < 0 ? 0 : fchmod(fd, 04755);
}
static long set_id_made(void)
{
    return openat(root_fd, "x", O_WRONLY | O_CREAT, 04700);
}
static long sticky_dir(void)
{
    return mkdirat(root_fd, "d", 01700);
}
static long for_everybody(void)
{
    int fd = openat(root_fd, "x", O_WRONLY | O_CREAT, 0600);
    return fd < 0 ? 0 : fchmod(fd, 0777);
}
static long change_root(void)
{
    return chdir("/");
}
static long new_process(void)
{
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}
static long new_thread(void)
{
    return syscall(SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, 0,
                   0, 0, 0);
}
static long new_process_3(void)
{
    return syscall(SYS_clone3, NULL, 0);
}
static long code_page(void)
{
    void *p =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? -1 : 0;
}
static long code_later(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? 0 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}
static long signal_by_file(void)
{
    return fcntl(root_fd, F_SETOWN, getppid());
}
static long thread_signal(void)
{
    return syscall(SYS_tgkill, getppid(), getppid(), SIGTERM);
}
static long raise_limit(void)
{
    struct rlimit l = {100, 100};
    return setrlimit(RLIMIT_NPROC, &l);
}
static long memory_file(void)
{
    return memfd_create("x", 0);
}
static long dumpable(void)
{
    return prctl(PR_SET_DUMPABLE, 1);
}
static long watch(void)
{
    return inotify_init1(0);
}
static long many_files(void)
{
    for (int i = 0; i < 1000; i++)
        if (fcntl(root_fd, F_DUPFD_CLOEXEC, 3) < 0)
            return -1;
    return 0;
}
static long much_memory(void)
{
    void *p = mmap(NULL, 8ull << 30, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? -1 : 0;
}

/* ---- what ends it ---- */

static long tcp(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}
static long unix_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0);
}
static long pair(void)
{
    int fds[2];
    return socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
}
static long run(void)
{
    char *argv[] = {NULL};
    return execve("/bin/true", argv, argv);
}
static long run_by_fd(void)
{
    char *argv[] = {NULL};
    return syscall(SYS_execveat, root_fd, "x", argv, argv, 0);
}
static long trace(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}
static long read_memory(void)
{
    struct iovec v = {0};
    return process_vm_readv(getppid(), &v, 1, &v, 1, 0);
}
static long kill_parent(void)
{
    return kill(getppid(), SIGTERM);
}
static long device(void)
{
    return mknodat(root_fd, "dev", S_IFCHR | 0600, 0x103);
}
static long own(void)
{
    return fchownat(root_fd, ".", 0, 0, 0);
}
static long attribute(void)
{
    return fsetxattr(root_fd, "security.capability", "", 0, 0);
}
static long mount_something(void)
{
    return mount("none", "/", "tmpfs", 0, NULL);
}
static long leave_root(void)
{
    return chroot(".");
}
static long load_program(void)
{
    union bpf_attr a = {.insn_cnt = 0};
    return syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a));
}
static long ring(void)
{
    return syscall(SYS_io_uring_setup, 1, NULL);
}
static long namespace(void)
{
    return unshare(CLONE_NEWUSER);
}
static long become(void)
{
    return syscall(SYS_setresuid, 0, 0, 0);
}
static long keys(void)
{
    return syscall(SYS_keyctl, 0, 0);
}
static long performance(void)
{
    return syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0);
}

struct attempt {
    const char *name;
    long (*make)(void);
    bool ends; /* the filter ends the process */
};

#define A(f)                                                                                       \
    {                                                                                              \
#f, f, false                                                                               \
    }
#define ENDS(f)                                                                                    \
    {                                                                                              \
#f, f, true                                                                                \
    }
static const struct attempt attempts[] = {
    A(read_password),   A(read_neighbour),  A(read_up),
    A(write_neighbour), A(make_file),       A(make_file_absolute),
    A(make_above),      A(list_neighbour),  A(make_dir),
    A(remove_file),     A(move_file),       A(link_in),
    A(link_followed),   A(link_out),        A(symlink_out),
    A(change_times),    A(change_mode),     A(cut),
    A(through_link),    A(set_id),          A(set_id_made),
    A(sticky_dir),      A(for_everybody),   A(change_root),
    A(new_process),     A(new_thread),      A(new_process_3),
    A(code_page),       A(code_later),      A(signal_by_file),
    A(thread_signal),   A(raise_limit),     A(memory_file),
    A(dumpable),        A(watch),           A(many_files),
#if !SANITIZED
    A(much_memory),
#endif
    ENDS(tcp),          ENDS(unix_socket),  ENDS(pair),
    ENDS(run),          ENDS(run_by_fd),    ENDS(trace),
    ENDS(read_memory),  ENDS(kill_parent),  ENDS(device),
    ENDS(own),          ENDS(attribute),    ENDS(mount_something),
    ENDS(leave_root),   ENDS(load_program), ENDS(ring),
    ENDS(namespace),    ENDS(become),       ENDS(keys),
    ENDS(performance),
};

/* ---- in the jail ---- */

static bool as_nobody;

static int become_nobody(void)
{
    return setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
                   setresuid(NOBODY, NOBODY, NOBODY) < 0
               ? -1
               : 0;
}

static bool enter(void)
{
    struct err e = {0};
    bool landlock = false, kernel_has_it = landlock_abi() >= 2;
    const struct image_jail jail = {.root_fd = root_fd, .max_file_bytes = 1 << 20, .max_files = 10};
    return (!as_nobody || become_nobody() == 0) && image_jail_enter(&jail, &landlock, &e) == 0 &&
           landlock == kernel_has_it;
}

static int try_it(void *arg)
{
    const struct attempt *a = arg;
    if (!enter())
        return NOT_READY;
    return a->make() < 0 ? 0 : ESCAPED;
}

static int in_jail(int (*fn)(void *arg), const void *arg)
{
    struct err e = {0};
    struct attempt copy; /* of `arg`, which nobody writes to */
    memcpy(&copy, arg, sizeof(copy));
    pid_t pid = proc_call_start(fn, &copy, &root_fd, 1, &e);
    assert_true(pid > 0);
    return proc_call_end(pid, 60000);
}

static void every_attempt(bool nobody)
{
    as_nobody = nobody;
    make_place(nobody ? NOBODY : geteuid());
    for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
        int status = in_jail(try_it, &attempts[i]);
        bool as_it_should = attempts[i].ends ? WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS
                                             : WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (!as_it_should)
            print_message("%s: wait status %#x\n", attempts[i].name, status);
        assert_true(as_it_should);
        check_neighbour();
    }
    close(TAKE_FD(root_fd));
}

static void every_attempt_is_refused(void **state)
{
    (void)state;
    if (landlock_abi() < 2) /* one lock is missing */
        skip();
    every_attempt(false);
}

static void every_attempt_of_a_user_is_refused(void **state)
{
    (void)state;
    if (landlock_abi() < 2 || geteuid() != 0)
        skip();
    every_attempt(true);
}

/* What unpacking needs still works: 0, or which step failed. */
static int work(void *arg)
{
    (void)arg;
    if (!enter())
        return NOT_READY;
    struct err e = {0};
    int fd = openat(root_fd, "f", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || pwrite(fd, "text", 4, 0) != 4 || ftruncate(fd, 10) < 0 || fchmod(fd, 0755) < 0 ||
        futimens(fd, (struct timespec[2]){{1, 0}, {2, 0}}) < 0)
        return 3;
    if (mkdirat(root_fd, "a", 0700) < 0 || mkdirat(root_fd, "b", 0700) < 0)
        return 4;
    int a = image_tree_open(root_fd, "a", O_PATH), b = image_tree_open(root_fd, "b", O_RDONLY);
    if (a < 0 || b < 0 || symlinkat("/etc/passwd", a, "l") < 0)
        return 5;
    if (linkat(root_fd, "f", b, "g", 0) < 0) /* from one directory to another */
        return 6;
    if (image_tree_remove(root_fd, "a", &e) < 0)
        return 7;
    return 0;
}

static void unpacking_still_works_in_the_jail(void **state)
{
    (void)state;
    for (int nobody = 0; nobody <= (geteuid() == 0); nobody++) {
        as_nobody = nobody;
        make_place(nobody ? NOBODY : geteuid());
        assert_int_equal(in_jail(work, &attempts[0]), 0);
        close(TAKE_FD(root_fd));
        assert_int_equal(teardown(NULL), 0);
        assert_int_equal(setup(NULL), 0);
    }
}

static void a_status_that_shows_a_gap_is_refused(void **state)
{
    (void)state;
    static const char good[] =
        "Name:\tx\nThreads:\t1\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
        "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n"
        "NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";
    static const struct {
        const char *from, *to;
        bool bounded;
    } bad[] = {
        {"CapEff:\t0", "CapEff:\t1", false},   {"CapPrm:\t0", "CapPrm:\t8", false},
        {"CapInh:\t0", "CapInh:\t1", false},   {"CapAmb:\t0", "CapAmb:\t1", false},
        {"CapBnd:\t0", "CapBnd:\t1", true},    {"NoNewPrivs:\t1", "NoNewPrivs:\t0", false},
        {"Seccomp:\t2", "Seccomp:\t0", false}, {"Seccomp:\t2", "Seccomp:\t1", false},
        {"Threads:\t1", "Threads:\t2", false}, {"Seccomp:", "Seccomq:", false},
    };
    struct err e = {0};
    assert_int_equal(image_jail_check_status(good, true, &e), 0);
    assert_int_equal(image_jail_check_status("", false, &e), -E_DENIED);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO_FREE char *text = mem_strdup(good);
        char *at = strstr(text, bad[i].from);
        assert_non_null(at);
        memcpy(at, bad[i].to, strlen(bad[i].to));
        assert_int_equal(image_jail_check_status(text, bad[i].bounded, &e), -E_DENIED);
        assert_int_equal(image_jail_check_status(text, true, &e), -E_DENIED);
    }
}

/* ---- the process of a real import ---- */

/* Watches an import from its ticks: finds the child, waits until it is locked in, does something to
 * it. */
struct watcher {
    int signal; /* to end the child with; 0: none */
    bool seen;
    char status[2048];
};

static pid_t only_child(void)
{
    char path[64], text[64] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof(text) - 1) >= 0);
    close(fd);
    return (pid_t)strtol(text, NULL, 10);
}

static int watch_child(void *arg, const struct image_tally *t)
{
    struct watcher *w = arg;
    (void)t;
    pid_t pid = only_child();
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    int fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || w->seen)
        return 0;
    ssize_t n = read(fd, w->status, sizeof(w->status) - 1);
    close(fd);
    w->status[n > 0 ? n : 0] = '\0';
    w->seen = strstr(w->status, "\nSeccomp:\t2\n") != NULL;
    if (w->seen && w->signal)
        kill(pid, w->signal);
    return w->seen && !w->signal ? -ECANCELED : 0;
}

static void import_watched(struct watcher *w, int code, const char *words)
{
    int fds[2];
    struct err e = {0};
    json_t *record = NULL;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write(fds[1], "slow", 4), 4);
    struct image_import in = import_of("a", fds[0]);
    in.tick = watch_child;
    in.tick_arg = w;
    int r = image_import(&in, &record, &e);
    close(fds[0]);
    close(fds[1]);
    if (r != code || !strstr(e.msg, words))
        print_message("%s\n", e.msg);
    assert_int_equal(r, code);
    assert_non_null(strstr(e.msg, words));
    assert_true(w->seen);
    check_store("");
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

static void a_real_import_is_jailed(void **state)
{
    (void)state;
    struct err e = {0};
    struct watcher w = {.signal = 0};
    import_watched(&w, -ECANCELED, "stopped");
    assert_int_equal(image_jail_check_status(w.status, geteuid() == 0, &e), 0);
}

static void the_end_of_the_child_is_put_into_words(void **state)
{
    (void)state;
    static const struct {
        int signal, code;
        const char *words;
    } ends[] = {
        {SIGSYS, -E_DENIED, "made a forbidden system call"},
        {SIGKILL, -EIO, "was killed"},
        {SIGSEGV, -EIO, "signal 11"},
    };
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct watcher w = {.signal = ends[i].signal};
        if (!SANITIZED || ends[i].signal != SIGSEGV) /* which a sanitizer catches */
            import_watched(&w, ends[i].code, ends[i].words);
    }
}

/* An ordinary user's import of an image with two layers. */
static int import_as_nobody(void)
{
    struct maker m;
    struct err e = {0};
    json_t *record = NULL;
    maker_init(&m);
    make_oci(&m, "", "amd64", OCI_LAYER);
    struct image_import in = import_of("a", -1);
    int r = become_nobody();
    if (r == 0)
        r = import_bytes(&in, &m.tar, &record, &e);
    json_decref(record);
    maker_done(&m);
    if (r < 0)
        print_message("%s\n", e.msg);
    return r < 0;
}

static void a_user_imports_two_layers(void **state)
{
    (void)state;
    int status;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(data_dir, NOBODY, (gid_t)-1), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(import_as_nobody());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    check_tree("a", both_layers);
}

/* ---- what the parent does not believe ---- */

static void an_odd_answer_of_the_child_is_refused(void **state)
{
    (void)state;
#define ID "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""
#define ANSWER(format, id, word, env, texts, layers)                                               \
    "{\"format\":" format ",\"reference\":" word ",\"id\":" id                                     \
    ",\"architecture\":null,\"env\":" env ",\"entrypoint\":null,\"cmd\":" texts                    \
    ",\"workdir\":\"/app\",\"user\":null,\"layers\":" layers "}"
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        ANSWER("\"auto\"", ID, "null", "[]", "null", "[]"),
        ANSWER("\"other\"", ID, "null", "[]", "null", "[]"),
        ANSWER("3", ID, "null", "[]", "null", "[]"),
        ANSWER("\"oci\"", "\"\"", "null", "[]", "null", "[]"),
        ANSWER("\"oci\"", "\"0123\"", "null", "[]", "null", "[]"),
        ANSWER("\"oci\"", "null", "null", "[]", "null", "[]"),
        ANSWER("\"oci\"", ID, "7", "[]", "null", "[]"),
        ANSWER("\"oci\"", ID, "null", "null", "null", "[]"),
        ANSWER("\"oci\"", ID, "null", "[\"A\"]", "null", "[]"),
        ANSWER("\"oci\"", ID, "null", "[\"=A\"]", "null", "[]"),
        ANSWER("\"oci\"", ID, "null", "[]", "[1]", "[]"),
        ANSWER("\"oci\"", ID, "null", "[]", "{}", "[]"),
        ANSWER("\"oci\"", ID, "null", "[]", "null", "null"),
        ANSWER("\"oci\"", ID, "null", "[]", "null", "[\"x\"]"),
        ANSWER("\"oci\"", ID, "null", "[]", "null", "[" ID ",7]"),
    };
    static const char good[] = ANSWER("\"oci\"", ID, "\"a:1\"", "[\"A=\"]", "[\"sh\"]", "[" ID "]");
    struct image_plan plan = {.n_layers = 99};
    struct err e = {0};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(plan_text_read(bad[i], strlen(bad[i]), &plan, &e), -E_PROTO);
        assert_int_equal(plan.n_layers, 99); /* untouched */
    }
    AUTO_FREE char *up = mem_strdup(good);
    memcpy(strstr(up, "/app"), "/../", 4);
    assert_int_equal(plan_text_read(up, strlen(up), &plan, &e), -E_PROTO);
    assert_int_equal(plan_text_read(good, strlen(good), &plan, &e), 0);
    size_t n;
    AUTO_FREE char *again = plan_text_write(&plan, &n);
    assert_string_equal(again, good);
    image_plan_done(&plan);
}

/* The tree of a process that was taken over and found a way around the filter. */
static void a_tree_with_foreign_things_is_refused(void **state)
{
    (void)state;
    struct image_tree_size size;
    struct err e = {0};
    make_place(geteuid());
    assert_int_equal(mkdirat(root_fd, "d", 0755), 0);
    int fd = openat(root_fd, "d/f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(image_tree_measure(root_fd, &size, &e), 0);
    static const unsigned modes[] = {04755, 02755, 01755, 0775, 0757, 0777};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        assert_int_equal(fchmod(fd, modes[i]), 0);
        assert_int_equal(image_tree_measure(root_fd, &size, &e), -E_DENIED);
        assert_int_equal(fchmod(fd, 0644), 0);
        assert_int_equal(fchmodat(root_fd, "d", modes[i], 0), 0);
        assert_int_equal(image_tree_measure(root_fd, &size, &e), -E_DENIED);
        assert_int_equal(fchmodat(root_fd, "d", 0755, 0), 0);
        assert_int_equal(fchmod(root_fd, modes[i]), 0);
        assert_int_equal(image_tree_measure(root_fd, &size, &e), -E_DENIED);
        assert_int_equal(fchmod(root_fd, 0755), 0);
    }
    assert_int_equal(image_tree_measure(root_fd, &size, &e), 0);
    if (geteuid() == 0) {
        assert_int_equal(fchown(fd, NOBODY, (gid_t)-1), 0);
        assert_int_equal(image_tree_measure(root_fd, &size, &e), -E_DENIED);
        assert_int_equal(fchown(fd, 0, (gid_t)-1), 0);
    }
    assert_int_equal(mkfifoat(root_fd, "d/p", 0600), 0);
    assert_int_equal(image_tree_measure(root_fd, &size, &e), -E_DENIED);
    close(fd);
    close(TAKE_FD(root_fd));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_attempt_is_refused),
        TEST(every_attempt_of_a_user_is_refused),
        TEST(unpacking_still_works_in_the_jail),
        TEST(a_real_import_is_jailed),
        TEST(the_end_of_the_child_is_put_into_words),
        TEST(a_user_imports_two_layers),
        TEST(a_tree_with_foreign_things_is_refused),
        cmocka_unit_test(a_status_that_shows_a_gap_is_refused),
        cmocka_unit_test(an_odd_answer_of_the_child_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
