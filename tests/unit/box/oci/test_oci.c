/* test_oci.c - the parts of the OCI engine that need no runtime: what config.json says, what a root
 * directory is made of (and that an image cannot make us write elsewhere), a runtime's words; and,
 * with crun behind a script that spoils config.json, that init refuses to serve in a container that
 * is less than was asked for. */
#include "unit/loop.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "unit/box/box_harness.h"
#include "sandbox/init/standalone.h"
#include "sandbox/lock/seccomp.h"
#include "sandbox/spec.h"
#include "box/oci/oci.h"

static const json_t *at(const json_t *o, const char *a, const char *b, const char *c)
{
    o = json_object_get(o, a);
    o = b ? json_object_get(o, b) : o;
    return c ? json_object_get(o, c) : o;
}

static json_t *config_for(const struct sandbox_spec *s, const char *cgroup)
{
    static json_t *none;
    json_decref(none);
    none = json_array();
    struct oci_container c = {.spec = s,
                              .root = "/r",
                              .mounts = none,
                              .program_dir = "/p",
                              .cgroup = cgroup,
                              .ids = {.map = {{0, 70000, 65536}}, .n = 1}};
    return oci_config(&c);
}

/* ---- config.json ---- */

static void config_grants_nothing(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    AUTO_JSON json_t *o = config_for(&s, "/g");
    static const char *const sets[] = {"bounding", "effective", "inheritable", "permitted",
                                       "ambient"};
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        const json_t *set = at(o, "process", "capabilities", sets[i]);
        assert_true(json_is_array(set));
        assert_int_equal(json_array_size(set), 0);
    }
    assert_true(json_is_true(at(o, "process", "noNewPrivileges", NULL)));
    assert_true(json_is_true(at(o, "root", "readonly", NULL)));
    assert_int_equal(json_integer_value(at(o, "process", "user", "uid")), 1000);
    assert_int_equal(json_array_size(at(o, "linux", "namespaces", NULL)), 7);
    const json_t *map = json_array_get(at(o, "linux", "uidMappings", NULL), 0);
    assert_int_equal(json_get_int(map, "hostID", 0), 70000);
    /* Every mount but the image's own is nosuid; only workspace, /tmp and asked-for binds are
     * writable and executable. */
    const json_t *mounts = at(o, "mounts", NULL, NULL);
    for (size_t i = 0; i < json_array_size(mounts); i++) {
        AUTO_FREE char *text = json_text(json_array_get(mounts, i), NULL);
        const char *target = json_get_str(json_array_get(mounts, i), "destination");
        if (!strstr(text, "\"nosuid\""))
            fail_msg("%s is not nosuid", target);
        assert_string_not_equal(target, "/sys");
    }
    sandbox_spec_done(&s);
}

static void config_follows_the_specification(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.user = SANDBOX_USER_ROOT;
    s.limits.cpu_milli = 1500;
    s.limits.memory_bytes = 1u << 30;
    s.limits.tmp_bytes = 1u << 20;
    s.limits.workspace_bytes = 2u << 20;
    s.limits.processes = 100;
    assert_int_equal(sandbox_spec_add_bind(&s, "/etc", "/data/etc", true, NULL), 0);
    AUTO_JSON json_t *o = config_for(&s, "/g");
    assert_int_equal(json_integer_value(at(o, "process", "user", "uid")), 0);
    const json_t *res = at(o, "linux", "resources", NULL);
    assert_int_equal(json_integer_value(at(res, "cpu", "quota", NULL)), 150000);
    assert_int_equal(json_integer_value(at(res, "cpu", "period", NULL)), 100000);
    assert_int_equal(json_integer_value(at(res, "memory", "limit", NULL)),
                     (1ll << 30) + (1 << 20) + (2 << 20) + (64 << 20) +
                         1280ll * (3 * 1024 + 67 * 256)); /* and what their files cost */
    assert_int_equal(json_integer_value(at(res, "pids", "limit", NULL)), 116);
    const json_t *mounts = at(o, "mounts", NULL, NULL);
    AUTO_FREE char *last = json_text(json_array_get(mounts, json_array_size(mounts) - 1), NULL);
    assert_non_null(strstr(last, "/data/etc"));
    assert_non_null(strstr(last, "\"rw\""));
    AUTO_JSON json_t *plain = config_for(&s, NULL); /* an ordinary user's: no groups to write */
    assert_null(at(plain, "linux", "resources", NULL));
    assert_null(at(plain, "linux", "cgroupsPath", NULL));
    sandbox_spec_done(&s);
}

