/* "Did you mean": the known name with the smallest edit distance. */
#include "drivers-vm/control/config_private.h"

#include <string.h>

#define LENGTH_MAX   32u
#define DISTANCE_MAX 2u

static unsigned smaller(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Insertions, deletions, substitutions and swaps of neighbours that turn a into b (optimal string alignment).
 */
static unsigned edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	uint8_t row[3][LENGTH_MAX + 1]; /* distances of prefixes: two rows back, one back, this one */

	for (size_t j = 0; j <= b_length; j++)
		row[1][j] = (uint8_t)j;
	memset(row[0], 0, sizeof(row[0]));
	for (size_t i = 1; i <= a_length; i++) {
		row[2][0] = (uint8_t)i;
		for (size_t j = 1; j <= b_length; j++) {
			unsigned best = row[1][j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u);

			best = smaller(best, row[1][j] + 1u);
			best = smaller(best, row[2][j - 1] + 1u);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = smaller(best, row[0][j - 2] + 1u);
			row[2][j] = (uint8_t)best;
		}
		memcpy(row[0], row[1], sizeof(row[0]));
		memcpy(row[1], row[2], sizeof(row[1]));
	}
	return row[1][b_length];
}

const char *config_suggest_name(struct toml_text key, const char *const *names, unsigned count)
{
	const char *best = NULL;
	unsigned best_distance = DISTANCE_MAX + 1;

	if (key.length > LENGTH_MAX)
		return NULL;
	for (unsigned i = 0; i < count; i++) {
		size_t length = strlen(names[i]);
		unsigned distance = length > LENGTH_MAX ? best_distance : edit_distance(key.bytes, key.length, names[i], length);

		/* A word of which less than half is right is no misspelling. */
		if (distance < best_distance && distance * 2 <= length) {
			best = names[i];
			best_distance = distance;
		}
	}
	return best;
}
