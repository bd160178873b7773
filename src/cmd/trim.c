/* trim.c - gives back the memory that only starting up needed.
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
    (void)malloc_trim(0);
    (void)dl_iterate_phdr(drop_clean_segments, &page);
}
