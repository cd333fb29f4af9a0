/* upload and images: what `kernel`, `initrd` and `module` of a definition name. */
#include "tools/cli/json.h"
#include "tools/cli/progress.h"
#include "tools/cli/show.h"
#include "tools/cli/table.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void print_images(const json_t *images)
{
	struct table table;
	const json_t *image;
	size_t i;

	table_init(&table, (const char *const[]){ "Name", ">Size", "Source", "State", ">VMs", NULL });
	json_array_foreach(images, i, image)
	{
		char size[24], users[32];

		text_format_bytes(size, sizeof(size), json_number(image, "bytes"));
		snprintf(users, sizeof(users), "%" PRIu64, json_number(image, "users"));
		table_add_row(&table, (const char *[]){ json_text(image, "name"), size, json_text(image, "source"),
		                                        json_flag(image, "complete") ? "complete" : "uploading", users });
	}
	table_print(&table, stdout);
	table_free(&table);
}

static enum cli_exit delete_image(const struct cli_options *options)
{
	char *path = http_path("/images/%s", options->name), *failure = memory_format("Failed to remove image '%s'", options->name);
	const struct http_request request = { .method = "DELETE", .path = path };
	struct http_session session;
	struct http_reply reply = { 0 };
	enum cli_exit status = http_open(&session, options);

	if (status == CLI_OK)
		status = http_call(&session, &request, failure, &reply);
	if (status == CLI_OK)
		options->json ? (void)puts("{}") : (void)printf("Image '%s' removed\n", options->name);
	http_free(&reply);
	http_close(&session);
	free(failure);
	free(path);
	return status;
}

static enum cli_exit run_images(const struct cli_options *options, char **operands, int count)
{
	struct http_reply reply;
	enum cli_exit status;

	(void)operands, (void)count;
	if (options->name != NULL)
		return delete_image(options);
	status = show_fetch(options, http_path("/images"), NULL, &reply);
	if (status == CLI_OK && options->json)
		json_print(reply.json);
	else if (status == CLI_OK)
		print_images(json_object_get(reply.json, "images"));
	http_free(&reply);
	return status;
}

const struct verb verb_images = {
	.name = "images",
	.operands = "",
	.summary = "List boot modules and uploads, or remove one",
	.help = "Definitions name their kernel, initrd and RAM disks by these names. Uploads are lost when the machine restarts.\n"
		"\nExamples:\n"
		"  hilum images\n"
		"  hilum images --delete test.cpio.gz\n",
	.options = "delete",
	.run = run_images,
};

/* Opens a regular file; what is none has no size to announce. */
static FILE *open_image(const char *path, int64_t *bytes)
{
	FILE *file = fopen(path, "rb");
	struct stat status;

	if (file == NULL || fstat(fileno(file), &status) != 0) {
		cli_error("%s: %s", path, strerror(errno));
	} else if (!S_ISREG(status.st_mode)) {
		cli_error("%s is no regular file", path);
	} else {
		*bytes = status.st_size;
		return file;
	}
	if (file != NULL)
		fclose(file);
	return NULL;
}

static enum cli_exit send_image(const struct cli_options *options, FILE *file, int64_t bytes, const char *name)
{
	struct progress progress;
	struct http_upload upload = { .file = file, .bytes = bytes, .progress = progress_show, .ctx = &progress };
	char *path = http_path("/images/%s", name), *failure = memory_format("Failed to upload image '%s'", name), size[24];
	const struct http_request request = { .method = "PUT", .path = path, .upload = &upload };
	struct http_session session;
	struct http_reply reply = { 0 };
	enum cli_exit status = http_open(&session, options);

	progress_begin(&progress, name);
	if (status == CLI_OK)
		status = http_send(&session, &request, &reply);
	progress_end(&progress);
	if (status == CLI_OK)
		status = http_judge(&reply, failure);
	text_format_bytes(size, sizeof(size), (uint64_t)bytes);
	if (status == CLI_OK && options->json)
		json_print(reply.json);
	else if (status == CLI_OK)
		printf("Image '%s' uploaded (%s)\n", name, size);
	http_free(&reply);
	http_close(&session);
	free(failure);
	free(path);
	return status;
}

static enum cli_exit run_upload(const struct cli_options *options, char **operands, int count)
{
	const char *slash = strrchr(operands[0], '/'), *name = count > 1 ? operands[1] : slash != NULL ? slash + 1 : operands[0];
	int64_t bytes;
	FILE *file = open_image(operands[0], &bytes);
	enum cli_exit status;

	if (file == NULL)
		return CLI_USAGE;
	status = send_image(options, file, bytes, name);
	fclose(file);
	return status;
}

const struct verb verb_upload = {
	.name = "upload",
	.operands = "FILE [NAME]",
	.summary = "Upload a kernel, an initrd or a disk into the machine's memory",
	.help = "NAME is what definitions call it; else it is the file's own. An upload of the same name is replaced when this one is "
		"complete; VMs that\n"
		"run keep the old one. Uploads are lost when the machine restarts.\n"
		"\nExamples:\n"
		"  hilum upload /boot/vmlinuz-6.1.0-40-cloud-amd64 vmlinuz-test\n"
		"  hilum upload test.cpio.gz\n",
	.options = "",
	.least = 1,
	.most = 2,
	.run = run_upload,
};
