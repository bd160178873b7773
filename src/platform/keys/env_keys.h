/* env_keys - environment keys: what a worker shows to take work (our own addition). */
#pragma once

#include "platform/api/api.h"

api_handler env_keys_create, env_keys_list, env_keys_revoke;
