/* Tables and lists of key and value, laid out as virsh does. Cells are made safe for terminals here. */
#ifndef TOOLS_CLI_TABLE_H
#define TOOLS_CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 12

struct table {
	unsigned columns, rows, capacity;
	const char *titles[TABLE_COLUMNS_MAX];
	char **cells; /* rows * columns */
};

/* `titles` ends with NULL; a title that begins with '>' is of a column of numbers, which is set to the right. */
void table_init(struct table *table, const char *const *titles);
/* As many strings as there are columns; NULL stands for "-". They are copied. */
void table_add_row(struct table *table, const char *const *cells);
/* Titles, a line, and the rows. */
void table_print(const struct table *table, FILE *to);
void table_free(struct table *table);

/* "Name:           value". */
void table_print_pair(FILE *to, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
