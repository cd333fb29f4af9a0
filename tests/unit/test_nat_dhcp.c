/*
 * Whose an address is inside, and how DHCP gives it.
 *
 * UNIT_SOURCES: drivers-vm/driver/nat_hosts.c drivers-vm/driver/nat_dhcp.c
 * UNIT_FLAGS: -Itests/unit
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "drivers-vm/driver/nat_dhcp.h"
#include "nat_frames.h"

#define SECOND   1000000000ull
#define SUBNET   IP4(10, 0, 100, 0)
#define GATEWAY  (SUBNET + 1)
#define DISCOVER 1
#define OFFER    2
#define REQUEST  3
#define ACK      5
#define NAK      6
#define INFORM   8

static struct nat_host places[NAT_HOSTS_MAX];
static struct nat_hosts hosts;
static uint64_t now;
static uint32_t reserved; /* for mac_a alone; 0: none */
static const uint8_t mac_a[6] = { 2, 0, 0, 0, 0, 1 }, mac_b[6] = { 2, 0, 0, 0, 0, 2 };
static uint8_t message[400], answer[NAT_DHCP_BYTES];
static unsigned bytes;
static uint32_t target, fresh;

static bool allowed(void *ctx, uint32_t address, const uint8_t *mac)
{
	(void)ctx;
	return reserved == 0 || (memcmp(mac, mac_a, 6) == 0) == (address == reserved);
}

static int set_up(void **state)
{
	(void)state;
	memset(places, 0, sizeof(places));
	nat_hosts_init(&hosts, places, SUBNET + 77, 24); /* whatever is behind the prefix does not count */
	hosts.allowed = allowed;
	reserved = 0;
	now = SECOND;
	return 0;
}

static int use(const uint8_t *mac, uint32_t address)
{
	bool is_fresh;

	return nat_hosts_use(&hosts, address, mac, now, &is_fresh);
}

static void option(uint8_t code, uint32_t value)
{
	message[bytes++] = code;
	message[bytes++] = 4;
	net_put32(message + bytes, value);
	bytes += 4;
}

static void begin(uint8_t type, const uint8_t *mac)
{
	memset(message, 0, sizeof(message));
	message[0] = message[1] = 1;
	message[2] = 6;
	net_put32(message + 4, 0xABCD1234);
	memcpy(message + 28, mac, 6);
	net_put32(message + 236, 0x63825363);
	bytes = 240;
	message[bytes++] = 53;
	message[bytes++] = 1;
	message[bytes++] = type;
}

/* The value of an option of four bytes in the answer; 0: it is not there. */
static uint32_t answered(uint8_t code)
{
	for (unsigned at = 240; answer[at] != 255; at += 2u + answer[at + 1]) {
		assert_true(at + 2 < sizeof(answer));
		if (answer[at] == code)
			return answer[at + 1] == 1 ? answer[at + 2] : net_get32(answer + at + 2);
	}
	return 0;
}

static unsigned ask(const uint8_t *mac)
{
	message[bytes++] = 255;
	unsigned length = nat_dhcp_answer(&hosts, message, bytes, mac, now, answer, &target, &fresh);
	if (length == 0)
		return 0;
	assert_int_equal(length, NAT_DHCP_BYTES);
	assert_int_equal(answer[0], 2);
	assert_int_equal(net_get32(answer + 4), 0xABCD1234);
	assert_memory_equal(answer + 28, mac, 6);
	return answered(53);
}

static uint32_t yours(void)
{
	return net_get32(answer + 16);
}

static uint32_t lease(const uint8_t *mac)
{
	begin(DISCOVER, mac);
	assert_int_equal(ask(mac), OFFER);
	uint32_t offered = yours();
	begin(REQUEST, mac);
	option(50, offered);
	option(54, GATEWAY);
	assert_int_equal(ask(mac), ACK);
	assert_int_equal(yours(), offered);
	return offered;
}

static void nat_dhcp_answer__discover_and_request__lease_with_all_that_is_needed(void **state)
{
	(void)state;
	uint32_t address = lease(mac_a);
	assert_true(address > GATEWAY && address < SUBNET + 255);
	assert_int_equal(answered(1), IP4(255, 255, 255, 0));
	assert_int_equal(answered(3), GATEWAY);
	assert_int_equal(answered(6), GATEWAY);
	assert_int_equal(answered(28), SUBNET + 255);
	assert_int_equal(answered(51), NAT_LEASE_SECONDS);
	assert_int_equal(answered(54), GATEWAY);
	assert_int_equal(target, 0);
	assert_int_equal(fresh, address);
	assert_int_not_equal(lease(mac_b), address);
	assert_int_equal(lease(mac_a), address);
	assert_int_equal(fresh, 0);
}

static void nat_dhcp_answer__restart_of_the_server__same_address(void **state)
{
	(void)state;
	uint32_t address = lease(mac_a);
	set_up(state);
	assert_int_equal(lease(mac_a), address);
	set_up(state);
	begin(REQUEST, mac_a); /* to keep it, as a client does after half of the time */
	net_put32(message + 12, address);
	assert_int_equal(ask(mac_a), ACK);
	assert_int_equal(target, address);
}

static void nat_dhcp_answer__anothers_or_impossible_address__refused(void **state)
{
	uint32_t taken;
	const uint32_t impossible[] = { GATEWAY, SUBNET, SUBNET + 255, SUBNET + 256, IP4(8, 8, 8, 8), 0 };

	(void)state;
	taken = lease(mac_a);
	begin(REQUEST, mac_b);
	option(50, taken);
	assert_int_equal(ask(mac_b), NAK);
	assert_int_equal(yours(), 0);
	for (unsigned i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
		begin(REQUEST, mac_b);
		option(50, impossible[i]);
		assert_int_equal(ask(mac_b), NAK);
	}
}

