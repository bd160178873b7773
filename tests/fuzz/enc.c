/* enc.c - fuzzes base/enc: every value has one spelling.
 *
 * Theory of operation: what a decoder accepts must be exactly what the encoder writes for the
 * decoded bytes (but for hex case and optional padding), and encoding then decoding gives the bytes
 * back. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/str.h"

#include <string.h>

#define MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *s = (const char *)data;
    AUTO(buf) bytes = BUF_INIT(MAX), text = BUF_INIT(MAX);
    if (enc_base64_decode(&bytes, s, n) == 0) {
        MUST(enc_base64(&text, bytes.data, bytes.len) == 0);
        MUST(text.len == n && memcmp(buf_str(&text), s, n) == 0);
    }
    buf_reset(&bytes);
    buf_reset(&text);
    if (enc_base64url_decode(&bytes, s, n) == 0) {
        MUST(enc_base64url(&text, bytes.data, bytes.len) == 0);
        MUST(text.len <= n && n - text.len <= 2 && memcmp(buf_str(&text), s, text.len) == 0);
        for (size_t i = text.len; i < n; i++)
            MUST(s[i] == '=');
    }
    AUTO_FREE unsigned char *raw = mem_zalloc(n / 2);
    AUTO_FREE char *hex = mem_zalloc(2 * n + 1);
    if (enc_hex_decode(s, n, raw) == 0) {
        enc_hex(raw, n / 2, hex);
        MUST(str_ieq_n(hex, strlen(hex), s, n));
    }
    buf_reset(&bytes);
    buf_reset(&text);
    MUST(enc_base64(&text, data, n) == 0);
    MUST(enc_base64_decode(&bytes, buf_str(&text), text.len) == 0);
    MUST(bytes.len == n && memcmp(buf_str(&bytes), data, n) == 0);
    return 0;
}
