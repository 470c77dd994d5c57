// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "observe/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is accepted can be written, and reads as the same; and nothing but an id and a flag gets through. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace t, again;
	char text[TRACE_PARENT_BYTES];

	if (trace_parse((struct str){(const char *)data, size}, &t))
		return 0;
	trace_write(&t, text);
	if (memcmp(text + 2, data + 2, 51) != 0)
		abort();
	if (trace_parse((struct str){text, sizeof(text)}, &again) ||
	    memcmp(&t, &again, sizeof(t)) != 0)
		abort();
	return 0;
}
