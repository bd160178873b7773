/* unbuilt.c - handlers whose resource is not in this build yet. Each line goes away when its file
 * arrives. */
#include "platform/routes.h"

#define UNBUILT(fn)                                                                                \
    void fn(struct api_call *c)                                                                    \
    {                                                                                              \
        api_not_found(c, "Not found: this endpoint is not part of this version of Sallyport.");    \
    }

UNBUILT(agents_create)
UNBUILT(agents_retrieve)
UNBUILT(agents_update)
UNBUILT(agents_list)
UNBUILT(agents_archive)
UNBUILT(agents_versions)

UNBUILT(environments_create)
UNBUILT(environments_retrieve)
UNBUILT(environments_list)
UNBUILT(environments_update)
UNBUILT(environments_delete)
UNBUILT(environments_archive)

UNBUILT(env_keys_create)
UNBUILT(env_keys_list)
UNBUILT(env_keys_revoke)

UNBUILT(work_poll)
UNBUILT(work_ack)
UNBUILT(work_heartbeat)
UNBUILT(work_stop)
UNBUILT(work_list)
UNBUILT(work_retrieve)
UNBUILT(work_update)
UNBUILT(work_stats)



