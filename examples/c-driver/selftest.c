/*
 * Two machines, one process: connects both to a device, joins them by a reliable connection and sends messages to and fro, first
 * polling, then asleep until the event. Every message is looked at byte by byte.
 *
 *     selftest SOCKET [SOCKET OF THE SECOND] [ROUNDS] [roce|rdma]
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "driver.h"
#include "os-linux.h"

enum { PROGRAM = 0x10000000, PROGRAM_BYTES = 64 * 4096, BUFFER = 5000, DEPTH = 8 };

struct machine {
	const char *name;
	struct os *os;
	struct vr_device dev;
	struct vr_pd pd;
	struct vr_cq cq;
	struct vr_mr mr;
	struct vr_qp qp;
	uint8_t gid[16];
	unsigned events;
	uint64_t sent, received;
};

static void insist(bool kept, const struct machine *m, const char *what)
{
	if (kept)
		return;
	fprintf(stderr, "selftest: %s: %s%s%s\n", m->name, what, m->dev.dead != NULL ? ": " : "",
		m->dev.dead != NULL ? m->dev.dead : "");
	exit(1);
}

static void woken(struct vr_cq *cq)
{
	((struct machine *)cq->context)->events++;
}

static void verb(struct machine *m, struct vr_call call, int expected, const char *what)
{
	int error = vr_wait(&m->dev, &call);

	if (error == expected)
		return;
	fprintf(stderr, "selftest: %s came to %s, expected %s\n", what, error == 0 ? "ok" : strerror(error),
		expected == 0 ? "ok" : strerror(expected));
	insist(false, m, what);
}

static void bring_up(struct machine *m, const char *socket, unsigned type, uint8_t last)
{
	struct os_linux config = {
		.socket = socket, .device_type = type, .queue_size = 64, .memory_bytes = 4 << 20, .memory_address = 0x40000000,
		.dma_bytes = (4 << 20) - PROGRAM_BYTES, .program_address = PROGRAM, .program_pages = PROGRAM_BYTES / 4096,
	};

	m->os = os_linux_open(&config);
	if (m->os == NULL)
		exit(1);
	insist(vr_start(&m->dev, m->os) == 0, m, "start");
	m->gid[0] = 0xfd;
	m->gid[15] = last;
	struct vr_call add = { .command = ADD_GID };

	memcpy(add.in.gid.gid, m->gid, 16);
	verb(m, add, 0, "ADD_GID");
	verb(m, (struct vr_call){ .command = CREATE_PD, .object = &m->pd.object }, 0, "CREATE_PD");
	verb(m, (struct vr_call){ .command = CREATE_CQ, .object = &m->cq.object, .in.cq = { 2 * DEPTH, woken, m } }, 0,
	     "CREATE_CQ");
	verb(m, (struct vr_call){ .command = REG_USER_MR, .object = &m->mr.object, .pd = &m->pd,
				  .in.mr = { PROGRAM, PROGRAM_BYTES, ACCESS_LOCAL_WRITE } }, 0, "REG_USER_MR");
	static struct vr_mr none;

	verb(m, (struct vr_call){ .command = REG_USER_MR, .object = &none.object, .pd = &m->pd,
				  .in.mr = { PROGRAM + PROGRAM_BYTES - 1, 2, 0 } }, EFAULT, "REG_USER_MR of no memory");
	verb(m, (struct vr_call){ .command = CREATE_QP, .object = &m->qp.object, .pd = &m->pd,
				  .in.qp = { QP_RC, false, &m->cq, &m->cq, { DEPTH, DEPTH, 2, 2, 64 } } }, 0, "CREATE_QP");
	verb(m, (struct vr_call){ .command = DESTROY_PD, .object = &m->pd.object }, EBUSY, "DESTROY_PD in use");
}

static void modify(struct machine *m, struct vr_qp_attr attr)
{
	verb(m, (struct vr_call){ .command = MODIFY_QP, .object = &m->qp.object, .in.attr = attr }, 0, "MODIFY_QP");
}

static void connect_to(struct machine *m, const struct machine *peer)
{
	struct vr_qp_attr rtr = {
		.mask = ATTR_STATE | ATTR_AV | ATTR_PATH_MTU | ATTR_RQ_PSN | ATTR_MIN_RNR_TIMER | ATTR_MAX_DEST_RD_ATOMIC |
			ATTR_DEST_QPN,
		.state = QPS_RTR, .path_mtu = 3, .rq_psn = 7, .min_rnr_timer = 1, .max_dest_rd_atomic = 1,
		.dest_qpn = peer->qp.object.number, .ah = { .hop_limit = 64 },
	};

	memcpy(rtr.ah.dgid, peer->gid, 16);
	modify(m, (struct vr_qp_attr){ .mask = ATTR_STATE | ATTR_ACCESS, .state = QPS_INIT });
	modify(m, rtr);
	modify(m, (struct vr_qp_attr){
		.mask = ATTR_STATE | ATTR_TIMEOUT | ATTR_RETRY_CNT | ATTR_RNR_RETRY | ATTR_MAX_RD_ATOMIC | ATTR_SQ_PSN,
		.state = QPS_RTS, .timeout = 14, .retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = 1, .sq_psn = 7 });
}

static uint64_t place(uint64_t number, bool send)
{
	return PROGRAM + (number % DEPTH * 2 + send) * (BUFFER + 123);
}

static uint32_t length_of(uint64_t number)
{
	return 1 + number * 613 % BUFFER;
}

static void receive(struct machine *m, uint64_t number)
{
	struct vr_sge sges[] = { { place(number, false), 100, m->mr.lkey },
				 { place(number, false) + 100, BUFFER - 100, m->mr.lkey } };

	insist(vr_post_recv(&m->dev, &m->qp, &(struct vr_recv){ number, sges, 2 }) == 0, m, "a receive");
}

static void send(struct machine *m, uint64_t number)
{
	static uint8_t bytes[BUFFER];
	struct vr_sge sge = { place(number, true), length_of(number), m->mr.lkey };

	for (uint32_t i = 0; i < sge.length; i++)
		bytes[i] = number + i;
	insist(os_linux_write(m->os, sge.addr, bytes, sge.length) == 0, m, "the program's memory");
	insist(vr_post_send(&m->dev, &m->qp, &(struct vr_send){ .wr_id = number, .opcode = OP_SEND, .flags = SEND_SIGNALED,
								 .sges = &sge, .sge_count = 1 }) == 0, m, "a send");
}

static void look_at(struct machine *m, const struct vr_wc *wc)
{
	static uint8_t bytes[BUFFER];

	insist(wc->status == 0, m, "a completion with an error");
	if (wc->opcode != WC_OP_RECV) {
		insist(wc->wr_id == m->sent++, m, "a send out of order");
		return;
	}
	insist(wc->wr_id == m->received++ && wc->byte_len == length_of(wc->wr_id), m, "a receive out of order");
	insist(os_linux_read(m->os, place(wc->wr_id, false), bytes, wc->byte_len) == 0, m, "the program's memory");
	for (uint32_t i = 0; i < wc->byte_len; i++)
		insist(bytes[i] == (uint8_t)(wc->wr_id + i), m, "a byte of a message");
}

static unsigned poll_once(struct machine *m)
{
	struct vr_wc wcs[3];
	unsigned count;

	insist(vr_poll(&m->dev, &m->cq, wcs, 3, &count) == 0, m, "a poll");
	for (unsigned i = 0; i < count; i++)
		look_at(m, &wcs[i]);
	return count;
}

/* Takes interrupts of both as they come; sleeps for one when `asleep`. */
static void attend(struct machine *two, bool asleep)
{
	struct pollfd fds[] = { { os_linux_fd(two[0].os), POLLIN, 0 }, { os_linux_fd(two[1].os), POLLIN, 0 } };

	poll(fds, 2, asleep ? -1 : 0);
	for (int i = 0; i < 2; i++)
		if (fds[i].revents != 0)
			os_wait(two[i].os, 0);
	for (int i = 0; i < 2; i++)
		insist(two[i].dev.dead == NULL, &two[i], "given up");
}

