/* limits - every ceiling of the program, with its reason. */
#pragma once

#define LIMIT_JSON_DEPTH          64           /* jansson's parser recurses: 64 fit any fiber */
#define LIMIT_BODY_BYTES          (32u << 20)  /* api.md 1.4: JSON endpoints; 413 above */
#define LIMIT_HEADER_BYTES        (32u << 10)  /* request line and fields together; 431 above */
#define LIMIT_HEADER_COUNT        128          /* header fields in one request; 431 above */
#define LIMIT_TARGET_BYTES        (16u << 10)  /* request target; 414 above */
#define LIMIT_EVENT_BYTES         (16u << 20)  /* one event as JSON text */
#define LIMIT_SSE_QUEUE_BYTES     (1u << 20)   /* a slower reader is cut off and resumes by id */
#define LIMIT_TOOL_OUTPUT_BYTES   (100u << 10) /* api.md 13: so much reaches the model */
#define LIMIT_MODEL_STREAM_BYTES  (32u << 20)  /* one model answer, all blocks together */
#define LIMIT_MODEL_CONTEXT_BYTES (32u << 20)  /* events of one model request: the API's maximum */
#define LIMIT_LEDGER_CALLS        4096         /* calls a worker remembers to have begun */
#define LIMIT_LEDGER_BYTES        (64u << 20)  /* results it keeps while the platform is away */
#define LIMIT_YAML_BYTES          (1u << 20)   /* a file: libyaml is quadratic on some input */
