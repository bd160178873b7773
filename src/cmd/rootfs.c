/* rootfs.c - `sallyport rootfs import|list|remove`: container images as root file systems.
 *
 * No server and no daemon is involved: the files lie below the data directory, and the work is done
 * by image/. The archive and everything in it is untrusted, so what is quoted from it
 * goes through the terminal's escapes. SIGINT, SIGTERM and SIGHUP are blocked while an image is
 * unpacked and looked for between the pieces, so that what was unpacked is removed before we go; a
 * process that is killed leaves that to the next import. */
#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "cmd/cmd.h"
#include "cmd/line/start.h"
#include "cmd/line/term.h"
#include "cmd/line/verbs.h"
#include "image/image.h"
#include "image/import.h"
#include "io/dirs.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(const char *verb, int code, const struct err *e)
{
    fprintf(stderr, "sallyport rootfs %s: ", verb);
    term_print_word(stderr, e->msg[0] ? e->msg : err_text(code));
    fputc('\n', stderr);
    return code == -EINVAL ? 2 : 1;
}

static struct flag_set flags_of(const struct verb *v, const struct flag *rows, size_t n)
{
    static struct flag room[FLAG_SET_MAX];
    static char name[64];
    struct flag_set flags = verb_flags(&cmd_rootfs_verbs, v, name, room);
    flags_add(&flags, rows, n);
    return flags;
}

/* ---- import ---- */

struct progress {
    struct term_spinner spinner;
    char text[80];
    int64_t shown_ns;
};

/* The signal somebody sent to end us, or 0. They are blocked, so they wait here. */
static int pending_signal(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t set;
    if (sigpending(&set) < 0)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (sigismember(&set, ends[i]) == 1)
            return ends[i];
    return 0;
}

static int on_tick(void *arg, const struct image_tally *t)
{
    struct progress *p = arg;
    int64_t now = time_mono_ns();
    if (pending_signal())
        return -ECANCELED;
    if (now - p->shown_ns < 100 * NS_PER_MS)
        return 0;
    p->shown_ns = now;
    char bytes[32];
    snprintf(p->text, sizeof(p->text), "unpacking %8llu files %12s", (unsigned long long)t->entries,
             term_bytes((int64_t)t->bytes, bytes));
    term_spinner_step(&p->spinner);
    return 0;
}

static void on_note(void *arg, const char *text)
{
    struct progress *p = arg;
    term_spinner_clear(&p->spinner);
    fprintf(stderr, "note: %s\n", text);
}

/* "busybox" of "/tmp/BusyBox.tar.gz"; what cannot be a name is refused by image_import. */
static char *name_of_file(const char *file)
{
    static const char *const ends[] = {".gz",  ".tgz", ".zst", ".xz",
                                       ".bz2", ".lz4", ".tar", ".oci"};
    const char *slash = strrchr(file, '/');
    char *name = mem_strdup(slash ? slash + 1 : file);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (str_ends(name, ends[i]))
            name[strlen(name) - strlen(ends[i])] = '\0';
    for (char *p = name; *p; p++)
        *p = str_lower_c(*p);
    return name;
}

static void say_imported(const json_t *record)
{
    const json_t *skipped = json_object_get(record, "skipped");
    char bytes[32];
    int64_t special = json_get_int(skipped, "special_files", 0),
            set_id = json_get_int(skipped, "set_id_bits", 0),
            attributes = json_get_int(skipped, "extended_attributes", 0);
    printf("%s: %zu layer%s, %lld files, %s", json_get_str(record, "name"),
           json_array_size(json_object_get(record, "layers")),
           json_array_size(json_object_get(record, "layers")) == 1 ? "" : "s",
           (long long)json_get_int(record, "files", 0),
           term_bytes(json_get_int(record, "bytes", 0), bytes));
    if (special)
        printf("; left out: %lld devices, fifos and sockets", (long long)special);
    if (set_id)
        printf("; set-id bits of %lld files dropped", (long long)set_id);
    if (attributes)
        printf("; extended attributes of %lld files dropped", (long long)attributes);
    putchar('\n');
}

static int print_json(const json_t *j)
{
    AUTO_FREE char *text = json_text(j, NULL);
    term_print_json(stdout, text, strlen(text));
    return 0;
}

/* Whether `fd` is a named pipe that nobody has open for writing, and that is empty. */
static bool lacks_writer(int fd)
{
    struct stat st;
    int ends[2];
    if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode) || pipe2(ends, O_CLOEXEC) < 0)
        return false;
    bool lacks = tee(fd, ends[1], 1, SPLICE_F_NONBLOCK) == 0; /* takes nothing out of it */
    close(ends[0]);
    close(ends[1]);
    return lacks;
}

