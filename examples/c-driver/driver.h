/*
 * A virtio-rdma driver for a library operating system: verbs in one address space, no threads, no locks, no signals.
 *
 * The program owns the storage of objects and calls; the driver keeps pointers to them and allocates nothing for a message.
 * Control verbs are calls: fill in a struct vr_call, submit it, and `done` is called once when the answer is there, perhaps
 * from vr_submit() itself. Several may be under way. Data verbs act at once. Errors are those of errno.h, as chapter 10 of
 * the specification gives them; 0 is success.
 */
#ifndef DRIVER_H
#define DRIVER_H

#include <stdbool.h>
#include "os.h"
#include "wire.h"

enum qp_type { QP_SMI, QP_GSI, QP_RC, QP_UC, QP_UD };
enum qp_state { QPS_RESET, QPS_INIT, QPS_RTR, QPS_RTS, QPS_SQD, QPS_SQE, QPS_ERR };
enum { ACCESS_LOCAL_WRITE = 1, ACCESS_REMOTE_WRITE = 2, ACCESS_REMOTE_READ = 4 };
enum { OP_WRITE, OP_WRITE_WITH_IMM, OP_SEND, OP_SEND_WITH_IMM, OP_READ };
enum { SEND_FENCE = 1, SEND_SIGNALED = 2, SEND_SOLICITED = 4, SEND_INLINE = 8, SEND_ALL_FLAGS = 15 };
enum { WC_OP_RECV = 3, WC_OP_LAST = 4, WC_STATUS_LAST = 15, WC_ALL_FLAGS = 3 };
enum { INLINE_MAX = 512 };

/* Bits of an attribute mask. */
enum {
	ATTR_STATE = 1, ATTR_CUR_STATE = 2, ATTR_ACCESS = 4, ATTR_QKEY = 8, ATTR_AV = 16, ATTR_PATH_MTU = 32,
	ATTR_TIMEOUT = 64, ATTR_RETRY_CNT = 128, ATTR_RNR_RETRY = 256, ATTR_RQ_PSN = 512, ATTR_MAX_RD_ATOMIC = 1024,
	ATTR_MIN_RNR_TIMER = 2048, ATTR_SQ_PSN = 4096, ATTR_MAX_DEST_RD_ATOMIC = 8192, ATTR_CAP = 16384,
	ATTR_DEST_QPN = 32768, ATTR_RATE_LIMIT = 65536, ATTR_ALL = 131071,
};

struct vr_device;
enum vr_kind { KIND_PD, KIND_CQ, KIND_MR, KIND_QP, KIND_AH, KINDS };

/* What all objects have. `uses` counts the objects that need this one. Zero-filled storage is an object that does not exist. */
struct vr_object {
	struct vr_device *dev;
	struct vr_object *next;
	struct vr_object *pd; /* the protection domain that it belongs to, if it does */
	enum vr_kind kind;
	uint32_t number;
	unsigned uses;
	bool alive;
};

struct vr_pd { struct vr_object object; };
struct vr_ah { struct vr_object object; };
struct vr_mr {
	struct vr_object object;
	uint64_t addr, length; /* length 0: all memory */
	uint32_t access, lkey, rkey;
};

struct vr_wc {
	uint64_t wr_id;
	uint32_t vendor_err, byte_len, imm, qp_num, src_qp, flags;
	uint8_t status, opcode;
};

/* The driver's half of a split virtqueue. Indices run freely, modulo 2^16. */
struct vr_queue {
	struct vr_device *dev;
	unsigned index, size;
	struct desc *table;
	uint16_t *available; /* flags, idx, ring[size], used_event */
	uint16_t *used;      /* flags, idx, then elements, then avail_event */
	uint64_t *room;      /* of each head: writable bytes + 1 of the chain that the device has; 0: it has none */
	uint16_t next, shown, seen;
	unsigned out;        /* chains that the device has */
};

struct vr_cq {
	struct vr_object object;
	uint32_t cqe;
	struct vr_queue *queue;
	struct os_dma buffers;
	struct vr_ready { struct vr_wc wc; uint32_t buffer; } *ready; /* completed and not polled: a ring of cqe entries */
	uint32_t ready_from, ready_count;
	uint32_t *kept; /* buffers that wait for the end of DESTROY_CQ */
	uint32_t kept_count;
	unsigned armed;
	bool closing;
	void (*on_event)(struct vr_cq *cq); /* may be null; never called from a verb */
	void *context;
};

struct vr_cap { uint32_t max_send_wr, max_recv_wr, max_send_sge, max_recv_sge, max_inline_data; };

/* One direction of a queue pair: a slot for each request that may be outstanding, taken in turn. */
struct vr_requests {
	struct vr_queue *queue;
	struct os_dma slots;
	uint32_t slot_bytes, capacity, posted, returned, held;
	struct vr_post { uint64_t wr_id, room; bool signaled; } *log; /* posted and not completed: a ring of VR_LOG entries */
	uint32_t log_from, log_count;
	bool log_whole;
};
enum { VR_LOG = 1024 };

