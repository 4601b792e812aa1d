export { type JournalReport, readJournals } from './guest-images.ts';
export { type LibvirtHost, startLibvirtHost } from './libvirt-host.ts';
export {
  type GuestDisk,
  type GuestHost,
  type GuestOptions,
  makeGuest,
  type TinyGuest,
  waitForAgent,
} from './tiny-guest.ts';
