/* test_sandbox_flags.c - texts of flags to a sandbox's specification. */
#include "unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "cmd/line/sandbox_flags.h"
#include "box/state.h"
#include "image/image.h"

static void a_socket_is_a_socket_and_a_bind_is_none(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-flags-XXXXXX";
    assert_non_null(mkdtemp(dir));
    AUTO_FREE char *path = mem_printf("%s/s", dir);
    AUTO_FREE char *fifo = mem_printf("%s/f", dir);
    AUTO_FREE char *mapped = mem_printf("%s:/run/x", path);
    AUTO_FREE char *twice = mem_printf("%s:/run/x:rw", path);
    assert_int_equal(mknod(path, S_IFSOCK | 0600, 0), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    const struct {
        const char *text, *target; /* NULL: refused */
    } table[] = {{path, path}, {mapped, "/run/x"},        {twice, NULL},  {dir, NULL},
                 {fifo, NULL}, {"/no/such/socket", NULL}, {"/usr", NULL}, {"", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct sandbox_spec s;
        struct err e = {.code = 0};
        sandbox_spec_init(&s);
        int r = sandbox_flags_socket(&s, table[i].text, true, &e);
        if ((r == 0) != (table[i].target != NULL))
            fail_msg("\"%s\" gave %d: %s", table[i].text, r, e.msg);
        if (r == 0) {
            assert_string_equal(s.binds[0].target, table[i].target);
            assert_true(s.binds[0].socket && !s.binds[0].write);
            AUTO_JSON json_t *o = sandbox_spec_json(&s);
            struct sandbox_spec again;
            assert_int_equal(sandbox_spec_parse(o, &again, &e), 0);
            assert_true(again.binds[0].socket);
            sandbox_spec_done(&again);
        }
        sandbox_spec_done(&s);
    }
    struct sandbox_spec s;
    struct err e = {.code = 0};
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_flags_bind(&s, path, true, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "--socket"));
    assert_int_equal(sandbox_flags_bind(&s, fifo, true, &e), -EINVAL);
    sandbox_spec_done(&s);
    unlink(path);
    unlink(fifo);
    rmdir(dir);
}

static void a_bind_names_a_source_and_a_target(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-flags-XXXXXX";
    assert_non_null(mkdtemp(dir));
    AUTO_FREE char *link = mem_printf("%s/link", dir);
    assert_int_equal(symlink("/usr", link), 0);
    AUTO_FREE char *link_of_system = realpath("/bin", NULL);
    AUTO_FREE char *mapped = mem_printf("%s:/mnt/x:rw", dir);
    AUTO_FREE char *plain_rw = mem_printf("%s:rw", dir);
    const struct {
        const char *text;
        bool plain_too;
        const char *source, *target; /* NULL: refused */
        bool write;
    } table[] = {
        {dir, true, dir, dir, false},
        {plain_rw, true, dir, dir, true},
        {mapped, true, dir, "/mnt/x", true},
        {mapped, false, dir, "/mnt/x", true},
        {link, true, NULL, NULL, false}, /* a sandbox could have made it (host_path.h) */
        {"/bin", true, link_of_system, "/bin", false}, /* seen where it was named, resolved once */
        {dir, false, NULL, NULL, false},
        {"/no/such/dir", true, NULL, NULL, false},
        {"usr:/mnt/x", false, NULL, NULL, false},
        {"/usr:relative", true, NULL, NULL, false},
        {"/usr:/", true, NULL, NULL, false},
        {"/usr:/mnt/../etc", true, NULL, NULL, false},
        {"", true, NULL, NULL, false},
        {":rw", true, NULL, NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct sandbox_spec s;
        struct err e = {.code = 0};
        sandbox_spec_init(&s);
        int r = sandbox_flags_bind(&s, table[i].text, table[i].plain_too, &e);
        if ((r == 0) != (table[i].source != NULL))
            fail_msg("\"%s\" gave %d: %s", table[i].text, r, e.msg);
        if (r == 0) {
            assert_string_equal(s.binds[0].source, table[i].source);
            assert_string_equal(s.binds[0].target, table[i].target);
            assert_int_equal(s.binds[0].write, table[i].write);
        } else {
            assert_true(str_starts(e.msg, "--bind "));
        }
        sandbox_spec_done(&s);
    }
    unlink(link);
    rmdir(dir);
}

static void cores_are_whole_or_thousandths(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t milli; /* 0: refused */
    } table[] = {
        {"1", 1000}, {"0.5", 500},  {"1.25", 1250}, {"0.01", 10}, {"0.009", 0}, {"1024", 1024000},
        {"0", 0},    {"0.0", 0},    {"", 0},        {".5", 0},    {"1.", 0},    {"1.2345", 0},
        {"1025", 0}, {"1024.1", 0}, {"-1", 0},      {"1e3", 0},   {"1.-1", 0},  {"half", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        uint64_t milli = 0;
        int r = sandbox_flags_cpus("--cpus", table[i].text, &milli, NULL);
        if ((r == 0) != (table[i].milli != 0) || (r == 0 && milli != table[i].milli))
            fail_msg("\"%s\" gave %d, %llu", table[i].text, r, (unsigned long long)milli);
    }
}

static void a_directory_is_found_where_a_bind_shows_it(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_spec_add_bind(&s, "/a", "/mnt/a", false, NULL), 0);
    assert_int_equal(sandbox_spec_add_bind(&s, "/a/b/c", "/mnt/c", false, NULL), 0);
    static const struct {
        const char *dir, *want;
    } table[] = {
        {"/a", "/mnt/a"},     {"/a/x", "/mnt/a/x"}, {"/a/b/c", "/mnt/c"}, {"/a/b/c/d", "/mnt/c/d"},
        {"/a/b", "/mnt/a/b"}, {"/ab", NULL},        {"/", NULL},          {"/b", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO_FREE char *got = sandbox_flags_inside(&s, table[i].dir);
        if (!str_eq(got, table[i].want))
            fail_msg("%s is %s", table[i].dir, got ? got : "nowhere");
    }
    sandbox_spec_done(&s);
}

static void put(const char *dir, const char *name, const char *text)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    AUTO_CLOSE int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void an_image_gives_the_root_and_environment(void **state)
{
    (void)state;
    char data[] = "/tmp/sallyport-data-XXXXXX";
    assert_non_null(mkdtemp(data));
    static const char *const parts[] = {"rootfs", "rootfs/one", "rootfs/one/rootfs"};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        AUTO_FREE char *dir = mem_printf("%s/%s", data, parts[i]);
        assert_int_equal(mkdir(dir, 0700), 0);
    }
    put(data, "rootfs/one/image.json",
        "{\"name\":\"one\",\"env\":[\"PATH=/opt/bin:/usr/bin\",\"HOME=/"
        "root\",\"A=image\",\"B=image\"]}");
    struct sandbox_spec s;
    struct err e;
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_flags_env(&s, "A=mine", NULL), 0);
    if (sandbox_flags_rootfs(&s, "one", data, &e) < 0)
        fail_msg("%s", e.msg);
    AUTO_FREE char *want = mem_printf("%s/rootfs/one/rootfs", data);
    assert_string_equal(s.rootfs_dir, want);
    assert_int_equal(s.n_env, 3); /* ours wins, and HOME is not the image's to say */
    assert_string_equal(s.env[0], "A=mine");
    assert_string_equal(s.env[1], "PATH=/opt/bin:/usr/bin");
    assert_string_equal(s.env[2], "B=image");
    assert_int_equal(image_remove(data, "one", &e), -EBUSY); /* as long as we live */
    sandbox_spec_done(&s);
    static const char *const bad[] = {"two", "", "..", ".", "./one", "/no/such", "/etc/passwd"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        sandbox_spec_init(&s);
        if (sandbox_flags_rootfs(&s, bad[i], data, NULL) == 0)
            fail_msg("%s was taken", bad[i]);
        sandbox_spec_done(&s);
    }
    sandbox_spec_init(&s);
    assert_int_equal(sandbox_flags_rootfs(&s, "/usr", data, NULL), 0);
    assert_string_equal(s.rootfs_dir, "/usr");
    sandbox_spec_done(&s);
    assert_int_equal(state_remove_tree(AT_FDCWD, data), 0);
}

