/* SPDX-License-Identifier: Apache-2.0 */
/* A wall clock that is wrong: adds the seconds in the first 8 bytes of the file $WALL_CLOCK_OFFSET_FILE to every reading
 * of the real-time clock, whenever they change. The monotonic clock is left alone, as by a real step. LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define LATER_THAN_ANY_UPTIME 1000000000L

static volatile const long long *offset;

__attribute__((constructor)) static void map_offset(void) {
    const char *name = getenv("WALL_CLOCK_OFFSET_FILE");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *memory = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED) offset = memory;
    close(file);
}

static long long wrong_by(void) { return offset ? *offset : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += wrong_by();
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    (void)zone;
    struct timespec precise;
    int result = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return result;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

/* The kernel waits by the true clock: deadlines that a program computed from the wrong one are put right. Those of the
 * monotonic clock are left alone; they can be told by their size. */
static struct timespec right(const struct timespec *deadline) {
    struct timespec result = *deadline;
    if (result.tv_sec > LATER_THAN_ANY_UPTIME) result.tv_sec -= wrong_by();
    return result;
}

#define REAL(type) \
    static type real; \
    if (!real) real = (type)dlsym(RTLD_NEXT, __func__)

typedef int (*condition_wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
typedef int (*mutex_wait)(pthread_mutex_t *, const struct timespec *);
typedef int (*semaphore_wait)(sem_t *, const struct timespec *);

static int is_past(const struct timespec *deadline) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    return now.tv_sec > deadline->tv_sec || (now.tv_sec == deadline->tv_sec && now.tv_nsec >= deadline->tv_nsec);
}

/* A wait that a step back falls into goes on for that much longer, as the kernel has it. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *deadline) {
    REAL(condition_wait);
    int result;
    struct timespec until = right(deadline);
    do {
        result = real(condition, mutex, &until);
        until = right(deadline);
    } while (result == ETIMEDOUT && deadline->tv_sec > LATER_THAN_ANY_UPTIME && !is_past(&until));
    return result;
}

int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *deadline) {
    REAL(mutex_wait);
    struct timespec until = right(deadline);
    return real(mutex, &until);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *deadline) {
    REAL(semaphore_wait);
    struct timespec until = right(deadline);
    return real(semaphore, &until);
}
