// SPDX-License-Identifier: Apache-2.0
#include "sluice/version.h"

#include "build_config.h"

const char *sl_version(void)
{
	return SLUICE_VERSION;
}
