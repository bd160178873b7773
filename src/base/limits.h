/* limits - every ceiling of the program, with its reason. */
#pragma once

#define LIMIT_JSON_DEPTH          64           /* jansson's parser recurses: 64 fit any fiber */
#define LIMIT_JSON_VALUES         (4u << 20)   /* of any text: a page of events is no denser */
#define LIMIT_BODY_BYTES          (32u << 20)  /* api.md 1.4: JSON endpoints; 413 above */
#define LIMIT_BODY_WORKER_BYTES   (17u << 20)  /* from a worker: one result of the largest kind */
#define LIMIT_BODY_AGENT_BYTES    (4u << 20)   /* 128 tools and their words take 2 MB */
#define LIMIT_BODY_SMALL_BYTES    (256u << 10) /* metadata, names: 16 pairs, every byte escaped */
#define LIMIT_BODY_VALUES         100000       /* and names; one costs up to 300 bytes: 30 MB */
#define LIMIT_BODY_WORKER_VALUES  25000        /* 1,000 results of two blocks */
#define LIMIT_BODIES_BYTES        (96u << 20)  /* in flight, all together; 503 above */
#define LIMIT_BODIES_KEY_BYTES    (64u << 20)  /* of one API key: two of the largest */
#define LIMIT_BODIES_WORKER_BYTES (32u << 20)  /* of all workers of one environment */
#define LIMIT_BODY_FREE_BYTES     (16u << 10)  /* not counted: heartbeats go on meanwhile */
#define LIMIT_ANSWERS_BYTES       (128u << 20) /* large answers on their way, all together */
#define LIMIT_ANSWERS_OWNER_BYTES (64u << 20)  /* of one credential */
#define LIMIT_PAGE_BYTES          (2u << 20)   /* of a list but for events: it ends early */
#define LIMIT_STREAMS_BYTES       (64u << 20)  /* held for slow readers, all together */
#define LIMIT_STREAMS_OWNER_BYTES (32u << 20)  /* of one credential */
#define LIMIT_HEADER_BYTES        (32u << 10)  /* request line and fields together; 431 above */
#define LIMIT_HEADER_COUNT        128          /* header fields in one request; 431 above */
#define LIMIT_TARGET_BYTES        (16u << 10)  /* request target; 414 above */
#define LIMIT_EVENT_BYTES         (16u << 20)  /* one event as JSON text */
#define LIMIT_SSE_QUEUE_BYTES     (256u << 10) /* of live frames; a slower reader reads the log */
#define LIMIT_LIVE_EVENT_BYTES    (64u << 10)  /* a larger event is read from the log by all */
#define LIMIT_LIVE_EVENTS         64           /* of one commit; more are read from the log */
#define LIMIT_STREAM_PAGE_BYTES   (256u << 10) /* of the log, in memory for one slow reader */
#define LIMIT_TOOL_OUTPUT_BYTES   (100u << 10) /* api.md 13: so much reaches the model */
#define LIMIT_MODEL_STREAM_BYTES  (32u << 20)  /* one model answer, all blocks together */
#define LIMIT_MODEL_CONTEXT_BYTES (32u << 20)  /* events of one model request: the API's maximum */
#define LIMIT_LEDGER_CALLS        4096         /* calls a worker remembers to have begun */
#define LIMIT_LEDGER_BYTES        (64u << 20)  /* results it keeps while the platform is away */
#define LIMIT_YAML_BYTES          (1u << 20)   /* a file: libyaml is quadratic on some input */
#define LIMIT_CAPTURE_NAMES       4096         /* with addresses, of a sandbox: 1.6 MB */
#define LIMIT_CAPTURE_FIXED       1024         /* of those: hosts with doors of their own */
#define LIMIT_CAPTURE_OPEN        16384        /* connections of all sandboxes: 4 files each */
#define LIMIT_CAPTURE_OPEN_ONE    4096         /* of one sandbox, and half of what is free */
#define LIMIT_EDGE_BYTES          (128u << 20) /* held at the edge, of all tunnels; a quarter of one */

#define LIMIT_EXCHANGE_HEAD_MS                                                                     \
    (10 * 60 * 1000) /* until an answer begins: slow models take minutes */
#define LIMIT_EXCHANGE_SILENCE_MS                                                                  \
    (60 * 60 * 1000)                    /* between two bytes: a watch may be quiet as long */
#define LIMIT_EXCHANGE_LOOK_MS     1000 /* while waiting for an origin: is the client still there? */
#define LIMIT_EXCHANGE_CONTINUE_MS 1000 /* for a 100: what clients themselves wait (curl) */
#define LIMIT_EXCHANGE_LINGER_MS                                                                   \
    10000                         /* for the other direction, without a byte, when one is over */
#define LIMIT_EXCHANGE_INTERIM 16 /* heads of 1xx before the answer; 502 above */
#define LIMIT_EXCHANGE_OUT_BYTES                                                                   \
    (129u << 20) /* what one piece may become: INJECT_OUT_MAX, frames */
#define LIMIT_EXCHANGE_BUFFER_BYTES  (32u << 10)  /* of a direction, while bytes flow */
#define LIMIT_EXCHANGE_RESTING_BYTES 2048         /* of a direction that waits */
#define LIMIT_EXCHANGE_DRAIN_MS      1000         /* for the rest of an upload that nobody wants */
#define LIMIT_EXCHANGE_DRAIN_BYTES   (256u << 10) /* of it: a reset would destroy the answer */