/* A named pipe is waited for until somebody writes to it, as opening it does, but not without a
 * word: nothing else would tell why nothing happens. */
static int open_named(const char *file)
{
    AUTO_CLOSE int fd = open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (lacks_writer(fd)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        fputs("sallyport rootfs import: waiting for somebody to write to ", stderr);
        term_print_word(stderr, file);
        fputc('\n', stderr);
        while (poll(&p, 1, -1) < 0 && errno == EINTR)
            continue; /* it was stopped and goes on */
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return -errno;
    int r = fd;
    fd = -1;
    return r;
}

static int open_archive(const char *file, struct err *e)
{
    bool in = str_eq(file, "-");
    if (in && isatty(STDIN_FILENO) == 1)
        return err_set(e, -EINVAL, "standard input is a terminal; pipe an archive into it");
    int fd = in ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open_named(file);
    if (fd < 0) {
        int r = in ? -errno : fd;
        return err_set(e, r, "%s cannot be opened: %s", file, err_text(r));
    }
    return fd;
}

static enum image_format format_of(const char *name)
{
    for (int f = IMAGE_FORMAT_AUTO; f <= IMAGE_FORMAT_ROOTFS; f++)
        if (str_eq(name, image_format_name(f)))
            return f;
    return IMAGE_FORMAT_AUTO;
}

static int import(struct image_import *in, const char *file, struct err *e, json_t **ret)
{
    AUTO_CLOSE int fd = open_archive(file, e);
    if (fd < 0)
        return fd;
    int r = dirs_make(in->data_dir, NULL);
    if (r < 0)
        return err_set(e, r, "%s cannot be made: %s", in->data_dir, err_text(r));
    struct progress p = {.spinner = {.text = p.text}, .shown_ns = time_mono_ns()};
    sigset_t ends, before;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &ends, &before);
    in->fd = fd;
    in->tick = on_tick;
    in->note = on_note;
    in->tick_arg = &p;
    r = image_import(in, ret, e);
    term_spinner_clear(&p.spinner);
    /* The signal that ended it is delivered now, and ends us as the sender expects. */
    if (r == -ECANCELED)
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return r < 0 ? err_wrap(e, r, "%s", str_eq(file, "-") ? "standard input" : file) : 0;
}

static int run_import(const struct verb *v, int argc, char **argv)
{
    static const char *const formats[] = {"auto", "oci", "docker", "rootfs", NULL};
    const char *data = NULL, *name = NULL, *image = NULL, *format = "auto",
               *architecture = image_architecture();
    bool replace = false, json = false;
    int64_t max_size = (int64_t)IMAGE_BYTES_DEFAULT, max_files = (int64_t)IMAGE_FILES_DEFAULT,
            max_depth = (int64_t)IMAGE_DEPTH_DEFAULT, max_ratio = (int64_t)IMAGE_RATIO_DEFAULT;
    const struct flag rows[] = {
        {"name", "NAME", "name of the image (the archive's file name)", FLAG_TEXT, .ptr = &name},
        {"data", "DIR", "data directory; images go to DIR/rootfs", FLAG_DIR, .ptr = &data},
        {"replace", NULL, "replace the image of that name", FLAG_BOOL, .ptr = &replace},
        {"image", "REFERENCE", "image to take from an archive that holds several (busybox:latest)",
         FLAG_TEXT, .ptr = &image},
        {"format", "FORMAT", "format of the archive (detected from its contents)", FLAG_CHOICE,
         .ptr = &format, .choices = formats},
        {"architecture", "ARCH", "architecture: amd64, arm64 and so on (this machine's)", FLAG_TEXT,
         .ptr = &architecture},
        {"max-size", "SIZE", "most bytes of files (16G)", FLAG_SIZE, .ptr = &max_size, .min = 1,
         .max = INT64_MAX / 4},
        {"max-files", "N", "most files and directories (1000000)", FLAG_INT, .ptr = &max_files,
         .min = 1, .max = 50000000},
        {"max-depth", "N", "most parts of a path (64)", FLAG_INT, .ptr = &max_depth, .min = 1,
         .max = IMAGE_DEPTH_MAX},
        {"max-ratio", "N", "most bytes unpacked from one byte, above 128M (200)", FLAG_INT,
         .ptr = &max_ratio, .min = 1, .max = 1000000},
        {"json", NULL, "print the image's record", FLAG_BOOL, .ptr = &json},
    };
    struct flag_set flags = flags_of(v, rows, ARRAY_LEN(rows));
    flags.details =
        "ARCHIVE is what docker save or podman save writes, an OCI image layout as tar, or\n"
        "a tar of a root file system; plain or compressed; - reads standard input.";
    int n_args;
    int code = flags_main(&flags, argc, argv, NULL, &n_args);
    if (code >= 0)
        return code;
    const char *file = argv[1];
    if (!name && str_eq(file, "-")) {
        fprintf(stderr, "sallyport rootfs import: --name says what to call an image that comes "
                        "through standard input\n");
        return 2;
    }
    AUTO_FREE char *dir = cmd_data_dir(data);
    AUTO_FREE char *own_name = name ? mem_strdup(name) : name_of_file(file);
    struct image_import in = {
        .data_dir = dir,
        .name = own_name,
        .replace = replace,
        .choice = {.format = format_of(format), .reference = image, .architecture = architecture},
        .limits = {.bytes = (uint64_t)max_size,
                   .files = (uint64_t)max_files,
                   .depth = (uint64_t)max_depth,
                   .ratio = (uint64_t)max_ratio},
    };
    struct err e = {0};
    AUTO_JSON json_t *record = NULL;
    int r = import(&in, file, &e, &record);
    if (r < 0)
        return failed("import", r, &e);
    if (json)
        return print_json(record);
    say_imported(record);
    return 0;
}

