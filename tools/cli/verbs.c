/* The verbs in the order in which the help lists them. */
#include "tools/cli/verbs.h"

/* clang-format off */
const struct verb *const cli_verbs[] = {
	&verb_list, &verb_start, &verb_shutdown, &verb_destroy, &verb_suspend,
	&verb_resume, &verb_reboot, &verb_reset, &verb_nmi, &verb_dump,
	&verb_autostart, &verb_setvcpus, &verb_setmem, &verb_console, &verb_define,
	&verb_undefine, &verb_dumpconfig, &verb_dominfo, &verb_domstats, &verb_schedinfo,
	&verb_vcpupin, &verb_vcpuinfo, &verb_top, &verb_dmesg, &verb_events,
	&verb_upload, &verb_images, &verb_host, &verb_memtune, &verb_compact,
	&verb_restart_driver, &verb_reboot_host, &verb_poweroff_host, &verb_audit, &verb_token,
	&verb_login, &verb_forget, &verb_certificate, &verb_gdb, &verb_check,
	NULL,
};
/* clang-format on */
