/* sse_parser - server-sent events in: an incremental parser. Pure. */
#pragma once

#include "base/buf.h"

/* Parser for streams we read (models, our server). Feed bytes; it calls back per event. The callback may
 * suspend: nobody else may feed the parser, or end it, meanwhile, and what it was given stays. A non-zero
 * return stops feeding and is returned. -EMSGSIZE when one event exceeds `max_bytes`. */
struct sse_parser {
    struct buf line, data;
    char event[64], id[256];
    int64_t
        retry_ms; /* what the stream last asked to wait before it is opened again; -1: nothing */
    bool skip_lf, has_data, started;
    int failed; /* sticky: what ended the feeding */
    int (*on_event)(void *arg, const char *event, const char *id, const char *data, size_t n);
    void *arg;
};
void sse_parser_init(struct sse_parser *p, size_t max_bytes,
                     int (*on_event)(void *arg, const char *event, const char *id, const char *data,
                                     size_t n),
                     void *arg);
int sse_parser_feed(struct sse_parser *p, const char *bytes, size_t n);
void sse_parser_done(struct sse_parser *p);
