/*
 * Offers the driver's verbs by the lines of docs/agent-protocol.md, so that a judge can ask for them: a request a line on
 * standard input, an answer a line on standard output. Each machine that is opened is one os-linux with one driver.
 *
 * Interrupts are taken when a line says `settle`, and at no other time: so a run depends on nothing but its lines.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "driver.h"
#include "json.h"
#include "os-linux.h"

enum { MACHINES_MAX = 4, BUCKETS = 256, SGES_MAX = 64, POLL_MAX = 1024, NUMBER_MAX_BITS = 53 };
#define NUMBER_MAX ((1ull << NUMBER_MAX_BITS) - 1)
#define U32_MAX 0xffffffffu

static const char *const states[] = { "RESET", "INIT", "RTR", "RTS", "SQD", "SQE", "ERR", NULL };
static const char *const types[] = { "SMI", "GSI", "RC", "UC", "UD", NULL };
static const char *const opcodes[] = { "RDMA_WRITE", "RDMA_WRITE_WITH_IMM", "SEND", "SEND_WITH_IMM", "RDMA_READ", NULL };
static const char *const wc_opcodes[] = { "SEND", "RDMA_WRITE", "RDMA_READ", "RECV", "RECV_RDMA_WITH_IMM" };
static const char *const wc_statuses[] = {
	"SUCCESS", "LOC_LEN_ERR", "LOC_QP_OP_ERR", "LOC_PROT_ERR", "WR_FLUSH_ERR", "BAD_RESP_ERR", "LOC_ACCESS_ERR",
	"REM_INV_REQ_ERR", "REM_ACCESS_ERR", "REM_OP_ERR", "RETRY_EXC_ERR", "RNR_RETRY_EXC_ERR", "REM_ABORT_ERR", "FATAL_ERR",
	"RESP_TIMEOUT_ERR", "GENERAL_ERR",
};

/* An object of the kit's, under the number that the kit gave it. */
struct named {
	uint64_t number;
	struct named *next;
	struct machine *machine;
	union { struct vr_object object; struct vr_pd pd; struct vr_cq cq; struct vr_mr mr; struct vr_qp qp; struct vr_ah ah; } u;
};

struct machine {
	unsigned vm;
	struct os *os;
	struct vr_device dev;
	struct named *names[BUCKETS];
};

/* A control verb that the kit asked for. */
struct pending {
	struct vr_call call;
	struct machine *machine;
	uint64_t token;
	bool over, told; /* answered; the kit knows that it is under way */
	struct pending *next;
};

struct agent {
	struct machine machines[MACHINES_MAX];
	unsigned machine_count;
	struct pending *done, **done_end, *free;
	struct json_writer out, events;
	uint64_t tokens;
	unsigned results; /* written of the answer that is being made */
};

static struct agent agent;

