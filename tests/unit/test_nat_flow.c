/*
 * The table of connections: who finds which, how long, and who must make room.
 *
 * UNIT_SOURCES: drivers-vm/driver/nat_flow.c
 * UNIT_FLAGS: -Itests/unit
 */
#include "cmocka_all.h"

#include <stdlib.h>

#include "drivers-vm/driver/nat_flow.h"
#include "nat_frames.h"

#define SECOND 1000000000ull
#define PEER   IP4(93, 184, 216, 34)
#define ACK    0x10u

static struct nat_flow memory[NAT_FLOWS];
static struct nat_flows flows;
static uint64_t now;

static int set_up(void **state)
{
	(void)state;
	nat_flows_init(&flows, memory, 0x1234567890ABCDEFull);
	now = SECOND;
	return 0;
}

static struct nat_tuple tuple(uint8_t protocol, uint8_t host, uint16_t port, uint16_t peer_port)
{
	return (struct nat_tuple){ protocol, IP4(10, 0, 100, host), PEER, port, peer_port };
}

static struct nat_flow *outward(const struct nat_tuple *t, uint8_t flags)
{
	struct nat_flow *f = nat_flow_outward(&flows, t, flags, t->target, (uint8_t)t->source, now);

	if (f != NULL)
		nat_flow_use(&flows, f, false, flags, now);
	return f;
}

static struct nat_flow *inward(uint8_t protocol, uint16_t peer_port, uint16_t port, uint8_t flags)
{
	const struct nat_tuple t = { protocol, PEER, 0, peer_port, port };
	struct nat_flow *f = nat_flow_inward(&flows, &t, now);

	if (f != NULL)
		nat_flow_use(&flows, f, true, flags, now);
	return f;
}

/* All lists, chains and counts fit each other. */
static void check_table(void)
{
	unsigned used = 0, chained = 0, listed = 0, unused = 0;

	for (unsigned i = 0; i < NAT_FLOWS; i++)
		used += flows.flow[i].state != NAT_STATE_FREE;
	for (unsigned b = 0; b < NAT_FLOW_BUCKETS; b++) {
		for (unsigned i = flows.inside[b]; i != NAT_NONE; i = flows.flow[i].next_inside)
			chained++;
		for (unsigned i = flows.outside[b]; i != NAT_NONE; i = flows.flow[i].next_outside)
			chained++;
	}
	for (unsigned h = 0; h < NAT_HOSTS; h++) {
		unsigned of_host = 0;
		const struct nat_list *lists[] = { &flows.host[h].passing, &flows.host[h].open };
		for (unsigned k = 0; k < 2; k++) {
			uint16_t last = NAT_NONE;
			for (uint16_t i = lists[k]->oldest; i != NAT_NONE; last = i, i = flows.flow[i].order.newer, of_host++) {
				assert_int_equal(flows.flow[i].order.older, last);
				assert_int_equal(flows.flow[i].host, h);
				assert_int_equal(flows.flow[i].state == NAT_STATE_OPEN, k);
			}
			assert_int_equal(lists[k]->newest, last);
		}
		assert_int_equal(flows.host[h].flows, of_host);
		listed += of_host;
	}
	for (unsigned i = flows.free; i != NAT_NONE; i = flows.flow[i].next_inside)
		unused++;
	assert_int_equal(used, flows.used);
	assert_int_equal(chained, 2 * used);
	assert_int_equal(listed, used);
	assert_int_equal(used + unused, NAT_FLOWS);
}

static void nat_flow_outward__its_own_port_is_free__is_kept(void **state)
{
	struct nat_tuple t = tuple(NET_IP_UDP, 7, 5353, 53);

	(void)state;
	assert_int_equal(outward(&t, 0)->outside_port, 5353);
	assert_ptr_equal(outward(&t, 0), inward(NET_IP_UDP, 53, 5353, 0));
	assert_int_equal(flows.used, 1);
	assert_null(inward(NET_IP_TCP, 53, 5353, 0));
	assert_null(inward(NET_IP_UDP, 54, 5353, 0));
	assert_null(inward(NET_IP_UDP, 53, 5354, 0));
}

