/* Start and end of a device, and the engine that carries commands: chapters 2, 3, 5.1 and 14. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "internal.h"

/* A slot's memory: an indirect table, then the request and the answer, so that both structs lie at multiples of 8. */
enum { SLOTS_MAX = 16, SLOT_BYTES = 384, AT_REQUEST = 64, AT_RESULT = 232, SLOT_REQUEST_MAX = 160 };
enum { CONFIG_NET_BYTES = 32, CONFIG_RDMA_BYTES = 12, TYPE_NET = 1, TYPE_RDMA = 42 };

static void settle(struct vr_device *dev, struct vr_call *call, int error)
{
	if (call->request.bytes != NULL)
		os_dma_free(dev->os, &call->request);
	call->request.bytes = NULL;
	call->error = error;
	if (call->done != NULL)
		call->done(call);
}

/* All calls end; the device keeps the memory that it was shown (HOST-30). */
static void end_calls(struct vr_device *dev)
{
	for (unsigned slot = 0; slot < SLOTS_MAX; slot++) {
		struct vr_call *call = dev->in_flight[slot];

		dev->in_flight[slot] = NULL;
		if (call != NULL) {
			call->request.bytes = NULL;
			settle(dev, call, EIO);
		}
	}
	while (dev->waiting != NULL) {
		struct vr_call *call = dev->waiting;

		dev->waiting = call->next;
		settle(dev, call, EIO);
	}
	dev->waiting_end = &dev->waiting;
}

int give_up(struct vr_device *dev, const char *why)
{
	uint8_t status;

	if (dev->dead != NULL)
		return -1;
	dev->dead = why;
	if (os_status(dev->os, &status) == 0)
		os_set_status(dev->os, status | STATUS_FAILED);
	end_calls(dev);
	return -1;
}

/* Hands the request of a call to the device. */
static void issue(struct vr_device *dev, struct vr_call *call, unsigned slot)
{
	struct vr_queue *q = dev->control;
	unsigned answer_slot = FAULT_SHARED_ACK ? 0 : slot;
	uint8_t *bytes = dev->slots.bytes + slot * SLOT_BYTES;
	uint64_t address = dev->slots.address + slot * SLOT_BYTES;
	uint64_t result = dev->slots.address + answer_slot * SLOT_BYTES + AT_RESULT - 1;
	uint64_t request = call->request.bytes != NULL ? call->request.address + 6 : address + AT_REQUEST - 2;
	uint8_t *header = call->request.bytes != NULL ? call->request.bytes + 6 : bytes + AT_REQUEST - 2;
	uint32_t room = 1 + verb_result_bytes(call);
	bool indirect = (dev->features & F_INDIRECT_DESC) != 0;
	uint16_t head = indirect ? slot : 2 * slot;
	struct desc read = { htole64(request), htole32(2 + call->request_bytes), htole16(DESC_NEXT), 0 };
	struct desc write = { htole64(result), htole32(room), htole16(DESC_WRITE), 0 };

	header[0] = dev->class;
	header[1] = call->command;
	read.next = htole16(indirect ? 1 : head + 1);
	if (indirect) {
		memcpy(bytes, &read, sizeof read);
		memcpy(bytes + sizeof read, &write, sizeof write);
		queue_describe(q, head, address, 2 * sizeof read, DESC_INDIRECT, 0);
	} else {
		q->table[head] = read;
		q->table[head + 1] = write;
	}
	dev->in_flight[slot] = call;
	dev->in_flight_count++;
	queue_add(q, head, room);
	queue_publish(q);
}

/* Takes calls that wait, in order, as long as there are slots. What ends something travels alone: then the record is the truth. */
static void issue_waiting(struct vr_device *dev)
{
	while (dev->waiting != NULL && dev->dead == NULL) {
		struct vr_call *call = dev->waiting;
		bool company = dev->in_flight_count > 0;
		unsigned slot = 0;

		/* Nothing is asked for before the limits are known by which it is judged. */
		if (company && (dev->alone || verb_alone(call) || !dev->limits_known || dev->in_flight_count == dev->slot_count))
			return;
		while (dev->in_flight[slot] != NULL)
			slot++;
		dev->waiting = call->next;
		if (dev->waiting == NULL)
			dev->waiting_end = &dev->waiting;
		uint8_t *bytes = dev->slots.bytes + slot * SLOT_BYTES + AT_REQUEST;

		memset(bytes, 0, SLOT_REQUEST_MAX);
		int error = verb_prepare(dev, call, bytes);

		if (error != 0) {
			settle(dev, call, error);
			continue;
		}
		dev->alone = verb_alone(call);
		issue(dev, call, slot);
	}
}

