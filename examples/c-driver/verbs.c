/* The 18 commands: chapters 5, 6 and 9, and the errnos of 10.1. `in` and `out` are members of struct vr_call. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "internal.h"

bool exists(const struct vr_device *dev, const struct vr_object *object, enum vr_kind kind)
{
	return object != NULL && object->alive && object->dev == dev && object->kind == kind;
}

/* Makes a new object known. The device must not use the number of one that is alive. */
static int adopt(struct vr_device *dev, struct vr_call *call, enum vr_kind kind, uint32_t number)
{
	struct vr_object *object = call->object, *pd = kind > KIND_CQ ? OBJECT(call->pd) : NULL;

	for (const struct vr_object *other = dev->objects[kind]; other != NULL; other = other->next)
		if (other->number == number)
			return give_up(dev, "a new object has the number of one that exists (HOST-13)");
	*object = (struct vr_object){ .dev = dev, .kind = kind, .number = number, .pd = pd, .alive = true };
	object->next = dev->objects[kind];
	dev->objects[kind] = object;
	dev->counts[kind]++;
	if (pd != NULL)
		pd->uses++;
	return 0;
}

static void forget(struct vr_device *dev, struct vr_object *object)
{
	struct vr_object **at = &dev->objects[object->kind];

	while (*at != object)
		at = &(*at)->next;
	*at = object->next;
	dev->counts[object->kind]--;
	if (object->pd != NULL)
		object->pd->uses--;
	object->alive = false;
}

/* QUERY_DEVICE: out.limits */
static int got_device(struct vr_device *dev, struct vr_call *call, const void *result)
{
	const struct wire_device *r = result;

	call->out.limits = (struct vr_limits){
		.max_mr_size = le64toh(r->max_mr_size), .page_size_cap = le64toh(r->page_size_cap),
		.max_qp_wr = le32toh(r->max_qp_wr), .max_send_sge = le32toh(r->max_send_sge),
		.max_recv_sge = le32toh(r->max_recv_sge), .max_sge_rd = le32toh(r->max_sge_rd),
		.max_cqe = le32toh(r->max_cqe), .max_mr = le32toh(r->max_mr), .max_pd = le32toh(r->max_pd),
		.max_qp_rd_atom = le32toh(r->max_qp_rd_atom), .max_qp_init_rd_atom = le32toh(r->max_qp_init_rd_atom),
		.max_ah = le32toh(r->max_ah), .max_qp = dev->max_qp, .max_cq = dev->max_cq,
	};
	return 0;
}

/* QUERY_PORT: out.port */
static int got_port(struct vr_device *dev, struct vr_call *call, const void *result)
{
	const struct wire_port *r = result;

	call->out.port = (struct vr_port){ le32toh(r->gid_tbl_len), le32toh(r->max_msg_sz), dev->active_mtu };
	return 0;
}

/* CREATE_CQ: object, a struct vr_cq; in.cq */
static int prepare_create_cq(struct vr_device *dev, struct vr_call *call, void *request)
{
	struct vr_cq *cq = (struct vr_cq *)call->object;
	uint32_t cqe = call->in.cq.cqe;

	if (cqe == 0 || cqe > dev->limits.max_cqe)
		return EINVAL;
	memset(cq, 0, sizeof *cq);
	cq->cqe = cqe;
	cq->on_event = call->in.cq.on_event;
	cq->context = call->in.cq.context;
	cq->ready = calloc(cqe, sizeof *cq->ready);
	cq->kept = calloc(cqe, sizeof *cq->kept);
	if (cq->ready == NULL || cq->kept == NULL ||
	    os_dma_alloc(dev->os, (size_t)cqe * COMPLETION_BYTES, 16, &cq->buffers) != 0) {
		free(cq->ready);
		free(cq->kept);
		return ENOMEM;
	}
	*(struct wire_create_cq *)request = (struct wire_create_cq){ htole32(cqe) };
	return 0;
}

void cq_free(struct vr_cq *cq)
{
	free(cq->ready);
	free(cq->kept);
}

