/* image_layout.c - fuzzes worker/image_layout: an archive gives a plan whose parts hold, or words.
 *
 * Theory of operation: one input is a list of members in a light notation, made into a tar here, so
 * that mutation works on names and JSON and not on headers: NAME NUL CONTENT NUL, again and again.
 * A name that begins with ">" is a symbolic link to its content. A content of "@" and a name is
 * replaced by that member's digest where it stands in a document ("sha256:@"), which would
 * otherwise never be right: every "@@" of a content becomes the digest of the first member. */
#include "fuzz.h"
#include "base/buf.h"
#include "base/err.h"
#include "image/layout.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void add_member(struct buf *tar, const char *name, const void *p, size_t n)
{
    char h[512] = "";
    bool link = name[0] == '>';
    static const char zeros[512];
    snprintf(h, 100, "%s", link ? name + 1 : name);
    snprintf(h + 100, 8, "%07o", 0644u);
    snprintf(h + 124, 12, "%011o", link ? 0u : (unsigned)n);
    h[156] = link ? '2' : '0';
    if (link)
        memcpy(h + 157, p, n < 99 ? n : 99);
    memcpy(h + 257, "ustar\00000", 8);
    memset(h + 148, ' ', 8);
    unsigned sum = 0;
    for (size_t i = 0; i < 512; i++)
        sum += (unsigned char)h[i];
    char text[8];
    snprintf(text, sizeof(text), "%06o", sum & 0777777u);
    memcpy(h + 148, text, 7);
    buf_add(tar, h, sizeof(h));
    if (link)
        return;
    buf_add(tar, p, n);
    buf_add(tar, zeros, (512 - n % 512) % 512);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO(buf) tar = BUF_INIT(8u << 20);
    AUTO(buf) content = BUF_INIT(1u << 20);
    char digest[DIGEST_SHA256_HEX] = "";
    const char *p = (const char *)data, *end = p + n;
    while (p < end) {
        const char *nul = memchr(p, '\0', (size_t)(end - p));
        const char *body = nul ? nul + 1 : end;
        const char *stop = body < end ? memchr(body, '\0', (size_t)(end - body)) : NULL;
        size_t len = (size_t)((stop ? stop : end) - body);
        buf_reset(&content);
        for (size_t i = 0; i < len; i++)
            if (digest[0] && i + 1 < len && body[i] == '@' && body[i + 1] == '@') {
                buf_adds(&content, digest);
                i++;
            } else {
                buf_addc(&content, body[i]);
            }
        AUTO_FREE char *name = mem_strndup(p, (size_t)((nul ? nul : end) - p));
        if (!digest[0]) {
            digest_sha256_hex(content.data, content.len, digest);
            AUTO_FREE char *blob = mem_printf("blobs/sha256/%s", digest);
            add_member(&tar, blob, buf_str(&content), content.len);
        }
        add_member(&tar, name, buf_str(&content), content.len);
        p = stop ? stop + 1 : end;
    }
    static const char zeros[1024];
    buf_add(&tar, zeros, sizeof(zeros));
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    MUST(fd >= 0 && write(fd, tar.data, tar.len) == (ssize_t)tar.len);
    for (int f = IMAGE_FORMAT_AUTO; f <= IMAGE_FORMAT_ROOTFS; f++) {
        struct image_choice choice = {.format = (enum image_format)f, .architecture = "amd64"};
        struct image_plan plan;
        struct err e = {0};
        int r = image_layout_read(fd, &choice, &plan, &e);
        if (r < 0) {
            MUST(e.code == r && e.msg[0]);
            continue;
        }
        for (size_t i = 0; i < plan.n_layers; i++)
            MUST(plan.layers[i].at >= 0 && plan.layers[i].at < (int64_t)tar.len);
        MUST(json_is_array(plan.env) && (!plan.workdir || plan.workdir[0] == '/'));
        image_plan_done(&plan);
    }
    close(fd);
    return 0;
}