/* The network alone is joined, and only when one was made before; an ordinary user's with the user
 * namespace that owns it. */
static void a_network_made_before_is_joined(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    AUTO_JSON json_t *none = json_array();
    for (int kind = 0; kind < 3; kind++) {
        const struct oci_container c = {.spec = &s,
                                        .root = "/r",
                                        .mounts = none,
                                        .program_dir = "/p",
                                        .ids = {.map = {{0, 70000, 1}}, .n = 1},
                                        .network = kind > 0 ? 4711 : 0,
                                        .join_user = kind > 1};
        AUTO_JSON json_t *o = oci_config(&c);
        const json_t *spaces = at(o, "linux", "namespaces", NULL);
        assert_int_equal(json_array_size(spaces), 7);
        for (size_t i = 0; i < 7; i++) {
            const json_t *space = json_array_get(spaces, i);
            const char *type = json_get_str(space, "type"), *path = json_get_str(space, "path");
            if (kind > 0 && str_eq(type, "network"))
                assert_string_equal(path, "/proc/4711/ns/net");
            else if (kind > 1 && str_eq(type, "user"))
                assert_string_equal(path, "/proc/4711/ns/user");
            else
                assert_null(path);
        }
        assert_int_equal(json_array_size(at(o, "linux", "uidMappings", NULL)), 1);
    }
    sandbox_spec_done(&s);
}

static bool named(const json_t *rule, const char *name)
{
    const json_t *names = json_object_get(rule, "names");
    for (size_t i = 0; i < json_array_size(names); i++)
        if (str_eq(json_string_value(json_array_get(names, i)), name))
            return true;
    return false;
}

/* Every name of our own table is in it, on the same side; those that depend on arguments only with
 * arguments. */
static void seccomp_is_our_own(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    AUTO_JSON json_t *o = oci_config_seccomp(&s);
    assert_string_equal(json_get_str(o, "defaultAction"), "SCMP_ACT_ERRNO");
    const json_t *calls = json_object_get(o, "syscalls");
    char name[64];
    size_t n = 0;
    for (size_t pos = 0; seccomp_table_next(&pos, name); n++) {
        size_t rules = 0;
        for (size_t i = 0; i < json_array_size(calls); i++) {
            const json_t *rule = json_array_get(calls, i);
            if (!named(rule, name))
                continue;
            rules++;
            bool allow = str_eq(json_get_str(rule, "action"), "SCMP_ACT_ALLOW");
            /* Of init's guard; for programs init's own filter refuses them. */
            bool of_guard = str_eq(name, "unshare") || str_eq(name, "pidfd_getfd") ||
                            str_eq(name, "process_vm_readv");
            if (allow != (seccomp_allows(name) || of_guard))
                fail_msg("%s is on the wrong side", name);
            bool by_argument = str_eq(name, "clone") || str_eq(name, "socket") ||
                               str_eq(name, "socketpair") || str_eq(name, "personality") ||
                               str_eq(name, "unshare");
            if (by_argument != (json_object_get(rule, "args") != NULL))
                fail_msg("%s and arguments", name);
        }
        if ((rules == 0) != !seccomp_knows(name)) /* then the default says ENOSYS */
            fail_msg("%s is missing, or there", name);
    }
    assert_true(n > 250);
    s.network = SANDBOX_NET_NONE;
    AUTO_JSON json_t *none = oci_config_seccomp(&s);
    const json_t *fewer = json_object_get(none, "syscalls");
    size_t sockets = 0;
    for (size_t i = 0; i < json_array_size(fewer); i++)
        if (named(json_array_get(fewer, i), "socket")) {
            sockets++;
            const json_t *arg =
                json_array_get(json_object_get(json_array_get(fewer, i), "args"), 0);
            assert_int_equal(json_get_int(arg, "value", 0), 1 /* AF_UNIX */);
        }
    assert_int_equal(sockets, 1);
    sandbox_spec_done(&s);
}