/* Waits until both have `sent` and `received` as many: polling, or armed and asleep. */
static void until(struct machine *two, uint64_t count, bool asleep)
{
	for (;;) {
		unsigned found = 0, waiting = 0, events = two[0].events + two[1].events;

		for (int i = 0; i < 2; i++)
			waiting += two[i].sent < count || two[i].received < count;
		if (waiting == 0)
			return;
		if (asleep)
			for (int i = 0; i < 2; i++)
				verb(&two[i], (struct vr_call){ .command = REQ_NOTIFY_CQ, .object = &two[i].cq.object }, 0, "arm");
		for (int i = 0; i < 2; i++)
			found += poll_once(&two[i]);
		while (asleep && found == 0 && events == two[0].events + two[1].events)
			attend(two, true);
		if (!asleep)
			attend(two, false);
	}
}

static void take_down(struct machine *m)
{
	struct vr_call both[] = { { .command = QUERY_QP, .object = &m->qp.object }, { .command = QUERY_PORT } };

	/* Two commands under way at one time. */
	vr_submit(&m->dev, &both[0]);
	insist(vr_wait(&m->dev, &both[1]) == 0 && both[1].out.port.gid_tbl_len > 0, m, "QUERY_PORT");
	insist(both[0].out.attr.state == QPS_RTS, m, "QUERY_QP");
	verb(m, (struct vr_call){ .command = DESTROY_QP, .object = &m->qp.object }, 0, "DESTROY_QP");
	verb(m, (struct vr_call){ .command = DESTROY_QP, .object = &m->qp.object }, EINVAL, "DESTROY_QP again");
	verb(m, (struct vr_call){ .command = DEREG_MR, .object = &m->mr.object }, 0, "DEREG_MR");
	verb(m, (struct vr_call){ .command = DESTROY_CQ, .object = &m->cq.object }, 0, "DESTROY_CQ");
	verb(m, (struct vr_call){ .command = DESTROY_PD, .object = &m->pd.object }, 0, "DESTROY_PD");
	vr_stop(&m->dev);
	os_linux_close(m->os);
}

int main(int argc, char **argv)
{
	static struct machine two[2] = { { .name = "first" }, { .name = "second" } };
	uint64_t rounds = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000, number = 0;
	unsigned type = argc > 4 && strcmp(argv[4], "rdma") == 0 ? 42 : 1;

	if (argc < 2) {
		fprintf(stderr, "usage: selftest SOCKET [SOCKET OF THE SECOND] [ROUNDS] [roce|rdma]\n");
		return 2;
	}
	bring_up(&two[0], argv[1], type, 1);
	bring_up(&two[1], argc > 2 ? argv[2] : argv[1], type, 2);
	connect_to(&two[0], &two[1]);
	connect_to(&two[1], &two[0]);
	for (int i = 0; i < DEPTH; i++) {
		receive(&two[0], i);
		receive(&two[1], i);
	}
	for (; number < rounds; number++) {
		for (int i = 0; i < 2; i++)
			send(&two[i], number);
		until(two, number + 1, number >= rounds / 2);
		for (int i = 0; i < 2; i++)
			receive(&two[i], number + DEPTH);
	}
	unsigned events = two[0].events + two[1].events;

	for (int i = 0; i < 2; i++)
		take_down(&two[i]);
	printf("selftest: %llu messages each way, %u events: ok\n", (unsigned long long)rounds, events);
	return 0;
}