static void nat_dhcp_answer__not_for_this_server_or_not_its_own__no_answer(void **state)
{
	(void)state;
	begin(REQUEST, mac_a);
	option(50, SUBNET + 9);
	option(54, IP4(10, 0, 100, 2));
	assert_int_equal(ask(mac_a), 0);
	begin(DISCOVER, mac_a);
	assert_int_equal(ask(mac_b), 0); /* it speaks for another card */
	begin(7, mac_a);                 /* a release: the address stays the card's until somebody needs it */
	assert_int_equal(ask(mac_a), 0);
	begin(DISCOVER, mac_a);
	message[236] = 0;
	assert_int_equal(ask(mac_a), 0);
	begin(DISCOVER, mac_a);
	message[0] = 2;
	assert_int_equal(ask(mac_a), 0);
}

static void nat_dhcp_answer__reserved_address__for_its_card_only(void **state)
{
	(void)state;
	reserved = SUBNET + 50;
	assert_int_equal(lease(mac_a), SUBNET + 50);
	hosts.host[50].used_ns = 0;
	begin(REQUEST, mac_b);
	option(50, SUBNET + 50);
	assert_int_equal(ask(mac_b), NAK);
}

static void nat_dhcp_answer__inform__no_address_in_it(void **state)
{
	(void)state;
	begin(INFORM, mac_a);
	net_put32(message + 12, SUBNET + 20);
	assert_int_equal(ask(mac_a), ACK);
	assert_int_equal(yours(), 0);
	assert_int_equal(answered(51), 0);
	assert_int_equal(answered(3), GATEWAY);
}

/* Any bytes, of any length: read within the message only, and the answer is well-formed. */
static void nat_dhcp_answer__random_options__no_harm(void **state)
{
	(void)state;
	srandom(3);
	for (unsigned i = 0; i < 50000; i++) {
		begin((uint8_t)(random() % 9), mac_a);
		unsigned total = (unsigned)random() % 120;
		for (unsigned k = 0; k < total; k++)
			message[bytes++] = (uint8_t)(random() % 4 == 0 ? 50 + random() % 5 : random() % 7);
		uint8_t *exact = malloc(bytes);
		assert_non_null(exact);
		memcpy(exact, message, bytes);
		if (nat_dhcp_answer(&hosts, exact, bytes, mac_a, now, answer, &target, &fresh) != 0)
			assert_int_not_equal(answered(53), 0);
		free(exact);
	}
}

static void nat_hosts_use__first_come__keeps_it_while_it_is_used(void **state)
{
	(void)state;
	assert_int_equal(use(mac_a, SUBNET + 9), 9);
	assert_int_equal(use(mac_b, SUBNET + 9), -1);
	now += (NAT_LEASE_SECONDS - 1) * SECOND;
	assert_int_equal(use(mac_a, SUBNET + 9), 9);
	now += (NAT_LEASE_SECONDS - 1) * SECOND;
	assert_int_equal(use(mac_b, SUBNET + 9), -1);
	now += 2 * SECOND;
	assert_int_equal(use(mac_b, SUBNET + 9), 9);
	assert_int_equal(use(mac_a, SUBNET + 9), -1);
	assert_int_equal(use(mac_a, GATEWAY), -1);
	assert_int_equal(use(mac_a, SUBNET), -1);
	assert_int_equal(use(mac_a, SUBNET + 255), -1);
	assert_int_equal(use(mac_a, SUBNET - 1), -1);
}

static void nat_hosts_use__card_that_takes_many__loses_its_oldest(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		now++;
		assert_int_equal(use(mac_a, SUBNET + 10 + i), 10 + i);
	}
	unsigned held = 0;
	for (unsigned i = 0; i < 256; i++)
		held += hosts.host[i].used_ns != 0;
	assert_int_equal(held, NAT_HOSTS_OF_CARD);
	assert_non_null(nat_hosts_find(&hosts, SUBNET + 209));
	assert_null(nat_hosts_find(&hosts, SUBNET + 10));
}

static void nat_hosts_choose__small_subnet_full__none(void **state)
{
	(void)state;
	memset(places, 0, sizeof(places));
	nat_hosts_init(&hosts, places, SUBNET, 29);
	for (uint8_t i = 0; i < 5; i++) {
		const uint8_t mac[6] = { 2, 0, 0, 0, 1, i };
		uint32_t address = nat_hosts_choose(&hosts, mac, 0, now);
		assert_true(address >= SUBNET + 2 && address <= SUBNET + 6);
		assert_true(use(mac, address) >= 0);
	}
	assert_int_equal(nat_hosts_choose(&hosts, mac_a, 0, now), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nat_dhcp_answer__discover_and_request__lease_with_all_that_is_needed, set_up),
		cmocka_unit_test_setup(nat_dhcp_answer__restart_of_the_server__same_address, set_up),
		cmocka_unit_test_setup(nat_dhcp_answer__anothers_or_impossible_address__refused, set_up),
		cmocka_unit_test_setup(nat_dhcp_answer__not_for_this_server_or_not_its_own__no_answer, set_up),
		cmocka_unit_test_setup(nat_dhcp_answer__reserved_address__for_its_card_only, set_up),
		cmocka_unit_test_setup(nat_dhcp_answer__inform__no_address_in_it, set_up),
		cmocka_unit_test_setup(nat_dhcp_answer__random_options__no_harm, set_up),
		cmocka_unit_test_setup(nat_hosts_use__first_come__keeps_it_while_it_is_used, set_up),
		cmocka_unit_test_setup(nat_hosts_use__card_that_takes_many__loses_its_oldest, set_up),
		cmocka_unit_test_setup(nat_hosts_choose__small_subnet_full__none, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