static int got_cq(struct vr_device *dev, struct vr_call *call, const void *result)
{
	struct vr_cq *cq = (struct vr_cq *)call->object;
	uint32_t cqn = call->object->number;

	if (cqn >= dev->max_cq)
		return give_up(dev, "a cqn that cannot be (HOST-14)");
	cq->queue = &dev->cq_queues[cqn];
	if (cq->queue->out > 0 || cq->cqe > cq->queue->size)
		return give_up(dev, "more completions than the queue has entries");
	dev->cqs[cqn] = cq;
	for (uint32_t i = 0; i < cq->cqe; i++)
		cq_refill(cq, &i, 1);
	queue_publish(cq->queue);
	return 0;
}

static void release_cq(struct vr_device *dev, struct vr_call *call)
{
	struct vr_cq *cq = (struct vr_cq *)call->object;

	os_dma_free(dev->os, &cq->buffers);
	cq_free(cq);
}

/* DESTROY_CQ: object. Buffers that come free meanwhile are kept: the device could miss them when it returns all (RST-12). */
static int prepare_destroy_cq(struct vr_device *dev, struct vr_call *call, void *request)
{
	((struct vr_cq *)call->object)->closing = true;
	return 0;
}

static int destroyed_cq(struct vr_device *dev, struct vr_call *call, const void *result)
{
	struct vr_cq *cq = (struct vr_cq *)call->object;

	if (cq_collect(dev, cq) != 0)
		return -1;
	if (cq->queue->out > 0)
		return give_up(dev, "a completion buffer did not come back (HOST-27)");
	dev->cqs[cq->object.number] = NULL;
	release_cq(dev, call);
	return 0;
}

static void refused_destroy_cq(struct vr_device *dev, struct vr_call *call)
{
	struct vr_cq *cq = (struct vr_cq *)call->object;

	cq->closing = false;
	cq_refill(cq, cq->kept, cq->kept_count);
	cq->kept_count = 0;
	queue_publish(cq->queue);
}

/* REQ_NOTIFY_CQ: object; in.solicited_only. The event may come before the answer: counted from here on (CQ-48). */
static int prepare_notify(struct vr_device *dev, struct vr_call *call, void *request)
{
	((struct wire_req_notify *)request)->flags = htole32(call->in.solicited_only ? 1 : 2);
	((struct vr_cq *)call->object)->armed += !FAULT_ARMED_AT_THE_ANSWER;
	return 0;
}

static int armed(struct vr_device *dev, struct vr_call *call, const void *result)
{
	struct vr_cq *cq = (struct vr_cq *)call->object;

	if (cq->armed == 0)
		cq->armed = 1; /* an interrupt meanwhile may have been a stray one (CQ-49) */
	return 0;
}

static void refused_notify(struct vr_device *dev, struct vr_call *call)
{
	struct vr_cq *cq = (struct vr_cq *)call->object;

	if (cq->armed > 0)
		cq->armed--;
}

/* GET_DMA_MR: object, a struct vr_mr; pd; in.mr.access */
static int prepare_dma_mr(struct vr_device *dev, struct vr_call *call, void *request)
{
	struct vr_mr *mr = (struct vr_mr *)call->object;

	*mr = (struct vr_mr){ .access = call->in.mr.access };
	*(struct wire_get_dma_mr *)request =
		(struct wire_get_dma_mr){ htole32(call->pd->object.number), htole32(mr->access) };
	return 0;
}

static void release_pages(struct vr_device *dev, uint64_t addr, uint64_t pages)
{
	for (uint64_t n = 0; n < pages; n++)
		os_release(dev->os, addr + n * PAGE);
}

static uint64_t page_count(uint64_t addr, uint64_t length)
{
	return length == 0 ? 0 : (addr + length - 1) / PAGE - addr / PAGE + 1;
}

