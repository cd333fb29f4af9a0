/*
 * Text on an EGA text screen or a linear framebuffer, light on black. Behind the last line it goes on with the first, and the line
 * after the newest is empty: a line costs what it is long, where scrolling would draw the whole screen anew. A copy of what is shown
 * is kept in `cells`, so that only what differs is drawn and the (slow) screen memory is never read.
 */
#include "arch/x86_64/log_sink.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/string.h"

#define CELL_WIDTH  8u
#define CELL_HEIGHT 16u
#define COLUMNS_MAX 128u
#define ROWS_MAX    48u
#define EGA_GREY    0x0700u

static struct {
	struct boot_screen mode;
	uint8_t *fb;  /* NULL: no screen */
	uint64_t cr3; /* the tables in which fb is that */
	uint32_t columns, rows, x, y;
	char cells[ROWS_MAX][COLUMNS_MAX];
} screen;

/* A row of the glyph is drawn on two lines, from line 1 of the cell on; five pixels from pixel 1 on. */
static void draw_rgb(uint32_t column, uint32_t row, char c)
{
	uint64_t glyph = log_font[(uint8_t)c - FONT_FIRST];
	uint32_t pixel_bytes = screen.mode.bits_per_pixel / 8;
	uint8_t *line = screen.fb + (uint64_t)row * CELL_HEIGHT * screen.mode.pitch_bytes + (uint64_t)column * CELL_WIDTH * pixel_bytes;

	for (uint32_t y = 0; y < CELL_HEIGHT; y++, line += screen.mode.pitch_bytes) {
		uint32_t glyph_row = (y - 1) / 2; /* huge for y = 0 */
		uint32_t bits = glyph_row < FONT_ROWS ? (glyph >> 5 * (FONT_ROWS - 1 - glyph_row) & 0x1F) << 2 : 0;

		for (uint32_t x = 0; x < CELL_WIDTH; x++) {
			uint32_t value = bits & (0x80u >> x) ? 0xFFFFFFFFu : 0;

			for (uint32_t b = 0; b < pixel_bytes; b++)
				((volatile uint8_t *)line)[x * pixel_bytes + b] = (uint8_t)value;
		}
	}
}

static void draw(uint32_t column, uint32_t row, char c)
{
	if (screen.cells[row][column] == c)
		return;
	screen.cells[row][column] = c;
	if (screen.mode.type == BOOT_SCREEN_RGB)
		draw_rgb(column, row, c);
	else
		*(volatile uint16_t *)(screen.fb + row * screen.mode.pitch_bytes + column * 2) = EGA_GREY | (uint8_t)c;
}

static void clear(uint32_t row)
{
	for (uint32_t column = 0; column < screen.columns; column++)
		draw(column, row % screen.rows, ' ');
}

void log_init_screen(const struct boot_screen *mode, void *fb)
{
	bool rgb = mode->type == BOOT_SCREEN_RGB;
	uint32_t columns = rgb ? mode->width / CELL_WIDTH : mode->width;
	uint32_t rows = rgb ? mode->height / CELL_HEIGHT : mode->height;
	bool again = fb && screen.fb; /* the final tables' address of the same screen: keep what it shows */

	screen.fb = columns && rows ? fb : NULL;
	screen.cr3 = cpu_read_cr3();
	if (!screen.fb || again)
		return;
	screen.mode = *mode;
	screen.columns = columns < COLUMNS_MAX ? columns : COLUMNS_MAX;
	screen.rows = rows < ROWS_MAX ? rows : ROWS_MAX;
	screen.x = 0;
	screen.y = 0;
	memset(screen.cells, 0, sizeof(screen.cells));
	for (uint32_t row = 0; row < screen.rows; row++)
		clear(row);
}

static void new_line(void)
{
	screen.x = 0;
	screen.y = (screen.y + 1) % screen.rows;
	clear(screen.y);
	clear(screen.y + 1);
}

void log_screen_put(char c)
{
	if (!screen.fb || screen.cr3 != cpu_read_cr3())
		return;
	if (c == '\n' || screen.x == screen.columns)
		new_line();
	if (c != '\n')
		draw(screen.x++, screen.y, (uint8_t)c >= FONT_FIRST && (uint8_t)c <= FONT_LAST ? c : '?');
}
