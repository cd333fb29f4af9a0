/* The printf macros of <inttypes.h> (C11, 7.8.1) for the widths in use, LP64. */
#ifndef RUNTIME_INTTYPES_H
#define RUNTIME_INTTYPES_H

#include <stdint.h>

#define PRId8   "d"
#define PRIu8   "u"
#define PRIx8   "x"
#define PRIX8   "X"
#define PRId16  "d"
#define PRIu16  "u"
#define PRIx16  "x"
#define PRIX16  "X"
#define PRId32  "d"
#define PRIi32  "i"
#define PRIu32  "u"
#define PRIx32  "x"
#define PRIX32  "X"
#define PRId64  "ld"
#define PRIi64  "li"
#define PRIu64  "lu"
#define PRIo64  "lo"
#define PRIx64  "lx"
#define PRIX64  "lX"
#define PRIdPTR "ld"
#define PRIuPTR "lu"
#define PRIxPTR "lx"
#define PRIdMAX "ld"
#define PRIuMAX "lu"
#define PRIxMAX "lx"

#endif
