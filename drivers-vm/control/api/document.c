/* The OpenAPI document, as part of the image. */
#include "drivers-vm/control/api/api.h"

/* Without a copy in C: the assembler includes the file. Paths are from the root of the tree, where make runs. */
__asm__(".pushsection .rodata.api_document, \"a\"\n"
        ".global api_document\n"
        "api_document:\n"
        "	.incbin \"docs/openapi.yaml\"\n"
        "api_document_end:\n"
        "	.balign 4\n"
        ".global api_document_bytes\n"
        "api_document_bytes:\n"
        "	.long api_document_end - api_document\n"
        ".popsection\n");
