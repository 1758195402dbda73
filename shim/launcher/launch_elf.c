/* SPDX-License-Identifier: MIT */
/* launch_elf.c - can a program be preloaded? See launch.h. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "shim/launcher/launch.h"

#if UINTPTR_MAX == UINT32_MAX
#define OWN_CLASS ELFCLASS32
#else
#define OWN_CLASS ELFCLASS64
#endif

#define INTERPRETERS_MAX 5 /* the kernel follows no more "#!" lines */

/* A mapped file; every read is checked against its length. */
struct image {
    const uint8_t *bytes;
    size_t len;
};

static bool image_open(struct image *image, const char *path) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *mem = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        mem = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        close(fd);
    if (mem == MAP_FAILED)
        return false;
    image->bytes = mem;
    image->len = (size_t)st.st_size;
    return true;
}

static void image_close(struct image *image) {
    munmap((void *)(uintptr_t)image->bytes, image->len);
}

/* Copies a structure from the file; false if it extends beyond the end. */
static bool image_get(const struct image *image, uint64_t offset, void *out, size_t len) {
    if (offset > image->len || len > image->len - offset)
        return false;
    memcpy(out, image->bytes + offset, len);
    return true;
}

/* A terminated string inside the file, or NULL. */
static const char *image_string(const struct image *image, uint64_t offset) {
    if (offset >= image->len || !memchr(image->bytes + offset, '\0', image->len - offset))
        return NULL;
    return (const char *)image->bytes + offset;
}

static bool program_header(const struct image *image, const Elf64_Ehdr *elf, unsigned i,
                           Elf64_Phdr *header) {
    return i < elf->e_phnum &&
           image_get(image, elf->e_phoff + (uint64_t)i * elf->e_phentsize, header, sizeof *header);
}

/* The file offset of a virtual address; 0 if it is in no segment. */
static uint64_t file_offset(const struct image *image, const Elf64_Ehdr *elf, uint64_t address) {
    Elf64_Phdr header;
    for (unsigned i = 0; program_header(image, elf, i, &header); i++)
        if (header.p_type == PT_LOAD && address >= header.p_vaddr &&
            address - header.p_vaddr < header.p_filesz)
            return header.p_offset + (address - header.p_vaddr);
    return 0;
}

static uint64_t dynamic_value(const struct image *image, const Elf64_Phdr *dynamic, int64_t tag,
                              unsigned nth) {
    Elf64_Dyn entry;
    for (uint64_t at = 0; at + sizeof entry <= dynamic->p_filesz; at += sizeof entry) {
        if (!image_get(image, dynamic->p_offset + at, &entry, sizeof entry) ||
            entry.d_tag == DT_NULL)
            return UINT64_MAX;
        if (entry.d_tag == tag && nth-- == 0)
            return entry.d_un.d_val;
    }
    return UINT64_MAX;
}

/* Does it need any shared library? If so, it is assumed to load a libc, directly or through that
 * library; only a program that needs none surely has no libc. */
static bool needs_libraries(const struct image *image, const Elf64_Ehdr *elf,
                            const Elf64_Phdr *dynamic) {
    uint64_t strings = dynamic_value(image, dynamic, DT_STRTAB, 0);
    uint64_t needed = dynamic_value(image, dynamic, DT_NEEDED, 0);
    if (strings == UINT64_MAX || needed == UINT64_MAX)
        return false;
    return image_string(image, file_offset(image, elf, strings) + needed) != NULL;
}

static uint64_t padded(uint64_t size) {
    return (size + 3) & ~UINT64_C(3);
}

/* Where in the file the text of the first note with this name begins, which has `size` bytes, in a
 * part of the file that consists of notes; 0 if there is none. */
static uint64_t find_note(const struct image *image, uint64_t at, uint64_t len, const char *wanted,
                          size_t size) {
    Elf64_Nhdr note;
    char name[16];
    uint64_t end = at + len;
    while (at + sizeof note <= end && image_get(image, at, &note, sizeof note)) {
        at += sizeof note;
        if (note.n_namesz == size && image_get(image, at, name, size) &&
            memcmp(name, wanted, size) == 0)
            return at + padded(size);
        at += padded(note.n_namesz) + padded(note.n_descsz);
    }
    return 0;
}

