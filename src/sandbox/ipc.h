/* ipc - System V shared memory, semaphores and queues of the sandbox's ipc namespace: they belong
 * to no process and outlive all of them. */
#pragma once

#include "base/base.h"

enum ipc_kind { IPC_SHM, IPC_SEM, IPC_MSG, IPC_KINDS };

/* Bytes of shared memory that are really there. */
uint64_t ipc_shm_bytes(void);

/* Removes shared memory that no process is attached to. */
void ipc_remove_orphans(void);

/* Removes everything. Called when all processes have been ended. */
void ipc_remove_all(void);

/* One line of /proc/sysvipc/shm, sem or msg: the object's id and, for shm, its resident bytes.
 * False for the heading and for what does not look like one. Pure. */
bool ipc_parse_line(enum ipc_kind kind, const char *line, int *ret_id, uint64_t *ret_bytes);
