/* doors.c - what somebody outside has opened below a directory that is shown inside.
 *
 * The test listens on the socket "door" and reads from the pipe "pipe" in the read-only bind, listens
 * on "sub/door" in the writable one, and counts who comes. */
#include "probe.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Where the read-only bind is; outside of a sandbox the test says where. */
static const char *shown(void)
{
    const char *given = fact("bind");
    return given ? given : "/opt/canary";
}

static void knock(const char *path, int type)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(a.sun_path)) {
        unable("%s is too long", path);
        return;
    }
    memcpy(a.sun_path, path, strlen(path));
    int s = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0) {
        unable("socket: %m");
        return;
    }
    refused(path, connect(s, (struct sockaddr *)&a, sizeof(a)), EACCES, EPROTOTYPE, 0);
    close(s);
}

static void bind_sockets(void)
{
    char path[200], name[200];
    const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};
    int dir = open(shown(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || chdir(shown()) < 0) {
        unable("%s: %m", shown());
        return;
    }
    snprintf(path, sizeof(path), "%s/door", shown());
    snprintf(name, sizeof(name), "%s/door-link", scratch());
    unlink(name);
    if (symlink(path, name) < 0)
        unable("symlink: %m");
    for (size_t i = 0; i < 2; i++) {
        knock(path, types[i]);
        knock("door", types[i]);
        knock("./../canary/./door", types[i]);
        knock(name, types[i]);
        knock("/proc/self/cwd/door", types[i]);
        knock("/proc/thread-self/cwd/door", types[i]);
        snprintf(path, sizeof(path), "/proc/self/fd/%d/door", dir);
        knock(path, types[i]);
        snprintf(path, sizeof(path), "/proc/self/root%s/door", shown());
        knock(path, types[i]);
        snprintf(path, sizeof(path), "/proc/%d/cwd/door", (int)getpid());
        knock(path, types[i]);
        if (!fact("bind"))
            knock("/opt/outer/sub/door", types[i]);
        snprintf(path, sizeof(path), "%s/door", shown());
    }
    unlink(name);
    close(dir);
}

/* sendmsg names its peer where nobody can look, so there is no such socket. */
static void datagrams(void)
{
    int pair[2];
    const int types[] = {SOCK_DGRAM, SOCK_RAW, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK};
    for (size_t i = 0; i < 3; i++) {
        refused("a datagram socket", socket(AF_UNIX, types[i], 0), EPERM, 0);
        refused("a pair of them", socketpair(AF_UNIX, types[i], 0, pair), EPERM, 0);
    }
}

static struct sockaddr_un swapped = {.sun_family = AF_UNIX};
static volatile bool over;

static void *swap(void *arg)
{
    const char *const *names = arg;
    for (unsigned i = 0; !over; i++)
        memcpy(swapped.sun_path, names[i & 1], strlen(names[i & 1]) + 1);
    return NULL;
}

/* Two threads: one names a socket of its own and the host's in turn, the other connects. Who came
 * is seen on the host. */
static void race(void)
{
    char own[100], door[100];
    snprintf(own, sizeof(own), "%s/own-door", scratch());
    snprintf(door, sizeof(door), "%s/door", shown());
    const char *names[] = {own, door};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", own);
    unlink(own);
    int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_t t;
    if (bind(l, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(l, 4000) < 0 ||
        pthread_create(&t, NULL, swap, names) != 0) {
        unable("own socket: %m");
        return;
    }
    for (int i = 0; i < 3000; i++) {
        int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(s, (struct sockaddr *)&swapped, sizeof(swapped));
        close(s);
    }
    over = true;
    pthread_join(t, NULL);
    close(l);
    unlink(own);
    host_decides("3000 attempts");
}

static void bind_pipes(void)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/pipe", shown());
    struct stat st;
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        refused(path, fd, EACCES, EROFS, 0);
        return;
    }
    must(fstat(fd, &st) == 0 && !S_ISFIFO(st.st_mode), "the host's pipe is open for writing");
    close(fd);
}

static void bind_locks(void)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/file", shown());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        unable("%s: %m", path);
        return;
    }
    refused("a lock", flock(fd, LOCK_EX | LOCK_NB), ENOLCK, 0);
    refused("a lease", fcntl(fd, F_SETLEASE, F_RDLCK), EPERM, 0);
    refused("a watch by signal", fcntl(fd, F_NOTIFY, DN_ACCESS), EPERM, 0);
    close(fd);
}

static void bind_makes(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/opt/outer/made"};
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    refused("by path", bind(s, (struct sockaddr *)&a, sizeof(a)), EACCES, 0);
    if (chdir("/opt/outer") < 0)
        unable("/opt/outer: %m");
    memcpy(a.sun_path, "made", 5);
    refused("by name", bind(s, (struct sockaddr *)&a, sizeof(a)), EACCES, 0);
    close(s);
}

const struct probe doors_probes[] = {
    {"bind_sockets", "tmux, docker.sock, ssh and gpg agents in a directory that is shown",
     "connect to the host's socket by ten kinds of paths, two types",
     "the guard connects, and only to what lies in the sandbox's own mounts", bind_sockets, 0},
    {"bind_datagrams", "systemd's notify socket and its like",
     "make Unix datagram sockets and pairs, three types", "refused by the filter", datagrams, 0},
    {"bind_race", "a look at a path before its use",
     "swap the address under a running connect, 3000 times", "the guard uses what it has looked at",
     race, 30},
    {"bind_pipes", "a pipe from which a program of the host takes commands",
     "open it for writing in a read-only bind", "covered with an empty file", bind_pipes, 0},
    {"bind_locks", "a lease that holds up the host's writers for 45 s",
     "lock, lease and watch a file of a read-only bind", "the guard; refused by the filter",
     bind_locks, 0},
    {"bind_makes", "a client of the host that finds a socket of ours",
     "make a socket in a writable bind, by path and by name", "Landlock, and the guard", bind_makes,
     0},
    {.name = NULL},
};