/* Go's linker writes its build id into a note, even in stripped and dynamically linked programs. */
static bool has_go_note(const struct image *image, const Elf64_Phdr *segment) {
    return find_note(image, segment->p_offset, segment->p_filesz, "Go\0", 4) != 0;
}

/* Is the program's interpreter musl's loader? */
static bool is_musl(const struct image *image, const Elf64_Phdr *interpreter) {
    const char *path = image_string(image, interpreter->p_offset);
    return path && strstr(path, "/ld-musl");
}

static bool own_libc_is_musl(void) {
#ifdef __GLIBC__
    return false;
#else
    return true;
#endif
}

static enum launch_preload check_elf64(const struct image *image) {
    Elf64_Ehdr elf;
    Elf64_Phdr header, dynamic = {0}, interpreter = {0};
    bool has_dynamic = false, is_go = false;
    if (!image_get(image, 0, &elf, sizeof elf))
        return LAUNCH_UNKNOWN;
    for (unsigned i = 0; program_header(image, &elf, i, &header); i++) {
        if (header.p_type == PT_INTERP)
            interpreter = header;
        is_go |= header.p_type == PT_NOTE && has_go_note(image, &header);
        if (header.p_type == PT_DYNAMIC) {
            has_dynamic = true;
            dynamic = header;
        }
    }
    if (is_go)
        return LAUNCH_GO;
    if (interpreter.p_type != PT_INTERP)
        return LAUNCH_STATIC;
    if (!has_dynamic || !needs_libraries(image, &elf, &dynamic))
        return LAUNCH_NO_LIBC;
    return is_musl(image, &interpreter) == own_libc_is_musl() ? LAUNCH_PRELOADABLE
                                                              : LAUNCH_OTHER_LIBC;
}

static uint16_t own_machine(void) {
    struct image image;
    Elf64_Ehdr elf = {0};
    if (image_open(&image, "/proc/self/exe")) {
        image_get(&image, 0, &elf, sizeof elf);
        image_close(&image);
    }
    return elf.e_machine;
}

/* Does the file at `path` have the class and machine of the program's ELF header? */
static bool is_of_class(const char *path, const void *program) {
    const Elf64_Ehdr *elf = program; /* e_machine has the same offset in both classes */
    struct image image;
    Elf64_Ehdr library = {0};
    if (!image_open(&image, path))
        return false;
    bool same = image_get(&image, 0, &library, sizeof(Elf32_Ehdr)) &&
                library.e_ident[EI_CLASS] == elf->e_ident[EI_CLASS] &&
                library.e_machine == elf->e_machine;
    image_close(&image);
    return same;
}

static enum launch_preload check_elf(const struct image *image, const char *library) {
    Elf64_Ehdr elf = {0};
    if (!image_get(image, 0, &elf, sizeof(Elf32_Ehdr)))
        return LAUNCH_UNKNOWN;
    if (elf.e_ident[EI_CLASS] != OWN_CLASS || elf.e_machine != own_machine())
        return launch_library_is_for(library, is_of_class, &elf) ? LAUNCH_UNKNOWN
                                                                 : LAUNCH_OTHER_CLASS;
    return OWN_CLASS == ELFCLASS64 ? check_elf64(image) : LAUNCH_UNKNOWN;
}

static bool version_in(const struct image *image, uint64_t at, uint64_t len,
                       char version[VERSION_NOTE_TEXT_SIZE]) {
    uint64_t text = find_note(image, at, len, VERSION_NOTE_NAME, sizeof VERSION_NOTE_NAME);
    return text && image_get(image, text, version, VERSION_NOTE_TEXT_SIZE) &&
           memchr(version, '\0', VERSION_NOTE_TEXT_SIZE);
}

bool launch_library_version(const char *path, char version[VERSION_NOTE_TEXT_SIZE]) {
    struct image image;
    Elf64_Ehdr elf;
    Elf64_Phdr header;
    bool found = false;
    if (!image_open(&image, path))
        return false;
    if (image_get(&image, 0, &elf, sizeof elf) && elf.e_ident[EI_CLASS] == ELFCLASS64)
        for (unsigned i = 0; !found && program_header(&image, &elf, i, &header); i++)
            found = header.p_type == PT_NOTE &&
                    version_in(&image, header.p_offset, header.p_filesz, version);
    image_close(&image);
    return found;
}