static void nat_flow_outward__port_taken_or_low__gets_another(void **state)
{
	struct nat_tuple first = tuple(NET_IP_TCP, 7, 40000, 80), second = tuple(NET_IP_TCP, 8, 40000, 80);
	struct nat_tuple low = tuple(NET_IP_UDP, 7, 68, 67), elsewhere = tuple(NET_IP_TCP, 8, 40000, 81);

	(void)state;
	assert_int_equal(outward(&first, NAT_TCP_SYN)->outside_port, 40000);
	uint16_t other = outward(&second, NAT_TCP_SYN)->outside_port;
	assert_int_not_equal(other, 40000);
	assert_int_equal(inward(NET_IP_TCP, 80, other, ACK)->inside, second.source);
	assert_int_equal(inward(NET_IP_TCP, 80, 40000, ACK)->inside, first.source);
	assert_true(outward(&low, 0)->outside_port >= 1024);
	assert_int_equal(outward(&elsewhere, NAT_TCP_SYN)->outside_port, 40000); /* another peer tells them apart */
}

static void nat_flow__no_answer__gone_after_a_minute(void **state)
{
	struct nat_tuple t = tuple(NET_IP_UDP, 7, 5353, 53);

	(void)state;
	outward(&t, 0);
	now += 59 * SECOND;
	assert_non_null(nat_flow_inward(&flows, &(struct nat_tuple){ NET_IP_UDP, PEER, 0, 53, 5353 }, now));
	now += 2 * SECOND;
	assert_null(inward(NET_IP_UDP, 53, 5353, 0));
	assert_int_equal(flows.used, 0);
	check_table();
}

static void nat_flow__answered__lives_as_the_rfcs_want(void **state)
{
	struct nat_tuple udp = tuple(NET_IP_UDP, 7, 5353, 53), tcp = tuple(NET_IP_TCP, 7, 40000, 80);

	(void)state;
	outward(&udp, 0);
	inward(NET_IP_UDP, 53, 5353, 0);
	outward(&tcp, NAT_TCP_SYN);
	inward(NET_IP_TCP, 80, 40000, NAT_TCP_SYN | ACK);
	now += 299 * SECOND;
	assert_non_null(nat_flow_inward(&flows, &(struct nat_tuple){ NET_IP_UDP, PEER, 0, 53, 5353 }, now));
	now += 2 * SECOND;
	assert_null(inward(NET_IP_UDP, 53, 5353, 0));
	now += 7000 * SECOND; /* RFC 5382, REQ-5: two hours and four minutes at least */
	assert_non_null(inward(NET_IP_TCP, 80, 40000, ACK));
}

static void nat_flow__tcp_ends__goes_soon_but_not_at_once(void **state)
{
	struct nat_tuple t = tuple(NET_IP_TCP, 7, 40000, 80);

	(void)state;
	outward(&t, NAT_TCP_SYN);
	inward(NET_IP_TCP, 80, 40000, NAT_TCP_SYN | ACK);
	outward(&t, NAT_TCP_FIN | ACK);
	assert_int_equal(inward(NET_IP_TCP, 80, 40000, ACK)->state, NAT_STATE_OPEN); /* half closed: data may still come */
	assert_int_equal(inward(NET_IP_TCP, 80, 40000, NAT_TCP_FIN | ACK)->state, NAT_STATE_CLOSING);
	now += 239 * SECOND;
	assert_non_null(outward(&t, ACK));
	now += 241 * SECOND;
	assert_null(inward(NET_IP_TCP, 80, 40000, ACK));
	assert_int_equal(outward(&t, NAT_TCP_SYN)->state, NAT_STATE_NEW);
	assert_int_equal(inward(NET_IP_TCP, 80, 40000, NAT_TCP_RST)->state, NAT_STATE_CLOSING);
	assert_int_equal(outward(&t, NAT_TCP_SYN)->state, NAT_STATE_NEW); /* the same ports once more */
	check_table();
}

static void nat_flow_outward__reset_of_nothing__opens_nothing(void **state)
{
	struct nat_tuple t = tuple(NET_IP_TCP, 7, 40000, 80);

	(void)state;
	assert_null(outward(&t, NAT_TCP_RST));
	assert_int_equal(flows.used, 0);
	assert_int_equal(outward(&t, ACK)->outside_port, 40000); /* one from before the driver VM started */
}

