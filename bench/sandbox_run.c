/* sandbox_run - one command in one sandbox of ours, for measurements of what runs inside.
 *
 * Makes the sandbox, hands the command to its `bash` tool, prints what the tool answered and exits
 * with 1 when that was an error. Usage: sandbox_run --zygote PROGRAM [--spec JSON] COMMAND */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "sandbox/frame.h"
#include "stats.h"
#include "zygote_client.h"

int main(int argc, char **argv)
{
    const char *program = NULL, *spec = NULL, *command = NULL;
    for (int i = 1; i < argc; i++) {
        if (str_eq(argv[i], "--zygote") && i + 1 < argc)
            program = argv[++i];
        else if (str_eq(argv[i], "--spec") && i + 1 < argc)
            spec = argv[++i];
        else
            command = argv[i];
    }
    if (!program || !command)
        return fprintf(stderr, "usage: sandbox_run --zygote PROGRAM [--spec JSON] COMMAND\n"), 2;
    struct zygote z;
    zygote_start(&z, program);
    size_t n;
    AUTO_FREE char *request = zygote_request(spec, &n);
    /* no ceiling of a call's own: workloads take as long as they take */
    AUTO_JSON json_t *call =
        json_pack("{s:s,s:i,s:s,s:{s:s,s:i},s:i}", "op", "call", "id", 1, "tool", "bash", "input",
                  "command", command, "timeout_ms", 600000, "timeout_ms", 600000);
    struct box b;
    if (!box_create(&z, request, n, &b))
        return 1;
    if (frame_send_blocking(b.channel, call) < 0)
        stats_die("call");
    AUTO_JSON json_t *hello = box_next(&b);
    if (!hello || !json_get_bool(hello, "ready", false)) {
        fprintf(stderr, "the sandbox is not ready: %s\n", json_get_str(hello, "error"));
        return 1;
    }
    AUTO_JSON json_t *result = box_next(&b);
    size_t i;
    json_t *block;
    json_array_foreach (json_object_get(result, "content"), i, block)
        printf("%s\n", json_get_str(block, "text"));
    box_end(&b, true);
    struct rusage ru;
    zygote_stop(&z, &ru);
    return !result || json_get_bool(result, "is_error", true);
}