static struct flag_set all_of(enum sandbox_flags_of of, struct sandbox_options *o,
                              struct flag *room)
{
    struct flag_set set = {.command = "test", .flags = room};
    for (int group = SANDBOX_SHOWN; group <= SANDBOX_ENGINE; group++)
        sandbox_flags_add(&set, of, (enum sandbox_flags_group)group, o);
    return set;
}

static const struct flag *named(const struct flag_set *set, const char *name)
{
    for (size_t i = 0; i < set->n_flags; i++)
        if (str_eq(set->flags[i].name, name))
            return &set->flags[i];
    return NULL;
}

/* Every row writes to a member of the caller's options; within a command no name and no member has
 * two. What `up` has, its worker has: the words are handed on as they are. */
static void rows_of_commands(void **state)
{
    (void)state;
    static const enum sandbox_flags_of commands[] = {SANDBOX_OF_WORKER, SANDBOX_OF_UP,
                                                     SANDBOX_OF_EXEC};
    static struct sandbox_options o[3];
    static struct flag room[3][FLAG_SET_MAX];
    struct flag_set set[3];
    for (size_t c = 0; c < 3; c++) {
        set[c] = all_of(commands[c], &o[c], room[c]);
        assert_true(set[c].n_flags > 5);
        for (size_t i = 0; i < set[c].n_flags; i++) {
            const struct flag *f = &set[c].flags[i];
            const char *at = f->ptr, *from = (const char *)&o[c];
            if (named(&set[c], f->name) != f)
                fail_msg("--%s: twice", f->name);
            if (at < from || at >= from + sizeof(o[c]))
                fail_msg("--%s: writes elsewhere", f->name);
            for (size_t k = 0; k < i; k++)
                if (set[c].flags[k].ptr == f->ptr)
                    fail_msg("--%s: writes where --%s does", f->name, set[c].flags[k].name);
            assert_int_equal(f->handed_on, commands[c] == SANDBOX_OF_UP);
        }
    }
    for (size_t i = 0; i < set[1].n_flags; i++) {
        const struct flag *up = &set[1].flags[i], *worker = named(&set[0], up->name);
        if (!worker || worker->kind != up->kind || worker->min != up->min ||
            worker->max != up->max || worker->choices != up->choices)
            fail_msg("--%s: up hands it on, and its worker knows no such flag", up->name);
    }
}

