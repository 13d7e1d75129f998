/** Which operations each transport service has. */
import { QpType, WrOpcode } from '../abi/index.js';

/** Whether a queue pair of that type takes requests with that opcode; false for numbers that are neither [ERR-08]. */
export function opcodeFits(type: QpType, opcode: WrOpcode): boolean {
  switch (opcode) {
    case WrOpcode.SEND:
    case WrOpcode.SEND_WITH_IMM:
      return true;
    case WrOpcode.RDMA_WRITE:
    case WrOpcode.RDMA_WRITE_WITH_IMM:
      return type === QpType.RC || type === QpType.UC;
    case WrOpcode.RDMA_READ:
      return type === QpType.RC;
    default:
      return false;
  }
}
