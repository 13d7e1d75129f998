/** Numbers and layouts of the virtio network device (virtio 1.4, section 5.1), as far as this device goes. */
import { bytes, enumeration, le16, struct, u8 } from '../abi/index.js';

export const NET_DEVICE_ID = 1;

/** Device-type feature bits, by bit number. */
export const NetFeature = {
  /** The configuration holds the largest frame that the driver should send, without its Ethernet header. */
  MTU: 3,
  MAC: 5,
  /** A frame may fill several receive buffers. */
  MRG_RXBUF: 15,
  STATUS: 16,
  CTRL_VQ: 17,
  /** Several queue pairs. */
  MQ: 22,
} as const;

export const netHeader = struct('virtio_net_hdr', 'Stands before every frame, in both directions', {
  flags: u8('checksum flags; 0 without a checksum feature'),
  gso_type: u8('kind of segmentation; 0 without a segmentation feature'),
  hdr_len: le16('bytes of the headers; of no meaning here'),
  gso_size: le16('of no meaning here'),
  csum_start: le16('of no meaning here'),
  csum_offset: le16('of no meaning here'),
  num_buffers: le16('receive buffers that the frame fills; 1 without MRG_RXBUF'),
});

export const netConfig = struct('virtio_net_config', 'Configuration space of the network device', {
  mac: bytes(6, 'address, with MAC'),
  status: le16('bit 0: the link is up; with STATUS'),
  max_virtqueue_pairs: le16('with MQ'),
  mtu: le16('with MTU'),
});

export const LINK_UP = 1;

/** Header of a control command. */
export const netControl = struct('virtio_net_ctrl', 'Begins every control command', {
  class: u8('class of the command'),
  command: u8('command within its class'),
});

export const netControlClasses = enumeration('virtio_net_ctrl_class', 'Classes that the device knows', {
  MQ: [4, 'Queue pairs in use'],
});
export const NetControlClass = netControlClasses.values;

/** The one command of class MQ: le16 pairs. */
export const MQ_VQ_PAIRS_SET = 0;

export const NetAck = { OK: 0, ERR: 1 } as const;

export const ETHERNET_HEADER_BYTES = 14;
/** The longest frame that is carried: 64 KiB behind an Ethernet header with a VLAN tag. */
export const FRAME_BYTES_MAX = 65536 + ETHERNET_HEADER_BYTES + 4;