/* REG_USER_MR: object, a struct vr_mr; pd; in.mr */
static int prepare_user_mr(struct vr_device *dev, struct vr_call *call, void *request)
{
	struct vr_mr *mr = (struct vr_mr *)call->object;
	uint64_t addr = call->in.mr.addr, length = call->in.mr.length, first = addr - addr % PAGE;

	if (length == 0 || length > dev->limits.max_mr_size || addr + length < addr)
		return EINVAL;
	uint64_t pages = page_count(addr, length), listed = pages - (FAULT_PAGE_LIST_SHORT && pages > 2);
	uint32_t bytes = sizeof(struct wire_reg_user_mr) + 8 * listed; /* which does not fit into a slot */

	if (os_dma_alloc(dev->os, 8 + bytes, 8, &call->request) != 0)
		return ENOMEM;
	struct wire_reg_user_mr *r = (struct wire_reg_user_mr *)(call->request.bytes + 8);

	for (uint64_t n = 0; n < pages; n++) {
		uint64_t page;

		if (os_translate(dev->os, first + n * PAGE, &page) != 0) {
			release_pages(dev, first, n);
			return EFAULT;
		}
		if (n < listed)
			r->pages[n] = htole64(page);
	}
	r->pdn = htole32(call->pd->object.number);
	r->access_flags = htole32(call->in.mr.access);
	r->virt_addr = htole64(addr);
	r->length = htole64(length);
	r->npages = htole32(listed);
	call->request_bytes = bytes;
	*mr = (struct vr_mr){ .access = call->in.mr.access, .addr = addr, .length = length };
	return 0;
}

static int got_mr(struct vr_device *dev, struct vr_call *call, const void *result)
{
	struct vr_mr *mr = (struct vr_mr *)call->object;
	const struct wire_mr *r = result;
	bool remote = (mr->access & (ACCESS_REMOTE_WRITE | ACCESS_REMOTE_READ)) != 0;

	mr->lkey = le32toh(r->lkey);
	mr->rkey = le32toh(r->rkey);
	if (mr->lkey == 0 || (mr->rkey != 0) != remote)
		return give_up(dev, "keys that cannot be (HOST-16, HOST-17)");
	for (const struct vr_object *other = dev->objects[KIND_MR]; other != NULL; other = other->next)
		if (other != call->object && ((const struct vr_mr *)other)->lkey == mr->lkey)
			return give_up(dev, "the key of a region that exists (HOST-16)");
	if (FAULT_KEY_OF_A_FREED_REGION && dev->freed_lkey != 0)
		mr->lkey = dev->freed_lkey;
	return 0;
}

static void release_mr(struct vr_device *dev, struct vr_call *call)
{
	const struct vr_mr *mr = (const struct vr_mr *)call->object;

	release_pages(dev, mr->addr, page_count(mr->addr, mr->length));
}

/* DEREG_MR: object */
static int gone_mr(struct vr_device *dev, struct vr_call *call, const void *result)
{
	release_mr(dev, call); /* not before the answer (RST-18) */
	dev->freed_lkey = FAULT_KEY_OF_A_FREED_REGION ? ((const struct vr_mr *)call->object)->lkey : 0;
	return 0;
}

static struct wire_cap wire_cap(const struct vr_cap *cap)
{
	return (struct wire_cap){ htole32(cap->max_send_wr), htole32(cap->max_recv_wr), htole32(cap->max_send_sge),
				  htole32(cap->max_recv_sge), htole32(cap->max_inline_data), 0 };
}

static struct wire_ah_attr wire_ah(const struct vr_ah_attr *ah)
{
	struct wire_ah_attr wire = { .flow_label = htole32(ah->flow_label), .sgid_index = ah->sgid_index,
				     .hop_limit = ah->hop_limit, .traffic_class = ah->traffic_class };

	memcpy(wire.dgid, ah->dgid, sizeof wire.dgid);
	return wire;
}

