/* tunnel_certificates - the authorities whose certificates a tunnel's gateways may show (api.md 10,
 * tunnel.md 4). */
#pragma once

#include "platform/api/api.h"

api_handler tunnel_certificates_create, tunnel_certificates_list, tunnel_certificates_retrieve,
    tunnel_certificates_archive;
