/* What crosses the line between driver and device: docs/abi.md in C. Numbers are little-endian (OVR-02). */
#ifndef WIRE_H
#define WIRE_H

#include <endian.h>
#include <stdint.h>

enum {
	STATUS_ACKNOWLEDGE = 1,
	STATUS_DRIVER = 2,
	STATUS_DRIVER_OK = 4,
	STATUS_FEATURES_OK = 8,
	STATUS_NEEDS_RESET = 64,
	STATUS_FAILED = 128,
};

#define F_CTRL_VQ (1ull << 17)
#define F_INDIRECT_DESC (1ull << 28)
#define F_EVENT_IDX (1ull << 29)
#define F_VERSION_1 (1ull << 32)
#define F_ROCE (1ull << 55)

/* Split ring, chapter 4.2. */
enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4, NO_INTERRUPT = 1, NO_NOTIFY = 1 };
struct desc { uint64_t addr; uint32_t len; uint16_t flags, next; };
struct used_element { uint32_t id, len; };

enum command_code {
	QUERY_DEVICE, QUERY_PORT, CREATE_CQ, DESTROY_CQ, CREATE_PD, DESTROY_PD, GET_DMA_MR, REG_USER_MR, DEREG_MR,
	CREATE_QP, MODIFY_QP, QUERY_QP, DESTROY_QP, CREATE_AH, DESTROY_AH, ADD_GID, DEL_GID, REQ_NOTIFY_CQ, COMMANDS
};
enum { ACK_OK, ACK_ERR };

struct wire_header { uint8_t class, command; };

struct wire_device {
	uint64_t device_cap_flags, max_mr_size, page_size_cap;
	uint32_t hw_ver, max_qp_wr, max_send_sge, max_recv_sge, max_sge_rd, max_cqe, max_mr, max_pd;
	uint32_t max_qp_rd_atom, max_qp_init_rd_atom, max_ah;
	uint8_t local_ca_ack_delay, padding[3];
	uint32_t reserved[14];
};
struct wire_port { uint32_t gid_tbl_len, max_msg_sz, reserved[6]; };

struct wire_number { uint32_t number; };                /* pdn, cqn, qpn or ah, where a struct is nothing else */
struct wire_create_cq { uint32_t cqe; };
struct wire_req_notify { uint32_t cqn, flags; };
struct wire_get_dma_mr { uint32_t pdn, access_flags; };
struct wire_reg_user_mr {
	uint32_t pdn, access_flags;
	uint64_t virt_addr, length;
	uint32_t npages, padding;
	uint64_t pages[];
};
struct wire_mr { uint32_t mrn, lkey, rkey; };
struct wire_cap { uint32_t max_send_wr, max_recv_wr, max_send_sge, max_recv_sge, max_inline_data, padding; };
struct wire_create_qp {
	uint32_t pdn;
	uint8_t qp_type, sq_sig_all, padding[2];
	uint32_t send_cqn, recv_cqn;
	struct wire_cap cap;
	uint32_t reserved[4];
};
struct wire_ah_attr {
	uint8_t dgid[16];
	uint32_t flow_label;
	uint8_t sgid_index, hop_limit, traffic_class, padding, dmac[6], reserved[10];
};
struct wire_modify_qp {
	uint32_t qpn, attr_mask;
	uint8_t qp_state, cur_qp_state, path_mtu, max_rd_atomic, max_dest_rd_atomic, min_rnr_timer, timeout, retry_cnt;
	uint8_t rnr_retry, padding[7];
	uint32_t qkey, rq_psn, sq_psn, dest_qp_num, qp_access_flags, rate_limit;
	struct wire_cap cap;
	struct wire_ah_attr ah_attr;
	uint32_t reserved[4];
};
struct wire_query_qp { uint32_t qpn, attr_mask; };
struct wire_qp {
	uint8_t qp_state, path_mtu, sq_draining, max_rd_atomic, max_dest_rd_atomic, min_rnr_timer, timeout, retry_cnt;
	uint8_t rnr_retry, padding[7];
	uint32_t qkey, rq_psn, sq_psn, dest_qp_num, qp_access_flags, rate_limit;
	struct wire_cap cap;
	struct wire_ah_attr ah_attr;
	uint32_t reserved[4];
};
struct wire_create_ah { uint32_t pdn, padding; struct wire_ah_attr ah_attr; };
struct wire_destroy_ah { uint32_t pdn, ah; };
struct wire_add_gid { uint16_t index, padding[3]; uint8_t gid[16]; };
struct wire_del_gid { uint16_t index; };

struct wire_sge { uint64_t addr; uint32_t length, lkey; };
struct wire_send {
	uint64_t wr_id;
	uint8_t opcode, send_flags;
	uint16_t padding;
	uint32_t imm_data; /* big-endian */
	union {
		struct { uint64_t remote_addr; uint32_t rkey; } rdma;
		struct { uint32_t remote_qpn, remote_qkey, ah; } ud;
		uint8_t bytes[32];
	} wr;
	uint8_t inline_data[512];
	union { uint32_t num_sge; uint16_t inline_length; } count;
	uint32_t reserved2[3];
	struct wire_sge sg_list[];
};
struct wire_recv { uint64_t wr_id; uint32_t num_sge, reserved[3]; struct wire_sge sg_list[]; };
struct wire_completion {
	uint64_t wr_id;
	uint8_t status, opcode;
	uint16_t padding;
	uint32_t vendor_err, byte_len;
	uint32_t imm_data; /* big-endian */
	uint32_t qp_num, src_qp, wc_flags, reserved[3];
};

_Static_assert(sizeof(struct wire_device) == 128 && sizeof(struct wire_port) == 32, "sizes of docs/abi.md");
_Static_assert(sizeof(struct wire_reg_user_mr) == 32 && sizeof(struct wire_create_qp) == 56, "sizes of docs/abi.md");
_Static_assert(sizeof(struct wire_modify_qp) == 128 && sizeof(struct wire_qp) == 120, "sizes of docs/abi.md");
_Static_assert(sizeof(struct wire_create_ah) == 48 && sizeof(struct wire_add_gid) == 24, "sizes of docs/abi.md");
_Static_assert(sizeof(struct wire_send) == 576 && sizeof(struct wire_recv) == 24, "sizes of docs/abi.md");
_Static_assert(sizeof(struct wire_completion) == 48 && sizeof(struct desc) == 16, "sizes of docs/abi.md");

#endif