void vr_submit(struct vr_device *dev, struct vr_call *call)
{
	call->next = NULL;
	call->request.bytes = NULL;
	if (dev->dead != NULL || call->command >= COMMANDS) {
		settle(dev, call, dev->dead != NULL ? EIO : EINVAL);
		return;
	}
	*dev->waiting_end = call;
	dev->waiting_end = &call->next;
	issue_waiting(dev);
}

static int answered(struct vr_device *dev, uint32_t head, uint32_t length)
{
	unsigned slot = (dev->features & F_INDIRECT_DESC) != 0 ? head : head / 2;
	struct vr_call *call = dev->in_flight[slot];
	const uint8_t *from = dev->slots.bytes + (FAULT_SHARED_ACK ? 0 : slot) * SLOT_BYTES + AT_RESULT - 1;
	uint64_t result[16]; /* the copy that is judged (HOST-32) */
	uint8_t ack = *(const volatile uint8_t *)from;

	copy_once(result, from + 1, sizeof result);
	_Static_assert(sizeof result >= sizeof(struct wire_device), "room for every result");
	if (length == 0 || ack > ACK_ERR || (ack == ACK_OK && length != 1 + verb_result_bytes(call)))
		return give_up(dev, "an answer of the wrong length or with an unknown ack (HOST-10, HOST-11, HOST-12)");
	dev->in_flight[slot] = NULL;
	dev->in_flight_count--;
	dev->alone = false;
	if (ack == ACK_ERR) {
		settle(dev, call, verb_refused(dev, call));
		return 0;
	}
	if (verb_accepted(dev, call, result) != 0) {
		settle(dev, call, EIO);
		return -1;
	}
	settle(dev, call, 0);
	return 0;
}

static void take_answers(struct vr_device *dev)
{
	uint32_t head, length;

	queue_interrupts(dev->control, false);
	do
		while (queue_take(dev->control, &head, &length) > 0)
			if (answered(dev, head, length) != 0)
				return;
	while (dev->dead == NULL && queue_interrupts(dev->control, true));
	issue_waiting(dev);
}

static void interrupted(void *context, int source)
{
	struct vr_device *dev = context;
	uint32_t cqn = source - dev->control->index - 1;
	uint8_t status;

	if (dev->dead != NULL)
		return;
	if (source == OS_CONFIG) {
		if (os_status(dev->os, &status) != 0 || (status & STATUS_NEEDS_RESET) != 0)
			give_up(dev, "the device needs a reset or is gone");
	} else if ((unsigned)source == dev->control->index) {
		take_answers(dev);
	} else if (dev->cqs != NULL && cqn < dev->max_cq && dev->cqs[cqn] != NULL && dev->cqs[cqn]->armed > 0) {
		struct vr_cq *cq = dev->cqs[cqn];

		cq->armed--; /* CQ-47: one that the program has not armed for is none of its business */
		if (cq->on_event != NULL)
			cq->on_event(cq);
	}
}

static int set_status(struct vr_device *dev, uint8_t *status, uint8_t bit)
{
	*status |= bit;
	return os_set_status(dev->os, *status) == 0 ? 0 : give_up(dev, "the device is gone");
}

static int negotiate(struct vr_device *dev, uint8_t *status, uint64_t needed)
{
	uint64_t offered;
	uint8_t now;

	if (os_features(dev->os, &offered) != 0)
		return give_up(dev, "the device is gone");
	if ((offered & needed) != needed)
		return give_up(dev, "a feature that is needed is not offered (FEAT-07)");
	dev->features = offered & (needed | F_INDIRECT_DESC | F_EVENT_IDX);
	if (os_accept(dev->os, dev->features) != 0 || set_status(dev, status, STATUS_FEATURES_OK) != 0)
		return give_up(dev, "the device is gone");
	if (os_status(dev->os, &now) != 0 || (now & STATUS_FEATURES_OK) == 0)
		return give_up(dev, "the device does not accept the features (FEAT-23)");
	return 0;
}

static int configure(struct vr_device *dev, bool net)
{
	uint8_t config[CONFIG_NET_BYTES];
	uint32_t numbers[2];
	uint16_t mtu;

	if (os_config(dev->os, config, net ? CONFIG_NET_BYTES : CONFIG_RDMA_BYTES) != 0)
		return give_up(dev, "the configuration is too short (CONF-06)");
	memcpy(numbers, config + (net ? 24 : 0), sizeof numbers);
	memcpy(&mtu, config + (net ? 10 : 8), sizeof mtu);
	dev->max_qp = le32toh(numbers[0]);
	dev->max_cq = le32toh(numbers[1]);
	if (dev->max_qp - 1 >= 16384 || dev->max_cq - 1 >= 16384)
		return give_up(dev, "the configuration has impossible limits (CONF-05)");
	dev->active_mtu = 5;
	while (dev->active_mtu > 1 && (128 << dev->active_mtu) + 96 > le16toh(mtu))
		dev->active_mtu--;
	return 0;
}

