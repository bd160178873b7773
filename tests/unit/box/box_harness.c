/* box_harness.c - the helpers of box_harness.h.
 *
 * Each fails the test it is called from, with words, instead of handing an error back. Those that
 * open, call or wait run on fibers; directories and processes may be asked for from anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "fiber/fiber.h"
#include "sandbox/init/foreign.h"
#include "sandbox/sandbox.h"
#include "unit/box/box_harness.h"
#include "box/oci/oci.h"

static int test_pid;

int harness_role(int argc, char **argv)
{
    test_pid = getpid();
    if (argc == 2 && str_eq(argv[1], "zygote"))
        return zygote_main(3, false);
    if (argc == 3 && str_eq(argv[1], "init"))
        return foreign_main(argv[2]);
    if (argc > 3 && str_eq(argv[1], "launch"))
        return oci_launch_main(argc - 1, argv + 1);
    return -1;
}

struct box_host *harness_start(const struct box_host_config *cfg)
{
    struct box_host *h = NULL;
    struct err e = {.code = 0};
    if (box_host_start(cfg, &h, &e) < 0)
        fail_msg("host: %s", e.msg);
    return h;
}

struct box *harness_open(struct box_host *h, const struct box_spec *spec)
{
    static const struct box_spec plain = {.session_id = "sesn_test"};
    struct box *b = NULL;
    struct err e = {.code = 0};
    if (box_open(h, spec ? spec : &plain, &b, &e) < 0)
        fail_msg("box: %s", e.msg);
    return b;
}

struct tool_answer harness_call(struct box *b, const char *tool, const char *input_json)
{
    struct err e = {.code = 0};
    AUTO_JSON json_t *in = NULL;
    if (json_parse(input_json, strlen(input_json), &in, &e) < 0)
        fail_msg("the test's input is no JSON: %s", input_json);
    struct box_result res = {.content = NULL};
    struct tool_answer a = {.code = box_call(b, tool, in, 0, &res, &e)};
    if (a.code == 0) {
        const char *text = json_get_str(json_array_get(res.content, 0), "text");
        a.is_error = res.is_error;
        a.text = text ? mem_strdup(text) : NULL;
    }
    box_result_done(&res);
    return a;
}

struct tool_answer harness_bash(struct box *b, const char *command)
{
    AUTO_JSON json_t *in = json_object();
    json_put_str(in, "command", command);
    AUTO_FREE char *text = json_text(in, NULL);
    return harness_call(b, "bash", text);
}

void tool_answer_done(struct tool_answer *a)
{
    free(a->text);
}

void harness_expect(struct box *b, const char *command, const char *text)
{
    AUTO(tool_answer) a = harness_bash(b, command);
    if (a.code != 0 || a.is_error || !str_eq(a.text, text))
        fail_msg("%s\n  gave   %d %s\n  wanted %s", command, a.code, a.text ? a.text : "-", text);
}

char *harness_dir(void)
{
    char *dir = mem_strdup("/tmp/sallyport-box-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return dir;
}

char *harness_word(int n)
{
    return mem_printf("1000.%d%d", n, test_pid);
}

size_t harness_entries(const char *dir)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    size_t n = 0;
    for (struct dirent *de; (de = readdir(d));)
        n += !str_eq(de->d_name, ".") && !str_eq(de->d_name, "..");
    closedir(d);
    return n;
}

void harness_dir_gone(char *dir)
{
    if (rmdir(dir) < 0)
        fail_msg("%s: %zu entries are left in it", dir, harness_entries(dir));
    free(dir);
}

pid_t harness_parent(pid_t pid)
{
    AUTO_FREE char *path = mem_printf("/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    char line[256];
    int parent = 0;
    while (f && fgets(line, sizeof(line), f))
        if (str_starts(line, "PPid:"))
            parent = atoi(line + 5);
    if (f)
        fclose(f);
    return parent;
}

size_t harness_processes(const char *word)
{
    DIR *d = opendir("/proc");
    assert_non_null(d);
    size_t n = 0;
    for (struct dirent *de; (de = readdir(d));) {
        char path[300], text[2048];
        uint64_t pid;
        if (str_to_u64(de->d_name, strlen(de->d_name), INT32_MAX, &pid) < 0 ||
            (pid_t)pid == getpid())
            continue;
        snprintf(path, sizeof(path), "/proc/%s/cmdline", de->d_name);
        AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text));
        n += len > 0 && memmem(text, (size_t)len, word, strlen(word));
    }
    closedir(d);
    return n;
}

void harness_wait_gone(const char *word)
{
    for (int i = 0; i < 2000; i++) {
        if (harness_processes(word) == 0)
            return;
        assert_int_equal(fiber_sleep_ms(5), 0);
    }
    fail_msg("%zu processes with %s are still there", harness_processes(word), word);
}
