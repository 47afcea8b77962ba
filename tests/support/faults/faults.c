/* Loaded before libc (LD_PRELOAD): tells a test what a disk was asked to keep, and lets syncs fail and the clock step.
 *
 * GRILLE_FAULTS names a directory. Each sync that succeeds is a line "synced <bytes of the file before it> <path>" in
 * `syncs` there, after one "named <path>" for each entry if it is a directory; each that was made to fail is a line
 * "failed <descriptor> <path>". Files in it are switches: while `fail-sync`
 * is there, syncs of what lies below a directory `wal` fail with EIO; `clock` holds seconds that are added to the time
 * of day. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *in_faults(char *path, size_t size, const char *name) {
    const char *dir = getenv("GRILLE_FAULTS");
    if (!dir) return NULL;
    snprintf(path, size, "%s/%s", dir, name);
    return path;
}

static void tell(const char *line, int length) {
    char path[4096];
    if (!in_faults(path, sizeof path, "syncs")) return;
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (log < 0 || write(log, line, length) != length) abort();
    close(log);
}

static int synced(int fd, const char *function) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, function);
    char own[64], file[4096] = "", line[8192], path[4096];
    struct stat before = {0};
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    if (readlink(own, file, sizeof file - 1) < 0) file[0] = 0;
    if (strstr(file, "/wal/") && in_faults(path, sizeof path, "fail-sync") && access(path, F_OK) == 0) {
        tell(line, snprintf(line, sizeof line, "failed %d %s\n", fd, file));
        errno = EIO;
        return -1;
    }
    fstat(fd, &before);
    DIR *entries = S_ISDIR(before.st_mode) && getenv("GRILLE_FAULTS") ? opendir(file) : NULL;
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        tell(line, snprintf(line, sizeof line, "named %s/%s\n", file, entry->d_name));
    if (entries) closedir(entries);
    int result = real(fd);
    if (result == 0) tell(line, snprintf(line, sizeof line, "synced %lld %s\n", (long long)before.st_size, file));
    return result;
}

int fsync(int fd) { return synced(fd, "fsync"); }
int fdatasync(int fd) { return synced(fd, "fdatasync"); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    char path[4096], text[32] = "";
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock != CLOCK_REALTIME || !in_faults(path, sizeof path, "clock")) return result;
    int file = open(path, O_RDONLY);
    if (file >= 0) {
        if (read(file, text, sizeof text - 1) > 0) now->tv_sec += atol(text);
        close(file);
    }
    return result;
}
