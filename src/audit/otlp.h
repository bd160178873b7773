/* otlp - lines of the log as LogRecords of OpenTelemetry, in batches: the body of a request of
 * OTLP/HTTP in JSON (opentelemetry-proto: the OTLP specification, "JSON Protobuf Encoding", and
 * logs/v1; names of attributes: OpenTelemetry's semantic conventions where one exists, else
 * sallyport.*). Pure. */
#pragma once

#include "audit/line.h"
#include "base/buf.h"

/* Of one request; collectors take 20 MiB by default. A record is bounded by what a line is. */
#define AUDIT_OTLP_RECORDS_MAX 512
#define AUDIT_OTLP_BYTES_MAX   (1u << 20)
#define AUDIT_OTLP_RECORD_MAX  (16u << 10)

struct audit_otlp {
    struct buf body;
    size_t records, max_records;
    size_t head; /* bytes before the first record */
};

/* An empty batch. `host`: the name of this machine, or NULL. `max_records`: 1 to
 * AUDIT_OTLP_RECORDS_MAX. */
void audit_otlp_init(struct audit_otlp *b, const char *host, size_t max_records);
void audit_otlp_done(struct audit_otlp *b); /* zeroed and NULL are fine */
/* Empty again. */
void audit_otlp_reset(struct audit_otlp *b);
/* Whether another record could be too much. Then none may be added. */
bool audit_otlp_full(const struct audit_otlp *b);

/* Adds one. `chain`: the chain behind the line, so that each record is a head that `audit verify
 * --expect` takes; `fits`: the line fits the one before, else it is an error that says so. */
void audit_otlp_add(struct audit_otlp *b, const struct audit_line *l,
                    const unsigned char chain[AUDIT_HASH_BYTES], bool fits);
/* Adds a record that tells of a line that cannot be read: where it is, and why; never what is in it. */
void audit_otlp_add_damaged(struct audit_otlp *b, const char *file, uint64_t line, const char *why,
                            int64_t now_us);
/* The body with all that was added, NUL-terminated; borrowed, until the batch is touched again. At
 * least one record was added. NULL when memory was short. */
const char *audit_otlp_body(struct audit_otlp *b, size_t *ret_n);
