/* The table of routes; docs/openapi.yaml describes each, and the tests compare the two. */
#include "drivers-vm/control/api/routes.h"

#define V1 "/api/v1"

const struct route routes[] = {
	{ HTTP_GET, V1 "/host", AUTH_VIEWER, route_get_host, false, AUTH_NONE, NULL },
	{ HTTP_PUT, V1 "/host/certificate", AUTH_ADMIN, route_put_certificate, true, AUTH_NONE, NULL },
	{ HTTP_DELETE, V1 "/host/certificate", AUTH_ADMIN, route_delete_certificate, false, AUTH_NONE, NULL },
	{ HTTP_POST, V1 "/host/compact", AUTH_OPERATOR, route_compact, true, AUTH_NONE, NULL },
	{ HTTP_POST, V1 "/host/poweroff", AUTH_ADMIN, route_poweroff_host, true, AUTH_NONE, NULL },
	{ HTTP_POST, V1 "/host/reboot", AUTH_ADMIN, route_reboot_host, true, AUTH_NONE, NULL },
	{ HTTP_POST, V1 "/driver/restart", AUTH_OPERATOR, route_restart_driver, true, AUTH_NONE, NULL },
	{ HTTP_GET, V1 "/vms", AUTH_VIEWER, route_list_vms, false, AUTH_NONE, NULL },
	{ HTTP_GET, V1 "/vms/{name}", AUTH_VIEWER, route_get_vm, false, AUTH_NONE, NULL },
	{ HTTP_PUT, V1 "/vms/{name}", AUTH_ADMIN, route_put_vm, true, AUTH_NONE, NULL },
	{ HTTP_DELETE, V1 "/vms/{name}", AUTH_ADMIN, route_delete_vm, false, AUTH_NONE, NULL },
	{ HTTP_GET, V1 "/vms/{name}/schedule", AUTH_VIEWER, route_get_schedule, false, AUTH_NONE, NULL },
	{ HTTP_PUT, V1 "/vms/{name}/schedule", AUTH_ADMIN, route_put_schedule, true, AUTH_NONE, NULL },
	{ HTTP_POST, V1 "/vms/{name}/boot", AUTH_OPERATOR, route_boot, true, AUTH_NONE, NULL },
	{ HTTP_POST, V1 "/vms/{name}/shutdown", AUTH_OPERATOR, route_shutdown, true, AUTH_NONE, NULL },
	{ HTTP_POST, V1 "/vms/{name}/power-button", AUTH_OPERATOR, route_power_button, true, AUTH_NONE, NULL },
	{ HTTP_POST, V1 "/vms/{name}/reboot", AUTH_OPERATOR, route_reboot, true, AUTH_NONE, NULL },
	{ HTTP_POST, V1 "/vms/{name}/pause", AUTH_OPERATOR, route_pause, true, AUTH_NONE, NULL },
	{ HTTP_POST, V1 "/vms/{name}/resume", AUTH_OPERATOR, route_resume, true, AUTH_NONE, NULL },
	{ HTTP_POST, V1 "/vms/{name}/nmi", AUTH_OPERATOR, route_nmi, true, AUTH_NONE, NULL },
	{ HTTP_POST, V1 "/vms/{name}/reset", AUTH_OPERATOR, route_reset, true, AUTH_NONE, NULL },
	{ HTTP_GET, V1 "/vms/{name}/memory-limits", AUTH_VIEWER, route_get_memory_limits, false, AUTH_NONE, NULL },
	{ HTTP_PUT, V1 "/vms/{name}/memory-limits", AUTH_OPERATOR, route_put_memory_limits, true, AUTH_NONE, NULL },
	{ HTTP_GET, V1 "/vms/{name}/console", AUTH_VIEWER, route_get_console, false, AUTH_OPERATOR, route_open_console },
	{ HTTP_GET, V1 "/vms/{name}/gdb", AUTH_ADMIN, route_get_gdb, false, AUTH_ADMIN, route_open_gdb },
	{ HTTP_GET, V1 "/vms/{name}/core", AUTH_ADMIN, route_get_core, false, AUTH_NONE, NULL },
	{ HTTP_PUT, V1 "/vms/{name}/vcpus", AUTH_OPERATOR, route_put_vcpus, true, AUTH_NONE, NULL },
	{ HTTP_PUT, V1 "/vms/{name}/memory", AUTH_OPERATOR, route_put_memory, true, AUTH_NONE, NULL },
	{ HTTP_PUT, V1 "/vms/{name}/autostart", AUTH_ADMIN, route_put_autostart, true, AUTH_NONE, NULL },
	{ HTTP_GET, V1 "/images", AUTH_VIEWER, route_list_images, false, AUTH_NONE, NULL },
	{ HTTP_PUT, V1 "/images/{name}", AUTH_ADMIN, route_put_image, false, AUTH_NONE, NULL },
	{ HTTP_DELETE, V1 "/images/{name}", AUTH_ADMIN, route_delete_image, false, AUTH_NONE, NULL },
	{ HTTP_GET, V1 "/events", AUTH_VIEWER, route_list_events, false, AUTH_VIEWER, route_open_events },
	{ HTTP_GET, V1 "/log", AUTH_VIEWER, route_get_log, false, AUTH_VIEWER, route_open_log },
	{ HTTP_GET, V1 "/audit", AUTH_ADMIN, route_list_audit, false, AUTH_NONE, NULL },
	{ HTTP_GET, V1 "/tokens", AUTH_ADMIN, route_list_tokens, false, AUTH_NONE, NULL },
	{ HTTP_POST, V1 "/tokens", AUTH_ADMIN, route_create_token, true, AUTH_NONE, NULL },
	{ HTTP_DELETE, V1 "/tokens/{name}", AUTH_ADMIN, route_delete_token, false, AUTH_NONE, NULL },
	{ HTTP_GET, V1 "/whoami", AUTH_VIEWER, route_whoami, false, AUTH_NONE, NULL },
	{ HTTP_GET, V1 "/openapi.yaml", AUTH_NONE, route_get_document, false, AUTH_NONE, NULL },
	{ HTTP_GET, "/metrics", AUTH_VIEWER, route_get_metrics, false, AUTH_NONE, NULL },
	{ HTTP_GET, "/healthz", AUTH_NONE, route_get_health, false, AUTH_NONE, NULL },
};

const unsigned route_count = sizeof(routes) / sizeof(routes[0]);

bool api_route_at(unsigned index, const char **method, const char **path, const char **role, const char **socket_role)
{
	static const char *const methods[] = { "GET", "HEAD", "PUT", "POST", "DELETE" };

	if (index >= route_count)
		return false;
	*method = methods[routes[index].method];
	*path = routes[index].path;
	*role = routes[index].role == AUTH_NONE ? "none" : auth_role_name(routes[index].role);
	*socket_role = auth_role_name(routes[index].socket_role);
	return true;
}