/* CREATE_QP: object, a struct vr_qp; pd; in.qp */
static int prepare_create_qp(struct vr_device *dev, struct vr_call *call, void *request)
{
	struct vr_qp *qp = (struct vr_qp *)call->object;
	const struct vr_cap *cap = &call->in.qp.cap;
	const struct vr_limits *limits = &dev->limits;

	if (!exists(dev, OBJECT(call->in.qp.send_cq), KIND_CQ) || !exists(dev, OBJECT(call->in.qp.recv_cq), KIND_CQ))
		return EINVAL;
	if (cap->max_send_wr > limits->max_qp_wr || cap->max_recv_wr > limits->max_qp_wr ||
	    cap->max_send_sge > limits->max_send_sge || cap->max_recv_sge > limits->max_recv_sge ||
	    cap->max_inline_data > INLINE_MAX)
		return EINVAL;
	memset(qp, 0, sizeof *qp);
	qp->type = call->in.qp.type;
	qp->sig_all = call->in.qp.sig_all;
	qp->send_cq = call->in.qp.send_cq;
	qp->recv_cq = call->in.qp.recv_cq;
	qp->cap = *cap;
	if (requests_open(dev, &qp->sends, cap->max_send_wr,
			  sizeof(struct wire_send) + cap->max_send_sge * sizeof(struct wire_sge)) != 0)
		return ENOMEM;
	if (requests_open(dev, &qp->recvs, cap->max_recv_wr,
			  sizeof(struct wire_recv) + cap->max_recv_sge * sizeof(struct wire_sge)) != 0) {
		requests_close(dev, &qp->sends);
		return ENOMEM;
	}
	*(struct wire_create_qp *)request = (struct wire_create_qp){
		.pdn = htole32(call->pd->object.number), .qp_type = qp->type, .sq_sig_all = qp->sig_all,
		.send_cqn = htole32(qp->send_cq->object.number), .recv_cqn = htole32(qp->recv_cq->object.number),
		.cap = wire_cap(cap), .padding = { FAULT_RESERVED_BYTES, 0 },
	};
	return 0;
}

static int got_qp(struct vr_device *dev, struct vr_call *call, const void *result)
{
	struct vr_qp *qp = (struct vr_qp *)call->object;
	uint32_t qpn = call->object->number;

	if (qpn >= dev->max_qp || qpn == 0 || (qpn == GSI_NUMBER) != (qp->type == QP_GSI))
		return give_up(dev, "a qpn that cannot be (HOST-15)");
	qp->sends.queue = &dev->qp_queues[2 * qpn];
	qp->recvs.queue = &dev->qp_queues[2 * qpn + 1];
	if (qp->cap.max_send_wr > qp->sends.queue->size || qp->cap.max_recv_wr > qp->recvs.queue->size)
		return give_up(dev, "more requests than the queue has entries");
	dev->qps[qpn] = qp;
	qp->send_cq->object.uses++;
	qp->recv_cq->object.uses++;
	return 0;
}

static void release_qp(struct vr_device *dev, struct vr_call *call)
{
	struct vr_qp *qp = (struct vr_qp *)call->object;

	requests_close(dev, &qp->sends);
	requests_close(dev, &qp->recvs);
}

/* Whether the table of 6.4 may have a change. Only RESET and ERR are left by nothing unseen (QP-34). */
static bool may_modify(const struct vr_qp *qp, uint32_t mask, uint8_t to)
{
	uint32_t others = mask & ~(uint32_t)ATTR_STATE;

	if (qp->modifying > 0 || (qp->state != QPS_RESET && qp->state != QPS_ERR))
		return true;
	if ((mask & ATTR_STATE) == 0)
		to = qp->state;
	if (to == QPS_RESET || to == qp->state)
		return others == 0;
	return qp->state == QPS_RESET && to == QPS_INIT &&
	       others == (qp->type == QP_RC || qp->type == QP_UC ? ATTR_ACCESS : ATTR_QKEY);
}

static bool to_reset(const struct vr_qp_attr *a)
{
	return (a->mask & ATTR_STATE) != 0 && a->state == QPS_RESET;
}

/* MODIFY_QP: object; in.attr */
static int prepare_modify_qp(struct vr_device *dev, struct vr_call *call, void *request)
{
	struct vr_qp *qp = (struct vr_qp *)call->object;
	const struct vr_qp_attr *a = &call->in.attr;
	struct wire_modify_qp *r = request;

	if (!may_modify(qp, a->mask, a->state))
		return EINVAL;
	*r = (struct wire_modify_qp){
		.qpn = htole32(qp->object.number), .attr_mask = htole32(a->mask), .qp_state = a->state,
		.cur_qp_state = a->cur_state, .path_mtu = a->path_mtu, .max_rd_atomic = a->max_rd_atomic,
		.max_dest_rd_atomic = a->max_dest_rd_atomic, .min_rnr_timer = a->min_rnr_timer,
		.timeout = a->timeout, .retry_cnt = a->retry_cnt, .rnr_retry = a->rnr_retry, .qkey = htole32(a->qkey),
		.rq_psn = htole32(a->rq_psn), .sq_psn = htole32(a->sq_psn), .dest_qp_num = htole32(a->dest_qpn),
		.qp_access_flags = htole32(a->access), .rate_limit = htole32(a->rate_limit),
		.cap = wire_cap(&a->cap), .ah_attr = wire_ah(&a->ah),
	};
	qp->modifying++;
	/* What is posted while all is thrown away could miss the moment and stay in the ring: kept back until the answer. */
	qp->discarding += to_reset(a);
	return 0;
}

