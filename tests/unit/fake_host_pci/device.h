/* What drivers of the machine's devices stand on in their tests: a PCI function that can be switched, a log and a clock. */
#ifndef TESTS_UNIT_FAKE_HOST_PCI_DEVICE_H
#define TESTS_UNIT_FAKE_HOST_PCI_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

extern uint64_t fake_now;       /* the test's service_tsc moves it on */
extern bool fake_dma, fake_bar; /* what the function may do, and whether it answers at its registers */
extern char fake_log[200];      /* the last line */
extern char fake_log_link[200]; /* the last one that begins with "link" */
extern bool fake_log_memory;    /* a line was about memory: for the test to clear */

#endif
