/*
 * The driver VM's end and its successor. It ends by a crash, by a vCPU that does not wake up any more, or by
 * a call that it does not answer. Its devices are stopped before any memory of it is given back; a fresh one
 * starts from the pristine image, is given the same devices and guests, and finds the guests' device state
 * where the old one left it. Guests wait meanwhile where they next need a device.
 */
#include "drivers-vm/control/control.h"
#include "drivers-vm/control/device.h"
#include "drivers-vm/control/net/port_setup.h"
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guard.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/host_health.h"
#include "drivers-vm/control/manager.h"
#include "drivers-vm/control/recover.h"

#define BEAT_NS       1000000000ull
#define BEATS_MISSED  3u             /* and it has been silent for as many seconds, at least */
#define START_NS      60000000000ull /* its drivers wait for devices that get ready */
#define MINUTE_NS     60000000000ull
#define SHORT_LIFE_NS 100000000ull /* one that dies of what it is given */
#define PAUSE_NS      1000000000ull

static const struct config *config;
static uint64_t next_beat, started_tsc;
static uint64_t minute_tsc; /* when the minute began in which */
static unsigned restarts;   /* so many times it was restarted */
static bool requested, given_up;
static uint64_t restarts_ever;

static bool start(void)
{
	const struct channel_message ping = { .kind = CHANNEL_PING };

	started_tsc = service_tsc();
	requested = false;
	if (!driver_start(config->console))
		return false;
	devices_give(driver_vm);
	guest_devices_send_uplinks(config);
	port_setup(config);
	host_health_driver_started();
	bool ready = config->driver_restarts == 0 || driver_call(&ping, CHANNEL_PONG, START_NS);
	next_beat = service_tsc() + service_ns_to_tsc(BEAT_NS);
	return ready;
}

bool driver_begin(const struct config *of)
{
	config = of;
	given_up = !start() && !driver_is_lost();
	if (given_up)
		port_end();
	return !given_up;
}

const char *driver_state(void)
{
	if (given_up)
		return "lost";
	return driver_is_lost() || requested ? "restarting" : "running";
}

uint64_t driver_restart_count(void)
{
	return restarts_ever;
}

void driver_request_restart(void)
{
	requested = true;
}

static void pause_ns(uint64_t ns)
{
	for (uint64_t until = service_tsc() + service_ns_to_tsc(ns); service_tsc() < until;)
		guard_wait(until);
}

/* A driver VM that crashes again and again costs the guests more than one that is not there. */
static bool may_restart(void)
{
	uint64_t now = service_tsc();

	if (restarts == 0 || service_tsc_to_ns(now - minute_tsc) > MINUTE_NS) {
		minute_tsc = now;
		restarts = 0;
	}
	if (restarts++ >= config->driver_restarts)
		return false;
	if (restarts > 1 && service_tsc_to_ns(now - started_tsc) < SHORT_LIFE_NS)
		pause_ns(PAUSE_NS);
	return true;
}

static void restart(const char *why)
{
	uint64_t began = service_tsc();
	unsigned guests = 0;

	driver_stop();
	uint64_t stopped = service_tsc();
	if (!may_restart()) {
		service_log("driver VM: %s, and restarted %u times within a minute: given up; guests wait "
		            "for their devices for ever",
		            why, config->driver_restarts);
		given_up = true;
		port_end();
		event_add("driver.lost", "", "%s, and restarted %u times within a minute", why, config->driver_restarts);
		driver_start(config->console); /* without devices and guests: somebody must print the log */
		return;
	}
	restarts_ever++;
	if (start()) {
		guests = guest_resume_all();
		event_add("driver.restarted", "", "%s", why);
		manager_driver_is_back();
	} else if (!driver_is_lost()) {
		given_up = true; /* the log says why */
		port_end();
		event_add("driver.lost", "", "%s, and it cannot be started again", why);
	}
	service_log("driver VM: %s; restarted in %lu ms, of which %lu to stop its devices; %u guest%s on", why,
	            (unsigned long)(service_tsc_to_ns(service_tsc() - began) / 1000000),
	            (unsigned long)(service_tsc_to_ns(stopped - began) / 1000000), guests, guests == 1 ? " carries" : "s carry");
}

static bool has_missed_beats(void)
{
	uint64_t now = service_tsc(), late = now - next_beat;

	if (now < next_beat)
		return false;
	next_beat = now + service_ns_to_tsc(BEAT_NS);
	/* Whoever comes late himself has no right to complain. */
	return service_tsc_to_ns(late) < BEAT_NS && driver_has_missed_beats(BEATS_MISSED);
}

uint64_t driver_watch(void)
{
	const char *why = driver_ending();

	if (config->driver_restarts == 0 && why != NULL && !given_up) {
		service_log("driver VM: %s; it is not restarted: guests wait for their devices", why);
		given_up = true;
		port_end();
		event_add("driver.lost", "", "%s", why);
	}
	if (config->driver_restarts == 0)
		return 0;
	while (!given_up) {
		why = driver_ending();
		if (why == NULL && driver_is_lost())
			why = "no answer";
		if (why == NULL && requested)
			why = "asked for";
		if (why == NULL && has_missed_beats())
			why = "no heartbeat";
		if (why == NULL)
			return next_beat;
		restart(why);
	}
	return 0;
}

/* ---- A control VM takes over ------------------------------------------------------------------------------------------------------------ */

void driver_watch_keep(struct recover_kept *kept)
{
	RECOVER_KEEP(kept, started_tsc);
	RECOVER_KEEP(kept, minute_tsc);
	RECOVER_KEEP(kept, restarts);
	RECOVER_KEEP(kept, given_up);
	RECOVER_KEEP(kept, restarts_ever);
}

bool driver_recover(const struct config *of)
{
	config = of;
	if (!driver_adopt())
		service_log("driver VM: it has gone with the control VM");
	next_beat = service_tsc() + service_ns_to_tsc(BEAT_NS);
	return !given_up;
}

void driver_recover_end(void)
{
	const struct channel_message ping = { .kind = CHANNEL_PING };

	if (given_up || driver_is_lost() || driver_ending() != NULL)
		return; /* driver_watch replaces it */
	port_setup(config);
	driver_call(&ping, CHANNEL_PONG, START_NS);
	next_beat = service_tsc() + service_ns_to_tsc(BEAT_NS);
}