/* ---- list, remove ---- */

static int run_list(const struct verb *v, int argc, char **argv)
{
    const char *data = NULL;
    bool json = false;
    const struct flag rows[] = {
        {"json", NULL, "print the images' records", FLAG_BOOL, .ptr = &json},
        {"data", "DIR", "where data lies", FLAG_DIR, .ptr = &data},
    };
    struct flag_set flags = flags_of(v, rows, ARRAY_LEN(rows));
    int n_args;
    int code = flags_main(&flags, argc, argv, NULL, &n_args);
    if (code >= 0)
        return code;
    AUTO_FREE char *dir = cmd_data_dir(data);
    struct err e = {0};
    AUTO_JSON json_t *all = NULL;
    size_t damaged;
    int r = image_list(dir, &all, &damaged, &e);
    if (r < 0)
        return failed("list", r, &e);
    if (damaged)
        fprintf(stderr,
                "%zu director%s in %s/rootfs without a readable image.json; remove %s and import "
                "again\n",
                damaged, damaged == 1 ? "y" : "ies", dir, damaged == 1 ? "it" : "them");
    if (json)
        return print_json(all);
    size_t i;
    json_t *o;
    json_array_foreach (all, i, o) {
        const char *when = json_get_str(o, "imported_at"),
                   *reference = json_get_str(json_object_get(o, "source"), "reference");
        char bytes[32];
        printf("%-24s %12s %8lld files  %.19s  ", json_get_str(o, "name"),
               term_bytes(json_get_int(o, "bytes", 0), bytes),
               (long long)json_get_int(o, "files", 0), when ? when : "-");
        term_print_word(stdout, reference ? reference : "-");
        putchar('\n');
    }
    if (i == 0)
        fprintf(stderr, "no images in %s/rootfs; sallyport rootfs import makes one\n", dir);
    return 0;
}

static int run_remove(const struct verb *v, int argc, char **argv)
{
    const char *data = NULL;
    const struct flag rows[] = {{"data", "DIR", "where data lies", FLAG_DIR, .ptr = &data}};
    struct flag_set flags = flags_of(v, rows, ARRAY_LEN(rows));
    int n_args;
    int code = flags_main(&flags, argc, argv, NULL, &n_args);
    if (code >= 0)
        return code;
    AUTO_FREE char *dir = cmd_data_dir(data);
    struct err e = {0};
    int r = image_remove(dir, argv[1], &e);
    if (r < 0)
        return failed("remove", r, &e);
    printf("%s is removed\n", argv[1]);
    return 0;
}

static const struct verb verbs[] = {
    {{"import"},
     "ARCHIVE",
     "Unpacks a container image for use as a sandbox's root.",
     1,
     1,
     .run = run_import},
    {{"list"}, NULL, "Lists the images that sandboxes can use.", 0, 0, .run = run_list},
    {{"remove"}, "NAME", "Removes an image that no sandbox uses.", 1, 1, .run = run_remove},
};

const struct verb_set cmd_rootfs_verbs = {
    .command = "rootfs",
    .summary = "Keeps container images as root file systems for sandboxes.",
    .verbs = verbs,
    .n_verbs = ARRAY_LEN(verbs),
    .width = 8,
};

int cmd_rootfs(int argc, char **argv)
{
    return verbs_main(&cmd_rootfs_verbs, argc, argv);
}
