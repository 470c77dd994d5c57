// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "sluice/version.h"

int main(void)
{
	printf("sluice %s\n", sl_version());
	return 0;
}
