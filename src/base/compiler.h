/* internal: compiler hints and the few macros that every room uses. */
#ifndef SLUICE_BASE_COMPILER_H
#define SLUICE_BASE_COMPILER_H

#include <stddef.h>
#include <stdint.h>

#define SL_LIKELY(x) __builtin_expect(!!(x), 1)
#define SL_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define SL_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define SL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define SL_COLD __attribute__((cold, noinline))

/* The struct that holds `member` at `ptr`. */
#define SL_CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define SL_MIN(a, b) ((a) < (b) ? (a) : (b))
#define SL_MAX(a, b) ((a) > (b) ? (a) : (b))

/* 1 when built with AddressSanitizer, else 0. */
#if defined(__SANITIZE_ADDRESS__)
#define SL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SL_ASAN 1
#endif
#endif
#ifndef SL_ASAN
#define SL_ASAN 0
#endif

#endif
