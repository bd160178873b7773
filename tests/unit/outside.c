/* outside.c - the looks of outside.h: a pause is a fiber's sleep on a fiber, and poll() elsewhere.
 * */
#include "unit/outside.h"

#include "unit/unit.h"
#include "base/str.h"
#include "fiber/fiber.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP_MS 5
#define STEPS   4000 /* 20 s: a busy machine, not a broken one */

static void pause_step(void)
{
    if (fiber_self())
        assert_int_equal(fiber_sleep_ms(STEP_MS), 0);
    else
        poll(NULL, 0, STEP_MS);
}

bool outside_sees(pid_t pid)
{
    AUTO_FREE char *path = mem_printf("/proc/%d/root/", (int)pid);
    struct stat st;
    if (stat(path, &st) == 0 || errno != EACCES)
        return true;
    print_message("not tested here: only root may look into process %d\n", (int)pid);
    return false;
}

void outside_wait_file(const char *path)
{
    struct stat st;
    for (int i = 0; i < STEPS; i++) {
        if (stat(path, &st) == 0)
            return;
        pause_step();
    }
    fail_msg("%s never appeared", path);
}

char *outside_dir(void)
{
    char *dir = mem_strdup("/tmp/sallyport-unit-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return dir;
}

void outside_dir_gone(char *dir)
{
    if (rmdir(dir) < 0)
        fail_msg("%s: %zu entries are left in it", dir, outside_entries(dir));
    free(dir);
}

size_t outside_entries(const char *dir)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    size_t n = 0;
    for (struct dirent *de; (de = readdir(d));)
        n += !str_eq(de->d_name, ".") && !str_eq(de->d_name, "..");
    closedir(d);
    return n;
}

static pid_t program; /* who was executed, not who was forked from it since */

__attribute__((constructor)) static void remember(void)
{
    program = getpid();
}

char *outside_word(int n)
{
    return mem_printf("1000.%d%d", n, (int)program);
}

size_t outside_processes(const char *word)
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

void outside_wait_gone(const char *word)
{
    for (int i = 0; i < STEPS; i++) {
        if (outside_processes(word) == 0)
            return;
        pause_step();
    }
    fail_msg("%zu processes with %s are still there", outside_processes(word), word);
}

void outside_wait_runs(const char *word)
{
    for (int i = 0; i < STEPS; i++) {
        if (outside_processes(word) > 0)
            return;
        pause_step();
    }
    fail_msg("no process with %s was ever there", word);
}

pid_t outside_parent(pid_t pid)
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

size_t outside_children(pid_t pid, pid_t *ret, size_t max)
{
    AUTO_FREE char *path = mem_printf("/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    size_t n = 0;
    while (n < max && fscanf(f, "%d", &ret[n]) == 1)
        n++;
    fclose(f);
    return n;
}
