/* gateway_control.c - finds the control socket of a gateway, and asks there.
 *
 * For the commands by which a person decides something (gateway pins). The configuration is read again to know the
 * state directory; nothing else of it counts here. What the gateway answers is shown through the terminal's
 * escapes by who has asked. */
#include "cmd/gateway_control.h"

#include "base/err.h"
#include "base/str.h"
#include "cmd/gateway.h"
#include "io/file.h"
#include "tunnel/gateway/config.h"
#include "tunnel/gateway/control.h"

int gateway_control(const char *config, const json_t *request, json_t **ret, struct err *e)
{
    AUTO_FREE char *usual = config ? NULL : gateway_config_to_look_at();
    struct gateway_config *c;
    const char *file = config ? config : usual;
    int r = gateway_config_read(file, &c, e);
    if (r == -ENOENT)
        return err_set(e, r, "there is no %s; --config names the gateway's configuration", file);
    if (r < 0)
        return r;
    AUTO_FREE char *dir = c->state_dir ? mem_strdup(c->state_dir) : file_folder(file);
    AUTO_JSON json_t *answer = NULL;
    gateway_config_unref(c);
    r = control_ask(dir, request, &answer, e);
    if (r == 0 && str_eq(json_get_str(answer, "type"), "error"))
        return err_set(e, -E_DENIED, "%s",
                       json_get_str(answer, "message") ? json_get_str(answer, "message") : "no");
    if (r == 0)
        *ret = TAKE(answer);
    return r;
}
