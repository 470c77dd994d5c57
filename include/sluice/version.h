/* public: the version of libsluice, and how its names are exported */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_VERSION_H
#define SLUICE_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

/* Stands before every public declaration: all other names stay inside the library. */
#define SL_API __attribute__((visibility("default")))

/* The version of the library that is running, as "MAJOR.MINOR.PATCH"; static, never NULL. */
SL_API const char *sl_version(void);

#ifdef __cplusplus
}
#endif

#endif
