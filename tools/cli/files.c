#include "tools/cli/files.h"
#include "tools/cli/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES 65536

char *files_path(const char *name)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (config != NULL && config[0] == '/')
		return memory_format("%s/hilum/%s", config, name);
	if (home != NULL && home[0] == '/')
		return memory_format("%s/.config/hilum/%s", home, name);
	cli_error("HOME is not set: there is no place for ~/.config/hilum/%s", name);
	return NULL;
}

char *files_read(const char *path, size_t most, size_t *length, int *error)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	struct memory_buffer buffer = { 0 };
	static char chunk[CHUNK_BYTES];
	size_t count = 0;

	if (file == NULL) {
		*error = errno;
		return NULL;
	}
	*error = 0;
	do {
		if (!memory_append(&buffer, chunk, count, most))
			*error = EFBIG;
		errno = 0;
		count = fread(chunk, 1, sizeof(chunk), file);
	} while (count != 0 && *error == 0);
	if (ferror(file))
		*error = errno != 0 ? errno : EIO;
	if (file != stdin)
		fclose(file);
	if (*error != 0) {
		free(buffer.bytes);
		return NULL;
	}
	*length = buffer.length;
	return buffer.bytes;
}

/* mkdir -p for the folder that `path` is in. */
static bool make_folder(const char *path)
{
	char *folder = memory_copy_string(path);
	bool made = true;

	for (char *slash = strchr(folder + 1, '/'); slash != NULL && made; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		made = mkdir(folder, 0700) == 0 || errno == EEXIST;
		if (!made)
			cli_error("%s: %s", folder, strerror(errno));
		*slash = '/';
	}
	free(folder);
	return made;
}

static bool write_all(int fd, const char *text, size_t length)
{
	while (length != 0) {
		ssize_t written = write(fd, text, length);

		if (written < 0 && errno != EINTR)
			return false;
		if (written > 0) {
			text += written;
			length -= (size_t)written;
		}
	}
	return true;
}

bool files_write_private(const char *path, const char *text, size_t length)
{
	char *draft = memory_format("%s.XXXXXX", path);
	bool written = false;
	int fd;

	if (make_folder(path)) {
		fd = mkostemp(draft, O_CLOEXEC); /* mode 0600 */
		written = fd >= 0 && write_all(fd, text, length) && fsync(fd) == 0;
		if (fd >= 0)
			written = close(fd) == 0 && written;
		written = written && rename(draft, path) == 0;
		if (!written) {
			cli_error("%s: %s", path, strerror(errno));
			if (fd >= 0)
				unlink(draft);
		}
	}
	free(draft);
	return written;
}

bool files_append_private(const char *path, const char *line)
{
	bool written = false;
	int fd;

	if (!make_folder(path))
		return false;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0) {
		written = write_all(fd, line, strlen(line));
		written = close(fd) == 0 && written;
	}
	if (!written)
		cli_error("%s: %s", path, strerror(errno));
	return written;
}

bool files_is_public(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0;
}
