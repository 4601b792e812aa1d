export {
  decodeGuestConfiguration,
  encodeGuestConfiguration,
  type GuestConfiguration,
  type GuestDisk,
  type GuestDiskSource,
  guestConfigurationOf,
} from './guest-configuration.ts';