/* All requests of a queue pair are gone. Its completions so far are taken out first: its number may come again (CQ-55). */
static int discarded(struct vr_device *dev, struct vr_qp *qp)
{
	struct vr_requests *both[] = { &qp->sends, &qp->recvs };

	if (cq_collect(dev, qp->send_cq) != 0 || cq_collect(dev, qp->recv_cq) != 0)
		return -1;
	for (int i = 0; i < 2; i++) {
		if (requests_reclaim(both[i]) != 0)
			return -1;
		if (both[i]->queue->out > 0)
			return give_up(dev, "a request did not come back (HOST-26)");
		requests_clear(both[i]);
	}
	qp->state = QPS_RESET;
	qp->max_rd_atomic = 0;
	qp->has_av = false;
	qp->discarding--;
	return 0;
}

static int modified_qp(struct vr_device *dev, struct vr_call *call, const void *result)
{
	struct vr_qp *qp = (struct vr_qp *)call->object;
	const struct vr_qp_attr *a = &call->in.attr;

	qp->modifying--;
	if (to_reset(a))
		return discarded(dev, qp);
	if ((a->mask & ATTR_STATE) != 0)
		qp->state = a->state;
	if ((a->mask & ATTR_MAX_RD_ATOMIC) != 0)
		qp->max_rd_atomic = a->max_rd_atomic;
	qp->has_av = qp->has_av || (a->mask & ATTR_AV) != 0;
	return 0;
}

static void go_on_posting(struct vr_qp *qp)
{
	if (--qp->discarding > 0)
		return;
	requests_release(&qp->sends);
	requests_release(&qp->recvs);
}

static void refused_modify(struct vr_device *dev, struct vr_call *call)
{
	struct vr_qp *qp = (struct vr_qp *)call->object;

	qp->modifying--;
	if (to_reset(&call->in.attr))
		go_on_posting(qp);
}

/* QUERY_QP: object; out.attr */
static int prepare_query_qp(struct vr_device *dev, struct vr_call *call, void *request)
{
	((struct wire_query_qp *)request)->attr_mask = htole32(ATTR_ALL);
	return 0;
}

static int got_attributes(struct vr_device *dev, struct vr_call *call, const void *result)
{
	struct vr_qp *qp = (struct vr_qp *)call->object;
	const struct wire_qp *r = result;
	struct vr_qp_attr *a = &call->out.attr;

	if (r->qp_state > QPS_ERR)
		return give_up(dev, "a state that is in no table (HOST-18)");
	*a = (struct vr_qp_attr){
		.mask = qp->has_av ? ATTR_ALL : ATTR_ALL & ~ATTR_AV, .state = r->qp_state, .cur_state = r->qp_state,
		.path_mtu = r->path_mtu, .sq_draining = r->sq_draining == 1, .max_rd_atomic = r->max_rd_atomic,
		.max_dest_rd_atomic = r->max_dest_rd_atomic, .min_rnr_timer = r->min_rnr_timer,
		.timeout = r->timeout, .retry_cnt = r->retry_cnt, .rnr_retry = r->rnr_retry, .qkey = le32toh(r->qkey),
		.rq_psn = le32toh(r->rq_psn), .sq_psn = le32toh(r->sq_psn), .dest_qpn = le32toh(r->dest_qp_num),
		.access = le32toh(r->qp_access_flags), .rate_limit = le32toh(r->rate_limit),
		.cap = { le32toh(r->cap.max_send_wr), le32toh(r->cap.max_recv_wr), le32toh(r->cap.max_send_sge),
			 le32toh(r->cap.max_recv_sge), le32toh(r->cap.max_inline_data) },
		.ah = { .flow_label = le32toh(r->ah_attr.flow_label), .sgid_index = r->ah_attr.sgid_index,
			.hop_limit = r->ah_attr.hop_limit, .traffic_class = r->ah_attr.traffic_class },
	};
	memcpy(a->ah.dgid, r->ah_attr.dgid, sizeof a->ah.dgid);
	qp->state = r->qp_state;
	return 0;
}

