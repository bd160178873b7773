/* limits - every ceiling of the program, with its reason. */
#pragma once

#define LIMIT_JSON_DEPTH                                                                           \
    64 /* jansson recurses ~305 B per level when printing: 64 levels fit any fiber */
#define LIMIT_BODY_BYTES   (32u << 20) /* api.md 1.4: JSON endpoints take 32 MB, above that 413 */
#define LIMIT_HEADER_BYTES (32u << 10) /* request line and header fields together; 431 above */
#define LIMIT_HEADER_COUNT 128         /* header fields in one request; 431 above */
#define LIMIT_TARGET_BYTES (16u << 10) /* request target; 414 above */
#define LIMIT_EVENT_BYTES  (16u << 20) /* one event as JSON text */
#define LIMIT_SSE_QUEUE_BYTES                                                                      \
    (1u << 20) /* per subscriber; a slower reader is cut off and resumes by id */
#define LIMIT_TOOL_OUTPUT_BYTES                                                                    \
    (100u << 10)                             /* api.md 13: 100 KiB of tool output reach the model  \
                                              */
#define LIMIT_MODEL_STREAM_BYTES (32u << 20) /* one model answer, all blocks together */
#define LIMIT_MODEL_CONTEXT_BYTES                                                                  \
    (32u                                                                                           \
     << 20) /* events of one model request: the Messages API takes no larger body, and a log   \
                   must not be able to fill the server's memory */
#define LIMIT_YAML_BYTES                                                                           \
    (1u << 20) /* a configuration or script file; libyaml's scanner is quadratic on some input */
