/* threads - a session's threads: in this version the primary one only. */
#pragma once

#include "platform/api/api.h"

api_handler threads_list, threads_retrieve, threads_archive, threads_events, threads_stream;
