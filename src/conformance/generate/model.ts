/** What the generator believes of the machines while it writes a program, so that it reaches deep states on purpose. */
export interface ModelPd {
  readonly name: string;
}
export interface ModelCq {
  readonly name: string;
  readonly cqe: number;
}
export interface ModelMr {
  readonly name: string;
  readonly pd: ModelPd;
  readonly at: number;
  readonly length: number;
  readonly access: number;
  readonly dma: boolean;
}
export interface ModelAh {
  readonly name: string;
  readonly pd: ModelPd;
  readonly to: number;
}
export type ModelState = 'RESET' | 'INIT' | 'RTR' | 'RTS' | 'SQD' | 'SQE' | 'ERR';
export interface ModelQp {
  readonly name: string;
  readonly vm: ModelVm;
  readonly type: 'RC' | 'UC' | 'UD' | 'GSI';
  readonly pd: ModelPd;
  readonly sendCq: ModelCq;
  readonly recvCq: ModelCq;
  readonly sendSge: number;
  readonly recvSge: number;
  readonly inline: number;
  readonly recvWr: number;
  state: ModelState;
  peer: ModelQp | undefined;
  /** Receives posted minus sends aimed at it: about how many are left. */
  receives: number;
  mtu: number;
  reads: number;
}
export interface ModelVm {
  readonly vm: number;
  next: number;
  readonly pds: ModelPd[];
  readonly cqs: ModelCq[];
  readonly mrs: ModelMr[];
  readonly ahs: ModelAh[];
  readonly qps: ModelQp[];
  /** Names of objects that were destroyed, to be used by mistake. */
  readonly gone: string[];
}

export function newVm(vm: number): ModelVm {
  return { vm, next: 0, pds: [], cqs: [], mrs: [], ahs: [], qps: [], gone: [] };
}