static int index_of(const char *const *names, const char *name)
{
	for (int i = 0; name != NULL && names[i] != NULL; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

/* The object of a machine that a call names; null when there never was one. */
static struct named *find(struct machine *m, const struct json *call, const char *name)
{
	uint64_t number = UINT64_MAX;

	if (!json_number(call, name, NUMBER_MAX, &number) || number == UINT64_MAX)
		return NULL;
	for (struct named *at = m->names[number % BUCKETS]; at != NULL; at = at->next)
		if (at->number == number)
			return at;
	return NULL;
}

/* The same; one that never was is one that does not exist. */
static struct named *get(struct machine *m, const struct json *call, const char *name)
{
	static struct named nothing;
	struct named *found = find(m, call, name);

	return found != NULL ? found : &nothing;
}

static struct named *make(struct machine *m, const struct json *call, const char *name)
{
	struct named *made = find(m, call, name);

	if (made != NULL)
		return made;
	made = calloc(1, sizeof *made);
	if (made == NULL || !json_number(call, name, NUMBER_MAX, &made->number))
		abort();
	made->machine = m;
	made->next = m->names[made->number % BUCKETS];
	m->names[made->number % BUCKETS] = made;
	return made;
}

static const char *errno_name(int error)
{
	switch (error) {
	case ENOMEM: return "ENOMEM";
	case EBUSY: return "EBUSY";
	case EFAULT: return "EFAULT";
	case EIO: return "EIO";
	default: return "EINVAL";
	}
}

static void put_refusal(const char *name, const struct machine *m, int error)
{
	struct json_writer *w = &agent.out;

	json_begin(w, name, '{');
	json_put_text(w, "errno", errno_name(error));
	if (error == EIO && m->dev.dead != NULL)
		json_put_text(w, "text", m->dev.dead);
	json_end(w, '}');
}

static void put_cap(const struct vr_cap *cap)
{
	struct json_writer *w = &agent.out;

	json_begin(w, "cap", '{');
	json_put_number(w, "maxSendWr", cap->max_send_wr);
	json_put_number(w, "maxRecvWr", cap->max_recv_wr);
	json_put_number(w, "maxSendSge", cap->max_send_sge);
	json_put_number(w, "maxRecvSge", cap->max_recv_sge);
	json_put_number(w, "maxInlineData", cap->max_inline_data);
	json_end(w, '}');
}

static void put_limits(const struct vr_limits *l)
{
	struct json_writer *w = &agent.out;

	json_put_number(w, "maxMrSizeBytes", l->max_mr_size);
	json_put_number(w, "pageSizeCap", l->page_size_cap);
	json_put_number(w, "maxQp", l->max_qp);
	json_put_number(w, "maxQpWr", l->max_qp_wr);
	json_put_number(w, "maxSendSge", l->max_send_sge);
	json_put_number(w, "maxRecvSge", l->max_recv_sge);
	json_put_number(w, "maxSgeRd", l->max_sge_rd);
	json_put_number(w, "maxCq", l->max_cq);
	json_put_number(w, "maxCqe", l->max_cqe);
	json_put_number(w, "maxMr", l->max_mr);
	json_put_number(w, "maxPd", l->max_pd);
	json_put_number(w, "maxAh", l->max_ah);
	json_put_number(w, "maxQpRdAtom", l->max_qp_rd_atom);
	json_put_number(w, "maxQpInitRdAtom", l->max_qp_init_rd_atom);
}

static void put_attributes(const struct vr_qp_attr *a)
{
	struct json_writer *w = &agent.out;

	json_put_text(w, "qpState", states[a->state]);
	json_put_bool(w, "sqDraining", a->sq_draining);
	json_put_number(w, "pathMtu", a->path_mtu);
	json_put_number(w, "maxRdAtomic", a->max_rd_atomic);
	json_put_number(w, "maxDestRdAtomic", a->max_dest_rd_atomic);
	json_put_number(w, "minRnrTimer", a->min_rnr_timer);
	json_put_number(w, "timeout", a->timeout);
	json_put_number(w, "retryCnt", a->retry_cnt);
	json_put_number(w, "rnrRetry", a->rnr_retry);
	json_put_number(w, "qkey", a->qkey);
	json_put_number(w, "rqPsn", a->rq_psn);
	json_put_number(w, "sqPsn", a->sq_psn);
	json_put_number(w, "destQpNum", a->dest_qpn);
	json_put_number(w, "qpAccessFlags", a->access);
	json_put_number(w, "rateLimit", a->rate_limit);
	put_cap(&a->cap);
	if ((a->mask & ATTR_AV) == 0)
		return;
	json_begin(w, "ahAttr", '{');
	json_put_hex(w, "dgid", a->ah.dgid, sizeof a->ah.dgid);
	json_put_number(w, "sgidIndex", a->ah.sgid_index);
	json_put_number(w, "flowLabel", a->ah.flow_label);
	json_put_number(w, "hopLimit", a->ah.hop_limit);
	json_put_number(w, "trafficClass", a->ah.traffic_class);
	json_end(w, '}');
}

static void put_result(const char *name, const struct pending *p)
{
	struct json_writer *w = &agent.out;
	const struct named *named = (const struct named *)p->call.context;

	if (p->call.error != 0) {
		put_refusal(name, p->machine, p->call.error);
		return;
	}
	json_begin(w, name, '{');
	switch (p->call.command) {
	case QUERY_DEVICE:
		put_limits(&p->call.out.limits);
		break;
	case QUERY_PORT:
		json_put_number(w, "gidTableLength", p->call.out.port.gid_tbl_len);
		json_put_number(w, "maxMsgSizeBytes", p->call.out.port.max_msg_sz);
		json_put_number(w, "activeMtu", p->call.out.port.active_mtu);
		break;
	case CREATE_CQ:
		json_put_number(w, "cqe", named->u.cq.cqe);
		break;
	case REG_USER_MR:
	case GET_DMA_MR:
		json_put_number(w, "lkey", named->u.mr.lkey);
		json_put_number(w, "rkey", named->u.mr.rkey);
		break;
	case CREATE_QP:
		json_put_number(w, "qpNum", named->u.qp.object.number);
		put_cap(&named->u.qp.cap);
		break;
	case QUERY_QP:
		put_attributes(&p->call.out.attr);
		break;
	default:
		break;
	}
	json_end(w, '}');
}

static void answered(struct vr_call *call)
{
	struct pending *p = (struct pending *)call; /* its first member */

	p->over = true;
	if (!p->told)
		return;
	p->next = NULL;
	*agent.done_end = p;
	agent.done_end = &p->next;
}

static void woken(struct vr_cq *cq)
{
	const struct named *named = cq->context;
	struct json_writer *w = &agent.events;

	json_begin(w, NULL, '{');
	json_put_number(w, "vm", named->machine->vm);
	json_put_number(w, "cq", named->number);
	json_put_number(w, "at", agent.results);
	json_end(w, '}');
}

static bool get_u32(const struct json *from, const char *name, uint32_t *to)
{
	uint64_t value = *to;
	bool fits = json_number(from, name, U32_MAX, &value);

	*to = value;
	return fits;
}

static bool get_u8(const struct json *from, const char *name, uint8_t *to)
{
	uint64_t value = *to;
	bool fits = json_number(from, name, 255, &value);

	*to = value;
	return fits;
}

/* A byte that belongs to a bit of the mask when it is there. */
static bool get_attr8(const struct json *from, const char *name, uint8_t *to, uint32_t *mask, uint32_t bit)
{
	*mask |= json_get(from, name) != NULL ? bit : 0;
	return get_u8(from, name, to);
}

static bool get_attr32(const struct json *from, const char *name, uint32_t *to, uint32_t *mask, uint32_t bit)
{
	*mask |= json_get(from, name) != NULL ? bit : 0;
	return get_u32(from, name, to);
}

static bool get_gid(const char *text, uint8_t gid[16])
{
	if (text == NULL || strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32)
		return false;
	for (int i = 0; i < 16; i++) {
		char pair[] = { text[2 * i], text[2 * i + 1], 0 };

		gid[i] = strtoul(pair, NULL, 16);
	}
	return true;
}

static bool get_ah(const struct json *from, struct vr_ah_attr *ah)
{
	return get_gid(json_text(from, "dgid"), ah->dgid) && get_u8(from, "sgidIndex", &ah->sgid_index) &&
	       get_u32(from, "flowLabel", &ah->flow_label) && get_u8(from, "hopLimit", &ah->hop_limit) &&
	       get_u8(from, "trafficClass", &ah->traffic_class);
}

static bool get_cap(const struct json *from, struct vr_cap *cap)
{
	return get_u32(from, "maxSendWr", &cap->max_send_wr) && get_u32(from, "maxRecvWr", &cap->max_recv_wr) &&
	       get_u32(from, "maxSendSge", &cap->max_send_sge) && get_u32(from, "maxRecvSge", &cap->max_recv_sge) &&
	       get_u32(from, "maxInlineData", &cap->max_inline_data);
}

static bool get_state(const struct json *from, const char *name, uint8_t *to, uint32_t *mask, uint32_t bit)
{
	int state = index_of(states, json_text(from, name));

	if (json_get(from, name) == NULL)
		return true;
	*mask |= bit;
	*to = state;
	return state >= 0;
}

static bool get_attributes(const struct json *from, struct vr_qp_attr *a)
{
	uint32_t *mask = &a->mask;

	if (json_get(from, "cap") != NULL)
		*mask |= ATTR_CAP;
	if (json_get(from, "ahAttr") != NULL)
		*mask |= ATTR_AV;
	return get_state(from, "qpState", &a->state, mask, ATTR_STATE) &&
	       get_state(from, "curQpState", &a->cur_state, mask, ATTR_CUR_STATE) &&
	       get_attr8(from, "pathMtu", &a->path_mtu, mask, ATTR_PATH_MTU) &&
	       get_attr8(from, "maxRdAtomic", &a->max_rd_atomic, mask, ATTR_MAX_RD_ATOMIC) &&
	       get_attr8(from, "maxDestRdAtomic", &a->max_dest_rd_atomic, mask, ATTR_MAX_DEST_RD_ATOMIC) &&
	       get_attr8(from, "minRnrTimer", &a->min_rnr_timer, mask, ATTR_MIN_RNR_TIMER) &&
	       get_attr8(from, "timeout", &a->timeout, mask, ATTR_TIMEOUT) &&
	       get_attr8(from, "retryCnt", &a->retry_cnt, mask, ATTR_RETRY_CNT) &&
	       get_attr8(from, "rnrRetry", &a->rnr_retry, mask, ATTR_RNR_RETRY) &&
	       get_attr32(from, "qkey", &a->qkey, mask, ATTR_QKEY) &&
	       get_attr32(from, "rqPsn", &a->rq_psn, mask, ATTR_RQ_PSN) &&
	       get_attr32(from, "sqPsn", &a->sq_psn, mask, ATTR_SQ_PSN) &&
	       get_attr32(from, "destQpNum", &a->dest_qpn, mask, ATTR_DEST_QPN) &&
	       get_attr32(from, "qpAccessFlags", &a->access, mask, ATTR_ACCESS) &&
	       get_attr32(from, "rateLimit", &a->rate_limit, mask, ATTR_RATE_LIMIT) &&
	       ((*mask & ATTR_CAP) == 0 || get_cap(json_get(from, "cap"), &a->cap)) &&
	       ((*mask & ATTR_AV) == 0 || get_ah(json_get(from, "ahAttr"), &a->ah));
}

/* The calls of the protocol that are commands of the driver. */
static const struct { const char *name; enum command_code command; const char *object; bool creates; } control_calls[] = {
	{ "queryDevice", QUERY_DEVICE, NULL, false }, { "queryPort", QUERY_PORT, NULL, false },
	{ "createPd", CREATE_PD, "pd", true },        { "destroyPd", DESTROY_PD, "pd", false },
	{ "createCq", CREATE_CQ, "cq", true },        { "destroyCq", DESTROY_CQ, "cq", false },
	{ "reqNotifyCq", REQ_NOTIFY_CQ, "cq", false }, { "regMr", REG_USER_MR, "mr", true },
	{ "getDmaMr", GET_DMA_MR, "mr", true },       { "deregMr", DEREG_MR, "mr", false },
	{ "createQp", CREATE_QP, "qp", true },        { "modifyQp", MODIFY_QP, "qp", false },
	{ "queryQp", QUERY_QP, "qp", false },         { "destroyQp", DESTROY_QP, "qp", false },
	{ "createAh", CREATE_AH, "ah", true },        { "destroyAh", DESTROY_AH, "ah", false },
	{ "addGid", ADD_GID, NULL, false },           { "delGid", DEL_GID, NULL, false },
};

/* Arguments of a command; false when one does not fit its field (ERR-01). */
static bool get_arguments(struct machine *m, const struct json *json, struct vr_call *call, struct named *object)
{
	uint64_t number = 0;
	uint32_t access = 0;

	switch (call->command) {
	case CREATE_CQ:
		call->in.cq.on_event = woken;
		call->in.cq.context = object;
		return get_u32(json, "cqe", &call->in.cq.cqe);
	case REQ_NOTIFY_CQ:
		call->in.solicited_only = json_truth(json, "solicitedOnly");
		return true;
	case REG_USER_MR:
	case GET_DMA_MR:
		call->pd = &get(m, json, "pd")->u.pd;
		if (!get_u32(json, "access", &access) || !json_number(json, "addr", NUMBER_MAX, &call->in.mr.addr) ||
		    !json_number(json, "length", NUMBER_MAX, &call->in.mr.length))
			return false;
		call->in.mr.access = access;
		return true;
	case CREATE_QP:
		call->pd = &get(m, json, "pd")->u.pd;
		int type = index_of(types, json_text(json, "type"));

		call->in.qp.type = type;
		call->in.qp.sig_all = json_truth(json, "sqSigAll");
		call->in.qp.send_cq = &get(m, json, "sendCq")->u.cq;
		call->in.qp.recv_cq = &get(m, json, "recvCq")->u.cq;
		return type >= 0 && get_cap(json_get(json, "cap"), &call->in.qp.cap);
	case MODIFY_QP:
		return get_attributes(json_get(json, "attributes"), &call->in.attr);
	case CREATE_AH:
		call->pd = &get(m, json, "pd")->u.pd;
		return get_ah(json_get(json, "attributes"), &call->in.ah);
	case ADD_GID:
	case DEL_GID:
		if (!json_number(json, "index", 0xffff, &number))
			return false;
		call->in.gid.index = number;
		return call->command == DEL_GID || get_gid(json_text(json, "gid"), call->in.gid.gid);
	default:
		return true;
	}
}

static void control(struct machine *m, const struct json *json, unsigned which)
{
	struct pending *p = agent.free;
	const char *name = control_calls[which].object;
	struct named *object = NULL;

	if (p != NULL)
		agent.free = p->next;
	else if ((p = malloc(sizeof *p)) == NULL)
		abort();
	if (name != NULL)
		object = control_calls[which].creates ? make(m, json, name) : get(m, json, name);
	*p = (struct pending){ .machine = m };
	p->call.command = control_calls[which].command;
	p->call.object = object == NULL ? NULL : &object->u.object;
	p->call.context = object;
	p->call.done = answered;
	if (get_arguments(m, json, &p->call, object)) {
		vr_submit(&m->dev, &p->call);
	} else {
		p->call.error = m->dev.dead != NULL ? EIO : EINVAL;
		p->over = true;
	}
	if (p->over) {
		put_result(NULL, p);
		p->next = agent.free;
		agent.free = p;
		return;
	}
	p->told = true;
	p->token = agent.tokens++;
	json_begin(&agent.out, NULL, '{');
	json_put_number(&agent.out, "pending", p->token);
	json_end(&agent.out, '}');
}

/* Elements are lists: address, length, key. */
static bool get_sges(const struct json *request, struct vr_sge *sges, uint32_t *count)
{
	const struct json *list = json_get(request, "sges");

	*count = 0;
	for (const struct json *sge = list == NULL ? NULL : list->first; sge != NULL; sge = sge->next) {
		double values[3] = { 0, 0, 0 };
		int i = 0;

		for (const struct json *value = sge->first; value != NULL && i < 3; value = value->next)
			values[i++] = value->number;
		if (*count == SGES_MAX || !(values[0] >= 0) || values[0] > (double)NUMBER_MAX || !(values[1] >= 0) ||
		    values[1] > U32_MAX || !(values[2] >= 0) || values[2] > U32_MAX)
			return false;
		sges[(*count)++] = (struct vr_sge){ values[0], values[1], values[2] };
	}
	return true;
}

/* -1 for what is no base64 or does not fit. */
static int get_base64(const char *text, uint8_t *to, uint32_t max)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0, held = 0, count = 0;

	for (; *text != 0 && *text != '='; text++) {
		const char *digit = strchr(digits, *text);

		if (digit == NULL)
			return -1;
		held = held << 6 | (uint32_t)(digit - digits);
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		if (count == max)
			return -1;
		to[count++] = held >> bits;
	}
	return count;
}

static int post_send(struct machine *m, struct vr_qp *qp, const struct json *json)
{
	static uint8_t bytes[4096];
	struct vr_sge sges[SGES_MAX];
	const char *data = json_text(json, "inlineData");
	struct vr_send send = { .opcode = index_of(opcodes, json_text(json, "opcode")), .sges = sges, .inline_data = bytes };
	uint32_t flags = 0;
	int count = data == NULL ? 0 : get_base64(data, bytes, sizeof bytes);

	if (m->dev.dead != NULL)
		return EIO;
	if (count < 0 || !json_number(json, "wrId", NUMBER_MAX, &send.wr_id) ||
	    !json_number(json, "remoteAddr", NUMBER_MAX, &send.remote_addr) || !get_u32(json, "sendFlags", &flags) ||
	    !get_sges(json, sges, &send.sge_count) || !get_u32(json, "immData", &send.imm) ||
	    !get_u32(json, "rkey", &send.rkey) || !get_u32(json, "remoteQpn", &send.remote_qpn) ||
	    !get_u32(json, "remoteQkey", &send.remote_qkey))
		return EINVAL;
	send.flags = flags;
	send.inline_length = count;
	if (json_get(json, "ah") != NULL)
		send.ah = &get(m, json, "ah")->u.ah;
	return vr_post_send(&m->dev, qp, &send);
}

static int post_recv(struct machine *m, struct vr_qp *qp, const struct json *json)
{
	struct vr_sge sges[SGES_MAX];
	struct vr_recv recv = { .sges = sges };

	if (m->dev.dead != NULL)
		return EIO;
	if (!json_number(json, "wrId", NUMBER_MAX, &recv.wr_id) || !get_sges(json, sges, &recv.sge_count))
		return EINVAL;
	return vr_post_recv(&m->dev, qp, &recv);
}

static void post(struct machine *m, const struct json *json, bool sends)
{
	const struct json *list = json_get(json, "requests");
	struct vr_qp *qp = &get(m, json, "qp")->u.qp;
	unsigned posted = 0;
	int error = 0;

	for (const struct json *at = list == NULL ? NULL : list->first; at != NULL && error == 0; at = at->next) {
		error = sends ? post_send(m, qp, at) : post_recv(m, qp, at);
		posted += error == 0;
	}
	json_begin(&agent.out, NULL, '{');
	if (error != 0) {
		json_put_text(&agent.out, "errno", errno_name(error));
		json_put_number(&agent.out, "posted", posted);
	}
	json_end(&agent.out, '}');
}

static void poll_cq(struct machine *m, const struct json *json)
{
	static struct vr_wc wcs[POLL_MAX];
	struct json_writer *w = &agent.out;
	uint64_t max = 0;
	unsigned count = 0;
	int error = json_number(json, "max", U32_MAX, &max)
			    ? vr_poll(&m->dev, &get(m, json, "cq")->u.cq, wcs, max < POLL_MAX ? max : POLL_MAX, &count)
			    : EINVAL;

	if (error != 0) {
		put_refusal(NULL, m, error);
		return;
	}
	json_begin(w, NULL, '{');
	json_begin(w, "completions", '[');
	for (unsigned i = 0; i < count; i++) {
		const struct vr_wc *wc = &wcs[i];

		json_begin(w, NULL, '{');
		json_put_number(w, "wrId", wc->wr_id);
		json_put_text(w, "status", wc_statuses[wc->status]);
		json_put_number(w, "qpNum", wc->qp_num);
		json_put_number(w, "vendorErr", wc->vendor_err);
		if (wc->status == 0) {
			json_put_text(w, "opcode", wc_opcodes[wc->opcode]);
			json_put_number(w, "byteLen", wc->byte_len);
			json_put_number(w, "immData", wc->imm);
			json_put_number(w, "srcQp", wc->src_qp);
			json_put_number(w, "wcFlags", wc->flags);
		}
		json_end(w, '}');
	}
	json_end(w, ']');
	json_end(w, '}');
}

/* Takes the interrupts that are there. */
static void attend(void)
{
	for (unsigned i = 0; i < agent.machine_count; i++)
		os_wait(agent.machines[i].os, 0);
}

static void one_call(const struct json *json)
{
	const char *name = json_text(json, "call");
	uint64_t vm = 0;
	bool known = json_number(json, "vm", MACHINES_MAX - 1, &vm) && vm < agent.machine_count && name != NULL;
	struct machine *m = &agent.machines[vm];

	if (known && strcmp(name, "postSend") == 0)
		post(m, json, true);
	else if (known && strcmp(name, "postRecv") == 0)
		post(m, json, false);
	else if (known && strcmp(name, "pollCq") == 0)
		poll_cq(m, json);
	else {
		for (unsigned i = 0; known && i < sizeof control_calls / sizeof *control_calls; i++)
			if (strcmp(control_calls[i].name, name) == 0) {
				control(m, json, i);
				return;
			}
		/* settle: what can be known here of the device is its interrupts. */
		attend();
		json_begin(&agent.out, NULL, '{');
		if (!known || strcmp(name, "settle") != 0)
			json_put_text(&agent.out, "errno", "EOPNOTSUPP");
		json_end(&agent.out, '}');
	}
}

static void calls(const struct json *list)
{
	struct json_writer *w = &agent.out;

	agent.results = 0;
	agent.events.used = 0;
	agent.events.comma = false;
	json_begin(w, "results", '[');
	for (const struct json *call = list->first; call != NULL; call = call->next) {
		one_call(call);
		agent.results++;
	}
	json_end(w, ']');
	if (agent.events.used > 0) {
		json_begin(w, "events", '[');
		json_put_raw(w, agent.events.bytes, agent.events.used);
		json_end(w, ']');
	}
	if (agent.done == NULL)
		return;
	json_begin(w, "done", '[');
	while (agent.done != NULL) {
		struct pending *p = agent.done;

		json_begin(w, NULL, '{');
		json_put_number(w, "pending", p->token);
		put_result("result", p);
		json_end(w, '}');
		agent.done = p->next;
		p->next = agent.free;
		agent.free = p;
	}
	agent.done_end = &agent.done;
	json_end(w, ']');
}

static void close_machines(void)
{
	for (unsigned i = 0; i < agent.machine_count; i++) {
		struct machine *m = &agent.machines[i];

		vr_stop(&m->dev);
		os_linux_close(m->os);
		for (unsigned bucket = 0; bucket < BUCKETS; bucket++)
			while (m->names[bucket] != NULL) {
				struct named *gone = m->names[bucket];

				m->names[bucket] = gone->next;
				free(gone);
			}
	}
	agent.machine_count = 0;
	while (agent.done != NULL) {
		struct pending *gone = agent.done;

		agent.done = gone->next;
		free(gone);
	}
	agent.done_end = &agent.done;
}

/* Returns what is wrong, or null. */
static const char *open_machine(const struct json *json)
{
	static uint64_t *pages;
	static uint16_t sizes[256];
	struct machine *m = &agent.machines[agent.machine_count];
	const struct json *device = json_get(json, "device"), *memory = json_get(device, "memory");
	const struct json *list = json_get(memory, "pages"), *arena = json_get(json, "arena");
	struct os_linux config = { .socket = json_text(device, "socket"), .memory = json_text(memory, "file") };
	const struct json *queues = json_get(device, "queueSizes");
	uint64_t type = 0, count = 0;

	if (config.socket == NULL || config.memory == NULL || list == NULL || queues == NULL)
		return "this agent drives a device over vhost-user, and the machine has no device";
	if (!json_number(device, "type", 0xffff, &type) || !json_number(memory, "bytes", NUMBER_MAX, &config.memory_bytes) ||
	    !json_number(memory, "address", NUMBER_MAX, &config.memory_address) ||
	    !json_number(memory, "dmaAt", NUMBER_MAX, &config.dma_at) ||
	    !json_number(memory, "dmaBytes", NUMBER_MAX, &config.dma_bytes) ||
	    !json_number(arena, "base", NUMBER_MAX, &config.program_address))
		return "a number of the machine is out of range";
	pages = realloc(pages, (list->count + 1) * sizeof *pages);
	if (pages == NULL)
		return "no memory";
	for (const struct json *page = list->first; page != NULL; page = page->next)
		pages[count++] = page->number;
	config.device_type = type;
	for (const struct json *size = queues->first; size != NULL && config.queue_count < 256; size = size->next)
		sizes[config.queue_count++] = size->number;
	config.queue_sizes = sizes;
	config.program_pages = count;
	config.pages = pages;
	*m = (struct machine){ .vm = agent.machine_count };
	m->os = os_linux_open(&config);
	if (m->os == NULL)
		return "the device cannot be reached";
	agent.machine_count++;
	return vr_start(&m->dev, m->os) == 0 ? NULL : m->dev.dead;
}

static const char *open_machines(const struct json *json)
{
	const struct json *list = json_get(json, "machines");

	close_machines();
	if (list == NULL || list->count > MACHINES_MAX)
		return "too many machines";
	for (const struct json *machine = list->first; machine != NULL; machine = machine->next) {
		const char *wrong = open_machine(machine);

		if (wrong != NULL)
			return wrong;
	}
	json_begin(&agent.out, "open", '{');
	json_begin(&agent.out, "machines", '[');
	for (unsigned i = 0; i < agent.machine_count; i++) {
		json_begin(&agent.out, NULL, '{');
		json_end(&agent.out, '}');
	}
	json_end(&agent.out, ']');
	json_end(&agent.out, '}');
	return NULL;
}

static void hello(void)
{
	struct json_writer *w = &agent.out;

	json_begin(w, "hello", '{');
	json_put_text(w, "protocol", "vrdma-agent");
	json_put_number(w, "version", 1);
	json_put_text(w, "name", "c-driver");
	json_put_text(w, "device", "vhost-user");
	json_put_text(w, "arena", "file");
	json_put_text(w, "rest", "known");
	json_end(w, '}');
}

static void answer(const struct json *request)
{
	const char *wrong = NULL;
	uint64_t id = 0;

	agent.out.used = 0;
	agent.out.comma = false;
	json_number(request, "id", NUMBER_MAX, &id);
	json_begin(&agent.out, NULL, '{');
	json_put_number(&agent.out, "id", id);
	if (json_get(request, "hello") != NULL)
		hello();
	else if (json_get(request, "open") != NULL)
		wrong = open_machines(json_get(request, "open"));
	else if (json_get(request, "calls") != NULL)
		calls(json_get(request, "calls"));
	else
		wrong = "a request that is neither hello, open nor calls";
	if (wrong != NULL)
		json_put_text(&agent.out, "error", wrong);
	json_end(&agent.out, '}');
}

int main(void)
{
	struct json_reader reader = { 0 };
	char *line = NULL;
	size_t capacity = 0;

	agent.done_end = &agent.done;
	while (getline(&line, &capacity, stdin) > 0) {
		const struct json *request = json_read(&reader, line);

		if (request == NULL) {
			fprintf(stderr, "c-driver: not a request: %s\n", reader.wrong);
			break;
		}
		answer(request);
		fwrite(agent.out.bytes, 1, agent.out.used, stdout);
		putchar('\n');
		fflush(stdout);
	}
	close_machines();
	while (agent.free != NULL) {
		struct pending *gone = agent.free;

		agent.free = gone->next;
		free(gone);
	}
	json_reader_free(&reader);
	free(agent.out.bytes);
	free(agent.events.bytes);
	free(line);
	return 0;
}