/* The loader ignores LD_PRELOAD if exec raises privileges, but not if the caller already has
 * them. */
static bool raises_privileges(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    if (st.st_mode & S_ISUID && st.st_uid != geteuid())
        return true;
    if (st.st_mode & S_ISGID && st.st_mode & S_IXGRP && st.st_gid != getegid())
        return true;
    return geteuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0;
}

/* The interpreter in a "#!" line; for "#!/usr/bin/env NAME", the program that env runs. */
static bool script_interpreter(const struct image *image, char *out, size_t size) {
    char line[PATH_MAX], *save = NULL;
    size_t len = image->len - 2 < sizeof line - 1 ? image->len - 2 : sizeof line - 1;
    memcpy(line, image->bytes + 2, len);
    line[len] = '\0';
    line[strcspn(line, "\n")] = '\0';
    char *program = strtok_r(line, " \t", &save);
    if (!program)
        return false;
    const char *base = strrchr(program, '/');
    char *argument = strtok_r(NULL, " \t", &save);
    if (argument && strcmp(argument, "-S") == 0)
        argument = strtok_r(NULL, " \t", &save);
    if (base && strcmp(base, "/env") == 0 && argument && !strchr(argument, '='))
        return launch_find_program(argument, out, size);
    return (size_t)snprintf(out, size, "%s", program) < size;
}

struct launch_check launch_check_program(const char *path, const char *library) {
    struct launch_check check = {.verdict = LAUNCH_UNKNOWN};
    struct image image;
    snprintf(check.file, sizeof check.file, "%s", path);
    for (int depth = 0; depth < INTERPRETERS_MAX; depth++) {
        if (raises_privileges(check.file)) {
            check.verdict = LAUNCH_SECURE;
            return check;
        }
        if (!image_open(&image, check.file))
            return check;
        bool script = image.len > 2 && memcmp(image.bytes, "#!", 2) == 0;
        bool follow = script && script_interpreter(&image, check.file, sizeof check.file);
        if (!script && image.len > SELFMAG && memcmp(image.bytes, ELFMAG, SELFMAG) == 0)
            check.verdict = check_elf(&image, library);
        image_close(&image);
        if (!follow)
            return check;
    }
    return check;
}

bool launch_check_is_for_trap(enum launch_preload verdict) {
    return verdict == LAUNCH_GO || verdict == LAUNCH_STATIC || verdict == LAUNCH_NO_LIBC ||
           verdict == LAUNCH_OTHER_LIBC;
}

const char *launch_check_advice(enum launch_preload verdict) {
    switch (verdict) {
    case LAUNCH_GO:
        return "it is a Go program, which makes its system calls without libc, so its connections "
               "go direct: run it with `smuxshim --mode trap`, or, if it takes a proxy command, "
               "give it `smuxctl connect HOST PORT`";
    case LAUNCH_STATIC:
        return "it is statically linked, so its connections go direct: run it with `smuxshim "
               "--mode trap`, or, if it takes a proxy command, give it `smuxctl connect HOST PORT`";
    case LAUNCH_NO_LIBC:
        return "it makes its system calls without libc, so its connections go direct: run it with "
               "`smuxshim --mode trap`, or, if it takes a proxy command, give it `smuxctl connect "
               "HOST PORT`";
    case LAUNCH_OTHER_CLASS:
        return "it is for another machine or word size than libsmuxshim.so, so its connections go "
               "direct: use a smuxshim that was built for it";
    case LAUNCH_OTHER_LIBC:
        return "it uses another libc than libsmuxshim.so (musl or glibc), so nothing is preloaded "
               "and its connections go direct: use a smuxshim that was built for it, or run it "
               "with "
               "`smuxshim --mode trap`";
    case LAUNCH_SECURE:
        return "it raises its privileges (setuid, setgid or file capabilities), so the loader "
               "ignores "
               "LD_PRELOAD and its connections go direct: run smuxshim as the user it becomes";
    default:
        return NULL;
    }
}
