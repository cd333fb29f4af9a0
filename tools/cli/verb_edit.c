/* define --edit: a definition through the operator's editor, as `virsh edit` does it. */
#include "tools/cli/define.h"
#include "tools/cli/files.h"
#include "tools/cli/json.h"
#include "tools/cli/show.h"
#include "tools/cli/terminal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct edit {
	struct http_session session;
	const struct cli_options *options;
	const char *name;
	char *path;   /* of the draft */
	char *before; /* its text as it was */
	char *match;  /* the header If-Match */
	bool keep;    /* the draft stays: it has work in it that is not on the machine */
};

static bool write_draft(struct edit *edit)
{
	const char *folder = getenv("TMPDIR");
	int fd;

	edit->path = memory_format("%s/hilum-XXXXXX.toml", folder == NULL || *folder == '\0' ? "/tmp" : folder);
	fd = mkostemps(edit->path, 5, 0);
	if (fd < 0 || write(fd, edit->before, strlen(edit->before)) != (ssize_t)strlen(edit->before) || close(fd) != 0) {
		cli_error("%s: %s", edit->path, strerror(errno));
		return false;
	}
	return true;
}

static const char *choose_editor(void)
{
	const char *visual = getenv("VISUAL"), *editor = getenv("EDITOR");

	if (visual != NULL && *visual != '\0')
		return visual;
	return editor != NULL && *editor != '\0' ? editor : "vi";
}

/* $EDITOR may have words of its own, so a shell splits it. */
static bool run_editor(const char *path)
{
	char *command = memory_format("%s \"$1\"", choose_editor());
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		execl("/bin/sh", "sh", "-c", command, "sh", path, (char *)NULL);
		_exit(127);
	}
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (child < 0 || status != 0)
		cli_error("%s did not end well", choose_editor());
	free(command);
	return child > 0 && status == 0;
}

static bool has_one_vm(const struct edit *edit, const struct definitions *definitions)
{
	const char *name = json_text(json_array_get(definitions->vms, 0), "name");

	if (json_array_size(definitions->vms) == 1 && name != NULL && strcmp(name, edit->name) == 0)
		return true;
	cli_error("%s: there must be one VM in it, with the name \"%s\"", edit->path, edit->name);
	return false;
}

/* Reads the draft and sends it. *again: another look at it may help. */
static enum cli_exit send_draft(struct edit *edit, bool *again)
{
	struct definitions definitions = { 0 };
	struct http_reply reply = { 0 };
	enum cli_exit status = CLI_USAGE;
	size_t length;
	int error;
	char *text = files_read(edit->path, DEFINE_FILE_BYTES_MAX, &length, &error);

	*again = true;
	if (text == NULL) {
		cli_error("%s: %s", edit->path, strerror(error));
	} else if (strcmp(text, edit->before) == 0) {
		printf("Domain '%s' not changed\n", edit->name);
		status = CLI_OK;
	} else {
		edit->keep = true;
		if (definition_read(edit->path, text, length, &definitions) && has_one_vm(edit, &definitions)) {
			status = define_send(&edit->session, edit->path, &definitions, 0, edit->match, &reply);
			*again = status == CLI_REFUSED && reply.status == 422;
		}
		if (status == CLI_OK && !edit->options->json)
			printf("Domain '%s' defined%s\n", edit->name,
			       json_flag(reply.json, "change_pending") ? "; it takes effect at its next start" : "");
		else if (status == CLI_OK)
			json_print(reply.json);
		edit->keep = status != CLI_OK;
	}
	http_free(&reply);
	definition_free(&definitions);
	free(text);
	return status;
}

static enum cli_exit edit_draft(struct edit *edit)
{
	enum cli_exit status;
	bool again;

	do {
		if (!run_editor(edit->path))
			return CLI_USAGE;
		status = send_draft(edit, &again);
	} while (status != CLI_OK && again && terminal_is_there() && terminal_confirm("Edit it again (yes, no)? "));
	if (edit->keep)
		fprintf(stderr, "hilum: your text is kept in %s\n", edit->path);
	else
		unlink(edit->path);
	return status;
}

enum cli_exit define_edit(const struct cli_options *options, const char *name)
{
	struct edit edit = { .options = options, .name = name };
	struct http_reply reply = { 0 };
	enum cli_exit status = http_open(&edit.session, options);

	if (status == CLI_OK)
		status = show_fetch_again(&edit.session, http_path("/vms/%s", name), NULL, &reply);
	if (status == CLI_OK) {
		edit.before = definition_format(name, json_object_get(reply.json, "config"));
		edit.match = reply.etag[0] == '\0' ? NULL : memory_format("If-Match: %s", reply.etag);
		status = write_draft(&edit) ? edit_draft(&edit) : CLI_USAGE;
	}
	http_free(&reply);
	free(edit.match);
	free(edit.before);
	free(edit.path);
	http_close(&edit.session);
	return status;
}