/* What an image calls its directories ends in config.json, which is UTF-8. */
static void image_with_odd_names(void **state)
{
    (void)state;
    char *dir = outside_dir();
    AUTO_FREE char *image = mem_printf("%s/image", dir);
    AUTO_FREE char *odd = mem_printf("%s/x\xffy", image);
    AUTO_FREE char *root = mem_printf("%s/root", dir);
    AUTO_FREE char *clean = mem_printf("rm -r %s/*", dir);
    assert_int_equal(mkdir(image, 0755), 0);
    assert_int_equal(mkdir(odd, 0755), 0);
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.rootfs_dir = mem_strdup(image);
    AUTO_JSON json_t *mounts = json_array();
    struct err e = {.code = 0};
    assert_int_equal(oci_root_make(root, &s, mounts, &e), -EILSEQ);
    sandbox_spec_done(&s);
    assert_int_equal(system(clean), 0);
    outside_dir_gone(dir);
}

/* ---- a root from an image that means harm ---- */

static void image_links_stay_inside(void **state)
{
    (void)state;
    char *dir = outside_dir();
    AUTO_FREE char *make =
        mem_printf("cd %s && mkdir -p image/usr victim && touch victim/keep && ln -s %s/victim "
                   "image/data && ln -s "
                   "%s/victim image/dev && ln -s %s/victim image/.sallyport && ln -s %s/victim "
                   "image/workspace && "
                   "ln -s %s/victim image/opt && mkfifo image/fifo && echo x >image/file",
                   dir, dir, dir, dir, dir, dir);
    assert_int_equal(system(make), 0);
    AUTO_FREE char *image = mem_printf("%s/image", dir);
    AUTO_FREE char *victim = mem_printf("%s/victim", dir);
    static const char *const targets[] = {"/data/x", "/data/a/b", "/opt/file"};
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        struct sandbox_spec s;
        sandbox_spec_init(&s);
        s.rootfs_dir = mem_strdup(image);
        assert_int_equal(
            sandbox_spec_add_bind(&s, i == 2 ? "/etc/passwd" : "/etc", targets[i], false, NULL), 0);
        AUTO_JSON json_t *mounts = json_array();
        AUTO_FREE char *root = mem_printf("%s/root-%zu", dir, i);
        struct err e = {.code = 0};
        assert_true(oci_root_make(root, &s, mounts, &e) < 0);
        assert_int_equal(outside_entries(victim), 1); /* nothing was made through the link */
        sandbox_spec_done(&s);
    }
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    s.rootfs_dir = mem_strdup(image);
    AUTO_JSON json_t *mounts = json_array();
    AUTO_FREE char *root = mem_printf("%s/root", dir);
    struct err e = {.code = 0};
    if (oci_root_make(root, &s, mounts, &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(json_array_size(mounts), 1); /* /usr */
    static const char *const own[] = {"dev", "workspace", ".sallyport", "proc", "tmp"};
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        AUTO_FREE char *path = mem_printf("%s/%s", root, own[i]);
        struct stat st;
        assert_int_equal(lstat(path, &st), 0);
        assert_true(S_ISDIR(st.st_mode));
    }
    AUTO_FREE char *fifo = mem_printf("%s/fifo", root);
    assert_int_equal(access(fifo, F_OK), -1);
    sandbox_spec_done(&s);
    AUTO_FREE char *clear = mem_printf("rm -rf %s/*", dir);
    assert_int_equal(system(clear), 0);
    outside_dir_gone(dir);
}

