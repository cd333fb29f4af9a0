/*
 * Five by seven pixels for each printable ASCII character: enough to read a panic from a screen. A glyph is 35 bits: its rows
 * from the top, five bits each, the first row the most significant and in each row bit 4 the leftmost pixel.
 */
#include "arch/x86_64/log_sink.h"

/* clang-format off */
const uint64_t log_font[FONT_LAST - FONT_FIRST + 1] = {
	0x000000000ull, 0x108421004ull, 0x294A00000ull, 0x295F57D4Aull, 0x11F4717C4ull, /* space to $ */
	0x672222273ull, 0x32544564Dull, 0x108800000ull, 0x088842082ull, 0x208210888ull, /* % to ) */
	0x009575480ull, 0x0084F9080ull, 0x000001088ull, 0x0000F8000ull, 0x00000018Cull, /* * to . */
	0x042222210ull, 0x3A33AE62Eull, 0x11942109Full, 0x3A213221Full, 0x3A213062Eull, /* slash to 3 */
	0x08CA97C42ull, 0x7E1E0862Eull, 0x1910F462Eull, 0x7C2211084ull, 0x3A317462Eull, /* 4 to 8 */
	0x3A317844Cull, 0x018C03180ull, 0x018C03088ull, 0x044441041ull, 0x001F07C00ull, /* 9 to = */
	0x410411110ull, 0x3A2111004ull, 0x3A37ADE0Full, 0x11518FE31ull, 0x7A31F463Eull, /* > to B */
	0x3A308422Eull, 0x72518C65Cull, 0x7E10F421Full, 0x7E10F4210ull, 0x3A30BC62Full, /* C to G */
	0x4631FC631ull, 0x38842108Eull, 0x1C4210A4Cull, 0x4654C5251ull, 0x42108421Full, /* H to L */
	0x4775AC631ull, 0x4739ACE71ull, 0x3A318C62Eull, 0x7A31F4210ull, 0x3A318D64Dull, /* M to Q */
	0x7A31F5251ull, 0x3E107043Eull, 0x7C8421084ull, 0x46318C62Eull, 0x46318A944ull, /* R to V */
	0x4631AD771ull, 0x462A22A31ull, 0x462A21084ull, 0x7C222221Full, 0x39084210Eull, /* W to [ */
	0x420820821ull, 0x38421084Eull, 0x115100000ull, 0x00000001Full, 0x208200000ull, /* \ to ` */
	0x000E0BE2Full, 0x421E8C63Eull, 0x000F8420Full, 0x042F8C62Full, 0x000E8FE0Eull, /* a to e */
	0x1928E2108ull, 0x01F18BC2Eull, 0x421E8C631ull, 0x100C2108Eull, 0x080610A4Cull, /* f to j */
	0x4212A6292ull, 0x30842108Eull, 0x001AAD6B5ull, 0x001E8C631ull, 0x000E8C62Eull, /* k to o */
	0x001E8FA10ull, 0x000F8BC21ull, 0x0016CC210ull, 0x000F8383Eull, 0x211C42126ull, /* p to t */
	0x00118C62Full, 0x00118C544ull, 0x0011AD6AAull, 0x001151151ull, 0x00118BC2Eull, /* u to y */
	0x001F1111Full, 0x088441082ull, 0x108421084ull, 0x208411088ull, 0x0008A8800ull, /* z to ~ */
};
