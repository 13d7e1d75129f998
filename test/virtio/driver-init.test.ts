/** The driver's initialisation sequence, on devices that play along and on devices that do not. */
import { describe, expect, it } from 'vitest';
import {
  DeviceStatus,
  FeatureBit,
  VirtioInitError,
  acceptFeatures,
  deviceStatuses,
  featureBits,
  featureSet,
  missingPrerequisites,
  negotiate,
  readStableConfig,
  resetDevice,
  startDriver,
} from '../../src/virtio/index.js';
import type { FeatureSet, VirtioTransport } from '../../src/virtio/index.js';

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, DEVICE_NEEDS_RESET, FAILED } = DeviceStatus;
const { VERSION_1, EVENT_IDX, RING_PACKED } = FeatureBit;

/** Registers that obey the driver, with a diary; a test overrides what its device does otherwise. */
class Registers implements VirtioTransport {
  readonly deviceId = 42;
  readonly queueCount = 1;
  readonly diary: string[] = [];
  status = 77;
  generation = 0;
  deviceFeatures: FeatureSet = featureSet(17, 55, EVENT_IDX, VERSION_1, RING_PACKED, 99);

  get configGeneration(): number {
    return this.generation;
  }
  setDriverFeatures(features: FeatureSet): void {
    this.diary.push(`features ${featureBits(features).join(' ')}`);
  }
  readStatus(): number {
    this.diary.push('read');
    return this.status;
  }
  writeStatus(status: number): void {
    this.diary.push(`write ${statusText(status)}`);
    this.status = status;
  }
  readConfig(): DataView {
    return new DataView(new ArrayBuffer(4));
  }
  queueSizeMax(): number {
    return 0;
  }
  enableQueue(): void {
    this.diary.push('enable');
  }
  queueEnabled(): boolean {
    return false;
  }
  resetQueue(): void {
    this.diary.push('reset queue');
  }
  notify(): void {
    this.diary.push('notify');
  }
  onInterrupt(): void {
    this.diary.push('handler');
  }
}

function statusText(status: number): string {
  if (status === 0) return '0';
  return deviceStatuses.names.filter(name => (status & DeviceStatus[name]) !== 0).join(' ');
}

const options = {
  wanted: featureSet(17, 55, EVENT_IDX),
  required: featureSet(VERSION_1),
  requirements: [{ bit: 55, requires: [17] }],
};

function faultOf(action: () => void): string {
  try {
    action();
  } catch (error) {
    if (error instanceof VirtioInitError) return error.fault;
    throw error;
  }
  return 'none';
}

describe('negotiate', () => {
  it('[FEAT-21] [FEAT-15] goes through the steps in order and clears no bit', () => {
    const registers = new Registers();
    expect(negotiate(registers, options)).toBe(featureSet(17, 55, EVENT_IDX, VERSION_1));
    startDriver(registers);
    expect(registers.diary.filter(entry => entry !== 'read')).toEqual([
      'write 0',
      'write ACKNOWLEDGE',
      'write ACKNOWLEDGE DRIVER',
      'features 17 29 32 55',
      'write ACKNOWLEDGE DRIVER FEATURES_OK',
      'write ACKNOWLEDGE DRIVER DRIVER_OK FEATURES_OK',
    ]);
    expect(registers.diary.indexOf('read')).toBe(1);
  });

  it('[FEAT-03] [FEAT-04] [FEAT-05] [FEAT-06] accepts what it knows, is offered and has its prerequisites', () => {
    const registers = new Registers();
    registers.deviceFeatures = featureSet(55, VERSION_1, RING_PACKED, 99);
    expect(negotiate(registers, options)).toBe(featureSet(VERSION_1));
  });

  it('[FEAT-22] waits until the status is 0', () => {
    const registers = new Registers();
    let left = 5;
    registers.readStatus = () => (registers.status === 0 && left-- > 0 ? FAILED : registers.status);
    resetDevice(registers);
    expect(left).toBe(-1);
    registers.readStatus = () => FAILED;
    expect(faultOf(() => negotiate(registers, options))).toBe('no-reset');
    expect(registers.diary).not.toContain('write ACKNOWLEDGE');
  });

  it('[FEAT-07] sets FAILED and stops when a feature is missing that it needs', () => {
    for (const offered of [featureSet(17, 55), featureSet(55, VERSION_1)]) {
      const registers = new Registers();
      registers.deviceFeatures = offered;
      expect(faultOf(() => negotiate(registers, { ...options, required: featureSet(55, VERSION_1) }))).toBe(
        'missing-features',
      );
      expect(registers.status).toBe(ACKNOWLEDGE | DRIVER | FAILED);
    }
  });

  it('[FEAT-23] sets FAILED and stops when FEATURES_OK does not stay', () => {
    const registers = new Registers();
    registers.writeStatus = status => {
      registers.status = status & ~FEATURES_OK;
    };
    expect(faultOf(() => negotiate(registers, options))).toBe('features-refused');
    expect(registers.status).toBe(ACKNOWLEDGE | DRIVER | FAILED);
  });
});

describe('startDriver', () => {
  it('[FEAT-24] sets DRIVER_OK and notifies nobody before', () => {
    const registers = new Registers();
    negotiate(registers, options);
    startDriver(registers);
    expect(registers.status & DRIVER_OK).toBe(DRIVER_OK);
    expect(registers.diary).not.toContain('notify');
  });

  it('gives up on a device that needs a reset', () => {
    const registers = new Registers();
    registers.status = DEVICE_NEEDS_RESET;
    expect(faultOf(() => startDriver(registers))).toBe('needs-reset');
    expect(registers.status & FAILED).toBe(FAILED);
  });
});

describe('readStableConfig', () => {
  it('[CONF-10] reads again until the generation stands still, and not for ever', () => {
    const registers = new Registers();
    let reads = 0;
    registers.readConfig = () => {
      if (++reads < 4) registers.generation++;
      return new DataView(Uint8Array.of(reads).buffer);
    };
    expect(readStableConfig(registers).getUint8(0)).toBe(4);
    registers.readConfig = () => {
      registers.generation++;
      return new DataView(new ArrayBuffer(1));
    };
    expect(faultOf(() => readStableConfig(registers))).toBe('config-unstable');
  });
});

describe('feature sets', () => {
  it('[FEAT-05] drops what hangs on something dropped, along a chain', () => {
    const requirements = [
      { bit: 3, requires: [2] },
      { bit: 2, requires: [1] },
      { bit: 100, requires: [3, 4] },
    ];
    expect(
      featureBits(acceptFeatures(featureSet(2, 3, 4, 100), featureSet(2, 3, 4, 100), requirements)),
    ).toEqual([4]);
    expect(missingPrerequisites(featureSet(100, 4), requirements)).toEqual([{ bit: 100, requires: 3 }]);
  });
});