/* One flag of a command to a specification, or to the words of the refusal. */
static void applying(void **state)
{
    (void)state;
    static const struct {
        enum sandbox_flags_of of;
        char word[40];
        const char *refused;
        enum sandbox_user user;
        enum sandbox_network network;
        uint64_t cpu_milli;
        size_t n_binds;
    } cases[] = {
        {.of = SANDBOX_OF_WORKER, .word = "--sandbox-user=root", .user = SANDBOX_USER_ROOT},
        {.of = SANDBOX_OF_EXEC, .word = "--user=root", .user = SANDBOX_USER_ROOT},
        {.of = SANDBOX_OF_EXEC, .word = "--user=agent"},
        {.of = SANDBOX_OF_WORKER, .word = "--sandbox-network=none", .network = SANDBOX_NET_NONE},
        {.of = SANDBOX_OF_EXEC, .word = "--network=none", .network = SANDBOX_NET_NONE},
        {.of = SANDBOX_OF_WORKER, .word = "--sandbox-cpus=0.5", .cpu_milli = 500},
        {.of = SANDBOX_OF_EXEC, .word = "--cpus=2", .cpu_milli = 2000},
        {.of = SANDBOX_OF_EXEC, .word = "--bind=/usr", .n_binds = 1},
        {.of = SANDBOX_OF_WORKER, .word = "--bind=/usr", .refused = "--bind /usr: write SOURCE:"},
        {.of = SANDBOX_OF_WORKER, .word = "--sandbox-cpus=x", .refused = "--sandbox-cpus x: "},
        {.of = SANDBOX_OF_EXEC, .word = "--cpus=x", .refused = "--cpus x: "},
        {.of = SANDBOX_OF_EXEC, .word = "--env=NO_SUCH", .refused = "--env NO_SUCH: "},
        {.of = SANDBOX_OF_EXEC, .word = "--rootfs=/no/such", .refused = "--rootfs /no/such: "},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sandbox_options o = {0};
        static struct flag room[FLAG_SET_MAX];
        struct flag_set set = all_of(cases[i].of, &o, room);
        char word[40], name[] = "test", *argv[] = {name, word, NULL};
        memcpy(word, cases[i].word, sizeof(word));
        struct err e = {0};
        int n_args;
        if (flags_parse(&set, 2, argv, &n_args, &e) != FLAGS_GO_ON)
            fail_msg("%s: %s", word, e.msg);
        struct sandbox_spec s;
        sandbox_spec_init(&s);
        int r = sandbox_flags_apply(&o, cases[i].of, &s, &e);
        if (cases[i].refused ? r != -EINVAL || !str_starts(e.msg, cases[i].refused) : r != 0)
            fail_msg("%s: %d %s", word, r, e.msg);
        if (r == 0) {
            assert_int_equal(s.user, cases[i].user);
            assert_int_equal(s.network, cases[i].network);
            assert_int_equal(s.limits.cpu_milli, cases[i].cpu_milli);
            assert_int_equal(s.n_binds, cases[i].n_binds);
        }
        sandbox_spec_done(&s);
    }
}

