/* The verbs, by the files that they are in. */
#ifndef TOOLS_CLI_VERBS_H
#define TOOLS_CLI_VERBS_H

#include "tools/cli/cli.h"

#include <jansson.h>

extern const struct verb verb_list, verb_dominfo, verb_domstats;                             /* verbs_show.c, verbs_stats.c */
extern const struct verb verb_start, verb_shutdown, verb_destroy, verb_suspend, verb_resume; /* verbs_life.c */
extern const struct verb verb_reboot, verb_reset, verb_nmi;
extern const struct verb verb_dump, verb_autostart, verb_setvcpus, verb_setmem; /* verbs_change.c */
extern const struct verb verb_define, verb_undefine, verb_dumpconfig;           /* verbs_define.c, verb_edit.c */
extern const struct verb verb_schedinfo, verb_vcpupin, verb_vcpuinfo;           /* verbs_sched.c */
extern const struct verb verb_console, verb_gdb;                                /* verb_console.c, verb_gdb.c */
extern const struct verb verb_top;                                              /* verb_top.c */
extern const struct verb verb_events, verb_dmesg;                               /* verbs_follow.c */
extern const struct verb verb_host, verb_audit, verb_restart_driver;            /* verbs_host.c */
extern const struct verb verb_reboot_host, verb_poweroff_host;
extern const struct verb verb_memtune, verb_compact;          /* verbs_memory.c */
extern const struct verb verb_upload, verb_images;            /* verbs_image.c */
extern const struct verb verb_token, verb_login, verb_forget; /* verbs_token.c, verb_login.c */
extern const struct verb verb_certificate;                    /* verb_certificate.c */
extern const struct verb verb_check;                          /* verb_check.c */

/*
 * POSTs `body`, which it lets go of, or nothing if it is NULL, to `place` of the machine's, and says `done`, or with -o json what it answers.
 * What goes wrong is said, `failure` first. verbs_host.c
 */
enum cli_exit host_ask(const struct cli_options *options, const char *place, json_t *body, const char *failure, const char *done);

#endif