/* DESTROY_QP: object */
static int prepare_destroy_qp(struct vr_device *dev, struct vr_call *call, void *request)
{
	((struct vr_qp *)call->object)->discarding++;
	return 0;
}

static int destroyed_qp(struct vr_device *dev, struct vr_call *call, const void *result)
{
	struct vr_qp *qp = (struct vr_qp *)call->object;

	if (discarded(dev, qp) != 0)
		return -1;
	dev->qps[qp->object.number] = NULL;
	qp->send_cq->object.uses--;
	qp->recv_cq->object.uses--;
	release_qp(dev, call);
	return 0;
}

static void refused_destroy_qp(struct vr_device *dev, struct vr_call *call)
{
	go_on_posting((struct vr_qp *)call->object);
}

/* CREATE_AH: object, a struct vr_ah; pd; in.ah */
static int prepare_create_ah(struct vr_device *dev, struct vr_call *call, void *request)
{
	*(struct wire_create_ah *)request =
		(struct wire_create_ah){ htole32(call->pd->object.number), 0, wire_ah(&call->in.ah) };
	return 0;
}

/* DESTROY_AH: object */
static int prepare_destroy_ah(struct vr_device *dev, struct vr_call *call, void *request)
{
	const struct vr_object *ah = call->object;

	*(struct wire_destroy_ah *)request = (struct wire_destroy_ah){ htole32(ah->pd->number), htole32(ah->number) };
	return 0;
}

/* ADD_GID: in.gid */
static int prepare_add_gid(struct vr_device *dev, struct vr_call *call, void *request)
{
	struct wire_add_gid *r = request;

	r->index = htole16(call->in.gid.index);
	memcpy(r->gid, call->in.gid.gid, sizeof r->gid);
	return 0;
}

/* DEL_GID: in.gid.index */
static int prepare_del_gid(struct vr_device *dev, struct vr_call *call, void *request)
{
	*(struct wire_del_gid *)request = (struct wire_del_gid){ htole16(call->in.gid.index) };
	return 0;
}

/* What a command does to `call->object`. One that ends something travels alone. */
enum use { NOTHING, CREATES, CHANGES, ENDS };
enum { NUMBER = sizeof(struct wire_number) };

static const struct verb {
	uint16_t request, result; /* bytes of the two structs */
	enum use use;
	enum vr_kind kind;
	/* What is particular to a command; each may be null. Checks the arguments and fills in the struct, which is zero but for the number. */
	int (*prepare)(struct vr_device *dev, struct vr_call *call, void *request);
	/* The answer is OK: -1 when it gives the device up. */
	int (*accepted)(struct vr_device *dev, struct vr_call *call, const void *result);
	/* The device refused: takes back what prepare() did. */
	void (*refused)(struct vr_device *dev, struct vr_call *call);
} verbs[COMMANDS] = {
	[QUERY_DEVICE] = { 0, sizeof(struct wire_device), NOTHING, 0, NULL, got_device, NULL },
	[QUERY_PORT] = { 0, sizeof(struct wire_port), NOTHING, 0, NULL, got_port, NULL },
	[CREATE_CQ] = { sizeof(struct wire_create_cq), NUMBER, CREATES, KIND_CQ, prepare_create_cq, got_cq, release_cq },
	[DESTROY_CQ] = { NUMBER, 0, ENDS, KIND_CQ, prepare_destroy_cq, destroyed_cq, refused_destroy_cq },
	[REQ_NOTIFY_CQ] = { sizeof(struct wire_req_notify), 0, CHANGES, KIND_CQ, prepare_notify, armed, refused_notify },
	/* Nothing is particular to a struct vr_pd. */
	[CREATE_PD] = { 0, NUMBER, CREATES, KIND_PD, NULL, NULL, NULL },
	[DESTROY_PD] = { NUMBER, 0, ENDS, KIND_PD, NULL, NULL, NULL },
	[GET_DMA_MR] = { sizeof(struct wire_get_dma_mr), sizeof(struct wire_mr), CREATES, KIND_MR, prepare_dma_mr, got_mr, release_mr },
	[REG_USER_MR] = { 0, sizeof(struct wire_mr), CREATES, KIND_MR, prepare_user_mr, got_mr, release_mr },
	[DEREG_MR] = { NUMBER, 0, ENDS, KIND_MR, NULL, gone_mr, NULL },
	[CREATE_QP] = { sizeof(struct wire_create_qp), NUMBER, CREATES, KIND_QP, prepare_create_qp, got_qp, release_qp },
	[MODIFY_QP] = { sizeof(struct wire_modify_qp), 0, CHANGES, KIND_QP, prepare_modify_qp, modified_qp, refused_modify },
	[QUERY_QP] = { sizeof(struct wire_query_qp), sizeof(struct wire_qp), CHANGES, KIND_QP, prepare_query_qp, got_attributes, NULL },
	[DESTROY_QP] = { NUMBER, 0, ENDS, KIND_QP, prepare_destroy_qp, destroyed_qp, refused_destroy_qp },
	[CREATE_AH] = { sizeof(struct wire_create_ah), NUMBER, CREATES, KIND_AH, prepare_create_ah, NULL, NULL },
	[DESTROY_AH] = { sizeof(struct wire_destroy_ah), 0, ENDS, KIND_AH, prepare_destroy_ah, NULL, NULL },
	[ADD_GID] = { sizeof(struct wire_add_gid), 0, NOTHING, 0, prepare_add_gid, NULL, NULL },
	[DEL_GID] = { sizeof(struct wire_del_gid), 0, NOTHING, 0, prepare_del_gid, NULL, NULL },
};