static void limits(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    const struct sandbox_limits before = s.limits, *l = &s.limits;
    assert_int_equal(sandbox_flags_apply(&(struct sandbox_options){0}, SANDBOX_OF_WORKER, &s, NULL),
                     0);
    assert_memory_equal(l, &before, sizeof(before));
    const struct sandbox_options all = {.memory = 1,
                                        .processes = 2,
                                        .workspace_size = 3,
                                        .tmp_size = 4,
                                        .call_ms = 5,
                                        .session_ms = 6};
    assert_int_equal(sandbox_flags_apply(&all, SANDBOX_OF_WORKER, &s, NULL), 0);
    assert_int_equal(l->memory_bytes, 1);
    assert_int_equal(l->processes, 2);
    assert_int_equal(l->workspace_bytes, 3);
    assert_int_equal(l->tmp_bytes, 4);
    assert_int_equal(l->call_ms, 5);
    assert_int_equal(l->session_ms, 6);
    assert_int_equal(l->open_files, before.open_files);
    sandbox_spec_done(&s);
}

static void isolation(void **state)
{
    (void)state;
    static const struct {
        struct sandbox_options o;
        int r;
    } cases[] = {
        {{.isolation = NULL}, 0},
        {{.isolation = "oci"}, 0},
        {{.isolation = "none", .understood = true}, 0},
        {{.isolation = "none"}, -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = {0};
        assert_int_equal(sandbox_flags_isolation(&cases[i].o, &e), cases[i].r);
        assert_int_equal(strstr(e.msg, "--i-understand") != NULL, cases[i].r < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bind_names_a_source_and_a_target),
        cmocka_unit_test(a_socket_is_a_socket_and_a_bind_is_none),
        cmocka_unit_test(cores_are_whole_or_thousandths),
        cmocka_unit_test(a_directory_is_found_where_a_bind_shows_it),
        cmocka_unit_test(an_image_gives_the_root_and_environment),
        cmocka_unit_test(rows_of_commands),
        cmocka_unit_test(applying),
        cmocka_unit_test(limits),
        cmocka_unit_test(isolation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