struct vr_qp {
	struct vr_object object;
	enum qp_type type;
	bool sig_all, has_av;
	struct vr_cq *send_cq, *recv_cq;
	struct vr_cap cap;
	enum qp_state state; /* as learnt last */
	unsigned modifying, discarding; /* commands under way that change it, and that throw away what is posted */
	uint8_t max_rd_atomic;
	struct vr_requests sends, recvs;
};

struct vr_ah_attr { uint8_t dgid[16]; uint32_t flow_label; uint8_t sgid_index, hop_limit, traffic_class; };

struct vr_qp_attr {
	uint32_t mask; /* of MODIFY_QP; QUERY_QP fills in all, and ATTR_AV in the mask if there is an address vector */
	uint8_t state, cur_state, path_mtu, max_rd_atomic, max_dest_rd_atomic, min_rnr_timer, timeout, retry_cnt, rnr_retry;
	bool sq_draining;
	uint32_t qkey, rq_psn, sq_psn, dest_qpn, access, rate_limit;
	struct vr_cap cap;
	struct vr_ah_attr ah;
};

struct vr_limits {
	uint64_t max_mr_size, page_size_cap;
	uint32_t max_qp_wr, max_send_sge, max_recv_sge, max_sge_rd, max_cqe, max_mr, max_pd, max_qp_rd_atom;
	uint32_t max_qp_init_rd_atom, max_ah, max_qp, max_cq;
};
struct vr_port { uint32_t gid_tbl_len, max_msg_sz, active_mtu; };

/* A control verb. Which members of `in` and `out` a command uses is said beside its function in driver.c. */
struct vr_call {
	enum command_code command;
	struct vr_object *object; /* created, destroyed, changed or asked */
	struct vr_pd *pd;
	union {
		struct { uint32_t cqe; void (*on_event)(struct vr_cq *cq); void *context; } cq;
		struct { uint64_t addr, length; uint32_t access; } mr;
		struct { enum qp_type type; bool sig_all; struct vr_cq *send_cq, *recv_cq; struct vr_cap cap; } qp;
		struct vr_qp_attr attr;
		struct vr_ah_attr ah;
		struct { uint16_t index; uint8_t gid[16]; } gid;
		bool solicited_only;
	} in;
	union { struct vr_limits limits; struct vr_port port; struct vr_qp_attr attr; } out;
	int error;
	void (*done)(struct vr_call *call);
	void *context;
	/* The driver's own. */
	struct vr_call *next;
	struct os_dma request; /* a request that does not fit into a slot */
	uint32_t request_bytes;
};

struct vr_device {
	struct os *os;
	const char *dead; /* why the device was given up; null: it was not */
	uint64_t features;
	uint8_t class;
	uint32_t max_qp, max_cq, active_mtu;
	struct vr_limits limits; /* as soon as they are known; verbs wait until then */
	bool limits_known;
	struct vr_call first; /* asks for them */
	struct vr_queue *control, *cq_queues, *qp_queues; /* one array; send and receive queue of pair n: 2n and 2n + 1 */
	unsigned queue_count;
	struct vr_object *objects[KINDS];
	unsigned counts[KINDS];
	struct vr_cq **cqs; /* by number */
	struct vr_qp **qps;
	/* The command engine: a slot for each command that the device has, and the calls that wait for one, oldest first. */
	struct os_dma slots;
	struct vr_call *in_flight[16];
	unsigned slot_count, in_flight_count;
	bool alone; /* the command in flight must not have company */
	struct vr_call *waiting, **waiting_end;
	uint32_t freed_lkey; /* for a planted fault */
};

struct vr_sge { uint64_t addr; uint32_t length, lkey; };
struct vr_send {
	uint64_t wr_id, remote_addr;
	unsigned opcode, flags;
	const struct vr_sge *sges;
	const uint8_t *inline_data;
	uint32_t sge_count, inline_length, imm, rkey, remote_qpn, remote_qkey;
	const struct vr_ah *ah;
};
struct vr_recv { uint64_t wr_id; const struct vr_sge *sges; uint32_t sge_count; };

/* Resets the device, negotiates, sets up every queue and asks for the limits: waits for nobody. 0, or -1 with `dev->dead` set. */
int vr_start(struct vr_device *dev, struct os *os);
/* Resets the device and frees what the driver has; pending calls fail with EIO. Objects are gone. */
void vr_stop(struct vr_device *dev);

void vr_submit(struct vr_device *dev, struct vr_call *call);
/* The same, and waits for the end; returns the error. Not from `done` nor from an event. */
int vr_wait(struct vr_device *dev, struct vr_call *call);

int vr_post_send(struct vr_device *dev, struct vr_qp *qp, const struct vr_send *request);
int vr_post_recv(struct vr_device *dev, struct vr_qp *qp, const struct vr_recv *request);
/* Fills in up to `max` completions, the oldest first. */
int vr_poll(struct vr_device *dev, struct vr_cq *cq, struct vr_wc *completions, unsigned max, unsigned *count);

#endif