static int open_queues(struct vr_device *dev, unsigned control)
{
	dev->queue_count = 1 + dev->max_cq + 2 * dev->max_qp;
	dev->control = calloc(dev->queue_count, sizeof *dev->control);
	dev->cqs = calloc(dev->max_cq, sizeof *dev->cqs);
	dev->qps = calloc(dev->max_qp, sizeof *dev->qps);
	if (dev->control == NULL || dev->cqs == NULL || dev->qps == NULL)
		return give_up(dev, "no memory for the queues");
	dev->cq_queues = dev->control + 1;
	dev->qp_queues = dev->cq_queues + dev->max_cq;
	for (unsigned n = 0; n < dev->queue_count; n++)
		if (n - dev->max_cq - 1 > 1 && queue_open(dev, &dev->control[n], control + n) != 0) /* pair 0 is never used */
			return -1;
	/* A command is a chain of two descriptors, in the ring or in a table. */
	dev->slot_count = (dev->features & F_INDIRECT_DESC) != 0 && dev->control->size > 1 ? dev->control->size
											 : dev->control->size / 2;
	if (dev->slot_count > SLOTS_MAX)
		dev->slot_count = SLOTS_MAX;
	if (dev->slot_count == 0 || os_dma_alloc(dev->os, SLOTS_MAX * SLOT_BYTES, 64, &dev->slots) != 0)
		return give_up(dev, "no room for commands");
	return 0;
}

static void limits_came(struct vr_call *call)
{
	struct vr_device *dev = call->context;

	if (call->error != 0) {
		give_up(dev, "the device does not tell its limits");
		return;
	}
	dev->limits = call->out.limits;
	dev->limits_known = true;
}

int vr_start(struct vr_device *dev, struct os *os)
{
	uint8_t status = 0, now = 0;

	*dev = (struct vr_device){ .os = os, .waiting_end = &dev->waiting };
	bool net = os_device_type(os) == TYPE_NET;

	if (!net && os_device_type(os) != TYPE_RDMA)
		return give_up(dev, "not a device for RDMA");
	dev->class = net ? 6 : 0;
	if (os_set_status(os, 0) != 0)
		return give_up(dev, "the device is gone");
	do
		if (os_status(os, &now) != 0)
			return give_up(dev, "the device is gone");
	while (now != 0);
	if (set_status(dev, &status, STATUS_ACKNOWLEDGE) != 0 || set_status(dev, &status, STATUS_DRIVER) != 0)
		return -1;
	if (negotiate(dev, &status, net ? F_VERSION_1 | F_CTRL_VQ | F_ROCE : F_VERSION_1) != 0)
		return -1;
	if (configure(dev, net) != 0 || open_queues(dev, net ? 2 : 0) != 0)
		return -1;
	queue_interrupts(dev->control, true);
	os_on_interrupt(os, interrupted, dev);
	if (set_status(dev, &status, STATUS_DRIVER_OK) != 0)
		return -1;

	dev->first = (struct vr_call){ .command = QUERY_DEVICE, .done = limits_came, .context = dev };
	vr_submit(dev, &dev->first);
	return dev->dead == NULL ? 0 : -1;
}

static void wait_is_over(struct vr_call *call)
{
	*(bool *)call->context = true;
}

int vr_wait(struct vr_device *dev, struct vr_call *call)
{
	bool over = false;

	call->done = wait_is_over;
	call->context = &over;
	vr_submit(dev, call);
	while (!over)
		if (os_wait(dev->os, -1) != 0)
			give_up(dev, "the device is gone");
	return call->error;
}

void vr_stop(struct vr_device *dev)
{
	uint8_t now = 0;

	dev->dead = "stopped";
	end_calls(dev);
	os_set_status(dev->os, 0);
	while (os_status(dev->os, &now) == 0 && now != 0)
		;
	/* Only now is the memory the driver's again (RST-37). Of DMA memory the system takes all back with the machine. */
	for (enum vr_kind kind = 0; kind < KINDS; kind++)
		for (struct vr_object *object = dev->objects[kind]; object != NULL; object = object->next) {
			object->alive = false;
			if (kind == KIND_CQ)
				cq_free((struct vr_cq *)object);
			if (kind == KIND_QP) {
				free(((struct vr_qp *)object)->sends.log);
				free(((struct vr_qp *)object)->recvs.log);
			}
		}
	for (unsigned n = 0; dev->control != NULL && n < dev->queue_count; n++)
		free(dev->control[n].room);
	free(dev->control);
	free(dev->cqs);
	free(dev->qps);
}
