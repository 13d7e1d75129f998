/* Posts, polls and what they keep on record: chapters 7, 8 and 14. Nothing is allocated here for a message. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "internal.h"

int requests_open(struct vr_device *dev, struct vr_requests *r, uint32_t capacity, uint32_t slot_bytes)
{
	*r = (struct vr_requests){ .capacity = capacity, .slot_bytes = (slot_bytes + 15) & ~15u, .log_whole = true };
	r->log = calloc(VR_LOG, sizeof *r->log);
	if (r->log == NULL)
		return -1;
	if (capacity > 0 && os_dma_alloc(dev->os, (size_t)capacity * r->slot_bytes, 16, &r->slots) != 0) {
		free(r->log);
		return -1;
	}
	return 0;
}

void requests_close(struct vr_device *dev, struct vr_requests *r)
{
	if (r->capacity > 0)
		os_dma_free(dev->os, &r->slots);
	free(r->log);
	r->log = NULL;
}

/* Slots are taken in turn and must come back in turn (HOST-25), so two counters say which are free. */
int requests_reclaim(struct vr_requests *r)
{
	uint32_t head, length;
	int came;

	while ((came = queue_take(r->queue, &head, &length)) > 0)
		if (head != r->returned++ % r->capacity)
			return give_up(r->queue->dev, "a request has overtaken another (HOST-25)");
	return came;
}

void requests_release(struct vr_requests *r)
{
	while (r->held > 0)
		queue_add(r->queue, (r->posted - r->held--) % r->capacity, 0);
	queue_publish(r->queue);
}

void requests_clear(struct vr_requests *r)
{
	r->posted = r->returned = r->held = r->log_from = r->log_count = 0;
	r->log_whole = true;
}

static void *next_slot(struct vr_requests *r)
{
	return r->slots.bytes + (size_t)(r->posted % r->capacity) * r->slot_bytes;
}

/* The slot that next_slot() gave is filled in. */
static void post(struct vr_qp *qp, struct vr_requests *r, uint32_t bytes, struct vr_post entry)
{
	uint16_t slot = r->posted++ % r->capacity;

	if (r->log_count == VR_LOG)
		r->log_whole = false; /* more than can be told apart: the record proves nothing any more (14.3) */
	else
		r->log[(r->log_from + r->log_count++) % VR_LOG] = entry;
	queue_describe(r->queue, slot, r->slots.address + (uint64_t)slot * r->slot_bytes, bytes, 0, 0);
	if (qp->discarding > 0) {
		r->held++;
		return;
	}
	queue_add(r->queue, slot, 0);
	queue_publish(r->queue);
}

static bool has_room(struct vr_requests *r)
{
	return r->posted - r->returned < r->capacity + (FAULT_POST_BEYOND_THE_QUEUE && r->capacity > 0);
}

static uint64_t put_sges(struct wire_sge *to, const struct vr_sge *sges, uint32_t count)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		to[i] = (struct wire_sge){ htole64(sges[i].addr), htole32(sges[i].length), htole32(sges[i].lkey) };
		bytes += sges[i].length;
	}
	return bytes;
}

/* The table of 10.2; 0 when nothing in it is wrong with the request but perhaps the room. */
static int wrong_send(const struct vr_device *dev, const struct vr_qp *qp, const struct vr_send *s)
{
	bool datagram = qp->type == QP_UD || qp->type == QP_GSI, inl = (s->flags & SEND_INLINE) != 0;
	bool plain = s->opcode == OP_SEND || s->opcode == OP_SEND_WITH_IMM;
	uint32_t sges = inl ? 0 : s->sge_count;
	uint64_t bytes = inl ? s->inline_length : 0;

	if (qp->state < QPS_RTS || s->opcode > OP_READ || (datagram && !plain) ||
	    (s->opcode == OP_READ && qp->type != QP_RC))
		return EINVAL;
	if ((s->flags & ~(unsigned)SEND_ALL_FLAGS) != 0 || (inl && s->opcode == OP_READ))
		return EINVAL;
	if (sges > qp->cap.max_send_sge || (s->opcode == OP_READ && sges > dev->limits.max_sge_rd))
		return EINVAL;
	for (uint32_t i = 0; i < sges; i++)
		bytes += s->sges[i].length;
	if (datagram && (s->ah == NULL || bytes > 128u << dev->active_mtu))
		return EINVAL;
	if ((inl && bytes > qp->cap.max_inline_data) || (s->opcode == OP_READ && qp->max_rd_atomic == 0))
		return EINVAL;
	return 0;
}

