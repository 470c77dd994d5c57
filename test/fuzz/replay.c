// SPDX-License-Identifier: Apache-2.0
// Feeds every file of a folder of seeds to a fuzz target once, so that any compiler can run them as a test.
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(int dir, const char *name)
{
	struct stat st;
	uint8_t *data;
	ssize_t got;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0) {
		perror(name);
		return -1;
	}
	/* Exactly as large as the input, so that AddressSanitizer sees one byte too many. */
	data = malloc(st.st_size > 0 ? (size_t)st.st_size : 1);
	if (!data) {
		perror(name);
		close(fd);
		return -1;
	}
	got = read(fd, data, (size_t)st.st_size);
	close(fd);
	if (got == st.st_size)
		LLVMFuzzerTestOneInput(data, (size_t)got);
	else
		fprintf(stderr, "%s: short read\n", name);
	free(data);
	return got == st.st_size ? 0 : -1;
}

int main(int argc, char **argv)
{
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	unsigned seeds = 0;
	unsigned failed = 0;

	if (!dir) {
		fprintf(stderr, "usage: %s FOLDER-OF-SEEDS\n", argv[0]);
		return 2;
	}
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		if (entry->d_name[0] == '.')
			continue;
		seeds++;
		if (replay_file(dirfd(dir), entry->d_name) != 0)
			failed++;
	}
	closedir(dir);
	printf("%u seeds, %u unreadable\n", seeds, failed);
	return seeds > 0 && failed == 0 ? 0 : 1;
}
