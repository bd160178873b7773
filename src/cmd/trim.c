/* trim.c - gives memory back: what only starting up needed, and what a large request leaves.
 *
 * Loading and relocating a library touches its symbol and relocation tables; they stay mapped for
 * the life of the process though no code reads them again. With several processes per machine that
 * adds up. Segments the linker maps without write permission hold nothing but unmodified file
 * pages, so MADV_DONTNEED on them loses nothing: a page that is needed again comes from the page
 * cache. Writable segments, RELRO among them (relocated in place, made read-only later), are left
 * alone: those pages are private copies. */
#include "cmd/trim.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE_BYTES (256 << 10) /* a block from here on is mapped alone and given back when freed */

static int drop_clean_segments(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    uintptr_t page = *(const uintptr_t *)arg;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || (p->p_flags & PF_W))
            continue;
        uintptr_t from = (uintptr_t)(info->dlpi_addr + p->p_vaddr) & ~(page - 1);
        uintptr_t to =
            ((uintptr_t)(info->dlpi_addr + p->p_vaddr) + p->p_memsz + page - 1) & ~(page - 1);
        (void)madvise((void *)from, to - from, MADV_DONTNEED);
    }
    return 0;
}

void trim_after_start(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    /* By itself glibc raises both with the largest block that was ever freed, and keeps up to twice
     * as much: after one body of 32 MB, all later ones would stay. */
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, 4 * LARGE_BYTES);
    (void)malloc_trim(0);
    (void)dl_iterate_phdr(drop_clean_segments, &page);
}
