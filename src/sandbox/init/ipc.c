/* ipc.c - counting and removing System V objects.
 *
 * Called by init. What a program leaves in these tables stays when it is killed; without this, a
 * sandbox that went over its memory with a segment would be over it for ever. The tables are read
 * from the namespace's own procfs, in steps: a program can make tens of thousands of entries. */
#include "sandbox/init/ipc.h"

#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "base/str.h"
#include "sandbox/paths.h"

/* Words of a line, counted from 0; the id is the second one everywhere. Of shm:
 *   key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap */
#define ID_WORD       1
#define ATTACHED_WORD 6
#define RSS_WORD      14

static const char *const tables[IPC_KINDS] = {"/proc/sysvipc/shm", "/proc/sysvipc/sem",
                                              "/proc/sysvipc/msg"};

static bool word_at(const char *line, int index, uint64_t *ret)
{
    const char *p = line + strspn(line, " ");
    for (int i = 0; i < index; i++) {
        p += strcspn(p, " \n");
        p += strspn(p, " ");
    }
    size_t n = strcspn(p, " \n");
    return n > 0 && str_to_u64(p, n, UINT64_MAX, ret) == 0;
}

bool ipc_parse_line(enum ipc_kind kind, const char *line, int *ret_id, uint64_t *ret_bytes)
{
    uint64_t id, bytes = 0;
    if (!word_at(line, ID_WORD, &id) || id > INT32_MAX ||
        (kind == IPC_SHM && !word_at(line, RSS_WORD, &bytes)))
        return false;
    *ret_id = (int)id;
    *ret_bytes = bytes;
    return true;
}

static void remove_object(enum ipc_kind kind, int id)
{
    if (kind == IPC_SHM)
        (void)shmctl(id, IPC_RMID, NULL);
    else if (kind == IPC_SEM)
        (void)semctl(id, 0, IPC_RMID);
    else
        (void)msgctl(id, IPC_RMID, NULL);
}

static bool is_any(const char *line)
{
    (void)line;
    return true;
}

/* Adds up the bytes of a table and removes what `unwanted` (may be NULL) says yes to. */
static uint64_t walk(enum ipc_kind kind, bool (*unwanted)(const char *line))
{
    char line[512];
    uint64_t sum = 0;
    FILE *f = fopen(tables[kind], "re");
    while (f && fgets(line, sizeof(line), f)) {
        int id;
        uint64_t bytes;
        if (!ipc_parse_line(kind, line, &id, &bytes))
            continue;
        sum += bytes;
        if (unwanted && unwanted(line))
            remove_object(kind, id);
    }
    if (f)
        fclose(f);
    return sum;
}

uint64_t ipc_shm_bytes(void)
{
    return paths()->shared ? 0 : walk(IPC_SHM, NULL);
}

static bool is_orphan(const char *line)
{
    uint64_t attached;
    return word_at(line, ATTACHED_WORD, &attached) && attached == 0;
}

void ipc_remove_orphans(void)
{
    if (!paths()->shared)
        (void)walk(IPC_SHM, is_orphan);
}

void ipc_remove_all(void)
{
    for (int kind = 0; kind < IPC_KINDS && !paths()->shared; kind++)
        (void)walk((enum ipc_kind)kind, is_any);
}
