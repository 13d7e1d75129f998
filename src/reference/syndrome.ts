/** The syndrome byte of an acknowledge (IBTA 9.7): kind in bits 6:5, credit, timer or NAK code in bits 4:0. */
import { WcStatus } from '../abi/index.js';

export const Syndrome = {
  /** Acknowledged; no flow-control credit is given (31). */
  ACK: 0x1f,
  /** Receiver not ready; the low bits hold the timer code. */
  RNR_NAK: 0x20,
  NAK_SEQUENCE: 0x60,
  NAK_INVALID_REQUEST: 0x61,
  NAK_REMOTE_ACCESS: 0x62,
  NAK_REMOTE_OPERATION: 0x63,
} as const;

export const SyndromeKind = { ACK: 0, RNR_NAK: 1, RESERVED: 2, NAK: 3 } as const;

export function syndromeKind(syndrome: number): number {
  return (syndrome >>> 5) & 3;
}

/** How the request that a NAK names completes. Reserved codes count as operational errors. */
export function nakStatus(syndrome: number): WcStatus {
  switch (syndrome & 0x7f) {
    case Syndrome.NAK_INVALID_REQUEST:
      return WcStatus.REM_INV_REQ_ERR;
    case Syndrome.NAK_REMOTE_ACCESS:
      return WcStatus.REM_ACCESS_ERR;
    default:
      return WcStatus.REM_OP_ERR;
  }
}