static void nat_flow_outward__too_many_of_one_host__its_own_oldest_goes(void **state)
{
	struct nat_tuple open = tuple(NET_IP_TCP, 7, 50000, 80), other = tuple(NET_IP_UDP, 8, 2000, 53);

	(void)state;
	outward(&open, NAT_TCP_SYN);
	inward(NET_IP_TCP, 80, 50000, NAT_TCP_SYN | ACK);
	outward(&other, 0);
	for (unsigned i = 0; i < 2 * NAT_FLOWS_OF_HOST; i++) {
		struct nat_tuple t = tuple(NET_IP_UDP, 7, (uint16_t)(2000 + i), 53);
		now++;
		assert_non_null(outward(&t, 0));
	}
	assert_int_equal(flows.host[7].flows, NAT_FLOWS_OF_HOST);
	assert_int_equal(flows.host[8].flows, 1);
	assert_non_null(inward(NET_IP_TCP, 80, 50000, ACK)); /* open ones are the last to go */
	assert_null(inward(NET_IP_UDP, 53, 2001, 0));
	check_table();
}

static void nat_flow_outward__full_table__the_greediest_gives(void **state)
{
	(void)state;
	for (unsigned host = 2; host < 12; host++)
		for (unsigned i = 0; i < NAT_FLOWS_OF_HOST; i++) {
			struct nat_tuple t = tuple(NET_IP_UDP, (uint8_t)host, (uint16_t)(1024 + i), (uint16_t)host);
			assert_non_null(outward(&t, 0));
		}
	assert_int_equal(flows.used, NAT_FLOWS);
	for (unsigned i = 0; i < 50; i++) {
		struct nat_tuple t = tuple(NET_IP_UDP, 200, (uint16_t)(3000 + i), 53);
		assert_non_null(outward(&t, 0));
	}
	assert_int_equal(flows.host[200].flows, 50);
	for (unsigned host = 2; host < 12; host++)
		assert_true(flows.host[host].flows > NAT_FLOWS / 10 - 20);
	check_table();
}

static void nat_flow_drop_host__its_address_is_anothers__only_its_own_go(void **state)
{
	struct nat_tuple a = tuple(NET_IP_UDP, 7, 2000, 53), b = tuple(NET_IP_UDP, 8, 2001, 53);

	(void)state;
	outward(&a, 0);
	outward(&b, 0);
	nat_flow_drop_host(&flows, 7);
	assert_null(inward(NET_IP_UDP, 53, 2000, 0));
	assert_non_null(inward(NET_IP_UDP, 53, 2001, 0));
	check_table();
}

static void nat_flow__whatever_comes__stays_whole(void **state)
{
	static const uint8_t protocols[] = { NET_IP_TCP, NET_IP_UDP, NAT_ICMP };

	(void)state;
	srandom(2);
	for (unsigned i = 0; i < 60000; i++) {
		uint8_t flags = (uint8_t)random() & 7, protocol = protocols[random() % 3];
		struct nat_tuple t = tuple(protocol, (uint8_t)(2 + random() % 8), (uint16_t)(1000 + random() % 900),
		                           (uint16_t)(random() % 4));
		now += (uint64_t)random() % (SECOND / 50);
		if (random() % 3 != 0)
			outward(&t, flags);
		else
			inward(protocol, t.target_port, t.source_port, flags);
		if (random() % 5000 == 0)
			nat_flow_drop_host(&flows, (uint8_t)t.source);
		if (i % 6000 == 0)
			check_table();
	}
	check_table();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nat_flow_outward__its_own_port_is_free__is_kept, set_up),
		cmocka_unit_test_setup(nat_flow_outward__port_taken_or_low__gets_another, set_up),
		cmocka_unit_test_setup(nat_flow__no_answer__gone_after_a_minute, set_up),
		cmocka_unit_test_setup(nat_flow__answered__lives_as_the_rfcs_want, set_up),
		cmocka_unit_test_setup(nat_flow__tcp_ends__goes_soon_but_not_at_once, set_up),
		cmocka_unit_test_setup(nat_flow_outward__reset_of_nothing__opens_nothing, set_up),
		cmocka_unit_test_setup(nat_flow_outward__too_many_of_one_host__its_own_oldest_goes, set_up),
		cmocka_unit_test_setup(nat_flow_outward__full_table__the_greediest_gives, set_up),
		cmocka_unit_test_setup(nat_flow_drop_host__its_address_is_anothers__only_its_own_go, set_up),
		cmocka_unit_test_setup(nat_flow__whatever_comes__stays_whole, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