/* A runtime mounts whatever it is told to: that a bind does not replace the system, or the program
 * that guards it, is ours to see, in the words of the native engine. */
static void binds_do_not_replace_the_system(void **state)
{
    (void)state;
    static const struct {
        const char *target, *words; /* NULL: allowed */
    } cases[] = {
        {"/usr/bin", "bind target /usr/bin: system directories"},
        {"/etc", "system directories"},
        {"/etc/passwd", "bind target /etc/passwd: the loader and libc"},
        {"/etc/fonts", NULL},
        {"/proc/sys", "system directories"},
        {"/dev/shm/x", "system directories"},
        {"/sys", "system directories"},
        {"/tmp", "system directories"},
        {"/workspace", "system directories"},
        {"/.sallyport", "the sallyport program itself"},
        {"/.sallyport/ld.so", "the sallyport program itself"},
        {"/.sallyports", NULL},
        {"/workspace/x", NULL},
        {"/tmp/x", NULL},
        {"/usrx/y", NULL},
    };
    char *dir = outside_dir();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sandbox_spec s;
        sandbox_spec_init(&s);
        assert_int_equal(sandbox_spec_add_bind(&s, "/etc", cases[i].target, false, NULL), 0);
        AUTO_JSON json_t *mounts = json_array();
        AUTO_FREE char *root = mem_printf("%s/root-%zu", dir, i);
        struct err e = {.code = 0};
        int r = oci_root_make(root, &s, mounts, &e);
        if (cases[i].words) {
            assert_int_equal(r, -EINVAL);
            if (!strstr(e.msg, cases[i].words))
                fail_msg("%s: %s", cases[i].target, e.msg);
            assert_int_equal(access(root, F_OK), -1);
        } else if (r < 0) {
            fail_msg("%s: %s", cases[i].target, e.msg);
        }
        sandbox_spec_done(&s);
    }
    AUTO_FREE char *clear = mem_printf("rm -rf %s/*", dir);
    assert_int_equal(system(clear), 0);
    outside_dir_gone(dir);
}

/* ---- a runtime's words ---- */

static void words_of_a_runtime(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "the runtime gave no reason"},
        {"\n\n \n", "the runtime gave no reason"},
        {"open /x: No such file\n", "open /x: No such file"},
        {"first\nsecond\n\n", "second"},
        {"time=\"t\" level=error msg=\"runc run failed: a \\\"b\\\" c\"\n",
         "runc run failed: a \"b\" c"},
        {"level=error msg=\"\"", "level=error msg=\"\""},
        {"msg=\"cut off", "cut off"},
        {"msg=\"ends in a backslash\\", "ends in a backslash\\"},
        {"\033[31mred\001\377", " [31mred  "},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_FREE char *words = oci_words(cases[i].text);
        assert_string_equal(words, cases[i].words);
    }
    AUTO_FREE char *flood = mem_zalloc(5001);
    memset(flood, 'x', 5000);
    AUTO_FREE char *words = oci_words(flood);
    assert_int_equal(strlen(words), 300);
}

/* ---- containers that are less than was asked for ---- */

/* A runtime that changes config.json before it hands it to crun. */
static const struct {
    const char *spoil; /* a sed script */
    const char *words; /* what init says then */
} spoilers[] = {
    {"s/\"bounding\":\\[\\]/\"bounding\":[\"CAP_NET_RAW\"]/", "capability 13 is left"},
    {"s/\"user\":{\"uid\":1000,\"gid\":1000}/\"user\":{\"uid\":0,\"gid\":0}/",
     "uid 0 gid 0 are not the"},
    {"s/\"user\":{\"uid\":1000,\"gid\":1000}/"
     "\"user\":{\"uid\":1000,\"gid\":1000,\"additionalGids\":[27]}/",
     "supplementary group 27 was not dropped"},
    {"s/,\"path\":\"[^\"]*net\"//", "not put the container into the network that was made for it"},
};