int vr_post_send(struct vr_device *dev, struct vr_qp *qp, const struct vr_send *s)
{
	if (dev->dead != NULL)
		return EIO;
	if (!exists(dev, OBJECT(qp), KIND_QP))
		return EINVAL;
	int error = wrong_send(dev, qp, s);

	if (error != 0)
		return error;
	if (requests_reclaim(&qp->sends) != 0)
		return EIO;
	if (!has_room(&qp->sends))
		return ENOMEM;
	bool inl = (s->flags & SEND_INLINE) != 0, plain = s->opcode == OP_SEND || s->opcode == OP_SEND_WITH_IMM;
	bool datagram = qp->type == QP_UD || qp->type == QP_GSI;
	struct wire_send *w = next_slot(&qp->sends);
	uint32_t sges = inl ? 0 : s->sge_count;

	memset(w, 0, sizeof *w);
	w->wr_id = htole64(s->wr_id);
	w->opcode = s->opcode;
	w->send_flags = s->flags;
	if (s->opcode == OP_SEND_WITH_IMM || s->opcode == OP_WRITE_WITH_IMM)
		w->imm_data = htobe32(s->imm);
	if (datagram) {
		/* A handle that is gone is written as one that never was: its number may be another's by now (10.2). */
		bool there = exists(dev, OBJECT(s->ah), KIND_AH);

		w->wr.ud.remote_qpn = htole32(s->remote_qpn);
		w->wr.ud.remote_qkey = htole32(s->remote_qkey);
		w->wr.ud.ah = htole32(there ? s->ah->object.number : NO_HANDLE);
	} else if (!plain) {
		w->wr.rdma.remote_addr = htole64(s->remote_addr);
		w->wr.rdma.rkey = htole32(s->rkey);
	}
	if (inl) {
		if (s->inline_length > 0)
			memcpy(w->inline_data, s->inline_data, s->inline_length);
		w->count.inline_length = htole16(s->inline_length);
	} else {
		w->count.num_sge = htole32(sges);
		put_sges(w->sg_list, s->sges, sges);
	}
	post(qp, &qp->sends, sizeof *w + sges * sizeof(struct wire_sge),
	     (struct vr_post){ s->wr_id, 0, qp->sig_all || (s->flags & SEND_SIGNALED) != 0 });
	return 0;
}

int vr_post_recv(struct vr_device *dev, struct vr_qp *qp, const struct vr_recv *r)
{
	if (dev->dead != NULL)
		return EIO;
	if (!exists(dev, OBJECT(qp), KIND_QP) || qp->state == QPS_RESET || r->sge_count > qp->cap.max_recv_sge)
		return EINVAL;
	if (requests_reclaim(&qp->recvs) != 0)
		return EIO;
	if (!has_room(&qp->recvs))
		return ENOMEM;
	struct wire_recv *w = next_slot(&qp->recvs);

	*w = (struct wire_recv){ htole64(r->wr_id), htole32(r->sge_count), { 0, 0, 0 } };
	uint64_t room = put_sges(w->sg_list, r->sges, r->sge_count);

	post(qp, &qp->recvs, sizeof *w + r->sge_count * sizeof(struct wire_sge),
	     (struct vr_post){ r->wr_id, room, true });
	return 0;
}

/* Finds the post that a completion is of and drops it with those before it. False: there is none that it can be of. */
static bool completes(struct vr_requests *r, const struct vr_wc *wc, uint64_t *room)
{
	*room = UINT64_MAX;
	if (!r->log_whole)
		return true;
	for (uint32_t i = 0; i < r->log_count; i++) {
		const struct vr_post *entry = &r->log[(r->log_from + i) % VR_LOG];

		/* Silent ones have succeeded when a later one completes; one that fails is not silent. */
		if (!entry->signaled && (wc->status == 0 || entry->wr_id != wc->wr_id))
			continue;
		if (entry->wr_id != wc->wr_id)
			return false;
		*room = entry->room;
		r->log_from = (r->log_from + i + 1) % VR_LOG;
		r->log_count -= i + 1;
		return true;
	}
	return false;
}

