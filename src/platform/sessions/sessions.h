/* sessions - sessions (api.md section 5): one row, its agent's snapshot, its log. Creation and
 * lists have files of their own (session_create, session_list). */
#pragma once

#include "platform/api/api.h"

api_handler sessions_create, sessions_retrieve, sessions_list, sessions_update, sessions_delete,
    sessions_archive, sessions_no_resources;
