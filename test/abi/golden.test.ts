/** Golden bytes written by hand: what a reader of the spec would put in memory for a few whole commands and requests. */
import { describe, expect, it } from 'vitest';
import {
  Ack,
  AccessFlag,
  Command,
  QpAttrMask,
  QpState,
  SendFlag,
  WcFlag,
  WcOpcode,
  WrOpcode,
  ackHeader,
  addGidCommand,
  commandHeader,
  cqReq,
  modifyQpCommand,
  regUserMrCommand,
  sge,
  sqReq,
  wrRdma,
  wrUd,
} from '../../src/abi/index.js';
import { bytesOf, fromHex, hex } from './bytes.js';

function expectBytes(actual: Uint8Array, golden: string): void {
  expect(hex(actual)).toBe(hex(fromHex(golden)));
}

describe('golden bytes', () => {
  it('[OVR-02] puts class and command in the first two bytes', () => {
    expectBytes(bytesOf(commandHeader, { class: 6, command: Command.REG_USER_MR }), '06 07');
    expectBytes(bytesOf(ackHeader, { ack: Ack.ERR }), '01');
  });

  it('[OVR-02] [OVR-06] lays out REG_USER_MR with eight bytes a page after 32 fixed bytes', () => {
    const value = {
      pdn: 3,
      access_flags: AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_READ,
      virt_addr: 0x7f12_3456_7890,
      length: 0x1_0000_0001,
      npages: 2,
    };
    expectBytes(
      bytesOf(regUserMrCommand, value),
      '03000000 05000000 9078563412 7f0000 0100000001000000 02000000 00000000',
    );
    expect(regUserMrCommand.offsets.pages).toBe(32);
  });

  it('[OVR-02] [OVR-06] lays out MODIFY_QP with its nested capacities and address vector', () => {
    const value = modifyQpCommand.zero();
    value.qpn = 2;
    value.attr_mask = QpAttrMask.STATE | QpAttrMask.AV | QpAttrMask.RATE_LIMIT;
    value.qp_state = QpState.RTR;
    value.min_rnr_timer = 12;
    value.rq_psn = 0x00fe_dcba;
    value.cap.max_inline_data = 512;
    value.ah_attr.grh.dgid.set(fromHex('fe80 0000 0000 0000 0211 22ff fe33 4455'));
    value.ah_attr.grh.flow_label = 0xabcde;
    value.ah_attr.grh.sgid_index = 1;
    value.ah_attr.grh.hop_limit = 64;
    value.ah_attr.dmac.set(fromHex('021122334455'));
    expectBytes(
      bytesOf(modifyQpCommand, value),
      `02000000 11000100 02 00 00 00 00 0c 00 00 00 00000000000000
       00000000 badcfe00 00000000 00000000 00000000 00000000
       00000000 00000000 00000000 00000000 00020000 00000000
       fe80000000000000021122fffe334455 debc0a00 01 40 00 00
       021122334455 00000000000000000000 00000000000000000000000000000000`,
    );
  });

  it('[OVR-02] [OVR-06] puts six zero bytes between the index and the GID of ADD_GID', () => {
    const gid = fromHex('00000000000000000000ffff0a000001');
    expectBytes(
      bytesOf(addGidCommand, { index: 0x0102, gid }),
      '0201 000000000000 00000000000000000000ffff0a000001',
    );
  });

  it('[OVR-02] lays out a write request with its overlay at byte 16 and its gather list at byte 576', () => {
    const request = bytesOf(sqReq, {
      wr_id: 0x1122_3344_5566,
      opcode: WrOpcode.RDMA_WRITE_WITH_IMM,
      send_flags: SendFlag.SIGNALED | SendFlag.SOLICITED,
      imm_data: 0x4433_2211,
      num_sge: 1,
    });
    request.set(bytesOf(wrRdma, { remote_addr: 0x1000, rkey: 0x0102_0304 }), sqReq.offsets.wr);
    expectBytes(request.subarray(0, 28), '6655443322110000 01 06 0000 11223344 0010000000000000 04030201');
    expectBytes(request.subarray(28, 560), '00'.repeat(532));
    expectBytes(request.subarray(560), '01000000 000000000000000000000000');
    expectBytes(
      bytesOf(sge, { addr: 0x2000, length: 64, lkey: 0x100 }),
      '0020000000000000 40000000 00010000',
    );
    expect(sqReq.offsets.sg_list).toBe(576);
  });

  it('[OVR-02] lays out the datagram overlay as number, queue key, handle', () => {
    expectBytes(
      bytesOf(wrUd, { remote_qpn: 5, remote_qkey: 0x1111_1111, ah: 7 }),
      '05000000 11111111 07000000',
    );
  });

  it('[OVR-01] [OVR-05] lays out a completion in 48 bytes, the last twelve zero', () => {
    const completion = {
      wr_id: 9,
      status: 0,
      opcode: WcOpcode.RECV,
      vendor_err: 0,
      byte_len: 104,
      imm_data: 0x0403_0201,
      qp_num: 2,
      src_qp: 3,
      wc_flags: WcFlag.GRH | WcFlag.WITH_IMM,
    };
    expectBytes(
      bytesOf(cqReq, completion),
      '0900000000000000 00 03 0000 00000000 68000000 01020304 02000000 03000000 03000000 000000000000000000000000',
    );
  });
});
