#include "tools/cli/table.h"
#include "tools/cli/memory.h"
#include "tools/cli/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PAIR_KEY_COLUMNS 16
#define GAP_COLUMNS      3

void table_init(struct table *table, const char *const *titles)
{
	*table = (struct table){ 0 };
	while (table->columns < TABLE_COLUMNS_MAX && titles[table->columns] != NULL) {
		table->titles[table->columns] = titles[table->columns];
		table->columns++;
	}
}

void table_add_row(struct table *table, const char *const *cells)
{
	if (table->rows == table->capacity) {
		table->capacity = table->capacity * 2 + 16;
		table->cells = memory_resize(table->cells, sizeof(char *) * table->columns * table->capacity);
	}
	for (unsigned i = 0; i < table->columns; i++) {
		const char *cell = cells[i] == NULL || cells[i][0] == '\0' ? "-" : cells[i];

		table->cells[table->rows * table->columns + i] = text_safe(cell, strlen(cell), false);
	}
	table->rows++;
}

static void print_cell(FILE *to, const char *text, size_t width, bool right, bool last)
{
	int padding = (int)(width - text_width(text));

	if (right)
		fprintf(to, "%*s%s", padding, "", text);
	else
		fprintf(to, "%s%*s", text, last ? 0 : padding, "");
	fprintf(to, "%*s", last ? 0 : GAP_COLUMNS, "");
}

static void print_row(const struct table *table, FILE *to, const char *const *cells, const size_t *widths)
{
	fputc(' ', to);
	for (unsigned i = 0; i < table->columns; i++) {
		bool right = table->titles[i][0] == '>';
		const char *text = cells == table->titles && right ? cells[i] + 1 : cells[i];

		print_cell(to, text, widths[i], right, i + 1 == table->columns);
	}
	fputc('\n', to);
}

void table_print(const struct table *table, FILE *to)
{
	size_t widths[TABLE_COLUMNS_MAX] = { 0 };
	size_t total = 1;

	for (unsigned i = 0; i < table->columns; i++) {
		widths[i] = text_width(table->titles[i]) - (table->titles[i][0] == '>');
		for (unsigned row = 0; row < table->rows; row++) {
			size_t width = text_width(table->cells[row * table->columns + i]);

			widths[i] = width > widths[i] ? width : widths[i];
		}
		total += widths[i] + GAP_COLUMNS;
	}
	print_row(table, to, table->titles, widths);
	for (size_t i = 0; i + 1 < total; i++)
		fputc('-', to);
	fputc('\n', to);
	for (unsigned row = 0; row < table->rows; row++)
		print_row(table, to, (const char *const *)table->cells + row * table->columns, widths);
}

void table_free(struct table *table)
{
	for (unsigned i = 0; i < table->rows * table->columns; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct table){ 0 };
}

void table_print_pair(FILE *to, const char *key, const char *format, ...)
{
	char *text, *safe;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		memory_exhausted();
	va_end(arguments);
	safe = text_safe(text, strlen(text), false);
	fprintf(to, "%s:%*s%s\n", key, (int)strlen(key) + 1 >= PAIR_KEY_COLUMNS ? 1 : PAIR_KEY_COLUMNS - (int)strlen(key) - 1, "", safe);
	free(safe);
	free(text);
}