bool verb_alone(const struct vr_call *call)
{
	return verbs[call->command].use == ENDS;
}

uint32_t verb_result_bytes(const struct vr_call *call)
{
	return verbs[call->command].result;
}

int verb_prepare(struct vr_device *dev, struct vr_call *call, void *request)
{
	const struct verb *verb = &verbs[call->command];

	call->request_bytes = verb->request;
	if (verb->use == CREATES && verb->kind > KIND_CQ && !exists(dev, OBJECT(call->pd), KIND_PD))
		return EINVAL;
	if (verb->use == CHANGES || verb->use == ENDS) {
		if (!exists(dev, call->object, verb->kind))
			return EINVAL;
		((struct wire_number *)request)->number = htole32(call->object->number);
	}
	return verb->prepare == NULL ? 0 : verb->prepare(dev, call, request);
}

int verb_accepted(struct vr_device *dev, struct vr_call *call, const void *result)
{
	const struct verb *verb = &verbs[call->command];
	const struct wire_number *number = result;

	if (verb->use == CREATES && adopt(dev, call, verb->kind, le32toh(number->number)) != 0)
		return -1;
	if (verb->accepted != NULL && verb->accepted(dev, call, result) != 0)
		return -1;
	if (verb->use == ENDS)
		forget(dev, call->object);
	return 0;
}

/* There are as many as there may be. */
static bool full(const struct vr_device *dev, const struct vr_call *call, enum vr_kind kind)
{
	const uint32_t most[KINDS] = { [KIND_PD] = dev->limits.max_pd, [KIND_CQ] = dev->max_cq,
				       [KIND_MR] = dev->limits.max_mr, [KIND_AH] = dev->limits.max_ah };

	if (kind != KIND_QP)
		return dev->counts[kind] >= most[kind];
	unsigned gsi = dev->max_qp > GSI_NUMBER && dev->qps[GSI_NUMBER] != NULL;

	return call->in.qp.type == QP_GSI ? gsi == 1 : dev->counts[KIND_QP] - gsi + 2 >= dev->max_qp;
}

/* The device does not say why it refuses; what the driver has on record does (ERR-03). */
int verb_refused(struct vr_device *dev, struct vr_call *call)
{
	const struct verb *verb = &verbs[call->command];

	if (verb->refused != NULL)
		verb->refused(dev, call);
	if (verb->use == CREATES && full(dev, call, verb->kind))
		return ENOMEM;
	return verb->use == ENDS && call->object->uses > 0 && !FAULT_NO_USE_COUNT ? EBUSY : EINVAL;
}