static int spoiled_fiber(void *arg)
{
    (void)arg;
    char *dir = outside_dir();
    AUTO_FREE char *script = mem_printf("%s/spoiler", dir);
    AUTO_FREE char *state_dir = mem_printf("%s/state", dir);
    struct sandbox_spec doors;
    sandbox_spec_init(&doors);
    assert_int_equal(sandbox_spec_add_door(&doors, SANDBOX_DOOR_TCP, NULL, 443, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(spoilers); i++) {
        FILE *f = fopen(script, "we");
        assert_non_null(f);
        fprintf(f,
                "#!/bin/sh\nprevious=\nfor a; do\n  [ \"$previous\" = --bundle ] && sed -i '%s' "
                "\"$a/config.json\"\n  previous=$a\ndone\nexec crun \"$@\"\n",
                spoilers[i].spoil);
        fclose(f);
        assert_int_equal(chmod(script, 0755), 0);
        struct box_host *h = NULL;
        struct err e = {.code = 0};
        struct box_host_config cfg = {.state_dir = state_dir,
                                      .isolation = BOX_OCI,
                                      .oci_runtime = script,
                                      .trial = true,
                                      .warm_spec = &doors};
        int r = box_host_start(&cfg, &h, &e);
        if (r >= 0 || !strstr(e.msg, spoilers[i].words))
            fail_msg("%s: %d %s", spoilers[i].spoil, r, e.msg);
        assert_int_equal(outside_entries(state_dir), 0);
    }
    sandbox_spec_done(&doors);
    /* What the runtime leaves out and init makes up for: no_new_privs and the filter. */
    FILE *f = fopen(script, "we");
    assert_non_null(f);
    fprintf(f,
            "#!/bin/sh\nprevious=\nfor a; do\n  [ \"$previous\" = --bundle ] && sed -i "
            "'s/\"noNewPrivileges\":true/\"noNewPrivileges\":false/; s/\"seccomp\":/\"nothing\":/' "
            "\"$a/config.json\"\n  previous=$a\ndone\nexec crun \"$@\"\n");
    fclose(f);
    struct box_host_config cfg = {
        .state_dir = state_dir, .isolation = BOX_OCI, .oci_runtime = script};
    struct box_host *h = harness_start(&cfg);
    struct box *b = harness_open(h, NULL);
    harness_expect(b,
                   "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | cut -f2; unshare -U true "
                   "2>&1 | grep -c 'not permitted'",
                   "1\n2\n1");
    box_close(b);
    box_host_stop(h);
    assert_int_equal(rmdir(state_dir), 0);
    assert_int_equal(unlink(script), 0);
    outside_dir_gone(dir);
    return 0;
}

static void init_refuses_less(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("only as root: the runtime's script counts on two ids\n");
        return;
    }
    run_on_loop(spoiled_fiber, NULL);
}

/* This process is locked in by nothing: the check must say so. */
static void unconfined_is_denied(void **state)
{
    (void)state;
    struct sandbox_spec s;
    sandbox_spec_init(&s);
    struct err e = {.code = 0};
    assert_int_equal(standalone_check(&s, &e), -E_DENIED);
    assert_true(e.msg[0] != '\0');
    sandbox_spec_done(&s);
}

int main(int argc, char **argv)
{
    int role = harness_role(argc, argv);
    if (role >= 0)
        return role;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_grants_nothing),
        cmocka_unit_test(config_follows_the_specification),
        cmocka_unit_test(a_network_made_before_is_joined),
        cmocka_unit_test(seccomp_is_our_own),
        cmocka_unit_test(image_links_stay_inside),
        cmocka_unit_test(binds_do_not_replace_the_system),
        cmocka_unit_test(image_with_odd_names),
        cmocka_unit_test(words_of_a_runtime),
        cmocka_unit_test(init_refuses_less),
        cmocka_unit_test(unconfined_is_denied),
    };
    cmocka_set_test_filter(argc == 2 ? argv[1] : NULL); /* by hand: one of them */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