/* Checks a completion against what was posted, and learns from it. */
static int judge(struct vr_device *dev, struct vr_cq *cq, const struct vr_wc *wc)
{
	struct vr_qp *qp = wc->qp_num < dev->max_qp ? dev->qps[wc->qp_num] : NULL;
	bool failed = wc->status != 0, receive = wc->opcode >= WC_OP_RECV;
	uint64_t room = UINT64_MAX;

	if (wc->status > WC_STATUS_LAST || wc->opcode > WC_OP_LAST || (wc->flags & ~(uint32_t)WC_ALL_FLAGS) != 0)
		return give_up(dev, "a completion with an unknown status, opcode or flag (HOST-20, HOST-21)");
	if (qp == NULL)
		return give_up(dev, "a completion of a queue pair that does not exist (HOST-22)");
	bool of_sends = qp->send_cq == cq && (failed || !receive), of_recvs = qp->recv_cq == cq && (failed || receive);

	if (!of_sends && !of_recvs)
		return give_up(dev, "a completion in the wrong queue (HOST-22)");
	if (!(of_sends && completes(&qp->sends, wc, &room)) && !(of_recvs && completes(&qp->recvs, wc, &room)))
		return give_up(dev, "a completion of a request that was not posted (HOST-23)");
	if (wc->opcode == WC_OP_RECV && wc->byte_len > room)
		return give_up(dev, "more bytes received than there is room for (HOST-24)");
	if (failed) {
		/* Which direction failed is not said, so the record of both ends here. */
		qp->sends.log_whole = qp->recvs.log_whole = false;
		if (qp->type == QP_RC || qp->state < QPS_RTS)
			qp->state = QPS_ERR; /* in RTS and SQD of the others it may be SQE, which allows as much */
	}
	return 0;
}

int cq_collect(struct vr_device *dev, struct vr_cq *cq)
{
	uint32_t buffer, length;
	int came;

	while ((came = queue_take(cq->queue, &buffer, &length)) > 0) {
		struct wire_completion copy, *c = &copy; /* the copy is what is judged (HOST-32) */

		if (length == 0 && cq->closing) {
			cq->kept[cq->kept_count++] = buffer;
			continue;
		}
		if (length != COMPLETION_BYTES)
			return give_up(dev, "a completion of the wrong length (HOST-19)");
		copy_once(&copy, cq->buffers.bytes + (size_t)buffer * COMPLETION_BYTES, sizeof copy);
		struct vr_wc wc = { .wr_id = le64toh(c->wr_id), .status = c->status, .qp_num = le32toh(c->qp_num),
				    .vendor_err = le32toh(c->vendor_err) };

		if (c->status == 0) { /* the rest is void otherwise (CQ-27) */
			wc.opcode = c->opcode;
			wc.byte_len = le32toh(c->byte_len);
			wc.imm = be32toh(c->imm_data);
			wc.src_qp = le32toh(c->src_qp);
			wc.flags = le32toh(c->wc_flags);
		}
		if (judge(dev, cq, &wc) != 0)
			return -1;
		cq->ready[(cq->ready_from + cq->ready_count++) % cq->cqe] = (struct vr_ready){ wc, buffer };
	}
	return came;
}

void cq_refill(struct vr_cq *cq, const uint32_t *buffers, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t address = cq->buffers.address + (uint64_t)buffers[i] * COMPLETION_BYTES;

		queue_describe(cq->queue, buffers[i], address, COMPLETION_BYTES, DESC_WRITE, 0);
		queue_add(cq->queue, buffers[i], COMPLETION_BYTES);
	}
}

int vr_poll(struct vr_device *dev, struct vr_cq *cq, struct vr_wc *completions, unsigned max, unsigned *count)
{
	*count = 0;
	if (dev->dead != NULL)
		return EIO;
	if (!exists(dev, OBJECT(cq), KIND_CQ))
		return EINVAL;
	if (cq_collect(dev, cq) != 0)
		return EIO;
	while (*count < max && cq->ready_count > 0) {
		const struct vr_ready *ready = &cq->ready[cq->ready_from];

		completions[(*count)++] = ready->wc;
		if (FAULT_COMPLETION_TWICE && *count == max && cq->ready_count > 1 && ready->wc.wr_id % 2 == 1)
			break;
		if (cq->closing)
			cq->kept[cq->kept_count++] = ready->buffer;
		else
			cq_refill(cq, &ready->buffer, 1); /* not before it is polled (CQ-17) */
		cq->ready_from = (cq->ready_from + 1) % cq->cqe;
		cq->ready_count--;
	}
	if (!cq->closing)
		queue_publish(cq->queue);
	return 0;
}
